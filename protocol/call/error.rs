//! Why a call failed, and whose fault it was.

use crate::{
    identity::{AddrError, NameError},
    value::{ConversionError, ErrorValue, Value},
};

/// Why a call failed, whose fault it was, and what it is about.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// What happened.
    pub kind: ErrorKind,
    /// For people; quotes what was refused.
    pub message: String,
    /// Whatever else belongs to it, `undefined` as a rule.
    pub cause: Value,
}

/// What happened to a call that failed. On the wire it is the error's `name`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call itself is malformed: a body, a name, a path.
    BadCall,
    /// An argument is missing or of the wrong type.
    BadArgument,
    /// The node knows no such group.
    UnknownGroup,
    /// The node knows no such service.
    UnknownService,
    /// The service has no such method.
    UnknownMethod,
    /// What is named exists but may not be changed.
    Reserved,
    /// What was asked about is not there.
    NotFound,
    /// The message has been received before.
    AlreadyReceived,
    /// The message belongs to a life of its origin that later ones have superseded here. Nothing has been done.
    Stale,
    /// The node, or the way to it, has as many calls under way as it takes. Nothing has been done.
    Busy,
    /// No answer within the deadline. It may still have been performed.
    DeadlineExceeded,
    /// No connection to the node. Nothing has been done.
    Unreachable,
    /// The connection broke, so it is unknown whether the call was performed.
    Interrupted,
    /// What came back is not an answer.
    BadAnswer,
    /// The service failed while it answered, and has been replaced.
    Crashed,
    /// The node is stopping.
    Stopping,
    /// Calls are nested too deep.
    TooDeep,
    /// The node is not set up to do this.
    Unsupported,
    /// A new node did not come up.
    SpawnFailed,
    /// Some members of a group failed.
    Partial,
    /// The service's own error, under the name it gave it.
    Other(String),
}

/// The code of a refused connection.
const REFUSED: &str = "ECONNREFUSED";

/// Whose fault a failed call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The caller's: the same call will fail again.
    Caller,
    /// The node's that was called.
    Callee,
    /// Neither's: the same call may succeed later.
    Circumstance,
}

/// Each kind that has a name of its own, and that name.
const KIND_NAMES: [(ErrorKind, &str); 20] = [
    (ErrorKind::BadCall, "BadCall"),
    (ErrorKind::BadArgument, "BadArgument"),
    (ErrorKind::UnknownGroup, "UnknownGroup"),
    (ErrorKind::UnknownService, "UnknownService"),
    (ErrorKind::UnknownMethod, "UnknownMethod"),
    (ErrorKind::Reserved, "Reserved"),
    (ErrorKind::NotFound, "NotFound"),
    (ErrorKind::AlreadyReceived, "AlreadyReceived"),
    (ErrorKind::Stale, "Stale"),
    (ErrorKind::Busy, "Busy"),
    (ErrorKind::DeadlineExceeded, "DeadlineExceeded"),
    (ErrorKind::Unreachable, "Unreachable"),
    (ErrorKind::Interrupted, "Interrupted"),
    (ErrorKind::BadAnswer, "BadAnswer"),
    (ErrorKind::Crashed, "Crashed"),
    (ErrorKind::Stopping, "Stopping"),
    (ErrorKind::TooDeep, "TooDeep"),
    (ErrorKind::Unsupported, "Unsupported"),
    (ErrorKind::SpawnFailed, "SpawnFailed"),
    (ErrorKind::Partial, "Partial"),
];

impl ErrorKind {
    /// The error's name on the wire.
    pub fn name(&self) -> &str {
        match self {
            ErrorKind::Other(name) => name,
            kind => KIND_NAMES.iter().find(|(named, _)| named == kind).map_or("Error", |(_, name)| name),
        }
    }

    /// The kind an error of this name is of.
    pub fn of_name(name: &str) -> ErrorKind {
        let known = KIND_NAMES.iter().find(|(_, known)| *known == name);
        known.map_or_else(|| ErrorKind::Other(name.to_owned()), |(kind, _)| kind.clone())
    }

    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            ErrorKind::BadCall
            | ErrorKind::BadArgument
            | ErrorKind::UnknownGroup
            | ErrorKind::UnknownService
            | ErrorKind::UnknownMethod
            | ErrorKind::Reserved
            | ErrorKind::NotFound
            | ErrorKind::AlreadyReceived
            | ErrorKind::Stale
            | ErrorKind::TooDeep => Blame::Caller,
            ErrorKind::BadAnswer
            | ErrorKind::Crashed
            | ErrorKind::Unsupported
            | ErrorKind::SpawnFailed
            | ErrorKind::Partial
            | ErrorKind::Other(_) => Blame::Callee,
            ErrorKind::Busy
            | ErrorKind::DeadlineExceeded
            | ErrorKind::Unreachable
            | ErrorKind::Interrupted
            | ErrorKind::Stopping => Blame::Circumstance,
        }
    }
}

