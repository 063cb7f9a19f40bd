//! Values as bytes: the typed form, in which nodes write values, and the plain form, in which people do.
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
//! The output is byte for byte that of the published JavaScript implementation. The reader accepts that, and further:
//!
//! - `value` before `type`;
//! - a nested value as a JSON *string* of its typed form, which older nodes send;
//! - the keys of an object or of an array in any order;
//! - references to later values, and references to references;
//! - the malformed reference that the JavaScript implementation writes for the third occurrence of an object in an
//!   argument, and cannot read itself.
//!
//! # The plain form
//!
//! The body of a call can be a plain JSON array, `["nid"]`. The answer comes in the same form: [`Arguments::form`]
//! names it, and [`encode_pair`] takes it. The first character of a body tells the forms apart, because arguments are
//! an array in the plain form and an object in the typed form.
//!
//! # What a message may cost
//!
//! The reader builds [`Value`]s in one pass. [`Limits`] bounds the length of a message, its depth and the number of its
//! values, so that reading ends in a value or in a [`DecodeError`] whatever the sender does:
//!
//! - depth is counted in values, before a value is entered, and also for text that is skipped or read again;
//! - the stack that reading takes is proportional to the depth: with the defaults, at most about half of 2 MiB even
//!   without optimization, so that any thread can read a message;
//! - a hole in an array counts as a value, and so does a step of a reference's path;
//! - text that is read more than once (a `value` before its `type`, a value inside a string) is bounded in total, by
//!   eight times the length of the message;
//! - a value that is copied because two arguments share it counts as if it had been sent twice.
//!
//! The writer is bounded, too: [`Limits::written`] is the length of the longest message that a node writes. References are
//! relative in memory and absolute on the wire, so a value of a few kilobytes can have a text of gigabytes. The writer
//! therefore stops at the first byte past the limit, and counting a length stops there as well. Until then, its work is in
//! proportion to the value and to what it has written.
//!
//! # What is absent
//!
//! There is no incremental reading: the body is collected first, and the HTTP layer stops at [`Limits::bytes`]. There
//! is no binary form.

mod context;
mod error;
mod object;
pub(crate) mod plain;
mod settle;
mod text;
mod typed;

#[cfg(test)]
mod tests;

use crate::stringify::{Bounded, Full, Sink};
use crate::value::extract::{Bounds, Excess, extract};
use crate::value::locate::{AMPLE, locate};
use crate::value::reference::Step;
use crate::value::{ErrorValue, Value};

pub use crate::value::Limits;
pub use error::{DecodeError, EncodeError, Reason};

use context::Context;

/// The form of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// `{"type": …, "value": …}`, which nodes write.
    Typed,
    /// Plain JSON, which people write.
    Plain,
}

/// The arguments of a call, and their form, in which the call has to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The form of the message.
    pub form: Form,
    /// The arguments, each of which is self-contained.
    pub values: Vec<Value>,
}

/// Returns the typed form of a value, however long it is. For a value that others can choose, see [`encode_within`].
///
/// A reference that leads nowhere in the value is written as `undefined`.
pub fn encode(value: &Value) -> String {
    let mut out = Vec::with_capacity(128);
    encode_into(value, &mut out);
    text_of(out)
}

/// Appends the typed form of a value to `out`, however long it is.
pub fn encode_into(value: &Value, out: &mut Vec<u8>) {
    let Ok(()) = typed::value(value, out);
}

/// Returns the typed form of a value, if it has at most `most` bytes.
///
/// # Errors
///
/// [`EncodeError::TooLong`], as soon as that many bytes have been written.
pub fn encode_within(value: &Value, most: usize) -> Result<String, EncodeError> {
    let mut out = Bounded::new(most);
    typed::value(value, &mut out).map_err(|Full| EncodeError::TooLong { limit: most })?;
    Ok(text_of(out.into_bytes()))
}

/// Returns the length of the typed form of a value in bytes, without writing it, however long it is.
///
/// ```
/// use chinwag_protocol::value::Value;
/// use chinwag_protocol::wire::{encode, encoded_len};
///
/// let value = Value::from(vec![Value::from("nid"), Value::from(8080)]);
/// assert_eq!(encoded_len(&value), encode(&value).len());
/// ```
pub fn encoded_len(value: &Value) -> usize {
    typed::length(value, usize::MAX).unwrap_or(usize::MAX)
}

