//! Values as bytes: the typed form that nodes speak, and the plain one that people type.
//!
//! # The typed form
//!
//! Every value is `{"type": T, "value": V}`, numbers as text, arrays as objects from index to element:
//!
//! ```
//! use chinwag_protocol::value::Value;
//! use chinwag_protocol::wire::{Limits, decode, encode};
//!
//! let argument = Value::from("nid");
//! assert_eq!(encode(&argument), r#"{"type":"string","value":"nid"}"#);
//! assert_eq!(decode(encode(&argument).as_bytes(), &Limits::default())?, argument);
//! # Ok::<(), chinwag_protocol::wire::DecodeError>(())
//! ```
//!
//! What is written is, byte for byte, what the published JavaScript implementation writes. What is read is that,
//! and further:
//!
//! - `value` before `type`;
//! - a nested value as a JSON *string* of the same thing, which older nodes send;
//! - keys of an object and of an array in any order;
//! - references to things that stand later, and references to references;
//! - the malformed reference that implementation writes for the third occurrence of one object inside an argument,
//!   which it cannot read itself.
//!
//! # The plain form
//!
//! A call's body may be a plain JSON array, `["nid"]`. It is answered in kind: [`Arguments::form`] says which
//! it was, [`encode_pair`] takes it. A typed body is told from a plain one by its first character, for arguments
//! are an array in the plain form and an object in the typed one.
//!
//! # What a message may cost
//!
//! A message is read in one pass, into [`Value`]s and nothing else. [`Limits`] bounds its length, its depth
//! and the number of values, so whoever sends it, reading ends in a value or in a [`DecodeError`]:
//!
//! - depth is counted in values, before one is entered, and holds for what is skipped or read again;
//! - the stack that reading takes is proportional to depth: at the default, at most about half of 2 MiB even without
//!   optimization, so it can be done on any thread;
//! - a hole in an array counts as a value, and so does a step of a reference's path;
//! - what is read more than once (a `value` before its `type`, a value inside a string) is bounded in sum, by
//!   eight times the length of the message;
//! - what is copied, because two arguments share it, counts as if it had been sent twice.
//!
//! # What is absent
//!
//! There is no reading piece by piece: a body is collected first, and the HTTP layer stops at
//! [`Limits::bytes`]. There is no binary form.

mod context;
mod error;
mod object;
pub(crate) mod plain;
mod settle;
mod text;
mod typed;

#[cfg(test)]
mod tests;

use crate::value::extract::{Bounds, Excess, extract};
use crate::value::locate::{AMPLE, locate};
use crate::value::reference::Step;
use crate::value::{ConversionError, ErrorValue, Value};

pub use crate::value::Limits;
pub use error::{DecodeError, Reason};

use context::Context;

/// Which of the two forms a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// `{"type": …, "value": …}`: what nodes speak.
    Typed,
    /// Plain JSON: what people type.
    Plain,
}

/// The arguments of a call, and the form they came in, in which it is to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The form they came in.
    pub form: Form,
    /// Each self-contained.
    pub values: Vec<Value>,
}

/// The typed form of a value.
///
/// A reference that leads nowhere in it is written as `undefined`.
pub fn encode(value: &Value) -> String {
    let mut out = Vec::with_capacity(128);
    encode_into(value, &mut out);
    String::from_utf8(out).unwrap_or_else(|wrong| String::from_utf8_lossy(wrong.as_bytes()).into())
}

/// Appends the typed form of a value to `out`.
pub fn encode_into(value: &Value, out: &mut Vec<u8>) {
    typed::value(value, out);
}

/// Returns the length of the typed form of a value in bytes, without writing it.
///
/// ```
/// use chinwag_protocol::value::Value;
/// use chinwag_protocol::wire::{encode, encoded_len};
///
/// let value = Value::from(vec![Value::from("nid"), Value::from(8080)]);
/// assert_eq!(encoded_len(&value), encode(&value).len());
/// ```
pub fn encoded_len(value: &Value) -> usize {
    typed::length(value)
}

/// The typed form of a call's arguments: the body of a request. Each must be self-contained.
///
/// ```
/// use chinwag_protocol::wire::encode_arguments;
///
/// assert_eq!(
///     encode_arguments(&["nid".into()]),
///     br#"{"type":"array","value":{"0":{"type":"string","value":"nid"}}}"#,
/// );
/// ```
pub fn encode_arguments(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    typed::array(values, &mut out);
    out
}

/// An answer, `[error, value]`, in the form in which the arguments came. Each must be self-contained.
///
/// A value that has no plain form, because it holds itself, is answered by an error that says so.
///
/// ```
/// use chinwag_protocol::value::{ErrorValue, Value};
/// use chinwag_protocol::wire::{Form, encode_pair};
///
/// let answer = encode_pair(&Value::Null, &Value::from(8080), Form::Plain);
/// assert_eq!(answer, b"[null,8080]");
/// let error = ErrorValue::new("no such key").into();
/// let answer = encode_pair(&error, &Value::Undefined, Form::Plain);
/// assert_eq!(answer, br#"[{"name":"Error","message":"no such key"},null]"#);
/// ```
pub fn encode_pair(error: &Value, value: &Value, form: Form) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    match form {
        Form::Typed => typed::array([error, value], &mut out),
        Form::Plain => {
            let written = plain_pair(error, value, &mut out).or_else(|problem| {
                out.clear();
                let message = format!("the answer has no plain form: {problem}");
                plain_pair(&ErrorValue::new(message).into(), &Value::Null, &mut out)
            });
            if written.is_err() {
                out.clear();
                out.extend_from_slice(b"[null,null]");
            }
        }
    }
    out
}

