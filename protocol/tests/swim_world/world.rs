//! The hosts, what they do with what reaches them, and the scenarios that can be played.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chinwag_protocol::swim::{Input, MemberEvent, Outcome, Output, Relation, Statement, Swim, SwimConfig, Sync, Token};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::gossip::Rumors;
use super::queue::{Letter, Peer, Queue};

/// The properties of the network.
#[derive(Clone, Debug)]
pub struct Network {
    /// The probability that a one-way message is lost.
    pub loss: f64,
    /// The time that a message takes.
    pub latency: Duration,
    /// The time between two comparisons of rumors.
    pub tick: Duration,
    /// The number of nodes to which each node pushes a new update.
    pub fanout: usize,
}

impl Default for Network {
    fn default() -> Self {
        let (latency, tick) = (Duration::from_millis(1), Duration::from_millis(200));
        Self { loss: 0.0, latency, tick, fanout: 5 }
    }
}

/// A host. One without a machine of its own is passive, and only answers.
struct Host {
    swim: Option<Swim<Peer>>,
    started: Duration,
    /// The number of lives, so that messages to an earlier life are dropped.
    life: u64,
    up: bool,
    /// Whether its port refuses connections.
    refuses: bool,
    /// The time at which it last used its kept connection to a peer.
    kept: BTreeMap<Peer, Duration>,
    /// Whether it has joined through a member that welcomed it.
    welcomed: bool,
    stopped_until: Duration,
    side: u8,
    /// The requests without an outcome.
    open: BTreeSet<Token>,
}

impl Host {
    /// Creates a host without a machine of its own.
    fn new(now: Duration, side: u8) -> Self {
        Host {
            swim: None,
            started: now,
            life: 0,
            up: true,
            refuses: false,
            kept: BTreeMap::new(),
            welcomed: false,
            stopped_until: Duration::ZERO,
            side,
            open: BTreeSet::new(),
        }
    }
}

/// The nodes, the messages under way, and the events of the applications.
pub struct World {
    pub now: Duration,
    pub events: Vec<(Duration, Peer, MemberEvent<Peer>)>,
    /// The number of requests, without answers.
    pub requests: u64,
    network: Network,
    config: SwimConfig,
    hosts: Vec<Host>,
    queue: Queue,
    rumors: Rumors,
    chance: ChaCha8Rng,
}

impl World {
    /// Creates a group of `n` nodes that know each other; the last `passive` of them are passive.
    pub fn new(n: u32, passive: u32, config: SwimConfig, network: Network, seed: u64) -> Self {
        let mut world = Self {
            now: Duration::ZERO,
            events: Vec::new(),
            requests: 0,
            network,
            config,
            hosts: Vec::new(),
            queue: Queue::default(),
            rumors: Rumors::default(),
            chance: ChaCha8Rng::seed_from_u64(seed),
        };
        for _ in 0..n {
            world.add_host(0);
        }
        for peer in 0..n - passive {
            world.boot(peer);
            for other in (0..n).filter(|other| *other != peer) {
                world.input(peer, Input::Add(other));
            }
            world.input(peer, Input::Start);
        }
        world
    }

    fn add_host(&mut self, side: u8) {
        self.hosts.push(Host::new(self.now, side));
        self.rumors.add_node();
    }

    fn boot(&mut self, peer: Peer) {
        let host = &mut self.hosts[peer as usize];
        host.life += 1;
        host.up = true;
        host.refuses = false;
        host.kept.clear();
        host.welcomed = false;
        host.started = self.now;
        host.open.clear();
        let life = 1 + self.now.as_millis() as u64;
        host.swim = Swim::new(peer, life, self.config.clone()).ok();
        assert!(host.swim.is_some(), "the configuration is valid");
        let at = self.now + self.network.tick.mul_f64(self.chance.random());
        self.post(at, peer, Letter::Tick { life: self.hosts[peer as usize].life });
    }

    /// Kills a process: its port refuses, and its connections close.
    pub fn kill(&mut self, peer: Peer) {
        self.silence(peer);
        self.hosts[peer as usize].refuses = true;
        let kept = std::mem::take(&mut self.hosts[peer as usize].kept);
        for (to, at) in kept {
            if self.now < at + Duration::from_secs(10) {
                self.post(self.now + self.network.latency, to, Letter::Closed { peer });
            }
        }
    }

    /// Takes a host from the network: nothing comes back from it.
    pub fn silence(&mut self, peer: Peer) {
        self.hosts[peer as usize].up = false;
        self.rumors.hold_all(peer);
    }

