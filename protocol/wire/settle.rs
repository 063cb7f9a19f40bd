//! Settling references: from the absolute paths of the wire to relative references whose targets exist.
//!
//! The reader keeps a reference as it was written, and marks how deep it was wrapped. Afterwards each reference is
//! followed to its target, possibly through other references, and replaced by one that leads there directly: a settled
//! value has no reference to a reference. A reference that leads nowhere or in a circle is rejected.

use super::context::Context;
use super::{DecodeError, Reason};
use crate::value::locate::{Lost, locate};
use crate::value::reference::{Step, absolute, relative};
use crate::value::{Reference, Segment, Value, shortened};

/// Settles the references below `root`. This takes two more passes, so skip it for messages without references.
pub(super) fn settle(root: &mut Value, context: &Context<'_>) -> Result<(), DecodeError> {
    // The paths that were read are together not longer than the message. Following chains, or a path that is relative
    // to a deeper level, can cost more, and so can keeping a long path for a short one. Both factors are guesses.
    let length = context.length();
    let mut budget = Budget {
        steps: length.saturating_mul(8).saturating_add(4096),
        kept: length.saturating_mul(2).saturating_add(4096),
    };
    settle_root(root, &mut budget)
}

/// How much settling may still cost, in units of [`Step::cost`].
struct Budget {
    /// The cost of walking.
    steps: usize,
    /// The cost of the paths that the settled references hold.
    kept: usize,
}

/// Settles the references below a root, which can be the cause of an error inside the message.
fn settle_root(root: &mut Value, budget: &mut Budget) -> Result<(), DecodeError> {
    let mut marked = Marked { place: Vec::new(), budget };
    marked.unmark(root)?;
    let mut settled = Vec::new();
    let mut search = Search { root, place: Vec::new(), budget, settled: &mut settled };
    search.look_up(root)?;
    // reversed, so that the last pass can pop them in the order of the second
    settled.reverse();
    assign(root, &mut settled);
    Ok(())
}

/// First pass: turns marked references into ordinary relative ones, without looking them up.
struct Marked<'b> {
    place: Vec<Segment>,
    budget: &'b mut Budget,
}

impl Marked<'_> {
    fn unmark(&mut self, value: &mut Value) -> Result<(), DecodeError> {
        match value {
            Value::Reference(reference) => {
                // the path is relative to the level that is as deep as the wrapping
                let base = usize::try_from(reference.up).unwrap_or(usize::MAX);
                let up = self.place.len().checked_sub(base);
                let up = up.and_then(|up| u32::try_from(up).ok());
                reference.up = up.ok_or_else(|| refusal(Lost::Nowhere, reference))?;
                // a reference at the root can only mean itself
                if reference.up == 0 {
                    return Err(refusal(Lost::Circular, reference));
                }
                Ok(())
            }
            Value::Error(error) => settle_root(&mut error.cause, self.budget),
            Value::Array(array) => {
                for (index, slot) in (0..).zip(array.iter_mut()) {
                    if let Some(element) = slot {
                        self.place.push(Segment::Index(index));
                        self.unmark(element)?;
                        self.place.pop();
                    }
                }
                Ok(())
            }
            Value::Object(object) => {
                for (key, member) in object.iter_mut() {
                    self.place.push(Segment::Key(key.to_owned()));
                    self.unmark(member)?;
                    self.place.pop();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Second pass: looks up the targets, in the order of the references.
struct Search<'v, 's> {
    root: &'v Value,
    place: Vec<Step<'v>>,
    budget: &'s mut Budget,
    settled: &'s mut Vec<Reference>,
}

impl<'v> Search<'v, '_> {
    fn look_up(&mut self, value: &'v Value) -> Result<(), DecodeError> {
        match value {
            Value::Reference(reference) => {
                let target = absolute(&self.place, reference)
                    .ok_or(Lost::Nowhere)
                    .and_then(|path| locate(self.root, path, &mut self.budget.steps));
                let (target, _) = target.map_err(|lost| refusal(lost, reference))?;
                let settled = relative(&self.place, &target);
                let cost = settled.path.iter().map(|part| Step::from(part).cost()).sum();
                let kept = self.budget.kept.checked_sub(cost);
                self.budget.kept = kept.ok_or_else(|| refusal(Lost::Costly, reference))?;
                self.settled.push(settled);
                Ok(())
            }
            Value::Array(array) => {
                for (index, slot) in (0..).zip(array.iter()) {
                    if let Some(element) = slot {
                        self.descend(Step::Index(index), element)?;
                    }
                }
                Ok(())
            }
            Value::Object(object) => {
                for (key, member) in object.iter() {
                    self.descend(Step::Key(key), member)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn descend(&mut self, step: Step<'v>, value: &'v Value) -> Result<(), DecodeError> {
        self.place.push(step);
        self.look_up(value)?;
        self.place.pop();
        Ok(())
    }
}

/// Third pass: stores the settled references.
fn assign(value: &mut Value, settled: &mut Vec<Reference>) {
    match value {
        Value::Reference(reference) => {
            if let Some(found) = settled.pop() {
                *reference = found;
            }
        }
        Value::Array(array) => {
            let elements = array.iter_mut().flatten();
            elements.for_each(|element| assign(element, settled));
        }
        Value::Object(object) => {
            let members = object.iter_mut();
            members.for_each(|(_, member)| assign(member, settled));
        }
        _ => {}
    }
}

fn refusal(lost: Lost, reference: &Reference) -> DecodeError {
    let path: String = reference.path.iter().take(8).map(Segment::to_string).collect();
    let path = shortened(&path);
    let reason = match lost {
        Lost::Nowhere => Reason::Dangling(path),
        Lost::Circular => Reason::Circular(path),
        Lost::Costly => Reason::TooCostly("references to references"),
    };
    DecodeError::new(reason, None)
}
