//! Between values and plain JSON.

use serde::ser::Error as _;

use crate::value::walk::Walk;
use crate::value::{Array, ConversionError, Object, Value};
use crate::wire::plain::Plain;

impl Value {
    /// Converts plain JSON.
    ///
    /// An integer beyond 2^53 loses digits, as it does when JavaScript parses JSON. The keys of an object come in the
    /// order of `serde_json::Map`, which is alphabetical by default; [`decode_plain`](crate::wire::decode_plain) reads
    /// JSON text and keeps the order of its keys.
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

    /// Returns the plain form of the value, for people and for programs that are not nodes.
    ///
    /// The plain form holds less than the value. `undefined`, holes, `NaN` and infinities become `null`, functions
    /// their source text, dates ISO text, BigInts decimal text, errors `{"name", "message", "cause"}` (without a cause
    /// if there is none), and references their targets.
    ///
    /// The keys of an object come in the order of `serde_json::Map`, which is alphabetical by default.
    /// `serde_json::to_string` writes the plain form of a value as text in JavaScript's order.
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
    /// If the value holds itself, or exceeds the default [`Limits`](crate::value::Limits) once every reference is
    /// replaced by its target.
    pub fn to_json(&self) -> Result<serde_json::Value, ConversionError> {
        serde_json::to_value(Plain(Walk::new(self).node())).map_err(ConversionError::custom)
    }
}
