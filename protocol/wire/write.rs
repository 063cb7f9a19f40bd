//! Writing the typed form.

use crate::value::reference::{AMPLE, Step, absolute, child, locate};
use crate::value::{ErrorValue, Reference, Value, number};

/// Appends the typed form of `values` as the elements of one array, each of them self-contained.
pub(super) fn array<'v>(values: impl IntoIterator<Item = &'v Value>, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"type":"array","value":{"#);
    for (index, value) in (0..).zip(values) {
        index_key(index, out);
        let mut writer = Writer::new(value, out);
        writer.message_index = Some(index);
        writer.value(value);
    }
    out.extend_from_slice(b"}}");
}

/// Appends the typed form of `value`.
pub(super) fn value(value: &Value, out: &mut Vec<u8>) {
    Writer::new(value, out).value(value);
}

struct Writer<'v, 'o> {
    root: &'v Value,
    /// Where the root stands in the message, when it is one of several.
    message_index: Option<u32>,
    place: Vec<Step<'v>>,
    /// The containers that we are in, the root first.
    open: Vec<&'v Value>,
    out: &'o mut Vec<u8>,
}

impl<'v, 'o> Writer<'v, 'o> {
    const fn new(root: &'v Value, out: &'o mut Vec<u8>) -> Self {
        Self { root, message_index: None, place: Vec::new(), open: Vec::new(), out }
    }

    fn value(&mut self, value: &'v Value) {
        match value {
            Value::Undefined => self.put(br#"{"type":"undefined","value":""}"#),
            Value::Null => self.put(br#"{"type":"null","value":""}"#),
            Value::Boolean(true) => self.put(br#"{"type":"boolean","value":"true"}"#),
            Value::Boolean(false) => self.put(br#"{"type":"boolean","value":"false"}"#),
            Value::Number(number) => {
                self.put(br#"{"type":"number","value":""#);
                number::write_number(*number, self.out);
                self.put(br#""}"#);
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
                self.put(br#"{"type":"array","value":{"#);
                self.open.push(value);
                for (index, slot) in (0..).zip(array.iter()) {
                    if let Some(element) = slot {
                        index_key(index, self.out);
                        self.place.push(Step::Index(index));
                        self.value(element);
                        self.place.pop();
                    }
                }
                self.open.pop();
                self.put(b"}}");
            }
            Value::Object(object) => {
                self.put(br#"{"type":"object","value":{"#);
                self.open.push(value);
                for (key, member) in object.iter() {
                    self.separate();
                    string(key, self.out);
                    self.put(b":");
                    self.place.push(Step::Key(key));
                    self.value(member);
                    self.place.pop();
                }
                self.open.pop();
                self.put(b"}}");
            }
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// A comma, unless this is the first.
    fn separate(&mut self) {
        separate(self.out);
    }

    fn text(&mut self, kind: &str, text: &str) {
        self.put(br#"{"type":""#);
        self.put(kind.as_bytes());
        self.put(br#"","value":"#);
        string(text, self.out);
        self.put(b"}");
    }

    fn error(&mut self, error: &'v ErrorValue) {
        self.put(br#"{"type":"error","value":{"type":"object","value":{"name":"#);
        self.text("string", &error.name);
        self.put(br#","message":"#);
        self.text("string", &error.message);
        self.put(br#","cause":"#);
        // a root of its own
        Writer::new(&error.cause, self.out).value(&error.cause);
        self.put(b"}}}");
    }

    fn reference(&mut self, reference: &'v Reference) {
        let Some(path) = self.path_of(reference) else {
            // It leads nowhere in this value, and a peer would die of it; in JavaScript what is nowhere is undefined.
            return self.value(&Value::Undefined);
        };
        self.put(br#"{"type":"reference","value":["#);
        let message_index = self.message_index.map(Step::Index);
        for step in message_index.into_iter().chain(path) {
            separate_after(b'[', self.out);
            match step {
                Step::Index(index) => self.put(itoa::Buffer::new().format(index).as_bytes()),
                Step::Key(key) => {
                    let mut quoted = Vec::with_capacity(key.len() + 2);
                    string(key, &mut quoted);
                    // JSON text is text again
                    string(&String::from_utf8_lossy(&quoted), self.out);
                }
            }
        }
        self.put(b"]}");
    }

    /// The absolute path that a reference standing here has on the wire, if it leads anywhere.
    fn path_of(&self, reference: &'v Reference) -> Option<Vec<Step<'v>>> {
        let up = usize::try_from(reference.up).ok()?;
        let base = self.place.len().checked_sub(up)?;
        let mut path = absolute(&self.place, reference)?;
        // what was decoded leads there straight: look only at its own part of the way
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
                let found = locate(self.root, path, &mut AMPLE.clone());
                found.ok().map(|(path, _)| path)
            }
            Some(_) => Some(path),
        }
    }
}

fn index_key(index: u32, out: &mut Vec<u8>) {
    separate(out);
    out.push(b'"');
    out.extend_from_slice(itoa::Buffer::new().format(index).as_bytes());
    out.extend_from_slice(b"\":");
}

/// A comma, unless the object has just begun.
fn separate(out: &mut Vec<u8>) {
    separate_after(b'{', out);
}

fn separate_after(bracket: u8, out: &mut Vec<u8>) {
    if out.last() != Some(&bracket) {
        out.push(b',');
    }
}

/// Appends text as JavaScript's `JSON.stringify` quotes it.
pub(crate) fn string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.reserve(text.len() + 2);
    out.push(b'"');
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
        out.extend_from_slice(&bytes[written..at]);
        out.extend_from_slice(escape);
        at += 1;
        written = at;
    }
    out.extend_from_slice(&bytes[written..]);
    out.push(b'"');
}

/// How many bytes at the beginning are written as they are. Most text is so to its end, so it is looked at eight bytes at
/// a time.
fn verbatim(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let sure = 8 * words.iter().take_while(|word| !any_escaped(u64::from_ne_bytes(**word))).count();
    let is_verbatim = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
    sure + bytes[sure..].iter().take_while(|byte| is_verbatim(byte)).count()
}

/// Whether one of eight bytes is a quotation mark, a backslash or a control character. (Warren, "Hacker's Delight", 6-1:
/// a borrow reaches the highest bit of the first byte below what is subtracted.)
fn any_escaped(word: u64) -> bool {
    const EACH: u64 = u64::MAX / 255;
    let below = |word: u64, least: u64| word.wrapping_sub(EACH * least) & !word;
    let is = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & (EACH << 7) != 0
}
