//! [`Swim`]: the machine, and what each input does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::{Rng, RngExt};

use super::config::{SwimConfig, SwimConfigError};
use super::flight::Flight;
use super::interface::{Input, MemberEvent, Output, Timer};
use super::standing::{Claim, Incarnation, Member, Status, Update, supersedes};
use super::statement::{Cluster, Statement};
use super::suspicion::Suspicion;
use super::sync::{Comparison, entry_hash};
use crate::peer_id::PeerId;

/// How far ahead of this node's clock the life of another node may be. It may be behind by any amount.
///
/// Lives are milliseconds of the clock of the node that starts. Without a limit, one wrong or malicious number would
/// exclude a node forever, because it could not state a later life.
pub const LIFE_AHEAD: Duration = Duration::from_secs(3_600);

/// The latest life that a node takes over from news of itself. It leaves room for later lives that are exact on the
/// wire, where numbers are doubles.
const LATEST_OWN_LIFE: u64 = 1 << 52;

/// The least time between two later lives that a node takes because another life was stated for its address. A guess: a
/// node whose clock was set back does so once, but two processes with one address would do so endlessly.
const RAISE_PAUSE: Duration = Duration::from_secs(60);

/// The view of a node of which peers are alive, and the machine that keeps it up to date.
///
/// At rest it holds about 32 bytes per peer besides the peer's id, and has one timer. A node without membership has no
/// such machine, or never gives it [`Input::Start`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Swim<P> {
    pub(super) me: P,
    pub(super) incarnation: Incarnation,
    pub(super) config: SwimConfig,
    pub(super) running: bool,
    left: bool,
    /// The life with which this node was started, by its clock.
    born: u64,
    /// How far the clocks of peers that answered are ahead of this node's, in milliseconds, as far as their lives show.
    behind: u64,
    /// The time at which it last took a later life because of others.
    raised: Option<Duration>,
    pub(super) cluster: Cluster,
    /// All known peers, in the order of their ids.
    pub(super) members: Vec<Member<P>>,
    /// The number of them that are alive or suspected.
    pub(super) known: usize,
    /// The number of them that an operator put here and that no member has heard from.
    pub(super) unheard: usize,
    /// The hash of the view without this node itself.
    pub(super) others_hash: u64,
    /// The time at which this node's view last changed.
    pub(super) changed: Duration,
    /// The time since which the views of peers that answer differ from this node's.
    pub(super) differs_since: Option<Duration>,
    pub(super) comparison: Option<Comparison<P>>,
    /// Whether this node knew members besides the peer when the comparison began, which may lack what it learns.
    pub(super) company: bool,
    pub(super) suspicions: BTreeMap<P, Suspicion<P>>,
    pub(super) flights: BTreeMap<u64, Flight<P>>,
    /// The peers that were just put.
    pub(super) put: Vec<P>,
    /// The peers that no member has heard from, with the times at which to ask them.
    pub(super) asks: BTreeSet<(Duration, P)>,
    /// The time for which the timer for the next of them is set.
    pub(super) ask_due: Option<Duration>,
    /// The beginning of the present budget of asks, and the number that are spent.
    pub(super) ask_budget: (Duration, u32),
    pub(super) probes: u64,
    /// The number of neighbours that refused connections in the present period.
    pub(super) walked: u32,
    /// Lifeguard's local health counter. 0 is healthy.
    pub(super) health: u32,
    /// The time at which the last late timer was due.
    pub(super) late_timer: Duration,
    period: u64,
    pub(super) period_due: Duration,
    pub(super) reconnecting: bool,
    /// The number of peers that were rejected because the view is full.
    turned_away: u64,
    pub(super) outbox: Vec<Output<P>>,
}

