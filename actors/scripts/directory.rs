//! The names of groups, services and methods that shipped code sees.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use serde::{Deserialize, Serialize};

/// The names of groups, services and methods that shipped code sees. The route table writes it and the engine reads it.
/// An engine in another process has a copy, to which it applies each [`Change`]. A node that runs no shipped code keeps
/// the directory empty.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    enabled: bool,
    state: Arc<RwLock<State>>,
}

#[derive(Debug, Default)]
struct State {
    names: Names,
    /// The changes since they were last taken, if an engine in another process needs them.
    log: Option<Vec<Change>>,
}

/// Maps each group to its services, and each service to its methods.
pub(super) type Names = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// A change to the names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Change {
    /// Adds a group without services, unless it is there.
    AddGroup(String),
    /// Sets the methods of a service, and adds the group and the service if they are not there.
    SetService {
        gid: String,
        service: String,
        methods: Vec<String>,
    },
    RemoveService {
        gid: String,
        service: String,
    },
    RemoveGroup(String),
    Clear,
}

impl Change {
    fn apply(self, names: &mut Names) {
        match self {
            Change::AddGroup(gid) => drop(names.entry(gid).or_default()),
            Change::SetService { gid, service, methods } => {
                names.entry(gid).or_default().insert(service, methods);
            }
            Change::RemoveService { gid, service } => {
                names.get_mut(&gid).map(|services| services.remove(&service));
            }
            Change::RemoveGroup(gid) => drop(names.remove(&gid)),
            Change::Clear => names.clear(),
        }
    }
}

impl Directory {
    pub(crate) fn new(enabled: bool) -> Directory {
        Directory { enabled, state: Arc::default() }
    }

    pub(super) fn names(&self) -> Ref<'_> {
        Ref(self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns whether the group need not be added: it is present, or the directory is disabled.
    pub(crate) fn knows(&self, gid: &str) -> bool {
        !self.enabled || self.names().contains_key(gid)
    }

    /// Changes the names, unless the directory is disabled.
    pub(crate) fn change(&self, change: Change) {
        if !self.enabled {
            return;
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = &mut state.log {
            log.push(change.clone());
        }
        change.apply(&mut state.names);
    }

    /// Starts to record changes. Returns the changes that make the present names out of none.
    #[cfg(feature = "scripts")]
    pub(super) fn record(&self) -> Vec<Change> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.log = Some(Vec::new());
        let mut changes = Vec::new();
        for (gid, services) in &state.names {
            changes.push(Change::AddGroup(gid.clone()));
            changes.extend(services.iter().map(|(service, methods)| Change::SetService {
                gid: gid.clone(),
                service: service.clone(),
                methods: methods.clone(),
            }));
        }
        changes
    }

    /// Stops to record changes.
    #[cfg(feature = "scripts")]
    pub(super) fn forget(&self) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).log = None;
    }

    /// Returns the changes since this was last called.
    #[cfg(feature = "scripts")]
    pub(super) fn take_changes(&self) -> Vec<Change> {
        if self.state.read().unwrap_or_else(PoisonError::into_inner).log.as_ref().is_none_or(Vec::is_empty) {
            return Vec::new();
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.log.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

/// The names, which cannot change while this is held.
pub(super) struct Ref<'a>(RwLockReadGuard<'a, State>);

impl std::ops::Deref for Ref<'_> {
    type Target = Names;

    fn deref(&self) -> &Names {
        &self.0.names
    }
}

#[cfg(all(test, feature = "scripts"))]
mod tests {
    use super::{Change, Directory};

    fn set(gid: &str, service: &str) -> Change {
        Change::SetService { gid: gid.to_owned(), service: service.to_owned(), methods: vec!["m".to_owned()] }
    }

    #[test]
    fn a_copy_that_applies_the_recorded_changes_has_the_same_names() {
        let (original, copy) = (Directory::new(true), Directory::new(true));
        original.change(set("local", "before"));
        original.change(Change::AddGroup("empty".to_owned()));
        original.record().into_iter().for_each(|change| copy.change(change));
        assert_eq!(*original.names(), *copy.names());
        original.change(set("local", "after"));
        original.change(set("g", "s"));
        original.change(Change::RemoveService { gid: "local".to_owned(), service: "before".to_owned() });
        original.change(Change::RemoveGroup("empty".to_owned()));
        original.take_changes().into_iter().for_each(|change| copy.change(change));
        assert_eq!(*original.names(), *copy.names());
        assert!(original.take_changes().is_empty());
        original.change(Change::Clear);
        original.take_changes().into_iter().for_each(|change| copy.change(change));
        assert!(copy.names().is_empty());
    }
}
