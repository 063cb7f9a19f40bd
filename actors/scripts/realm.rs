//! Realms: each has a global object and intrinsics of its own.

/// The name of a realm of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RealmName {
    /// All shipped code, unless each service has a realm of its own.
    Shipped,
    /// The code of the prompt and of `run`, which belongs to who runs the node. It can change everything in its realm.
    Prompt,
    /// The code of one service.
    Service(u64),
}

impl RealmName {
    /// Whether code in this realm must not change what other callers' code in it uses.
    pub(super) fn is_locked(self) -> bool {
        !matches!(self, RealmName::Prompt)
    }
}
