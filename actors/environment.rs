//! What a node is given when it starts.

use std::{fmt, rc::Rc, sync::Arc};

use chinwag_protocol::{
    group::{Group, GroupConfig, Sharing},
    identity::NodeAddr,
};

use crate::{
    clock::Clock,
    launcher::{Heap, Launcher},
    service::AnyService,
    settings::Settings,
    transport::Transport,
};

/// What a node is told at its start.
pub struct Environment {
    /// What the node tells others of itself; its identity.
    pub me: NodeAddr,
    /// The way out.
    pub transport: Rc<dyn Transport>,
    /// How new nodes are started, where they can be.
    pub launcher: Option<Rc<dyn Launcher>>,
    /// What the allocator holds and uses, in bytes, where the platform says.
    pub heap: fn() -> Option<Heap>,
    /// Where all of the node's chance comes from.
    pub seed: [u8; 32],
    /// Which life of the node this is: a number that is higher after every start at the same address.
    pub incarnation: u64,
    /// Whether the node is in `groups` from their beginning. A node that is started again, without what it knew, is a
    /// newcomer in them: it performs no gossip that was started before it came back.
    pub founding: bool,
    /// How its clock goes.
    pub clock: Clock,
    /// Bounds.
    pub settings: Settings,
    /// Services of the node's own.
    pub services: Vec<AnyService>,
    /// Services that every group gets beside the built-in ones.
    pub distributed: Vec<AnyService>,
    /// Groups that the node knows from the start. The sets are shared, not copied, and a group's services start with
    /// the first call on them: a simulation of many nodes that all know each other holds one set.
    pub groups: Vec<(Arc<GroupConfig>, Arc<Group>)>,
    /// Whether the node has heard from the members of `groups` before it starts, and in which life: that of all of them. For
    /// simulations of many nodes that know each other.
    pub acquainted: Option<u64>,
    /// With whom the node shares its sets of members, beyond those that it starts with.
    pub sharing: Option<Sharing>,
    /// Called once when the node is to stop, after the call that asked for it was answered.
    pub on_stop: Box<dyn FnOnce()>,
}

impl Environment {
    /// A node in its first life that knows nobody, starts no others, has no services of its own, and does nothing more when it stops.
    pub fn new(me: NodeAddr, transport: Rc<dyn Transport>, seed: [u8; 32]) -> Environment {
        Environment {
            me,
            transport,
            launcher: None,
            heap: || None,
            seed,
            incarnation: 0,
            founding: true,
            clock: Clock::default(),
            settings: Settings::default(),
            services: Vec::new(),
            distributed: Vec::new(),
            groups: Vec::new(),
            acquainted: None,
            sharing: None,
            on_stop: Box::new(|| {}),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("me", &self.me).field("settings", &self.settings).finish_non_exhaustive()
    }
}