fn plain_pair(error: &Value, value: &Value, out: &mut Vec<u8>) -> Result<(), ConversionError> {
    out.push(b'[');
    plain::write(error, out)?;
    out.push(b',');
    plain::write(value, out)?;
    out.push(b']');
    Ok(())
}

/// Reads a value in typed form.
///
/// # Errors
///
/// When it is not one, or costs more than `limits`. See [`Reason`].
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Value, DecodeError> {
    let text = checked(bytes, limits)?;
    read(text, Form::Typed, limits).map(|message| message.root)
}

/// Reads a value in plain form.
///
/// # Errors
///
/// When it is not JSON, or costs more than `limits`. See [`Reason`].
pub fn decode_plain(bytes: &[u8], limits: &Limits) -> Result<Value, DecodeError> {
    let text = checked(bytes, limits)?;
    read(text, Form::Plain, limits).map(|message| message.root)
}

/// Reads the arguments of a call, in either form. What several of them share is copied.
///
/// ```
/// use chinwag_protocol::wire::{Form, Limits, decode_arguments};
///
/// let arguments = decode_arguments(br#"["nid"]"#, &Limits::default())?;
/// assert_eq!(arguments.form, Form::Plain);
/// assert_eq!(arguments.values, ["nid".into()]);
/// # Ok::<(), chinwag_protocol::wire::DecodeError>(())
/// ```
///
/// # Errors
///
/// When they are neither, or cost more than `limits`. See [`Reason`].
pub fn decode_arguments(bytes: &[u8], limits: &Limits) -> Result<Arguments, DecodeError> {
    let text = checked(bytes, limits)?;
    let form = form_of(text);
    let values = elements(read(text, form, limits)?, usize::MAX, limits)?;
    Ok(Arguments { form, values })
}

/// Reads an answer, `[error, value]`, in either form. What is absent is `undefined`, what comes after the second
/// is not looked at, and what both share is copied.
///
/// # Errors
///
/// When it is no array, or costs more than `limits`. See [`Reason`].
pub fn decode_pair(bytes: &[u8], limits: &Limits) -> Result<(Value, Value), DecodeError> {
    let text = checked(bytes, limits)?;
    let mut values = elements(read(text, form_of(text), limits)?, 2, limits)?.into_iter();
    let error = values.next().unwrap_or_default();
    Ok((error, values.next().unwrap_or_default()))
}

/// The message as text, when it is that and not too long.
fn checked<'t>(bytes: &'t [u8], limits: &Limits) -> Result<&'t str, DecodeError> {
    if bytes.len() > limits.bytes {
        let (length, limit) = (bytes.len(), limits.bytes);
        return Err(DecodeError::new(Reason::TooLong { length, limit }, None));
    }
    std::str::from_utf8(bytes).map_err(|wrong| DecodeError::new(Reason::NotText, Some(wrong.valid_up_to())))
}

/// The form of a message that is to be an array.
fn form_of(text: &str) -> Form {
    if text.trim_start().starts_with('{') { Form::Typed } else { Form::Plain }
}

/// A message that was read.
struct Message {
    root: Value,
    /// Whether there is a reference in it.
    referred: bool,
}

fn read(text: &str, form: Form, limits: &Limits) -> Result<Message, DecodeError> {
    let context = Context::new(text, limits);
    let (context, depth) = (&context, 0);
    let read = match form {
        Form::Typed => context.read(text, typed::Typed { context, depth }),
        Form::Plain => context.read(text, plain::Read { context, depth }),
    };
    let Ok(mut root) = read else {
        return Err(context.take_fault());
    };
    let referred = context.referred();
    if referred {
        settle::settle(&mut root, context)?;
    }
    Ok(Message { root, referred })
}

/// The first `most` elements of the array that a message is, each self-contained.
fn elements(message: Message, most: usize, limits: &Limits) -> Result<Vec<Value>, DecodeError> {
    let Message { root, referred } = message;
    let Value::Array(array) = &root else {
        return Err(DecodeError::new(Reason::NotArray(root.type_name()), None));
    };
    if !referred {
        let Value::Array(array) = root else {
            return Ok(Vec::new());
        };
        let mut values = array.into_values();
        values.truncate(most);
        return Ok(values);
    }
    let mut bounds = Bounds { depth: limits.depth, values: limits.values, bytes: limits.bytes };
    let mut values = Vec::with_capacity(array.len().min(most));
    for (index, slot) in (0..).zip(array.iter()).take(most) {
        let part = match slot {
            Some(Value::Reference(_)) | None => part_of(&root, index),
            Some(element) => Some((vec![Step::Index(index)], element)),
        };
        values.push(match part {
            Some((place, part)) => extract(&root, place, part, &mut bounds).map_err(|excess| {
                let reason = match excess {
                    Excess::Depth => Reason::TooDeep(limits.depth),
                    Excess::Values => Reason::TooMany(limits.values),
                    Excess::Bytes => Reason::TooCostly("values shared between arguments"),
                };
                DecodeError::new(reason, None)
            })?,
            None => Value::Undefined,
        });
    }
    Ok(values)
}

/// What the reference at `index` of an array refers to.
fn part_of(root: &Value, index: u32) -> Option<(Vec<Step<'_>>, &Value)> {
    locate(root, vec![Step::Index(index)], &mut AMPLE.clone()).ok()
}
