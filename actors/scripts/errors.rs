//! The errors of shipped calls that more than one file returns.

use chinwag_protocol::call::{CallError, ErrorKind};

#[cfg(feature = "scripts")]
use super::settings::ScriptSettings;

/// The function exceeded a limit and was stopped.
#[cfg(feature = "scripts")]
pub(super) fn limit_exceeded(why: impl Into<String>) -> CallError {
    CallError::limit_exceeded(why)
}

/// The person at the prompt stopped the code.
#[cfg(feature = "scripts")]
pub(super) fn interrupted() -> CallError {
    CallError::other("the script was interrupted")
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
