//! The simulated network: the transport of nodes in one process, and everything that can go wrong on it.
//!
//! ```text
//! call ──latency──> arrives? ──no──> the caller waits until its deadline
//!                      │ yes         (lost, or cut by a partition, at departure or on arrival)
//!                      │
//!      nobody there ───┤──> `Unreachable` comes back
//!      host gone ──────┤──> the caller waits until its deadline
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
//! Everything under way is on one agenda, in the order of time; one task goes through it. A message costs an entry there,
//! no task and no timer of its own, as there can be a million at once. What happens at one moment goes node by node, at
//! each in the order of departure: so a node's memory is fetched once, of which there is more than any cache has.
//!
//! A paused node does nothing at all until it goes on ([`Process`]), and what came for it waits at its door.
//!
//! Requests of gossip and membership go from node to node as they are: nothing is written and read again, as it would be
//! over HTTP. Calls are values in any case.
//!
//! Connections are not simulated, except that the end of one is: a membership ping that says so
//! ([`Request::keeps_connection`](peer::Request::keeps_connection)) leaves a connection open, and when its sender is
//! killed, its receiver is told one latency later ([`Network::closed_connections`]). A host that is gone closes nothing.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
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
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    address::{address, index},
    exchange::{About, Exchanges, Key},
    latency::Latency,
    ledger::Ledger,
    process::Process,
    sent::{Sent, answer_payloads, contains, is_same},
    trace::{Outcome, Trace, Way},
};

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
    /// The process has ended; its host refuses connections.
    Down,
    /// The host has gone with it: nothing answers.
    Gone,
}

impl Power {
    /// Whether there is a process, running or not.
    pub(crate) fn lives(self) -> bool {
        matches!(self, Power::Up | Power::Paused)
    }
}

pub(super) struct Place {
    pub node: NodeHandle,
    pub process: Rc<Process>,
    pub power: Power,
    pub life: u32,
    /// The number that this life states of itself.
    pub incarnation: u64,
    /// When it entered the gossip of its group in this life, if it has.
    pub entered: Rc<Cell<Option<Duration>>>,
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
    /// Which connections each node has kept open, to whom and since when, the latest last.
    kept: RefCell<BTreeMap<usize, VecDeque<(Instant, usize)>>>,
    exchanges: Rc<Exchanges>,
    agenda: RefCell<BTreeMap<Instant, VecDeque<Event>>>,
    /// What was on it for the present moment, node by node.
    present: RefCell<VecDeque<Event>>,
    /// Until when the one who goes through the agenda sleeps.
    asleep: Cell<Option<Instant>>,
    /// Wakes it.
    sooner: Notify,
    chance: RefCell<ChaCha8Rng>,
    /// Where the network's own tasks run: beside the nodes, whose end is not theirs.
    wires: Weak<LocalSet>,
}

/// Something on the agenda.
#[derive(Clone, Copy)]
struct Event {
    what: What,
    /// At which node.
    node: u32,
    key: Key,
}

#[derive(Clone, Copy)]
enum What {
    /// The call is there.
    Arrives,
    /// The answer is back.
    Returns,
    /// The caller has waited long enough.
    Expires,
    /// A connection that this node kept open was closed. The event belongs to no exchange.
    Closes { by: u32 },
}

/// How long after the last message on it a connection is kept open: an HTTP client's idle timeout.
const KEPT_OPEN: Duration = Duration::from_secs(10);

