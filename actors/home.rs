//! What the actors of one node share, and what the outside world gives it.

use std::{
    cell::{Cell, OnceCell, RefCell},
    fmt,
    rc::Rc,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use chinwag_protocol::{
    call::{Call, CallContext, CallError, ErrorKind},
    group::{Group, GroupConfig, Groups, Member, Sharing},
    identity::{Gid, Nid, NodeAddr},
    peer::{self, Outgoing},
    value::Value,
};
use futures_util::future::LocalBoxFuture;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    clock::Clock,
    handle::Node,
    local::membership,
    request::ReplyFuture,
    scripts::{ScriptSettings, Scripts},
    service::AnyService,
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

/// Starts nodes.
pub trait Launcher {
    /// Starts a node with this configuration (`ip`, `port`, `onStart`). It is up when it has called its `onStart`.
    ///
    /// # Errors
    /// [`ErrorKind::SpawnFailed`] where nothing could be started.
    fn launch(&self, config: &Value) -> Result<Launched, CallError>;
}

/// A node that is booting.
pub struct Launched {
    /// Ends when the node has ended, with the last it said (the end of its stderr).
    pub died: LocalBoxFuture<'static, String>,
    /// Ends it.
    pub kill: Box<dyn FnOnce()>,
    /// Told where it is, once it is up.
    pub born: Box<dyn FnOnce(NodeAddr)>,
}

impl fmt::Debug for Launched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Launched")
    }
}

/// The allocator's figures, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heap {
    /// Held of the operating system.
    pub total: u64,
    /// In use; never more than `total`.
    pub used: u64,
}

/// The bounds of one node. Each refuses with `Busy` rather than let a queue grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Calls under way that came from outside or from this program. Range: from 1. Default 1,024, a guess: at 5 s a
    /// call that is what a slow group call of every client costs, and holds the memory of as many bodies.
    pub calls_in_flight: usize,
    /// Calls under way that other calls made. They have room of their own, so that two full nodes that relay to each
    /// other do not lock. Default 4,096: a call fans out.
    pub relayed_calls_in_flight: usize,
    /// Calls under way to one peer. Default 256: each holds a connection.
    pub calls_to_a_peer: usize,
    /// Calls that wait for a place on the way to one peer, within their deadlines. Default 4,096.
    pub calls_waiting_for_a_peer: usize,
    /// Whether shipped functions run, and within which bounds.
    pub scripts: ScriptSettings,
    /// How the node takes part in membership. Its probes are bound by none of the above.
    pub membership: membership::Settings,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            calls_in_flight: 1_024,
            relayed_calls_in_flight: 4_096,
            calls_to_a_peer: 256,
            calls_waiting_for_a_peer: 4_096,
            scripts: ScriptSettings::default(),
            membership: membership::Settings::default(),
        }
    }
}

/// What the actors of one node share; they live on one thread.
pub(crate) struct Home {
    pub me: NodeAddr,
    /// Its [`key`](NodeAddr::key), by which the protocols know it. What the node tells people is the NID of `me`.
    pub nid: Nid,
    pub transport: Rc<dyn Transport>,
    pub launcher: Option<Rc<dyn Launcher>>,
    pub heap: fn() -> Option<Heap>,
    pub settings: Settings,
    pub distributed: Vec<AnyService>,
    /// Which life of the node this is, as it was started.
    pub incarnation: u64,
    /// The life in which the node has heard from the members that it starts with, if it has.
    pub acquainted: Option<u64>,
    /// The life under which the node speaks: raised when peers turn out to know one that is not earlier.
    pub life: Cell<u64>,
    /// The groups in which the node is from their beginning.
    pub founded: RefCell<Vec<Gid>>,
    pub clock: Clock,
    /// When it began, truly.
    pub started: Instant,
    /// Calls served.
    pub counts: Cell<u64>,
    pub admission: Rc<Admission>,
    pub scripts: Scripts,
    /// Kept here so that they outlive the actors that work on them.
    pub groups: RefCell<Groups>,
    /// Whether there are members that nobody has heard from, to whom calls are a sign of life or take a short time only.
    pub unheard: Arc<AtomicBool>,
    chance: RefCell<ChaCha8Rng>,
    node: OnceCell<Node>,
}

