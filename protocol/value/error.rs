//! [`ErrorValue`]: an error, as a value.

use std::fmt;

use super::Value;

/// An error as a value: what JavaScript's `Error` carries across the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorValue {
    /// The kind of error: `Error`, `TypeError`, …
    pub name: String,
    /// What went wrong.
    pub message: String,
    /// What made it go wrong; [`Value::Undefined`] for nothing. It is a root of its own: references in it start from it.
    pub cause: Value,
}

impl ErrorValue {
    /// An `Error` with this message and no cause.
    pub fn new(message: impl Into<String>) -> Self {
        Self { name: "Error".to_owned(), message: message.into(), cause: Value::Undefined }
    }

    /// The same under another name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The same with a cause, which must be self-contained.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Value>) -> Self {
        self.cause = cause.into();
        self
    }
}

impl fmt::Display for ErrorValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

impl std::error::Error for ErrorValue {}
