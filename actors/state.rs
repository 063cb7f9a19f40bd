//! The state that the actors of one node share.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use chinwag_protocol::{
    call::{Call, CallContext},
    group::{Groups, Member},
    identity::{Gid, Nid, NodeAddr},
    peer::{self, Outgoing},
};
use futures_util::future::LocalBoxFuture;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    admission::Admission,
    clock::Clock,
    launcher::{Heap, Launcher},
    request::ReplyFuture,
    scripts::Scripts,
    settings::Settings,
    transport::Transport,
};

/// What the actors of one node share; they live on one thread.
pub(crate) struct NodeState {
    pub me: NodeAddr,
    /// Its [`key`](NodeAddr::key), by which the protocols know it. What the node tells people is the NID of `me`.
    pub nid: Nid,
    pub transport: Rc<dyn Transport>,
    pub launcher: Option<Rc<dyn Launcher>>,
    pub heap: fn() -> Option<Heap>,
    pub settings: Settings,
    /// The services of every group, by name, with the names of their methods.
    pub group_services: Vec<(String, Vec<String>)>,
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
    pub admission: Admission,
    pub scripts: Scripts,
    /// Kept here so that they outlive the actors that work on them.
    pub groups: RefCell<Groups>,
    /// Whether there are members that nobody has heard from, to whom calls are a sign of life or take a short time only.
    pub unheard: Arc<AtomicBool>,
    chance: RefCell<ChaCha8Rng>,
}

impl NodeState {
    /// The state of a node that has yet to start.
    pub(crate) fn new(me: NodeAddr, settings: Settings, seed: [u8; 32], clock: Clock, given: Given) -> NodeState {
        let Given { transport, launcher, heap, incarnation, acquainted, groups, founded, group_services } = given;
        NodeState {
            scripts: Scripts::new(me.clone(), settings.scripts.clone(), seed, clock, incarnation),
            nid: me.key(),
            groups: RefCell::new(groups),
            me,
            transport,
            launcher,
            heap,
            admission: Admission::new(settings.calls_in_flight, settings.relayed_calls_in_flight),
            settings,
            group_services,
            counts: Cell::new(0),
            unheard: Arc::default(),
            incarnation,
            acquainted,
            life: Cell::new(incarnation),
            founded: RefCell::new(founded),
            clock,
            started: Instant::now(),
            chance: RefCell::new(rand::SeedableRng::from_seed(seed)),
        }
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
}

/// What a node's state is made of, beside its identity and its settings.
pub(crate) struct Given {
    pub transport: Rc<dyn Transport>,
    pub launcher: Option<Rc<dyn Launcher>>,
    pub heap: fn() -> Option<Heap>,
    pub incarnation: u64,
    pub acquainted: Option<u64>,
    pub groups: Groups,
    pub founded: Vec<Gid>,
    pub group_services: Vec<(String, Vec<String>)>,
}
