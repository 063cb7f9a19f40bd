//! Errors of the settings of a simulation.

use chinwag_protocol::overlay::OverlayError;

use crate::latency::LatencyError;

/// The largest number of nodes of a simulation, which is the limit of a group.
pub const MAX_NODES: usize = chinwag_protocol::group::MAX_MEMBERS;

/// Checks that a number is a share from 0 to less than 1.
pub(crate) fn check_share(what: &'static str, share: f64) -> Result<(), SimulationError> {
    if (0.0..1.0).contains(&share) { Ok(()) } else { Err(SimulationError::Share(what, share)) }
}

/// Why a simulation cannot run. Nothing has run.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SimulationError {
    /// The number of nodes is 0, or more than a group holds.
    #[error("a simulation has 1 to {MAX_NODES} nodes, not {0}")]
    Nodes(usize),
    /// A share is not from 0 to less than 1.
    #[error("{0} is a share from 0 to less than 1, not {1}")]
    Share(&'static str, f64),
    /// The latency is out of range.
    #[error(transparent)]
    Latency(#[from] LatencyError),
    /// No such overlay exists.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// An argument is invalid.
    #[error("{0}")]
    Argument(String),
    /// The operating system refused a runtime.
    #[error("cannot start a runtime: {0}")]
    Runtime(String),
}
