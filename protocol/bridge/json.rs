//! Between values and plain JSON.

use serde::ser::Error as _;

use crate::value::walk::Walk;
use crate::value::{Array, ConversionError, Object, Value};
use crate::wire::plain::Plain;

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
    /// [`Limits`](crate::value::Limits) in depth or in number once what it shares is written out.
    pub fn to_json(&self) -> Result<serde_json::Value, ConversionError> {
        serde_json::to_value(Plain(Walk::new(self).node())).map_err(ConversionError::custom)
    }
}