impl<P: PeerId> Swim<P> {
    /// Creates a node that knows no peers, at the beginning of a life. `life` must be greater than 0 and than that of
    /// the node's earlier starts, such as milliseconds since 1970 by the node's clock.
    ///
    /// # Errors
    /// [`SwimConfigError`], naming the first setting that is out of range.
    pub fn new(me: P, life: u64, config: SwimConfig) -> Result<Self, SwimConfigError> {
        config.check()?;
        Ok(Self {
            me,
            incarnation: Incarnation::of_life(life.max(1)),
            config,
            running: false,
            left: false,
            born: life.max(1),
            behind: 0,
            raised: None,
            cluster: Cluster::default(),
            members: Vec::new(),
            known: 0,
            unheard: 0,
            others_hash: 0,
            changed: Duration::ZERO,
            differs_since: None,
            comparison: None,
            company: false,
            suspicions: BTreeMap::new(),
            flights: BTreeMap::new(),
            put: Vec::new(),
            asks: BTreeSet::new(),
            ask_due: None,
            ask_budget: (Duration::ZERO, 0),
            probes: 0,
            walked: 0,
            health: 0,
            late_timer: Duration::ZERO,
            period: 0,
            period_due: Duration::ZERO,
            reconnecting: false,
            turned_away: 0,
            outbox: Vec::new(),
        })
    }

    /// Takes an input at `now`, the time since the node's start, and returns what to do, in order.
    #[must_use = "the outputs are the protocol"]
    pub fn handle<R: Rng + ?Sized>(&mut self, now: Duration, input: Input<P>, chance: &mut R) -> Vec<Output<P>> {
        if self.running {
            self.notice_stall(now);
        }
        match input {
            Input::Start => self.start(now, chance),
            Input::Leave => self.leave(),
            Input::Know(peer, incarnation) => self.know(peer, incarnation),
            Input::Add(peer) => self.add(peer),
            Input::Remove(peer) => self.expel(now, peer),
            Input::Timer(timer) if self.running => match timer {
                Timer::Period { number } => self.begin_period(now, number, chance),
                Timer::Relays { token } => self.ask_relays(now, token, chance),
                Timer::Retry { peer } => self.retry(now, peer),
                Timer::Verdict { peer } => self.verdict_due(now, peer),
                Timer::Reconnect => self.reconnect(now, chance),
                Timer::Ask => self.ask_unheard(now, chance),
            },
            Input::Timer(_) => {}
            Input::Outcome { token, outcome } => self.outcome(now, token, outcome, chance),
            Input::Heard { peer, stated } => self.heard(now, peer, &stated, false),
            Input::Answered(peer) => self.answered(now, peer, chance),
            Input::Closed(peer) => self.closed(now, peer),
            Input::Update(update) => {
                self.learn(now, update, chance);
            }
            Input::Told(update) => {
                // No other node knows news that was sent to this node alone.
                if self.learn(now, update, chance) && update.peer != self.me {
                    self.broadcast(update);
                }
            }
        }
        self.arm_ask(now);
        std::mem::take(&mut self.outbox)
    }

    /// Returns the incarnation that this node states.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Returns the status of a peer, or `None` if the peer is unknown.
    pub fn status(&self, peer: &P) -> Option<Status> {
        self.find(peer).map(Member::status)
    }

    /// Returns the latest known incarnation of a peer, or `None` if the peer is unknown.
    pub fn incarnation_of(&self, peer: &P) -> Option<Incarnation> {
        self.find(peer).map(|member| member.incarnation)
    }

    /// Returns whether a peer is a member, which is alive or suspected.
    pub(super) fn is_member(&self, peer: &P) -> bool {
        self.find(peer).is_some_and(|member| member.status().is_known())
    }

    /// Returns since when a peer has been unreachable, failed, left or expelled, in whole seconds since this node's
    /// start.
    pub fn since(&self, peer: &P) -> Option<Duration> {
        let member = self.find(peer)?;
        let dated = !matches!(member.status(), Status::Alive | Status::Suspect | Status::Pending);
        dated.then(|| Duration::from_secs(u64::from(member.second)))
    }

