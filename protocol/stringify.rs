//! JSON text as ECMAScript's `JSON.stringify` writes it: its parts, and that of a value.

use std::convert::Infallible;
use std::io;

use crate::value::Value;

/// Where JSON text goes.
pub(crate) trait Sink {
    /// Why bytes are refused.
    type Full;

    /// Appends bytes, or refuses them. A writer stops at the first refusal.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Self::Full>;

    /// The last byte, if there is any.
    fn last(&self) -> Option<u8>;
}

/// The text would be longer than its sink admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Text of any length.
impl Sink for Vec<u8> {
    type Full = Infallible;

    fn put(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn last(&self) -> Option<u8> {
        self.as_slice().last().copied()
    }
}

/// Text of a bounded length.
#[derive(Debug)]
pub(crate) struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl Bounded {
    /// Begins a text of at most `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { bytes: Vec::with_capacity(most.min(128)), most }
    }

    /// The length that the text may have.
    pub(crate) const fn most(&self) -> usize {
        self.most
    }

    /// The text.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Begins again.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }
}

impl Sink for Bounded {
    type Full = Full;

    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        if bytes.len() > self.most - self.bytes.len() {
            return Err(Full);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn last(&self) -> Option<u8> {
        Sink::last(&self.bytes)
    }
}

/// For text that serde writes. The only error is that the text would be too long.
impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes).map_err(|Full| io::ErrorKind::FileTooLarge)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts the bytes of a text of a bounded length without keeping them.
#[derive(Debug)]
pub(crate) struct Length {
    bytes: usize,
    most: usize,
    last: Option<u8>,
}

impl Length {
    /// Begins to count a text of at most `most` bytes.
    pub(crate) const fn new(most: usize) -> Self {
        Self { bytes: 0, most, last: None }
    }

    /// The number of bytes so far.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Sink for Length {
    type Full = Full;

    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        if bytes.len() > self.most - self.bytes {
            return Err(Full);
        }
        self.bytes += bytes.len();
        self.last = bytes.last().copied().or(self.last);
        Ok(())
    }

    fn last(&self) -> Option<u8> {
        self.last
    }
}

/// Appends what `JSON.stringify` makes of a value. Returns whether that is anything: it makes `undefined` of functions,
/// for example. A reference, which stands for structure that JSON cannot express, counts as absent.
pub(crate) fn value(value: &Value, out: &mut Vec<u8>) -> bool {
    match value {
        Value::Undefined | Value::Function(_) | Value::Native(_) | Value::Reference(_) => return false,
        Value::Null => out.extend_from_slice(b"null"),
        Value::Boolean(boolean) => out.extend_from_slice(if *boolean { b"true" } else { b"false" }),
        Value::Number(finite) if finite.is_finite() => {
            let Ok(()) = number(*finite, out);
        }
        Value::Number(_) => out.extend_from_slice(b"null"),
        // JSON.stringify throws an error for these. Their decimal text keeps them apart.
        Value::BigInt(integer) => out.extend_from_slice(integer.as_str().as_bytes()),
        Value::String(text) => {
            let Ok(()) = string(text, out);
        }
        Value::Date(date) if date.milliseconds().is_some() => {
            let Ok(()) = string(&date.to_string(), out);
        }
        Value::Date(_) => out.extend_from_slice(b"null"),
        Value::Error(_) => out.extend_from_slice(b"{}"),
        Value::Array(array) => {
            out.push(b'[');
            for element in array.iter() {
                let Ok(()) = separate_after(b'[', out);
                if !element.is_some_and(|element| self::value(element, out)) {
                    out.extend_from_slice(b"null");
                }
            }
            out.push(b']');
        }
        Value::Object(object) => {
            out.push(b'{');
            for (name, member) in object.iter() {
                let before = out.len();
                let Ok(()) = key(name, out);
                if !self::value(member, out) {
                    out.truncate(before);
                }
            }
            out.push(b'}');
        }
    }
    true
}

/// Appends a number, in the form of JavaScript's `String(number)`.
pub(crate) fn number<S: Sink>(number: f64, out: &mut S) -> Result<(), S::Full> {
    out.put(ryu_js::Buffer::new().format(number).as_bytes())
}

/// Appends the key of an object's next member, with the comma before it and the colon behind it.
pub(crate) fn key<S: Sink>(key: &str, out: &mut S) -> Result<(), S::Full> {
    separate_after(b'{', out)?;
    string(key, out)?;
    out.put(b":")
}

/// Appends the key of an object's next member, where that is an index.
pub(crate) fn index_key<S: Sink>(index: u32, out: &mut S) -> Result<(), S::Full> {
    separate_after(b'{', out)?;
    out.put(b"\"")?;
    self::index(index, out)?;
    out.put(b"\":")
}

/// Appends an index as a number.
pub(crate) fn index<S: Sink>(index: u32, out: &mut S) -> Result<(), S::Full> {
    out.put(itoa::Buffer::new().format(index).as_bytes())
}

/// Appends a comma, unless the bracket that begins the array or object is the last byte.
pub(crate) fn separate_after<S: Sink>(bracket: u8, out: &mut S) -> Result<(), S::Full> {
    if out.last() == Some(bracket) { Ok(()) } else { out.put(b",") }
}

/// Appends text in quotation marks.
pub(crate) fn string<S: Sink>(text: &str, out: &mut S) -> Result<(), S::Full> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.put(b"\"")?;
    let bytes = text.as_bytes();
    let (mut at, mut written) = (0, 0);
    loop {
        at += verbatim(&bytes[at..]);
        let Some(&byte) = bytes.get(at) else { break };
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0C => b"\\f",
            _ => &[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]],
        };
        out.put(&bytes[written..at])?;
        out.put(escape)?;
        at += 1;
        written = at;
    }
    out.put(&bytes[written..])?;
    out.put(b"\"")
}

/// Returns how many bytes at the beginning need no escape. In most text that is all of them, so the search takes eight
/// bytes at a time.
fn verbatim(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let sure = 8 * words.iter().take_while(|word| !any_escaped(u64::from_ne_bytes(**word))).count();
    let is_verbatim = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
    sure + bytes[sure..].iter().take_while(|byte| is_verbatim(byte)).count()
}

/// Whether one of eight bytes is a quotation mark, a backslash or a control character. (Warren, "Hacker's Delight",
/// 6-1: a borrow reaches the highest bit of the first byte below what is subtracted.)
fn any_escaped(word: u64) -> bool {
    const EACH: u64 = u64::MAX / 255;
    let below = |word: u64, least: u64| word.wrapping_sub(EACH * least) & !word;
    let is = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & (EACH << 7) != 0
}
