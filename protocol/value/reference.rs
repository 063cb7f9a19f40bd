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
/// holds it, 2 the one around that. `path` then leads down. An object that holds itself under
/// `"self"` is `{self: Reference { up: 1, path: [] }}`, wherever that object stands.
///
/// An error's cause is a root of its own: a reference inside it never leads out, and none leads in.
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
        Self { up, path: Vec::new() }
    }

    /// A reference to what `path` leads to from the container `up` levels above.
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

/// A [`Segment`] that borrows its key: places are kept while walking, and a walk should not allocate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'v> {
    /// Into an array.
    Index(u32),
    /// Into an object.
    Key(&'v str),
}

impl Step<'_> {
    /// The segment it is.
    pub(crate) fn to_segment(self) -> Segment {
        match self {
            Self::Index(index) => Segment::Index(index),
            Self::Key(key) => Segment::Key(key.to_owned()),
        }
    }

    /// What keeping it costs, for a budget in bytes.
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

/// The absolute path that a reference standing at `place` means, not looked at yet.
pub(crate) fn absolute<'v>(place: &[Step<'v>], reference: &'v Reference) -> Option<Vec<Step<'v>>> {
    let up = usize::try_from(reference.up).ok().filter(|&up| up > 0)?;
    let base = place.get(..place.len().checked_sub(up)?)?;
    let mut path = Vec::with_capacity(base.len() + reference.path.len());
    path.extend_from_slice(base);
    path.extend(reference.path.iter().map(Step::from));
    Some(path)
}

/// The reference that, standing at `place`, means `target`.
pub(crate) fn relative(place: &[Step<'_>], target: &[Step<'_>]) -> Reference {
    let common = place.iter().zip(target).take_while(|(here, there)| here == there).count();
    Reference {
        up: u32::try_from(place.len() - common).unwrap_or(u32::MAX),
        path: target[common..].iter().map(|step| step.to_segment()).collect(),
    }
}