/// Returns the length of the typed form of a value in bytes, without writing it, if that is at most `most`.
///
/// # Errors
///
/// [`EncodeError::TooLong`], as soon as that many bytes have been counted.
pub fn encoded_len_within(value: &Value, most: usize) -> Result<usize, EncodeError> {
    typed::length(value, most).map_err(|Full| EncodeError::TooLong { limit: most })
}

/// Returns the plain form of a value as JSON text, if it has at most `most` bytes.
///
/// ```
/// use chinwag_protocol::value::{Object, Value};
/// use chinwag_protocol::wire::encode_plain_within;
///
/// let node = Value::from(Object::from_iter([("port", 8080)]));
/// assert_eq!(encode_plain_within(&node, 13)?, r#"{"port":8080}"#);
/// assert!(encode_plain_within(&node, 12).is_err());
/// # Ok::<(), chinwag_protocol::wire::EncodeError>(())
/// ```
///
/// # Errors
///
/// [`EncodeError::TooLong`], as soon as that many bytes have been written, and [`EncodeError::NoPlainForm`] if the value
/// holds itself or exceeds the default [`Limits`] once every reference is replaced by its target.
pub fn encode_plain_within(value: &Value, most: usize) -> Result<String, EncodeError> {
    let mut out = Bounded::new(most);
    plain::write(value, &mut out)?;
    Ok(text_of(out.into_bytes()))
}

/// Like [`encode_plain_within`], with line breaks and indentation for people.
///
/// # Errors
///
/// As [`encode_plain_within`].
pub fn encode_pretty_within(value: &Value, most: usize) -> Result<String, EncodeError> {
    let mut out = Bounded::new(most);
    plain::write_pretty(value, &mut out)?;
    Ok(text_of(out.into_bytes()))
}

/// Converts what a writer wrote, which is UTF-8.
fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|wrong| String::from_utf8_lossy(wrong.as_bytes()).into())
}

/// Returns the typed form of a call's arguments, which is the body of a request. Each must be self-contained.
///
/// ```
/// use chinwag_protocol::wire::{Limits, encode_arguments};
///
/// assert_eq!(
///     encode_arguments(&["nid".into()], &Limits::default())?,
///     br#"{"type":"array","value":{"0":{"type":"string","value":"nid"}}}"#,
/// );
/// # Ok::<(), chinwag_protocol::wire::EncodeError>(())
/// ```
///
/// # Errors
///
/// [`EncodeError::TooLong`] past [`Limits::written`].
pub fn encode_arguments(values: &[Value], limits: &Limits) -> Result<Vec<u8>, EncodeError> {
    let mut out = Bounded::new(limits.written);
    typed::array(values, &mut out).map_err(|Full| EncodeError::TooLong { limit: limits.written })?;
    Ok(out.into_bytes())
}

/// Returns an answer, `[error, value]`, in the form of the arguments. Both must be self-contained.
///
/// A value that holds itself has no plain form; in its place, the answer is an error that says so.
///
/// ```
/// use chinwag_protocol::value::{ErrorValue, Value};
/// use chinwag_protocol::wire::{Form, Limits, encode_pair};
///
/// let limits = Limits::default();
/// let answer = encode_pair(&Value::Null, &Value::from(8080), Form::Plain, &limits)?;
/// assert_eq!(answer, b"[null,8080]");
/// let error = ErrorValue::new("no such key").into();
/// let answer = encode_pair(&error, &Value::Undefined, Form::Plain, &limits)?;
/// assert_eq!(answer, br#"[{"name":"Error","message":"no such key"},null]"#);
/// # Ok::<(), chinwag_protocol::wire::EncodeError>(())
/// ```
///
/// # Errors
///
/// [`EncodeError::TooLong`] past [`Limits::written`].
pub fn encode_pair(error: &Value, value: &Value, form: Form, limits: &Limits) -> Result<Vec<u8>, EncodeError> {
    let mut out = Bounded::new(limits.written);
    match form {
        Form::Typed => {
            let too_long = |Full| EncodeError::TooLong { limit: limits.written };
            typed::array([error, value], &mut out).map_err(too_long)?;
        }
        Form::Plain => match plain_pair(error, value, &mut out) {
            Err(EncodeError::NoPlainForm(problem)) => {
                out.clear();
                let message = format!("the answer has no plain form: {problem}");
                plain_pair(&ErrorValue::new(message).into(), &Value::Null, &mut out)?;
            }
            written => written?,
        },
    }
    Ok(out.into_bytes())
}

