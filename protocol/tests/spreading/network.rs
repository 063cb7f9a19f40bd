//! The model network for rumors: many nodes, and what is under way between them, in virtual time.
//!
//! The network hands requests and answers from node to node and records what the nodes perform. A [`Schedule`] decides
//! what happens next, and what is lost. There are two: constant latency for `figures`, and arbitrary orders for
//! `schedules`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use chinwag_protocol::rumor::{
    Answer, BroadcastError, Context, Gossip, GossipConfig, Id, Input, Output, Request, Timer, Token, View,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// What can happen in the network. Nodes and messages are numbered.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request arrives.
    Request { from: u32, to: u32, token: Token, request: Request<u32, u32> },
    /// An answer arrives.
    Answer { from: u32, to: u32, token: Token, answer: Answer<u32, u32> },
    /// A node learns that its request has failed.
    Failure { node: u32, token: Token },
    /// A timer of a node expires.
    Timer { node: u32, timer: Timer },
}

/// Decides when events happen, and which requests and answers are lost.
pub trait Schedule {
    /// Takes a request or an answer that is sent at `now`.
    fn send(&mut self, now: Duration, sent: Event, chance: &mut ChaCha8Rng);

    /// Takes a timer that a node starts at `now`.
    fn start_timer(&mut self, now: Duration, node: u32, timer: Timer, after: Duration);

    /// Returns the next event among this number of nodes and its time, or `None` if there is none.
    fn next(&mut self, now: Duration, nodes: u32, chance: &mut ChaCha8Rng) -> Option<(Duration, Event)>;
}

/// Which members each node knows.
#[derive(Clone, Debug)]
pub enum Views {
    /// Every node knows all members.
    All,
    /// The members that each node knows.
    Each(Vec<Vec<u32>>),
}

/// The members that one node knows.
enum Members<'a> {
    /// The members 0 to n - 1, without a list of them.
    First(u32),
    Listed(&'a [u32]),
}

impl View<u32> for Members<'_> {
    fn len(&self) -> usize {
        match self {
            Members::First(count) => *count as usize,
            Members::Listed(peers) => peers.len(),
        }
    }
    fn peer(&self, place: usize) -> u32 {
        match self {
            Members::First(_) => place as u32,
            Members::Listed(peers) => peers[place],
        }
    }
    fn around(&self, peer: u32) -> Option<[u32; 2]> {
        match *self {
            Members::First(count) => (count > 1).then(|| [(peer + count - 1) % count, (peer + 1) % count]),
            Members::Listed(peers) => peers.around(peer),
        }
    }
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// The number of payloads, whether or not they arrived.
    pub payloads: u64,
    /// The number of requests, without comparisons that find no difference.
    pub requests: u64,
    /// The highest hop of a payload that arrived (LDH).
    pub last_hop: u32,
}

/// Nodes that spread rumors.
pub struct Network<S> {
    pub nodes: Vec<Gossip<u32, u32>>,
    pub views: Views,
    pub schedule: S,
    pub now: Duration,
    pub chance: ChaCha8Rng,
    fanout: usize,
    /// What each node performed, and when. An origin counts as having performed its own rumors.
    pub performed: Vec<BTreeMap<Id<u32>, Duration>>,
    /// How many pairs of a node and a rumor that it performed there are.
    pub reached: u64,
    /// How often a node performed a rumor again, which must be never.
    pub repeated: u64,
    /// When each node entered the group, if it has.
    pub entered: Vec<Option<Duration>>,
    pub traffic: Traffic,
    out: Vec<Output<u32, u32>>,
}

impl<S: Schedule> Network<S> {
    /// Creates a network of nodes that are in the group from its beginning and know each other.
    pub fn new(count: u32, fanout: usize, config: Arc<GossipConfig>, schedule: S, seed: u64) -> Self {
        let mut network = Network {
            nodes: Vec::new(),
            views: Views::All,
            schedule,
            now: Duration::ZERO,
            chance: ChaCha8Rng::seed_from_u64(seed),
            fanout,
            performed: Vec::new(),
            reached: 0,
            repeated: 0,
            entered: Vec::new(),
            traffic: Traffic::default(),
            out: Vec::new(),
        };
        for me in 0..count {
            network.add(Gossip::new(me, 1, config.clone()), Some(Duration::ZERO));
        }
        network
    }

