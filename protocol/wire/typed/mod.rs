//! The typed form: `{"type": …, "value": …}`.

mod read;
mod write;

pub(super) use read::Typed;
pub(in crate::wire) use write::{array, length, value};
