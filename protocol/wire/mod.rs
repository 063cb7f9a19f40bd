//! Values as bytes: the typed form and the plain one.

use crate::value::Value;

/// What a message may cost at most.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Length of a message, in bytes.
    pub bytes: usize,
    /// How deep values may nest.
    pub depth: usize,
    /// How many values a message may hold, holes and copies included.
    pub values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 8 << 20,
            depth: 512,
            values: 1_000_000,
        }
    }
}

/// Why a message could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("todo")]
#[non_exhaustive]
pub enum DecodeError {}

/// Which of the two forms a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// `{"type": …, "value": …}`: what nodes speak.
    Typed,
    /// Plain JSON: what people type.
    Plain,
}

/// The arguments of a call, and the form they came in, in which it is to be answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Arguments {
    /// The form they came in.
    pub form: Form,
    /// Each self-contained.
    pub values: Vec<Value>,
}

/// The typed form of a value.
pub fn encode(value: &Value) -> String {
    let _ = value;
    todo!()
}

/// Appends the typed form of a value.
pub fn encode_into(value: &Value, out: &mut Vec<u8>) {
    let _ = (value, out);
    todo!()
}

/// Reads a value in typed form.
///
/// # Errors
/// todo
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Value, DecodeError> {
    let _ = (bytes, limits);
    todo!()
}

/// Reads the arguments of a call, in either form.
///
/// # Errors
/// todo
pub fn decode_arguments(bytes: &[u8], limits: &Limits) -> Result<Arguments, DecodeError> {
    let _ = (bytes, limits);
    todo!()
}

/// Reads an answer: `[error, value]`.
///
/// # Errors
/// todo
pub fn decode_pair(bytes: &[u8], limits: &Limits) -> Result<(Value, Value), DecodeError> {
    let _ = (bytes, limits);
    todo!()
}

/// The typed form of a call's arguments.
pub fn encode_arguments(values: &[Value]) -> Vec<u8> {
    let _ = values;
    todo!()
}

/// An answer in either form.
pub fn encode_pair(error: &Value, value: &Value, form: Form) -> Vec<u8> {
    let _ = (error, value, form);
    todo!()
}
