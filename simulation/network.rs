//! The simulated network: the transport between the nodes of one process, and its failures.
//!
//! ```text
//! call ──latency──> arrives? ──no──> the caller waits until its deadline
//!                      │ yes         (lost, or cut by a partition, at departure or on arrival)
//!                      │
//!      process ended ──┤──> the caller receives `Unreachable`
//!      host gone ──────┤──> the caller waits until its deadline
//!      paused ─────────┤──> the call waits until the node resumes
//!      up ─────────────┴──> performed in a task of its own, which continues if the caller gives up
//!                             │
//!                           answer ──latency──> arrives? ──no──> the caller waits until its deadline
//!                                                  └──yes──> the caller receives it, unless it has given up
//! ```
//!
//! One generator makes all draws, in the order in which messages leave. There is no other source of randomness: the
//! only clock is tokio's paused one, and every map is sorted.
//!
//! One schedule holds everything that is under way, in the order of time, and one task works through it. A message
//! costs one entry in the schedule instead of a task and a timer, because there can be a million messages at once.
//! Events of one moment are sorted by node, and by departure for each node: the memory of all nodes together exceeds
//! every cache, and is then loaded once per node.
//!
//! A paused node does nothing until it resumes ([`Process`]), and calls to it wait.
//!
//! Requests of gossip and membership pass from node to node unchanged. They are not encoded and decoded, as they would
//! be over HTTP.
//!
//! Connections are not simulated, but their end is. A membership ping that asks for it
//! ([`Request::keeps_connection`](peer::Request::keeps_connection)) leaves a connection open. When the sender is
//! killed, the network notifies the receiver one latency later ([`Network::closed_connections`]). A host that is gone
//! closes no connection.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt::Display,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use chinwag_actors::{clock::Clock, handle::NodeHandle, request::Response, transport::Transport};
use chinwag_protocol::{
    call::{Call, CallError, ErrorKind, MAX_DEADLINE, Reply},
    identity::NodeAddr,
    peer::{self, Outgoing},
    value::Value,
};
use futures_util::{FutureExt as _, future::LocalBoxFuture};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use tokio::{
    sync::Notify,
    task::LocalSet,
    time::{Instant, timeout_at},
};

use super::{
    address::{address, index},
    connections::Connections,
    latency::Latency,
    outbound::{Outbound, answer_payloads, contains, is_same},
    pending_calls::{CallInfo, Key, PendingCalls},
    process::Process,
    recorder::Recorder,
    schedule::{Event, EventKind, Schedule},
    trace::{Direction, Outcome, Trace},
};

/// What the network does to every message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conditions {
    pub latency: Latency,
    /// The share of one-way messages that are lost.
    pub loss: f64,
    /// The share of calls that arrive twice.
    pub duplication: f64,
}

/// The state of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeState {
    Up,
    Paused,
    /// The process has ended, and its host refuses connections.
    Crashed,
    /// The host is gone, and nothing answers.
    Vanished,
}

impl NodeState {
    /// Whether the node has a process, running or paused.
    pub(crate) fn lives(self) -> bool {
        matches!(self, NodeState::Up | NodeState::Paused)
    }
}

pub(super) struct NodeSlot {
    pub node: NodeHandle,
    pub process: Rc<Process>,
    pub state: NodeState,
    pub life: u32,
    /// The incarnation that the node states to others in this life.
    pub incarnation: u64,
    /// When the node entered the gossip of its group in this life, or `None` if it has not yet.
    pub entered: Rc<Cell<Option<Duration>>>,
}

pub(super) struct Network {
    pub started: Instant,
    pub recorder: Arc<Recorder>,
    pub trace: Trace,
    pub conditions: Cell<Conditions>,
    pub slots: RefCell<Vec<NodeSlot>>,
    /// The links that differ from the others, by sender and receiver.
    pub links: RefCell<BTreeMap<(usize, usize), Link>>,
    /// The side of the partition that each node is on. It is empty if there is no partition.
    pub sides: RefCell<Vec<u32>>,
    /// Notified when a node ends or resumes.
    pub changed: Notify,
    pub watched: RefCell<Option<Watched>>,
    /// The connections that nodes keep open after a membership ping.
    kept: Connections,
    calls: Rc<PendingCalls>,
    schedule: Schedule,
    rng: RefCell<ChaCha8Rng>,
    /// The task set of the network's own tasks, which continue when nodes end.
    tasks: Weak<LocalSet>,
}

