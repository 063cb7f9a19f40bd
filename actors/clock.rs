//! How a node's clock goes.
//!
//! Every duration that a node deals in (intervals, time limits, what is left of a call's time) is by its own clock.
//! tokio's clock is the true one, the same for all nodes of a process. The two meet here and nowhere else, so a
//! simulated node whose clock runs fast does all it does early, and gives up early too.
//!
//! What is absent: the time of day. Nodes do not tell each other when it is.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// A node's clock, by how much faster than the true one it runs. Equal to the true one unless a simulation says
/// otherwise.
///
/// ```
/// use chinwag_actors::clock::Clock;
/// use std::time::Duration;
/// let fast = Clock::at_rate(1.25)?;
/// assert_eq!(fast.shown(Duration::from_secs(4)), Duration::from_secs(5));
/// assert_eq!(fast.truly(Duration::from_secs(5)), Duration::from_secs(4));
/// # Ok::<(), chinwag_actors::clock::RateError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock {
    rate: f64,
}

/// The least rate: no clock that anybody would leave running is off by more.
const LEAST: f64 = 0.1;

/// The greatest.
const MOST: f64 = 10.0;

/// Not the rate of a clock. Nothing has changed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("a clock runs at {LEAST} to {MOST} times the true rate, not {0}")]
pub struct RateError(f64);

impl Default for Clock {
    fn default() -> Clock {
        Clock { rate: 1.0 }
    }
}

impl Clock {
    /// A clock on which `rate` seconds pass in a true one. From 0.1 to 10.
    ///
    /// # Errors
    /// [`RateError`] outside of these.
    pub fn at_rate(rate: f64) -> Result<Clock, RateError> {
        if (LEAST..=MOST).contains(&rate) { Ok(Clock { rate }) } else { Err(RateError(rate)) }
    }

    /// Seconds that it shows for a true one.
    pub fn rate(self) -> f64 {
        self.rate
    }

    /// What it shows when so much time has truly passed.
    pub fn shown(self, passed: Duration) -> Duration {
        // exactly, for whoever is right
        if self.rate == 1.0 { passed } else { passed.mul_f64(self.rate) }
    }

    /// How much time truly passes while it shows so much: what a timer is set to.
    pub fn truly(self, shown: Duration) -> Duration {
        if self.rate == 1.0 { shown } else { shown.div_f64(self.rate) }
    }

    /// When it will have gone on by so much.
    pub(crate) fn after(self, shown: Duration) -> Instant {
        Instant::now() + self.truly(shown)
    }

    /// How far it has to go on until then.
    pub(crate) fn until(self, then: Instant) -> Duration {
        self.shown(then.saturating_duration_since(Instant::now()))
    }

    /// How far it has gone on since.
    pub(crate) fn since(self, then: Instant) -> Duration {
        self.shown(then.elapsed())
    }

    /// Waits until it has gone on by so much.
    pub(crate) async fn sleep(self, shown: Duration) {
        sleep(self.truly(shown)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_right_is_right_to_the_nanosecond() {
        let long = Duration::new(1 << 40, 123_456_789);
        assert_eq!((Clock::default().shown(long), Clock::default().truly(long)), (long, long));
    }

    #[test]
    fn a_rate_that_no_clock_has_is_refused() {
        for rate in [0.0, -1.0, 0.09, 10.1, f64::NAN, f64::INFINITY] {
            let why = Clock::at_rate(rate).unwrap_err().to_string();
            assert!(why.ends_with(&format!("not {rate}")), "{why}");
        }
    }
}
