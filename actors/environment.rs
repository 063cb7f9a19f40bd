//! What a node is given when it starts.

use std::{fmt, rc::Rc, sync::Arc};

use chinwag_protocol::{
    group::{Group, GroupConfig, Sharing},
    identity::NodeAddr,
};

use crate::{
    clock::Clock,
    launcher::{EngineStarter, Heap, Launcher},
    service::AnyService,
    settings::Settings,
    transport::{NoNetwork, Transport},
};

/// What a node is given when it starts.
///
/// ```
/// use chinwag_actors::{environment::Environment, node, service::Service};
/// # actix::System::new().block_on(async {
/// let counter = Service::new("counter", |_| 0_u64).method("count", |n: &mut u64, ()| { *n += 1; *n });
/// let mut environment = Environment::isolated("127.0.0.1:8080".parse()?);
/// environment.services.push(counter.into());
/// let node = node::start(environment);
/// assert_eq!(node.call("local".parse()?, "counter", "count", ()).await?.into_value(), 1.into());
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[non_exhaustive]
pub struct Environment {
    /// The address that the node tells others. It is the node's identity.
    pub me: NodeAddr,
    /// Carries the node's calls to other nodes.
    pub transport: Rc<dyn Transport>,
    /// Starts other nodes; `None` on a node that starts none.
    pub launcher: Option<Rc<dyn Launcher>>,
    /// Starts processes for script engines; `None` if the node's engine runs on a thread.
    pub engines: Option<Rc<dyn EngineStarter>>,
    /// The figures of the allocator, or `None` if the platform does not say.
    pub heap: fn() -> Option<Heap>,
    /// Seeds the node's generator, from which it takes all randomness.
    pub seed: [u8; 32],
    /// The number of the node's life, which is higher after every start at the same address.
    pub incarnation: u64,
    /// Whether the node is in `groups` from their beginning. A node that is started again without what it knew is a
    /// newcomer in them: it performs no gossip that was started before it came back.
    pub founding: bool,
    /// The node's own clock.
    pub clock: Clock,
    /// The node's bounds, and how it takes part in membership.
    pub settings: Settings,
    /// The node's own services.
    pub services: Vec<AnyService>,
    /// Services that every group gets in addition to the built-in ones.
    pub distributed: Vec<AnyService>,
    /// Groups that the node knows from the start. The sets are shared and not copied, so a simulation of many nodes that all
    /// know each other holds one set. A group's services start with the first call on it.
    pub groups: Vec<(Arc<GroupConfig>, Arc<Group>)>,
    /// The life in which all members of `groups` are known to be before the node starts, or `None` if the node has not heard
    /// from them. For simulations of many nodes that know each other.
    pub acquainted: Option<u64>,
    /// Shares the node's sets of members with other nodes, beyond those that it starts with.
    pub sharing: Option<Sharing>,
    /// Called once when the node is told to stop, after the call that told it was answered.
    pub on_stop: Box<dyn FnOnce()>,
}

impl Environment {
    /// Returns the environment of a node in its first life that knows no other node, starts none, has no services of its own,
    /// and does nothing else when it stops.
    pub fn new(me: NodeAddr, transport: Rc<dyn Transport>, seed: [u8; 32]) -> Environment {
        Environment {
            me,
            transport,
            launcher: None,
            engines: None,
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

    /// Returns the environment of a node that reaches no other node, for examples and for tests of a single node.
    pub fn isolated(me: NodeAddr) -> Environment {
        Environment::new(me, Rc::new(NoNetwork), [0; 32])
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("me", &self.me).field("settings", &self.settings).finish_non_exhaustive()
    }
}
