//! Drives an engine on a thread of the node's own process. It cannot be killed there, so this is for programs that cannot
//! start an engine in a process of its own.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::mpsc::UnboundedSender;

use super::{
    engine_config::EngineConfig,
    mailbox::{Mailbox, drive, mailbox},
    messages::{Input, Output},
};

/// The stack of the thread. It holds the frames of the host; the engine has a smaller limit of its own.
const STACK: usize = 4 << 20;

/// A handle to the thread of an engine. The engine ends when it is dropped.
pub(super) struct EngineThread {
    mailbox: Mailbox,
    life: Arc<Mutex<Life>>,
}

#[derive(Default)]
struct Life {
    /// Whether the thread has ended.
    ended: bool,
    /// The counter of abandoned threads, if it includes this thread.
    abandoned: Option<Arc<AtomicUsize>>,
}

fn lock(life: &Mutex<Life>) -> MutexGuard<'_, Life> {
    life.lock().unwrap_or_else(PoisonError::into_inner)
}

impl EngineThread {
    /// Starts a thread with a new engine. Its messages end when it has ended.
    ///
    /// # Errors
    /// If the operating system cannot start a thread.
    pub(super) fn start(config: EngineConfig, outputs: UnboundedSender<Output>) -> std::io::Result<EngineThread> {
        let (mailbox, inputs) = mailbox(config.turn.clone());
        let life: Arc<Mutex<Life>> = Arc::default();
        let thread = EngineThread { mailbox, life: life.clone() };
        std::thread::Builder::new().name("chinwag-scripts".to_owned()).stack_size(STACK).spawn(move || {
            let emit = Rc::new(move |output| {
                // the node has dropped the receiver if it abandoned this engine
                let _ = outputs.send(output);
            });
            if catch_unwind(AssertUnwindSafe(|| drive(inputs, config, emit))).is_err() {
                log::error!(target: "chinwag::scripts", "the script engine panicked and is replaced");
            }
            let mut life = lock(&life);
            life.ended = true;
            if let Some(count) = life.abandoned.take() {
                count.fetch_sub(1, Ordering::AcqRel);
            }
        })?;
        Ok(thread)
    }

    pub(super) fn send(&self, input: Input) {
        self.mailbox.post(input);
    }

    /// Abandons the thread, which `count` includes until it ends.
    pub(super) fn abandon(self, count: &Arc<AtomicUsize>) {
        let mut life = lock(&self.life);
        if !life.ended && life.abandoned.is_none() {
            count.fetch_add(1, Ordering::AcqRel);
            life.abandoned = Some(count.clone());
        }
    }
}
