//! Writing the typed form.
//!
//! A writer stops as soon as its sink is full. Before a byte is refused, it has done work in proportion to the value and to
//! what it has written: a reference costs its path, which it writes, and references that lead to references share one
//! budget.

use crate::stringify::{Full, Length, Sink, index, index_key, key, number, separate_after, string};
use crate::value::locate::{AMPLE, child, locate};
use crate::value::reference::{Step, absolute};
use crate::value::{ErrorValue, Reference, Value};

/// Appends the typed form of an array with these elements, each of which is self-contained.
pub(in crate::wire) fn array<'v, S: Sink>(
    values: impl IntoIterator<Item = &'v Value>,
    out: &mut S,
) -> Result<(), S::Full> {
    let mut steps = AMPLE;
    out.put(br#"{"type":"array","value":{"#)?;
    for (at, value) in (0..).zip(values) {
        index_key(at, out)?;
        let mut writer = Writer::new(value, out, &mut steps);
        writer.message_index = Some(at);
        writer.value(value)?;
    }
    out.put(b"}}")
}

/// Appends the typed form of `value`.
pub(in crate::wire) fn value<S: Sink>(value: &Value, out: &mut S) -> Result<(), S::Full> {
    Writer::new(value, out, &mut AMPLE.clone()).value(value)
}

/// Returns the length of the typed form of `value` in bytes, if it is at most `most`.
pub(in crate::wire) fn length(value: &Value, most: usize) -> Result<usize, Full> {
    let mut length = Length::new(most);
    self::value(value, &mut length)?;
    Ok(length.bytes())
}

struct Writer<'v, 'o, S> {
    root: &'v Value,
    /// The index of the root in the message, if the message has several.
    message_index: Option<u32>,
    place: Vec<Step<'v>>,
    /// The containers around the current position, the root first.
    open: Vec<&'v Value>,
    out: &'o mut S,
    /// What following references to references may still cost, in units of [`Step::cost`].
    steps: &'o mut usize,
}

impl<'v, 'o, S: Sink> Writer<'v, 'o, S> {
    const fn new(root: &'v Value, out: &'o mut S, steps: &'o mut usize) -> Self {
        Self { root, message_index: None, place: Vec::new(), open: Vec::new(), out, steps }
    }

    fn value(&mut self, value: &'v Value) -> Result<(), S::Full> {
        match value {
            Value::Undefined => self.put(br#"{"type":"undefined","value":""}"#),
            Value::Null => self.put(br#"{"type":"null","value":""}"#),
            Value::Boolean(true) => self.put(br#"{"type":"boolean","value":"true"}"#),
            Value::Boolean(false) => self.put(br#"{"type":"boolean","value":"false"}"#),
            Value::Number(double) => {
                self.put(br#"{"type":"number","value":""#)?;
                number(*double, self.out)?;
                self.put(br#""}"#)
            }
            Value::BigInt(integer) => self.text("bigint", integer.as_str()),
            Value::String(text) => self.text("string", text),
            Value::Date(date) => match date.milliseconds() {
                Some(_) => self.text("date", &date.to_string()),
                None => self.put(br#"{"type":"date","value":null}"#),
            },
            Value::Function(function) => self.text("function", function.source()),
            Value::Native(path) => self.text("native", path),
            Value::Error(error) => self.error(error),
            Value::Reference(reference) => self.reference(reference),
            Value::Array(array) => {
                self.put(br#"{"type":"array","value":{"#)?;
                self.open.push(value);
                for (at, slot) in (0..).zip(array.iter()) {
                    if let Some(element) = slot {
                        index_key(at, self.out)?;
                        self.place.push(Step::Index(at));
                        self.value(element)?;
                        self.place.pop();
                    }
                }
                self.open.pop();
                self.put(b"}}")
            }
            Value::Object(object) => {
                self.put(br#"{"type":"object","value":{"#)?;
                self.open.push(value);
                for (name, member) in object.iter() {
                    key(name, self.out)?;
                    self.place.push(Step::Key(name));
                    self.value(member)?;
                    self.place.pop();
                }
                self.open.pop();
                self.put(b"}}")
            }
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), S::Full> {
        self.out.put(bytes)
    }

    fn text(&mut self, kind: &str, text: &str) -> Result<(), S::Full> {
        self.put(br#"{"type":""#)?;
        self.put(kind.as_bytes())?;
        self.put(br#"","value":"#)?;
        string(text, self.out)?;
        self.put(b"}")
    }

    fn error(&mut self, error: &'v ErrorValue) -> Result<(), S::Full> {
        self.put(br#"{"type":"error","value":{"type":"object","value":{"name":"#)?;
        self.text("string", &error.name)?;
        self.put(br#","message":"#)?;
        self.text("string", &error.message)?;
        self.put(br#","cause":"#)?;
        // the cause is a root of its own
        Writer::new(&error.cause, self.out, self.steps).value(&error.cause)?;
        self.put(b"}}}")
    }

    fn reference(&mut self, reference: &'v Reference) -> Result<(), S::Full> {
        let Some(path) = self.path_of(reference) else {
            // A peer of the reference would crash on a path that leads nowhere. JavaScript reads such a path as
            // undefined.
            return self.value(&Value::Undefined);
        };
        self.put(br#"{"type":"reference","value":["#)?;
        let message_index = self.message_index.map(Step::Index);
        for step in message_index.into_iter().chain(path) {
            separate_after(b'[', self.out)?;
            match step {
                Step::Index(at) => index(at, self.out)?,
                Step::Key(key) => {
                    let mut quoted = Vec::with_capacity(key.len() + 2);
                    let Ok(()) = string(key, &mut quoted);
                    // the key as JSON text, which is written as text again
                    string(&String::from_utf8_lossy(&quoted), self.out)?;
                }
            }
        }
        self.put(b"]}")
    }

    /// Returns the absolute path of a reference at the current position, or `None` if it leads nowhere.
    fn path_of(&mut self, reference: &'v Reference) -> Option<Vec<Step<'v>>> {
        let up = usize::try_from(reference.up).ok()?;
        let base = self.place.len().checked_sub(up)?;
        let mut path = absolute(&self.place, reference)?;
        // references that were decoded lead to their target directly, so only their own part of the path is walked
        // first
        let mut here = Some(*self.open.get(base)?);
        for step in &mut path[base..] {
            let found = here.and_then(|container| child(container, *step));
            here = found.map(|(real, value)| {
                *step = real;
                value
            });
        }
        match here {
            Some(Value::Reference(_)) | None => {
                let path = absolute(&self.place, reference)?;
                let found = locate(self.root, path, self.steps);
                found.ok().map(|(path, _)| path)
            }
            Some(_) => Some(path),
        }
    }
}
