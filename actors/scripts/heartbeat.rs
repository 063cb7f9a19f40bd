//! Signs of life by which the watchdog sees whether an engine still responds.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Written by the thread of the engine, and read by the watchdog on the thread of the node.
#[derive(Debug)]
pub(super) struct Heartbeat {
    start: Instant,
    /// Milliseconds from `start` to the last beat, plus one. 0 while no code runs.
    last: AtomicU64,
    task: AtomicU64,
    abandoned: AtomicBool,
    /// The task that must be stopped, or 0.
    interrupted: AtomicU64,
}

impl Heartbeat {
    pub(super) fn new() -> Heartbeat {
        let (last, task, abandoned) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        Heartbeat { start: Instant::now(), last, task, abandoned, interrupted: AtomicU64::new(0) }
    }

    /// Notes that code starts to run for a task.
    pub(super) fn enter(&self, task: u64) {
        self.task.store(task, Ordering::Release);
        self.beat();
    }

    /// Notes that the code still responds.
    pub(super) fn beat(&self) {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.last.store(elapsed + 1, Ordering::Release);
    }

    /// Notes that the code has returned.
    pub(super) fn leave(&self) {
        self.last.store(0, Ordering::Release);
        self.interrupted.store(0, Ordering::Release);
    }

    /// Returns the task whose code runs, if the last beat is longer ago than `time`.
    pub(super) fn silent_for(&self, time: Duration) -> Option<u64> {
        let last = self.last.load(Ordering::Acquire).checked_sub(1)?;
        let silence = self.start.elapsed().saturating_sub(Duration::from_millis(last));
        (silence > time).then(|| self.task.load(Ordering::Acquire))
    }

    /// Makes the engine stop the task whose code runs now. Returns the task, or `None` if no code runs.
    pub(super) fn interrupt(&self) -> Option<u64> {
        let task = (self.last.load(Ordering::Acquire) != 0).then(|| self.task.load(Ordering::Acquire))?;
        self.interrupted.store(task, Ordering::Release);
        Some(task)
    }

    /// Returns whether the task whose code runs now must be stopped.
    pub(super) fn is_interrupted(&self) -> bool {
        let interrupted = self.interrupted.load(Ordering::Acquire);
        interrupted != 0 && interrupted == self.task.load(Ordering::Acquire)
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