impl CallError {
    /// An error without a cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> CallError {
        CallError { kind, message: message.into(), cause: Value::Undefined }
    }

    /// Nobody listens at the node's address: its host refused the connection. Like Node.js, the cause names the code.
    pub fn refused(message: impl Into<String>) -> CallError {
        let cause = Value::Object([("code", Value::from(REFUSED))].into_iter().collect());
        CallError::new(ErrorKind::Unreachable, message).caused_by(cause)
    }

    /// Whether the host refused the connection, which is evidence that no node runs at the address. Another
    /// [`ErrorKind::Unreachable`] may have its reason on this side, such as too many open files.
    pub fn is_refusal(&self) -> bool {
        self.kind == ErrorKind::Unreachable && self.cause.get("code").and_then(Value::as_str) == Some(REFUSED)
    }

    /// Whether the node that was called has no such method: a peer of another kind, or one that takes no part.
    pub fn lacks_method(&self) -> bool {
        match &self.kind {
            ErrorKind::UnknownMethod => true,
            // a reference node has no other way to say so
            ErrorKind::Other(_) => self.message.starts_with("Method ") && self.message.contains("not found in service"),
            _ => false,
        }
    }

    /// An error of a service's own, as JavaScript's `new Error(message)`.
    pub fn other(message: impl Into<String>) -> CallError {
        CallError::new(ErrorKind::Other("Error".to_owned()), message)
    }

    /// The same error with what else belongs to it.
    #[must_use]
    pub fn caused_by(mut self, cause: Value) -> CallError {
        self.cause = cause;
        self
    }

    /// An argument that does not fit: which method, which position (counted from 1), and why.
    pub fn argument(method: &str, position: usize, name: &str, why: impl std::fmt::Display) -> CallError {
        CallError::new(ErrorKind::BadArgument, format!("{method}: argument {position} ({name}): {why}"))
    }

    /// Reads an error off the wire. What is not an error there (JavaScript can throw anything) becomes the cause of one.
    pub fn from_value(value: Value) -> CallError {
        match value {
            Value::Error(error) => {
                let ErrorValue { name, message, cause } = *error;
                CallError { kind: ErrorKind::of_name(&name), message, cause }
            }
            Value::String(text) => CallError::other(text),
            // an error that came as plain JSON
            Value::Object(object) if object.get("message").and_then(Value::as_str).is_some() => {
                let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or("Error").to_owned();
                let cause = object.get("cause").filter(|cause| !cause.is_nullish()).cloned().unwrap_or_default();
                CallError { kind: ErrorKind::of_name(&text("name")), message: text("message"), cause }
            }
            other => {
                let message = format!("failed with {}", other.type_name());
                CallError::other(message).caused_by(other)
            }
        }
    }
}

impl From<CallError> for Value {
    fn from(error: CallError) -> Value {
        let name = error.kind.name().to_owned();
        Value::Error(Box::new(ErrorValue { name, message: error.message, cause: error.cause }))
    }
}

/// What a service answered does not convert: the service's own fault.
impl From<ConversionError> for CallError {
    fn from(error: ConversionError) -> CallError {
        CallError::new(ErrorKind::BadAnswer, error.to_string())
    }
}

impl From<NameError> for CallError {
    fn from(error: NameError) -> CallError {
        CallError::new(ErrorKind::BadArgument, error.to_string())
    }
}

impl From<AddrError> for CallError {
    fn from(error: AddrError) -> CallError {
        CallError::new(ErrorKind::BadArgument, error.to_string())
    }
}

impl From<&str> for CallError {
    fn from(message: &str) -> CallError {
        CallError::other(message)
    }
}

impl From<String> for CallError {
    fn from(message: String) -> CallError {
        CallError::other(message)
    }
}

impl From<std::convert::Infallible> for CallError {
    fn from(never: std::convert::Infallible) -> CallError {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        for (kind, name) in KIND_NAMES {
            assert_eq!(kind.name(), name);
            assert_eq!(ErrorKind::of_name(name), kind);
        }
        assert_eq!(ErrorKind::of_name("TypeError"), ErrorKind::Other("TypeError".to_owned()));
    }
}
