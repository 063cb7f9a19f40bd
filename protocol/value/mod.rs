//! Everything that can cross the wire.
//!
//! # A tree, with references as leaves
//!
//! JavaScript's values are a graph: two keys may hold one object, and an object may hold itself. The wire sends
//! a tree in which the second occurrence is a *reference*, a path from the root of the message. [`Value`] is
//! that tree, with one change: a [`Reference`] is kept relative to the place where it stands ("two up, then down
//! `first`"), as a symbolic link may be. So a value can be put anywhere, an argument stored in a map, a map
//! sent on as part of another message, with the plain constructors and without anything to be rebased; only what
//! leads *out* of the part that is taken needs care, and that is what [`Value::extract`] is for. The wire's
//! absolute paths come and go at its edge, in [`wire`](crate::wire).
//!
//! A value is *self-contained* when its references stay inside it. Every value that this crate hands out is.
//! One that is not comes of taking a container apart by hand; what then leads nowhere is `undefined`.
//!
//! ```
//! use chinwag_protocol::value::{Object, Reference, Value};
//! use chinwag_protocol::wire;
//!
//! let mut node = Object::new();
//! node.insert("name", "loop");
//! node.insert("self", Reference::ancestor(1));
//! let node = Value::from(node);
//! assert_eq!(
//!     wire::encode(&Value::from(vec![node])),
//!     r#"{"type":"array","value":{"0":{"type":"object","value":{"name":{"type":"string","value":"loop"},"self":{"type":"reference","value":[0]}}}}}"#,
//! );
//! ```
//!
//! # Two bridges
//!
//! To a service's own types by serde: [`Value::from_serialize`] and [`Value::deserialize`]. [`Value`],
//! [`Function`], [`ErrorValue`], [`Date`] and [`BigInt`] pass it unharmed, on their own or inside a type. And to
//! plain JSON, for people: [`Value::from_json`] and [`Value::to_json`].
//!
//! Both show what is referred to in place of the reference. That can be endless or enormous, so both are bounded
//! by the default [`Limits`](crate::wire::Limits).
//!
//! # What is absent
//!
//! - Functions are text. Nothing here reads or runs one.
//! - A string is Unicode text, so half a surrogate pair, which a JavaScript string may hold, has no form here:
//!   the wire reads it as U+FFFD.
//! - Maps, sets, buffers, regular expressions, class instances: the reference sends them as plain objects of
//!   their enumerable keys, so that is what arrives.
//! - Operations on values nest as deep as the value does. What comes in from outside is bounded in depth; a
//!   program that builds a value a hundred thousand levels deep needs the stack for it.

mod array;
mod conversion;
mod date;
mod de;
mod error;
pub(crate) mod extract;
mod json;
mod native;
pub(crate) mod number;
pub(crate) mod object;
pub(crate) mod reference;
mod ser;
mod walk;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use array::Array;
pub use conversion::{ConversionError, Mismatch};
pub use date::{Date, NotDate};
pub use ecow::EcoString;
pub use error::ErrorValue;
pub use number::{BigInt, NotDecimal};
pub use object::Object;
pub use reference::{Reference, Segment};

pub(crate) use conversion::shortened;

use extract::Bounds;
use reference::{AMPLE, Step, locate};

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
    /// Text. Cheap to clone.
    String(EcoString),
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
    Native(EcoString),
    /// The same value as another one in the tree.
    Reference(Reference),
}

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

    /// What `path` leads to from here. References on the way and at its end are followed, counted from
    /// here: this value must be self-contained.
    pub fn at(&self, path: &[Segment]) -> Option<&Self> {
        let path = path.iter().map(Step::from).collect();
        let found = locate(self, path, &mut AMPLE.clone());
        found.ok().map(|(_, value)| value)
    }

    /// A copy of the part that `path` leads to, self-contained: what it refers to outside of itself is copied in.
    ///
    /// [`clone`](Clone::clone) and a move do for a part without references, and for a part whose references
    /// stay inside it.
    ///
    /// ```
    /// use chinwag_protocol::value::{Object, Reference, Value};
    ///
    /// // [{k: 1}, {friend: <the first>}]
    /// let first = Object::from_iter([("k", 1)]);
    /// let second = Object::from_iter([("friend", Reference::new(2, [0]))]);
    /// let both = Value::from(vec![first.clone().into(), second.into()]);
    ///
    /// let second = both.extract(&[1.into()])?;
    /// assert_eq!(second.get("friend"), Some(&Value::from(first)));
    /// # Ok::<(), chinwag_protocol::value::ConversionError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When `path` leads nowhere, or the part nests deeper than the default [`Limits`](crate::wire::Limits).
    pub fn extract(&self, path: &[Segment]) -> Result<Self, ConversionError> {
        let path = path.iter().map(Step::from).collect();
        let (place, part) = locate(self, path, &mut AMPLE.clone()).map_err(Mismatch::from)?;
        let mut bounds = Bounds { depth: crate::wire::Limits::default().depth, values: usize::MAX, bytes: usize::MAX };
        Ok(extract::extract(self, place, part, &mut bounds).map_err(Mismatch::from)?)
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
    &str => |text| Self::String(text.into());
    String => |text| Self::String(text.into());
    EcoString => |text| Self::String(text);
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
        if integer <= number::EXACT { Self::Number(integer as f64) } else { Self::BigInt(integer.into()) }
    }
}

impl<V: Into<Self>> From<Option<V>> for Value {
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
