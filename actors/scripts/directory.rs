//! The names that shipped code sees.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

/// The names that shipped code sees, by group and service. Kept by the route table, read by the engine; by a node that
/// takes no code not kept.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    kept: bool,
    names: Arc<RwLock<Names>>,
}

/// Group to service to methods.
type Names = BTreeMap<String, BTreeMap<String, Vec<String>>>;

impl Directory {
    pub(crate) fn new(kept: bool) -> Directory {
        Directory { kept, names: Arc::default() }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Names> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is nothing to say of a group: it is among them, or nobody asks.
    pub(crate) fn knows(&self, gid: &str) -> bool {
        !self.kept || self.read().contains_key(gid)
    }

    /// Changes the names.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Names)) {
        if self.kept {
            change(&mut self.names.write().unwrap_or_else(PoisonError::into_inner));
        }
    }
}
