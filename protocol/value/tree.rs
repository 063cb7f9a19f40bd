//! [`Value`] and the containers of it, which refer to each other.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ecow::EcoString;
use indexmap::IndexMap;

use super::date::Date;
use super::number::{BigInt, EXACT, array_index};
use super::reference::Reference;

/// A value that can cross the wire.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// JavaScript's `undefined`: what an argument that was not passed is.
    #[default]
    Undefined,
    /// JavaScript's `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number: JavaScript has but one kind, the double.
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
    /// The same value as another one in the tree.
    Reference(Reference),
}

/// A function as the source text it is sent as. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Function(Arc<str>);

impl Function {
    /// The function with this source. It is not read here: whether it is one shows where it is run.
    pub fn new(source: impl Into<Arc<str>>) -> Self {
        Self(source.into())
    }

    /// Its source text.
    pub fn source(&self) -> &str {
        &self.0
    }
}

impl Value {
    /// JavaScript's word for this kind of value: `"number"`, `"string"`, `"array"`, …
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

    /// Whether this is `null` or `undefined`.
    pub const fn is_nullish(&self) -> bool {
        matches!(self, Self::Null | Self::Undefined)
    }

    /// The text, of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, of a number.
    pub const fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The truth value, of a boolean.
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(boolean) => Some(*boolean),
            _ => None,
        }
    }

    /// The object, of an object.
    pub const fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The array, of an array.
    pub const fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    /// What an object holds at `key`; `None` for anything else.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_object()?.get(key)
    }
}

/// Equal as JavaScript's `Object.is` has it, save that 0 equals -0: `NaN` equals itself.
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
/// A *hole* is an index below the length at which nothing is stored. It reads as
/// [`Value::Undefined`] in most of JavaScript, but it is a thing of its own on the wire, where its
/// index is absent. Holes at the very end have no form there and are lost, by the reference as well.
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
    /// An array without elements.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// An array without elements that can take `capacity` of them before it grows.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Appends an element.
    pub fn push(&mut self, value: impl Into<Value>) {
        self.0.push(Some(value.into()));
    }

    /// Appends a hole. It counts in [`len`](Self::len), and is lost on the wire unless an element follows.
    pub fn push_hole(&mut self) {
        self.0.push(None);
    }

    /// The element at `index`: `None` for a hole and for an index past the end.
    pub fn get(&self, index: usize) -> Option<&Value> {
        self.0.get(index)?.as_ref()
    }

    /// The element at `index`, to be changed in place.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut Value> {
        self.0.get_mut(index)?.as_mut()
    }

    /// The number of elements, holes included: JavaScript's `length`.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is neither element nor hole.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The elements in order, a hole as `None`.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&Value>> + DoubleEndedIterator {
        self.0.iter().map(Option::as_ref)
    }

    /// The elements in order, to be changed in place, a hole as `None`.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = Option<&mut Value>> {
        self.0.iter_mut().map(Option::as_mut)
    }

    /// The elements by value, a hole as [`Value::Undefined`].
    ///
    /// References in them still count from this array: a part that has any must be taken out with
    /// [`Value::extract`] instead.
    pub fn into_values(self) -> Vec<Value> {
        self.0.into_iter().map(Option::unwrap_or_default).collect()
    }

    /// The elements with their holes, as stored.
    pub(crate) fn slots(&self) -> &[Option<Value>] {
        &self.0
    }

    /// An array of these elements and holes.
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

/// An error as a value: what JavaScript's `Error` carries across the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorValue {
    /// The kind of error: `Error`, `TypeError`, …
    pub name: String,
    /// What went wrong.
    pub message: String,
    /// What made it go wrong; [`Value::Undefined`] for nothing. It is a root of its own: references in it start from it.
    pub cause: Value,
}

impl ErrorValue {
    /// An `Error` with this message and no cause.
    pub fn new(message: impl Into<String>) -> Self {
        Self { name: "Error".to_owned(), message: message.into(), cause: Value::Undefined }
    }

    /// The same under another name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The same with a cause, which must be self-contained.
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

/// A number up to 2^53 in size; beyond that a [`BigInt`], for doubles do not count on exactly.
impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        if integer.unsigned_abs() <= EXACT { Self::Number(integer as f64) } else { Self::BigInt(integer.into()) }
    }
}

/// A number up to 2^53; beyond that a [`BigInt`], for doubles do not count on exactly.
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
