//! The time of day that a simulated node shows to code, and the processor time that code uses.

use std::time::Duration;

use crate::clock::Clock;

/// The time of day of a simulated node, and the clock that every node measures durations by.
#[derive(Clone, Copy, Debug)]
pub(super) struct WallClock {
    pub clock: Clock,
    /// The time of day when the node started, in Unix milliseconds. It is also the incarnation of the node.
    start: u64,
    started: tokio::time::Instant,
}

impl WallClock {
    pub(super) fn new(clock: Clock, start: u64) -> WallClock {
        WallClock { clock, start, started: tokio::time::Instant::now() }
    }

    /// Returns the time of day in Unix milliseconds.
    pub(super) fn now(&self) -> f64 {
        self.start as f64 + self.clock.since(self.started).as_millis() as f64
    }
}

/// Returns a time in nanoseconds.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the processor time that the current thread has used, in nanoseconds.
#[cfg(unix)]
pub(super) fn processor_time() -> u64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Returns the processor time that all threads of this process have used, in nanoseconds.
#[cfg(unix)]
pub(super) fn processor_time_of_process() -> u64 {
    read(libc::CLOCK_PROCESS_CPUTIME_ID)
}

#[cfg(unix)]
fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: every Unix has these clocks, and `time` is valid for writes
    unsafe { libc::clock_gettime(clock, &mut time) };
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Returns the real time since the current thread first called this, in nanoseconds. It stands in for processor time,
/// which this platform does not report per thread.
#[cfg(not(unix))]
pub(super) fn processor_time() -> u64 {
    thread_local!(static START: std::time::Instant = std::time::Instant::now());
    START.with(|start| u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// Returns the real time since the current thread first called this, in nanoseconds, in place of the processor time that
/// all threads of this process have used.
#[cfg(not(unix))]
pub(super) fn processor_time_of_process() -> u64 {
    processor_time()
}
