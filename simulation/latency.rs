//! How long a message takes.

use std::{fmt, str::FromStr, time::Duration};

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// The longest latency in milliseconds, which is the longest time that a call may take.
pub const LONGEST: u32 = 600_000;

/// The latency of messages, drawn for each message, in whole milliseconds from 1.
///
/// ```
/// use chinwag_simulation::Latency;
/// let latency: Latency = "uniform:1..5".parse()?;
/// assert_eq!(latency.mean(), 3.0);
/// # Ok::<(), chinwag_simulation::LatencyError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Latency {
    /// The same for every message. Text form: `constant:MS`.
    Constant(u32),
    /// Uniformly distributed between the two, both included. Text form: `uniform:MS..MS`.
    Uniform(u32, u32),
    /// Log-normally distributed, like round trips on the Internet: half of the messages take less than the median. Text
    /// form: `lognormal:MS,SIGMA`.
    LogNormal {
        /// The median in milliseconds.
        median: u32,
        /// The standard deviation of the logarithm, from 0 to 3. At 3 the mean is ninety times the median; 0.5 is a
        /// network with strong variation.
        sigma: f64,
    },
}

impl Latency {
    /// Returns this latency if it is in range.
    ///
    /// # Errors
    /// A [`LatencyError`] that says what is out of range.
    pub fn checked(self) -> Result<Latency, LatencyError> {
        let range = |milliseconds: u32| match milliseconds {
            1..=LONGEST => Ok(()),
            other => Err(LatencyError::Range(other)),
        };
        match self {
            Latency::Constant(milliseconds) => range(milliseconds)?,
            Latency::Uniform(least, most) => {
                range(least)?;
                range(most)?;
                if least > most {
                    return Err(LatencyError::Backwards(least, most));
                }
            }
            Latency::LogNormal { median, sigma } => {
                range(median)?;
                if !(0.0..=3.0).contains(&sigma) {
                    return Err(LatencyError::Sigma(sigma));
                }
            }
        }
        Ok(self)
    }

    /// The mean in milliseconds. It ignores the rounding of a log-normal latency.
    pub fn mean(self) -> f64 {
        match self {
            Latency::Constant(milliseconds) => milliseconds.into(),
            Latency::Uniform(least, most) => (f64::from(least) + f64::from(most)) / 2.0,
            Latency::LogNormal { median, sigma } => f64::from(median) * libm::exp(sigma * sigma / 2.0),
        }
    }

    pub(super) fn draw(self, rng: &mut ChaCha8Rng) -> Duration {
        let milliseconds = match self {
            Latency::Constant(milliseconds) => milliseconds,
            Latency::Uniform(least, most) => rng.random_range(least..=most),
            Latency::LogNormal { median, sigma } => {
                // The Box-Muller transform. 1 - u is never 0.
                let (u, v): (f64, f64) = (rng.random(), rng.random());
                let normal = libm::sqrt(-2.0 * libm::log(1.0 - u)) * libm::cos(2.0 * std::f64::consts::PI * v);
                let drawn = libm::round(f64::from(median) * libm::exp(sigma * normal));
                drawn.clamp(1.0, LONGEST.into()) as u32
            }
        };
        Duration::from_millis(milliseconds.max(1).into())
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Latency::Constant(milliseconds) => write!(f, "constant:{milliseconds}"),
            Latency::Uniform(least, most) => write!(f, "uniform:{least}..{most}"),
            Latency::LogNormal { median, sigma } => write!(f, "lognormal:{median},{sigma}"),
        }
    }
}

impl From<Latency> for String {
    fn from(latency: Latency) -> String {
        latency.to_string()
    }
}

impl TryFrom<String> for Latency {
    type Error = LatencyError;

    fn try_from(text: String) -> Result<Latency, LatencyError> {
        text.parse()
    }
}

impl FromStr for Latency {
    type Err = LatencyError;

    /// Parses the form that [`Display`](fmt::Display) writes.
    ///
    /// # Errors
    /// A [`LatencyError`] that quotes the invalid part.
    fn from_str(text: &str) -> Result<Latency, LatencyError> {
        let unknown = || LatencyError::Unknown(text.chars().take(64).collect());
        let (kind, rest) = text.split_once(':').ok_or_else(unknown)?;
        let number = |text: &str| text.parse::<u32>().map_err(|_| unknown());
        let latency = match kind {
            "constant" => Latency::Constant(number(rest)?),
            "uniform" => {
                let (least, most) = rest.split_once("..").ok_or_else(unknown)?;
                Latency::Uniform(number(least)?, number(most)?)
            }
            "lognormal" => {
                let (median, sigma) = rest.split_once(',').ok_or_else(unknown)?;
                Latency::LogNormal { median: number(median)?, sigma: sigma.parse().map_err(|_| unknown())? }
            }
            _ => return Err(unknown()),
        };
        latency.checked()
    }
}

/// Why a latency is invalid. Nothing has changed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LatencyError {
    /// The latency is zero or too long. A latency of zero would allow no order of events.
    #[error("a latency is 1 to {LONGEST} ms, not {0}")]
    Range(u32),
    /// The lower bound is above the upper bound.
    #[error("a latency cannot be at least {0} and at most {1} ms")]
    Backwards(u32, u32),
    /// The standard deviation of a log-normal latency is out of range.
    #[error("the standard deviation of a latency's logarithm is 0 to 3, not {0}")]
    Sigma(f64),
    /// The text has none of the known forms.
    #[error("unknown latency {0:?}: expected \"constant:MS\", \"uniform:MS..MS\" or \"lognormal:MS,SIGMA\"")]
    Unknown(String),
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn drawn_latencies_have_the_mean_and_the_bounds() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (text, least, most) in
            [("constant:7", 7, 7), ("uniform:1..5", 1, 5), ("lognormal:20,0.5", 1, LONGEST), ("lognormal:9,0", 9, 9)]
        {
            let latency: Latency = text.parse().unwrap();
            assert_eq!(latency.to_string(), text);
            let mut sum = 0;
            for _ in 0..20_000 {
                let drawn = latency.draw(&mut rng).as_millis() as u32;
                assert!((least..=most).contains(&drawn), "{text} drew {drawn}");
                sum += drawn;
            }
            let mean = f64::from(sum) / 20_000.0;
            assert!((mean / latency.mean() - 1.0).abs() < 0.02, "{text}: {mean}");
        }
    }

    #[test]
    fn invalid_latencies_are_refused_with_their_value() {
        for (text, says) in [
            ("constant:0", "not 0"),
            ("constant:600001", "not 600001"),
            ("uniform:5..1", "at least 5 and at most 1"),
            ("uniform:0..1", "not 0"),
            ("lognormal:10,-1", "not -1"),
            ("lognormal:10,NaN", "not NaN"),
            ("constant", "\"constant\""),
            ("constant:-1", "\"constant:-1\""),
            ("pareto:1", "\"pareto:1\""),
        ] {
            let error = text.parse::<Latency>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
