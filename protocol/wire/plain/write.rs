//! Writing the plain form.
//!
//! [`Plain`] is a walk in a form that serde can write. It serves the plain answers of the wire, [`Value::to_json`], and
//! the [`Serialize`] of [`Value`] towards formats that people read.

use serde::ser::{Error as _, Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::stringify::Bounded;
use crate::value::number::EXACT;
use crate::value::reference::Step;
use crate::value::walk::{Node, Walk};
use crate::value::{ConversionError, Value};
use crate::wire::error::EncodeError;

/// Appends the plain form of `value` as JSON text. On an error, a part of it may have been appended.
pub(in crate::wire) fn write(value: &Value, out: &mut Bounded) -> Result<(), EncodeError> {
    let written = serde_json::to_writer(&mut *out, &Plain(Walk::new(value).node()));
    written.map_err(|error| unwritten(&error, out))
}

/// Appends the plain form of `value` as JSON text with line breaks and indentation. On an error, a part of it may have
/// been appended.
pub(in crate::wire) fn write_pretty(value: &Value, out: &mut Bounded) -> Result<(), EncodeError> {
    let written = serde_json::to_writer_pretty(&mut *out, &Plain(Walk::new(value).node()));
    written.map_err(|error| unwritten(&error, out))
}

fn unwritten(error: &serde_json::Error, out: &Bounded) -> EncodeError {
    // the only error of the output itself is that it is full
    if error.is_io() {
        EncodeError::TooLong { limit: out.most() }
    } else {
        EncodeError::NoPlainForm(ConversionError::custom(error))
    }
}

/// A value on a walk, which serializes in the plain form.
pub(crate) struct Plain<'w, 'v>(pub(crate) Node<'w, 'v>);

impl Serialize for Plain<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let visit = self.0.visit().map_err(S::Error::custom)?;
        match visit.value {
            // a visit never ends at a reference
            Value::Undefined | Value::Null | Value::Reference(_) => serializer.serialize_unit(),
            Value::Boolean(boolean) => serializer.serialize_bool(*boolean),
            Value::Number(number) => match whole(*number) {
                Some(integer) => serializer.serialize_i64(integer),
                None if number.is_finite() => serializer.serialize_f64(*number),
                None => serializer.serialize_unit(),
            },
            Value::BigInt(integer) => serializer.serialize_str(integer.as_str()),
            Value::String(text) | Value::Native(text) => serializer.serialize_str(text),
            Value::Date(date) if date.milliseconds().is_none() => serializer.serialize_unit(),
            Value::Date(date) => serializer.collect_str(date),
            Value::Function(function) => serializer.serialize_str(function.source()),
            Value::Error(error) => {
                let cause = self.0.walk.cause(&error.cause);
                let causeless = matches!(error.cause, Value::Undefined);
                let mut map = serializer.serialize_map(Some(3 - usize::from(causeless)))?;
                map.serialize_entry("name", &error.name)?;
                map.serialize_entry("message", &error.message)?;
                if !causeless {
                    map.serialize_entry("cause", &Plain(cause.node()))?;
                }
                self.0.walk.resume(&cause);
                map.end()
            }
            Value::Array(array) => {
                let mut seq = serializer.serialize_seq(Some(array.len()))?;
                for (index, slot) in (0..).zip(array.iter()) {
                    let element = slot.unwrap_or(&Value::Undefined);
                    visit.descend(Step::Index(index), element, |node| seq.serialize_element(&Plain(node)))?;
                }
                seq.end()
            }
            Value::Object(object) => {
                let mut map = serializer.serialize_map(Some(object.len()))?;
                for (key, member) in object.iter() {
                    visit.descend(Step::Key(key), member, |node| map.serialize_entry(key, &Plain(node)))?;
                }
                map.end()
            }
        }
    }
}

/// Returns the number as an integer if it is one, up to 2^53.
pub(crate) fn whole(number: f64) -> Option<i64> {
    let exact = number.fract() == 0.0 && number.abs() <= EXACT as f64;
    exact.then_some(number as i64)
}
