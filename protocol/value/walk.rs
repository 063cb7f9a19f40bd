//! Walking a tree as if each reference were its target.
//!
//! Ordinary types and plain JSON have no references, so both bridges see the target in place of every reference to it.
//! That can be enormous (forty arrays of two references each are 2^40 leaves) or endless (a cycle), so a walk has a
//! budget, a depth, and a list of the containers that it is in.

use std::cell::{Cell, RefCell};

use super::conversion::Mismatch;
use super::extract::{Bounds, extract, has_reference};
use super::limits::Limits;
use super::locate::{AMPLE, Lost, locate};
use super::reference::{Step, absolute};
use super::tree::Value;

/// One walk, below one root: a value, or the cause of an error in it.
pub(crate) struct Walk<'v> {
    root: &'v Value,
    /// The current position in the tree, to which references are relative.
    place: RefCell<Vec<Step<'v>>>,
    /// The addresses of the containers that the walk is in, whether it entered them directly or through a reference.
    open: RefCell<Vec<*const Value>>,
    /// The number of values that may still be visited.
    left: Cell<usize>,
    /// The number of bytes of text that may still be visited through references. Text that is visited once needs no
    /// bound.
    text: Cell<usize>,
    /// What following references may still cost, in units of [`Step::cost`]. All references share it, because each can
    /// have a long path and show something short.
    steps: Cell<usize>,
    /// The number of references that led to the current position.
    behind: Cell<usize>,
    /// The number of levels that may be entered.
    levels: usize,
}

/// A value on the walk.
pub(crate) struct Node<'w, 'v> {
    pub(crate) walk: &'w Walk<'v>,
    value: &'v Value,
}

/// A value that is being visited, after following references. Dropping it ends the visit.
pub(crate) struct Visit<'w, 'v> {
    walk: &'w Walk<'v>,
    /// The value, which is never a reference.
    pub(crate) value: &'v Value,
    /// The position before a reference was followed.
    before: Option<Vec<Step<'v>>>,
}

impl<'v> Walk<'v> {
    /// Begins a walk over a self-contained value, within the default limits.
    pub(crate) fn new(root: &'v Value) -> Self {
        let limits = Limits::default();
        Self {
            root,
            place: RefCell::default(),
            open: RefCell::default(),
            left: Cell::new(limits.values),
            text: Cell::new(limits.bytes),
            steps: Cell::new(AMPLE),
            behind: Cell::new(0),
            levels: limits.depth,
        }
    }

    /// Begins a walk over the cause of an error on this walk, with the same budget.
    pub(crate) fn cause(&self, cause: &'v Value) -> Self {
        Self {
            root: cause,
            place: RefCell::default(),
            open: RefCell::default(),
            left: Cell::new(self.left.get()),
            text: Cell::new(self.text.get()),
            steps: Cell::new(self.steps.get()),
            behind: Cell::new(self.behind.get()),
            levels: self.levels.saturating_sub(self.open.borrow().len() + 1),
        }
    }

    /// Takes back the budget from a walk over a cause that has ended.
    pub(crate) fn resume(&self, cause: &Self) {
        self.left.set(cause.left.get());
        self.text.set(cause.text.get());
        self.steps.set(cause.steps.get());
    }

    /// Follows a path from the root, at the expense of this walk.
    fn locate<'p>(&self, path: Vec<Step<'p>>) -> Result<(Vec<Step<'p>>, &'v Value), Lost>
    where
        'v: 'p,
    {
        let mut steps = self.steps.get();
        let found = locate(self.root, path, &mut steps);
        self.steps.set(steps);
        found
    }

    /// Returns the root.
    pub(crate) fn node(&self) -> Node<'_, 'v> {
        Node { walk: self, value: self.root }
    }
}

impl<'w, 'v> Node<'w, 'v> {
    /// Visits this value, following references.
    pub(crate) fn visit(&self) -> Result<Visit<'w, 'v>, Mismatch> {
        let walk = self.walk;
        let left = walk.left.get().checked_sub(1).ok_or(Mismatch::TooLarge)?;
        walk.left.set(left);
        let (value, before) = match self.value {
            Value::Reference(reference) => {
                let path = absolute(&walk.place.borrow(), reference).ok_or(Mismatch::Dangling)?;
                let (place, value) = walk.locate(path)?;
                if walk.open.borrow().contains(&std::ptr::from_ref(value)) {
                    return Err(Mismatch::Circular);
                }
                walk.behind.set(walk.behind.get() + 1);
                (value, Some(walk.place.replace(place)))
            }
            value => (value, None),
        };
        let visit = Visit { walk, value, before };
        walk.open.borrow_mut().push(std::ptr::from_ref(value));
        if walk.open.borrow().len() > walk.levels {
            return Err(Mismatch::TooDeep);
        }
        if walk.behind.get() > 0 {
            let text = walk.text.get().checked_sub(text_in(value));
            walk.text.set(text.ok_or(Mismatch::TooLarge)?);
        }
        Ok(visit)
    }

    /// Returns a self-contained copy of the value.
    pub(crate) fn extract(&self) -> Result<Value, Mismatch> {
        let walk = self.walk;
        if walk.behind.get() == 0 && !has_reference(self.value) {
            return Ok(self.value.clone());
        }
        let place = walk.place.borrow().clone();
        let (place, part) = walk.locate(place)?;
        let mut bounds =
            Bounds { depth: walk.levels, values: walk.left.get(), bytes: walk.text.get(), steps: walk.steps.get() };
        let value = extract(walk.root, place, part, &mut bounds)?;
        walk.left.set(bounds.values);
        walk.text.set(bounds.bytes);
        walk.steps.set(bounds.steps);
        Ok(value)
    }

    /// Returns whether this is `null` or `undefined`, or refers to it.
    pub(crate) fn is_nullish(&self) -> Result<bool, Mismatch> {
        match self.value {
            Value::Reference(_) => Ok(self.visit()?.value.is_nullish()),
            value => Ok(value.is_nullish()),
        }
    }
}

impl<'w, 'v> Visit<'w, 'v> {
    /// Calls `act` with the value that this one holds at `step`.
    pub(crate) fn descend<R>(&self, step: Step<'v>, value: &'v Value, act: impl FnOnce(Node<'w, 'v>) -> R) -> R {
        self.walk.place.borrow_mut().push(step);
        let result = act(Node { walk: self.walk, value });
        self.walk.place.borrow_mut().pop();
        result
    }
}

impl Drop for Visit<'_, '_> {
    fn drop(&mut self) {
        self.walk.open.borrow_mut().pop();
        if let Some(before) = self.before.take() {
            self.walk.place.replace(before);
            self.walk.behind.set(self.walk.behind.get() - 1);
        }
    }
}

/// Returns the number of bytes of a value's own text.
fn text_in(value: &Value) -> usize {
    match value {
        Value::String(text) | Value::Native(text) => text.len(),
        Value::BigInt(integer) => integer.as_str().len(),
        Value::Function(function) => function.source().len(),
        Value::Error(error) => error.name.len() + error.message.len(),
        Value::Object(object) => object.keys().map(str::len).sum(),
        _ => 0,
    }
}
