//! [`Reference`]: shared and cyclic structure as a leaf of the tree.

use std::fmt;

/// One step down from a container to what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Into an array.
    Index(u32),
    /// Into an object.
    Key(String),
}

/// "The same value as the one over there": go up, then down.
///
/// `up` counts containers from the place where the reference stands: 1 is the array or object that
/// holds it, 2 the one around that. `path` then leads down. An object that holds itself under `"self"` is
/// `{self: Reference { up: 1, path: [] }}`, wherever that object stands.
///
/// An error's cause is a root of its own: a reference inside it never leads out of it, and none leads in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// How many containers to go up. 0 would be the reference itself and resolves to nothing.
    pub up: u32,
    /// The way down from there.
    pub path: Vec<Segment>,
}

impl Reference {
    /// A reference to the container `up` levels above.
    pub const fn ancestor(up: u32) -> Self {
        Self {
            up,
            path: Vec::new(),
        }
    }

    /// A reference to what `path` leads to from the container `up` levels above.
    pub fn new(up: u32, path: impl IntoIterator<Item = impl Into<Segment>>) -> Self {
        Self {
            up,
            path: path.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<u32> for Segment {
    fn from(index: u32) -> Self {
        Self::Index(index)
    }
}

impl From<&str> for Segment {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<String> for Segment {
    fn from(key: String) -> Self {
        Self::Key(key)
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "[{index}]"),
            Self::Key(key) => write!(f, ".{key}"),
        }
    }
}