fn plain_pair(error: &Value, value: &Value, out: &mut Bounded) -> Result<(), EncodeError> {
    let most = out.most();
    let put = |bytes, out: &mut Bounded| out.put(bytes).map_err(|Full| EncodeError::TooLong { limit: most });
    put(b"[", out)?;
    plain::write(error, out)?;
    put(b",", out)?;
    plain::write(value, out)?;
    put(b"]", out)
}

/// Reads a value in typed form.
///
/// # Errors
///
/// If it is malformed, or costs more than `limits`. See [`Reason`].
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Value, DecodeError> {
    let text = checked(bytes, limits)?;
    read(text, Form::Typed, limits).map(|message| message.root)
}

/// Reads a value in plain form.
///
/// # Errors
///
/// If it is not JSON, or costs more than `limits`. See [`Reason`].
///
/// # Examples
///
/// ```
/// use chinwag_protocol::wire::{Limits, decode_plain};
///
/// let value = decode_plain(br#"{"port": 8080}"#, &Limits::default())?;
/// assert_eq!(value.get("port"), Some(&8080.into()));
/// # Ok::<(), chinwag_protocol::wire::DecodeError>(())
/// ```
pub fn decode_plain(bytes: &[u8], limits: &Limits) -> Result<Value, DecodeError> {
    let text = checked(bytes, limits)?;
    read(text, Form::Plain, limits).map(|message| message.root)
}

/// Reads the arguments of a call in either form. A value that several arguments share is copied.
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
/// If they have neither form, or cost more than `limits`. See [`Reason`].
pub fn decode_arguments(bytes: &[u8], limits: &Limits) -> Result<Arguments, DecodeError> {
    let text = checked(bytes, limits)?;
    let form = form_of(text);
    let values = elements(read(text, form, limits)?, usize::MAX, limits)?;
    Ok(Arguments { form, values })
}

/// Reads an answer, `[error, value]`, in either form. A missing element is `undefined`, further elements are ignored,
/// and a value that both share is copied.
///
/// # Errors
///
/// If it is not an array, or costs more than `limits`. See [`Reason`].
pub fn decode_pair(bytes: &[u8], limits: &Limits) -> Result<(Value, Value), DecodeError> {
    let text = checked(bytes, limits)?;
    let mut values = elements(read(text, form_of(text), limits)?, 2, limits)?.into_iter();
    let error = values.next().unwrap_or_default();
    Ok((error, values.next().unwrap_or_default()))
}

/// Returns the message as text, if it is UTF-8 and not too long.
fn checked<'t>(bytes: &'t [u8], limits: &Limits) -> Result<&'t str, DecodeError> {
    if bytes.len() > limits.bytes {
        let (length, limit) = (bytes.len(), limits.bytes);
        return Err(DecodeError::new(Reason::TooLong { length, limit }, None));
    }
    std::str::from_utf8(bytes).map_err(|wrong| DecodeError::new(Reason::NotText, Some(wrong.valid_up_to())))
}

/// Returns the form of a message that should be an array.
fn form_of(text: &str) -> Form {
    if text.trim_start().starts_with('{') { Form::Typed } else { Form::Plain }
}

/// A message that was read.
struct Message {
    root: Value,
    /// Whether the message has a reference.
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

/// Returns the first `most` elements of a message that is an array, each of them self-contained.
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
    // settling has bounded what all references of the message cost, in proportion to its length
    let (bytes, steps) = (limits.bytes, AMPLE.max(limits.bytes.saturating_mul(8)));
    let mut bounds = Bounds { depth: limits.depth, values: limits.values, bytes, steps };
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

/// Returns the target of the reference at `index` of an array.
fn part_of(root: &Value, index: u32) -> Option<(Vec<Step<'_>>, &Value)> {
    locate(root, vec![Step::Index(index)], &mut AMPLE.clone()).ok()
}
