//! The errors of shipped calls that more than one file returns.

use chinwag_protocol::call::{CallError, ErrorKind};

/// The function exceeded a limit and was stopped.
#[cfg(feature = "scripts")]
pub(super) fn limit_exceeded(why: impl Into<String>) -> CallError {
    CallError::new(ErrorKind::Other("LimitExceeded".to_owned()), why)
}

/// The engine was replaced, because of another call.
#[cfg(feature = "scripts")]
pub(super) fn engine_restarted() -> CallError {
    let message = "the script engine was replaced, because another function made it fail; what shipped code kept in \
                   globalThis, in its variables and with createRPC is gone; calls work again";
    CallError::new(ErrorKind::Other("EngineRestarted".to_owned()), message)
}

/// The engine ended while it ran the call.
#[cfg(feature = "scripts")]
pub(super) fn engine_ended() -> CallError {
    CallError::new(ErrorKind::Crashed, "the script engine ended while it ran the function, and is replaced")
}

/// The node has no engine.
pub(super) fn scripts_disabled() -> CallError {
    CallError::new(
        ErrorKind::Unsupported,
        "this node does not run shipped functions: they are disabled or were not built in",
    )
}
