//! Sends messages to an engine in a process of its own, which can be killed whatever its code does.

use serde::Serialize;
use tokio::sync::mpsc::{Receiver, UnboundedSender};

use super::frames;
use crate::launcher::EngineProcess;

/// A handle to the process of an engine. The process ends when it is dropped.
pub(super) struct EngineHandle {
    input: UnboundedSender<Vec<u8>>,
    kill: Option<Box<dyn FnOnce()>>,
}

impl EngineHandle {
    /// Takes over a process. Returns its handle and the frames that it writes.
    pub(super) fn start(process: EngineProcess) -> (EngineHandle, Receiver<Vec<u8>>) {
        let EngineProcess { input, output, kill } = process;
        (EngineHandle { input, kill: Some(kill) }, output)
    }

    /// Sends a message.
    ///
    /// # Errors
    /// If the message is too long. A process that has ended is noticed where its output is read.
    pub(super) fn send(&self, message: &impl Serialize) -> std::io::Result<()> {
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
