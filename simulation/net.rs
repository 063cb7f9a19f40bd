//! The hand that a story moves the network with.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fmt,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use chinwag_actors::{
    environment::Environment, handle::NodeHandle, local::membership::Seed, node, service::AnyService,
    settings::Settings, transport::Transport,
};
use chinwag_protocol::{
    call::{CallError, GroupReply, IntoArguments, Remote},
    group::{Group, GroupConfig, Sharing},
    identity::{Gid, NodeAddr},
    overlay::Neighbours,
};
use tokio::time::{sleep, timeout};

use super::{
    address::address,
    error::{SimulationError, check_share},
    latency::Latency,
    ledger::{Counts, Hearing, Ledger, Reach},
    network::{Network, Place, Port, Power, Watched},
    process::Process,
    skew::Skew,
};

/// A running simulation. Cheap to clone; lives on the simulation's thread.
///
/// Nodes are numbered from 0.
///
/// # Panics
/// Every method that takes a node's number panics where there is no such node: a story that names one is wrong.
#[derive(Clone)]
pub struct Net(pub(super) Rc<Inner>);

pub(super) struct Inner {
    pub network: Rc<Network>,
    pub ledger: Arc<Ledger>,
    pub neighbours: Neighbours,
    pub group: Arc<GroupConfig>,
    pub views: Views,
    /// Whether those that know each other have heard from each other.
    pub acquainted: bool,
    /// What the views share once they change.
    pub sharing: Sharing,
    pub settings: Settings,
    pub services: Vec<AnyService>,
    /// What writes down what is heard in first lives.
    pub record: AnyService,
    /// The wrong ones.
    pub clocks: RefCell<BTreeMap<usize, Skew>>,
    pub seed: u64,
}

/// Whom each node knows.
pub(super) enum Views {
    /// One set for all.
    Shared(Arc<Group>),
    /// By node, itself among them.
    Own(Vec<Arc<Group>>),
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Net of {} nodes at {:?}", self.len(), self.now())
    }
}

impl Net {
    pub(super) fn start(inner: Inner) -> Net {
        let net = Net(Rc::new(inner));
        tokio::task::spawn_local(net.0.network.clone().run());
        for index in 0..net.len() {
            let place = net.boot(index, 0, &[], &[]);
            net.0.network.places.borrow_mut().push(place);
        }
        net
    }

    /// Starts a node in a new life: with its first view, or to join through others.
    fn boot(&self, index: usize, life: u32, through: &[usize], groups: &[Gid]) -> Place {
        let skew = self.skew(index);
        let port = self.port(index, life, skew);
        let view = match &self.0.views {
            Views::Shared(view) => Some(view),
            Views::Own(views) => views.get(index),
        };
        let view = view.filter(|_| through.is_empty());
        let mut settings = self.0.settings.clone();
        if !through.is_empty() {
            settings.membership.seeds = through.iter().map(|seed| Seed::from(&address(*seed))).collect();
            settings.membership.groups = groups.to_vec();
        }
        // no two lives have one number, though both began within a millisecond
        let incarnation = skew.time_of_day(self.now()) + u64::from(life);
        // most live once, with one definition for all
        let record = if life == 0 { self.0.record.clone() } else { self.0.ledger.service(life) };
        let environment = Environment {
            incarnation,
            // one that comes back is new in the group
            founding: life == 0,
            clock: skew.clock(),
            settings,
            services: self.0.services.iter().cloned().chain([record]).collect(),
            groups: view.map(|view| (self.0.group.clone(), view.clone())).into_iter().collect(),
            // all began at the same moment
            acquainted: (life == 0 && self.0.acquainted).then_some(incarnation),
            sharing: Some(self.0.sharing.clone()),
            ..Environment::new(address(index), Rc::new(port), seed_of(self.0.seed, index as u64, life))
        };
        let (process, node) = Process::run(|| node::start(environment));
        let entered = Rc::new(Cell::new((life == 0).then_some(Duration::ZERO)));
        if life > 0 {
            let (net, node, noted) = (self.clone(), node.clone(), entered.clone());
            tokio::task::spawn_local(async move {
                // one that crashes before has not entered
                if node.group(net.group()).gossip().entered().await.is_ok() {
                    noted.set(Some(net.now()));
                }
            });
        }
        Place { node, process, power: Power::Up, life, incarnation, entered }
    }