/// Events dealt with before those that they concern are let on: what is in hand then needs no more memory than that.
const EVENTS_AT_A_TIME: usize = 512;

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
            kept: RefCell::default(),
            exchanges: Rc::default(),
            agenda: RefCell::default(),
            present: RefCell::default(),
            asleep: Cell::new(None),
            sooner: Notify::new(),
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

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        if let Some(wires) = self.wires.upgrade() {
            wires.spawn_local(task);
        }
    }

    fn power(&self, index: usize) -> Power {
        self.places.borrow().get(index).map_or(Power::Down, |place| place.power)
    }

    /// Whether this life of the node is the present one.
    fn lives(&self, index: usize, life: u32) -> bool {
        self.places.borrow().get(index).is_some_and(|place| place.life == life && place.power.lives())
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

    fn note(&self, key: Key, way: Way, outcome: Outcome) {
        if self.trace.wanted()
            && let Some(About { from, to, .. }) = self.exchanges.about(key)
        {
            self.trace.message(self.now(), (from, to), way, &self.exchanges.name(key), &outcome);
        }
    }

    /// The payload leaves `from`, if `carried` holds it.
    fn carries(&self, carried: bool) {
        if carried {
            self.ledger.count(|counts| counts.payloads += 1);
        }
    }

    /// Whether the payload that is watched is among these values.
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
        let time_left = call.context.time_left;
        let asking = self.send(to, Sent::Call(Box::new(call)), time_left);
        let answered = async move {
            match asking.await? {
                peer::Answer::Performed(answer) => Ok(answer),
                _ => Err(CallError::new(ErrorKind::BadAnswer, "not the answer to a call")),
            }
        };
        answered.boxed_local()
    }

    fn ask(&self, to: &NodeAddr, request: Outgoing, time_left: Duration) -> LocalBoxFuture<'static, peer::Reply> {
        self.send(to, Sent::Request(request, time_left), time_left)
    }
}

impl Port {
    fn send(&self, to: &NodeAddr, sent: Sent, time_left: Duration) -> LocalBoxFuture<'static, peer::Reply> {
        let (network, from, life) = (self.network.clone(), self.index, self.life);
        let to = index(to).unwrap_or(usize::MAX);
        let deadline = Instant::now() + self.clock.to_real(time_left.min(MAX_DEADLINE));
        if network.power(from) != Power::Paused {
            return network.send(from, life, to, sent, deadline);
        }
        // what is held at a stopped node's door is as late as the node
        let held = async move {
            match timeout_at(deadline, network.running(from)).await {
                Ok(()) => network.send(from, life, to, sent, deadline).await,
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
    /// Sends a call off.
    fn send(
        self: Rc<Self>,
        from: usize,
        life: u32,
        to: usize,
        sent: Sent,
        deadline: Instant,
    ) -> LocalBoxFuture<'static, peer::Reply> {
        if !self.lives(from, life) {
            let stopped = Err(CallError::new(ErrorKind::Stopping, "the node has stopped"));
            return std::future::ready(stopped).boxed_local();
        }
        if sent.keeps_connection() {
            self.keep_connection(from, to);
        }
        let name = self.trace.wanted().then(|| sent.name().into());
        let (compares, carried) = (sent.compares(), self.holds(sent.payloads()));
        self.ledger.count(|counts| {
            counts.requests += 1;
            counts.comparisons += u64::from(compares);
        });
        let (key, waiting) = self.exchanges.open(About { from, to, compares, carried }, name, sent);
        // first, so that of what happens at one moment the deadline comes first
        self.plan(deadline, What::Expires, from, key);
        self.launch(What::Arrives, key);
        waiting.boxed_local()
    }

    fn plan(&self, at: Instant, what: What, node: usize, key: Key) {
        let node = u32::try_from(node).unwrap_or(u32::MAX);
        self.agenda.borrow_mut().entry(at).or_default().push_back(Event { what, node, key });
        if self.asleep.get().is_some_and(|until| at < until) {
            self.sooner.notify_one();
        }
    }

    /// A message leaves: it will be there in a while, or is lost.
    fn launch(&self, what: What, key: Key) {
        let Some(about) = self.exchanges.about(key) else { return };
        let (way, from, to) = what.ends(about);
        self.carries(about.carried);
        match self.depart(from, to) {
            Ok(latency) => self.plan(Instant::now() + latency, what, to, key),
            Err(fate) => self.lose(key, way, fate),
        }
    }

    /// A message is lost, which nobody can know before the deadline.
    fn lose(&self, key: Key, way: Way, fate: Outcome) {
        self.ledger.count(|counts| counts.lost += 1);
        self.note(key, way, fate);
        self.exchanges.end(key);
    }

    /// Goes through the agenda, for as long as there is a network.
    pub(super) async fn run(self: Rc<Self>) {
        let mut done = 0;
        loop {
            while let Some(event) = self.due() {
                self.clone().happen(event);
                done += 1;
                if done % EVENTS_AT_A_TIME == 0 {
                    tokio::task::yield_now().await;
                }
            }
            let next = self.agenda.borrow().first_key_value().map(|(at, _)| *at);
            let far = || Instant::now() + MAX_DEADLINE;
            let until = next.unwrap_or_else(far);
            self.asleep.set(Some(until));
            tokio::select! {
                () = sleep_until(until) => {}
                () = self.sooner.notified() => {}
            }
            self.asleep.set(None);
        }
    }

    /// Takes what is to happen now.
    fn due(&self) -> Option<Event> {
        let mut present = self.present.borrow_mut();
        loop {
            if let Some(event) = present.pop_front() {
                return Some(event);
            }
            let mut agenda = self.agenda.borrow_mut();
            let first = agenda.first_entry()?;
            if *first.key() > Instant::now() {
                return None;
            }
            *present = first.remove();
            present.make_contiguous().sort_by_key(|event| event.node);
        }
    }

    fn happen(self: Rc<Self>, Event { what, key, node }: Event) {
        if let What::Closes { by } = what {
            return self.connection_closed(node as usize, by as usize);
        }
        // one that is over has nothing left to happen to it
        let Some(about) = self.exchanges.about(key) else { return };
        let (way, from, to) = what.ends(about);
        match what {
            What::Expires => {
                if self.exchanges.awaited(key) {
                    self.exchanges.settle(key, Box::new(Err(late(to))));
                }
            }
            _ if !self.connected(from, to) => self.lose(key, way, Outcome::Cut),
            // one that is paused finds it when it goes on
            What::Returns => self.deliver(key, about),
            What::Arrives => self.arrive(key, about),
            // it was dealt with above
            What::Closes { .. } => {}
        }
    }
}

impl What {
    /// Which way it goes, from whom to whom.
    fn ends(self, about: About) -> (Way, usize, usize) {
        match self {
            What::Arrives | What::Expires | What::Closes { .. } => (Way::There, about.from, about.to),
            What::Returns => (Way::Back, about.to, about.from),
        }
    }
}

impl Network {
    /// A call is where it was sent.
    fn arrive(self: Rc<Self>, key: Key, about: About) {
        if self.power(about.to) == Power::Paused {
            tokio::task::spawn_local(async move {
                self.running(about.to).await;
                self.enter(key, about);
            });
        } else {
            self.enter(key, about);
        }
    }

