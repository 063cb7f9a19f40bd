//! How errors of a script are shown, and how long output waits for a reader.

use std::time::Duration;

use chinwag::{
    CallError, ErrorKind, Value,
    actors::handle::NodeHandle,
    protocol::wire::{self, Limits},
};

/// How long a script whose output is not read at all waits for its reader.
pub(super) const READER_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether a script failed only because its node stops, most often because the script stopped it.
pub(super) fn ended_with_its_node(why: &CallError, node: &NodeHandle) -> bool {
    node.is_stopping() && matches!(why.kind, ErrorKind::Crashed | ErrorKind::Stopping | ErrorKind::Interrupted)
}

/// An error in the form in which JavaScript shows one.
pub(super) fn uncaught(why: &CallError) -> String {
    if let Some(shown) = &why.shown {
        return shown.to_string();
    }
    match &why.cause {
        Value::Undefined | Value::Null => format!("{}: {why}", why.kind.name()),
        cause => {
            let cause = wire::encode_plain_within(cause, Limits::default().written).map_or_else(
                |why| format!(" (the cause cannot be shown: {why})"),
                |cause| format!(" (cause: {cause})"),
            );
            format!("{}: {why}{cause}", why.kind.name())
        }
    }
}
