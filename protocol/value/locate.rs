//! Following paths and references through a tree.

use super::Mismatch;
use super::number::array_index;
use super::reference::{Segment, Step, absolute};
use super::tree::Value;

/// Why a path or a reference leads to no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// There is no value.
    Nowhere,
    /// References on the way lead to each other in a circle.
    Circular,
    /// The way is longer than the budget.
    Costly,
}

/// The number of references in a row that are followed. What JavaScript sends needs at most one per level.
const HOPS: usize = 512;

/// A budget for one walk over a tree that is trusted or that was checked before.
pub(crate) const AMPLE: usize = 1 << 24;

/// Returns the value that `container` holds at `step`, and the step as the container itself names it.
pub(crate) fn child<'v>(container: &'v Value, step: Step<'_>) -> Option<(Step<'v>, &'v Value)> {
    match container {
        Value::Array(array) => {
            let index = match step {
                Step::Index(index) => index,
                Step::Key(key) => array_index(key)?,
            };
            let value = array.get(usize::try_from(index).ok()?)?;
            Some((Step::Index(index), value))
        }
        Value::Object(object) => {
            let (key, value) = match step {
                Step::Index(index) => object.entry_at_index(index),
                Step::Key(key) => object.entry(key),
            }?;
            Some((Step::Key(key), value))
        }
        _ => None,
    }
}

/// Walks from `root` along `path`, following references on the way and at the end. Returns the value, which is no
/// reference, and its real position, on the way to which there is none.
pub(crate) fn locate<'v: 'p, 'p>(
    root: &'v Value,
    mut path: Vec<Step<'p>>,
    budget: &mut usize,
) -> Result<(Vec<Step<'p>>, &'v Value), Lost> {
    let mut spend = |cost: usize| {
        *budget = budget.checked_sub(cost).ok_or(Lost::Costly)?;
        Ok(())
    };
    for _ in 0..=HOPS {
        let mut here = root;
        let mut walked = 0;
        let reference = loop {
            if let Value::Reference(reference) = here {
                break reference;
            }
            let Some(&step) = path.get(walked) else {
                return Ok((path, here));
            };
            spend(step.cost())?;
            let (step, value) = child(here, step).ok_or(Lost::Nowhere)?;
            path[walked] = step;
            here = value;
            walked += 1;
        };
        let mut next = absolute(&path[..walked], reference).ok_or(Lost::Nowhere)?;
        next.extend_from_slice(&path[walked..]);
        path = next;
    }
    Err(Lost::Circular)
}

impl From<Lost> for Mismatch {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Nowhere => Self::Dangling,
            Lost::Circular => Self::Circular,
            Lost::Costly => Self::TooLarge,
        }
    }
}

impl Value {
    /// Returns the value that `path` leads to from here, following references on the way and at the end. This value
    /// must be self-contained.
    pub fn at(&self, path: &[Segment]) -> Option<&Self> {
        let path = path.iter().map(Step::from).collect();
        let found = locate(self, path, &mut AMPLE.clone());
        found.ok().map(|(_, value)| value)
    }
}
