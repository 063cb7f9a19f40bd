//! Everything that can cross the wire.

mod array;
mod date;
mod number;
mod object;
mod reference;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use array::Array;
pub use date::Date;
pub use number::{BigInt, NotDecimal};
pub use object::Object;
pub use reference::{Reference, Segment};

/// A value that can cross the wire.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// JavaScript's `undefined`: what an argument that was not passed is.
    #[default]
    Undefined,
    /// JavaScript's `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number: JavaScript has but one kind, the double.
    Number(f64),
    /// An integer of any size.
    BigInt(BigInt),
    /// Text.
    String(String),
    /// A point in time.
    Date(Date),
    /// An error, as a value.
    Error(Box<ErrorValue>),
    /// Elements in order.
    Array(Array),
    /// Keys and values.
    Object(Object),
    /// A function, as its source.
    Function(Function),
    /// The dotted path of a host function, such as `console.log`.
    Native(String),
    /// The same value as another one in the tree.
    Reference(Reference),
}

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
        Self {
            name: "Error".to_owned(),
            message: message.into(),
            cause: Value::Undefined,
        }
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

/// A function as the source text it is sent as. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Function(Arc<str>);

impl Function {
    /// The function with this source. It is not read here: whether it is one shows where it is run.
    pub fn new(source: impl Into<Arc<str>>) -> Self {
        Self(source.into())
    }

    /// Its source text.
    pub fn source(&self) -> &str {
        &self.0
    }
}

/// Why a value is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("todo")]
pub struct ConversionError {}

impl Value {
    /// JavaScript's word for this kind of value: `"number"`, `"string"`, `"array"`, …
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Undefined => "undefined",
            Self::Null => "null",
            Self::Boolean(_) => "boolean",
            Self::Number(_) => "number",
            Self::BigInt(_) => "bigint",
            Self::String(_) => "string",
            Self::Date(_) => "date",
            Self::Error(_) => "error",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
            Self::Function(_) => "function",
            Self::Native(_) => "native",
            Self::Reference(_) => "reference",
        }
    }

    /// Whether this is `null` or `undefined`.
    pub const fn is_nullish(&self) -> bool {
        matches!(self, Self::Null | Self::Undefined)
    }

    /// The text, of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, of a number.
    pub const fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The truth value, of a boolean.
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(boolean) => Some(*boolean),
            _ => None,
        }
    }

    /// The object, of an object.
    pub const fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The array, of an array.
    pub const fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    /// What an object holds at `key`; `None` for anything else.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_object()?.get(key)
    }

    /// What `path` leads to from here, references on the way followed.
    pub fn at(&self, path: &[Segment]) -> Option<&Self> {
        let _ = path;
        todo!()
    }

    /// Takes a part out, self-contained: a reference in it that points outside gets its target copied in.
    ///
    /// # Errors
    /// todo
    pub fn extract(&self, path: &[Segment]) -> Result<Self, ConversionError> {
        let _ = path;
        todo!()
    }

    /// todo
    ///
    /// # Errors
    /// todo
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self, ConversionError> {
        let _ = value;
        todo!()
    }

    /// todo
    ///
    /// # Errors
    /// todo
    pub fn deserialize<T: DeserializeOwned>(self) -> Result<T, ConversionError> {
        todo!()
    }

    /// The value that plain JSON stands for.
    pub fn from_json(json: serde_json::Value) -> Self {
        let _ = json;
        todo!()
    }

    /// The plain form.
    ///
    /// # Errors
    /// todo
    pub fn to_json(&self) -> Result<serde_json::Value, ConversionError> {
        todo!()
    }
}

/// Equal as JavaScript's `Object.is` has it, save that 0 equals -0: `NaN` equals itself.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Undefined, Self::Undefined) | (Self::Null, Self::Null) => true,
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Self::BigInt(a), Self::BigInt(b)) => a == b,
            (Self::String(a), Self::String(b)) | (Self::Native(a), Self::Native(b)) => a == b,
            (Self::Date(a), Self::Date(b)) => a == b,
            (Self::Error(a), Self::Error(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => a == b,
            (Self::Function(a), Self::Function(b)) => a == b,
            (Self::Reference(a), Self::Reference(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

macro_rules! value_from {
    ($($source:ty => |$value:ident| $build:expr;)*) => {$(
        impl From<$source> for Value {
            fn from($value: $source) -> Self {
                $build
            }
        }
    )*};
}
value_from! {
    () => |_unit| Self::Undefined;
    bool => |boolean| Self::Boolean(boolean);
    &str => |text| Self::String(text.to_owned());
    String => |text| Self::String(text);
    f64 => |number| Self::Number(number);
    f32 => |number| Self::Number(number.into());
    i32 => |integer| Self::Number(integer.into());
    u32 => |integer| Self::Number(integer.into());
    u16 => |integer| Self::Number(integer.into());
    u8 => |integer| Self::Number(integer.into());
    BigInt => |integer| Self::BigInt(integer);
    Date => |date| Self::Date(date);
    Array => |array| Self::Array(array);
    Vec<Self> => |values| Self::Array(values.into());
    Object => |object| Self::Object(object);
    ErrorValue => |error| Self::Error(Box::new(error));
    Function => |function| Self::Function(function);
    Reference => |reference| Self::Reference(reference);
}

/// A number up to 2^53 in size; beyond that a [`BigInt`], for doubles do not count on exactly.
impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        if integer.unsigned_abs() <= number::EXACT {
            Self::Number(integer as f64)
        } else {
            Self::BigInt(integer.into())
        }
    }
}

/// A number up to 2^53; beyond that a [`BigInt`], for doubles do not count on exactly.
impl From<u64> for Value {
    fn from(integer: u64) -> Self {
        if integer <= number::EXACT {
            Self::Number(integer as f64)
        } else {
            Self::BigInt(integer.into())
        }
    }
}

impl<V: Into<Self>> From<Option<V>> for Value {
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
