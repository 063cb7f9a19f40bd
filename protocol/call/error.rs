//! Why a call failed, and whether it was performed.

use crate::{
    identity::{AddrError, NameError},
    value::{ConversionError, ErrorValue, Value},
    wire::EncodeError,
};

/// Why a call failed.
///
/// ```
/// use chinwag_protocol::call::{CallError, ErrorKind, Performed};
///
/// let error = CallError::new(ErrorKind::DeadlineExceeded, "browncs.status.get did not answer in time");
/// assert_eq!(error.to_string(), "browncs.status.get did not answer in time");
/// assert_eq!(error.kind.name(), "DeadlineExceeded");
/// assert_eq!(error.kind.performed(), Performed::Unknown);
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct CallError {
    /// The kind of failure.
    pub kind: ErrorKind,
    /// The description for people. It quotes what was refused.
    pub message: String,
    /// Further data about the failure, most often `undefined`.
    pub cause: Value,
    /// How JavaScript shows what was thrown, with the place in the code, if a script of this node threw it. Not sent.
    pub shown: Option<Box<str>>,
}

/// Two errors are equal if what is sent of them is.
impl PartialEq for CallError {
    fn eq(&self, other: &CallError) -> bool {
        (&self.kind, &self.message, &self.cause) == (&other.kind, &other.message, &other.cause)
    }
}

/// The kind of a failure. On the wire it is the error's `name`. [`performed`](ErrorKind::performed) says what each
/// means for the call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call itself is malformed: its body, a name, or its path.
    BadCall,
    /// An argument is missing or of the wrong type.
    BadArgument,
    /// The node knows no such group.
    UnknownGroup,
    /// The node knows no such service.
    UnknownService,
    /// The service has no such method.
    UnknownMethod,
    /// The thing that the call names exists but cannot be changed.
    Reserved,
    /// The thing that the call asks for does not exist.
    NotFound,
    /// The message was received before.
    AlreadyReceived,
    /// The message belongs to an earlier life of its origin than the node knows.
    Stale,
    /// The node, or the way to it, has as many calls under way as it accepts.
    Busy,
    /// No answer came within the deadline.
    DeadlineExceeded,
    /// There is no connection to the node.
    Unreachable,
    /// The connection broke before the answer arrived.
    Interrupted,
    /// What came back is not an answer.
    BadAnswer,
    /// The service failed while it answered, and has been replaced.
    Crashed,
    /// The node is stopping or has stopped.
    Stopping,
    /// Calls are nested too deep.
    TooDeep,
    /// The node is not set up to do this.
    Unsupported,
    /// A new node did not start.
    SpawnFailed,
    /// Some members of a group failed.
    Partial,
    /// An error of the service's own, under the name that the service gave it.
    Other(String),
}

/// Whether a call that failed was performed nevertheless, which decides whether it can safely be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Performed {
    /// It was refused before it had any effect.
    No,
    /// It may have been performed, in whole or in part: the answer is missing.
    Unknown,
    /// It was performed, and the failure is its answer.
    Yes,
}

/// The code of a refused connection.
const REFUSED: &str = "ECONNREFUSED";

/// Every kind but [`ErrorKind::Other`].
const NAMED: [ErrorKind; 20] = [
    ErrorKind::BadCall,
    ErrorKind::BadArgument,
    ErrorKind::UnknownGroup,
    ErrorKind::UnknownService,
    ErrorKind::UnknownMethod,
    ErrorKind::Reserved,
    ErrorKind::NotFound,
    ErrorKind::AlreadyReceived,
    ErrorKind::Stale,
    ErrorKind::Busy,
    ErrorKind::DeadlineExceeded,
    ErrorKind::Unreachable,
    ErrorKind::Interrupted,
    ErrorKind::BadAnswer,
    ErrorKind::Crashed,
    ErrorKind::Stopping,
    ErrorKind::TooDeep,
    ErrorKind::Unsupported,
    ErrorKind::SpawnFailed,
    ErrorKind::Partial,
];

impl ErrorKind {
    /// Returns the error's name on the wire.
    pub fn name(&self) -> &str {
        match self {
            ErrorKind::BadCall => "BadCall",
            ErrorKind::BadArgument => "BadArgument",
            ErrorKind::UnknownGroup => "UnknownGroup",
            ErrorKind::UnknownService => "UnknownService",
            ErrorKind::UnknownMethod => "UnknownMethod",
            ErrorKind::Reserved => "Reserved",
            ErrorKind::NotFound => "NotFound",
            ErrorKind::AlreadyReceived => "AlreadyReceived",
            ErrorKind::Stale => "Stale",
            ErrorKind::Busy => "Busy",
            ErrorKind::DeadlineExceeded => "DeadlineExceeded",
            ErrorKind::Unreachable => "Unreachable",
            ErrorKind::Interrupted => "Interrupted",
            ErrorKind::BadAnswer => "BadAnswer",
            ErrorKind::Crashed => "Crashed",
            ErrorKind::Stopping => "Stopping",
            ErrorKind::TooDeep => "TooDeep",
            ErrorKind::Unsupported => "Unsupported",
            ErrorKind::SpawnFailed => "SpawnFailed",
            ErrorKind::Partial => "Partial",
            ErrorKind::Other(name) => name,
        }
    }

    /// Returns the kind of an error that has this name on the wire.
    pub fn of_name(name: &str) -> ErrorKind {
        let known = NAMED.iter().find(|kind| kind.name() == name);
        known.cloned().unwrap_or_else(|| ErrorKind::Other(name.to_owned()))
    }

