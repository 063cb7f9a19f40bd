//! Between values and the serde types of messages.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::value::{ConversionError, Object, Value};

/// A message as the wire has it. Messages have nothing that the bridge refuses, such as keys that are no text.
pub(super) fn written<T: Serialize>(message: &T) -> Value {
    Value::from_serialize(message).unwrap_or_default()
}

/// The same of a message that is an object.
pub(super) fn object<T: Serialize>(message: &T) -> Object {
    match written(message) {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

/// Reads a part of a message. Several are read from one object, as one type within another would have serde keep
/// everything in between.
pub(super) fn part<T: DeserializeOwned>(message: &Value) -> Result<T, ConversionError> {
    message.clone().deserialize()
}

/// The same of a message that may be anything, and of which no part is needed.
pub(super) fn part_of_object<T: DeserializeOwned + Default>(message: &Value) -> Result<T, ConversionError> {
    if message.as_object().is_some() { part(message) } else { Ok(T::default()) }
}
