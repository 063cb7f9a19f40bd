//! [`Value`] and the containers of it, which refer to each other.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ecow::EcoString;
use indexmap::IndexMap;

use super::date::Date;
use super::function::Function;
use super::number::{BigInt, EXACT, array_index};
use super::reference::Reference;

/// A value that can cross the wire.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// JavaScript's `undefined`, which is also the value of an argument that was not passed.
    #[default]
    Undefined,
    /// JavaScript's `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number. JavaScript has one kind, the double.
    Number(f64),
    /// An integer of any size.
    BigInt(BigInt),
    /// Text. Cheap to clone.
    String(EcoString),
    /// A point in time.
    Date(Date),
    /// An error, as a value.
    Error(Box<ErrorValue>),
    /// Elements in order.
    Array(Array),
    /// Keys and values.
    Object(Object),
    /// A function, as its source.
    Function(Function),
    /// The dotted path of a host function, such as `console.log`.
    Native(EcoString),
    /// The same value as another one of the tree.
    Reference(Reference),
}

impl Value {
    /// Returns the name of this kind of value on the wire: `"number"`, `"string"`, `"array"`, …
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Undefined => "undefined",
            Self::Null => "null",
            Self::Boolean(_) => "boolean",
            Self::Number(_) => "number",
            Self::BigInt(_) => "bigint",
            Self::String(_) => "string",
            Self::Date(_) => "date",
            Self::Error(_) => "error",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
            Self::Function(_) => "function",
            Self::Native(_) => "native",
            Self::Reference(_) => "reference",
        }
    }

    /// Returns whether this is `null` or `undefined`.
    pub const fn is_nullish(&self) -> bool {
        matches!(self, Self::Null | Self::Undefined)
    }

    /// Returns the text if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the number if this is a number.
    pub const fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns the truth value if this is a boolean.
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(boolean) => Some(*boolean),
            _ => None,
        }
    }

    /// Returns the object if this is an object.
    pub const fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Returns the array if this is an array.
    pub const fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    /// Returns the member at `key` if this is an object that has one.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_object()?.get(key)
    }
}

/// Equality like that of JavaScript's `Object.is`, except that 0 equals -0. `NaN` equals itself.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Undefined, Self::Undefined) | (Self::Null, Self::Null) => true,
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Self::BigInt(a), Self::BigInt(b)) => a == b,
            (Self::String(a), Self::String(b)) | (Self::Native(a), Self::Native(b)) => a == b,
            (Self::Date(a), Self::Date(b)) => a == b,
            (Self::Error(a), Self::Error(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => a == b,
            (Self::Function(a), Self::Function(b)) => a == b,
            (Self::Reference(a), Self::Reference(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

/// A JavaScript array: elements in order, some of which may be missing.
///
/// A *hole* is an index below the length at which nothing is stored. Most of JavaScript reads it as
/// [`Value::Undefined`], but the wire tells the two apart: the index of a hole is absent there. Holes at the end of an
/// array have no form on the wire and are lost, in the JavaScript reference, too.
///
/// ```
/// use chinwag_protocol::value::{Array, Value};
///
/// let mut array = Array::from(vec![Value::from("nid")]);
/// array.push(8080);
/// assert_eq!(array.get(1), Some(&Value::Number(8080.0)));
/// assert_eq!(array.len(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Array(Vec<Option<Value>>);

impl Array {
    /// Creates an empty array.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Creates an empty array with room for `capacity` elements.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Appends an element.
    pub fn push(&mut self, value: impl Into<Value>) {
        self.0.push(Some(value.into()));
    }

    /// Appends a hole. It counts in [`len`](Self::len), and is lost on the wire unless an element follows it.
    pub fn push_hole(&mut self) {
        self.0.push(None);
    }

    /// Returns the element at `index`, or `None` for a hole and for an index past the end.
    pub fn get(&self, index: usize) -> Option<&Value> {
        self.0.get(index)?.as_ref()
    }

    /// Returns the element at `index` for changing it in place.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut Value> {
        self.0.get_mut(index)?.as_mut()
    }

    /// Returns the number of elements and holes: JavaScript's `length`.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the array has neither elements nor holes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over the elements in order, a hole as `None`.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&Value>> + DoubleEndedIterator {
        self.0.iter().map(Option::as_ref)
    }

    /// Iterates over the elements in order for changing them in place, a hole as `None`.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = Option<&mut Value>> {
        self.0.iter_mut().map(Option::as_mut)
    }

    /// Returns the elements, a hole as [`Value::Undefined`].
    ///
    /// References in the elements are still relative to this array: use [`Value::extract`] for an element that has any.
    pub fn into_values(self) -> Vec<Value> {
        self.0.into_iter().map(Option::unwrap_or_default).collect()
    }

    /// Returns the elements and holes.
    pub(crate) fn slots(&self) -> &[Option<Value>] {
        &self.0
    }

    /// Returns how many bytes the slots take, without what the elements hold beside.
    pub(super) const fn slot_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Option<Value>>()
    }

    /// Creates an array of these elements and holes.
    pub(crate) const fn from_slots(slots: Vec<Option<Value>>) -> Self {
        Self(slots)
    }
}

