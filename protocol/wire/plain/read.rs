//! Reading the plain form.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::value::{Array, Value};
use crate::wire::context::Context;
use crate::wire::object;

/// Reads a plain value that is `depth` levels below the root.
pub(in crate::wire) struct Plain<'a, 'c> {
    pub(in crate::wire) context: &'a Context<'c>,
    pub(in crate::wire) depth: usize,
}

impl<'de> DeserializeSeed<'de> for Plain<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.context.enter(self.depth)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Plain<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, boolean: bool) -> Result<Value, E> {
        Ok(boolean.into())
    }

    fn visit_i64<E: Error>(self, integer: i64) -> Result<Value, E> {
        Ok(Value::Number(integer as f64))
    }

    fn visit_u64<E: Error>(self, integer: u64) -> Result<Value, E> {
        Ok(Value::Number(integer as f64))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let Self { context, depth } = self;
        let depth = depth + 1;
        let mut slots = Vec::new();
        while let Some(element) = seq.next_element_seed(Self { context, depth })? {
            slots.push(Some(element));
        }
        Ok(Array::from_slots(slots).into())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        let Self { context, depth } = self;
        object::read(context, map, || Self { context, depth: depth + 1 })
    }
}
