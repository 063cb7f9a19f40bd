//! Writing and reading the fields of messages.
//!
//! A *lenient* field is ignored if it is malformed: its type is read, and the error dropped. That works for a
//! [`Value`](crate::value::Value), whose reader has passed a field even if reading it failed. It would not work for a
//! stream of text.

use std::{fmt, marker::PhantomData, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};

use crate::{
    identity::{Gid, NodeAddr},
    swim::MAX_PARTS,
};

/// The most groups whose hashes a probe carries. A guess: with names of ordinary length, a few hundred bytes.
pub const MAX_HEARD: usize = 8;

/// 2^53: every whole number up to it is a double of its own.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A hash or the id of a cluster, as hexadecimal text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hex(pub u64);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hex, D::Error> {
        let digits = |text: &str| u64::from_str_radix(text, 16).ok().filter(|_| text.len() <= 16);
        parsed(deserializer, "up to 16 hexadecimal digits", digits).map(Hex)
    }
}

/// A whole number that is a number on the wire. Milliseconds since 1970 take 41 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Whole(pub u64);

impl Serialize for Whole {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0 as f64)
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Whole, D::Error> {
        let number = f64::deserialize(deserializer)?;
        let whole = (0.0..=EXACT).contains(&number) && number.fract() == 0.0;
        whole.then_some(Whole(number as u64)).ok_or_else(|| D::Error::custom(format!("not a whole number: {number}")))
    }
}

/// The address of a node, `{ip, port}`.
#[derive(Serialize, Deserialize)]
struct Address<T> {
    ip: T,
    port: u16,
}

/// Reads text and parses it.
pub(super) fn parsed<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    struct Text<F>(&'static str, F);

    impl<T, F: FnOnce(&str) -> Option<T>> Visitor<'_> for Text<F> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            let shown: String = text.chars().take(80).collect();
            (self.1)(text).ok_or_else(|| E::custom(format!("not {}: {shown:?}", self.0)))
        }
    }

    deserializer.deserialize_str(Text(expected, parse))
}

/// Reads a lenient field.
pub(super) fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(T::deserialize(deserializer).ok())
}

/// Reads a flag, which is set if the field is `true`.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(bool::deserialize(deserializer).unwrap_or(false))
}

/// Returns whether a flag is omitted.
pub(super) const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Reads a list of at most `MOST` elements. A longer one is rejected before any element is read.
pub(super) fn bounded<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MOST: usize>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Elements<T, const MOST: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Elements<T, MOST> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "an array of at most {MOST} elements")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
            let many = |count: usize| A::Error::custom(format!("at most {MOST} elements are accepted, not {count}"));
            let announced = sequence.size_hint().unwrap_or_default();
            if announced > MOST {
                return Err(many(announced));
            }
            let mut elements = Vec::with_capacity(announced);
            while let Some(element) = sequence.next_element()? {
                if elements.len() == MOST {
                    return Err(many(MOST + 1));
                }
                elements.push(element);
            }
            Ok(elements)
        }
    }

    deserializer.deserialize_seq(Elements::<T, MOST>(PhantomData))
}

/// Reads a list that may be absent.
pub(super) fn some_bounded<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MOST: usize>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    bounded::<D, T, MOST>(deserializer).map(Some)
}

/// The address of a node, as `{ip, port}`.
pub(super) mod address {
    use super::*;

    pub(in crate::peer) fn serialize<S: Serializer>(node: &NodeAddr, serializer: S) -> Result<S::Ok, S::Error> {
        Address { ip: node.ip(), port: node.port() }.serialize(serializer)
    }

    pub(in crate::peer) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NodeAddr, D::Error> {
        let Address { ip, port } = Address::<String>::deserialize(deserializer)?;
        let node = NodeAddr::new(ip, port);
        node.check().map_err(D::Error::custom)?;
        Ok(node)
    }
}

/// The address of a node, which can be absent and is lenient.
pub(super) mod some_address {
    use super::*;

    pub(in crate::peer) fn serialize<S: Serializer>(node: &Option<NodeAddr>, serializer: S) -> Result<S::Ok, S::Error> {
        match node {
            Some(node) => address::serialize(node, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::peer) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<NodeAddr>, D::Error> {
        Ok(address::deserialize(deserializer).ok())
    }
}

/// The number of a life, which can be absent and is lenient.
pub(super) mod some_life {
    use super::*;

    pub(in crate::peer) fn serialize<S: Serializer>(life: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        life.map(Whole).serialize(serializer)
    }

    pub(in crate::peer) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        Ok(Whole::deserialize(deserializer).ok().map(|life| life.0))
    }
}

/// A duration in milliseconds. A malformed one is zero.
pub(super) mod milliseconds {
    use super::*;

    pub(in crate::peer) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64() * 1_000.0)
    }

    pub(in crate::peer) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let milliseconds = f64::deserialize(deserializer).unwrap_or(0.0);
        Ok(Duration::try_from_secs_f64(milliseconds / 1_000.0).unwrap_or_default())
    }
}

/// The hashes of the parts of a view.
pub(super) mod hashes {
    use super::*;

    pub(in crate::peer) fn serialize<S: Serializer>(hashes: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(hashes.iter().map(|hash| Hex(*hash)))
    }

    pub(in crate::peer) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
        let hashes = bounded::<D, Hex, MAX_PARTS>(deserializer)?;
        Ok(hashes.into_iter().map(|hash| hash.0).collect())
    }
}

/// The hashes of what a node holds, as `{gid: hash}`. Malformed entries are ignored, and so are those past
/// [`MAX_HEARD`].
pub(super) mod heard {
    use super::*;

    pub(in crate::peer) fn serialize<S: Serializer>(heard: &[(Gid, u64)], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(heard.iter().map(|(gid, hash)| (gid, Hex(*hash))))
    }

    pub(in crate::peer) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(Gid, u64)>, D::Error> {
        Ok(deserializer.deserialize_map(Hashes).unwrap_or_default())
    }

    struct Hashes;

    impl<'de> Visitor<'de> for Hashes {
        type Value = Vec<(Gid, u64)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object from group to hash")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut heard = Vec::new();
            for _ in 0..MAX_HEARD {
                let Some(gid) = map.next_key::<String>()? else { break };
                if let (Ok(gid), Ok(hash)) = (Gid::new(gid), map.next_value::<Hex>()) {
                    heard.push((gid, hash.0));
                }
            }
            Ok(heard)
        }
    }
}

/// The index of a part of a view, which has at most [`MAX_PARTS`] parts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Part(usize);

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Part, D::Error> {
        let part = usize::deserialize(deserializer)?;
        let there = (part <= MAX_PARTS).then_some(Part(part));
        there.ok_or_else(|| D::Error::custom(format!("a view has at most {MAX_PARTS} parts, not {part}")))
    }
}

/// Reads the number of parts of a view.
pub(super) fn part<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    Part::deserialize(deserializer).map(|part| part.0)
}

/// Reads the indices of parts of a view.
pub(super) fn parts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<usize>, D::Error> {
    let parts = bounded::<D, Part, MAX_PARTS>(deserializer)?;
    Ok(parts.into_iter().map(|part| part.0).collect())
}

/// Reads the part with which the next page begins, if there is one.
pub(super) fn next_part<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    Ok(part(deserializer).ok())
}
