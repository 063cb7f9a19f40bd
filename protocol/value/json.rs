//! The plain form: what a person types and reads.
//!
//! [`Plain`] is a walk as something that serde can write. It serves `to_json`, the plain answers of the wire, and
//! [`Value`]'s own `Serialize` towards formats that people read.

use serde::ser::{Error as _, Serialize, SerializeMap, SerializeSeq, Serializer};

use super::number::EXACT;
use super::reference::Step;
use super::walk::{Node, Walk};
use super::{Array, ConversionError, Object, Value};

impl Value {
    /// The value that plain JSON stands for.
    ///
    /// An integer beyond 2^53 loses digits, as it does when JavaScript reads JSON.
    ///
    /// ```
    /// use chinwag_protocol::value::Value;
    ///
    /// let node = Value::from_json(serde_json::json!({"ip": "127.0.0.1", "port": 8080}));
    /// assert_eq!(node.get("port"), Some(&Value::Number(8080.0)));
    /// ```
    pub fn from_json(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(boolean) => Self::Boolean(boolean),
            serde_json::Value::Number(number) => Self::Number(number.as_f64().unwrap_or(f64::NAN)),
            serde_json::Value::String(text) => Self::String(text.into()),
            serde_json::Value::Array(elements) => {
                let slots = elements.into_iter().map(|json| Some(Self::from_json(json)));
                Self::Array(Array::from_slots(slots.collect()))
            }
            serde_json::Value::Object(members) => {
                let members = members.into_iter();
                Self::Object(Object::from_iter(members.map(|(key, json)| (key, Self::from_json(json)))))
            }
        }
    }

    /// The plain form of this value: for people, and for programs that are no node.
    ///
    /// It says less than the value. `undefined`, holes, `NaN` and infinities are `null`, functions their
    /// source text, dates ISO text, BigInts decimal text, errors `{"name", "message", "cause"}` (without a cause
    /// when there is none), references what they refer to.
    ///
    /// ```
    /// use chinwag_protocol::value::{ErrorValue, Value};
    ///
    /// let answer = Value::from(vec![ErrorValue::new("no such key").into(), Value::Undefined]);
    /// let json = serde_json::json!([{"name": "Error", "message": "no such key"}, null]);
    /// assert_eq!(answer.to_json()?, json);
    /// # Ok::<(), chinwag_protocol::value::ConversionError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A value that holds itself has no plain form. Nor has one that is beyond the default
    /// [`Limits`](crate::wire::Limits) in depth or in number once what it shares is written out.
    pub fn to_json(&self) -> Result<serde_json::Value, ConversionError> {
        serde_json::to_value(Plain(Walk::new(self).node())).map_err(ConversionError::custom)
    }

    /// Appends the plain form as JSON text. Nothing is appended when there is none.
    pub(crate) fn write_json(&self, out: &mut Vec<u8>) -> Result<(), ConversionError> {
        let before = out.len();
        serde_json::to_writer(&mut *out, &Plain(Walk::new(self).node())).map_err(|error| {
            out.truncate(before);
            ConversionError::custom(error)
        })
    }
}

/// A value on a walk, to be written in the plain form.
pub(super) struct Plain<'w, 'v>(pub(super) Node<'w, 'v>);

impl Serialize for Plain<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let visit = self.0.visit().map_err(S::Error::custom)?;
        match visit.value {
            // a visit has followed all references
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

/// The integer that a number is, where doubles have all of them.
pub(super) fn whole(number: f64) -> Option<i64> {
    let exact = number.fract() == 0.0 && number.abs() <= EXACT as f64;
    exact.then_some(number as i64)
}
