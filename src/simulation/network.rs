//! The simulated network: the transport of nodes in one process, and everything that can go wrong on it.
//!
//! ```text
//! call ──latency──> arrives? ──no──> the caller waits until its deadline
//!                      │ yes         (lost, or cut by a partition, at departure or on arrival)
//!                      │
//!      nobody there ───┤──> `Unreachable` comes back
//!      paused ─────────┤──> it waits there, however long
//!      up ─────────────┴──> performed, in a task of its own: it goes on though the caller gives up
//!                             │
//!                           answer ──latency──> arrives? ──no──> the caller waits until its deadline
//!                                                  └──yes──> the caller has it, unless it has given up
//! ```
//!
//! Every draw comes from one generator, in the order in which messages leave, which is the order in which one thread
//! runs; there is no other source of chance, no clock but tokio's stopped one, and no map whose order is not sorted.
//!
//! A paused node does nothing at all until it goes on ([`Process`]), and what came for it waits at its door.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt::Display,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use chinwag_actors::{clock::Clock, handle::Node, transport::Transport};
use chinwag_protocol::{
    call::{Answer, Call, CallError, ErrorKind, MAX_DEADLINE, Reply},
    identity::NodeAddr,
    value::Value,
};
use futures_util::{FutureExt as _, future::LocalBoxFuture};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use tokio::{
    sync::{Notify, oneshot},
    task::LocalSet,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{
    latency::Latency,
    ledger::Ledger,
    process::Process,
    trace::{Outcome, Trace, Way},
};

/// The port that every simulated node has; they differ in their IP addresses.
pub(super) const PORT: u16 = 8080;

/// The address of the node with this number: 10.0.0.0/8, counted through.
pub(super) fn address(index: usize) -> NodeAddr {
    NodeAddr::new(format!("10.{}.{}.{}", (index >> 16) & 255, (index >> 8) & 255, index & 255), PORT)
}

/// The number of the node with this address.
fn index(address: &NodeAddr) -> Option<usize> {
    if address.port() != PORT {
        return None;
    }
    let mut parts = address.ip().strip_prefix("10.")?.split('.').map(str::parse::<u8>);
    let mut next = || parts.next()?.ok().map(usize::from);
    Some(next()? << 16 | next()? << 8 | next()?)
}

/// What every message is subject to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    pub latency: Latency,
    /// Share of one-way messages lost.
    pub loss: f64,
    /// Share of calls that arrive twice.
    pub duplication: f64,
}

/// How a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Power {
    Up,
    Paused,
    Down,
}

pub(super) struct Place {
    pub node: Node,
    pub process: Rc<Process>,
    pub power: Power,
    pub life: u32,
}

pub(super) struct Network {
    pub started: Instant,
    pub ledger: Arc<Ledger>,
    pub trace: Trace,
    pub weather: Cell<Weather>,
    pub places: RefCell<Vec<Place>>,
    /// Links that differ from the rest, by sender and receiver.
    pub links: RefCell<BTreeMap<(usize, usize), Link>>,
    /// Which side of a partition each node is on; empty where there is none.
    pub sides: RefCell<Vec<u32>>,
    /// Told when a node dies, or goes on.
    pub changed: Notify,
    pub watched: RefCell<Option<Watched>>,
    chance: RefCell<ChaCha8Rng>,
    /// Where messages travel: beside the nodes, so that one that was sent arrives though its sender dies.
    wires: Weak<LocalSet>,
}

/// What one way between two nodes has of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    pub latency: Option<Latency>,
    pub loss: Option<f64>,
    pub cut: bool,
}

/// A payload, and how many hops it took to each node that has it.
pub(super) struct Watched {
    pub payload: String,
    pub hops: BTreeMap<usize, u32>,
}

