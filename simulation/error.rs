//! Why there is no such simulation.

use chinwag_protocol::overlay::OverlayError;

use crate::latency::LatencyError;

/// The most nodes of a simulation, which is what a group holds.
pub const MAX_NODES: usize = chinwag_protocol::group::MAX_MEMBERS;

/// Refuses what is no share of all messages.
pub(crate) fn check_share(what: &'static str, share: f64) -> Result<(), SimulationError> {
    if (0.0..1.0).contains(&share) { Ok(()) } else { Err(SimulationError::Share(what, share)) }
}

/// Why there is no such simulation. Nothing has run.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SimulationError {
    /// None, or more than a group holds.
    #[error("a simulation has 1 to {MAX_NODES} nodes, not {0}")]
    Nodes(usize),
    /// Not a share of all messages, or all of them.
    #[error("{0} is a share from 0 to less than 1, not {1}")]
    Share(&'static str, f64),
    /// No network has this latency.
    #[error(transparent)]
    Latency(#[from] LatencyError),
    /// No such graph exists.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// Nothing to do.
    #[error("{0}")]
    Argument(String),
    /// The operating system refused.
    #[error("no runtime: {0}")]
    Runtime(String),
}
