//! The machine: what each input does.

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

/// How far ahead of this node's clock a life may be. Behind it may be by any amount.
///
/// Lives are milliseconds of the clock of the node that starts. Without a limit, one wrong or malicious number would
/// keep a node out for ever, because the node could not state a later life than that.
pub const LIFE_AHEAD: Duration = Duration::from_secs(3_600);

/// The latest life that a node takes over from what others say of it. It leaves room to count on from it exactly on the
/// wire, where numbers are doubles.
const LATEST_OWN_LIFE: u64 = 1 << 52;

/// How often a node takes a later life because another life was stated for its address. A guess: a node whose clock
/// was set back does so once; two processes with one address would go on for ever.
const RAISE_PAUSE: Duration = Duration::from_secs(60);

/// One node's view of who is alive, and what it does to keep it true.
///
/// Idle it holds some 32 bytes a peer beside the peer's id, and one timer. A node that does not want membership has
/// none of these, or never gives it [`Input::Start`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Swim<P> {
    pub(super) me: P,
    pub(super) incarnation: Incarnation,
    pub(super) config: SwimConfig,
    pub(super) running: bool,
    left: bool,
    /// The life that this node was started with, by its clock.
    born: u64,
    /// By how much the clocks of peers that answered are ahead of this node's, in milliseconds, as far as their lives
    /// show.
    behind: u64,
    /// When it last took a later life on account of others.
    raised: Option<Duration>,
    pub(super) cluster: Cluster,
    /// Everybody ever heard of and not yet forgotten, by id.
    pub(super) members: Vec<Member<P>>,
    /// How many of them are alive or suspected.
    pub(super) known: usize,
    /// How many of them an operator put here and nobody has heard from.
    pub(super) unheard: usize,
    /// The hash of the view of others.
    pub(super) others_hash: u64,
    /// When this node's view last changed.
    pub(super) changed: Duration,
    /// Since when the views of the peers that answer differ from this node's.
    pub(super) differs_since: Option<Duration>,
    pub(super) comparison: Option<Comparison<P>>,
    /// When the comparison began, this node knew members beside the peer, who may lack what it learns.
    pub(super) company: bool,
    pub(super) suspicions: BTreeMap<P, Suspicion<P>>,
    pub(super) flights: BTreeMap<u64, Flight<P>>,
    /// Peers that were put just now.
    pub(super) put: Vec<P>,
    /// Which unheard peers are to be asked, and when.
    pub(super) asks: BTreeSet<(Duration, P)>,
    /// When the timer for the next of them is set.
    pub(super) ask_due: Option<Duration>,
    /// When the present budget of asks began, and how many of it are spent.
    pub(super) ask_budget: (Duration, u32),
    pub(super) probes: u64,
    /// How many neighbours of the present period were refused.
    pub(super) walked: u32,
    /// Lifeguard's local health counter: 0 is well.
    pub(super) health: u32,
    /// When the last timer was due that was late.
    pub(super) late_timer: Duration,
    period: u64,
    pub(super) period_due: Duration,
    pub(super) reconnecting: bool,
    /// How many peers were not taken in because there are as many members as are kept.
    turned_away: u64,
    pub(super) outbox: Vec<Output<P>>,
}

impl<P: PeerId> Swim<P> {
    /// A node that knows nobody, at the beginning of a life. `life` must be above 0 and above that of the same node's
    /// earlier starts: milliseconds since 1970 by the node's clock.
    ///
    /// # Errors
    /// The configuration's first knob that is out of range.
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

