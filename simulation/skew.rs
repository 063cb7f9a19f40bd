//! Clocks that are wrong.

use chinwag_actors::clock::Clock;
use serde::{Deserialize, Serialize};

use crate::error::SimulationError;

/// The largest offset of a clock in milliseconds: ten years.
pub const MOST_OFFSET: i64 = 315_360_000_000;

/// What a correct clock shows when a simulation starts, in milliseconds. Any number above [`MOST_OFFSET`] would do.
const START: i64 = 946_684_800_000;

/// The clock of one node. The rate scales its seconds. The offset shifts its time of day, from which the node takes its
/// incarnations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Skew {
    /// The node's number.
    pub node: usize,
    /// Seconds that the clock shows in one real second, from 0.1 to 10.
    #[serde(default = "right")]
    pub rate: f64,
    /// How far the clock is ahead at the start, in milliseconds.
    #[serde(default)]
    pub offset: i64,
}

fn right() -> f64 {
    1.0
}

impl Skew {
    /// A correct clock.
    pub fn none(node: usize) -> Skew {
        Skew { node, rate: right(), offset: 0 }
    }

    /// Sets the seconds that the clock shows in one real second, from 0.1 to 10.
    #[must_use]
    pub fn rate(self, rate: f64) -> Skew {
        Skew { rate, ..self }
    }

    /// Sets how far the clock is ahead at the start, in milliseconds.
    #[must_use]
    pub fn offset(self, offset: i64) -> Skew {
        Skew { offset, ..self }
    }

    /// Returns this clock if it is in range and one of `nodes` nodes has it.
    ///
    /// # Errors
    /// A [`SimulationError`] that says what is out of range.
    pub fn checked(self, nodes: usize) -> Result<Skew, SimulationError> {
        Clock::at_rate(self.rate).map_err(|why| SimulationError::Argument(why.to_string()))?;
        if self.offset.unsigned_abs() > MOST_OFFSET.unsigned_abs() {
            let why = format!("a clock is at most {MOST_OFFSET} ms off, not {}", self.offset);
            return Err(SimulationError::Argument(why));
        }
        if self.node >= nodes {
            let last = nodes.saturating_sub(1);
            return Err(SimulationError::Argument(format!(
                "a clock names node {}; the last node is {last}",
                self.node
            )));
        }
        Ok(self)
    }

    pub(super) fn clock(self) -> Clock {
        // the rate was checked
        Clock::at_rate(self.rate).unwrap_or_default()
    }

    /// What the clock shows after this much virtual time since the start of the simulation, in milliseconds.
    pub(super) fn time_of_day(self, passed: std::time::Duration) -> u64 {
        let shown = i64::try_from(self.clock().to_local(passed).as_millis()).unwrap_or(0);
        (START + self.offset + shown).unsigned_abs()
    }
}
