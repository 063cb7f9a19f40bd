//! Settling references: from the wire's absolute paths, looked up, to relative ones.
//!
//! While reading, a reference is kept as it was written, marked by how it was wrapped. Afterwards each is
//! followed to its end, which may be by way of others, and replaced by one that leads there directly: a
//! settled value has no reference to a reference. One that leads nowhere, or round in a circle, is refused.

use super::context::Context;
use super::{DecodeError, Reason};
use crate::value::locate::{Lost, locate};
use crate::value::reference::{Step, absolute, relative};
use crate::value::{Reference, Segment, Value, shortened};

/// Settles the references below `root`. Messages without any should not come here: it takes two more passes.
pub(super) fn settle(root: &mut Value, context: &Context<'_>) -> Result<(), DecodeError> {
    // Paths that were read are no longer, together, than the message. What may be more is following one that is
    // counted from further down, or chains, and keeping a long path for a short one. Both factors are guesses.
    let length = context.length();
    let mut budget = Budget {
        steps: length.saturating_mul(8).saturating_add(4096),
        kept: length.saturating_mul(2).saturating_add(4096),
    };
    settle_root(root, &mut budget)
}

/// What settling may still use up, counted as [`Step::cost`] does.
struct Budget {
    /// By walking.
    steps: usize,
    /// By what the settled references hold.
    kept: usize,
}

/// The same for a root inside the message: the cause of an error.
fn settle_root(root: &mut Value, budget: &mut Budget) -> Result<(), DecodeError> {
    let mut marked = Marked { place: Vec::new(), budget };
    marked.unmark(root)?;
    let mut settled = Vec::new();
    let mut search = Search { root, place: Vec::new(), budget, settled: &mut settled };
    search.look_up(root)?;
    // from behind, so that they can be popped; the last pass goes the same way as the one before
    settled.reverse();
    assign(root, &mut settled);
    Ok(())
}

/// First pass: what is marked becomes an ordinary relative reference, not looked up yet.
struct Marked<'b> {
    place: Vec<Segment>,
    budget: &'b mut Budget,
}

impl Marked<'_> {
    fn unmark(&mut self, value: &mut Value) -> Result<(), DecodeError> {
        match value {
            Value::Reference(reference) => {
                // as many levels below the root as it was wrapped, and as many up from here as that leaves
                let base = usize::try_from(reference.up).unwrap_or(usize::MAX);
                let up = self.place.len().checked_sub(base);
                let up = up.and_then(|up| u32::try_from(up).ok());
                reference.up = up.ok_or_else(|| refusal(Lost::Nowhere, reference))?;
                // a reference that is all there is: it can only mean itself
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

/// Second pass: where they lead, in the order in which they stand.
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

/// Third pass: puts them in.
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