    /// Takes one input at `now`, the time since the node's start, and gives what is to be done, in order.
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
                // News told to one node only is known to no other, unless this one says it.
                if self.learn(now, update, chance) && update.peer != self.me {
                    self.broadcast(update);
                }
            }
        }
        self.arm_ask(now);
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

    /// Whether a peer is a member: alive or suspected.
    pub(super) fn is_member(&self, peer: &P) -> bool {
        self.find(peer).is_some_and(|member| member.status().is_known())
    }

    /// Since when a peer has been unreachable, failed, left or expelled: whole seconds since this node's start.
    pub fn since(&self, peer: &P) -> Option<Duration> {
        let member = self.find(peer)?;
        let dated = !matches!(member.status(), Status::Alive | Status::Suspect | Status::Pending);
        dated.then(|| Duration::from_secs(u64::from(member.second)))
    }

    /// Everybody known, removed ones included, in the order of their ids.
    pub fn peers(&self) -> impl Iterator<Item = (P, Status, Incarnation)> {
        self.members.iter().map(|member| (member.peer, member.status(), member.incarnation))
    }

    /// Whether there are peers that nobody has heard from.
    pub fn has_unheard(&self) -> bool {
        self.unheard > 0
    }

    /// How many peers are kept, removed ones included.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// How many peers were not taken in because [`SwimConfig::members`] are kept already.
    pub fn turned_away(&self) -> u64 {
        self.turned_away
    }

    /// Mute members, which have to be told of a verdict in their own words (`groups.rem`).
    pub fn passive_members(&self) -> impl Iterator<Item = P> {
        self.members
            .iter()
            .filter(|member| member.status().is_known() && member.incarnation.is_passive())
            .map(|member| member.peer)
    }

    /// Whether a peer that belongs in this node's groups has stated no incarnation so far: it is passive, or nobody has
    /// heard from it yet.
    pub fn is_passive(&self, peer: &P) -> bool {
        self.find(peer).is_some_and(|member| member.status().is_present() && member.incarnation.is_passive())
    }

    /// Whether an operator put a peer here that has not answered since, so that a request to it asks for a merge.
    /// Answers the life of the peer that is known, or 0: another process that has its address by now was not put.
    pub fn asks_to_merge(&self, peer: &P) -> Option<u64> {
        self.find(peer).filter(|member| member.merge).map(|member| member.incarnation.life)
    }

    /// Whether a peer that states this in an answer was put here by an operator: then the clusters are to be merged.
    pub fn merges(&self, peer: &P, stated: &Statement) -> bool {
        self.asks_to_merge(peer).is_some_and(|life| life == 0 || life == stated.incarnation.life)
    }

    /// Whether a sign of life would change anything: [`Input::Heard`] with the incarnation that the peer states, or,
    /// with `None`, [`Input::Answered`]. Usually false; the caller can then skip this input.
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

    /// By how many times this node slows itself down, less one: Lifeguard's local health, 0 when well.
    pub fn health(&self) -> u32 {
        self.health
    }

    /// The latest life that is believed at `now` of another node.
    pub fn latest_life(&self, now: Duration) -> u64 {
        let ahead = u64::try_from((now + LIFE_AHEAD).as_millis()).unwrap_or(u64::MAX);
        self.born.saturating_add(self.behind).saturating_add(ahead)
    }

    /// A peer that this node asked states a life far ahead of this node's clock: then it is this node's clock that is
    /// behind, for peers do not admit a node whose clock is ahead.
    pub fn trust(&mut self, now: Duration, stated: &Statement) {
        let latest = self.latest_life(now);
        if stated.incarnation.life <= LATEST_OWN_LIFE {
            self.behind = self.behind.saturating_add(stated.incarnation.life.saturating_sub(latest));
        }
    }

    /// Takes a later life than `seen`, which peers know of an earlier start at this address.
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
        // Members that this node has heard from before it started have heard from it.
        if std::mem::take(&mut self.left) || self.known == 0 {
            self.announce();
        }
        // Nodes that are started together must not probe together.
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

    /// Makes members of peers that this node has heard from, all in the same life, as [`Input::Know`] does of each. For
    /// many peers, given in order, this is quick and takes no more memory than they need.
    pub fn acquaint(&mut self, peers: impl ExactSizeIterator<Item = P>, incarnation: Incarnation) {
        let room = (self.config.members as usize).min(self.members.len() + peers.len());
        self.members.reserve_exact(room.saturating_sub(self.members.len()));
        for peer in peers {
            self.know(peer, incarnation);
        }
    }

    /// The peer was a member when this node's state was made, and this node had heard from it.
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

    /// An operator adds a peer. What was held against it here is forgotten. If others hold it still, the peer learns
    /// that from them and refutes it.
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

    /// Joins a piece of news into the view; says whether it was new.
    pub(super) fn learn<R: Rng + ?Sized>(&mut self, now: Duration, update: Update<P>, chance: &mut R) -> bool {
        if update.peer == self.me {
            // This node's clock may have been set back by years, so it says nothing about this node's earlier lives.
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

    /// Joins a claim into what is known of a peer, with all that follows from the change but counting accusers.
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
            // Another process answers there now. It knows nobody, unless it has joined by itself.
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
        use Status::{Alive, Expelled, Failed, Left, Pending, Suspect, Unreachable};
        let joined = MemberEvent::Joined { peer, incarnation };
        let rejoined = MemberEvent::Rejoined { peer, incarnation };
        let suspected = MemberEvent::Suspected { peer, incarnation, by };
        let events: [Option<MemberEvent<P>>; 2] = match (before, after) {
            (_, Pending | Unreachable | Expelled) | (Some(Expelled), _) => [None, None],
            (None | Some(Pending | Unreachable | Left), Alive) => [Some(joined), None],
            (None | Some(Pending | Unreachable | Left), Suspect) => [Some(joined), Some(suspected)],
            // Of one never known the loss is no news, and of one already given up the farewell is none.
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

    /// Somebody says something about this node: contradict it unless it is so, or old.
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
            // An earlier start of this node whose clock was ahead has one last life. Two processes with one address
            // answer each later life with another.
            if self.raised.is_some_and(|raised| now < raised + RAISE_PAUSE) {
                return false;
            }
            self.raised = Some(now);
        }
        self.change_incarnation(now, self.incarnation.above(update.incarnation));
        match update.claim {
            Claim::Alive | Claim::Left => {}
            // Lifeguard, IV-A: having to refute is a sign that this node answers too slowly.
            Claim::Suspect => self.worsen(1),
            // Those who removed this node may no longer take its gossip, so it tells one of them directly.
            Claim::Dead if update.by != self.me => {
                let (by, peer, incarnation) = (update.by, self.me, self.incarnation);
                let update = Update { peer, incarnation, claim: Claim::Alive, by: peer };
                self.tell(by, update);
            }
            Claim::Dead => {}
        }
        true
    }

    /// Tells a peer a piece of news, if it can make use of it.
    pub(super) fn tell(&mut self, peer: P, update: Update<P>) {
        let passive = self.find(&peer).is_none_or(|member| member.incarnation.is_passive());
        if self.running && !passive {
            self.outbox.push(Output::Tell { peer, update, timeout: self.whole_timeout() });
        }
    }

    /// A request from `peer` arrived, or (`answers`) an answer to a request of this node's.
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
                // What this node is the first to hear, the others learn from it: that a peer lives that was put, that
                // it is back, that it was restarted. A peer that was put and that sends a request is asked by somebody,
                // too: if all that it asks told the others of it, they would start as many rumors.
                (Status::Pending | Status::Unreachable, Some(Status::Alive)) if news && answers => {
                    self.broadcast(update);
                }
                (Status::Failed | Status::Left, Some(Status::Alive)) if news => self.broadcast(update),
                (Status::Alive | Status::Suspect, Some(Status::Alive)) if restarted => self.broadcast(update),
                // It does not know that it was removed.
                (_, Some(Status::Failed)) => self.remind_removed(now, peer),
                _ => {}
            }
            // It may join by itself, and then needs no welcome.
            if news && self.find(&peer).is_some_and(|member| member.welcome) {
                self.probe(now, peer, false);
            }
        }
        if answers {
            self.count_answer(now, peer);
        }
    }

    /// A member has answered this node itself, and so has a vote from now on.
    pub(super) fn count_answer(&mut self, now: Duration, peer: P) {
        let Ok(at) = self.position(&peer) else {
            return;
        };
        let member = &mut self.members[at];
        if member.status().is_known() && !std::mem::replace(&mut member.answered, true) {
            self.admit_votes(now, peer);
        }
    }

    /// A passive peer shows life. It cannot refute, so the one who sees it does that.
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

    /// A peer has answered a request without stating anything.
    fn answered<R: Rng + ?Sized>(&mut self, now: Duration, peer: P, chance: &mut R) {
        match self.status(&peer) {
            // It may take part or not; a probe tells.
            Some(Status::Pending | Status::Unreachable) => self.ask_soon(now, peer, chance),
            Some(_) => self.heard_behind(now, peer, true),
            None => {}
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

    /// What counts of a member, before a change.
    pub(super) fn standing(&self, at: usize) -> Option<(Status, Incarnation)> {
        self.members.get(at).map(|member| (member.status(), member.incarnation))
    }

    /// Keeps the counts and the hash of the view true after a member has changed.
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

    /// Sets the beginning of the next period; an earlier timer for it becomes stale.
    pub(super) fn set_period(&mut self, at: Duration) {
        self.period += 1;
        self.period_due = at;
        self.set_timer(at, Timer::Period { number: self.period });
    }

    pub(super) fn is_current(&self, period: u64) -> bool {
        self.period == period
    }

    /// The number of the present period.
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

/// Whole seconds since the node's start.
pub(super) fn second(now: Duration) -> u32 {
    u32::try_from(now.as_secs()).unwrap_or(u32::MAX)
}
