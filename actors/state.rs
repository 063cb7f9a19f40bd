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
    launcher::{EngineStarter, Heap, Launcher},
    request::ReplyFuture,
    scripts::Scripts,
    settings::Settings,
    transport::Transport,
};

/// The state that the actors of one node share. They run on one thread.
pub(crate) struct NodeState {
    pub me: NodeAddr,
    /// The [`key`](NodeAddr::key) of the node, by which the protocols know it. Users see the NID of `me` instead.
    pub nid: Nid,
    pub transport: Rc<dyn Transport>,
    pub launcher: Option<Rc<dyn Launcher>>,
    pub heap: fn() -> Option<Heap>,
    pub settings: Settings,
    /// The services of every group, by name, with the names of their methods.
    pub group_services: Vec<(String, Vec<String>)>,
    /// The life of the node that its environment states.
    pub incarnation: u64,
    /// The life in which the node has heard from the members that it starts with, or `None` if it has not.
    pub acquainted: Option<u64>,
    /// The life that the node states. It is raised when a peer knows a life that is not earlier.
    pub life: Cell<u64>,
    /// The groups that the node has been in since their beginning.
    pub founded: RefCell<Vec<Gid>>,
    pub clock: Clock,
    /// The real time at which the node started.
    pub started: Instant,
    /// The number of calls served.
    pub counts: Cell<u64>,
    pub admission: Admission,
    pub scripts: Scripts,
    /// The map of groups, which outlives the actors that work on it.
    pub groups: RefCell<Groups>,
    /// Whether there are members that no member has heard from. An answer of such a member is news, and group calls give it
    /// little time.
    pub unheard: Arc<AtomicBool>,
    chance: RefCell<ChaCha8Rng>,
}

impl NodeState {
    /// The state of a node that has not started yet.
    pub(crate) fn new(me: NodeAddr, settings: Settings, seed: [u8; 32], clock: Clock, given: Given) -> NodeState {
        let Given { transport, launcher, engines, heap, incarnation, acquainted, groups, founded, group_services } =
            given;
        NodeState {
            scripts: Scripts::new(me.clone(), settings.scripts.clone(), seed, clock, incarnation, engines),
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

    /// Makes a call past the lanes of `comm` and on behalf of no other call, as membership does on nodes that do not take part.
    pub(crate) fn call(&self, to: &NodeAddr, call: Call, time_left: Duration) -> ReplyFuture {
        self.transport.call(to, call.within(CallContext::new(time_left)))
    }

    /// Makes a request of gossip or membership, past the lanes of `comm`.
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

    /// Draws from the node's generator.
    pub(crate) fn chance<T>(&self, draw: impl FnOnce(&mut ChaCha8Rng) -> T) -> T {
        draw(&mut self.chance.borrow_mut())
    }

    /// Draws a unique name.
    pub(crate) fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.chance(|chance| chance.random())).into_uuid()
    }
}

/// The parts of a node's state other than its identity and its settings.
pub(crate) struct Given {
    pub transport: Rc<dyn Transport>,
    pub launcher: Option<Rc<dyn Launcher>>,
    pub engines: Option<Rc<dyn EngineStarter>>,
    pub heap: fn() -> Option<Heap>,
    pub incarnation: u64,
    pub acquainted: Option<u64>,
    pub groups: Groups,
    pub founded: Vec<Gid>,
    pub group_services: Vec<(String, Vec<String>)>,
}
