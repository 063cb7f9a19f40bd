//! Clocks that are wrong.

use chinwag_actors::clock::Clock;
use serde::{Deserialize, Serialize};

use crate::error::SimulationError;

/// How far a clock may be off, in milliseconds: ten years.
pub const MOST_OFFSET: i64 = 315_360_000_000;

/// What a clock that is right shows when a simulation starts, in milliseconds. Any number above [`MOST_OFFSET`].
const START: i64 = 946_684_800_000;

/// One node's clock. The rate is how long its seconds are; the offset, what time of day it takes it to be, which is
/// what it numbers its lives by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Skew {
    /// Whose.
    pub node: usize,
    /// Seconds that it shows for a true one. 0.1 to 10.
    #[serde(default = "right")]
    pub rate: f64,
    /// How far it is ahead at the start, in milliseconds.
    #[serde(default)]
    pub offset: i64,
}

fn right() -> f64 {
    1.0
}

impl Skew {
    /// A clock that is right.
    pub fn none(node: usize) -> Skew {
        Skew { node, rate: right(), offset: 0 }
    }

    /// Seconds that the clock shows for a true one. 0.1 to 10.
    #[must_use]
    pub fn rate(self, rate: f64) -> Skew {
        Skew { rate, ..self }
    }

    /// How far the clock is ahead at the start, in milliseconds.
    #[must_use]
    pub fn offset(self, offset: i64) -> Skew {
        Skew { offset, ..self }
    }

    /// The same, if a node of so many can have it.
    ///
    /// # Errors
    /// [`SimulationError`], saying what is out of range.
    pub fn checked(self, nodes: usize) -> Result<Skew, SimulationError> {
        Clock::at_rate(self.rate).map_err(|why| SimulationError::Argument(why.to_string()))?;
        if self.offset.unsigned_abs() > MOST_OFFSET.unsigned_abs() {
            let why = format!("a clock is at most {MOST_OFFSET} ms off, not {}", self.offset);
            return Err(SimulationError::Argument(why));
        }
        if self.node >= nodes {
            let last = nodes.saturating_sub(1);
            return Err(SimulationError::Argument(format!("a clock is node {}'s; the last is {last}", self.node)));
        }
        Ok(self)
    }

    pub(super) fn clock(self) -> Clock {
        // it was checked
        Clock::at_rate(self.rate).unwrap_or_default()
    }

    /// What it shows when so much time has truly passed since the simulation's start, in milliseconds.
    pub(super) fn time_of_day(self, passed: std::time::Duration) -> u64 {
        let shown = i64::try_from(self.clock().to_local(passed).as_millis()).unwrap_or(0);
        (START + self.offset + shown).unsigned_abs()
    }
}
