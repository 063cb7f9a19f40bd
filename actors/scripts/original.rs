//! Functions that the node holds for the engine that they belong to.
//!
//! ```text
//! code      local.routes.put({f}, 'x')     -> the engine keeps f under a number; the node gets its text and the number
//! node      calls x.f, or answers routes.get -> the engine finds f by the number, with its variables
//! node      drops the service               -> the engine drops f
//! ```
//!
//! Numbers are never used again, so a number that belongs to an engine that has been replaced is not found, and the text
//! is evaluated instead.

use std::sync::{Arc, Mutex, PoisonError};

/// Stands for a function of an engine.
#[derive(Debug)]
pub(super) struct Original {
    number: u64,
    /// Where to report that nobody holds the function any more; `None` inside an engine.
    dropped: Option<Dropped>,
}

/// The numbers of functions that nobody holds any more, which the engine has not been told yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Dropped(Arc<Mutex<Vec<u64>>>);

impl Original {
    pub(super) fn new(number: u64) -> Original {
        Original { number, dropped: None }
    }

    /// The same function, held by the node.
    pub(super) fn held(number: u64, dropped: &Dropped) -> Original {
        Original { number, dropped: Some(dropped.clone()) }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        if let Some(Dropped(numbers)) = &self.dropped {
            numbers.lock().unwrap_or_else(PoisonError::into_inner).push(self.number);
        }
    }
}

impl Dropped {
    /// Takes the numbers that have been reported.
    pub(super) fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