    /// Iterates over all known peers, including removed ones, in the order of their ids.
    pub fn peers(&self) -> impl Iterator<Item = (P, Status, Incarnation)> {
        self.members.iter().map(|member| (member.peer, member.status(), member.incarnation))
    }

    /// Returns whether there are peers that no member has heard from.
    pub fn has_unheard(&self) -> bool {
        self.unheard > 0
    }

    /// Returns the number of known peers, including removed ones.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// Returns the number of peers that were rejected because the view holds [`SwimConfig::members`].
    pub fn turned_away(&self) -> u64 {
        self.turned_away
    }

    /// Iterates over the passive members, which have to be told of a verdict with `groups.rem`.
    pub fn passive_members(&self) -> impl Iterator<Item = P> {
        self.members
            .iter()
            .filter(|member| member.status().is_known() && member.incarnation.is_passive())
            .map(|member| member.peer)
    }

    /// Returns whether a peer that belongs in this node's groups has stated no incarnation: it is passive, or no member
    /// has heard from it yet.
    pub fn is_passive(&self, peer: &P) -> bool {
        self.find(peer).is_some_and(|member| member.status().is_present() && member.incarnation.is_passive())
    }

    /// Returns whether a request to a peer should ask for a merge, because an operator put the peer here and it has not
    /// answered since. The result is the known life of the peer, or 0, so that another process at its address does not
    /// merge.
    pub fn asks_to_merge(&self, peer: &P) -> Option<u64> {
        self.find(peer).filter(|member| member.merge).map(|member| member.incarnation.life)
    }

    /// Returns whether an operator put the peer here that made this statement in an answer, so that the clusters should
    /// be merged.
    pub fn merges(&self, peer: &P, stated: &Statement) -> bool {
        self.asks_to_merge(peer).is_some_and(|life| life == 0 || life == stated.incarnation.life)
    }

    /// Returns whether a sign of life would change anything: [`Input::Heard`] with the incarnation that the peer
    /// states, or [`Input::Answered`] for `None`. The result is usually false; the caller can then skip the input.
    pub fn minds(&self, peer: &P, stated: Option<Incarnation>) -> bool {
        let Some(member) = self.find(peer) else {
            return false;
        };
        let status = member.status();
        let accused = self.suspicions.get(peer).is_some_and(|suspicion| suspicion.is_held_by(&self.me));
        match (status, stated) {
            (Status::Expelled, _) => false,
            _ if accused => true,
            (Status::Pending | Status::Unreachable | Status::Failed, _) | (Status::Suspect, None) => true,
            (Status::Alive | Status::Suspect | Status::Left, Some(stated)) => {
                supersedes((stated, Claim::Alive), (member.incarnation, member.claim))
            }
            (Status::Alive, None) => !member.answered,
            (Status::Left, None) => false,
        }
    }

    /// Returns Lifeguard's local health counter. 0 is healthy; this node slows down by a factor of one more.
    pub fn health(&self) -> u32 {
        self.health
    }

    /// Returns the latest life of another node that this node accepts at `now`.
    pub fn latest_life(&self, now: Duration) -> u64 {
        let ahead = u64::try_from((now + LIFE_AHEAD).as_millis()).unwrap_or(u64::MAX);
        self.born.saturating_add(self.behind).saturating_add(ahead)
    }

    /// Handles the life of a peer that this node asked. If it is far ahead of this node's clock, this node's clock is
    /// behind, because peers do not admit a node whose clock is ahead.
    pub fn trust(&mut self, now: Duration, stated: &Statement) {
        let latest = self.latest_life(now);
        if stated.incarnation.life <= LATEST_OWN_LIFE {
            self.behind = self.behind.saturating_add(stated.incarnation.life.saturating_sub(latest));
        }
    }

    /// Takes a later life than `seen`, which peers know from an earlier start at this address.
    #[must_use = "the outputs are the protocol"]
    pub fn raise(&mut self, now: Duration, seen: u64) -> Vec<Output<P>> {
        if (self.incarnation.life..=LATEST_OWN_LIFE).contains(&seen) {
            self.change_incarnation(now, Incarnation::of_life(seen.saturating_add(1)));
        }
        std::mem::take(&mut self.outbox)
    }

