//! Many membership machines in one process: events in virtual time, a network that loses messages.
//!
//! Each one-way message (a request, an answer, either leg of a relayed call, a push of gossip) takes one latency and is
//! lost independently, so a request can have been performed whose answer is lost. Gossip is modelled simply: each
//! node that first gets an update pushes it once to a few others drawn at random, and at each tick takes what it lacks
//! from one other, if both legs arrive. The port of a killed node refuses, and the connections that it kept close; a silent
//! one answers nothing; a stopped one does everything later.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use chinwag_protocol::swim::{
    Config, Event, Input, Outcome, Output, Page, Relation, Statement, Swim, Sync, Timer, Token, Update,
};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub type Peer = u16;

/// What the network does.
#[derive(Clone, Debug)]
pub struct Network {
    /// Probability that a one-way message is lost.
    pub loss: f64,
    /// How long a message takes.
    pub latency: Duration,
    /// How often a node compares rumors with another.
    pub tick: Duration,
    /// To how many an update is pushed by each node that gets it.
    pub fanout: usize,
}

impl Default for Network {
    fn default() -> Self {
        let (latency, tick) = (Duration::from_millis(1), Duration::from_millis(200));
        Self { loss: 0.0, latency, tick, fanout: 5 }
    }
}

/// A node without a machine of its own, like those of the reference, only answers.
struct Host {
    swim: Option<Swim<Peer>>,
    started: Duration,
    /// Counts lives, so that what was meant for an earlier one is dropped.
    life: u64,
    up: bool,
    /// Its port answers that nobody listens.
    refuses: bool,
    /// When it last used the connection that it keeps to a peer.
    kept: BTreeMap<Peer, Duration>,
    /// It has joined through a member that welcomed it.
    welcomed: bool,
    stopped_until: Duration,
    side: u8,
    /// Requests not reported on yet.
    open: BTreeSet<Token>,
}

#[derive(Clone, Debug)]
enum Letter {
    Probe {
        asker: Peer,
        life: u64,
        token: Token,
        stated: Statement,
        merge: bool,
        welcome: bool,
        about: Option<Update<Peer>>,
    },
    Relay {
        asker: Peer,
        life: u64,
        token: Token,
        target: Peer,
        budget: Duration,
    },
    Relayed {
        via: Peer,
        asker: Peer,
        life: u64,
        token: Token,
        reply_by: Duration,
    },
    Tell {
        from: Peer,
        stated: Statement,
        update: Update<Peer>,
    },
    Sync {
        from: Peer,
        stated: Statement,
        merge: bool,
        sync: Sync<Peer>,
    },
    Page {
        from: Peer,
        stated: Statement,
        sync: Sync<Peer>,
        page: Page<Peer>,
    },
    Closed {
        peer: Peer,
    },
    Outcome {
        life: u64,
        token: Token,
        outcome: Outcome,
    },
    Timer {
        life: u64,
        timer: Timer<Peer>,
    },
    Rumor {
        rumor: u64,
    },
    Tick {
        life: u64,
    },
}

struct Rumor {
    update: Update<Peer>,
    held: Vec<bool>,
    born: Duration,
}

/// The nodes, what is under way between them, and what their applications were told.
pub struct World {
    pub now: Duration,
    pub events: Vec<(Duration, Peer, Event<Peer>)>,
    /// Requests, answers not counted.
    pub requests: u64,
    network: Network,
    config: Config,
    hosts: Vec<Host>,
    queue: BinaryHeap<Reverse<(Duration, u64, Peer)>>,
    letters: BTreeMap<u64, Letter>,
    sequence: u64,
    rumors: BTreeMap<u64, Rumor>,
    rumor_count: u64,
    chance: ChaCha8Rng,
}

impl World {
    /// A group of `n`, in which everyone knows everyone; the last `mute` of them take no part.
    pub fn new(n: u16, mute: u16, config: Config, network: Network, seed: u64) -> Self {
        let mut world = Self {
            now: Duration::ZERO,
            events: Vec::new(),
            requests: 0,
            network,
            config,
            hosts: Vec::new(),
            queue: BinaryHeap::new(),
            letters: BTreeMap::new(),
            sequence: 0,
            rumors: BTreeMap::new(),
            rumor_count: 0,
            chance: ChaCha8Rng::seed_from_u64(seed),
        };
        for _ in 0..n {
            world.hosts.push(Host {
                swim: None,
                started: Duration::ZERO,
                life: 0,
                up: true,
                refuses: false,
                kept: BTreeMap::new(),
                welcomed: false,
                stopped_until: Duration::ZERO,
                side: 0,
                open: BTreeSet::new(),
            });
        }
        for peer in 0..n - mute {
            world.boot(peer);
            for other in (0..n).filter(|other| *other != peer) {
                world.input(peer, Input::Add(other));
            }
            world.input(peer, Input::Start);
        }
        world
    }

    fn boot(&mut self, peer: Peer) {
        let host = &mut self.hosts[usize::from(peer)];
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
        self.post(at, peer, Letter::Tick { life: self.hosts[usize::from(peer)].life });
    }

