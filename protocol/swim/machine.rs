//! [`Swim`]: the machine, and what each input does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::{Rng, RngExt};

use super::config::{SwimConfig, SwimConfigError};
use super::flight::Flight;
use super::interface::{Input, Output, Timer};
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
pub(super) const LATEST_OWN_LIFE: u64 = 1 << 52;

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
    pub(super) left: bool,
    /// The life with which this node was started, by its clock.
    pub(super) born: u64,
    /// How far the clocks of peers that answered are ahead of this node's, in milliseconds, as far as their lives show.
    pub(super) behind: u64,
    /// The time at which it last took a later life because of others.
    pub(super) raised: Option<Duration>,
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
    pub(super) turned_away: u64,
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

    pub(super) fn change_incarnation(&mut self, now: Duration, incarnation: Incarnation) {
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

    /// Forgets removed peers past the bound: those that matter least, and of those the longest removed.
    pub(super) fn forget_some(&mut self) {
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
