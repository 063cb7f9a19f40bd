//! The errors of shipped calls that more than one file returns.

use chinwag_protocol::call::{CallError, ErrorKind};

/// The function exceeded a limit and was stopped.
#[cfg(feature = "scripts")]
pub(super) fn limit_exceeded(why: impl Into<String>) -> CallError {
    CallError::new(ErrorKind::Other("LimitExceeded".to_owned()), why)
}

/// The person at the prompt stopped the code.
#[cfg(feature = "scripts")]
pub(super) fn interrupted() -> CallError {
    CallError::other("the script was interrupted")
}

/// The engine was replaced while the call was in progress, and another call is to blame.
#[cfg(feature = "scripts")]
pub(super) fn engine_replaced() -> CallError {
    CallError::new(ErrorKind::Crashed, "another function made the script engine fail, and the engine was replaced")
}

/// The node has no engine.
pub(super) fn scripts_disabled() -> CallError {
    CallError::new(
        ErrorKind::Unsupported,
        "this node does not run shipped functions: they are disabled or were not built in",
    )
}
