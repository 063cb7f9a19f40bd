//! The errors of shipped calls that more than one file returns.

use chinwag_protocol::call::{CallError, ErrorKind};

/// The function exceeded a limit and was stopped.
#[cfg(feature = "scripts")]
pub(super) fn limit_exceeded(why: impl Into<String>) -> CallError {
    CallError::new(ErrorKind::Other("LimitExceeded".to_owned()), why)
}

/// The engine was replaced while the call was in progress, and another call is to blame.
#[cfg(feature = "scripts")]
pub(super) fn engine_replaced() -> CallError {
    CallError::new(ErrorKind::Crashed, "another function made the script engine fail, and the engine was replaced")
}

/// Explains to the caller of a function that arrived as text that a variable is missing because it stayed behind. QuickJS
/// tells this error from others by its text alone.
#[cfg(feature = "scripts")]
pub(super) fn explain_missing_variable(mut error: CallError) -> CallError {
    if error.kind.name() == "ReferenceError"
        && let Some(name) = error.message.strip_suffix(" is not defined")
    {
        error.message = format!(
            "{name} is not defined: the function travelled as text, without the variables around it. Pass {name} as an \
             argument, keep it on globalThis where the function runs, or send createRPC of the function, which then runs where \
             its variables are"
        );
    }
    error
}

/// The node has no engine.
pub(super) fn scripts_disabled() -> CallError {
    CallError::new(
        ErrorKind::Unsupported,
        "this node does not run shipped functions: they are disabled or were not built in",
    )
}
