//! Calls as HTTP requests: `PUT /GID/SERVICE/METHOD` with an array of arguments, answered `[error, value]`.

pub mod client;
pub(crate) mod events;
pub mod server;

/// Milliseconds the caller still waits.
pub(crate) const DEADLINE: &str = "chinwag-deadline";
/// How many calls this one is nested in.
pub(crate) const DEPTH: &str = "chinwag-depth";
/// An id that follows a call across nodes.
pub(crate) const REQUEST: &str = "chinwag-request";
/// The version of the protocol. Nodes one version apart work together.
pub(crate) const VERSION: &str = "chinwag-version";

/// This node's version of the protocol.
pub const PROTOCOL_VERSION: &str = "1";
