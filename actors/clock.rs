//! A node's own clock, against real time.
//!
//! Every duration in a node (intervals, time limits, the time left to a call) is local time: it is measured by the node's
//! own clock. Real time is tokio's, which all nodes of a process share. Only this file converts between the two, so a
//! simulated node whose clock runs fast both acts early and gives up early.
//!
//! What is absent: the time of day. Nodes do not tell each other what time it is.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// A node's clock, as the rate at which it runs. The rate is 1 outside of simulations.
///
/// ```
/// use chinwag_actors::clock::Clock;
/// use std::time::Duration;
/// let fast = Clock::at_rate(1.25)?;
/// assert_eq!(fast.to_local(Duration::from_secs(4)), Duration::from_secs(5));
/// assert_eq!(fast.to_real(Duration::from_secs(5)), Duration::from_secs(4));
/// # Ok::<(), chinwag_actors::clock::RateError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock {
    rate: f64,
}

/// The least rate of a clock. Nobody leaves a clock running that is further off.
const LEAST: f64 = 0.1;

/// The greatest rate of a clock.
const MOST: f64 = 10.0;

/// A number that is not the rate of a clock.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("a clock runs at {LEAST} to {MOST} times the true rate, not {0}")]
pub struct RateError(f64);

impl Default for Clock {
    fn default() -> Clock {
        Clock { rate: 1.0 }
    }
}

impl Clock {
    /// Returns a clock that advances by `rate` seconds in a second of real time. Range: 0.1 to 10.
    ///
    /// # Errors
    /// [`RateError`] if the rate is out of range.
    pub fn at_rate(rate: f64) -> Result<Clock, RateError> {
        if (LEAST..=MOST).contains(&rate) { Ok(Clock { rate }) } else { Err(RateError(rate)) }
    }

    /// The seconds by which the clock advances in a second of real time.
    pub fn rate(self) -> f64 {
        self.rate
    }

    /// How far the clock advances in this much real time.
    #[must_use]
    pub fn to_local(self, real: Duration) -> Duration {
        // a clock of rate 1 is exact
        if self.rate == 1.0 { real } else { real.mul_f64(self.rate) }
    }

    /// How much real time passes while the clock advances by this much. Timers are set to real time.
    #[must_use]
    pub fn to_real(self, local: Duration) -> Duration {
        if self.rate == 1.0 { local } else { local.div_f64(self.rate) }
    }

    /// The instant at which the clock will have advanced by this much.
    pub(crate) fn after(self, local: Duration) -> Instant {
        Instant::now() + self.to_real(local)
    }

    /// How far the clock advances from now until an instant.
    pub(crate) fn until(self, then: Instant) -> Duration {
        self.to_local(then.saturating_duration_since(Instant::now()))
    }

    /// How far the clock has advanced since an instant.
    pub(crate) fn since(self, then: Instant) -> Duration {
        self.to_local(then.elapsed())
    }

    /// Waits until the clock has advanced by this much.
    pub(crate) async fn sleep(self, local: Duration) {
        sleep(self.to_real(local)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_of_rate_1_converts_to_the_nanosecond() {
        let long = Duration::new(1 << 40, 123_456_789);
        assert_eq!((Clock::default().to_local(long), Clock::default().to_real(long)), (long, long));
    }

    #[test]
    fn a_rate_out_of_range_is_refused() {
        for rate in [0.0, -1.0, 0.09, 10.1, f64::NAN, f64::INFINITY] {
            let why = Clock::at_rate(rate).unwrap_err().to_string();
            assert!(why.ends_with(&format!("not {rate}")), "{why}");
        }
    }
}
