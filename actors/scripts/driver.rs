//! What drives an engine: a process, a thread, or the node's own thread.

use tokio::sync::mpsc;

use super::{
    inline::InlineEngine,
    messages::{Input, Output},
    process::{self, EngineHandle},
    thread::EngineThread,
};

/// What drives an engine. Dropping it ends the engine.
pub(super) enum Driver {
    Process(EngineHandle),
    Thread(EngineThread),
    Inline(InlineEngine),
}

impl Driver {
    /// Sends a message to the engine.
    ///
    /// # Errors
    /// If the message is too long for a process.
    pub(super) fn send(&self, input: Input) -> std::io::Result<()> {
        match self {
            Driver::Process(process) => process.send(&input),
            Driver::Thread(thread) => {
                thread.send(input);
                Ok(())
            }
            Driver::Inline(engine) => {
                engine.send(input);
                Ok(())
            }
        }
    }
}

/// The messages of an engine.
pub(super) enum Outputs {
    Messages(mpsc::UnboundedReceiver<Output>),
    Frames(mpsc::Receiver<Vec<u8>>),
}

impl Outputs {
    /// Returns the next message, or `None` if the engine has ended.
    ///
    /// # Errors
    /// If a process sent something else.
    pub(super) async fn next(&mut self) -> std::io::Result<Option<Output>> {
        match self {
            Outputs::Messages(messages) => Ok(messages.recv().await),
            Outputs::Frames(frames) => frames.recv().await.map(|frame| process::read(&frame)).transpose(),
        }
    }
}