impl From<Vec<Value>> for Array {
    fn from(values: Vec<Value>) -> Self {
        values.into_iter().collect()
    }
}

impl<V: Into<Value>> FromIterator<V> for Array {
    fn from_iter<I: IntoIterator<Item = V>>(values: I) -> Self {
        Self(values.into_iter().map(|value| Some(value.into())).collect())
    }
}

impl<V: Into<Value>> Extend<V> for Array {
    fn extend<I: IntoIterator<Item = V>>(&mut self, values: I) {
        self.0.extend(values.into_iter().map(|value| Some(value.into())));
    }
}

/// A JavaScript object: keys and values in JavaScript's order.
///
/// In that order, keys that look like an array index (`"0"` to `"4294967294"`, no leading zero) come first, ascending;
/// the others follow in the order in which they were inserted. The order decides the bytes on the wire, and thereby the
/// ids of values.
///
/// Two objects are equal if they hold the same keys and values, in whatever order. A clone is cheap: both objects share
/// their members until one of them is changed.
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

/// The members of an object. They are behind a pointer, so that a [`Value`] stays small, and shared until one of the
/// owners changes them, so that a message to many peers is held once.
#[derive(Clone, Default, PartialEq, Eq)]
struct Members {
    /// The members whose keys look like an array index. The text of the key is kept beside it, so that it can be lent.
    indexed: BTreeMap<u32, (EcoString, Value)>,
    /// The other members, in the order in which they were inserted.
    named: IndexMap<EcoString, Value>,
}

/// The number of keys up to which a linear search is used.
const FEW: usize = 8;

impl Object {
    /// Creates an empty object.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value at `key` and returns the previous one. A key that exists keeps its place in the order.
    pub fn insert(&mut self, key: impl Into<EcoString>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        let members = Arc::make_mut(&mut self.0);
        match array_index(&key) {
            Some(index) => members.indexed.insert(index, (key, value)).map(|(_, value)| value),
            None => members.named.insert(key, value),
        }
    }

    /// Returns the value at `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match array_index(key) {
            Some(index) => self.0.indexed.get(&index).map(|(_, value)| value),
            // comparing a few keys is faster than hashing one
            None if self.0.named.len() <= FEW => {
                self.0.named.iter().find(|(held, _)| *held == key).map(|(_, value)| value)
            }
            None => self.0.named.get(key),
        }
    }

    /// Returns the value at `key` for changing it in place.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        match array_index(key) {
            Some(index) => Arc::make_mut(&mut self.0).indexed.get_mut(&index).map(|(_, value)| value),
            None => Arc::make_mut(&mut self.0).named.get_mut(key),
        }
    }

    /// Removes `key` and returns its value. The order of the other keys stays.
    ///
    /// References in the value are still relative to this object; see [`Value::extract`].
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        match array_index(key) {
            Some(index) => Arc::make_mut(&mut self.0).indexed.remove(&index).map(|(_, value)| value),
            None => Arc::make_mut(&mut self.0).named.shift_remove(key),
        }
    }

    /// Returns whether the object has this key.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.0.indexed.len() + self.0.named.len()
    }

    /// Returns whether the object has no keys.
    pub fn is_empty(&self) -> bool {
        self.0.indexed.is_empty() && self.0.named.is_empty()
    }

    /// Returns about how many bytes the tables of keys and values take, without what those hold beside.
    pub(super) fn table_bytes(&self) -> usize {
        /// A key and its value.
        const ENTRY: usize = size_of::<(EcoString, Value)>();
        /// A node of a B-tree has room for eleven entries and for its links, and ascending insertion fills six.
        const NODE: usize = 11 * (size_of::<u32>() + ENTRY) + 16;
        let Members { indexed, named } = &*self.0;
        let nodes = if indexed.len() <= 11 { indexed.len().min(1) } else { indexed.len().div_ceil(6) };
        let mut bytes = 2 * size_of::<usize>() + size_of::<Members>() + nodes * NODE;
        let capacity = named.capacity();
        if capacity > 0 {
            // a list of entries with their hashes, and a hash table of indices that is filled up to seven eighths
            let buckets = (capacity * 8).div_ceil(7).next_power_of_two().max(4);
            bytes += capacity * (ENTRY + size_of::<u64>()) + buckets * (size_of::<usize>() + 1) + 16;
        }
        bytes
    }

    /// Returns the key as it is stored here, and its value.
    pub(crate) fn entry(&self, key: &str) -> Option<(&str, &Value)> {
        match array_index(key) {
            Some(index) => self.entry_at_index(index),
            None => self.0.named.get_key_value(key).map(|(key, value)| (key.as_str(), value)),
        }
    }

    /// Returns the key and the value of an index.
    pub(crate) fn entry_at_index(&self, index: u32) -> Option<(&str, &Value)> {
        let (key, value) = self.0.indexed.get(&index)?;
        Some((key, value))
    }

    /// Iterates over keys and values in JavaScript's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        let indexed = self.0.indexed.values();
        let named = self.0.named.iter();
        indexed.map(|(key, value)| (key.as_str(), value)).chain(named.map(|(key, value)| (key.as_str(), value)))
    }

    /// Iterates over keys and values in JavaScript's order, for changing the values in place.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Value)> {
        let Members { indexed, named } = Arc::make_mut(&mut self.0);
        let (indexed, named) = (indexed.values_mut(), named.iter_mut());
        indexed.map(|(key, value)| (key.as_str(), value)).chain(named.map(|(key, value)| (key.as_str(), value)))
    }

    /// Iterates over the keys in JavaScript's order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(key, _)| key)
    }

    /// Iterates over the values in the order of their keys.
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

