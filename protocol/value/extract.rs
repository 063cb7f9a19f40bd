//! Taking a self-contained part out of a value.
//!
//! References are relative, so a part whose references stay inside it can be moved as it is. A reference that leads
//! outside is replaced by a copy of its target; every further reference to that target, or to anything inside it,
//! becomes a reference to the copy. Everything outside is copied at most once, so a part is never larger than the
//! whole. Its *depth* can be larger, hence the bound on depth. Many parts of one message together can be much larger
//! than the message, so the bounds are spent across calls.

use std::collections::HashMap;

use super::conversion::{ConversionError, Mismatch};
use super::limits::Limits;
use super::locate::{AMPLE, Lost, child, locate};
use super::reference::{Segment, Step, absolute, relative};
use super::tree::{Array, Object, Value};

/// How much extraction may still cost.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// The depth to which the part may nest.
    pub(crate) depth: usize,
    /// The number of values that may still be created.
    pub(crate) values: usize,
    /// The number of bytes of text that may still be copied.
    pub(crate) bytes: usize,
    /// What following references may still cost, in units of [`Step::cost`].
    pub(crate) steps: usize,
}

/// The bound that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    Depth,
    Values,
    Bytes,
}

impl Bounds {
    fn spend(&mut self, values: usize, bytes: usize) -> Result<(), Excess> {
        self.values = self.values.checked_sub(values).ok_or(Excess::Values)?;
        self.bytes = self.bytes.checked_sub(bytes).ok_or(Excess::Bytes)?;
        Ok(())
    }
}

impl Value {
    /// Returns a self-contained copy of the part that `path` leads to: values outside of the part that it refers to are
    /// copied into it.
    ///
    /// A part without references that lead out of it can also be moved or cloned.
    ///
    /// ```
    /// use chinwag_protocol::value::{Object, Reference, Value};
    ///
    /// // [{k: 1}, {friend: <the first>}]
    /// let first = Object::from_iter([("k", 1)]);
    /// let second = Object::from_iter([("friend", Reference::new(2, [0]))]);
    /// let both = Value::from(vec![first.clone().into(), second.into()]);
    ///
    /// let second = both.extract(&[1.into()])?;
    /// assert_eq!(second.get("friend"), Some(&Value::from(first)));
    /// # Ok::<(), chinwag_protocol::value::ConversionError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If `path` leads nowhere, or the part nests deeper than the default [`Limits`].
    pub fn extract(&self, path: &[Segment]) -> Result<Self, ConversionError> {
        let path = path.iter().map(Step::from).collect();
        let (place, part) = locate(self, path, &mut AMPLE.clone()).map_err(Mismatch::from)?;
        let mut bounds = Bounds { depth: Limits::default().depth, values: usize::MAX, bytes: usize::MAX, steps: AMPLE };
        Ok(extract(self, place, part, &mut bounds).map_err(Mismatch::from)?)
    }
}

impl From<Excess> for Mismatch {
    fn from(excess: Excess) -> Self {
        match excess {
            Excess::Depth => Self::TooDeep,
            Excess::Values | Excess::Bytes => Self::TooLarge,
        }
    }
}

/// Returns a self-contained copy of the part of `root` at `place`, which is a real position as [`locate`] returns it. A
/// reference that leads nowhere becomes `undefined`.
pub(crate) fn extract<'v>(
    root: &'v Value,
    place: Vec<Step<'v>>,
    part: &'v Value,
    bounds: &mut Bounds,
) -> Result<Value, Excess> {
    let mut extraction = Extraction { root, copies: HashMap::new(), source: place, copy: Vec::new(), bounds };
    extraction.copy_first(part)
}

/// Returns whether there is a reference in `value`. The causes of errors do not count, as they are roots of their own.
pub(crate) fn has_reference(value: &Value) -> bool {
    match value {
        Value::Reference(_) => true,
        Value::Array(array) => array.iter().flatten().any(has_reference),
        Value::Object(object) => object.values().any(has_reference),
        _ => false,
    }
}

struct Extraction<'v, 'b> {
    root: &'v Value,
    /// The position of the copy of a value, by the address of the original. This holds the part itself and the targets
    /// of references; values inside those are found through them.
    copies: HashMap<*const Value, Vec<Step<'v>>>,
    /// The current position in the original.
    source: Vec<Step<'v>>,
    /// The current position in the copy.
    copy: Vec<Step<'v>>,
    bounds: &'b mut Bounds,
}

