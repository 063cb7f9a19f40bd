//! The machine: what each input does.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use rand::{Rng, RngExt};

use super::probe::Flight;
use super::standing::Member;
use super::suspicion::Suspicion;
use super::{Claim, Config, ConfigError, Event, Incarnation, Input, Output, Status, Timer, Update, supersedes};

/// One node's view of who is alive, and what it does to keep it true.
///
/// Idle it holds about 24 bytes a peer beside the peer's id, and one timer. A node that does not want membership has
/// none of these, or never gives it [`Input::Start`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Swim<P> {
    pub(super) me: P,
    pub(super) incarnation: Incarnation,
    pub(super) config: Config,
    pub(super) running: bool,
    left: bool,
    /// Everybody ever heard of and not yet forgotten, by id.
    pub(super) members: Vec<Member<P>>,
    pub(super) suspicions: BTreeMap<P, Suspicion<P>>,
    pub(super) flights: BTreeMap<u64, Flight<P>>,
    pub(super) probes: u64,
    /// Lifeguard's local health counter: 0 is well.
    pub(super) health: u32,
    period: u64,
    pub(super) period_due: Duration,
    pub(super) reconnecting: bool,
    pub(super) outbox: Vec<Output<P>>,
}

impl<P: Copy + Ord + Debug> Swim<P> {
    /// A node that knows nobody, at the beginning of a life. `life` must be above 0 and above that of the same node's earlier
    /// starts: milliseconds since 1970 will do.
    ///
    /// # Errors
    /// The configuration's first knob that is out of range.
    pub fn new(me: P, life: u64, config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            me,
            incarnation: Incarnation::of_life(life.max(1)),
            config,
            running: false,
            left: false,
            members: Vec::new(),
            suspicions: BTreeMap::new(),
            flights: BTreeMap::new(),
            probes: 0,
            health: 0,
            period: 0,
            period_due: Duration::ZERO,
            reconnecting: false,
            outbox: Vec::new(),
        })
    }

    /// Takes one input at `now`, the time since the node's start, and gives what is to be done, in order.
    #[must_use = "the outputs are the protocol"]
    pub fn handle<R: Rng + ?Sized>(&mut self, now: Duration, input: Input<P>, chance: &mut R) -> Vec<Output<P>> {
        if self.running {
            self.notice_stall(now);
        }
        match input {
            Input::Start => self.start(now, chance),
            Input::Leave => self.leave(),
            Input::Add(peer) => self.add(peer),
            Input::Remove(peer) => self.expel(now, peer),
            Input::Timer(timer) if self.running => match timer {
                Timer::Period { number } => self.begin_period(now, number, chance),
                Timer::Relays { token } => self.ask_relays(now, token, chance),
                Timer::Retry { peer } => self.retry(now, peer),
                Timer::Verdict { peer } => self.verdict_due(now, peer),
                Timer::Reconnect => self.reconnect(now, chance),
                Timer::Exchange => self.exchange(now, chance),
            },
            Input::Timer(_) => {}
            Input::Outcome { token, outcome } => self.outcome(now, token, outcome, chance),
            Input::Heard { peer, incarnation } => self.heard(now, peer, incarnation),
            // one that was never heard may take part or not: an answer does not say which
            Input::Answered(peer) if self.status(&peer) == Some(Status::Pending) => {}
            Input::Answered(peer) => self.heard_behind(now, peer),
            Input::Update(update) => {
                self.learn(now, update, chance);
            }
            Input::Told(update) => {
                // News told to one node only is known to no other, unless this one says it.
                if self.learn(now, update, chance) && update.peer != self.me {
                    self.broadcast(update);
                }
            }
            Input::Exchanged { from, view } => self.exchanged(now, from, view, chance),
        }
        std::mem::take(&mut self.outbox)
    }

    /// What this node states of itself in all it sends and answers.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// How a peer is regarded; `None` if nothing is known of it.
    pub fn status(&self, peer: &P) -> Option<Status> {
        self.find(peer).map(Member::status)
    }

    /// The latest incarnation known of a peer; `None` if nothing is known of it.
    pub fn incarnation_of(&self, peer: &P) -> Option<Incarnation> {
        self.find(peer).map(|member| member.incarnation)
    }

    /// Everybody known, removed ones included, in the order of their ids.
    pub fn peers(&self) -> impl Iterator<Item = (P, Status, Incarnation)> {
        self.members.iter().map(|member| (member.peer, member.status(), member.incarnation))
    }

    /// Those that take no part themselves and have to be told of a verdict in their own words (`groups.rem`).
    pub fn mute_members(&self) -> impl Iterator<Item = P> {
        self.members
            .iter()
            .filter(|member| member.status().is_known() && member.incarnation.is_mute())
            .map(|member| member.peer)
    }

    /// Whether a peer that belongs in this node's groups has stated no incarnation so far: it takes no part, or has not been
    /// heard of yet.
    pub fn is_mute(&self, peer: &P) -> bool {
        self.find(peer).is_some_and(|member| member.status().is_present() && member.incarnation.is_mute())
    }

    /// Whether a sign of life would change anything: [`Input::Heard`] with what the peer states, or, with `None`,
    /// [`Input::Answered`]. Most do not, and need not be given to the machine.
    pub fn minds(&self, peer: &P, stated: Option<Incarnation>) -> bool {
        let Some(member) = self.find(peer) else {
            return false;
        };
        let status = member.status();
        let accused = self.suspicions.get(peer).is_some_and(|suspicion| suspicion.is_held_by(&self.me));
        match (status, stated) {
            (Status::Expelled, _) | (Status::Pending, None) => false,
            _ if accused => true,
            (Status::Pending | Status::Failed, Some(_)) | (Status::Failed | Status::Suspect, None) => true,
            (Status::Alive | Status::Suspect | Status::Left, Some(stated)) => {
                supersedes((stated, Claim::Alive), (member.incarnation, member.claim))
            }
            (Status::Alive | Status::Left, None) => false,
        }
    }

    /// By how many times this node slows itself down, less one: Lifeguard's local health, 0 when well.
    pub fn health(&self) -> u32 {
        self.health
    }

    /// This node's view as it tells it to `reader`: itself, all members, and what it holds against the reader, who has to
    /// know in order to come back.
    pub fn view(&self, reader: &P) -> Vec<Update<P>> {
        let myself = self.running.then_some((self.me, self.incarnation, Claim::Alive));
        let others = self.members.iter().filter_map(|member| {
            let status = member.status();
            let told = status.is_known() || (member.peer == *reader && status == Status::Failed);
            told.then_some((member.peer, member.incarnation, member.claim))
        });
        myself
            .into_iter()
            .chain(others)
            .map(|(peer, incarnation, claim)| {
                // A suspicion is worth something only from its accuser: to others the member is a member.
                let hearsay = claim == Claim::Suspect && peer != *reader;
                let claim = if hearsay { Claim::Alive } else { claim };
                Update { peer, incarnation, claim, by: self.me }
            })
            .collect()
    }

    fn start<R: Rng + ?Sized>(&mut self, now: Duration, chance: &mut R) {
        if self.running {
            return;
        }
        if self.left {
            self.incarnation = self.incarnation.next();
        }
        self.running = true;
        self.left = false;
        self.announce();
        // Nodes started together must not probe together.
        let interval = self.config.probe_interval.as_millis() as u64;
        self.set_period(now + Duration::from_millis(chance.random_range(0..interval)));
        if !self.config.exchange_interval.is_zero() {
            // nor exchange views together
            let interval = self.config.exchange_interval.mul_f64(chance.random_range(0.5..1.0));
            self.set_timer(now + interval, Timer::Exchange);
        }
        self.keep_reconnecting(now);
    }

    fn leave(&mut self) {
        if !self.running {
            return;
        }
        self.running = false;
        self.left = true;
        self.reconnecting = false;
        self.suspicions.clear();
        self.flights.clear();
        let (peer, incarnation) = (self.me, self.incarnation);
        self.outbox.push(Output::Broadcast(Update { peer, incarnation, claim: Claim::Left, by: peer }));
    }

    /// An operator's word starts from nothing: what was held against the peer is forgotten here. If others
    /// hold it still, the peer learns that from them and refutes it.
    fn add(&mut self, peer: P) {
        if peer == self.me {
            return;
        }
        match self.members.binary_search_by(|member| member.peer.cmp(&peer)) {
            Ok(at) if self.members[at].status().is_present() => {}
            Ok(at) => self.members[at] = Member::placed(peer),
            Err(at) => self.members.insert(at, Member::placed(peer)),
        }
    }

    fn expel(&mut self, now: Duration, peer: P) {
        if peer == self.me {
            return;
        }
        self.suspicions.remove(&peer);
        let at = match self.members.binary_search_by(|member| member.peer.cmp(&peer)) {
            Ok(at) => at,
            Err(at) => {
                self.members.insert(at, Member::placed(peer));
                at
            }
        };
        self.members[at].expelled = true;
        self.members[at].second = second(now);
        self.forget_some();
    }

    /// Joins a piece of news into the view; says whether it was new.
    pub(super) fn learn<R: Rng + ?Sized>(&mut self, now: Duration, update: Update<P>, chance: &mut R) -> bool {
        if update.peer == self.me {
            return self.learn_of_self(update);
        }
        let mut news = self.merge(now, update);
        if update.claim == Claim::Suspect && self.count_accuser(now, update) {
            news = true;
            self.bear_witness(now, update.peer, chance);
            self.judge(now, update.peer);
        }
        news
    }

    /// Joins a claim into what is known of a peer, with all that follows from the change but counting accusers.
    pub(super) fn merge(&mut self, now: Duration, update: Update<P>) -> bool {
        let Update { peer, incarnation, claim, by } = update;
        let (before, life, at) = match self.members.binary_search_by(|member| member.peer.cmp(&peer)) {
            Ok(at) => {
                let member = &mut self.members[at];
                let (before, life) = (member.status(), member.incarnation.life);
                if before == Status::Expelled || !member.merge(incarnation, claim) {
                    return false;
                }
                (Some(before), life, at)
            }
            Err(at) => {
                self.members.insert(at, Member::reported(peer, incarnation, claim));
                (None, incarnation.life, at)
            }
        };
        let member = &self.members[at];
        let (after, incarnation, claim) = (member.status(), member.incarnation, member.claim);
        self.tell_application(peer, incarnation, by, before, after, incarnation.life != life);
        if self
            .suspicions
            .get(&peer)
            .is_some_and(|suspicion| suspicion.incarnation != incarnation || claim != Claim::Suspect)
        {
            self.suspicions.remove(&peer);
        }
        if matches!(after, Status::Failed | Status::Left) {
            self.members[at].second = second(now);
            self.forget_some();
            self.keep_reconnecting(now);
        }
        true
    }

    /// Which events a change of status amounts to.
    fn tell_application(
        &mut self,
        peer: P,
        incarnation: Incarnation,
        by: P,
        before: Option<Status>,
        after: Status,
        restarted: bool,
    ) {
        use Status::{Alive, Expelled, Failed, Left, Pending, Suspect};
        let joined = Event::Joined { peer, incarnation };
        let rejoined = Event::Rejoined { peer, incarnation };
        let suspected = Event::Suspected { peer, incarnation, by };
        let events: [Option<Event<P>>; 2] = match (before, after) {
            (_, Pending | Expelled) | (Some(Expelled), _) => [None, None],
            (None | Some(Pending | Left), Alive) => [Some(joined), None],
            (None | Some(Pending | Left), Suspect) => [Some(joined), Some(suspected)],
            // Of one never known the loss is no news, and of one already given up the farewell is none.
            (None | Some(Failed | Left), Failed | Left) => [None, None],
            (Some(Alive | Suspect), Alive) if restarted => [Some(rejoined), None],
            (Some(Alive | Suspect), Suspect) if restarted => [Some(rejoined), Some(suspected)],
            (Some(Alive), Alive) | (Some(Suspect), Suspect) => [None, None],
            (Some(Alive), Suspect) => [Some(suspected), None],
            (Some(Suspect), Alive) => [Some(Event::Refuted { peer, incarnation }), None],
            (Some(Failed), Alive) => [Some(rejoined), None],
            (Some(Failed), Suspect) => [Some(rejoined), Some(suspected)],
            (Some(Pending | Alive | Suspect), Failed) => [Some(Event::Failed { peer, incarnation, by }), None],
            (Some(Pending | Alive | Suspect), Left) => [Some(Event::Left { peer, incarnation }), None],
        };
        self.outbox.extend(events.into_iter().flatten().map(Output::Event));
    }

    /// Somebody says something about this node: contradict it unless it is so, or old.
    fn learn_of_self(&mut self, update: Update<P>) -> bool {
        let contradicted = match update.claim {
            Claim::Alive => update.incarnation > self.incarnation,
            Claim::Suspect | Claim::Dead | Claim::Left => update.incarnation >= self.incarnation,
        };
        if !self.running || !contradicted {
            return false;
        }
        self.incarnation = self.incarnation.above(update.incarnation);
        self.announce();
        match update.claim {
            Claim::Alive | Claim::Left => {}
            // Lifeguard, IV-A: having to refute is a sign that this node answers too slowly.
            Claim::Suspect => self.worsen(1),
            // Removed: those who think so may no longer take this node's gossip, so ask one of them to take it back.
            Claim::Dead => {
                let peer = update.by;
                if peer != self.me {
                    self.outbox.push(Output::Exchange { peer, timeout: self.whole_timeout() });
                }
            }
        }
        true
    }

    /// A call from `peer` arrived, or an answer to a call of ours.
    pub(super) fn heard(&mut self, now: Duration, peer: P, stated: Option<Incarnation>) {
        let Some(member) = self.find(&peer) else {
            return;
        };
        let before = member.status();
        if before == Status::Expelled {
            return;
        }
        self.withdraw(&peer);
        let Some(stated) = stated else {
            self.speak_for(now, peer);
            return;
        };
        let update = Update { peer, incarnation: stated, claim: Claim::Alive, by: self.me };
        let news = self.merge(now, update);
        match (before, self.status(&peer)) {
            // Back, at an incarnation that nobody has spread: it does not know that it was away, or only this node has met it.
            (Status::Failed, Some(Status::Alive)) if news => {
                self.broadcast(update);
                self.ask_exchange(now, peer);
            }
            (_, Some(Status::Failed)) => self.ask_exchange(now, peer),
            _ => {}
        }
    }

    /// A mute peer shows life. It cannot refute, so the one who sees it does that.
    fn speak_for(&mut self, now: Duration, peer: P) {
        let Some(member) = self.find(&peer) else {
            return;
        };
        let contradict = matches!(member.status(), Status::Suspect | Status::Failed);
        let incarnation = if contradict { member.incarnation.next() } else { member.incarnation };
        let update = Update { peer, incarnation, claim: Claim::Alive, by: self.me };
        if member.status() != Status::Left && self.merge(now, update) && contradict {
            self.broadcast(update);
        }
    }

    /// Forgets removed peers past the bound: the least worth remembering, the longest gone.
    fn forget_some(&mut self) {
        let bound = self.config.remembered as usize;
        while self.members.iter().filter(|member| !member.status().is_present()).count() > bound {
            let rank = |member: &Member<P>| match member.status() {
                Status::Left => Some((0, member.second)),
                Status::Failed => Some((1, member.second)),
                Status::Expelled => Some((2, member.second)),
                Status::Pending | Status::Alive | Status::Suspect => None,
            };
            let least = (0..self.members.len()).filter_map(|at| rank(&self.members[at]).map(|rank| (rank, at))).min();
            match least {
                Some((_, at)) => drop(self.members.remove(at)),
                None => return,
            }
        }
    }

    pub(super) fn find(&self, peer: &P) -> Option<&Member<P>> {
        let at = self.members.binary_search_by(|member| member.peer.cmp(peer)).ok()?;
        self.members.get(at)
    }

    pub(super) fn set_timer(&mut self, at: Duration, timer: Timer<P>) {
        self.outbox.push(Output::Timer { at, timer });
    }

    /// Sets the beginning of the next period; an earlier timer for it becomes stale.
    pub(super) fn set_period(&mut self, at: Duration) {
        self.period += 1;
        self.period_due = at;
        self.set_timer(at, Timer::Period { number: self.period });
    }

    pub(super) fn is_current(&self, period: u64) -> bool {
        self.period == period
    }

    pub(super) fn broadcast(&mut self, update: Update<P>) {
        if self.running {
            self.outbox.push(Output::Broadcast(update));
        }
    }

    fn announce(&mut self) {
        let (peer, incarnation) = (self.me, self.incarnation);
        self.broadcast(Update { peer, incarnation, claim: Claim::Alive, by: peer });
    }
}

/// Whole seconds since the node's start.
pub(super) fn second(now: Duration) -> u32 {
    u32::try_from(now.as_secs()).unwrap_or(u32::MAX)
}
