//! Everything that can cross the wire.
//!
//! # A tree, with references as leaves
//!
//! JavaScript's values are a graph: two keys may hold one object, and an object may hold itself. The wire sends
//! a tree in which the second occurrence is a *reference*, a path from the root of the message. [`Value`] is
//! that tree, with one change: a [`Reference`] is kept relative to the place where it stands ("two up, then down
//! `first`"), as a symbolic link may be. So a value can be put anywhere, an argument stored in a map, a map
//! sent on as part of another message, with the plain constructors and without anything to be rebased; only what
//! leads *out* of the part that is taken needs care, and that is what [`Value::extract`] is for. The wire's
//! absolute paths come and go at its edge, in [`wire`](crate::wire).
//!
//! A value is *self-contained* when its references stay inside it. Every value that this crate hands out is.
//! One that is not comes of taking a container apart by hand; what then leads nowhere is `undefined`.
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
//! To a service's own types by serde: [`Value::from_serialize`] and [`Value::deserialize`]. [`Value`],
//! [`Function`], [`ErrorValue`], [`Date`] and [`BigInt`] pass it unharmed, on their own or inside a type. And to
//! plain JSON, for people: [`Value::from_json`] and [`Value::to_json`].
//!
//! Both show what is referred to in place of the reference. That can be endless or enormous, so both are bounded
//! by the default [`Limits`](crate::wire::Limits).
//!
//! # What is absent
//!
//! - Functions are text. Nothing here reads or runs one.
//! - A string is Unicode text, so half a surrogate pair, which a JavaScript string may hold, has no form here:
//!   the wire reads it as U+FFFD.
//! - Maps, sets, buffers, regular expressions, class instances: the reference sends them as plain objects of
//!   their enumerable keys, so that is what arrives.
//! - Operations on values nest as deep as the value does. What comes in from outside is bounded in depth; a
//!   program that builds a value a hundred thousand levels deep needs the stack for it.

mod conversion;
mod date;
pub(crate) mod extract;
mod limits;
pub(crate) mod locate;
pub(crate) mod number;
pub(crate) mod reference;
mod tree;
pub(crate) mod walk;

pub use conversion::{ConversionError, Mismatch};
pub use date::{Date, NotDate};
pub use ecow::EcoString;
pub use limits::Limits;
pub use number::{BigInt, NotDecimal};
pub use reference::{Reference, Segment};
pub use tree::{Array, ErrorValue, Function, Object, Value};

pub(crate) use conversion::shortened;