    /// Returns whether a call that failed in this way was performed.
    pub const fn performed(&self) -> Performed {
        match self {
            ErrorKind::BadCall
            | ErrorKind::BadArgument
            | ErrorKind::UnknownGroup
            | ErrorKind::UnknownService
            | ErrorKind::UnknownMethod
            | ErrorKind::Reserved
            | ErrorKind::AlreadyReceived
            | ErrorKind::Stale
            | ErrorKind::Busy
            | ErrorKind::Unreachable
            | ErrorKind::TooDeep
            | ErrorKind::Unsupported => Performed::No,
            ErrorKind::DeadlineExceeded
            | ErrorKind::Interrupted
            | ErrorKind::BadAnswer
            | ErrorKind::Crashed
            | ErrorKind::Stopping => Performed::Unknown,
            ErrorKind::NotFound | ErrorKind::SpawnFailed | ErrorKind::Partial | ErrorKind::Other(_) => Performed::Yes,
        }
    }

    /// Returns whether a failure of this kind is an answer of the node that was called, so that the node is alive.
    ///
    /// Where it is unknown whether a call was performed, no answer came. Two cases may look like one: the mailbox of a
    /// service outlives a node that has ended in the same process (`Crashed`), and a node that is stopping answers for
    /// the last time (`Stopping`).
    pub const fn is_answer(&self) -> bool {
        match self.performed() {
            Performed::Yes => true,
            Performed::No => !matches!(self, ErrorKind::Unreachable),
            Performed::Unknown => false,
        }
    }
}

impl CallError {
    /// Creates an error without a cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> CallError {
        CallError { kind, message: message.into(), cause: Value::Undefined, shown: None }
    }

    /// Creates the error for a refused connection: nobody listens at the node's address. As in Node.js, the cause names
    /// the code.
    pub fn refused(message: impl Into<String>) -> CallError {
        let cause = Value::Object([("code", Value::from(REFUSED))].into_iter().collect());
        CallError::new(ErrorKind::Unreachable, message).caused_by(cause)
    }

    /// Returns whether the host refused the connection, which is evidence that no node runs at the address. The reason
    /// for any other [`ErrorKind::Unreachable`] may be on this side, such as too many open files.
    pub fn is_refusal(&self) -> bool {
        self.kind == ErrorKind::Unreachable && self.cause.get("code").and_then(Value::as_str) == Some(REFUSED)
    }

    /// Returns whether the node that was called has no such method, as nodes of the JavaScript reference do not have
    /// most methods of the protocols.
    pub fn lacks_method(&self) -> bool {
        match &self.kind {
            ErrorKind::UnknownMethod => true,
            // the words of the reference
            ErrorKind::Other(_) => self.message.starts_with("Method ") && self.message.contains("not found in service"),
            _ => false,
        }
    }

    /// Creates an error of the name `LimitExceeded`: the call was performed until it needed more than it may have.
    pub fn limit_exceeded(message: impl Into<String>) -> CallError {
        CallError::new(ErrorKind::Other("LimitExceeded".to_owned()), message)
    }

    /// Creates the error for an answer that cannot be written. The call was performed, and its service is at fault.
    pub fn unwritten_answer(why: &EncodeError) -> CallError {
        CallError::limit_exceeded(format!("the call was performed, and its answer cannot be sent: {why}"))
    }

    /// Creates the error for arguments that cannot be written. Nothing was sent, and the caller is at fault.
    pub fn unwritten_arguments(call: impl std::fmt::Display, why: &EncodeError) -> CallError {
        let message = format!("{call} was not called, because an argument is too large: {why}");
        CallError::new(ErrorKind::BadArgument, message)
    }

    /// Creates an error of a service's own, like JavaScript's `new Error(message)`.
    pub fn other(message: impl Into<String>) -> CallError {
        CallError::new(ErrorKind::Other("Error".to_owned()), message)
    }

    /// Returns the error with a cause.
    #[must_use]
    pub fn caused_by(mut self, cause: Value) -> CallError {
        self.cause = cause;
        self
    }

    /// Returns the error with the text by which JavaScript shows it.
    #[must_use]
    pub fn shown_as(mut self, shown: impl Into<Box<str>>) -> CallError {
        self.shown = Some(shown.into());
        self
    }

    /// Creates the error for an argument that a method refuses. Positions count from 1.
    pub fn argument(method: &str, position: usize, name: &str, why: impl std::fmt::Display) -> CallError {
        CallError::new(ErrorKind::BadArgument, format!("{method}: argument {position} ({name}): {why}"))
    }

    /// Reads an error from the wire. JavaScript can throw anything: a value that is not an error becomes the cause of
    /// one.
    pub fn from_value(value: Value) -> CallError {
        match value {
            Value::Error(error) => {
                let ErrorValue { name, message, cause } = *error;
                CallError::new(ErrorKind::of_name(&name), message).caused_by(cause)
            }
            Value::String(text) => CallError::other(text),
            // an error in plain JSON
            Value::Object(object) if object.get("message").and_then(Value::as_str).is_some() => {
                let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or("Error").to_owned();
                let cause = object.get("cause").filter(|cause| !cause.is_nullish()).cloned().unwrap_or_default();
                CallError::new(ErrorKind::of_name(&text("name")), text("message")).caused_by(cause)
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

/// The value that a service answered cannot be converted, which is the service's fault.
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
    fn every_kind_is_found_by_its_name() {
        for kind in NAMED {
            assert_eq!(ErrorKind::of_name(kind.name()), kind);
        }
        assert_eq!(ErrorKind::of_name("TypeError"), ErrorKind::Other("TypeError".to_owned()));
    }
}
