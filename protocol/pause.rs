//! The pause between two messages of a node. It grows with the time that peers take to answer, so that an overloaded
//! machine gets less to do.

use std::time::Duration;

/// The most intervals that the next message waits while nobody answers the last one. A guess.
pub(crate) const LONGEST: u32 = 10;

/// Returns when the next message is due after one that was sent at `sent` and answered at `now`: an interval after that
/// message, and at least as long after its answer as the answer took.
pub(crate) fn due(sent: Duration, now: Duration, interval: Duration) -> Duration {
    (sent + interval).max(now + now.saturating_sub(sent))
}
