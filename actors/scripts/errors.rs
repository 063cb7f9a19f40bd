//! The errors of shipped calls that more than one file returns.

use chinwag_protocol::call::{CallError, ErrorKind};

#[cfg(feature = "scripts")]
use super::settings::ScriptSettings;

/// The function exceeded a limit and was stopped.
#[cfg(feature = "scripts")]
pub(super) fn limit_exceeded(why: impl Into<String>) -> CallError {
    CallError::limit_exceeded(why)
}

/// The function needed an allocation that exceeds the memory of all shipped functions together.
#[cfg(feature = "scripts")]
pub(super) fn out_of_memory(settings: &ScriptSettings) -> CallError {
    let limit = match settings.memory {
        bytes if bytes < 1 << 20 => format!("{bytes} bytes"),
        bytes => format!("{} MiB", bytes >> 20),
    };
    limit_exceeded(format!(
        "the function ran out of memory: all shipped functions of this node together may hold {limit}"
    ))
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