/// A JavaScript `Error` as a value.
///
/// ```
/// use chinwag_protocol::value::ErrorValue;
///
/// let error = ErrorValue::new("no such key").named("RangeError").caused_by("nid");
/// assert_eq!(error.to_string(), "RangeError: no such key");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorValue {
    /// The kind of error: `Error`, `TypeError`, …
    pub name: String,
    /// The description of the error.
    pub message: String,
    /// The cause of the error, or [`Value::Undefined`]. It is a root of its own: its references stay inside it.
    pub cause: Value,
}

impl ErrorValue {
    /// Creates an `Error` with this message and no cause.
    pub fn new(message: impl Into<String>) -> Self {
        Self { name: "Error".to_owned(), message: message.into(), cause: Value::Undefined }
    }

    /// Returns the error under another name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Returns the error with a cause, which must be self-contained.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Value>) -> Self {
        self.cause = cause.into();
        self
    }
}

impl fmt::Display for ErrorValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

impl std::error::Error for ErrorValue {}

macro_rules! value_from {
    ($($source:ty => |$value:ident| $build:expr;)*) => {$(
        impl From<$source> for Value {
            fn from($value: $source) -> Self {
                $build
            }
        }
    )*};
}
value_from! {
    () => |_unit| Self::Undefined;
    bool => |boolean| Self::Boolean(boolean);
    &str => |text| Self::String(text.into());
    String => |text| Self::String(text.into());
    EcoString => |text| Self::String(text);
    f64 => |number| Self::Number(number);
    f32 => |number| Self::Number(number.into());
    i32 => |integer| Self::Number(integer.into());
    u32 => |integer| Self::Number(integer.into());
    u16 => |integer| Self::Number(integer.into());
    u8 => |integer| Self::Number(integer.into());
    BigInt => |integer| Self::BigInt(integer);
    Date => |date| Self::Date(date);
    Array => |array| Self::Array(array);
    Vec<Self> => |values| Self::Array(values.into());
    Object => |object| Self::Object(object);
    ErrorValue => |error| Self::Error(Box::new(error));
    Function => |function| Self::Function(function);
    Reference => |reference| Self::Reference(reference);
}

/// A number up to 2^53 in size. A larger integer becomes a [`BigInt`], because doubles skip integers there.
impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        if integer.unsigned_abs() <= EXACT { Self::Number(integer as f64) } else { Self::BigInt(integer.into()) }
    }
}

/// A number up to 2^53. A larger integer becomes a [`BigInt`], because doubles skip integers there.
impl From<u64> for Value {
    fn from(integer: u64) -> Self {
        if integer <= EXACT { Self::Number(integer as f64) } else { Self::BigInt(integer.into()) }
    }
}

impl<V: Into<Self>> From<Option<V>> for Value {
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
