//! From a [`Value`] to a Rust type.

use serde::de::value::{BytesDeserializer, StrDeserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::native::{BIGINT, DATE, ERROR, FUNCTION, PASSAGE, VALUE, key_number};
use crate::value::reference::Step;
use crate::value::walk::{Node, Visit, Walk};
use crate::value::{ConversionError, Value};
use crate::wire;
use crate::wire::plain::whole;

impl Value {
    /// Converts the value to a Rust type.
    ///
    /// `null` and `undefined` become `None` or `()`. A number becomes an integer if it has no fraction and fits. A
    /// BigInt becomes an integer if it fits, and text otherwise. A date can become ISO text, and a function its source.
    /// A reference becomes a copy of its target. [`Value`], [`Function`](crate::value::Function),
    /// [`ErrorValue`](crate::value::ErrorValue), [`Date`](crate::value::Date) and [`BigInt`](crate::value::BigInt) stay
    /// as they are, except inside `#[serde(flatten)]` and `#[serde(untagged)]`: there serde buffers the value, and they
    /// arrive in plain form.
    ///
    /// ```
    /// use chinwag_protocol::value::{Object, Value};
    ///
    /// #[derive(Debug, PartialEq, serde::Deserialize)]
    /// struct Node { ip: String, port: u16 }
    ///
    /// let value = Object::from_iter([("ip", Value::from("::1")), ("port", 8080.into())]);
    /// let node: Node = Value::from(value).deserialize()?;
    /// assert_eq!(node, Node { ip: "::1".into(), port: 8080 });
    /// # Ok::<(), chinwag_protocol::value::ConversionError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the type expects something else; the error names the position and what was found there. Also if the type
    /// needs a tree and the value holds itself, or exceeds the default [`Limits`](crate::value::Limits) once every
    /// reference is replaced by its target.
    pub fn deserialize<T: DeserializeOwned>(self) -> Result<T, ConversionError> {
        T::deserialize(Walk::new(&self).node())
    }
}

type Read<T> = Result<T, ConversionError>;

impl<'de> Deserializer<'de> for Node<'_, '_> {
    type Error = ConversionError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        let visit = self.visit()?;
        match visit.value {
            Value::Undefined | Value::Null | Value::Reference(_) => visitor.visit_unit(),
            Value::Boolean(boolean) => visitor.visit_bool(*boolean),
            Value::Number(number) => match whole(*number) {
                Some(integer) => match u64::try_from(integer) {
                    Ok(integer) => visitor.visit_u64(integer),
                    Err(_) => visitor.visit_i64(integer),
                },
                None => visitor.visit_f64(*number),
            },
            Value::BigInt(integer) => match (integer.to_u64(), integer.to_i64()) {
                (Some(integer), _) => visitor.visit_u64(integer),
                (None, Some(integer)) => visitor.visit_i64(integer),
                (None, None) => match (integer.to_u128(), integer.to_i128()) {
                    (Some(integer), _) => visitor.visit_u128(integer),
                    (None, Some(integer)) => visitor.visit_i128(integer),
                    (None, None) => visitor.visit_str(integer.as_str()),
                },
            },
            Value::String(text) | Value::Native(text) => visitor.visit_str(text),
            Value::Date(date) if date.milliseconds().is_none() => visitor.visit_unit(),
            Value::Date(date) => visitor.visit_string(date.to_string()),
            Value::Function(function) => visitor.visit_str(function.source()),
            Value::Error(error) => {
                let cause = self.walk.cause(&error.cause);
                let fields = ErrorAccess {
                    texts: [("name", &error.name), ("message", &error.message)].into_iter(),
                    cause: Some(&cause).filter(|_| !matches!(error.cause, Value::Undefined)),
                    next: None,
                };
                let read = visitor.visit_map(fields);
                self.walk.resume(&cause);
                read
            }
            Value::Array(array) => visitor.visit_seq(Elements {
                visit: &visit,
                left: array.len(),
                elements: (0..).zip(array.slots().iter()),
            }),
            Value::Object(object) => {
                visitor.visit_map(Members { visit: &visit, left: object.len(), members: object.iter(), next: None })
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        if self.is_nullish()? { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Read<V::Value> {
        if name == VALUE {
            let text = wire::encode_within(&self.extract()?, PASSAGE).map_err(ConversionError::custom)?;
            return visitor.visit_newtype_struct(Passage(text.as_bytes()));
        }
        let visit = self.visit()?;
        match (name, visit.value) {
            (FUNCTION, Value::Function(function)) => {
                visitor.visit_newtype_struct(StrDeserializer::new(function.source()))
            }
            (BIGINT, Value::BigInt(integer)) => visitor.visit_newtype_struct(StrDeserializer::new(integer.as_str())),
            (BIGINT, Value::Number(number)) if whole(*number).is_some() => {
                let text = ryu_js::Buffer::new().format(*number).to_owned();
                visitor.visit_newtype_struct(text.into_deserializer())
            }
            (DATE, Value::Date(_)) | (ERROR, Value::Error(_)) => {
                drop(visit);
                visitor.visit_newtype_struct(self)
            }
            (FUNCTION, other) => Err(mistaken("a function", other)),
            (BIGINT, other) => Err(mistaken("an integer", other)),
            (DATE, other) => Err(mistaken("a date", other)),
            (ERROR, other) => Err(mistaken("an error", other)),
            _ => {
                drop(visit);
                visitor.visit_newtype_struct(self)
            }
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        let visit = self.visit()?;
        match visit.value {
            Value::String(variant) => visitor.visit_enum(StrDeserializer::new(variant)),
            Value::Object(object) if object.len() == 1 => {
                visitor.visit_enum(de::value::MapAccessDeserializer::new(Members {
                    visit: &visit,
                    left: 1,
                    members: object.iter(),
                    next: None,
                }))
            }
            other => Err(mistaken(&format!("a variant of {name}"), other)),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_unit()
    }
}

fn mistaken(expected: &str, found: &Value) -> ConversionError {
    ConversionError::found(expected, found.type_name())
}

/// Reads the elements of an array.
struct Elements<'a, 'w, 'v, I> {
    visit: &'a Visit<'w, 'v>,
    elements: I,
    left: usize,
}

impl<'de, 'v, I> SeqAccess<'de> for Elements<'_, '_, 'v, I>
where
    I: Iterator<Item = (u32, &'v Option<Value>)>,
{
    type Error = ConversionError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Read<Option<S::Value>> {
        let Some((index, slot)) = self.elements.next() else {
            return Ok(None);
        };
        self.left -= 1;
        let element = slot.as_ref().unwrap_or(&Value::Undefined);
        self.visit
            .descend(Step::Index(index), element, |node| seed.deserialize(node))
            .map(Some)
            .map_err(|error| error.within(index))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// Reads the keys and values of an object.
struct Members<'a, 'w, 'v, I> {
    visit: &'a Visit<'w, 'v>,
    members: I,
    left: usize,
    next: Option<(&'v str, &'v Value)>,
}

impl<'de, 'v, I> MapAccess<'de> for Members<'_, '_, 'v, I>
where
    I: Iterator<Item = (&'v str, &'v Value)>,
{
    type Error = ConversionError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Read<Option<S::Value>> {
        self.next = self.members.next();
        let Some((key, _)) = self.next else {
            return Ok(None);
        };
        self.left -= 1;
        seed.deserialize(Key(key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Read<S::Value> {
        let Some((key, value)) = self.next.take() else {
            return Err(ConversionError::custom("a value was asked for before its key"));
        };
        self.visit.descend(Step::Key(key), value, |node| seed.deserialize(node)).map_err(|error| error.within(key))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// Reads the fields of an error.
struct ErrorAccess<'a, 'v> {
    texts: std::array::IntoIter<(&'static str, &'v String), 2>,
    cause: Option<&'a Walk<'v>>,
    next: Option<Result<&'v str, &'a Walk<'v>>>,
}

impl<'de> MapAccess<'de> for ErrorAccess<'_, '_> {
    type Error = ConversionError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Read<Option<S::Value>> {
        let (key, next) = match self.texts.next() {
            Some((key, text)) => (key, Ok(text.as_str())),
            None => match self.cause.take() {
                Some(cause) => ("cause", Err(cause)),
                None => return Ok(None),
            },
        };
        self.next = Some(next);
        seed.deserialize(StrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Read<S::Value> {
        match self.next.take() {
            Some(Ok(text)) => seed.deserialize(StrDeserializer::new(text)),
            Some(Err(cause)) => seed.deserialize(cause.node()).map_err(|error: ConversionError| error.within("cause")),
            None => Err(ConversionError::custom("a value was asked for before its key")),
        }
    }
}

/// Reads a key, which is text even where the type expects a number.
struct Key<'v>(&'v str);

macro_rules! numeric_key {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
            if let Ok(integer) = self.0.parse::<u64>() {
                visitor.visit_u64(integer)
            } else if let Ok(integer) = self.0.parse::<i64>() {
                visitor.visit_i64(integer)
            } else if let Some(number) = key_number(self.0) {
                visitor.visit_f64(number)
            } else {
                visitor.visit_str(self.0)
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Key<'_> {
    type Error = ConversionError;

    numeric_key! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_str(self.0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        match self.0 {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            other => visitor.visit_str(other),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Read<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        visitor.visit_enum(StrDeserializer::new(self.0))
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// A deserializer that passes a [`Value`] as the bytes of its typed form.
struct Passage<'b>(&'b [u8]);

impl<'de> Deserializer<'de> for Passage<'_> {
    type Error = ConversionError;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        BytesDeserializer::new(self.0).deserialize_bytes(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
