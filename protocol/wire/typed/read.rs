//! Reading the typed form.
//!
//! One pass builds the values. A reference is kept as it is written and marked; [`settle`](crate::wire::settle) looks
//! up its target once the whole message has been read.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::value::{Array, Date, EcoString, ErrorValue, Function, Reference, Segment, Value};
use crate::value::{number, shortened};
use crate::wire::context::Context;
use crate::wire::error::Reason;
use crate::wire::object;
use crate::wire::text::{Nullable, Text};

/// Reads a typed value that is `depth` levels below the root.
pub(in crate::wire) struct Typed<'a, 'c> {
    pub(in crate::wire) context: &'a Context<'c>,
    pub(in crate::wire) depth: usize,
}

/// The types of the typed form.
#[derive(Clone, Copy)]
enum Type {
    Undefined,
    Null,
    Boolean,
    Number,
    BigInt,
    String,
    Date,
    Error,
    Array,
    Object,
    Function,
    Native,
    Reference,
}

impl Type {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "undefined" => Self::Undefined,
            "null" => Self::Null,
            "boolean" => Self::Boolean,
            "number" => Self::Number,
            "bigint" => Self::BigInt,
            "string" => Self::String,
            "date" => Self::Date,
            "error" => Self::Error,
            "array" => Self::Array,
            "object" => Self::Object,
            "function" => Self::Function,
            "native" => Self::Native,
            "reference" => Self::Reference,
            _ => return None,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Typed<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.context.enter(self.depth)?;
        if self.depth == 0 { deserializer.deserialize_map(self) } else { deserializer.deserialize_any(self) }
    }
}

impl<'de> Visitor<'de> for Typed<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"a value as {"type": …, "value": …}"#)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let context = self.context;
        let envelope = |problem: String| context.fault(Reason::Envelope(problem));
        let value = match map.next_key_seed(Text)?.as_deref() {
            Some("type") => {
                let kind = self.kind(&map.next_value_seed(Text)?)?;
                match map.next_key_seed(Text)?.as_deref() {
                    Some("value") => map.next_value_seed(Body { context, depth: self.depth, kind })?,
                    // JSON.stringify omits a key whose value is undefined
                    None if matches!(kind, Type::Undefined) => Value::Undefined,
                    None if matches!(kind, Type::Null) => Value::Null,
                    None => return Err(envelope("\"value\" is missing".to_owned())),
                    Some(key) => return Err(envelope(unexpected(key))),
                }
            }
            Some("value") => {
                let body: &RawValue = map.next_value()?;
                match map.next_key_seed(Text)?.as_deref() {
                    Some("type") => {}
                    None => return Err(envelope("\"type\" is missing".to_owned())),
                    Some(key) => return Err(envelope(unexpected(key))),
                }
                let kind = self.kind(&map.next_value_seed(Text)?)?;
                let body_seed = Body { context, depth: self.depth, kind };
                context.read_again(body.get(), body_seed)?
            }
            None => return Err(envelope("both are missing".to_owned())),
            Some(key) => return Err(envelope(unexpected(key))),
        };
        match map.next_key_seed(Text)? {
            None => Ok(value),
            Some(key) => Err(envelope(unexpected(&key))),
        }
    }

    /// Older nodes send a nested value as a JSON string.
    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        let Self { context, depth } = self;
        context.read_again(text, Nested { context, depth })
    }
}

fn unexpected(key: &str) -> String {
    format!("found {:?}", shortened(key))
}

impl Typed<'_, '_> {
    fn kind<E: Error>(&self, name: &str) -> Result<Type, E> {
        Type::named(name).ok_or_else(|| self.context.fault(Reason::UnknownType(shortened(name))))
    }
}

/// Reads a typed value inside a string. It was counted when the string was read, and it cannot be a string again.
struct Nested<'a, 'c> {
    context: &'a Context<'c>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Nested<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Self { context, depth } = self;
        deserializer.deserialize_map(Typed { context, depth })
    }
}

/// Reads the content of `"value"`, once the type is known.
struct Body<'a, 'c> {
    context: &'a Context<'c>,
    depth: usize,
    kind: Type,
}

