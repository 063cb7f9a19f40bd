//! How long a node waits between two messages to others: the longer, the longer peers take to answer. A machine that
//! has more to do than it can is so given less to do.

use std::time::Duration;

/// For how many intervals the next message waits at most while nobody answers the last one. A guess.
pub(crate) const LONGEST: u32 = 10;

/// When the next message is due after one that was sent at `sent` and answered at `now`: an interval after the last
/// one, and no sooner than the answer took once more.
pub(crate) fn due(sent: Duration, now: Duration, interval: Duration) -> Duration {
    (sent + interval).max(now + now.saturating_sub(sent))
}
