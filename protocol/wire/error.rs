//! [`DecodeError`]: why a message could not be read, and where; and [`EncodeError`]: why one was not written.

use std::fmt;

use crate::value::{ConversionError, shortened};

/// Why a value was not written. Nothing of it is kept, and whoever made the value is at fault.
///
/// ```
/// use chinwag_protocol::value::Value;
/// use chinwag_protocol::wire::{EncodeError, encode_within};
///
/// let error = encode_within(&Value::from("x".repeat(100)), 64).unwrap_err();
/// assert_eq!(error, EncodeError::TooLong { limit: 64 });
/// assert_eq!(error.to_string(), "its text on the wire would be longer than 64 bytes");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Its text would have more bytes than the limit. Writing stopped there, so the full length is not known.
    #[error("its text on the wire would be longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// It has no plain form.
    #[error("it has no plain form: {0}")]
    NoPlainForm(#[from] ConversionError),
}

/// Why a message could not be read. Nothing of it is kept, and the sender is at fault.
///
/// ```
/// use chinwag_protocol::wire::{Limits, Reason, decode};
///
/// let error = decode(br#"{"type":"number","value":"0x1F"}"#, &Limits::default()).unwrap_err();
/// assert!(matches!(error.reason(), Reason::Malformed { what: "number", .. }));
/// assert_eq!(error.to_string(), r#""0x1F" is not a valid number, near byte 32"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    reason: Reason,
    offset: Option<usize>,
}

/// What is wrong with a message. Quotes from it are shortened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// It has more bytes than [`Limits::bytes`](super::Limits::bytes).
    #[error("{length} bytes are more than {limit}")]
    TooLong {
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// It nests deeper than [`Limits::depth`](super::Limits::depth).
    #[error("values nest deeper than {0} levels")]
    TooDeep(usize),
    /// It holds more values than [`Limits::values`](super::Limits::values), including holes and copies.
    #[error("more than {0} values")]
    TooMany(usize),
    /// Reading it would take more work or memory than a message of its length may cause.
    #[error("too much work for a message of this length: {0}")]
    TooCostly(&'static str),
    /// It is not UTF-8.
    #[error("not UTF-8")]
    NotText,
    /// It is not JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// It ends too early.
    #[error("it ends too early")]
    Truncated,
    /// It is JSON, but not of the expected shape.
    #[error("{0}")]
    Shape(String),
    /// A value has an unknown type.
    #[error("unknown type {0:?}")]
    UnknownType(String),
    /// A text does not fit the type of its value.
    #[error("{text:?} is not a valid {what}")]
    Malformed {
        /// What the text should be.
        what: &'static str,
        /// The text.
        text: String,
    },
    /// An object has a key twice.
    #[error("duplicate key {0:?}")]
    Duplicate(String),
    /// A typed value has exactly the keys `type` and `value`; this one is missing or is neither.
    #[error("a typed value has the keys \"type\" and \"value\": {0}")]
    Envelope(String),
    /// A reference leads nowhere.
    #[error("a reference leads nowhere: {0}")]
    Dangling(String),
    /// References lead to each other in a circle.
    #[error("references lead in a circle: {0}")]
    Circular(String),
    /// Arguments and answers are arrays, and the message is something else.
    #[error("expected an array, found {0}")]
    NotArray(&'static str),
}

impl DecodeError {
    pub(super) const fn new(reason: Reason, offset: Option<usize>) -> Self {
        Self { reason, offset }
    }

    /// Returns what is wrong.
    pub const fn reason(&self) -> &Reason {
        &self.reason
    }

    /// Returns the number of bytes that had been read when the fault was found, if that is known. The position is in
    /// the faulty part or right behind it.
    pub const fn offset(&self) -> Option<usize> {
        self.offset
    }

    /// Converts the error that serde reports for `text`, which begins `before` bytes into the message.
    pub(super) fn from_json(error: &serde_json::Error, text: &str, before: Option<usize>) -> Self {
        let offset = before.map(|before| before + offset_in(text, error.line(), error.column()));
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        let reason = match error.classify() {
            serde_json::error::Category::Eof => Reason::Truncated,
            serde_json::error::Category::Data => Reason::Shape(shortened(message)),
            _ => Reason::NotJson(shortened(message)),
        };
        Self { reason, offset }
    }
}

/// Converts a line and a column, as serde counts them, to an offset in bytes.
pub(super) fn offset_in(text: &str, line: usize, column: usize) -> usize {
    let begin: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (begin + column).min(text.len())
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        match self.offset {
            Some(offset) => write!(f, ", near byte {offset}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for DecodeError {}
