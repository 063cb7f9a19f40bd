//! The errors that shipped calls are answered with.

use chinwag_protocol::call::{CallError, ErrorKind};

/// What a function that overdraws a bound is answered with.
#[cfg(feature = "scripts")]
pub(super) fn limit_exceeded(why: impl Into<String>) -> CallError {
    CallError::new(ErrorKind::Other("LimitExceeded".to_owned()), why)
}

/// What innocent calls are answered with when their engine goes.
#[cfg(feature = "scripts")]
pub(super) fn engine_replaced() -> CallError {
    CallError::new(ErrorKind::Crashed, "another function broke the script engine, which was replaced")
}

/// What a node without an engine answers.
pub(super) fn takes_no_code() -> CallError {
    CallError::new(ErrorKind::Unsupported, "this node runs no shipped functions")
}