    fn port(&self, index: usize, life: u32, skew: Skew) -> Port {
        Port { network: self.0.network.clone(), index, life, clock: skew.clock() }
    }

    fn skew(&self, index: usize) -> Skew {
        self.0.clocks.borrow().get(&index).copied().unwrap_or_else(|| Skew::none(index))
    }

    #[allow(clippy::panic)] // a story that names a node that is not there is a wrong test
    fn place<T>(&self, index: usize, at: impl FnOnce(&mut Place) -> T) -> T {
        let mut places = self.0.network.places.borrow_mut();
        let count = places.len();
        match places.get_mut(index) {
            Some(place) => at(place),
            None => panic!("there is no node {index}: they are numbered from 0 to {}", count - 1),
        }
    }

    /// How many nodes there are, up or not.
    pub fn len(&self) -> usize {
        self.0.neighbours.len()
    }

    /// Never: a simulation has a node.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A node: ask it anything. A crashed one fails each call.
    ///
    /// A call made on this handle takes no network, as on any node of one's own. On a paused one it waits until the node
    /// goes on.
    pub fn node(&self, index: usize) -> NodeHandle {
        self.place(index, |place| place.node.clone())
    }

    /// Where a node is reached.
    pub fn addr(&self, index: usize) -> NodeAddr {
        self.place(index, |_| address(index))
    }

    /// A node's way out, for calls that are not its actors'.
    pub fn transport(&self, index: usize) -> Rc<dyn Transport> {
        Rc::new(self.port(index, self.life(index), self.skew(index)))
    }

    /// The name of the group that all nodes are in.
    pub fn group(&self) -> &str {
        self.0.group.gid.as_str()
    }

    /// Who knows whom at the start.
    pub fn neighbours(&self) -> &Neighbours {
        &self.0.neighbours
    }

    /// Has a node gossip a message to the `record` service of everyone, without waiting for what they say.
    pub fn tell(&self, from: usize, message: &str) {
        let (node, gid, message) = (self.node(from), self.group().to_owned(), message.to_owned());
        self.0.network.event(format_args!("tell {from}"));
        tokio::task::spawn_local(async move {
            let told = node.group(&gid).gossip().send((message,), &Remote::new("record", "hear")).await;
            if let Err(why) = told {
                log::debug!(target: "chinwag::simulation", "{node:?} could not tell it: {why}");
            }
        });
    }

    /// Has a node gossip a call to everyone, and waits for what its first peers answered.
    ///
    /// # Errors
    /// As [`gossip.send`](chinwag_actors::handle::GroupGossip::send).
    pub async fn gossip(
        &self,
        from: usize,
        arguments: impl IntoArguments,
        remote: &Remote,
    ) -> Result<GroupReply, CallError> {
        self.node(from).group(self.group()).gossip().send(arguments, remote).await
    }

    /// What a node's `record.hear` was called with, in order, in all of its lives.
    pub fn heard(&self, index: usize) -> Vec<Hearing> {
        self.0.ledger.heard(index)
    }

    /// How far a message to `record.hear` got.
    pub fn reach(&self, message: &str) -> Reach {
        self.0.ledger.reach(message)
    }

    /// Whether every node has heard it.
    pub fn all_heard(&self, message: &str) -> bool {
        self.0.ledger.is_complete(message)
    }

    /// Lets time pass until every node has heard it, but no longer than `most`. Answers whether they have.
    pub async fn until_all_heard(&self, message: &str, most: Duration) -> bool {
        let completed = async {
            loop {
                let next = self.0.ledger.completed.notified();
                if self.all_heard(message) {
                    break;
                }
                next.await;
            }
        };
        timeout(most, completed).await.is_ok()
    }

    /// What has been sent so far.
    pub fn counts(&self) -> Counts {
        self.0.ledger.counts()
    }

    /// From now on counts the messages that carry this payload, a node that has it from the start, and the hops it
    /// takes from there.
    pub fn watch(&self, payload: &str, from: usize) {
        let watched = Watched { payload: payload.to_owned(), hops: [(from, 0)].into() };
        *self.0.network.watched.borrow_mut() = Some(watched);
    }

    /// The most hops that the watched payload took to a node: the last delivery hop.
    pub fn last_hop(&self) -> u32 {
        let watched = self.0.network.watched.borrow();
        watched.as_ref().and_then(|watched| watched.hops.values().max().copied()).unwrap_or(0)
    }

    /// Virtual time since the start.
    pub fn now(&self) -> Duration {
        self.0.network.now()
    }