impl<'v> Extraction<'v, '_> {
    /// Copies a value that has not been copied before, and remembers the position of the copy.
    fn copy_first(&mut self, value: &'v Value) -> Result<Value, Excess> {
        self.copies.insert(std::ptr::from_ref(value), self.copy.clone());
        self.copy_contents(value)
    }

    /// Copies `value`, or refers to its copy if there is one.
    fn copy(&mut self, value: &'v Value) -> Result<Value, Excess> {
        match value {
            Value::Reference(reference) => {
                let target = absolute(&self.source, reference)
                    .ok_or(Lost::Nowhere)
                    .and_then(|path| locate(self.root, path, &mut self.bounds.steps));
                let (path, target) = match target {
                    Ok(found) => found,
                    Err(Lost::Costly) => return Err(Excess::Bytes),
                    Err(Lost::Nowhere | Lost::Circular) => return Ok(Value::Undefined),
                };
                if let Some(place) = self.copied(&path) {
                    return self.refer(&place);
                }
                let here = std::mem::replace(&mut self.source, path);
                let copy = self.copy_first(target);
                self.source = here;
                copy
            }
            Value::Array(_) | Value::Object(_) => match self.copies.get(&std::ptr::from_ref(value)).cloned() {
                Some(place) => self.refer(&place),
                None => self.copy_contents(value),
            },
            leaf => self.copy_contents(leaf),
        }
    }

    fn copy_contents(&mut self, value: &'v Value) -> Result<Value, Excess> {
        if self.copy.len() >= self.bounds.depth {
            return Err(Excess::Depth);
        }
        match value {
            Value::Array(array) => {
                self.bounds.spend(1 + array.len(), 0)?;
                let mut slots = Vec::with_capacity(array.len());
                for (index, slot) in (0..).zip(array.iter()) {
                    slots.push(match slot {
                        Some(element) => Some(self.descend(Step::Index(index), element)?),
                        None => None,
                    });
                }
                Ok(Value::Array(Array::from_slots(slots)))
            }
            Value::Object(object) => {
                self.bounds.spend(1, 0)?;
                let mut copy = Object::new();
                for (key, member) in object.iter() {
                    self.bounds.spend(1, key.len())?;
                    let member = self.descend(Step::Key(key), member)?;
                    copy.insert(key, member);
                }
                Ok(Value::Object(copy))
            }
            leaf => {
                self.weigh(leaf)?;
                Ok(leaf.clone())
            }
        }
    }

    fn descend(&mut self, step: Step<'v>, value: &'v Value) -> Result<Value, Excess> {
        self.source.push(step);
        self.copy.push(step);
        let copy = self.copy(value);
        self.source.pop();
        self.copy.pop();
        copy
    }

    /// Returns where in the copy the value at `path` of the original is, or will be.
    fn copied(&self, path: &[Step<'v>]) -> Option<Vec<Step<'v>>> {
        let mut here = self.root;
        let mut found = self.copies.get(&std::ptr::from_ref(here)).map(|to| (to, 0));
        for (depth, &step) in path.iter().enumerate() {
            here = child(here, step)?.1;
            if let Some(to) = self.copies.get(&std::ptr::from_ref(here)) {
                found = Some((to, depth + 1));
            }
        }
        // the innermost one: a value inside a target that was copied before was not copied again with its container
        let (to, depth) = found?;
        let mut place = to.clone();
        place.extend_from_slice(&path[depth..]);
        Some(place)
    }

    fn refer(&mut self, target: &[Step<'v>]) -> Result<Value, Excess> {
        let reference = relative(&self.copy, target);
        let text = target.iter().map(|step| step.cost()).sum();
        self.bounds.spend(1 + reference.path.len(), text)?;
        Ok(Value::Reference(reference))
    }

    /// Spends the cost of a clone.
    fn weigh(&mut self, value: &Value) -> Result<(), Excess> {
        match value {
            Value::String(text) | Value::Native(text) => self.bounds.spend(1, text.len()),
            Value::BigInt(integer) => self.bounds.spend(1, integer.as_str().len()),
            Value::Error(error) => {
                self.bounds.spend(3, error.name.len() + error.message.len())?;
                self.weigh(&error.cause)
            }
            Value::Array(array) => {
                self.bounds.spend(1 + array.len(), 0)?;
                array.iter().flatten().try_for_each(|element| self.weigh(element))
            }
            Value::Object(object) => {
                self.bounds.spend(1, 0)?;
                object.iter().try_for_each(|(key, member)| {
                    self.bounds.spend(0, key.len())?;
                    self.weigh(member)
                })
            }
            Value::Reference(reference) => {
                let text = reference.path.iter().map(|part| Step::from(part).cost());
                self.bounds.spend(1 + reference.path.len(), text.sum())
            }
            // the text of a function is shared, not copied
            _ => self.bounds.spend(1, 0),
        }
    }
}
