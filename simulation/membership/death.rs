//! How the nodes of the experiment die.

use std::{fmt, str::FromStr};

use serde::Serialize;

use crate::SimulationError;

/// How a node dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Death {
    /// The process is killed, and its host refuses connections. Text form: `refused`.
    #[default]
    Refused,
    /// The host is gone, and nothing answers. Text form: `silent`.
    Silent,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Death::Refused => "refused",
            Death::Silent => "silent",
        })
    }
}

impl FromStr for Death {
    type Err = SimulationError;

    /// Parses the form that [`Display`](fmt::Display) writes.
    ///
    /// # Errors
    /// [`SimulationError::Argument`] with the text.
    fn from_str(text: &str) -> Result<Death, SimulationError> {
        match text {
            "refused" => Ok(Death::Refused),
            "silent" => Ok(Death::Silent),
            other => {
                let shown: String = other.chars().take(64).collect();
                Err(SimulationError::Argument(format!("unknown death {shown:?}: expected \"refused\" or \"silent\"")))
            }
        }
    }
}