impl<'de> DeserializeSeed<'de> for Body<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Self { context, depth, kind } = self;
        let malformed = |what, text: &str| {
            let text = shortened(text);
            context.fault(Reason::Malformed { what, text })
        };
        Ok(match kind {
            Type::Object => deserializer.deserialize_map(Members { context, depth })?,
            Type::Array => deserializer.deserialize_map(Elements { context, depth })?,
            Type::Reference => deserializer.deserialize_any(Path { context, wraps: 0 })?,
            Type::Error => {
                let fields = Typed { context, depth: depth + 1 };
                match error(fields.deserialize(deserializer)?) {
                    Ok(error) => error.into(),
                    Err(found) => {
                        let problem = format!("an error is an object of text, found {found}");
                        return Err(context.fault(Reason::Shape(problem)));
                    }
                }
            }
            // their text is empty; any other text is ignored
            Type::Undefined => Nullable.deserialize(deserializer).map(|_| Value::Undefined)?,
            Type::Null => Nullable.deserialize(deserializer).map(|_| Value::Null)?,
            Type::Date => match Nullable.deserialize(deserializer)? {
                None => Value::Date(Date::INVALID),
                Some(text) => match text.parse() {
                    Ok(date) => Value::Date(date),
                    Err(_) => return Err(malformed("date", &text)),
                },
            },
            Type::Boolean => match &*Text.deserialize(deserializer)? {
                "true" => Value::Boolean(true),
                "false" => Value::Boolean(false),
                other => return Err(malformed("boolean", other)),
            },
            Type::Number => {
                let text = Text.deserialize(deserializer)?;
                match number::parse_number(&text) {
                    Some(number) => Value::Number(number),
                    None => return Err(malformed("number", &text)),
                }
            }
            Type::BigInt => {
                let text = Text.deserialize(deserializer)?;
                match text.parse() {
                    Ok(integer) => Value::BigInt(integer),
                    Err(_) => return Err(malformed("bigint", &text)),
                }
            }
            Type::String => Value::String(EcoString::from(&*Text.deserialize(deserializer)?)),
            Type::Native => Value::Native(EcoString::from(&*Text.deserialize(deserializer)?)),
            Type::Function => Value::Function(Function::new(&*Text.deserialize(deserializer)?)),
        })
    }
}

/// Reads the members of an object.
struct Members<'a, 'c> {
    context: &'a Context<'c>,
    depth: usize,
}

impl<'de> Visitor<'de> for Members<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object from key to value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        let Self { context, depth } = self;
        object::read(context, map, || Typed { context, depth: depth + 1 })
    }
}

/// Reads the elements of an array, which is an object from index to element.
struct Elements<'a, 'c> {
    context: &'a Context<'c>,
    depth: usize,
}

impl<'de> Visitor<'de> for Elements<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object from index to element")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let Self { context, depth } = self;
        let depth = depth + 1;
        let mut slots: Vec<Option<Value>> = Vec::new();
        while let Some(key) = map.next_key_seed(Text)? {
            let index = number::array_index(&key).and_then(|index| usize::try_from(index).ok());
            let Some(index) = index else {
                let text = shortened(&key);
                let what = "array index";
                return Err(context.fault(Reason::Malformed { what, text }));
            };
            // a hole takes memory, so it counts as a value
            if let Some(holes) = index.checked_sub(slots.len()) {
                context.count(holes)?;
                slots.resize_with(index + 1, || None);
            } else if slots[index].is_some() {
                return Err(context.fault(Reason::Duplicate(shortened(&key))));
            }
            slots[index] = Some(map.next_value_seed(Typed { context, depth })?);
        }
        Ok(Array::from_slots(slots).into())
    }
}

