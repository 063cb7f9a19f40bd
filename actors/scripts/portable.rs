//! Values that cross the boundary between the node and an engine in another process.
//!
//! A value crosses it in the wire format, whose reader has bounds. The wire format has no place for the originals of
//! functions, so their numbers are listed beside the text, each with the position of the function in the value.

use std::{fmt, sync::Arc};

use chinwag_protocol::{
    value::{Function, Value},
    wire::{self, Limits},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::original::Original;

/// A value that can cross the boundary.
#[derive(Clone)]
pub(super) struct Portable(pub Value);

impl fmt::Debug for Portable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Portable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Borrowed(&self.0).serialize(serializer)
    }
}

/// The same for a value that is borrowed.
struct Borrowed<'a>(&'a Value);

impl Serialize for Borrowed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut originals = Vec::new();
        each_function(self.0, &mut 0, &mut |position, function| {
            if let Some(original) = function.original::<Original>() {
                originals.push((position, original.number()));
            }
        });
        (wire::encode(self.0), originals).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Portable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Portable, D::Error> {
        let (text, originals): (&str, Vec<(u32, u64)>) = Deserialize::deserialize(deserializer)?;
        let mut value = wire::decode(text.as_bytes(), &limits()).map_err(D::Error::custom)?;
        let mut originals = originals.into_iter().peekable();
        if originals.peek().is_some() {
            each_function_mut(&mut value, &mut 0, &mut |position, function| {
                if let Some((_, number)) = originals.next_if(|(other, _)| *other == position) {
                    *function = function.clone().with_original(Arc::new(Original::new(number)));
                }
            });
        }
        Ok(Portable(value))
    }
}

/// What a message between the node and an engine may cost. The engine has smaller limits for what leaves it; these are
/// for an engine that no longer does what it should.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.bytes = 64 << 20;
    limits
}

/// Lists of values that cross the boundary, in a `Vec` or in an `Arc` of one.
pub(super) mod values {
    use chinwag_protocol::value::Value;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Borrowed, Portable};

    pub(in super::super) fn serialize<S: Serializer>(values: &[Value], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(Borrowed))
    }

    pub(in super::super) fn deserialize<'de, D, V>(deserializer: D) -> Result<V, D::Error>
    where
        D: Deserializer<'de>,
        V: From<Vec<Value>>,
    {
        let values = Vec::<Portable>::deserialize(deserializer)?;
        let values: Vec<Value> = values.into_iter().map(|Portable(value)| value).collect();
        Ok(V::from(values))
    }
}

/// Calls `visit` with every function in a value and its position among them.
fn each_function(value: &Value, position: &mut u32, visit: &mut impl FnMut(u32, &Function)) {
    match value {
        Value::Function(function) => {
            visit(*position, function);
            *position += 1;
        }
        Value::Array(array) => array.iter().flatten().for_each(|element| each_function(element, position, visit)),
        Value::Object(object) => object.values().for_each(|member| each_function(member, position, visit)),
        Value::Error(error) => each_function(&error.cause, position, visit),
        _ => {}
    }
}

/// Calls `visit` with every function in a value, which it may change, and its position among them.
pub(super) fn each_function_mut(value: &mut Value, position: &mut u32, visit: &mut impl FnMut(u32, &mut Function)) {
    match value {
        Value::Function(function) => {
            visit(*position, function);
            *position += 1;
        }
        Value::Array(array) => {
            array.iter_mut().flatten().for_each(|element| each_function_mut(element, position, visit));
        }
        Value::Object(object) => object.iter_mut().for_each(|(_, member)| each_function_mut(member, position, visit)),
        Value::Error(error) => each_function_mut(&mut error.cause, position, visit),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_originals_of_functions_cross_the_boundary_in_their_places() {
        let original = |number| Function::new("() => 1").with_original(Arc::new(Original::new(number)));
        let members = [
            ("first", Value::Function(original(7))),
            ("plain", Value::Function(Function::new("() => 2"))),
            ("list", Value::from(vec![Value::Function(original(9))])),
        ];
        let service = Value::Object(members.into_iter().collect());
        let bytes = postcard::to_allocvec(&Portable(service.clone())).unwrap();
        let Portable(read) = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(read, service);
        let mut found = Vec::new();
        each_function(&read, &mut 0, &mut |_, function| {
            found.push(function.original::<Original>().map(Original::number));
        });
        assert_eq!(found, [Some(7), None, Some(9)]);
    }
}
