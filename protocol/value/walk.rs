//! Walking a tree as if its references were what they refer to.
//!
//! Ordinary types and plain JSON have no references, so both bridges see the target instead, as often as it is
//! referred to. That can grow without measure (forty arrays of two references each are 2^40 leaves) and
//! without end (a cycle), so a walk has a budget, a depth, and a list of the containers it is in.

use std::cell::{Cell, RefCell};

use super::conversion::Mismatch;
use super::extract::{Bounds, extract, has_reference};
use super::limits::Limits;
use super::locate::{AMPLE, locate};
use super::reference::{Step, absolute};
use super::tree::Value;

/// One walk, below one root: a value, or the cause of an error in it.
pub(crate) struct Walk<'v> {
    root: &'v Value,
    /// Where in the tree we are. References count from there.
    place: RefCell<Vec<Step<'v>>>,
    /// The containers we are in, by address, whether we came to them by the tree or by reference.
    open: RefCell<Vec<*const Value>>,
    /// How many more values may be visited.
    left: Cell<usize>,
    /// How many more bytes of text may be met by way of references. What is met once only is bounded by itself.
    text: Cell<usize>,
    /// How many references we are behind.
    behind: Cell<usize>,
    /// How many more levels may be entered.
    levels: usize,
}

/// A value on the walk.
pub(crate) struct Node<'w, 'v> {
    pub(crate) walk: &'w Walk<'v>,
    value: &'v Value,
}

/// Being at a value, references followed. Dropping it leaves.
pub(crate) struct Visit<'w, 'v> {
    walk: &'w Walk<'v>,
    /// Never a reference.
    pub(crate) value: &'v Value,
    /// Where we were before a reference took us elsewhere.
    before: Option<Vec<Step<'v>>>,
}

impl<'v> Walk<'v> {
    /// A walk over a self-contained value, within the default limits.
    pub(crate) fn new(root: &'v Value) -> Self {
        let limits = Limits::default();
        Self {
            root,
            place: RefCell::default(),
            open: RefCell::default(),
            left: Cell::new(limits.values),
            text: Cell::new(limits.bytes),
            behind: Cell::new(0),
            levels: limits.depth,
        }
    }

    /// A walk over the cause of an error on this one, out of the same budget.
    pub(crate) fn cause(&self, cause: &'v Value) -> Self {
        Self {
            root: cause,
            place: RefCell::default(),
            open: RefCell::default(),
            left: Cell::new(self.left.get()),
            text: Cell::new(self.text.get()),
            behind: Cell::new(self.behind.get()),
            levels: self.levels.saturating_sub(self.open.borrow().len() + 1),
        }
    }

    /// Accounts for a walk over a cause that has ended.
    pub(crate) fn resume(&self, cause: &Self) {
        self.left.set(cause.left.get());
        self.text.set(cause.text.get());
    }

    /// The node at the root.
    pub(crate) fn node(&self) -> Node<'_, 'v> {
        Node { walk: self, value: self.root }
    }
}

impl<'w, 'v> Node<'w, 'v> {
    /// Comes to this value, following references.
    pub(crate) fn visit(&self) -> Result<Visit<'w, 'v>, Mismatch> {
        let walk = self.walk;
        let left = walk.left.get().checked_sub(1).ok_or(Mismatch::TooLarge)?;
        walk.left.set(left);
        let (value, before) = match self.value {
            Value::Reference(reference) => {
                let path = absolute(&walk.place.borrow(), reference).ok_or(Mismatch::Dangling)?;
                let (place, value) = locate(walk.root, path, &mut AMPLE.clone())?;
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

    /// The value with what it refers to, self-contained.
    pub(crate) fn extract(&self) -> Result<Value, Mismatch> {
        let walk = self.walk;
        if walk.behind.get() == 0 && !has_reference(self.value) {
            return Ok(self.value.clone());
        }
        let place = walk.place.borrow().clone();
        let (place, part) = locate(walk.root, place, &mut AMPLE.clone())?;
        let mut bounds = Bounds { depth: walk.levels, values: walk.left.get(), bytes: walk.text.get() };
        let value = extract(walk.root, place, part, &mut bounds)?;
        walk.left.set(bounds.values);
        walk.text.set(bounds.bytes);
        Ok(value)
    }

    /// Whether this is `null` or `undefined`, or refers to it.
    pub(crate) fn is_nullish(&self) -> Result<bool, Mismatch> {
        match self.value {
            Value::Reference(_) => Ok(self.visit()?.value.is_nullish()),
            value => Ok(value.is_nullish()),
        }
    }
}

impl<'w, 'v> Visit<'w, 'v> {
    /// Does something with what this holds at `step`.
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

/// How much text a value has of its own.
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