/// Reads the content of a reference: a path, or the malformed form that the JavaScript reference writes for a third
/// occurrence.
///
/// Its serializer looks for shared structure at every level again, and so takes the *path* of an earlier reference for
/// a shared array if a later reference has the same target. It then writes `{"$reference": ["\"b\"", "\"y\"",
/// "$reference"]}`: "the path of the reference at `b.y`", relative to the level at which it noticed, which is as deep
/// as the wrapping. It writes `[{x: S, y: S, z: S}]` in this way, and cannot read it itself. The meaning is clear
/// nevertheless: the target of `b.y`.
///
/// The result is marked: `up` holds the depth of the wrapping, and the path is relative to the position that many
/// levels below the root.
struct Path<'a, 'c> {
    context: &'a Context<'c>,
    wraps: u32,
}

/// The key that marks a reference before it is serialized.
const MARK: &str = "$reference";

impl<'de> DeserializeSeed<'de> for Path<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Path<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path as an array of indices and quoted keys")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let Self { context, wraps } = self;
        context.refer();
        let mut path = Vec::new();
        while let Some(segment) = seq.next_element_seed(PathSegment { context })? {
            // a real path is not longer than values may be deep
            if path.len() > context.limits.depth {
                return Err(context.fault(Reason::TooDeep(context.limits.depth)));
            }
            path.push(segment);
        }
        for _ in 0..wraps {
            match path.pop() {
                Some(Segment::Key(key)) if key == MARK => {}
                _ => return Err(context.fault(Reason::Shape(format!("{MARK} without its path")))),
            }
        }
        Ok(Value::Reference(Reference { up: wraps, path }))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let Self { context, wraps } = self;
        let wraps = wraps + 1;
        context.enter(usize::try_from(wraps).unwrap_or(usize::MAX))?;
        let value = match map.next_key_seed(Text)? {
            Some(key) if key == MARK => map.next_value_seed(Path { context, wraps })?,
            _ => return Err(A::Error::custom(format!("expected {MARK}"))),
        };
        match map.next_key_seed(Text)? {
            None => Ok(value),
            Some(_) => Err(A::Error::custom(format!("expected nothing beside {MARK}"))),
        }
    }
}

/// Reads one step of a path: an index, or a key as JSON text.
struct PathSegment<'a, 'c> {
    context: &'a Context<'c>,
}

impl<'de> DeserializeSeed<'de> for PathSegment<'_, '_> {
    type Value = Segment;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Segment, D::Error> {
        self.context.count(1)?;
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for PathSegment<'_, '_> {
    type Value = Segment;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an index or a quoted key")
    }

    fn visit_u64<E: Error>(self, index: u64) -> Result<Segment, E> {
        u32::try_from(index).map(Segment::Index).map_err(|_| {
            let text = index.to_string();
            let what = "array index";
            self.context.fault(Reason::Malformed { what, text })
        })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Segment, E> {
        if let Some(index) = number::array_index(text) {
            return Ok(Segment::Index(index));
        }
        let plain =
            text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).filter(|key| !key.contains(['"', '\\']));
        match plain {
            Some(key) => Ok(Segment::Key(key.to_owned())),
            None => {
                let key: Cow<'_, str> = self.context.read_again(text, Text)?;
                Ok(Segment::Key(key.into_owned()))
            }
        }
    }
}

/// Makes an error of an object. Fails with the type of the first field that should be text and is not.
fn error(fields: Value) -> Result<ErrorValue, &'static str> {
    let Value::Object(mut fields) = fields else {
        return Err(fields.type_name());
    };
    // in JavaScript a name or a message can be of any type, and is printed as text
    let mut text = |key, absent: &str| match fields.remove(key) {
        None | Some(Value::Undefined | Value::Null) => Ok(absent.to_owned()),
        Some(Value::String(text)) => Ok(text.into()),
        Some(Value::Boolean(boolean)) => Ok(boolean.to_string()),
        Some(Value::Number(number)) => Ok(ryu_js::Buffer::new().format(number).to_owned()),
        Some(Value::BigInt(integer)) => Ok(integer.to_string()),
        Some(other) => Err(other.type_name()),
    };
    let (name, message) = (text("name", "Error")?, text("message", "")?);
    let cause = fields.remove("cause").unwrap_or_default();
    Ok(ErrorValue { name, message, cause })
}