    fn change_incarnation(&mut self, now: Duration, incarnation: Incarnation) {
        self.incarnation = incarnation;
        self.changed = now;
        self.announce();
    }

    fn start<R: Rng + ?Sized>(&mut self, now: Duration, chance: &mut R) {
        if self.running {
            return;
        }
        if self.left {
            self.incarnation = self.incarnation.next();
        }
        self.running = true;
        // Members that this node heard from before it started know this node.
        if std::mem::take(&mut self.left) || self.known == 0 {
            self.announce();
        }
        // Nodes that start together must not probe together.
        let interval = self.config.probe_interval.as_millis() as u64;
        self.set_period(now + Duration::from_millis(chance.random_range(0..interval)));
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
        self.comparison = None;
        self.ask_due = None;
        let (peer, incarnation) = (self.me, self.incarnation);
        self.outbox.push(Output::Broadcast(Update { peer, incarnation, claim: Claim::Left, by: peer }));
    }

    /// Adds members that this node has heard from, all in the same life, like [`Input::Know`] for each. This is fast
    /// and saves memory for many peers in order.
    pub fn acquaint(&mut self, peers: impl ExactSizeIterator<Item = P>, incarnation: Incarnation) {
        let room = (self.config.members as usize).min(self.members.len() + peers.len());
        self.members.reserve_exact(room.saturating_sub(self.members.len()));
        for peer in peers {
            self.know(peer, incarnation);
        }
    }

    /// Adds a peer that was a member when this node's state was created, and that this node had heard from.
    fn know(&mut self, peer: P, incarnation: Incarnation) {
        if peer == self.me {
            return;
        }
        let last = self.members.last().is_none_or(|last| last.peer < peer);
        let place = if last { Err(self.members.len()) } else { self.position(&peer) };
        if let Err(at) = place
            && self.members.len() < self.config.members as usize
        {
            let member = Member { answered: true, ..Member::reported(peer, incarnation, Claim::Alive) };
            self.members.insert(at, member);
            self.count(None, at);
        }
    }

    /// Handles an operator's addition of a peer. Its suspicions and removal are forgotten here. If others still have
    /// them, the peer learns that from them and refutes it.
    fn add(&mut self, peer: P) {
        if peer == self.me {
            return;
        }
        match self.position(&peer) {
            Ok(at) if self.members[at].status().is_present() => self.members[at].merge = true,
            Ok(at) => {
                let before = self.standing(at);
                self.members[at].place_again();
                self.suspicions.remove(&peer);
                self.count(before, at);
                self.put.push(peer);
            }
            Err(at) if self.members.len() < self.config.members as usize => {
                self.members.insert(at, Member::placed(peer));
                self.count(None, at);
                self.put.push(peer);
            }
            Err(_) => self.turned_away += 1,
        }
    }

    fn expel(&mut self, now: Duration, peer: P) {
        if peer == self.me {
            return;
        }
        self.suspicions.remove(&peer);
        let (before, at) = match self.position(&peer) {
            Ok(at) => (self.standing(at), at),
            Err(at) => {
                self.members.insert(at, Member::placed(peer));
                (None, at)
            }
        };
        self.members[at].expelled = true;
        self.members[at].second = second(now);
        self.changed = now;
        self.count(before, at);
        self.forget_some();
    }

    /// Merges a piece of news into the view. Returns whether it was new.
    pub(super) fn learn<R: Rng + ?Sized>(&mut self, now: Duration, update: Update<P>, chance: &mut R) -> bool {
        if update.peer == self.me {
            // This node's clock may have been set back by years, so it does not limit this node's own lives.
            return update.incarnation.life <= LATEST_OWN_LIFE && self.learn_of_self(now, update);
        }
        if update.incarnation.life > self.latest_life(now) {
            return false;
        }
        let mut news = self.merge(now, update);
        if update.claim == Claim::Suspect && self.count_accuser(now, update) {
            news = true;
            self.bear_witness(now, update.peer, chance);
            self.judge(now, update.peer);
        }
        news
    }

