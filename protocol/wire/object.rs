//! Reading an object. The two forms differ only in how they read its members.

use serde::de::{DeserializeSeed, MapAccess};

use super::Reason;
use super::context::Context;
use super::text::Text;
use crate::value::{Object, Value, shortened};

/// Reads an object. `member` creates the seed that reads a member. A key that occurs twice is rejected.
pub(super) fn read<'de, A: MapAccess<'de>, S: DeserializeSeed<'de, Value = Value>>(
    context: &Context<'_>,
    mut map: A,
    member: impl Fn() -> S,
) -> Result<Value, A::Error> {
    let mut object = Object::new();
    while let Some(key) = map.next_key_seed(Text)? {
        if object.contains_key(&key) {
            return Err(context.fault(Reason::Duplicate(shortened(&key))));
        }
        let value = map.next_value_seed(member())?;
        object.insert(key, value);
    }
    Ok(object.into())
}
