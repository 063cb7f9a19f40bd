//! Following paths and references through a tree.

use super::Mismatch;
use super::number::array_index;
use super::reference::{Segment, Step, absolute};
use super::tree::Value;

/// Why a place was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Nothing is there.
    Nowhere,
    /// References on the way lead to each other, round and round.
    Circular,
    /// The way there was longer than the budget.
    Costly,
}

/// How many references in a row are followed. Whatever JavaScript sends needs at most one a level.
const HOPS: usize = 512;

/// A budget for one walk over a tree that nobody hostile built, or that was checked before.
pub(crate) const AMPLE: usize = 1 << 24;

/// What `container` holds at `step`, and that step as the container itself names it.
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

/// Walks from `root` along `path`, through references on the way and at its end, to a value that is
/// no reference. Gives its real place, which passes through no reference, too.
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
    /// What `path` leads to from here. References on the way and at its end are followed, counted from
    /// here: this value must be self-contained.
    pub fn at(&self, path: &[Segment]) -> Option<&Self> {
        let path = path.iter().map(Step::from).collect();
        let found = locate(self, path, &mut AMPLE.clone());
        found.ok().map(|(_, value)| value)
    }
}