impl Home {
    pub(crate) fn new(environment: Environment) -> (Home, Vec<AnyService>, Box<dyn FnOnce()>) {
        let Environment {
            me,
            transport,
            launcher,
            heap,
            seed,
            incarnation,
            founding,
            clock,
            settings,
            services,
            distributed,
            groups,
            acquainted,
            sharing,
            on_stop,
        } = environment;
        let (mut known, mut founded) = (Groups::new(me.clone()), Vec::new());
        if let Some(sharing) = sharing {
            known = known.sharing(sharing);
        }
        for (config, members) in groups {
            let gid = config.gid.clone();
            match known.share(config, members) {
                Ok(()) if founding => founded.extend([gid, Gid::all()]),
                Ok(()) => {}
                Err(why) => log::warn!(target: "chinwag::groups", "{me} does not start with a group: {why}"),
            }
        }
        founded.sort_unstable();
        founded.dedup();
        let home = Home {
            scripts: Scripts::new(me.clone(), settings.scripts.clone(), seed, clock, incarnation),
            nid: me.key(),
            groups: RefCell::new(known),
            me,
            transport,
            launcher,
            heap,
            admission: Rc::new(Admission::default()),
            settings,
            distributed,
            counts: Cell::new(0),
            unheard: Arc::default(),
            incarnation,
            acquainted,
            life: Cell::new(incarnation),
            founded: RefCell::new(founded),
            clock,
            started: Instant::now(),
            chance: RefCell::new(rand::SeedableRng::from_seed(seed)),
            node: OnceCell::new(),
        };
        (home, services, on_stop)
    }

    /// Tells the actors of the node that they make up.
    pub(crate) fn complete(&self, node: Node) {
        // it is completed once
        let _ = self.node.set(node);
    }

    /// The node's handle. None only before the node has started, when no message can have arrived.
    pub(crate) fn node(&self) -> Result<&Node, CallError> {
        self.node.get().ok_or_else(|| CallError::new(ErrorKind::Stopping, "the node has not started"))
    }

    /// Time since the node started, by its clock.
    pub(crate) fn now(&self) -> Duration {
        self.clock.since(self.started)
    }

    /// A call past the lanes of `comm` and on nobody's behalf, as membership makes them on nodes that take no part.
    pub(crate) fn call(&self, to: &NodeAddr, call: Call, time_left: Duration) -> ReplyFuture {
        self.transport.call(to, call.within(CallContext { time_left, ..CallContext::default() }))
    }

    /// A request of gossip or membership, which goes the same way.
    pub(crate) fn ask(
        &self,
        to: &NodeAddr,
        request: Outgoing,
        time_left: Duration,
    ) -> LocalBoxFuture<'static, peer::Reply> {
        self.transport.ask(to, request, time_left)
    }

    /// This node as the sender of a request: its address alone.
    pub(crate) fn sender(&self) -> Member {
        Member { nid: self.nid, node: NodeAddr::new(self.me.ip(), self.me.port()) }
    }

    /// The node's generator.
    pub(crate) fn chance<T>(&self, draw: impl FnOnce(&mut ChaCha8Rng) -> T) -> T {
        draw(&mut self.chance.borrow_mut())
    }

    /// A name that nobody else has.
    pub(crate) fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.chance(|chance| chance.random())).into_uuid()
    }

    /// Calls under way: from outside, and made by calls.
    pub(crate) fn under_way(&self) -> (usize, usize) {
        (self.admission.edge.get(), self.admission.relayed.get())
    }

    /// Lets a call in, or says that there are too many.
    pub(crate) fn admit(&self, depth: u16) -> Result<Permit, CallError> {
        let (count, most): (fn(&Admission) -> &Cell<usize>, _) = match depth {
            0 => (|admission| &admission.edge, self.settings.calls_in_flight),
            _ => (|admission| &admission.relayed, self.settings.relayed_calls_in_flight),
        };
        let under_way = count(&self.admission);
        if under_way.get() >= most {
            return Err(CallError::new(ErrorKind::Busy, format!("this node has {most} calls under way")));
        }
        under_way.set(under_way.get() + 1);
        Ok(Permit { admission: self.admission.clone(), count })
    }
}

/// How many calls are under way.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    edge: Cell<usize>,
    relayed: Cell<usize>,
}

/// A call's place among those under way, given back when dropped.
pub(crate) struct Permit {
    admission: Rc<Admission>,
    count: fn(&Admission) -> &Cell<usize>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let under_way = (self.count)(&self.admission);
        under_way.set(under_way.get() - 1);
    }
}

/// How long after its last use a peer's queue is kept.
pub(crate) const PEER_IDLE: Duration = Duration::from_secs(60);