/// The number of events after which the tasks of the nodes get a turn. It bounds the memory for messages that have
/// arrived and are not processed.
const EVENTS_AT_A_TIME: usize = 512;

/// The settings of one link that differ from those of the network.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    pub latency: Option<Latency>,
    pub loss: Option<f64>,
    pub cut: bool,
}

/// A payload, and the number of hops that it took to each node.
pub(super) struct Watched {
    pub payload: String,
    pub hops: BTreeMap<usize, u32>,
}

impl Network {
    pub(super) fn new(
        recorder: Arc<Recorder>,
        conditions: Conditions,
        rng: ChaCha8Rng,
        traced: bool,
        tasks: Weak<LocalSet>,
    ) -> Network {
        Network {
            started: Instant::now(),
            recorder,
            trace: Trace::new(traced),
            conditions: Cell::new(conditions),
            slots: RefCell::default(),
            links: RefCell::default(),
            sides: RefCell::default(),
            changed: Notify::new(),
            watched: RefCell::default(),
            kept: Connections::default(),
            calls: Rc::default(),
            schedule: Schedule::default(),
            rng: RefCell::new(rng),
            tasks,
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn event(&self, event: impl Display) {
        self.trace.event(self.now(), event);
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        if let Some(tasks) = self.tasks.upgrade() {
            tasks.spawn_local(task);
        }
    }

    fn state(&self, index: usize) -> NodeState {
        self.slots.borrow().get(index).map_or(NodeState::Crashed, |slot| slot.state)
    }

    /// Whether the node is in this life.
    fn lives(&self, index: usize, life: u32) -> bool {
        self.slots.borrow().get(index).is_some_and(|slot| slot.life == life && slot.state.lives())
    }

    /// Waits until the node is not paused.
    async fn running(&self, index: usize) {
        while self.state(index) == NodeState::Paused {
            self.changed.notified().await;
        }
    }

    /// Waits until this life of the node has ended.
    async fn died(&self, index: usize, life: u32) {
        while self.lives(index, life) {
            self.changed.notified().await;
        }
    }

    fn link(&self, from: usize, to: usize) -> Link {
        let links = self.links.borrow();
        if links.is_empty() { Link::default() } else { links.get(&(from, to)).copied().unwrap_or_default() }
    }

    /// Whether a message can pass now.
    fn connected(&self, from: usize, to: usize) -> bool {
        let sides = self.sides.borrow();
        (sides.is_empty() || sides.get(from) == sides.get(to)) && !self.link(from, to).cut
    }

    /// Draws the latency of a message that leaves now, or the reason why it is lost.
    fn depart(&self, from: usize, to: usize) -> Result<Duration, Outcome> {
        let (conditions, link) = (self.conditions.get(), self.link(from, to));
        let loss = link.loss.unwrap_or(conditions.loss);
        let mut rng = self.rng.borrow_mut();
        let lost = loss > 0.0 && rng.random::<f64>() < loss;
        let latency = link.latency.unwrap_or(conditions.latency).draw(&mut rng);
        drop(rng);
        match self.connected(from, to) {
            false => Err(Outcome::Cut),
            true if lost => Err(Outcome::Lost),
            true => Ok(latency),
        }
    }

    fn is_duplicated(&self) -> bool {
        let duplication = self.conditions.get().duplication;
        duplication > 0.0 && self.rng.borrow_mut().random::<f64>() < duplication
    }

    fn note(&self, key: Key, direction: Direction, outcome: Outcome) {
        if self.trace.wanted()
            && let Some(CallInfo { from, to, .. }) = self.calls.info(key)
        {
            self.trace.message(self.now(), (from, to), direction, &self.calls.name(key), &outcome);
        }
    }

    /// Counts a message that leaves if it carries the watched payload.
    fn carries(&self, has_payload: bool) {
        if has_payload {
            self.recorder.count(|counts| counts.payloads += 1);
        }
    }

    /// Whether the watched payload is in one of these values.
    fn holds<'a>(&self, mut values: impl Iterator<Item = &'a Value>) -> bool {
        let watched = self.watched.borrow();
        watched.as_ref().is_some_and(|watched| values.any(|value| contains(value, &watched.payload)))
    }

    /// Records that the payload has arrived at `to`.
    fn hop(&self, from: usize, to: usize) {
        if let Some(watched) = self.watched.borrow_mut().as_mut() {
            let hop = watched.hops.get(&from).map_or(1, |hop| hop + 1);
            watched.hops.entry(to).or_insert(hop);
        }
    }
}

/// The transport of one node.
pub(super) struct NodeTransport {
    pub network: Rc<Network>,
    pub index: usize,
    pub life: u32,
    /// The clock of the node, which measures the deadlines of its calls.
    pub clock: Clock,
}

impl Transport for NodeTransport {
    fn call(&self, to: &NodeAddr, call: Call) -> LocalBoxFuture<'static, Reply> {
        let time_left = call.context.time_left;
        let asking = self.send(to, Outbound::Call(Box::new(call)), time_left);
        let answered = async move {
            match asking.await? {
                peer::Answer::Performed(answer) => Ok(answer),
                _ => Err(CallError::new(ErrorKind::BadAnswer, "not the answer to a call")),
            }
        };
        answered.boxed_local()
    }