    /// Restarts a killed node, which joins through `seed`.
    pub fn restart(&mut self, peer: Peer, seed: Peer) {
        self.boot(peer);
        self.input(peer, Input::Start);
        // A joining node repeats this until the seed has answered.
        while self.swim(peer).status(&seed).is_none() {
            self.sync(peer, seed, true);
            self.run(Duration::from_millis(100));
        }
    }

    /// Adds a node that knows only its seed.
    pub fn join(&mut self, seed: Peer, side: u8) -> Peer {
        let peer = self.hosts.len() as Peer;
        self.add_host(side);
        self.restart(peer, seed);
        peer
    }

    /// Stops a process for a while, as SIGSTOP does.
    pub fn stop(&mut self, peer: Peer, time: Duration) {
        self.hosts[peer as usize].stopped_until = self.now + time;
    }

    /// Moves a node to a side of the network. Nodes reach only nodes on their own side.
    pub fn side(&mut self, peer: Peer, side: u8) {
        self.hosts[peer as usize].side = side;
    }

    #[allow(clippy::expect_used, reason = "scenarios ask only about nodes that are not passive")]
    pub fn swim(&self, peer: Peer) -> &Swim<Peer> {
        self.hosts[peer as usize].swim.as_ref().expect("not passive")
    }

    pub fn is_up(&self, peer: Peer) -> bool {
        self.hosts[peer as usize].up
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, sequence, to, letter)) = self.queue.pop_until(end) {
            self.now = at;
            self.deliver(to, sequence, letter);
        }
        self.now = end;
    }

    fn post(&mut self, at: Duration, to: Peer, letter: Letter) {
        self.queue.post(at, to, letter);
    }

    /// Returns whether a message arrives.
    fn arrives(&mut self, from: Peer, to: Peer) -> bool {
        let (from, to) = (&self.hosts[from as usize], &self.hosts[to as usize]);
        from.side == to.side && to.up && !self.chance.random_bool(self.network.loss)
    }

    /// Returns whether a request reaches a port where nobody listens, and the refusal comes back.
    fn is_refused(&mut self, from: Peer, to: Peer) -> bool {
        let (here, there) = (&self.hosts[from as usize], &self.hosts[to as usize]);
        let refuses = here.side == there.side && !there.up && there.refuses;
        refuses && !self.chance.random_bool(self.network.loss) && !self.chance.random_bool(self.network.loss)
    }

    fn stated(&self, peer: Peer) -> Statement {
        self.hosts[peer as usize].swim.as_ref().map(Swim::statement).unwrap_or_default()
    }

    /// Handles the statement of a request. Returns whether the request is accepted.
    fn relates(&mut self, me: Peer, from: Peer, stated: Statement, merge: bool) -> bool {
        let Some(swim) = self.hosts[me as usize].swim.as_mut() else {
            return true;
        };
        if swim.relate(&stated, merge) == Relation::Stranger {
            return false;
        }
        self.input(me, Input::Heard { peer: from, stated });
        true
    }

    fn life(&self, peer: Peer) -> u64 {
        self.hosts[peer as usize].life
    }

    pub fn input(&mut self, peer: Peer, input: Input<Peer>) {
        let host = &mut self.hosts[peer as usize];
        let Some(swim) = host.swim.as_mut() else {
            return;
        };
        let outputs = swim.handle(self.now - host.started, input, &mut self.chance);
        for output in outputs {
            self.output(peer, output);
        }
    }

    fn output(&mut self, me: Peer, output: Output<Peer>) {
        let (life, latency) = (self.life(me), self.network.latency);
        match output {
            Output::Probe { token, peer, timeout, kept, merge, welcome, about } => {
                self.requests += 1;
                self.hosts[me as usize].open.insert(token);
                let lost = Letter::Outcome { life, token, outcome: Outcome::Lost };
                self.post(self.now + timeout, me, lost);
                if kept {
                    self.hosts[me as usize].kept.insert(peer, self.now);
                }
                if self.arrives(me, peer) {
                    let stated = self.stated(me);
                    let merge = merge.is_some_and(|of| of == 0 || of == self.stated(peer).incarnation.life);
                    let probe = Letter::Probe { asker: me, life, token, stated, merge, welcome, about };
                    self.post(self.now + latency, peer, probe);
                } else if self.is_refused(me, peer) {
                    self.post(self.now + 2 * latency, me, Letter::Outcome { life, token, outcome: Outcome::Refused });
                }
            }
            Output::Relay { token, via, peer, timeout, budget } => {
                self.requests += 2;
                self.hosts[me as usize].open.insert(token);
                let lost = Letter::Outcome { life, token, outcome: Outcome::Lost };
                self.post(self.now + timeout, me, lost);
                if self.arrives(me, via) {
                    let relay = Letter::Relay { asker: me, life, token, target: peer, budget };
                    self.post(self.now + latency, via, relay);
                }
            }
            Output::Tell { peer, update, .. } => {
                self.requests += 1;
                if self.arrives(me, peer) {
                    let tell = Letter::Tell { from: me, stated: self.stated(me), update };
                    self.post(self.now + latency, peer, tell);
                }
            }
            Output::Inquire { via, peer, .. } => {
                self.requests += 1;
                let told = self.hosts[via as usize].swim.as_ref().and_then(|swim| swim.known_of(&peer));
                if self.arrives(me, via)
                    && self.arrives(via, me)
                    && let (Some(update), Some(stated)) = (told, Some(self.stated(via)))
                {
                    self.post(self.now + 2 * latency, me, Letter::Tell { from: via, stated, update });
                }
            }
            Output::Sync { peer, sync, .. } => self.send_sync(me, peer, false, sync),
            Output::Broadcast(update) => {
                let number = self.rumors.start(update, self.now);
                for peer in 0..self.hosts.len() as Peer {
                    if peer == me || !self.is_up(peer) {
                        self.rumors.hold(peer, number);
                    }
                }
                self.push(me, number);
            }
            Output::Timer { at, timer } => {
                let at = at + self.hosts[me as usize].started;
                self.post(at, me, Letter::Timer { life, timer });
            }
            // a cancelled timer that comes nevertheless does no harm
            Output::Cancel { .. } => {}
            Output::Event(event) => self.events.push((self.now, me, event)),
        }
    }

    /// Compares views, as a node that joins does.
    pub fn sync(&mut self, me: Peer, peer: Peer, merge: bool) {
        let Some(sync) = self.hosts[me as usize].swim.as_mut().map(|swim| swim.begin_joining(&peer)) else {
            return;
        };
        self.send_sync(me, peer, merge, sync);
    }

    fn send_sync(&mut self, me: Peer, peer: Peer, merge: bool, sync: Sync<Peer>) {
        self.requests += 1;
        if self.arrives(me, peer) {
            let letter = Letter::Sync { from: me, stated: self.stated(me), merge, sync };
            self.post(self.now + self.network.latency, peer, letter);
        }
    }

    fn push(&mut self, me: Peer, rumor: u64) {
        for _ in 0..self.network.fanout {
            let to = self.chance.random_range(0..self.hosts.len()) as Peer;
            self.requests += 1;
            if to != me && self.arrives(me, to) {
                self.post(self.now + self.network.latency, to, Letter::Rumor { rumor });
            }
        }
    }

    fn deliver(&mut self, me: Peer, sequence: u64, letter: Letter) {
        let host = &self.hosts[me as usize];
        if !host.up {
            return;
        }
        if host.stopped_until > self.now {
            // A stopped process later receives its messages in the order in which they came.
            let at = host.stopped_until;
            return self.queue.post_as(sequence, at, me, letter);
        }
        let latency = self.network.latency;
        match letter {
            Letter::Probe { asker, life, token, stated, merge, welcome, about } => {
                if self.relates(me, asker, stated, merge || welcome) {
                    if let Some(update) = about {
                        self.input(me, Input::Told(update));
                    }
                    if welcome && !std::mem::replace(&mut self.hosts[me as usize].welcomed, true) {
                        self.sync(me, asker, true);
                    }
                }
                if self.arrives(me, asker) {
                    let outcome = Outcome::Answered(self.stated(me));
                    self.post(self.now + latency, asker, Letter::Outcome { life, token, outcome });
                }
            }
            Letter::Relay { asker, life, token, target, budget } => {
                self.relates(me, asker, self.stated(asker), false);
                let mut reply_by = self.now + budget;
                if self.arrives(me, target) {
                    let call = Letter::Relayed { via: me, asker, life, token, reply_by };
                    self.post(self.now + latency, target, call);
                } else if self.is_refused(me, target) {
                    reply_by = self.now + 2 * latency;
                }
                if self.arrives(me, asker) {
                    let outcome = Outcome::Unreachable(self.stated(me));
                    self.post(reply_by + latency, asker, Letter::Outcome { life, token, outcome });
                }
            }
            Letter::Relayed { via, asker, life, token, reply_by } => {
                self.relates(me, via, self.stated(via), false);
                if self.now + latency <= reply_by && self.arrives(me, via) && self.arrives(via, asker) {
                    let outcome = Outcome::Answered(self.stated(via));
                    let at = self.now + 2 * latency;
                    self.post(at, asker, Letter::Outcome { life, token, outcome });
                }
            }
            Letter::Tell { from, stated, update } => {
                if self.relates(me, from, stated, false) {
                    self.input(me, Input::Told(update));
                }
            }
            Letter::Sync { from, stated, merge, sync } => {
                if !self.relates(me, from, stated, merge) {
                    return;
                }
                let now = self.now - self.hosts[me as usize].started;
                let Some(swim) = self.hosts[me as usize].swim.as_mut() else {
                    return;
                };
                if let Ok((page, outputs)) = swim.answer_sync(now, from, &sync, &mut self.chance) {
                    for output in outputs {
                        self.output(me, output);
                    }
                    if self.arrives(me, from) {
                        let answer = Letter::Page { from: me, stated: self.stated(me), sync, page };
                        self.post(self.now + latency, from, answer);
                    }
                }
            }
            Letter::Page { from, stated, sync, page } => {
                if !self.relates(me, from, stated, true) {
                    return;
                }
                let now = self.now - self.hosts[me as usize].started;
                let Some(swim) = self.hosts[me as usize].swim.as_mut() else {
                    return;
                };
                let (next, outputs) = swim.take_page(now, from, (&sync, &page), &mut self.chance);
                if next.is_none() {
                    swim.end_sync(&from);
                }
                for output in outputs {
                    self.output(me, output);
                }
                if let Some(next) = next {
                    self.send_sync(me, from, false, next);
                }
            }
            Letter::Closed { peer } => self.input(me, Input::Closed(peer)),
            // A transport reports once on each request: the first outcome.
            Letter::Outcome { life, token, outcome } => {
                if life == self.life(me) && self.hosts[me as usize].open.remove(&token) {
                    self.input(me, Input::Outcome { token, outcome });
                }
            }
            Letter::Timer { life, timer } => {
                if life == self.life(me) {
                    self.input(me, Input::Timer(timer));
                }
            }
            Letter::Rumor { rumor } => self.take(me, rumor),
            Letter::Tick { life } => {
                if life == self.life(me) {
                    self.tick(me);
                    self.post(self.now + self.network.tick, me, Letter::Tick { life });
                }
            }
        }
    }

    fn take(&mut self, me: Peer, number: u64) {
        let Some(update) = self.rumors.update(number) else {
            return;
        };
        if self.rumors.hold(me, number) {
            self.input(me, Input::Update(update));
            self.push(me, number);
        }
    }

    /// Makes one anti-entropy round of a node, which takes what the other node has.
    fn tick(&mut self, me: Peer) {
        if me == 0 {
            self.rumors.expire(self.now);
        }
        let other = self.chance.random_range(0..self.hosts.len()) as Peer;
        if self.arrives(me, other) && self.arrives(other, me) {
            for rumor in self.rumors.lacking(me, other) {
                self.post(self.now + 2 * self.network.latency, me, Letter::Rumor { rumor });
            }
        }
    }

    /// Draws a running member.
    pub fn anyone(&mut self) -> Peer {
        loop {
            let peer = self.chance.random_range(0..self.hosts.len()) as Peer;
            if self.is_up(peer) {
                return peer;
            }
        }
    }

    /// The random generator for the scenario.
    pub fn chance(&mut self) -> &mut impl Rng {
        &mut self.chance
    }

    /// Returns the verdicts against running nodes, as (time, node with the verdict, removed node).
    pub fn false_removals(&self) -> Vec<(Duration, Peer, Peer)> {
        let removed = self.events.iter().filter_map(|(at, by, event)| match event {
            MemberEvent::Failed { peer, .. } if self.is_up(*peer) => Some((*at, *by, *peer)),
            _ => None,
        });
        removed.collect()
    }

    /// Returns when each other node learned of the removal of `peer`, after a time.
    pub fn removals(&self, peer: Peer, since: Duration) -> BTreeMap<Peer, Duration> {
        let mut found = BTreeMap::new();
        for (at, by, event) in &self.events {
            if let MemberEvent::Failed { peer: failed, .. } = event
                && *failed == peer
                && *at >= since
            {
                found.entry(*by).or_insert(*at - since);
            }
        }
        found
    }

    /// The nodes that all running nodes with membership consider members, or `None` if they differ.
    pub fn agreement(&self) -> Option<BTreeSet<Peer>> {
        let mut views = (0..self.hosts.len() as Peer)
            .filter(|peer| self.is_up(*peer) && self.hosts[*peer as usize].swim.is_some())
            .map(|peer| {
                let others = self.swim(peer).peers();
                let mut view: BTreeSet<Peer> =
                    others.filter(|(_, status, _)| status.is_known()).map(|(other, ..)| other).collect();
                view.insert(peer);
                view
            });
        let first = views.next()?;
        views.all(|view| view == first).then_some(first)
    }
}