    /// Kills a process: its port refuses, and its connections close.
    pub fn kill(&mut self, peer: Peer) {
        self.silence(peer);
        self.hosts[usize::from(peer)].refuses = true;
        let kept = std::mem::take(&mut self.hosts[usize::from(peer)].kept);
        for (to, at) in kept {
            if self.now < at + Duration::from_secs(10) {
                self.post(self.now + self.network.latency, to, Letter::Closed { peer });
            }
        }
    }

    /// Takes a host from the network: nothing comes back from it.
    pub fn silence(&mut self, peer: Peer) {
        self.hosts[usize::from(peer)].up = false;
        for rumor in self.rumors.values_mut() {
            rumor.held[usize::from(peer)] = true;
        }
    }

    /// Starts a killed node again, with a seed to join through.
    pub fn restart(&mut self, peer: Peer, seed: Peer) {
        self.boot(peer);
        self.input(peer, Input::Start);
        // As a joining node does: again until the seed has answered.
        while self.swim(peer).status(&seed).is_none() {
            self.sync(peer, seed, true);
            self.run(Duration::from_millis(100));
        }
    }

    /// Adds a node that knows only its seed.
    pub fn join(&mut self, seed: Peer, side: u8) -> Peer {
        let peer = self.hosts.len() as Peer;
        self.hosts.push(Host {
            swim: None,
            started: self.now,
            life: 0,
            up: true,
            refuses: false,
            kept: BTreeMap::new(),
            welcomed: false,
            stopped_until: Duration::ZERO,
            side,
            open: BTreeSet::new(),
        });
        for rumor in self.rumors.values_mut() {
            rumor.held.push(true);
        }
        self.restart(peer, seed);
        peer
    }

    /// Stops a process for a while, as SIGSTOP does.
    pub fn stop(&mut self, peer: Peer, time: Duration) {
        self.hosts[usize::from(peer)].stopped_until = self.now + time;
    }

    /// Nodes reach only those on their own side.
    pub fn side(&mut self, peer: Peer, side: u8) {
        self.hosts[usize::from(peer)].side = side;
    }

    #[allow(clippy::expect_used, reason = "scenarios ask only about nodes that take part")]
    pub fn swim(&self, peer: Peer) -> &Swim<Peer> {
        self.hosts[usize::from(peer)].swim.as_ref().expect("it takes part")
    }