    /// A call comes to a node that is not paused.
    fn enter(self: Rc<Self>, key: Key, about: About) {
        let Some(sent) = self.exchanges.enter(key) else { return };
        if self.power(about.to) == Power::Gone {
            return self.lose(key, Way::There, Outcome::Unheard);
        }
        let there = match self.places.borrow().get(about.to) {
            Some(Place { node, power: Power::Up, life, .. }) => Some((node.clone(), *life)),
            _ => None,
        };
        let Some((node, life)) = there else {
            self.note(key, Way::There, Outcome::Refused);
            let nobody = format!("nobody listens at {}", shown(about.to));
            return self.reply(key, Err(CallError::refused(nobody)));
        };
        self.note(key, Way::There, Outcome::Arrived);
        if about.carried {
            self.hop(about.from, about.to);
        }
        if self.twice() {
            self.note(key, Way::There, Outcome::Again);
            let (node, again) = (node.clone(), sent.clone());
            // its answer is the network's second, which nobody waits for
            tokio::task::spawn_local(async move { drop(again.performed(&node).await) });
        }
        let performing = Performing { network: self, key: Some(key), to: about.to, life };
        match sent {
            Sent::Request(request, time_left) => {
                node.enter(request.into_request(), time_left, move |response| performing.answered(response));
            }
            call => {
                performing.answered(Response::Later(Box::pin(async move { call.performed(&node).await })));
            }
        }
    }

    /// An answer leaves.
    fn reply(&self, key: Key, reply: peer::Reply) {
        let Some(about) = self.exchanges.about(key) else { return };
        let carried = self.holds(reply.iter().flat_map(answer_payloads));
        if about.compares && reply.as_ref().is_ok_and(|answer| !is_same(answer)) {
            self.ledger.count(|counts| counts.differences += 1);
        }
        self.exchanges.answer(key, reply, carried);
        self.launch(What::Returns, key);
    }

