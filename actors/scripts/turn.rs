//! The turn of code that runs: how long it has taken, and who waits for its end.
//!
//! The engine writes it. The thread that reads messages notes who waits, and the watchdog sees from it whether code
//! returns.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use super::clock::nanoseconds;

/// The longest time that the watchdog sleeps, so that nothing depends on its being woken.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Nobody.
const NOBODY: u64 = u64::MAX;

/// A turn that runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    /// The number of turns that had begun when it began.
    pub number: u64,
    /// The invocation whose code runs.
    pub task: u64,
    /// The nanoseconds of processor time that it may take.
    pub allowance: u64,
}

/// The turn of code that runs.
#[derive(Debug)]
pub(super) struct Turn {
    start: Instant,
    /// Nanoseconds on the watchdog's clock at the last sign of life, plus one. 0 while no code runs.
    last: AtomicU64,
    /// How many turns have begun.
    begun: AtomicU64,
    /// The nanoseconds of processor time that the turn may take.
    allowance: AtomicU64,
    /// The invocation whose code runs.
    task: AtomicU64,
    /// The shipper whose code runs.
    shipper: AtomicU64,
    /// Whether the node knows somebody else who waits.
    node_waits: AtomicBool,
    /// The shipper on whose account a message waits here, or [`NOBODY`].
    waits_here: AtomicU64,
    abandoned: AtomicBool,
    /// The number of the turn that must be stopped, or 0.
    interrupted: AtomicU64,
    /// The thread of the watchdog, if there is one, and whether it sleeps.
    watchdog: OnceLock<Thread>,
    watchdog_sleeps: AtomicBool,
}

impl Default for Turn {
    fn default() -> Turn {
        let number = AtomicU64::new;
        Turn {
            start: Instant::now(),
            last: number(0),
            begun: number(0),
            allowance: number(0),
            task: number(0),
            shipper: number(NOBODY),
            node_waits: AtomicBool::new(false),
            waits_here: number(NOBODY),
            abandoned: AtomicBool::new(false),
            interrupted: number(0),
            watchdog: OnceLock::new(),
            watchdog_sleeps: AtomicBool::new(false),
        }
    }
}

impl Turn {
    /// Notes that code starts to run for a task. Without a shipper, it may finish its turn though others wait.
    pub(super) fn enter(&self, task: u64, shipper: Option<u64>, allowance: u64) {
        self.begun.fetch_add(1, Ordering::AcqRel);
        self.allowance.store(allowance, Ordering::Release);
        self.task.store(task, Ordering::Release);
        self.shipper.store(shipper.unwrap_or(NOBODY), Ordering::Release);
        self.beat();
        if self.watchdog_sleeps.swap(false, Ordering::AcqRel)
            && let Some(watchdog) = self.watchdog.get()
        {
            watchdog.unpark();
        }
    }

    /// Sets the thread that is woken when code runs.
    pub(super) fn set_watchdog(&self, watchdog: Thread) {
        // an engine has one watchdog
        let _ = self.watchdog.set(watchdog);
    }

    /// Blocks the watchdog until code runs.
    pub(super) fn sleep_until_running(&self) {
        self.watchdog_sleeps.store(true, Ordering::Release);
        while self.watchdog_sleeps.load(Ordering::Acquire) && self.running().is_none() {
            thread::park_timeout(LONGEST_SLEEP);
        }
        self.watchdog_sleeps.store(false, Ordering::Release);
    }

    /// Notes that the code still responds.
    pub(super) fn beat(&self) {
        self.last.store(self.now() + 1, Ordering::Release);
    }

    /// Notes that the code has returned.
    pub(super) fn leave(&self) {
        self.last.store(0, Ordering::Release);
        self.shipper.store(NOBODY, Ordering::Release);
    }

    fn now(&self) -> u64 {
        nanoseconds(self.start.elapsed()).min(u64::MAX - 1)
    }

    /// Returns the task whose code runs, if its last sign of life is longer ago than `time`.
    pub(super) fn silent_for(&self, time: Duration) -> Option<u64> {
        let last = self.last.load(Ordering::Acquire).checked_sub(1)?;
        let silence = Duration::from_nanos(self.now().saturating_sub(last));
        (silence > time).then(|| self.task.load(Ordering::Acquire))
    }

    /// Returns the turn that runs, if code runs.
    pub(super) fn running(&self) -> Option<Running> {
        let is_running = self.last.load(Ordering::Acquire) != 0;
        is_running.then(|| Running {
            number: self.begun.load(Ordering::Acquire),
            task: self.task.load(Ordering::Acquire),
            allowance: self.allowance.load(Ordering::Acquire),
        })
    }

    /// Notes whether the node knows somebody else who waits.
    pub(super) fn set_node_waits(&self, waits: bool) {
        self.node_waits.store(waits, Ordering::Release);
    }

    /// Notes on whose account a message waits here.
    pub(super) fn set_waits_here(&self, shipper: Option<u64>) {
        self.waits_here.store(shipper.unwrap_or(NOBODY), Ordering::Release);
    }

    /// Returns whether somebody else than the shipper of the code that runs waits for it.
    pub(super) fn is_awaited(&self) -> bool {
        let (here, running) = (self.waits_here.load(Ordering::Acquire), self.shipper.load(Ordering::Acquire));
        running != NOBODY && (self.node_waits.load(Ordering::Acquire) || (here != NOBODY && here != running))
    }

    /// Makes the engine stop the code that runs now, if code runs.
    pub(super) fn interrupt(&self) {
        if let Some(running) = self.running() {
            self.interrupted.store(running.number, Ordering::Release);
        }
    }

    /// Returns whether the code that runs now must be stopped.
    pub(super) fn is_interrupted(&self) -> bool {
        let interrupted = self.interrupted.load(Ordering::Acquire);
        interrupted != 0 && interrupted == self.begun.load(Ordering::Acquire)
    }

    /// Makes the engine stop its code at the next interrupt.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    /// Returns whether the node has given this engine up.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }
}
