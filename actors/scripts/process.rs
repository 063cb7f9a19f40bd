//! Sends messages to an engine in a process of its own, which can be killed whatever its code does.

use tokio::sync::mpsc::{Receiver, UnboundedSender};

use super::{
    frames,
    messages::{Input, Output, Start},
};
use crate::launcher::EngineProcess;

/// A handle to the process of an engine. The process ends when it is dropped.
pub(super) struct EngineHandle {
    input: UnboundedSender<Vec<u8>>,
    kill: Option<Box<dyn FnOnce()>>,
}

impl EngineHandle {
    /// Starts an engine in a process. Returns its handle and the frames that it writes.
    ///
    /// # Errors
    /// If the process cannot be started.
    pub(super) fn start(process: EngineProcess, start: &Start) -> std::io::Result<(EngineHandle, Receiver<Vec<u8>>)> {
        let EngineProcess { input, output, kill } = process;
        let handle = EngineHandle { input, kill: Some(kill) };
        handle.write(start)?;
        Ok((handle, output))
    }

    /// Sends a message.
    ///
    /// # Errors
    /// If the message is too long. A process that has ended is noticed where its output is read.
    pub(super) fn send(&self, input: &Input) -> std::io::Result<()> {
        self.write(input)
    }

    fn write(&self, message: &impl serde::Serialize) -> std::io::Result<()> {
        let mut frame = Vec::new();
        frames::write(message, &mut frame)?;
        // the process may have ended
        let _ = self.input.send(frame);
        Ok(())
    }
}

impl Drop for EngineHandle {
    fn drop(&mut self) {
        if let Some(kill) = self.kill.take() {
            kill();
        }
    }
}

/// Reads a message of an engine.
pub(super) fn read(frame: &[u8]) -> std::io::Result<Output> {
    frames::read(frame)
}
