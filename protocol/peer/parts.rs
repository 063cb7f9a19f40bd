//! Between values and the serde types of messages.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::value::{ConversionError, Object, Value};

/// Converts a message to a value. Messages have nothing that cannot be converted, such as keys that are not text.
pub(super) fn written<T: Serialize>(message: &T) -> Value {
    Value::from_serialize(message).unwrap_or_default()
}

/// Converts a message that is an object.
pub(super) fn object<T: Serialize>(message: &T) -> Object {
    match written(message) {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

/// Reads a part of a message. Several parts are read from one object, because serde buffers the content of flattened
/// types.
pub(super) fn part<T: DeserializeOwned>(message: &Value) -> Result<T, ConversionError> {
    message.clone().deserialize()
}

/// Reads a part of a message that can be of any type, with defaults for missing fields.
pub(super) fn part_of_object<T: DeserializeOwned + Default>(message: &Value) -> Result<T, ConversionError> {
    if message.as_object().is_some() { part(message) } else { Ok(T::default()) }
}
