//! Drives an engine on a thread of its own.
//!
//! Messages wait in a queue that the node can reach too, so that the messages of an engine that does not return can be
//! given to its successor.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::mpsc::UnboundedSender, time::Instant};

use super::{
    engine::Engine,
    engine_config::EngineConfig,
    messages::{Input, Output},
};

/// The stack of the thread. It holds the frames of the host; the engine has a smaller limit of its own.
const STACK: usize = 4 << 20;

/// The longest time to wait for a notification, so that a missed one costs no more than this.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A handle to the thread of an engine.
#[derive(Clone)]
pub(super) struct EngineThread {
    mailbox: Arc<Mailbox>,
}

struct Mailbox {
    queue: Mutex<Queue>,
    /// Notified when a message arrives, or the queue is closed.
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    inputs: VecDeque<Input>,
    /// Whether the thread must end as soon as it returns to the queue.
    closed: bool,
    /// Whether the thread has ended.
    ended: bool,
    /// The counter of abandoned threads, if it includes this thread.
    abandoned: Option<Arc<AtomicUsize>>,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EngineThread {
    /// Starts a thread with a new engine.
    ///
    /// # Errors
    /// If the operating system cannot start a thread.
    pub(super) fn start(config: EngineConfig, outputs: UnboundedSender<Output>) -> std::io::Result<EngineThread> {
        let mailbox = Arc::new(Mailbox { queue: Mutex::default(), changed: Condvar::new() });
        let thread = EngineThread { mailbox: mailbox.clone() };
        std::thread::Builder::new().name("chinwag-scripts".to_owned()).stack_size(STACK).spawn(move || {
            let emit = Rc::new(move |output| {
                // the node has dropped the receiver if it abandoned this engine
                let _ = outputs.send(output);
            });
            if catch_unwind(AssertUnwindSafe(|| run(&mailbox, config, emit))).is_err() {
                log::error!(target: "chinwag::scripts", "the script engine panicked and is replaced");
            }
            let mut queue = mailbox.lock();
            queue.ended = true;
            if let Some(count) = queue.abandoned.take() {
                count.fetch_sub(1, Ordering::AcqRel);
            }
        })?;
        Ok(thread)
    }

    /// Returns whether both handles are of the same thread.
    pub(super) fn is(&self, other: &EngineThread) -> bool {
        Arc::ptr_eq(&self.mailbox, &other.mailbox)
    }

    pub(super) fn send(&self, input: Input) {
        self.mailbox.lock().inputs.push_back(input);
        self.mailbox.changed.notify_one();
    }

    /// Removes an invocation from the queue, if it has not started.
    pub(super) fn cancel(&self, id: u64) {
        let mut queue = self.mailbox.lock();
        let index =
            queue.inputs.iter().position(|input| matches!(input, Input::Run(invocation) if invocation.id == id));
        let removed = index.and_then(|index| queue.inputs.remove(index));
        drop(queue);
        // the arguments can be large, so they are freed after the lock is released
        drop(removed);
    }

    /// Makes the thread end when it returns to the queue.
    pub(super) fn close(&self) {
        self.mailbox.lock().closed = true;
        self.mailbox.changed.notify_one();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.mailbox.lock().ended
    }

    /// Abandons the thread, which `count` includes until it ends. Returns the messages that it has not taken.
    pub(super) fn abandon(&self, count: &Arc<AtomicUsize>) -> VecDeque<Input> {
        let mut queue = self.mailbox.lock();
        queue.closed = true;
        if !queue.ended && queue.abandoned.is_none() {
            count.fetch_add(1, Ordering::AcqRel);
            queue.abandoned = Some(count.clone());
        }
        std::mem::take(&mut queue.inputs)
    }
}

/// Drives the engine until the queue is closed.
fn run(mailbox: &Mailbox, config: EngineConfig, emit: Rc<dyn Fn(Output)>) {
    let mut engine = Engine::new(config, emit);
    loop {
        let input = {
            let mut queue = mailbox.lock();
            loop {
                if queue.closed {
                    return;
                }
                if let Some(input) = queue.inputs.pop_front() {
                    break Some(input);
                }
                let wait = match engine.next_timer() {
                    Some(due) => due.saturating_duration_since(Instant::now()),
                    None => LONGEST_WAIT,
                };
                if wait.is_zero() {
                    break None;
                }
                let woken = mailbox.changed.wait_timeout(queue, wait.min(LONGEST_WAIT));
                queue = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
        };
        if let Some(input) = input {
            engine.take(input);
        }
        engine.fire();
    }
}