    fn ask(&self, to: &NodeAddr, request: Outgoing, time_left: Duration) -> LocalBoxFuture<'static, peer::Reply> {
        self.send(to, Outbound::Request(request, time_left), time_left)
    }
}

impl NodeTransport {
    fn send(&self, to: &NodeAddr, outbound: Outbound, time_left: Duration) -> LocalBoxFuture<'static, peer::Reply> {
        let (network, from, life) = (self.network.clone(), self.index, self.life);
        let to = index(to).unwrap_or(usize::MAX);
        let deadline = Instant::now() + self.clock.to_real(time_left.min(MAX_DEADLINE));
        if network.state(from) != NodeState::Paused {
            return network.send(from, life, to, outbound, deadline);
        }
        // the call of a paused node leaves when the node resumes
        let held = async move {
            match timeout_at(deadline, network.running(from)).await {
                Ok(()) => network.send(from, life, to, outbound, deadline).await,
                Err(_) => Err(late(to)),
            }
        };
        held.boxed_local()
    }
}

fn late(to: usize) -> CallError {
    CallError::new(ErrorKind::DeadlineExceeded, format!("{} did not answer in time", shown(to)))
}

impl Network {
    /// Sends a call.
    fn send(
        self: Rc<Self>,
        from: usize,
        life: u32,
        to: usize,
        outbound: Outbound,
        deadline: Instant,
    ) -> LocalBoxFuture<'static, peer::Reply> {
        if !self.lives(from, life) {
            let stopped = Err(CallError::new(ErrorKind::Stopping, "the node has stopped"));
            return std::future::ready(stopped).boxed_local();
        }
        if outbound.keeps_connection() && self.connected(from, to) {
            self.kept.keep(from, to);
        }
        let name = self.trace.wanted().then(|| outbound.name().into());
        let (is_comparison, has_payload) = (outbound.is_comparison(), self.holds(outbound.payloads()));
        self.recorder.count(|counts| {
            counts.requests += 1;
            counts.comparisons += u64::from(is_comparison);
        });
        let (key, waiting) = self.calls.open(CallInfo { from, to, is_comparison, has_payload }, name, outbound);
        // The deadline is scheduled first, so that it comes first among the events of the same moment.
        self.schedule.add(deadline, EventKind::Expires, from, key);
        self.send_message(EventKind::Arrives, key);
        waiting.boxed_local()
    }

    /// Sends one message of a call: it arrives after its latency, or is lost.
    fn send_message(&self, kind: EventKind, key: Key) {
        let Some(info) = self.calls.info(key) else { return };
        let (direction, from, to) = endpoints(kind, info);
        self.carries(info.has_payload);
        match self.depart(from, to) {
            Ok(latency) => self.schedule.add(Instant::now() + latency, kind, to, key),
            Err(outcome) => self.lose(key, direction, outcome),
        }
    }

    /// Loses a message. The caller learns nothing of it before its deadline.
    fn lose(&self, key: Key, direction: Direction, outcome: Outcome) {
        self.recorder.count(|counts| counts.lost += 1);
        self.note(key, direction, outcome);
        self.calls.end(key);
    }

    /// Works through the schedule as long as the network exists.
    pub(super) async fn run(self: Rc<Self>) {
        let mut done = 0;
        loop {
            while let Some(event) = self.schedule.take_due() {
                self.clone().handle(event);
                done += 1;
                if done % EVENTS_AT_A_TIME == 0 {
                    tokio::task::yield_now().await;
                }
            }
            self.schedule.wait().await;
        }
    }

    fn handle(self: Rc<Self>, Event { kind, key, node }: Event) {
        if let EventKind::Closes { by } = kind {
            return self.connection_closed(node as usize, by as usize);
        }
        // the call is over
        let Some(info) = self.calls.info(key) else { return };
        let (direction, from, to) = endpoints(kind, info);
        match kind {
            EventKind::Expires => {
                if self.calls.awaited(key) {
                    self.calls.settle(key, Box::new(Err(late(to))));
                }
            }
            _ if !self.connected(from, to) => self.lose(key, direction, Outcome::Cut),
            // a paused node reads the answer when it resumes
            EventKind::Returns => self.deliver(key, info),
            EventKind::Arrives => self.arrive(key, info),
            // handled above
            EventKind::Closes { .. } => {}
        }
    }
}

