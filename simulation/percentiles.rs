//! Percentiles of measured times.

use serde::Serialize;

/// Percentiles of a distribution.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Percentiles {
    /// The mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// The value that one in ten exceeds.
    pub p90: f64,
    /// The value that one in a hundred exceeds.
    pub p99: f64,
    /// The maximum.
    pub max: f64,
}

impl Percentiles {
    /// The percentiles of numbers in ascending order, by nearest rank, or `None` if there are none.
    pub fn of(sorted: &[f64]) -> Option<Percentiles> {
        let at = |share: f64| sorted.get(((share * sorted.len() as f64).ceil() as usize).saturating_sub(1)).copied();
        Some(Percentiles {
            mean: sorted.iter().sum::<f64>() / sorted.len().max(1) as f64,
            p50: at(0.5)?,
            p90: at(0.9)?,
            p99: at(0.99)?,
            max: *sorted.last()?,
        })
    }
}
