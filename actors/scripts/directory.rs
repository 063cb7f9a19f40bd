//! The names of groups, services and methods that shipped code sees.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

/// The names of groups, services and methods that shipped code sees. The route table writes it and the engine reads it.
/// A node that runs no shipped code keeps it empty.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    enabled: bool,
    names: Arc<RwLock<Names>>,
}

/// Maps each group to its services, and each service to its methods.
type Names = BTreeMap<String, BTreeMap<String, Vec<String>>>;

impl Directory {
    pub(crate) fn new(enabled: bool) -> Directory {
        Directory { enabled, names: Arc::default() }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Names> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether the group need not be added: it is present, or the directory is disabled.
    pub(crate) fn knows(&self, gid: &str) -> bool {
        !self.enabled || self.read().contains_key(gid)
    }

    /// Changes the names, unless the directory is disabled.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Names)) {
        if self.enabled {
            change(&mut self.names.write().unwrap_or_else(PoisonError::into_inner));
        }
    }
}
