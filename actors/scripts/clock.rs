//! Signs of life of an engine, what it spends, and the time of day in a simulation.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::clock::Clock;

/// What a simulated node takes for the time of day.
#[derive(Clone, Copy, Debug)]
pub(super) struct WallClock {
    pub clock: Clock,
    /// Milliseconds that it showed at the node's start: the number of the node's life.
    born: u64,
    began: tokio::time::Instant,
}

impl WallClock {
    pub fn new(clock: Clock, born: u64) -> WallClock {
        WallClock { clock, born, began: tokio::time::Instant::now() }
    }

    /// Milliseconds that it shows.
    pub fn now(&self) -> f64 {
        self.born as f64 + self.clock.since(self.began).as_millis() as f64
    }
}

/// By which an engine's watchdog sees whether it still runs.
#[derive(Debug)]
pub(super) struct Heartbeat {
    start: Instant,
    /// Milliseconds from the start to the last sign, plus one; 0 while nothing runs.
    last: AtomicU64,
    task: AtomicU64,
    abandoned: AtomicBool,
}

impl Heartbeat {
    pub fn new() -> Heartbeat {
        let (last, task, abandoned) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        Heartbeat { start: Instant::now(), last, task, abandoned }
    }

    /// Code starts to run on behalf of a task.
    pub fn enter(&self, task: u64) {
        self.task.store(task, Ordering::Release);
        self.beat();
    }

    /// It still runs.
    pub fn beat(&self) {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.last.store(elapsed + 1, Ordering::Release);
    }

    /// It has returned.
    pub fn leave(&self) {
        self.last.store(0, Ordering::Release);
    }

    /// The task whose code has given no sign for so long, if one has.
    pub fn silent_for(&self, time: Duration) -> Option<u64> {
        let last = self.last.load(Ordering::Acquire).checked_sub(1)?;
        let silence = self.start.elapsed().saturating_sub(Duration::from_millis(last));
        (silence > time).then(|| self.task.load(Ordering::Acquire))
    }

    /// Has the engine stop as soon as it can be interrupted.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    /// Whether nobody waits for it any more.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }
}

/// Nanoseconds that the present thread has had a processor.
#[cfg(unix)]
pub(super) fn processor_time() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on every Unix, and `time` is there to be written
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Nanoseconds since the present thread first asked: time on the wall, where the platform tells nothing better.
#[cfg(not(unix))]
pub(super) fn processor_time() -> u64 {
    thread_local!(static START: Instant = Instant::now());
    START.with(|start| u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
}
