//! The plain form: JSON as people write it.

mod read;
mod write;

pub(super) use read::Plain as Read;
pub(crate) use write::{Plain, whole};
pub(super) use write::{write, write_pretty};