    pub fn is_up(&self, peer: Peer) -> bool {
        self.hosts[usize::from(peer)].up
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse((at, ..))) = self.queue.peek()
            && *at <= end
        {
            let Some(Reverse((at, sequence, to))) = self.queue.pop() else {
                break;
            };
            self.now = at;
            if let Some(letter) = self.letters.remove(&sequence) {
                self.deliver(to, sequence, letter);
            }
        }
        self.now = end;
    }

    fn post(&mut self, at: Duration, to: Peer, letter: Letter) {
        self.sequence += 1;
        self.letters.insert(self.sequence, letter);
        self.queue.push(Reverse((at, self.sequence, to)));
    }

    /// Whether a message from one to the other arrives.
    fn arrives(&mut self, from: Peer, to: Peer) -> bool {
        let (from, to) = (&self.hosts[usize::from(from)], &self.hosts[usize::from(to)]);
        from.side == to.side && to.up && !self.chance.random_bool(self.network.loss)
    }

    /// Whether a request from one reaches the port of the other, where nobody listens, and the refusal comes back.
    fn is_refused(&mut self, from: Peer, to: Peer) -> bool {
        let (here, there) = (&self.hosts[usize::from(from)], &self.hosts[usize::from(to)]);
        let refuses = here.side == there.side && !there.up && there.refuses;
        refuses && !self.chance.random_bool(self.network.loss) && !self.chance.random_bool(self.network.loss)
    }

    fn stated(&self, peer: Peer) -> Statement {
        self.hosts[usize::from(peer)].swim.as_ref().map(Swim::statement).unwrap_or_default()
    }

    /// Takes in the statement of a request; whether the request counts.
    fn relates(&mut self, me: Peer, from: Peer, stated: Statement, merge: bool) -> bool {
        let Some(swim) = self.hosts[usize::from(me)].swim.as_mut() else {
            return true;
        };
        if swim.relate(&stated, merge) == Relation::Stranger {
            return false;
        }
        self.input(me, Input::Heard { peer: from, stated });
        true
    }

    fn life(&self, peer: Peer) -> u64 {
        self.hosts[usize::from(peer)].life
    }

    pub fn input(&mut self, peer: Peer, input: Input<Peer>) {
        let host = &mut self.hosts[usize::from(peer)];
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
                self.hosts[usize::from(me)].open.insert(token);
                let lost = Letter::Outcome { life, token, outcome: Outcome::Lost };
                self.post(self.now + timeout, me, lost);
                if kept {
                    self.hosts[usize::from(me)].kept.insert(peer, self.now);
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
                self.hosts[usize::from(me)].open.insert(token);
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
                let told = self.hosts[usize::from(via)].swim.as_ref().and_then(|swim| swim.known_of(&peer));
                if self.arrives(me, via)
                    && self.arrives(via, me)
                    && let (Some(update), Some(stated)) = (told, Some(self.stated(via)))
                {
                    self.post(self.now + 2 * latency, me, Letter::Tell { from: via, stated, update });
                }
            }
            Output::Sync { peer, sync, .. } => self.send_sync(me, peer, false, sync),
            Output::Broadcast(update) => {
                self.rumor_count += 1;
                let mut held: Vec<bool> = self.hosts.iter().map(|host| !host.up).collect();
                held[usize::from(me)] = true;
                let rumor = Rumor { update, held, born: self.now };
                self.rumors.insert(self.rumor_count, rumor);
                self.push(me, self.rumor_count);
            }
            Output::Timer { at, timer } => {
                let at = at + self.hosts[usize::from(me)].started;
                self.post(at, me, Letter::Timer { life, timer });
            }
            // one that comes all the same does no harm
            Output::Cancel { .. } => {}
            Output::Event(event) => self.events.push((self.now, me, event)),
        }
    }

    /// Compares views, as a node that joins does.
    pub fn sync(&mut self, me: Peer, peer: Peer, merge: bool) {
        let Some(sync) = self.hosts[usize::from(me)].swim.as_mut().map(Swim::begin_joining) else {
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
        let host = &self.hosts[usize::from(me)];
        if !host.up {
            return;
        }
        if host.stopped_until > self.now {
            // What waits for a stopped process it finds in the order in which it came.
            self.letters.insert(sequence, letter);
            self.queue.push(Reverse((host.stopped_until, sequence, me)));
            return;
        }
        let latency = self.network.latency;
        match letter {
            Letter::Probe { asker, life, token, stated, merge, welcome, about } => {
                if self.relates(me, asker, stated, merge || welcome) {
                    if let Some(update) = about {
                        self.input(me, Input::Told(update));
                    }
                    if welcome && !std::mem::replace(&mut self.hosts[usize::from(me)].welcomed, true) {
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
                let now = self.now - self.hosts[usize::from(me)].started;
                let Some(swim) = self.hosts[usize::from(me)].swim.as_mut() else {
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
                let now = self.now - self.hosts[usize::from(me)].started;
                let Some(swim) = self.hosts[usize::from(me)].swim.as_mut() else {
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
            // A transport reports once on each request: what comes first.
            Letter::Outcome { life, token, outcome } => {
                if life == self.life(me) && self.hosts[usize::from(me)].open.remove(&token) {
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
        let Some(rumor) = self.rumors.get_mut(&number) else {
            return;
        };
        if std::mem::replace(&mut rumor.held[usize::from(me)], true) {
            return;
        }
        let update = rumor.update;
        self.input(me, Input::Update(update));
        self.push(me, number);
    }

    /// One anti-entropy round of one node: it takes what the other has.
    fn tick(&mut self, me: Peer) {
        let now = self.now;
        if me == 0 {
            let keep = Duration::from_secs(60);
            self.rumors.retain(|_, rumor| rumor.born + keep > now && rumor.held.iter().any(|held| !held));
        }
        let other = self.chance.random_range(0..self.hosts.len());
        if self.arrives(me, other as Peer) && self.arrives(other as Peer, me) {
            let lacking: Vec<u64> = self
                .rumors
                .iter()
                .filter(|(_, rumor)| !rumor.held[usize::from(me)] && rumor.held[other])
                .map(|(number, _)| *number)
                .collect();
            for number in lacking {
                self.post(now + 2 * self.network.latency, me, Letter::Rumor { rumor: number });
            }
        }
    }

    /// A member drawn at random among those that are up.
    pub fn anyone(&mut self) -> Peer {
        loop {
            let peer = self.chance.random_range(0..self.hosts.len()) as Peer;
            if self.is_up(peer) {
                return peer;
            }
        }
    }

    /// Chance for the scenario itself.
    pub fn chance(&mut self) -> &mut impl Rng {
        &mut self.chance
    }

    /// Verdicts against nodes that are up, as (when, who holds it, against whom).
    pub fn false_removals(&self) -> Vec<(Duration, Peer, Peer)> {
        let removed = self.events.iter().filter_map(|(at, by, event)| match event {
            Event::Failed { peer, .. } if self.is_up(*peer) => Some((*at, *by, *peer)),
            _ => None,
        });
        removed.collect()
    }

    /// When each of the others learned of the removal of `peer`, since a time.
    pub fn removals(&self, peer: Peer, since: Duration) -> BTreeMap<Peer, Duration> {
        let mut found = BTreeMap::new();
        for (at, by, event) in &self.events {
            if let Event::Failed { peer: failed, .. } = event
                && *failed == peer
                && *at >= since
            {
                found.entry(*by).or_insert(*at - since);
            }
        }
        found
    }

    /// Which nodes everyone up who takes part regards as members; `None` if they differ.
    pub fn agreement(&self) -> Option<BTreeSet<Peer>> {
        let mut views = (0..self.hosts.len() as Peer)
            .filter(|peer| self.is_up(*peer) && self.hosts[usize::from(*peer)].swim.is_some())
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
