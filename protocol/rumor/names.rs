//! The ids of rumors as text.
//!
//! ```text
//! NID/incarnation/sequence      a numbered id
//! NID/incarnation/first-last    a stretch of numbered ids
//! {opaque: text}                an opaque id, whose text could look like one of the others
//! ```

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::message::{Id, Stretch};

impl<P: FromStr> Id<P> {
    /// Parses a numbered id.
    pub fn numbered(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (origin, incarnation, sequence) = (parts.next()?, parts.next()?, parts.next()?);
        let (incarnation, sequence) = (incarnation.parse().ok()?, sequence.parse().ok()?);
        let id = Id::Numbered { origin: origin.parse().ok()?, incarnation, sequence };
        parts.next().is_none().then_some(id)
    }
}

impl<P: FromStr> Stretch<P> {
    fn numbered(text: &str) -> Option<Self> {
        let (first, last) = text.rsplit_once('-')?;
        match Id::numbered(first)? {
            Id::Numbered { origin, incarnation, sequence: first } => {
                let last = last.parse().ok().filter(|last| *last >= first)?;
                Some(Stretch::Numbered { origin, incarnation, first, last })
            }
            Id::Opaque(_) => None,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Opaque<T> {
    opaque: T,
}

impl<P: fmt::Display> Serialize for Id<P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Id::Numbered { .. } => serializer.collect_str(self),
            Id::Opaque(text) => Opaque { opaque: &**text }.serialize(serializer),
        }
    }
}

impl<P: fmt::Display> Serialize for Stretch<P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Stretch::Numbered { origin, incarnation, first, last } => {
                serializer.collect_str(&format_args!("{origin}/{incarnation}/{first}-{last}"))
            }
            Stretch::Opaque(text) => Opaque { opaque: &**text }.serialize(serializer),
        }
    }
}

impl<'de, P: FromStr> Deserialize<'de> for Id<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Named(PhantomData))
    }
}

impl<'de, P: FromStr> Deserialize<'de> for Stretch<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Named(PhantomData))
    }
}

/// Reads either form.
trait Name: Sized {
    const EXPECTED: &'static str;

    fn numbered(text: &str) -> Option<Self>;

    fn opaque(text: String) -> Self;
}

impl<P: FromStr> Name for Id<P> {
    const EXPECTED: &'static str = "the id of a rumor";

    fn numbered(text: &str) -> Option<Self> {
        Id::numbered(text)
    }

    fn opaque(text: String) -> Self {
        Id::Opaque(text.into())
    }
}

impl<P: FromStr> Name for Stretch<P> {
    const EXPECTED: &'static str = "a stretch of rumors";

    fn numbered(text: &str) -> Option<Self> {
        Stretch::numbered(text)
    }

    fn opaque(text: String) -> Self {
        Stretch::Opaque(text.into())
    }
}

struct Named<T>(PhantomData<T>);

impl<'de, T: Name> Visitor<'de> for Named<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let shown: String = text.chars().take(80).collect();
        T::numbered(text).ok_or_else(|| E::custom(format!("not {}: {shown:?}", T::EXPECTED)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        Ok(T::opaque(Opaque::deserialize(MapAccessDeserializer::new(map))?.opaque))
    }
}