    /// Merges a claim into what is known of a peer, with all effects except the counting of accusers.
    pub(super) fn merge(&mut self, now: Duration, update: Update<P>) -> bool {
        let Update { peer, incarnation, claim, by } = update;
        let (standing, before, life, at) = match self.position(&peer) {
            Ok(at) => {
                let standing = self.standing(at);
                let member = &mut self.members[at];
                let (before, life) = (member.status(), member.incarnation.life);
                if before == Status::Expelled || !member.merge(incarnation, claim) {
                    return false;
                }
                (standing, Some(before), life, at)
            }
            Err(_) if self.members.len() >= self.config.members as usize => {
                self.turned_away += 1;
                return false;
            }
            Err(at) => {
                self.members.insert(at, Member::reported(peer, incarnation, claim));
                (None, None, incarnation.life, at)
            }
        };
        let member = &mut self.members[at];
        if member.incarnation.life != life {
            // Another process answers there now. It knows no peers, unless it has joined by itself.
            member.answered = false;
            member.merge &= life == 0;
            member.welcome = life > 0 && before.is_some_and(|before| before.is_present() || before == Status::Failed);
        }
        let (after, incarnation, claim) = (member.status(), member.incarnation, member.claim);
        self.changed = now;
        self.count(standing, at);
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

    /// Reports a change of status as events.
    fn tell_application(
        &mut self,
        peer: P,
        incarnation: Incarnation,
        by: P,
        before: Option<Status>,
        after: Status,
        restarted: bool,
    ) {
        use Status::{Alive, Expelled, Failed, Left, Pending, Suspect, Unreachable};
        let joined = MemberEvent::Joined { peer, incarnation };
        let rejoined = MemberEvent::Rejoined { peer, incarnation };
        let suspected = MemberEvent::Suspected { peer, incarnation, by };
        let events: [Option<MemberEvent<P>>; 2] = match (before, after) {
            (_, Pending | Unreachable | Expelled) | (Some(Expelled), _) => [None, None],
            (None | Some(Pending | Unreachable | Left), Alive) => [Some(joined), None],
            (None | Some(Pending | Unreachable | Left), Suspect) => [Some(joined), Some(suspected)],
            // The loss of a peer that was never known is no news, nor is the farewell of one that is considered dead.
            (None | Some(Failed | Left), Failed | Left) => [None, None],
            (Some(Alive | Suspect), Alive) if restarted => [Some(rejoined), None],
            (Some(Alive | Suspect), Suspect) if restarted => [Some(rejoined), Some(suspected)],
            (Some(Alive), Alive) | (Some(Suspect), Suspect) => [None, None],
            (Some(Alive), Suspect) => [Some(suspected), None],
            (Some(Suspect), Alive) => [Some(MemberEvent::Refuted { peer, incarnation }), None],
            (Some(Failed), Alive) => [Some(rejoined), None],
            (Some(Failed), Suspect) => [Some(rejoined), Some(suspected)],
            (Some(Pending | Unreachable | Alive | Suspect), Failed) => {
                [Some(MemberEvent::Failed { peer, incarnation, by }), None]
            }
            (Some(Pending | Unreachable | Alive | Suspect), Left) => {
                [Some(MemberEvent::Left { peer, incarnation }), None]
            }
        };
        self.outbox.extend(events.into_iter().flatten().map(Output::Event));
    }

    /// Handles news about this node itself, and contradicts it unless it is true or old.
    fn learn_of_self(&mut self, now: Duration, update: Update<P>) -> bool {
        let contradicted = match update.claim {
            Claim::Alive => update.incarnation > self.incarnation,
            Claim::Suspect | Claim::Dead | Claim::Left => update.incarnation >= self.incarnation,
        };
        if !self.running || !contradicted {
            return false;
        }
        if update.incarnation.life != self.incarnation.life {
            self.outbox.push(Output::Event(MemberEvent::AddressTaken { incarnation: update.incarnation }));
            // An earlier start of this node with a clock that was ahead has one last life. Two processes with one
            // address answer each later life with another.
            if self.raised.is_some_and(|raised| now < raised + RAISE_PAUSE) {
                return false;
            }
            self.raised = Some(now);
        }
        self.change_incarnation(now, self.incarnation.above(update.incarnation));
        match update.claim {
            Claim::Alive | Claim::Left => {}
            // Lifeguard, IV-A: a node that has to refute probably answers too slowly.
            Claim::Suspect => self.worsen(1),
            // Nodes that removed this node may no longer accept its gossip, so it tells one of them directly.
            Claim::Dead if update.by != self.me => {
                let (by, peer, incarnation) = (update.by, self.me, self.incarnation);
                let update = Update { peer, incarnation, claim: Claim::Alive, by: peer };
                self.tell(by, update);
            }
            Claim::Dead => {}
        }
        true
    }

    /// Sends a peer a piece of news, unless the peer is passive.
    pub(super) fn tell(&mut self, peer: P, update: Update<P>) {
        let passive = self.find(&peer).is_none_or(|member| member.incarnation.is_passive());
        if self.running && !passive {
            self.outbox.push(Output::Tell { peer, update, timeout: self.whole_timeout() });
        }
    }

    /// Handles a request from `peer`, or, if `answers`, an answer to a request of this node.
    pub(super) fn heard(&mut self, now: Duration, peer: P, stated: &Statement, answers: bool) {
        let Ok(at) = self.position(&peer) else {
            return;
        };
        if answers {
            self.trust(now, stated);
        }
        let (before, life) = (self.members[at].status(), self.members[at].incarnation.life);
        if before == Status::Expelled || stated.incarnation.life > self.latest_life(now) {
            return;
        }
        if stated.cluster.is_some() && stated.cluster == self.cluster.id() {
            self.members[at].merge = false;
        }
        self.withdraw(&peer);
        if stated.is_passive() {
            self.speak_for(now, peer);
        } else {
            let update = Update { peer, incarnation: stated.incarnation, claim: Claim::Alive, by: self.me };
            let news = self.merge(now, update);
            let restarted = news && life > 0 && stated.incarnation.life > life && before.is_known();
            match (before, self.status(&peer)) {
                // The others learn from this node what it is the first to hear: that a peer that was put is alive, has
                // returned, or was restarted. A request is no news, because another node will ask its sender: otherwise
                // a peer that sends many requests would cause as many rumors.
                (Status::Pending | Status::Unreachable, Some(Status::Alive)) if news && answers => {
                    self.broadcast(update);
                }
                (Status::Failed | Status::Left, Some(Status::Alive)) if news => self.broadcast(update),
                (Status::Alive | Status::Suspect, Some(Status::Alive)) if restarted => self.broadcast(update),
                // The peer does not know that it was removed.
                (_, Some(Status::Failed)) => self.remind_removed(now, peer),
                _ => {}
            }
            // The peer may have joined by itself, and then needs no welcome.
            if news && self.find(&peer).is_some_and(|member| member.welcome) {
                self.probe(now, peer, false);
            }
        }
        if answers {
            self.count_answer(now, peer);
        }
    }

    /// Notes that a member has answered this node, so that it has a vote from now on.
    pub(super) fn count_answer(&mut self, now: Duration, peer: P) {
        let Ok(at) = self.position(&peer) else {
            return;
        };
        let member = &mut self.members[at];
        if member.status().is_known() && !std::mem::replace(&mut member.answered, true) {
            self.admit_votes(now, peer);
        }
    }

    /// Handles a sign of life of a passive peer. The peer cannot refute, so this node does that for it.
    fn speak_for(&mut self, now: Duration, peer: P) {
        let Some(member) = self.find(&peer) else {
            return;
        };
        let before = member.status();
        let contradict = matches!(before, Status::Suspect | Status::Failed);
        let incarnation = if contradict { member.incarnation.next() } else { member.incarnation };
        let update = Update { peer, incarnation, claim: Claim::Alive, by: self.me };
        let first = matches!(before, Status::Pending | Status::Unreachable);
        if before != Status::Left && self.merge(now, update) && (contradict || first) {
            self.broadcast(update);
        }
    }

    /// Handles an answer without a statement.
    fn answered<R: Rng + ?Sized>(&mut self, now: Duration, peer: P, chance: &mut R) {
        match self.status(&peer) {
            // A probe shows whether the peer is passive.
            Some(Status::Pending | Status::Unreachable) => self.ask_soon(now, peer, chance),
            Some(_) => self.heard_behind(now, peer, true),
            None => {}
        }
    }

    /// Forgets removed peers past the bound: those that matter least, and of those the longest removed.
    fn forget_some(&mut self) {
        let bound = self.config.remembered as usize;
        while self.members.iter().filter(|member| !member.status().is_present()).count() > bound {
            let rank = |member: &Member<P>| match member.status() {
                Status::Left => Some((0, member.second)),
                Status::Failed => Some((1, member.second)),
                Status::Expelled => Some((2, member.second)),
                Status::Pending | Status::Unreachable | Status::Alive | Status::Suspect => None,
            };
            let least = (0..self.members.len()).filter_map(|at| rank(&self.members[at]).map(|rank| (rank, at))).min();
            match least {
                Some((_, at)) => drop(self.members.remove(at)),
                None => return,
            }
        }
    }

    pub(super) fn position(&self, peer: &P) -> Result<usize, usize> {
        self.members.binary_search_by(|member| member.peer.cmp(peer))
    }

    pub(super) fn find(&self, peer: &P) -> Option<&Member<P>> {
        self.members.get(self.position(peer).ok()?)
    }

    /// Returns what the counts depend on, before a member changes.
    pub(super) fn standing(&self, at: usize) -> Option<(Status, Incarnation)> {
        self.members.get(at).map(|member| (member.status(), member.incarnation))
    }

    /// Updates the counts and the hash of the view after a member has changed.
    pub(super) fn count(&mut self, before: Option<(Status, Incarnation)>, at: usize) {
        let (peer, had_company) = (self.members[at].peer, self.known > 0);
        let unheard = |status: Status| matches!(status, Status::Pending | Status::Unreachable);
        if let Some((status, incarnation)) = before {
            if status.is_known() {
                self.known -= 1;
                self.others_hash ^= entry_hash(&peer, incarnation);
            }
            self.unheard -= usize::from(unheard(status));
        }
        let (status, incarnation) = (self.members[at].status(), self.members[at].incarnation);
        if status.is_known() {
            self.known += 1;
            self.others_hash ^= entry_hash(&peer, incarnation);
        }
        self.unheard += usize::from(unheard(status));
        if had_company != (self.known > 0) {
            self.cluster.set_alone(had_company);
        }
    }

    pub(super) fn set_timer(&mut self, at: Duration, timer: Timer<P>) {
        self.outbox.push(Output::Timer { at, timer });
    }

    /// Sets the beginning of the next period. An earlier timer for it becomes stale.
    pub(super) fn set_period(&mut self, at: Duration) {
        self.period += 1;
        self.period_due = at;
        self.set_timer(at, Timer::Period { number: self.period });
    }

    pub(super) fn is_current(&self, period: u64) -> bool {
        self.period == period
    }

    /// Returns the number of the present period.
    pub(super) fn period(&self) -> u64 {
        self.period
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

/// Returns the time since the node's start in whole seconds.
pub(super) fn second(now: Duration) -> u32 {
    u32::try_from(now.as_secs()).unwrap_or(u32::MAX)
}
