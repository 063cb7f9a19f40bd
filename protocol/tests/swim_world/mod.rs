//! Many membership machines in one process: events in virtual time, a network that loses messages.
//!
//! Each one-way message (a request, an answer, either leg of a relayed call, a push of gossip) takes one latency and is
//! lost independently, so a request can have been performed whose answer is lost. Gossip is modelled simply: each node
//! that first gets an update pushes it once to a few others drawn at random, and at each tick takes what it lacks from
//! one other, if both legs arrive. The port of a killed node refuses, and the connections that it kept close; a silent
//! one answers nothing; a stopped one does everything later.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use chinwag_protocol::swim::{
    Input, MemberEvent, Outcome, Output, Page, Relation, Statement, Swim, SwimConfig, Sync, Timer, Token, Update,
};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub type Peer = u32;

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
    held: Held,
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
    /// The number of nodes that do not hold it.
    lacking: usize,
    born: Duration,
}

/// The numbers of the rumors that a node holds, as one bit each from the first rumor that any node lacks.
#[derive(Default)]
struct Held(Vec<u64>);

impl Held {
    /// Notes a rumor. Returns whether it is new.
    fn insert(&mut self, at: usize) -> bool {
        let (word, bit) = (at / 64, 1 << (at % 64));
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    /// Returns the rumors of `other` that are missing here.
    fn lacks<'a>(&'a self, other: &'a Held) -> impl Iterator<Item = usize> + 'a {
        let mine = self.0.iter().copied().chain(std::iter::repeat(0));
        other.0.iter().zip(mine).enumerate().flat_map(|(word, (theirs, mine))| {
            let mut lacking = theirs & !mine;
            std::iter::from_fn(move || {
                let bit = lacking.trailing_zeros() as usize;
                lacking &= lacking.wrapping_sub(1);
                (bit < 64).then_some(word * 64 + bit)
            })
        })
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
    queue: BinaryHeap<Reverse<(Duration, u64, Peer, usize)>>,
    /// The messages under way, and the free slots.
    letters: (Vec<Option<Letter>>, Vec<usize>),
    sequence: u64,
    rumors: BTreeMap<u64, Rumor>,
    rumor_count: u64,
    /// The number of the first rumor for which there are bits, a multiple of 64.
    first_held: u64,
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
            queue: BinaryHeap::new(),
            letters: (Vec::new(), Vec::new()),
            sequence: 0,
            rumors: BTreeMap::new(),
            rumor_count: 0,
            first_held: 0,
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
                held: Held::default(),
            });
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
        for number in self.rumors.keys().copied().collect::<Vec<_>>() {
            self.hold(peer, number);
        }
    }

    /// Marks all rumors under way as known to a new node.
    fn holds_all(&mut self, peer: Peer) {
        let Self { hosts, rumors, first_held, .. } = self;
        for number in rumors.keys() {
            hosts[peer as usize].held.insert((number - *first_held) as usize);
        }
    }

    /// Notes that a node holds a rumor. Returns whether it is new to the node and still useful.
    fn hold(&mut self, peer: Peer, number: u64) -> bool {
        let Some(rumor) = self.rumors.get_mut(&number) else {
            return false;
        };
        let new = self.hosts[peer as usize].held.insert((number - self.first_held) as usize);
        rumor.lacking -= new as usize;
        new
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
            held: Held::default(),
        });
        self.holds_all(peer);
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
        while let Some(Reverse((at, ..))) = self.queue.peek()
            && *at <= end
        {
            let Some(Reverse((at, sequence, to, place))) = self.queue.pop() else {
                break;
            };
            self.now = at;
            let (letters, free) = &mut self.letters;
            free.push(place);
            if let Some(letter) = letters[place].take() {
                self.deliver(to, sequence, letter);
            }
        }
        self.now = end;
    }

    fn post(&mut self, at: Duration, to: Peer, letter: Letter) {
        self.sequence += 1;
        self.post_as(self.sequence, at, to, letter);
    }

    fn post_as(&mut self, sequence: u64, at: Duration, to: Peer, letter: Letter) {
        let (letters, free) = &mut self.letters;
        let place = free.pop().unwrap_or_else(|| {
            letters.push(None);
            letters.len() - 1
        });
        letters[place] = Some(letter);
        self.queue.push(Reverse((at, sequence, to, place)));
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
                self.rumor_count += 1;
                let number = self.rumor_count;
                let rumor = Rumor { update, lacking: self.hosts.len(), born: self.now };
                self.rumors.insert(number, rumor);
                for peer in 0..self.hosts.len() as Peer {
                    if peer == me || !self.is_up(peer) {
                        self.hold(peer, number);
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
            return self.post_as(sequence, at, me, letter);
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
        let Some(update) = self.rumors.get(&number).map(|rumor| rumor.update) else {
            return;
        };
        if self.hold(me, number) {
            self.input(me, Input::Update(update));
            self.push(me, number);
        }
    }

    /// Makes one anti-entropy round of a node, which takes what the other node has.
    fn tick(&mut self, me: Peer) {
        let now = self.now;
        if me == 0 {
            let keep = Duration::from_secs(60);
            self.rumors.retain(|_, rumor| rumor.born + keep > now && rumor.lacking > 0);
            let first = self.rumors.first_key_value().map_or(self.rumor_count, |(number, _)| *number);
            let words = ((first - self.first_held) / 64) as usize;
            for host in &mut self.hosts {
                host.held.0.drain(..words.min(host.held.0.len()));
            }
            self.first_held += words as u64 * 64;
        }
        let other = self.chance.random_range(0..self.hosts.len());
        if self.arrives(me, other as Peer) && self.arrives(other as Peer, me) {
            let (mine, theirs) = (&self.hosts[me as usize].held, &self.hosts[other].held);
            let lacking = mine.lacks(theirs).map(|at| self.first_held + at as u64);
            let lacking: Vec<u64> = lacking.filter(|number| self.rumors.contains_key(number)).collect();
            for number in lacking {
                self.post(now + 2 * self.network.latency, me, Letter::Rumor { rumor: number });
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
