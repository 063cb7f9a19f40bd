//! [`Reference`]: shared and cyclic structure as a leaf of the tree.

use std::fmt;

/// One step down from a container to what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// The element of an array.
    Index(u32),
    /// The member of an object.
    Key(String),
}

/// The position of another value, relative to the reference itself.
///
/// `up` counts containers from the reference: 1 is the array or object that holds it, 2 the one around that. `path`
/// then leads down. An object that holds itself under `"self"` is `{self: Reference { up: 1, path: [] }}`, wherever
/// that object is in the tree.
///
/// The cause of an error is a root of its own: no reference leads out of it, and none leads in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The number of containers to go up. 0 would be the reference itself, and leads nowhere.
    pub up: u32,
    /// The path down from there.
    pub path: Vec<Segment>,
}

impl Reference {
    /// Creates a reference to the container `up` levels above.
    pub const fn ancestor(up: u32) -> Self {
        Self { up, path: Vec::new() }
    }

    /// Creates a reference to the value that `path` leads to from the container `up` levels above.
    ///
    /// ```
    /// use chinwag_protocol::value::{Object, Reference, Value};
    ///
    /// let mut pair = Object::new();
    /// pair.insert("first", vec![Value::from(1)]);
    /// pair.insert("second", Reference::new(1, ["first"]));
    /// let pair = Value::from(pair);
    /// assert_eq!(pair.at(&["second".into(), 0.into()]), Some(&Value::from(1)));
    /// ```
    pub fn new(up: u32, path: impl IntoIterator<Item = impl Into<Segment>>) -> Self {
        Self { up, path: path.into_iter().map(Into::into).collect() }
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

/// A [`Segment`] that borrows its key, so that walking a tree does not allocate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'v> {
    /// The element of an array.
    Index(u32),
    /// The member of an object.
    Key(&'v str),
}

impl Step<'_> {
    /// Returns the segment that owns its key.
    pub(crate) fn to_segment(self) -> Segment {
        match self {
            Self::Index(index) => Segment::Index(index),
            Self::Key(key) => Segment::Key(key.to_owned()),
        }
    }

    /// Returns the cost of keeping the step, for a budget in bytes.
    pub(crate) const fn cost(self) -> usize {
        match self {
            Self::Index(_) => 1,
            Self::Key(key) => 1 + key.len(),
        }
    }
}

impl<'v> From<&'v Segment> for Step<'v> {
    fn from(segment: &'v Segment) -> Self {
        match segment {
            Segment::Index(index) => Self::Index(*index),
            Segment::Key(key) => Self::Key(key),
        }
    }
}

/// Returns the absolute path that a reference at `place` means, without checking that anything is there.
pub(crate) fn absolute<'v>(place: &[Step<'v>], reference: &'v Reference) -> Option<Vec<Step<'v>>> {
    let up = usize::try_from(reference.up).ok().filter(|&up| up > 0)?;
    let base = place.get(..place.len().checked_sub(up)?)?;
    let mut path = Vec::with_capacity(base.len() + reference.path.len());
    path.extend_from_slice(base);
    path.extend(reference.path.iter().map(Step::from));
    Some(path)
}

/// Returns the reference that means `target` if it is at `place`.
pub(crate) fn relative(place: &[Step<'_>], target: &[Step<'_>]) -> Reference {
    let common = place.iter().zip(target).take_while(|(here, there)| here == there).count();
    Reference {
        up: u32::try_from(place.len() - common).unwrap_or(u32::MAX),
        path: target[common..].iter().map(|step| step.to_segment()).collect(),
    }
}
