//! [`Array`]: a JavaScript array, holes included.

use super::Value;

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
