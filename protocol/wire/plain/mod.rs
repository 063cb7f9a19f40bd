//! The plain form: JSON as people write it.

mod read;
mod write;

pub(super) use read::Plain as Read;
pub(super) use write::write;
pub(crate) use write::{Plain, whole};
