//! How much memory a value holds.

use ecow::EcoString;

use super::reference::Segment;
use super::tree::{ErrorValue, Object, Value};

/// The length up to which text is held in place.
const INLINE: usize = 15;

/// The bytes before text or members that are shared: a count of owners, and a capacity or a second count.
const SHARED: usize = 2 * size_of::<usize>();

impl Value {
    /// Returns about how many bytes of memory the value holds, itself included.
    ///
    /// Bounds on what a node keeps count these bytes and not items, because an item can be of any size: an array of a
    /// million empty objects is a text of 3 MB and takes 140 MB. Text and objects that several values share are counted in
    /// each of them. The time is in proportion to the number of values.
    ///
    /// ```
    /// use chinwag_protocol::value::{Object, Value};
    ///
    /// let empty = Value::from(Object::new());
    /// let many = Value::from(vec![empty; 1_000]);
    /// assert!((100_000..200_000).contains(&many.memory_bytes()));
    /// ```
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + owned_bytes(self)
    }
}

impl Object {
    /// Returns about how many bytes of memory the keys and values take. See [`Value::memory_bytes`].
    pub fn memory_bytes(&self) -> usize {
        let members = self.iter().map(|(key, member)| text_bytes(key) + owned_bytes(member));
        self.table_bytes() + members.sum::<usize>()
    }
}

/// Returns how many bytes a value holds beside itself.
fn owned_bytes(value: &Value) -> usize {
    match value {
        Value::Undefined | Value::Null | Value::Boolean(_) | Value::Number(_) | Value::Date(_) => 0,
        Value::String(text) | Value::Native(text) => text_bytes(text),
        Value::BigInt(integer) => integer.as_str().len(),
        // a shared block with the text's place and what stands for the function, and the text
        Value::Function(function) => SHARED + 4 * size_of::<usize>() + function.source().len(),
        Value::Error(error) => {
            let ErrorValue { name, message, cause } = &**error;
            size_of::<ErrorValue>() + name.capacity() + message.capacity() + owned_bytes(cause)
        }
        Value::Array(array) => array.slot_bytes() + array.iter().flatten().map(owned_bytes).sum::<usize>(),
        Value::Object(object) => object.memory_bytes(),
        Value::Reference(reference) => {
            let keys = reference.path.iter().map(|segment| match segment {
                Segment::Key(key) => key.capacity(),
                Segment::Index(_) => 0,
            });
            reference.path.capacity() * size_of::<Segment>() + keys.sum::<usize>()
        }
    }
}

/// Returns how many bytes an [`EcoString`] of this text holds beside itself.
fn text_bytes(text: &str) -> usize {
    const _: () = assert!(size_of::<EcoString>() == INLINE + 1);
    if text.len() > INLINE { SHARED + text.len() } else { 0 }
}
