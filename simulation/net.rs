//! The handle with which a test controls the network and its nodes.

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
    network::{Network, NodeSlot, NodeState, NodeTransport, Watched},
    process::Process,
    recorder::{Counts, Delivery, Reach, Recorder},
    skew::Skew,
};

/// A running simulation. A clone is cheap and controls the same simulation. It lives on the simulation's thread.
///
/// Nodes are numbered from 0.
///
/// # Panics
/// Every method that takes a node's number panics if there is no such node.
#[derive(Clone)]
pub struct Net(pub(super) Rc<Inner>);

pub(super) struct Inner {
    pub network: Rc<Network>,
    pub recorder: Arc<Recorder>,
    pub neighbours: Neighbours,
    pub group: Arc<GroupConfig>,
    pub views: Views,
    /// Whether nodes that know each other have heard from each other at the start.
    pub acquainted: bool,
    /// What the views share after they change.
    pub sharing: Sharing,
    pub settings: Settings,
    pub services: Vec<AnyService>,
    /// The service `record` of all nodes in their first life.
    pub record: AnyService,
    /// The clocks that are wrong, by node.
    pub clocks: RefCell<BTreeMap<usize, Skew>>,
    pub seed: u64,
}

/// The nodes that each node knows.
pub(super) enum Views {
    /// All nodes know the same set.
    Shared(Arc<Group>),
    /// The set of each node, itself included.
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
            let slot = net.boot(index, 0, &[], &[]);
            net.0.network.slots.borrow_mut().push(slot);
        }
        net
    }

    /// Starts a node in a new life: with its first view, or with the nodes that it joins through.
    fn boot(&self, index: usize, life: u32, through: &[usize], groups: &[Gid]) -> NodeSlot {
        let skew = self.skew(index);
        let transport = self.node_transport(index, life, skew);
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
        // no two lives have the same incarnation, even if they begin within a millisecond
        let incarnation = skew.time_of_day(self.now()) + u64::from(life);
        // nearly all nodes have one life, and share one definition
        let record = if life == 0 { self.0.record.clone() } else { self.0.recorder.service(life) };
        let seed = seed_of(self.0.seed, index as u64, life);
        let mut environment = Environment::new(address(index), Rc::new(transport), seed);
        environment.incarnation = incarnation;
        // a restarted node is new in the group
        environment.founding = life == 0;
        environment.clock = skew.clock();
        environment.settings = settings;
        environment.services = self.0.services.iter().cloned().chain([record]).collect();
        environment.groups = view.map(|view| (self.0.group.clone(), view.clone())).into_iter().collect();
        // all nodes began at the same moment
        environment.acquainted = (life == 0 && self.0.acquainted).then_some(incarnation);
        environment.sharing = Some(self.0.sharing.clone());
        let (process, node) = Process::run(|| node::start(environment));
        let entered = Rc::new(Cell::new((life == 0).then_some(Duration::ZERO)));
        if life > 0 {
            let (net, node, noted) = (self.clone(), node.clone(), entered.clone());
            tokio::task::spawn_local(async move {
                // a node that ends before has not entered
                if node.group(net.group()).gossip().entered().await.is_ok() {
                    noted.set(Some(net.now()));
                }
            });
        }
        NodeSlot { node, process, state: NodeState::Up, life, incarnation, entered }
    }

    fn node_transport(&self, index: usize, life: u32, skew: Skew) -> NodeTransport {
        NodeTransport { network: self.0.network.clone(), index, life, clock: skew.clock() }
    }

    fn skew(&self, index: usize) -> Skew {
        self.0.clocks.borrow().get(&index).copied().unwrap_or_else(|| Skew::none(index))
    }

    #[allow(clippy::panic)] // a history that names a node that is not there is a wrong test
    fn slot<T>(&self, index: usize, at: impl FnOnce(&mut NodeSlot) -> T) -> T {
        let mut slots = self.0.network.slots.borrow_mut();
        let count = slots.len();
        match slots.get_mut(index) {
            Some(slot) => at(slot),
            None => panic!("there is no node {index}: they are numbered from 0 to {}", count - 1),
        }
    }

    /// The number of nodes, up or not.
    pub fn len(&self) -> usize {
        self.0.neighbours.len()
    }

    /// Always false, because a simulation has at least one node.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The handle of a node. Every call on a crashed node fails.
    ///
    /// A call on this handle does not use the network. On a paused node, it waits until the node resumes.
    pub fn node(&self, index: usize) -> NodeHandle {
        self.slot(index, |slot| slot.node.clone())
    }

    /// The address of a node.
    pub fn addr(&self, index: usize) -> NodeAddr {
        self.slot(index, |_| address(index))
    }

    /// The transport of a node, for calls that its actors do not make.
    pub fn transport(&self, index: usize) -> Rc<dyn Transport> {
        Rc::new(self.node_transport(index, self.life(index), self.skew(index)))
    }

    /// The name of the group that all nodes are in.
    pub fn group(&self) -> &str {
        self.0.group.gid.as_str()
    }

    /// Which nodes know each other at the start.
    pub fn neighbours(&self) -> &Neighbours {
        &self.0.neighbours
    }

    /// Makes a node gossip a message to the service `record` of all nodes, without waiting for their answers.
    pub fn tell(&self, from: usize, message: &str) {
        let (node, gid, message) = (self.node(from), self.group().to_owned(), message.to_owned());
        self.0.network.event(format_args!("tell {from}"));
        tokio::task::spawn_local(async move {
            let told = node.group(&gid).gossip().send((message,), &Remote::new("record", "hear")).await;
            if let Err(why) = told {
                log::debug!(target: "chinwag::simulation", "{node:?} could not send the message: {why}");
            }
        });
    }

    /// Makes a node gossip a call to all nodes, and waits for the answers of its first peers.
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

    /// The calls of `record.hear` on a node, in order, in all of its lives.
    pub fn heard(&self, index: usize) -> Vec<Delivery> {
        self.0.recorder.heard(index)
    }

    /// The nodes that a message to `record.hear` has reached.
    pub fn reach(&self, message: &str) -> Reach {
        self.0.recorder.reach(message)
    }

    /// Whether every node has heard a message.
    pub fn all_heard(&self, message: &str) -> bool {
        self.0.recorder.is_complete(message)
    }

    /// Lets virtual time pass until every node has heard a message, at most `most`. Returns whether they have.
    pub async fn until_all_heard(&self, message: &str, most: Duration) -> bool {
        let completed = async {
            loop {
                let next = self.0.recorder.completed.notified();
                if self.all_heard(message) {
                    break;
                }
                next.await;
            }
        };
        timeout(most, completed).await.is_ok()
    }

    /// The number of messages so far.
    pub fn counts(&self) -> Counts {
        self.0.recorder.counts()
    }

    /// Counts the messages that carry this payload from now on, and the hops that it takes from the node `from`.
    pub fn watch(&self, payload: &str, from: usize) {
        let watched = Watched { payload: payload.to_owned(), hops: [(from, 0)].into() };
        *self.0.network.watched.borrow_mut() = Some(watched);
    }

    /// The largest number of hops that the watched payload took to a node: the last delivery hop.
    pub fn last_hop(&self) -> u32 {
        let watched = self.0.network.watched.borrow();
        watched.as_ref().and_then(|watched| watched.hops.values().max().copied()).unwrap_or(0)
    }

    /// The virtual time since the start.
    pub fn now(&self) -> Duration {
        self.0.network.now()
    }

    /// Lets virtual time pass, in whole milliseconds.
    pub async fn advance(&self, time: Duration) {
        sleep(time).await;
    }

    /// Lets virtual time pass until a condition holds, at most `most`. It checks the condition each millisecond, and
    /// returns whether it held.
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

    /// Ends a node at once, like a process that is killed. Its tasks and timers end, and calls to it are refused.
    /// Messages that it has sent still arrive.
    pub fn crash(&self, index: usize) {
        self.0.network.event(format_args!("crash {index}"));
        self.end(index, NodeState::Crashed);
        self.0.network.close_connections(index);
    }

    /// Ends a node together with its host, as a power failure does. Calls to it, and calls that it was performing, are
    /// never answered.
    pub fn vanish(&self, index: usize) {
        self.0.network.event(format_args!("vanish {index}"));
        self.end(index, NodeState::Vanished);
        self.0.network.drop_connections(index);
    }

    fn end(&self, index: usize, state: NodeState) {
        let process = self.slot(index, |slot| {
            slot.state = state;
            slot.process.clone()
        });
        process.kill();
        self.0.network.changed.notify_waiters();
    }

    /// The nodes to which a node has an open connection, which are notified when it crashes: those that it sent a
    /// membership `ping` with `"kept": true` in its argument in the last ten seconds.
    pub fn closed_connections(&self, victim: usize) -> Vec<usize> {
        self.slot(victim, |_| ());
        self.0.network.closed_connections(victim)
    }

    /// Restarts a node at the same address. It knows its group as at the start, and nothing of its previous life. It is
    /// new in the group's gossip, and performs messages that are sent after it has [entered](Net::entered_at). A node
    /// that runs crashes first.
    pub fn restart(&self, index: usize) {
        if self.lives(index) {
            self.crash(index);
        }
        self.0.network.event(format_args!("restart {index}"));
        self.boot_again(index, &[], &[]);
    }

    /// Starts a node at its address without any members. It joins through the first of these nodes that answers, and
    /// enters these groups. A node that runs crashes first.
    ///
    /// # Panics
    /// If `through` is empty.
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
        let life = self.slot(index, |slot| slot.life + 1);
        let booted = self.boot(index, life, through, groups);
        self.slot(index, |slot| *slot = booted);
    }

    /// Sets a node's clock for its next life. A clock does not jump while its node runs.
    ///
    /// # Errors
    /// If the rate or the offset is out of range.
    pub fn set_clock(&self, skew: Skew) -> Result<(), SimulationError> {
        let skew = skew.checked(self.len())?;
        self.0.network.event(format_args!("clock {} {} {}", skew.node, skew.rate, skew.offset));
        self.0.clocks.borrow_mut().insert(skew.node, skew);
        Ok(())
    }

    /// Pauses a node, like a process that is suspended. It does nothing, calls to it wait, and its timers fire late.
    pub fn pause(&self, index: usize) {
        self.0.network.event(format_args!("pause {index}"));
        self.slot(index, |slot| {
            if slot.state == NodeState::Up {
                slot.state = NodeState::Paused;
                slot.process.stop();
            }
        });
    }

    /// Resumes a paused node, which then receives all calls that wait for it.
    pub fn resume(&self, index: usize) {
        self.0.network.event(format_args!("resume {index}"));
        self.slot(index, |slot| {
            if slot.state == NodeState::Paused {
                slot.state = NodeState::Up;
                slot.process.resume();
            }
        });
        self.0.network.changed.notify_waiters();
    }

    /// Whether a node is up and not paused.
    pub fn is_up(&self, index: usize) -> bool {
        self.slot(index, |slot| slot.state == NodeState::Up)
    }

    /// Whether a node has a process, running or paused.
    pub fn lives(&self, index: usize) -> bool {
        self.slot(index, |slot| slot.state.lives())
    }

    /// The incarnation of a node's present or last life, as the node states it to others.
    pub fn incarnation(&self, index: usize) -> u64 {
        self.slot(index, |slot| slot.incarnation)
    }

    /// When a node entered the gossip of its group in its present life, or `None` if it has not yet. It hears every
    /// message that is sent later. A node in its first life is in the group from the start.
    pub fn entered_at(&self, index: usize) -> Option<Duration> {
        self.slot(index, |slot| slot.entered.get())
    }

    /// How often a node has been restarted.
    pub fn life(&self, index: usize) -> u32 {
        self.slot(index, |slot| slot.life)
    }

    /// Divides the nodes into sides that cannot reach each other, and replaces an earlier partition. The nodes that are
    /// not named form one more side. Messages that are under way between two sides are lost.
    pub fn partition<S>(&self, sides: impl IntoIterator<Item = S>)
    where
        S: IntoIterator<Item = usize>,
    {
        let mut side_of = vec![0; self.len()];
        for (side, nodes) in (1..).zip(sides) {
            for node in nodes {
                self.slot(node, |_| ());
                side_of[node] = side;
            }
        }
        self.0.network.event(format_args!("partition {}", shown(&side_of)));
        *self.0.network.sides.borrow_mut() = side_of;
    }

    /// Loses every message from one node to another. The opposite direction still works.
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

    /// Sets the share of one-way messages that are lost from now on.
    ///
    /// # Errors
    /// If the share is not from 0 to less than 1.
    pub fn set_loss(&self, share: f64) -> Result<(), SimulationError> {
        check_share("loss", share)?;
        self.0.network.event(format_args!("loss {share}"));
        let conditions = self.0.network.conditions.get();
        self.0.network.conditions.set(super::network::Conditions { loss: share, ..conditions });
        Ok(())
    }

    /// Sets the latency of messages that are sent from now on.
    pub fn set_latency(&self, latency: Latency) {
        self.0.network.event(format_args!("latency {latency}"));
        let conditions = self.0.network.conditions.get();
        self.0.network.conditions.set(super::network::Conditions { latency, ..conditions });
    }

    /// Sets the latency of messages from one node to another. The opposite direction is another link.
    pub fn set_link_latency(&self, from: usize, to: usize, latency: Latency) {
        self.0.network.event(format_args!("latency {from}>{to} {latency}"));
        self.0.network.links.borrow_mut().entry((from, to)).or_default().latency = Some(latency);
    }

    /// Sets the share of messages from one node to another that are lost. The opposite direction is another link.
    ///
    /// # Errors
    /// If the share is not from 0 to 1.
    pub fn set_link_loss(&self, from: usize, to: usize, share: f64) -> Result<(), SimulationError> {
        if share != 1.0 {
            check_share("loss", share)?;
        }
        self.0.network.event(format_args!("loss {from}>{to} {share}"));
        self.0.network.links.borrow_mut().entry((from, to)).or_default().loss = Some(share);
        Ok(())
    }

    /// A line for every event so far, or nothing unless [`Simulation::traced`](super::Simulation::traced) was set.
    pub fn trace(&self) -> String {
        self.0.network.trace.text()
    }
}

/// The sides of a partition in the form `0,1|2,3`.
fn shown(side_of: &[u32]) -> String {
    let sides: BTreeSet<u32> = side_of.iter().copied().collect();
    let side = |side: u32| {
        let members = (0..).zip(side_of).filter(|(_, of)| **of == side).map(|(node, _): (usize, _)| node.to_string());
        members.collect::<Vec<_>>().join(",")
    };
    sides.into_iter().map(side).collect::<Vec<_>>().join("|")
}

/// The seed of the random generator for a purpose and a life. The generator is based on a block cipher, so that seeds
/// that differ in one byte give unrelated sequences.
pub(super) fn seed_of(seed: u64, purpose: u64, life: u32) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&purpose.to_le_bytes());
    bytes[16..20].copy_from_slice(&life.to_le_bytes());
    bytes
}