impl Network {
    pub(super) fn new(
        ledger: Arc<Ledger>,
        weather: Weather,
        chance: ChaCha8Rng,
        traced: bool,
        wires: Weak<LocalSet>,
    ) -> Network {
        Network {
            started: Instant::now(),
            ledger,
            trace: Trace::new(traced),
            weather: Cell::new(weather),
            places: RefCell::default(),
            links: RefCell::default(),
            sides: RefCell::default(),
            changed: Notify::new(),
            watched: RefCell::default(),
            chance: RefCell::new(chance),
            wires,
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn event(&self, event: impl Display) {
        self.trace.event(self.now(), event);
    }

    fn power(&self, index: usize) -> Power {
        self.places.borrow().get(index).map_or(Power::Down, |place| place.power)
    }

    /// Whether this life of the node is the present one.
    fn lives(&self, index: usize, life: u32) -> bool {
        self.places.borrow().get(index).is_some_and(|place| place.life == life && place.power != Power::Down)
    }

    /// Waits until the node is not paused.
    async fn running(&self, index: usize) {
        while self.power(index) == Power::Paused {
            self.changed.notified().await;
        }
    }

    /// Waits until this life of the node is over.
    async fn died(&self, index: usize, life: u32) {
        while self.lives(index, life) {
            self.changed.notified().await;
        }
    }

    fn link(&self, from: usize, to: usize) -> Link {
        let links = self.links.borrow();
        if links.is_empty() { Link::default() } else { links.get(&(from, to)).copied().unwrap_or_default() }
    }

    /// Whether a message can pass at present.
    fn connected(&self, from: usize, to: usize) -> bool {
        let sides = self.sides.borrow();
        (sides.is_empty() || sides.get(from) == sides.get(to)) && !self.link(from, to).cut
    }

    /// Draws what becomes of a message that leaves now: how long it is on its way, unless it is lost.
    fn depart(&self, from: usize, to: usize) -> Result<Duration, Outcome> {
        let (weather, link) = (self.weather.get(), self.link(from, to));
        let loss = link.loss.unwrap_or(weather.loss);
        let mut chance = self.chance.borrow_mut();
        let lost = loss > 0.0 && chance.random::<f64>() < loss;
        let latency = link.latency.unwrap_or(weather.latency).draw(&mut chance);
        drop(chance);
        match self.connected(from, to) {
            false => Err(Outcome::Cut),
            true if lost => Err(Outcome::Lost),
            true => Ok(latency),
        }
    }

    fn twice(&self) -> bool {
        let duplication = self.weather.get().duplication;
        duplication > 0.0 && self.chance.borrow_mut().random::<f64>() < duplication
    }

    /// Carries one message over the network. False where it does not arrive.
    async fn carry(&self, trip: &Trip, way: Way) -> bool {
        let (from, to) = trip.ends(way);
        let fate = match self.depart(from, to) {
            Ok(latency) => {
                sleep(latency).await;
                if self.connected(from, to) { Ok(()) } else { Err(Outcome::Cut) }
            }
            Err(fate) => Err(fate),
        };
        if let Err(fate) = fate {
            self.ledger.count(|counts| counts.lost += 1);
            self.note(trip, way, fate);
            return false;
        }
        true
    }

    fn note(&self, trip: &Trip, way: Way, outcome: Outcome) {
        if self.trace.wanted() {
            self.trace.message(self.now(), (trip.from, trip.to), way, &trip.name, &outcome);
        }
    }

    /// The payload leaves `from`, if `carried` holds it.
    fn carries(&self, carried: bool) {
        if carried {
            self.ledger.count(|counts| counts.payloads += 1);
        }
    }

    fn holds<'a>(&self, mut values: impl Iterator<Item = &'a Value>) -> bool {
        let watched = self.watched.borrow();
        watched.as_ref().is_some_and(|watched| values.any(|value| contains(value, &watched.payload)))
    }

    /// The payload has come to `to`.
    fn hop(&self, from: usize, to: usize) {
        if let Some(watched) = self.watched.borrow_mut().as_mut() {
            let hop = watched.hops.get(&from).map_or(1, |hop| hop + 1);
            watched.hops.entry(to).or_insert(hop);
        }
    }
}

/// Whether the payload is in there.
fn contains(value: &Value, payload: &str) -> bool {
    match value {
        Value::String(text) => text.len() >= payload.len() && (text == payload || text.contains(payload)),
        Value::Array(array) => array.iter().flatten().any(|element| contains(element, payload)),
        Value::Object(object) => object.iter().any(|(_, element)| contains(element, payload)),
        _ => false,
    }
}

/// One exchange between two nodes.
struct Trip {
    from: usize,
    to: usize,
    /// Written out only where a trace is kept.
    name: String,
}

impl Trip {
    fn ends(&self, way: Way) -> (usize, usize) {
        match way {
            Way::There => (self.from, self.to),
            Way::Back => (self.to, self.from),
        }
    }
}

/// One node's way out.
pub(super) struct Port {
    pub network: Rc<Network>,
    pub index: usize,
    pub life: u32,
    /// The node's: it says when a call has taken too long.
    pub clock: Clock,
}

impl Transport for Port {
    fn call(&self, to: &NodeAddr, call: Call) -> LocalBoxFuture<'static, Reply> {
        let (network, from, life) = (self.network.clone(), self.index, self.life);
        let to = index(to).unwrap_or(usize::MAX);
        let deadline = Instant::now() + self.clock.truly(call.context.time_left.min(MAX_DEADLINE));
        if network.power(from) != Power::Paused {
            return network.send(from, life, to, call, deadline);
        }
        // what is held at a stopped node's door is as late as the node
        let held = async move {
            match timeout_at(deadline, network.running(from)).await {
                Ok(()) => network.send(from, life, to, call, deadline).await,
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
    /// Sends a call off. What waits is kept small: a large network has a million calls under way at once.
    fn send(
        self: Rc<Self>,
        from: usize,
        life: u32,
        to: usize,
        call: Call,
        deadline: Instant,
    ) -> LocalBoxFuture<'static, Reply> {
        if !self.lives(from, life) {
            let stopped = Err(CallError::new(ErrorKind::Stopping, "the node has stopped"));
            return std::future::ready(stopped).boxed_local();
        }
        let name = if self.trace.wanted() { call.to_string() } else { String::new() };
        let trip = Trip { from, to, name };
        let compares = is_comparison(&call);
        let carried = self.holds(call.arguments.iter());
        self.ledger.count(|counts| {
            counts.requests += 1;
            counts.comparisons += u64::from(compares);
        });
        self.carries(carried);

        let (answered, answer) = oneshot::channel();
        if let Some(wires) = self.wires.upgrade() {
            wires.spawn_local(self.clone().travel(trip, Box::new(call), carried, answered));
        }
        let waiting = async move {
            match timeout_at(deadline, answer).await {
                Ok(Ok(reply)) => *reply,
                // it was lost, which nobody can know before the deadline
                Ok(Err(_)) => {
                    sleep_until(deadline).await;
                    Err(late(to))
                }
                Err(_) => Err(late(to)),
            }
        };
        waiting.boxed_local()
    }

    /// A call's way there, and its answer's way back. Dropping `answered` unused means that neither is heard of.
    async fn travel(self: Rc<Self>, trip: Trip, call: Box<Call>, carried: bool, answered: oneshot::Sender<Box<Reply>>) {
        let (twice, compares) = (self.twice(), is_comparison(&call));
        if !self.carry(&trip, Way::There).await {
            return;
        }
        let reply = Box::new(self.arrive(&trip, call, carried, twice).boxed_local().await);
        let carried = self.holds(reply.iter().filter_map(value_of));
        self.carries(carried);
        if compares && (*reply).as_ref().is_ok_and(|answer| !is_same(answer)) {
            self.ledger.count(|counts| counts.differences += 1);
        }
        if !self.carry(&trip, Way::Back).await {
            return;
        }
        if carried {
            self.hop(trip.to, trip.from);
        }
        let outcome = Outcome::Answered((*reply).as_ref().err().map(|error| error.kind.clone()));
        let late = answered.send(reply).is_err();
        self.note(&trip, Way::Back, if late { Outcome::TimedOut } else { outcome });
    }
}

impl Network {
    /// What becomes of a call where it was sent.
    async fn arrive(&self, trip: &Trip, call: Box<Call>, carried: bool, twice: bool) -> Reply {
        self.running(trip.to).await;
        let there = match self.places.borrow().get(trip.to) {
            Some(Place { node, power: Power::Up, life, .. }) => Some((node.clone(), *life)),
            _ => None,
        };
        match there {
            None => {
                self.note(trip, Way::There, Outcome::Refused);
                Err(CallError::new(ErrorKind::Unreachable, format!("nobody listens at {}", shown(trip.to))))
            }
            Some((node, life)) => {
                self.note(trip, Way::There, Outcome::Arrived);
                if carried {
                    self.hop(trip.from, trip.to);
                }
                if twice {
                    self.note(trip, Way::There, Outcome::Again);
                    let (node, call) = (node.clone(), call.clone());
                    // its answer is the network's second, which nobody waits for
                    actix_web::rt::spawn(async move { drop(node.dispatch(*call).await) });
                }
                let performed = async {
                    let reply = node.dispatch(*call).await;
                    self.running(trip.to).await;
                    reply
                };
                tokio::select! {
                    biased;
                    () = self.died(trip.to, life) => {
                        self.note(trip, Way::There, Outcome::Died);
                        Err(CallError::new(ErrorKind::Interrupted, format!("{} broke off", shown(trip.to))))
                    }
                    reply = performed => reply,
                }
            }
        }
    }
}

fn shown(index: usize) -> String {
    if index == usize::MAX { "an address outside the network".to_owned() } else { address(index).to_string() }
}

fn value_of(answer: &Answer) -> Option<&Value> {
    match answer {
        Answer::Value(value) | Answer::Group { value, .. } => Some(value),
    }
}

/// Whether a call is what a network at rest is busy with.
fn is_comparison(call: &Call) -> bool {
    call.service == "gossip" && call.method == "compare"
}

/// Whether a comparison found nothing to do.
fn is_same(answer: &Answer) -> bool {
    matches!(answer, Answer::Value(Value::Boolean(true)))
}