    /// Adds a node, and when it entered the group, if it has.
    pub fn add(&mut self, node: Gossip<u32, u32>, entered: Option<Duration>) {
        self.nodes.push(node);
        self.performed.push(BTreeMap::new());
        self.entered.push(entered);
    }

    /// Starts a rumor at a node.
    pub fn broadcast(&mut self, node: u32, message: u32, bytes: usize) -> Result<Id<u32>, BroadcastError> {
        let id = self.at(node, |node, context, out| node.broadcast(context, message, bytes, out))?;
        self.record(node, id.clone());
        Ok(id)
    }

    /// Hands a request to a node, from a node outside of the network if `from` is `None`.
    pub fn respond(&mut self, node: u32, from: Option<u32>, request: Request<u32, u32>) -> Answer<u32, u32> {
        self.at(node, |node, context, out| node.respond(context, from, request, out))
    }

    /// Hands an input to a node.
    pub fn handle(&mut self, node: u32, input: Input<u32, u32>) {
        self.at(node, |node, context, out| node.handle(context, input, out));
    }

    /// Makes the next event happen. Returns whether there was one.
    pub fn step(&mut self) -> bool {
        let Some((now, event)) = self.schedule.next(self.now, self.nodes.len() as u32, &mut self.chance) else {
            return false;
        };
        self.now = now;
        match event {
            Event::Timer { node, timer } => self.handle(node, Input::Timer(timer)),
            Event::Failure { node, token } => self.handle(node, Input::Failure { token }),
            Event::Answer { from, to, token, answer } => self.handle(to, Input::Answer { token, from, answer }),
            Event::Request { from, to, token, request } => {
                let comparison = matches!(request, Request::Compare { .. });
                if let Request::Push(rumor) = &request {
                    self.traffic.last_hop = self.traffic.last_hop.max(rumor.hop);
                }
                let answer = self.respond(to, Some(from), request);
                if let Answer::Rumors { rumors, .. } = &answer {
                    self.traffic.payloads += rumors.len() as u64;
                    self.traffic.last_hop = rumors.iter().map(|rumor| rumor.hop).fold(self.traffic.last_hop, u32::max);
                }
                self.traffic.requests += u64::from(comparison && answer != Answer::Same);
                let sent = Event::Answer { from: to, to: from, token, answer };
                self.schedule.send(self.now, sent, &mut self.chance);
            }
        }
        true
    }

    fn at<T>(
        &mut self,
        node: u32,
        call: impl FnOnce(&mut Gossip<u32, u32>, &mut Context<'_, Members, ChaCha8Rng>, &mut Vec<Output<u32, u32>>) -> T,
    ) -> T {
        let members = match &self.views {
            Views::All => Members::First(self.nodes.len() as u32),
            Views::Each(views) => Members::Listed(&views[node as usize]),
        };
        let mut context = Context { now: self.now, view: &members, fanout: self.fanout, chance: &mut self.chance };
        let result = call(&mut self.nodes[node as usize], &mut context, &mut self.out);
        self.carry_out(node);
        result
    }

    fn carry_out(&mut self, node: u32) {
        let mut out = std::mem::take(&mut self.out);
        for output in out.drain(..) {
            match output {
                Output::Perform { id, .. } => self.record(node, id),
                Output::Send { token, to, request } => {
                    self.traffic.payloads += u64::from(matches!(request, Request::Push(_)));
                    self.traffic.requests += u64::from(!matches!(request, Request::Compare { .. }));
                    let sent = Event::Request { from: node, to, token, request };
                    self.schedule.send(self.now, sent, &mut self.chance);
                }
                Output::Timer { after, timer } => self.schedule.start_timer(self.now, node, timer, after),
                Output::Entered => drop(self.entered[node as usize].get_or_insert(self.now)),
                Output::Cancel { .. } | Output::Settled { .. } | Output::Reissued { .. } => {}
            }
        }
        self.out = out;
    }

    fn record(&mut self, node: u32, id: Id<u32>) {
        match self.performed[node as usize].entry(id) {
            Entry::Vacant(first) => {
                first.insert(self.now);
                self.reached += 1;
            }
            Entry::Occupied(_) => self.repeated += 1,
        }
    }
}
