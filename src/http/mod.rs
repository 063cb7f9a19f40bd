//! Calls as HTTP requests: `PUT /GID/SERVICE/METHOD` with an array of arguments, which is answered with `[error, value]`.

mod client;
mod connection;
pub(crate) mod events;
pub(crate) mod kept;
mod response;
pub(crate) mod server;

use actix_web::http::header::{HeaderName, HeaderValue};

pub use client::HttpTransport;

// these names and values are parsed once and not for every call

/// How long the caller still waits, in milliseconds.
pub(crate) static DEADLINE: HeaderName = HeaderName::from_static("chinwag-deadline");
/// The number of calls that the call is nested in.
pub(crate) static DEPTH: HeaderName = HeaderName::from_static("chinwag-depth");
/// An id that follows a call across nodes.
pub(crate) static REQUEST: HeaderName = HeaderName::from_static("chinwag-request");
/// The version of the protocol. Nodes one version apart work together.
pub(crate) static VERSION: HeaderName = HeaderName::from_static("chinwag-version");
/// [`PROTOCOL_VERSION`], as the value of a header.
pub(crate) static THIS_VERSION: HeaderValue = HeaderValue::from_static(PROTOCOL_VERSION);
/// The content type of every body.
pub(crate) static JSON: HeaderValue = HeaderValue::from_static("application/json");

/// This node's version of the protocol.
const PROTOCOL_VERSION: &str = "1";
