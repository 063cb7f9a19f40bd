//! [`ConversionError`]: why a conversion between a value and a type failed, and where.

use std::fmt;

use serde::de::{Expected, Unexpected};

use super::reference::Segment;

/// Why a value could not be converted to a type, or a type to a value, and where in the value the problem is.
///
/// ```
/// use chinwag_protocol::value::{Object, Value};
///
/// #[derive(Debug, serde::Deserialize)]
/// struct Node { port: u16 }
///
/// let nodes = Value::from(vec![Value::from(Object::from_iter([("port", "http")]))]);
/// let error = nodes.deserialize::<Vec<Node>>().unwrap_err();
/// assert_eq!(error.to_string(), r#"at [0].port: expected u16, found string "http""#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversionError {
    path: Vec<Segment>,
    mismatch: Mismatch,
}

/// The problem with a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// It is of another type.
    #[error("expected {expected}, found {found}")]
    Found {
        /// The type that was expected.
        expected: String,
        /// The value that was found, shortened.
        found: String,
    },
    /// A key is missing.
    #[error("{0:?} is missing")]
    Missing(&'static str),
    /// It holds itself, so it has no form as a tree.
    #[error("it holds itself")]
    Circular,
    /// A reference leads nowhere.
    #[error("it refers to nothing")]
    Dangling,
    /// It nests too deep.
    #[error("it nests too deep")]
    TooDeep,
    /// It is too large once every reference is replaced by its target.
    #[error("it is too large once what it shares is written out")]
    TooLarge,
    /// The type rejected it for a reason of its own.
    #[error("{0}")]
    Refused(String),
}

/// The length of the longest text that an error quotes, in characters.
const QUOTED: usize = 64;

/// Returns `text`, or its beginning if it is long.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl ConversionError {
    /// Returns the path from the value that was converted to the problem.
    pub fn path(&self) -> &[Segment] {
        &self.path
    }

    /// Returns the problem.
    pub const fn mismatch(&self) -> &Mismatch {
        &self.mismatch
    }

    /// Returns the error as the container sees it that holds the value at `segment`.
    #[must_use]
    pub fn within(mut self, segment: impl Into<Segment>) -> Self {
        self.path.insert(0, segment.into());
        self
    }

    pub(crate) fn found(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Mismatch::Found { expected: expected.into(), found: found.into() }.into()
    }
}

impl fmt::Display for ConversionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            f.write_str("at ")?;
            for segment in &self.path {
                write!(f, "{segment}")?;
            }
            f.write_str(": ")?;
        }
        write!(f, "{}", self.mismatch)
    }
}

impl std::error::Error for ConversionError {}

impl From<Mismatch> for ConversionError {
    fn from(mismatch: Mismatch) -> Self {
        Self { path: Vec::new(), mismatch }
    }
}

impl serde::ser::Error for ConversionError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Mismatch::Refused(shortened(&message.to_string())).into()
    }
}

impl serde::de::Error for ConversionError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Mismatch::Refused(message.to_string()).into()
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Unit | Unexpected::Option => "null".to_owned(),
            Unexpected::Seq => "an array".to_owned(),
            Unexpected::Map => "an object".to_owned(),
            Unexpected::Str(text) => format!("string {:?}", shortened(text)),
            Unexpected::Unsigned(integer) => format!("number {integer}"),
            Unexpected::Signed(integer) => format!("number {integer}"),
            Unexpected::Float(number) => format!("number {number}"),
            other => other.to_string(),
        };
        Self::found(expected.to_string(), found)
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Mismatch::Missing(field).into()
    }
}
