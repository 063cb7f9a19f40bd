//! [`Object`]: a JavaScript object, in JavaScript's key order.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ecow::EcoString;
use indexmap::IndexMap;

use super::Value;

/// A JavaScript object: keys and values, iterated in JavaScript's order.
///
/// That order is: keys that look like an array index (`"0"` to `"4294967294"`, no leading zero)
/// first, ascending; then the others as they were first inserted. It shows in the bytes of the wire and
/// so in ids, hence it is kept here rather than restored at the edge.
///
/// Two objects are equal when they hold the same keys and values, whatever the order. A clone is cheap: both share what
/// they hold until one is changed.
///
/// ```
/// use chinwag_protocol::value::Object;
///
/// let object: Object = [("b", 1), ("10", 2), ("9", 3), ("a", 4)].into_iter().collect();
/// let keys: Vec<&str> = object.keys().collect();
/// assert_eq!(keys, ["9", "10", "b", "a"]);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Object(Arc<Members>);

/// Behind a pointer, so that a [`Value`] stays small: most values are not objects. Shared until one of those who share it
/// changes it, so that one message to many is held once.
#[derive(Clone, Default, PartialEq, Eq)]
struct Members {
    /// Keys that look like an array index. The text is kept beside it, to be lent out.
    indexed: BTreeMap<u32, (EcoString, Value)>,
    /// All other keys, in insertion order.
    named: IndexMap<EcoString, Value>,
}

/// Up to how many keys are looked through one by one.
const FEW: usize = 8;

/// The array index that `key` spells in JavaScript, if it does: canonical decimal below 2^32 - 1.
pub(crate) fn array_index(key: &str) -> Option<u32> {
    let digits = key.as_bytes();
    match digits {
        [] => None,
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 10 && digits.iter().all(u8::is_ascii_digit) => {
            key.parse().ok().filter(|&index| index != u32::MAX)
        }
        _ => None,
    }
}

impl Object {
    /// An object without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key`, and gives back what it held before. A key that is already there keeps its place.
    pub fn insert(&mut self, key: impl Into<EcoString>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        let members = Arc::make_mut(&mut self.0);
        match array_index(&key) {
            Some(index) => members.indexed.insert(index, (key, value)).map(|(_, value)| value),
            None => members.named.insert(key, value),
        }
    }

    /// The value at `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match array_index(key) {
            Some(index) => self.0.indexed.get(&index).map(|(_, value)| value),
            // comparing a few is faster than hashing one
            None if self.0.named.len() <= FEW => {
                self.0.named.iter().find(|(held, _)| *held == key).map(|(_, value)| value)
            }
            None => self.0.named.get(key),
        }
    }

    /// The value at `key`, to be changed in place.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        match array_index(key) {
            Some(index) => Arc::make_mut(&mut self.0).indexed.get_mut(&index).map(|(_, value)| value),
            None => Arc::make_mut(&mut self.0).named.get_mut(key),
        }
    }

    /// Takes `key` out and gives back what it held. The order of the others stays.
    ///
    /// References in what is given back still count from this object; see [`Value::extract`].
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        match array_index(key) {
            Some(index) => Arc::make_mut(&mut self.0).indexed.remove(&index).map(|(_, value)| value),
            None => Arc::make_mut(&mut self.0).named.shift_remove(key),
        }
    }

    /// Whether `key` is there, whatever it holds.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.0.indexed.len() + self.0.named.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.indexed.is_empty() && self.0.named.is_empty()
    }

    /// The key as it is held here, and its value.
    pub(crate) fn entry(&self, key: &str) -> Option<(&str, &Value)> {
        match array_index(key) {
            Some(index) => self.entry_at_index(index),
            None => self.0.named.get_key_value(key).map(|(key, value)| (key.as_str(), value)),
        }
    }

    /// The same for a key that is an index.
    pub(crate) fn entry_at_index(&self, index: u32) -> Option<(&str, &Value)> {
        let (key, value) = self.0.indexed.get(&index)?;
        Some((key, value))
    }

    /// Keys and values in JavaScript's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        let indexed = self.0.indexed.values();
        let named = self.0.named.iter();
        indexed.map(|(key, value)| (key.as_str(), value)).chain(named.map(|(key, value)| (key.as_str(), value)))
    }

    /// Keys and values in JavaScript's order, the values to be changed in place.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Value)> {
        let Members { indexed, named } = Arc::make_mut(&mut self.0);
        let (indexed, named) = (indexed.values_mut(), named.iter_mut());
        indexed.map(|(key, value)| (key.as_str(), value)).chain(named.map(|(key, value)| (key.as_str(), value)))
    }

    /// The keys in JavaScript's order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(key, _)| key)
    }

    /// The values in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.iter().map(|(_, value)| value)
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Into<EcoString>, V: Into<Value>> FromIterator<(K, V)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut object = Self::new();
        object.extend(entries);
        object
    }
}

impl<K: Into<EcoString>, V: Into<Value>> Extend<(K, V)> for Object {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl IntoIterator for Object {
    type Item = (EcoString, Value);
    type IntoIter = std::iter::Chain<
        std::collections::btree_map::IntoValues<u32, (EcoString, Value)>,
        indexmap::map::IntoIter<EcoString, Value>,
    >;

    fn into_iter(self) -> Self::IntoIter {
        let members = Arc::unwrap_or_clone(self.0);
        members.indexed.into_values().chain(members.named)
    }
}