    /// The answer is back.
    fn deliver(&self, key: Key, about: About) {
        let Some(reply) = self.exchanges.arrived(key) else { return };
        if about.carried {
            self.hop(about.to, about.from);
        }
        let outcome = match self.exchanges.awaited(key) {
            true => Outcome::Answered((*reply).as_ref().err().map(|error| error.kind.clone())),
            false => Outcome::TimedOut,
        };
        self.note(key, Way::Back, outcome);
        self.exchanges.settle(key, reply);
        self.exchanges.end(key);
    }
}

/// A call in a node's hands. Dropped there, it is broken off.
struct Performing {
    network: Rc<Network>,
    key: Option<Key>,
    to: usize,
    /// The node's life.
    life: u32,
}

impl Performing {
    fn answered(mut self, response: Response<peer::Answer>) {
        let (Some(key), network, to, life) = (self.key.take(), self.network.clone(), self.to, self.life) else {
            return;
        };
        let later = match response {
            // a node that is paused does not come to answer
            Response::Now(reply) => return network.reply(key, reply),
            Response::Later(reply) => reply,
        };
        let wires = network.clone();
        // not a task of the node, in whose actor this may be
        wires.spawn(async move {
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
    /// The node is gone that had a call in its hands.
    fn break_off(&self, key: Key, to: usize) {
        if self.power(to) == Power::Gone {
            return self.lose(key, Way::There, Outcome::Unheard);
        }
        self.note(key, Way::There, Outcome::Died);
        let why = format!("{} broke off", shown(to));
        self.reply(key, Err(CallError::new(ErrorKind::Interrupted, why)));
    }
}

impl Network {
    /// Notes that `from` has a connection to `to` open, if there is a way.
    fn keep_connection(&self, from: usize, to: usize) {
        if !self.connected(from, to) {
            return;
        }
        let now = Instant::now();
        let mut kept = self.kept.borrow_mut();
        let open = kept.entry(from).or_default();
        open.retain(|(at, peer)| *peer != to && now - *at <= KEPT_OPEN);
        open.push_back((now, to));
    }

    /// The nodes to which `victim` has a connection open: those that it sent a kept-alive membership ping within the
    /// last ten seconds. In ascending order.
    pub(super) fn closed_connections(&self, victim: usize) -> Vec<usize> {
        let now = Instant::now();
        let kept = self.kept.borrow();
        let open = kept.get(&victim).into_iter().flatten().filter(|(at, _)| now - *at <= KEPT_OPEN);
        let mut peers: Vec<usize> = open.map(|(_, peer)| *peer).collect();
        peers.sort_unstable();
        peers
    }

    /// Closes the connections of a process that has ended. Each peer is told one latency later. The closing itself is
    /// not lost, as the operating system repeats it, but no partition lets it through.
    pub(super) fn close_connections(&self, victim: usize) {
        let peers = self.closed_connections(victim);
        self.kept.borrow_mut().remove(&victim);
        for peer in peers {
            let latency = self.link(victim, peer).latency.unwrap_or(self.weather.get().latency);
            let latency = latency.draw(&mut self.chance.borrow_mut());
            // there are fewer nodes than that
            let by = u32::try_from(victim).unwrap_or(u32::MAX);
            self.plan(Instant::now() + latency, What::Closes { by }, peer, Key::default());
        }
    }

    /// Forgets the connections of a node whose host is gone: nobody hears of their end.
    pub(super) fn drop_connections(&self, victim: usize) {
        self.kept.borrow_mut().remove(&victim);
    }

    /// A connection that `by` had opened to the node `at` was closed.
    fn connection_closed(&self, at: usize, by: usize) {
        if !self.power(at).lives() || !self.connected(by, at) {
            return;
        }
        self.event(format_args!("closed {by}>{at}"));
        let node = match self.places.borrow().get(at) {
            Some(Place { node, power: Power::Up, .. }) => node.clone(),
            // a paused process reads of it when it goes on, by which time it probes anyway
            _ => return,
        };
        node.connection_closed(address(by));
    }
}

fn shown(index: usize) -> String {
    if index == usize::MAX { "an address outside the network".to_owned() } else { address(index).to_string() }
}