/// The direction of the message of an event, its sender and its receiver.
fn endpoints(kind: EventKind, info: CallInfo) -> (Direction, usize, usize) {
    match kind {
        EventKind::Arrives | EventKind::Expires | EventKind::Closes { .. } => (Direction::Request, info.from, info.to),
        EventKind::Returns => (Direction::Answer, info.to, info.from),
    }
}

impl Network {
    /// A call arrives at its node, which may be paused.
    fn arrive(self: Rc<Self>, key: Key, info: CallInfo) {
        if self.state(info.to) == NodeState::Paused {
            tokio::task::spawn_local(async move {
                self.running(info.to).await;
                self.enter(key, info);
            });
        } else {
            self.enter(key, info);
        }
    }

    /// A node that is not paused receives a call.
    fn enter(self: Rc<Self>, key: Key, info: CallInfo) {
        let Some(outbound) = self.calls.enter(key) else { return };
        if self.state(info.to) == NodeState::Vanished {
            return self.lose(key, Direction::Request, Outcome::Unheard);
        }
        let there = match self.slots.borrow().get(info.to) {
            Some(NodeSlot { node, state: NodeState::Up, life, .. }) => Some((node.clone(), *life)),
            _ => None,
        };
        let Some((node, life)) = there else {
            self.note(key, Direction::Request, Outcome::Refused);
            let nobody = format!("nobody listens at {}", shown(info.to));
            return self.reply(key, Err(CallError::refused(nobody)));
        };
        self.note(key, Direction::Request, Outcome::Arrived);
        if info.has_payload {
            self.hop(info.from, info.to);
        }
        if self.is_duplicated() {
            self.note(key, Direction::Request, Outcome::Again);
            let (node, again) = (node.clone(), outbound.clone());
            // nobody waits for the second answer
            tokio::task::spawn_local(async move { drop(again.performed(&node).await) });
        }
        let performing = Performing { network: self, key: Some(key), to: info.to, life };
        match outbound {
            Outbound::Request(request, time_left) => {
                node.enter(request.into_request(), time_left, move |response| performing.answered(response));
            }
            call => {
                performing.answered(Response::Later(Box::pin(async move { call.performed(&node).await })));
            }
        }
    }

    /// The answer leaves the node.
    fn reply(&self, key: Key, reply: peer::Reply) {
        let Some(info) = self.calls.info(key) else { return };
        let has_payload = self.holds(reply.iter().flat_map(answer_payloads));
        if info.is_comparison && reply.as_ref().is_ok_and(|answer| !is_same(answer)) {
            self.recorder.count(|counts| counts.differences += 1);
        }
        self.calls.answer(key, reply, has_payload);
        self.send_message(EventKind::Returns, key);
    }

