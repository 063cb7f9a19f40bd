//! Sends messages to an engine in a process of its own, which can be killed whatever its code does.

use std::fmt;

use tokio::sync::mpsc::{Receiver, UnboundedSender};

use super::{
    frames,
    messages::{Input, Output, Start},
};

/// Starts processes for script engines. Each must call [`run_engine`](super::run_engine) with its pipes.
pub trait EngineStarter {
    /// Starts a process.
    ///
    /// # Errors
    /// If the operating system cannot start it.
    fn start(&self) -> std::io::Result<EngineProcess>;
}

/// A process that runs an engine.
pub struct EngineProcess {
    /// What is sent here is written to the input of the engine. Dropping it ends the input, and with it the process.
    pub input: UnboundedSender<Vec<u8>>,
    /// The frames that the engine writes, each without the four bytes of its length. It ends with the process. As many
    /// frames wait here as it has room for; then the engine waits.
    pub output: Receiver<Vec<u8>>,
    /// Ends the process at once.
    pub kill: Box<dyn FnOnce()>,
}

impl fmt::Debug for EngineProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EngineProcess")
    }
}

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
