//! Everything that can cross the wire.
//!
//! # A tree, with references as leaves
//!
//! JavaScript's values are a graph: two keys can hold the same object, and an object can hold itself. The wire sends a
//! tree in which the second occurrence is a *reference*, a path from the root of the message. [`Value`] is that tree,
//! with one change: a [`Reference`] is relative to its own position ("two up, then down `first`"), like a relative
//! symbolic link. A self-contained value can therefore be put anywhere with the plain constructors: an argument can be
//! stored in a map, and the map sent as part of another message. Only a reference that leads *out* of a part needs care
//! when that part is taken; [`Value::extract`] does it. The module [`wire`](crate::wire) translates to and from the
//! absolute paths of the wire.
//!
//! A value is *self-contained* when its references stay inside it. Every value that this crate returns is. Taking a
//! container apart by hand can leave references that lead nowhere; they read as `undefined`.
//!
//! ```
//! use chinwag_protocol::value::{Object, Reference, Value};
//! use chinwag_protocol::wire;
//!
//! let mut node = Object::new();
//! node.insert("name", "loop");
//! node.insert("self", Reference::ancestor(1));
//! let node = Value::from(node);
//! assert_eq!(
//!     wire::encode(&Value::from(vec![node])),
//!     r#"{"type":"array","value":{"0":{"type":"object","value":{"name":{"type":"string","value":"loop"},"self":{"type":"reference","value":[0]}}}}}"#,
//! );
//! ```
//!
//! # Two bridges
//!
//! [`Value::from_serialize`] and [`Value::deserialize`] convert between values and a service's own types with serde.
//! [`Value`], [`Function`], [`ErrorValue`], [`Date`] and [`BigInt`] pass through unchanged, on their own or inside a
//! type. [`Value::from_json`] and [`Value::to_json`] convert between values and plain JSON.
//!
//! Both bridges show the target of a reference in place of the reference. That can be endless or enormous, so the
//! default [`Limits`] bound both.
//!
//! # What is absent
//!
//! - Functions are text. Nothing here parses or runs one.
//! - A string is Unicode text. A JavaScript string can hold half of a surrogate pair; the wire reads that as U+FFFD.
//! - Maps, sets, buffers, regular expressions and class instances: the JavaScript reference sends them as plain objects
//!   of their enumerable keys, so plain objects arrive.
//! - Operations on values recurse as deep as the value nests. Values from outside are bounded in depth; a program that
//!   builds a value a hundred thousand levels deep needs a stack for it.

mod conversion;
mod date;
pub(crate) mod extract;
mod function;
mod limits;
pub(crate) mod locate;
mod memory;
pub(crate) mod number;
pub(crate) mod reference;
mod tree;
pub(crate) mod walk;

pub use conversion::{ConversionError, Mismatch};
pub use date::{Date, NotDate};
pub use ecow::EcoString;
pub use function::Function;
pub use limits::Limits;
pub use number::{BigInt, NotDecimal};
pub use reference::{Reference, Segment};
pub use tree::{Array, ErrorValue, Object, Value};

pub(crate) use conversion::shortened;