    /// The answer arrives at the caller.
    fn deliver(&self, key: Key, info: CallInfo) {
        let Some(reply) = self.calls.arrived(key) else { return };
        if info.has_payload {
            self.hop(info.to, info.from);
        }
        let outcome = match self.calls.awaited(key) {
            true => Outcome::Answered((*reply).as_ref().err().map(|error| error.kind.clone())),
            false => Outcome::TimedOut,
        };
        self.note(key, Direction::Answer, outcome);
        self.calls.settle(key, reply);
        self.calls.end(key);
    }
}

/// A call that a node performs. If it is dropped before it is answered, the node has broken it off.
struct Performing {
    network: Rc<Network>,
    key: Option<Key>,
    to: usize,
    /// The life of the node.
    life: u32,
}

impl Performing {
    fn answered(mut self, response: Response<peer::Answer>) {
        let (Some(key), network, to, life) = (self.key.take(), self.network.clone(), self.to, self.life) else {
            return;
        };
        let later = match response {
            // only a node that runs answers at once
            Response::Now(reply) => return network.reply(key, reply),
            Response::Later(reply) => reply,
        };
        let tasks = network.clone();
        // Not a task of the node, although an actor of the node may run this code.
        tasks.spawn(async move {
            let performed = async {
                let reply = later.await;
                network.running(to).await;
                reply
            };
            tokio::select! {
                biased;
                () = network.died(to, life) => network.break_off(key, to),
                reply = performed => network.reply(key, reply),
            }
        });
    }
}

impl Drop for Performing {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.network.break_off(key, self.to);
        }
    }
}

impl Network {
    /// Ends a call whose node has ended.
    fn break_off(&self, key: Key, to: usize) {
        if self.state(to) == NodeState::Vanished {
            return self.lose(key, Direction::Request, Outcome::Unheard);
        }
        self.note(key, Direction::Request, Outcome::Died);
        let why = format!("{} broke off", shown(to));
        self.reply(key, Err(CallError::new(ErrorKind::Interrupted, why)));
    }
}

impl Network {
    /// The nodes to which `victim` has an open connection: those that it sent a membership ping with `kept` in the last
    /// ten seconds. They are in ascending order.
    pub(super) fn closed_connections(&self, victim: usize) -> Vec<usize> {
        self.kept.open_from(victim)
    }

    /// Closes the connections of a process that has ended, and notifies each peer one latency later. The notification
    /// is never lost, because the operating system repeats it, but it does not pass a partition.
    pub(super) fn close_connections(&self, victim: usize) {
        let peers = self.closed_connections(victim);
        self.kept.remove(victim);
        for peer in peers {
            let latency = self.link(victim, peer).latency.unwrap_or(self.conditions.get().latency);
            let latency = latency.draw(&mut self.rng.borrow_mut());
            // a simulation has fewer nodes than `u32::MAX`
            let by = u32::try_from(victim).unwrap_or(u32::MAX);
            self.schedule.add(Instant::now() + latency, EventKind::Closes { by }, peer, Key::default());
        }
    }

    /// Removes the connections of a node whose host is gone. Nobody is notified.
    pub(super) fn drop_connections(&self, victim: usize) {
        self.kept.remove(victim);
    }

    /// The connection that `by` had opened to the node `at` closes.
    fn connection_closed(&self, at: usize, by: usize) {
        if !self.state(at).lives() || !self.connected(by, at) {
            return;
        }
        self.event(format_args!("closed {by}>{at}"));
        let node = match self.slots.borrow().get(at) {
            Some(NodeSlot { node, state: NodeState::Up, .. }) => node.clone(),
            // a paused process would read of it when it resumes, and then it probes anyway
            _ => return,
        };
        node.connection_closed(address(by));
    }
}

fn shown(index: usize) -> String {
    if index == usize::MAX { "an address outside the network".to_owned() } else { address(index).to_string() }
}
