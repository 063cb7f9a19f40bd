//! [`DecodeError`]: why a message could not be read, and where.

use std::fmt;

use crate::value::shortened;

/// Why a message could not be read. Nothing of it was kept, and the fault is the sender's.
///
/// ```
/// use chinwag_protocol::wire::{Limits, Reason, decode};
///
/// let error = decode(br#"{"type":"number","value":"0x1F"}"#, &Limits::default()).unwrap_err();
/// assert!(matches!(error.reason(), Reason::Malformed { what: "number", .. }));
/// assert_eq!(error.to_string(), r#""0x1F" is no number, near byte 32"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    reason: Reason,
    offset: Option<usize>,
}

/// What is wrong with a message. Whatever is quoted of it is shortened.
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
    /// It holds more values than [`Limits::values`](super::Limits::values), holes and copies included.
    #[error("more than {0} values")]
    TooMany(usize),
    /// Reading it would take more work, or more memory, than a message of its length may ask for.
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
    /// It is JSON, but not of the shape that stands here.
    #[error("{0}")]
    Shape(String),
    /// A value of a type that nobody knows.
    #[error("unknown type {0:?}")]
    UnknownType(String),
    /// Text that is not what its type wants.
    #[error("{text:?} is no {what}")]
    Malformed {
        /// What it should be.
        what: &'static str,
        /// What it is.
        text: String,
    },
    /// A key that is there twice.
    #[error("key {0:?} is there twice")]
    Duplicate(String),
    /// A typed value has exactly `type` and `value`; this key is missing or not one of them.
    #[error("a typed value has the keys \"type\" and \"value\": {0}")]
    Envelope(String),
    /// A reference to nothing.
    #[error("a reference leads nowhere: {0}")]
    Dangling(String),
    /// References that lead to each other.
    #[error("references lead in a circle: {0}")]
    Circular(String),
    /// It was to be an array, of arguments or of an answer, and is something else.
    #[error("expected an array, found {0}")]
    NotArray(&'static str),
}

impl DecodeError {
    pub(super) const fn new(reason: Reason, offset: Option<usize>) -> Self {
        Self { reason, offset }
    }

    /// What is wrong.
    pub const fn reason(&self) -> &Reason {
        &self.reason
    }

    /// How many bytes had been read when it showed, where that is known. It lies in the thing at fault or right
    /// behind it.
    pub const fn offset(&self) -> Option<usize> {
        self.offset
    }

    /// The error that serde reports on reading `text`, which begins `before` bytes into the message.
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

/// The byte that a line and a column, as serde counts them, mean.
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
