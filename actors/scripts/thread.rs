//! An engine on a thread of its own, and how it is left behind.
//!
//! What comes in waits in a queue that both sides can reach, so that it can be taken from an engine that does not
//! return and given to its successor.

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

/// Stack of the thread: the engine's own is bounded apart, and this is what the host's frames around it take.
const STACK: usize = 4 << 20;

/// Longest sleep. A wake-up that is missed costs no more than this.
const NAP: Duration = Duration::from_secs(60);

/// The way to an engine's thread.
#[derive(Clone)]
pub(super) struct EngineThread {
    mailbox: Arc<Mailbox>,
}

struct Mailbox {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Input>,
    closed: bool,
    ended: bool,
    /// Counts this thread among those that were left behind, once it was.
    left_behind: Option<Arc<AtomicUsize>>,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EngineThread {
    /// Starts an engine.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(config: EngineConfig, outputs: UnboundedSender<Output>) -> std::io::Result<EngineThread> {
        let mailbox = Arc::new(Mailbox { queue: Mutex::default(), arrived: Condvar::new() });
        let thread = EngineThread { mailbox: mailbox.clone() };
        std::thread::Builder::new().name("chinwag-scripts".to_owned()).stack_size(STACK).spawn(move || {
            let emit = Rc::new(move |output| {
                // nobody listens to one that was left behind
                let _ = outputs.send(output);
            });
            if catch_unwind(AssertUnwindSafe(|| run(&mailbox, config, emit))).is_err() {
                log::error!(target: "chinwag::scripts", "the script engine panicked and is replaced");
            }
            let mut queue = mailbox.lock();
            queue.ended = true;
            if let Some(count) = queue.left_behind.take() {
                count.fetch_sub(1, Ordering::AcqRel);
            }
        })?;
        Ok(thread)
    }

    /// Whether both lead to the same thread.
    pub fn is(&self, other: &EngineThread) -> bool {
        Arc::ptr_eq(&self.mailbox, &other.mailbox)
    }

    /// Queues what is to be done.
    pub fn send(&self, input: Input) {
        self.mailbox.lock().waiting.push_back(input);
        self.mailbox.arrived.notify_one();
    }

    /// Drops a call that waits, if it still does.
    pub fn forget(&self, id: u64) {
        let mut queue = self.mailbox.lock();
        let place =
            queue.waiting.iter().position(|input| matches!(input, Input::Run(invocation) if invocation.id == id));
        // what it holds is let go of when the queue is not held any more
        let _job = place.and_then(|place| queue.waiting.remove(place));
        drop(queue);
    }

    /// Has the thread end when it returns.
    pub fn close(&self) {
        self.mailbox.lock().closed = true;
        self.mailbox.arrived.notify_one();
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.mailbox.lock().ended
    }

    /// Leaves the thread to itself, counted until it ends, and takes back what it has not begun.
    pub fn leave_behind(&self, count: &Arc<AtomicUsize>) -> VecDeque<Input> {
        let mut queue = self.mailbox.lock();
        queue.closed = true;
        if !queue.ended && queue.left_behind.is_none() {
            count.fetch_add(1, Ordering::AcqRel);
            queue.left_behind = Some(count.clone());
        }
        std::mem::take(&mut queue.waiting)
    }
}

/// Works until closed.
fn run(mailbox: &Mailbox, config: EngineConfig, emit: Rc<dyn Fn(Output)>) {
    let mut engine = Engine::new(config, emit);
    loop {
        let input = {
            let mut queue = mailbox.lock();
            loop {
                if queue.closed {
                    return;
                }
                if let Some(input) = queue.waiting.pop_front() {
                    break Some(input);
                }
                let nap = match engine.next_timer() {
                    Some(due) => due.saturating_duration_since(Instant::now()),
                    None => NAP,
                };
                if nap.is_zero() {
                    break None;
                }
                let woken = mailbox.arrived.wait_timeout(queue, nap.min(NAP));
                queue = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
        };
        if let Some(input) = input {
            engine.take(input);
        }
        engine.fire();
    }
}
