//! What drives an engine: a process, a thread, or the node's own thread.

use std::io;

use tokio::sync::mpsc;

use super::{
    engine_config::EngineConfig,
    frames,
    inline::InlineEngine,
    messages::{Input, Output, Start},
    portable::Portable,
    process::EngineHandle,
    thread::EngineThread,
};
use crate::launcher::EngineStarter;

/// What drives an engine. Dropping it ends the engine.
pub(super) enum Driver {
    Process(EngineHandle),
    Thread(EngineThread),
    Inline(InlineEngine),
}

impl Driver {
    /// Starts an engine: inline if its settings say so, else in a process, or on a thread if nothing starts processes.
    /// Returns its messages, too.
    ///
    /// # Errors
    /// If the operating system cannot start the process or the thread.
    pub(super) fn start(config: EngineConfig, starter: Option<&dyn EngineStarter>) -> io::Result<(Driver, Outputs)> {
        if config.settings.inline.is_none()
            && let Some(starter) = starter
        {
            let EngineConfig { settings, me, directory, seed, after, .. } = config;
            let (engine, frames) = EngineHandle::start(starter.start()?);
            engine.send(&Start { settings, me: Portable(me.to_value()), seed, after })?;
            engine.send(&Input::Names(directory.record()))?;
            return Ok((Driver::Process(engine), Outputs::Frames(frames)));
        }
        let (outputs, received) = mpsc::unbounded_channel();
        let driver = match config.settings.inline {
            Some(_) => Driver::Inline(InlineEngine::start(config, outputs)),
            None => Driver::Thread(EngineThread::start(config, outputs)?),
        };
        Ok((driver, Outputs::Messages(received)))
    }

    /// Sends a message to the engine.
    ///
    /// # Errors
    /// If the message is too long for a process.
    pub(super) fn send(&self, input: Input) -> io::Result<()> {
        match self {
            Driver::Process(process) => return process.send(&input),
            Driver::Thread(thread) => thread.send(input),
            Driver::Inline(engine) => engine.send(input),
        }
        Ok(())
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
    pub(super) async fn next(&mut self) -> io::Result<Option<Output>> {
        match self {
            Outputs::Messages(messages) => Ok(messages.recv().await),
            Outputs::Frames(frames) => frames.recv().await.map(|frame| frames::read(&frame)).transpose(),
        }
    }
}