    /// Lets so much virtual time pass, in whole milliseconds.
    pub async fn advance(&self, time: Duration) {
        sleep(time).await;
    }

    /// Lets time pass until something holds, looked at each millisecond, but no longer than `most`. Answers whether it
    /// held.
    pub async fn until(&self, most: Duration, holds: impl Fn(&Net) -> bool) -> bool {
        let last = self.now() + most;
        loop {
            if holds(self) {
                return true;
            }
            if self.now() >= last {
                return false;
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Ends a node at once, as a process that is killed: what it had in its hands is gone, its timers too, and calls on
    /// it are refused. What it had sent arrives.
    pub fn crash(&self, index: usize) {
        self.0.network.event(format_args!("crash {index}"));
        self.end(index, Power::Down);
        self.0.network.close_connections(index);
    }

    /// Ends a node together with its host, as when the power fails: what was sent to it, or was in its hands, is never
    /// answered.
    pub fn vanish(&self, index: usize) {
        self.0.network.event(format_args!("vanish {index}"));
        self.end(index, Power::Gone);
        self.0.network.drop_connections(index);
    }

    fn end(&self, index: usize, power: Power) {
        let process = self.place(index, |place| {
            place.power = power;
            place.process.clone()
        });
        process.kill();
        self.0.network.changed.notify_waiters();
    }

    /// The nodes to which a node has a connection open, which are told when it crashes: those that it sent a membership
    /// `ping` with `"kept": true` in its argument within the last ten seconds.
    pub fn closed_connections(&self, victim: usize) -> Vec<usize> {
        self.place(victim, |_| ());
        self.0.network.closed_connections(victim)
    }

    /// Starts a node anew at the same address: it knows its group as at the start, and nothing of its former life. It is
    /// new in the group's gossip, and performs what is told once it has [entered](Net::entered_at). One that runs is
    /// crashed first.
    pub fn restart(&self, index: usize) {
        if self.lives(index) {
            self.crash(index);
        }
        self.0.network.event(format_args!("restart {index}"));
        self.boot_again(index, &[], &[]);
    }

    /// Starts a node anew at its address, knowing nobody: it joins through the first of these nodes that answers, and is
    /// meant for these groups. A node that runs is crashed first.
    ///
    /// # Panics
    /// Where `through` is empty.
    #[allow(clippy::panic)] // a wrong test
    pub fn join(&self, index: usize, through: &[usize], groups: &[Gid]) {
        if through.is_empty() {
            panic!("node {index} joins through at least one other node");
        }
        if self.lives(index) {
            self.crash(index);
        }
        let named: Vec<String> = through.iter().map(usize::to_string).collect();
        self.0.network.event(format_args!("join {index} through {}", named.join(",")));
        self.boot_again(index, through, groups);
    }

    fn boot_again(&self, index: usize, through: &[usize], groups: &[Gid]) {
        let life = self.place(index, |place| place.life + 1);
        let booted = self.boot(index, life, through, groups);
        self.place(index, |place| *place = booted);
    }

    /// Puts a node's clock wrong, or right, for its next life: it does not jump while the node runs.
    ///
    /// # Errors
    /// Where no clock is so.
    pub fn set_clock(&self, skew: Skew) -> Result<(), SimulationError> {
        let skew = skew.checked(self.len())?;
        self.0.network.event(format_args!("clock {} {} {}", skew.node, skew.rate, skew.offset));
        self.0.clocks.borrow_mut().insert(skew.node, skew);
        Ok(())
    }

    /// Stops a node where it is, as a process that is stopped: it does nothing, and what comes for it waits, until it
    /// goes on. Its timers are late then.
    pub fn pause(&self, index: usize) {
        self.0.network.event(format_args!("pause {index}"));
        self.place(index, |place| {
            if place.power == Power::Up {
                place.power = Power::Paused;
                place.process.stop();
            }
        });
    }

    /// Lets a paused node go on, with all that has come for it meanwhile.
    pub fn resume(&self, index: usize) {
        self.0.network.event(format_args!("resume {index}"));
        self.place(index, |place| {
            if place.power == Power::Paused {
                place.power = Power::Up;
                place.process.go_on();
            }
        });
        self.0.network.changed.notify_waiters();
    }

    /// Whether a node is up, and not paused.
    pub fn is_up(&self, index: usize) -> bool {
        self.place(index, |place| place.power == Power::Up)
    }

    /// Whether a node has a process, running or paused.
    pub fn lives(&self, index: usize) -> bool {
        self.place(index, |place| place.power.lives())
    }

    /// The number of a node's present or last life, as the node states it to others.
    pub fn incarnation(&self, index: usize) -> u64 {
        self.place(index, |place| place.incarnation)
    }

    /// When a node entered the gossip of its group in its present life: whatever is told later, it hears. `None` if it
    /// has not yet. A node in its first life is in the group from the start.
    pub fn entered_at(&self, index: usize) -> Option<Duration> {
        self.place(index, |place| place.entered.get())
    }

    /// How often a node has been restarted.
    pub fn life(&self, index: usize) -> u32 {
        self.place(index, |place| place.life)
    }

    /// Parts the nodes into sides that do not hear each other, in place of any partition before. Nodes that are not
    /// named make one side more. What is on its way between two sides is lost.
    pub fn partition<S>(&self, sides: impl IntoIterator<Item = S>)
    where
        S: IntoIterator<Item = usize>,
    {
        let mut side_of = vec![0; self.len()];
        for (side, nodes) in (1..).zip(sides) {
            for node in nodes {
                self.place(node, |_| ());
                side_of[node] = side;
            }
        }
        self.0.network.event(format_args!("partition {}", shown(&side_of)));
        *self.0.network.sides.borrow_mut() = side_of;
    }

    /// Loses everything that one node sends another. The way back stays open.
    pub fn cut(&self, from: usize, to: usize) {
        self.0.network.event(format_args!("cut {from}>{to}"));
        self.0.network.links.borrow_mut().entry((from, to)).or_default().cut = true;
    }

    /// Ends every partition and every cut.
    pub fn heal(&self) {
        self.0.network.event("heal");
        self.0.network.sides.borrow_mut().clear();
        self.0.network.links.borrow_mut().values_mut().for_each(|link| link.cut = false);
    }

    /// From now on loses this share of all one-way messages.
    ///
    /// # Errors
    /// Where it is no share below 1.
    pub fn set_loss(&self, share: f64) -> Result<(), SimulationError> {
        check_share("loss", share)?;
        self.0.network.event(format_args!("loss {share}"));
        let weather = self.0.network.weather.get();
        self.0.network.weather.set(super::network::Weather { loss: share, ..weather });
        Ok(())
    }

    /// From now on messages take so long.
    pub fn set_latency(&self, latency: Latency) {
        self.0.network.event(format_args!("latency {latency}"));
        let weather = self.0.network.weather.get();
        self.0.network.weather.set(super::network::Weather { latency, ..weather });
    }

    /// From now on messages from one node to another take so long; the way back is another link.
    pub fn set_link_latency(&self, from: usize, to: usize, latency: Latency) {
        self.0.network.event(format_args!("latency {from}>{to} {latency}"));
        self.0.network.links.borrow_mut().entry((from, to)).or_default().latency = Some(latency);
    }

    /// From now on this share of what one node sends another is lost; the way back is another link.
    ///
    /// # Errors
    /// Where it is no share; one link may lose everything.
    pub fn set_link_loss(&self, from: usize, to: usize, share: f64) -> Result<(), SimulationError> {
        if share != 1.0 {
            check_share("loss", share)?;
        }
        self.0.network.event(format_args!("loss {from}>{to} {share}"));
        self.0.network.links.borrow_mut().entry((from, to)).or_default().loss = Some(share);
        Ok(())
    }

    /// Everything that happened so far, a line each, where [`Simulation::traced`](super::Simulation::traced) asked for
    /// it.
    pub fn trace(&self) -> String {
        self.0.network.trace.text()
    }
}

/// `0,1|2,3`.
fn shown(side_of: &[u32]) -> String {
    let sides: BTreeSet<u32> = side_of.iter().copied().collect();
    let side = |side: u32| {
        let members = (0..).zip(side_of).filter(|(_, of)| **of == side).map(|(node, _): (usize, _)| node.to_string());
        members.collect::<Vec<_>>().join(",")
    };
    sides.into_iter().map(side).collect::<Vec<_>>().join("|")
}

/// Where the chance of a node's life comes from. The generator is a block cipher's, so seeds that differ in one byte
/// have nothing in common.
pub(super) fn seed_of(seed: u64, purpose: u64, life: u32) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&purpose.to_le_bytes());
    bytes[16..20].copy_from_slice(&life.to_le_bytes());
    bytes
}
