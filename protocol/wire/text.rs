//! Reading strings: borrowed where they have no escapes, with half surrogate pairs replaced.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};

/// Reads a string.
///
/// JavaScript sends half of a surrogate pair as an escape, which a Rust string cannot hold. serde_json rejects it in a
/// string but accepts it in bytes, as the three bytes of WTF-8. So strings are read as bytes.
pub(super) struct Text;

/// Reads a string or null.
pub(super) struct Nullable;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(_) => Ok(Cow::Owned(replaced(bytes))),
        }
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        let text = std::str::from_utf8(bytes).map(str::to_owned);
        Ok(Cow::Owned(text.unwrap_or_else(|_| replaced(bytes))))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

impl<'de> DeserializeSeed<'de> for Nullable {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Nullable {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or null")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        Text.deserialize(deserializer).map(Some)
    }
}

/// Converts bytes that contain half surrogate pairs to text, with one U+FFFD for each.
fn replaced(mut bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    loop {
        let chunk = bytes.utf8_chunks().next();
        let Some(chunk) = chunk else {
            return text;
        };
        text.push_str(chunk.valid());
        let rest = &bytes[chunk.valid().len()..];
        bytes = match rest {
            [] => return text,
            [0xED, 0xA0..=0xBF, 0x80..=0xBF, after @ ..] => after,
            _ => &rest[chunk.invalid().len()..],
        };
        text.push(char::REPLACEMENT_CHARACTER);
    }
}
