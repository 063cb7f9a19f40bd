//! Values as serde types, so that a service's own types can hold them.
//!
//! They pass unchanged between a [`Value`] and a Rust type ([`Value::from_serialize`], [`Value::deserialize`]): a
//! function stays a function, a date a date, a cycle a cycle. A human-readable format gets the plain form, and is read
//! as plain values. Any other format gets the bytes of the typed form.
//!
//! To pass unchanged, a value is a *newtype struct* under a name of its own. Foreign formats ignore the name. Our own
//! serializer and deserializer recognize it, and offer a format that is not human-readable inside it, so that the value
//! is passed as bytes.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, Serialize, Serializer};

use crate::value::walk::Walk;
use crate::value::{Array, BigInt, Date, ErrorValue, Function, Limits, Object, Value, number};
use crate::wire;
use crate::wire::plain::Plain;

/// The length of the longest text as which a value passes through a type, in bytes. A message of the largest size that
/// has no references passes: a million values in plain form take about 70 MB in typed form.
pub(super) const PASSAGE: usize = 128 << 20;

pub(super) const VALUE: &str = "$chinwag::Value";
pub(super) const FUNCTION: &str = "$chinwag::Function";
pub(super) const ERROR: &str = "$chinwag::Error";
pub(super) const DATE: &str = "$chinwag::Date";
pub(super) const BIGINT: &str = "$chinwag::BigInt";

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(VALUE, &Inside(self))
    }
}

struct Inside<'v>(&'v Value);

impl Serialize for Inside<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            Plain(Walk::new(self.0).node()).serialize(serializer)
        } else {
            let text = wire::encode_within(self.0, PASSAGE).map_err(S::Error::custom)?;
            serializer.serialize_bytes(text.as_bytes())
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(VALUE, ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inside: D) -> Result<Value, D::Error> {
        if inside.is_human_readable() { inside.deserialize_any(self) } else { inside.deserialize_byte_buf(self) }
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Value, E> {
        let limits = Limits { bytes: usize::MAX, ..Limits::default() };
        wire::decode(bytes, &limits).map_err(E::custom)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, inside: D) -> Result<Value, D::Error> {
        <Value as Deserialize>::deserialize(inside)
    }

    fn visit_bool<E>(self, boolean: bool) -> Result<Value, E> {
        Ok(boolean.into())
    }

    fn visit_i64<E>(self, integer: i64) -> Result<Value, E> {
        Ok(integer.into())
    }

    fn visit_u64<E>(self, integer: u64) -> Result<Value, E> {
        Ok(integer.into())
    }

    fn visit_i128<E>(self, integer: i128) -> Result<Value, E> {
        Ok(Value::BigInt(integer.into()))
    }

    fn visit_u128<E>(self, integer: u128) -> Result<Value, E> {
        Ok(Value::BigInt(integer.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut array = Array::new();
        while let Some(element) = seq.next_element::<Value>()? {
            array.push(element);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Object::new();
        while let Some((key, member)) = map.next_entry::<String, Value>()? {
            object.insert(key, member);
        }
        Ok(object.into())
    }
}

impl Serialize for Function {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(FUNCTION, self.source())
    }
}

impl Serialize for BigInt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(BIGINT, self.as_str())
    }
}

/// A date is written as ISO text, or as `None` if it is invalid.
impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.milliseconds().map(|_| self.to_string());
        serializer.serialize_newtype_struct(DATE, &text)
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct ErrorFields {
    name: String,
    message: String,
    #[serde(skip_serializing_if = "is_undefined")]
    cause: Value,
}

/// The fields that an error has if they are missing.
impl Default for ErrorFields {
    fn default() -> Self {
        Self { name: "Error".to_owned(), message: String::new(), cause: Value::Undefined }
    }
}

const fn is_undefined(value: &Value) -> bool {
    matches!(value, Value::Undefined)
}

impl Serialize for ErrorValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = ErrorFields { name: self.name.clone(), message: self.message.clone(), cause: self.cause.clone() };
        serializer.serialize_newtype_struct(ERROR, &fields)
    }
}

/// Reads the content of one of our newtypes as the ordinary type that it is written as.
struct Through<T>(&'static str, std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Through<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inside: D) -> Result<T, D::Error> {
        T::deserialize(inside)
    }
}

fn through<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    name: &'static str,
    expected: &'static str,
    deserializer: D,
) -> Result<T, D::Error> {
    deserializer.deserialize_newtype_struct(name, Through(expected, std::marker::PhantomData))
}

impl<'de> Deserialize<'de> for Function {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        through::<String, D>(FUNCTION, "a function", deserializer).map(Self::new)
    }
}

impl<'de> Deserialize<'de> for BigInt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: String = through(BIGINT, "a bigint", deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match through::<Option<String>, D>(DATE, "a date", deserializer)? {
            Some(text) => text.parse().map_err(D::Error::custom),
            None => Ok(Self::INVALID),
        }
    }
}

impl<'de> Deserialize<'de> for ErrorValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields: ErrorFields = through(ERROR, "an error", deserializer)?;
        Ok(Self { name: fields.name, message: fields.message, cause: fields.cause })
    }
}

/// Parses an object's key as a number.
pub(super) fn key_number(text: &str) -> Option<f64> {
    number::parse_number(text)
}
