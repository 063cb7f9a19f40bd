//! The state machine: one per node and group.

use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, RngExt};

use super::config::GossipConfig;
use super::message::{Answer, Id, Request, Urgency};
use super::pace::Pace;
use super::seen::{Birth, Seen};
use super::stage::{Earlier, Stage};
use super::store::{Held, Store};
use super::traffic::{Queue, QueuedRumor, Traffic};
use super::turn::Turn;
use super::{BroadcastError, Context, Input, Load, Manner, Output, Timer, View, micros};
use crate::peer_id::PeerId;

/// The last life that a node takes: the largest integer that every node of the reference can tell from its neighbours.
const LAST_LIFE: u64 = (1 << 53) - 1;

/// One node's part in the gossip of one group.
///
/// See the [module](super) for the exchange. All calls take a [`Context`] and append to `out` what is
/// to be done, in the order in which to do it.
#[derive(Clone, Debug)]
pub struct Gossip<P, M> {
    pub(super) me: P,
    pub(super) incarnation: u64,
    pub(super) config: Arc<GossipConfig>,
    /// Of the last rumor started here.
    pub(super) sequence: u64,
    /// Of the last request sent.
    pub(super) number: u64,
    /// The comparison under way; an answer to an older one is not listened to.
    pub(super) comparison: u64,
    /// Where the next comparison begins, if the last one was broken off: with many pages and some loss, none would
    /// ever reach the end otherwise.
    pub(super) resume: Option<Box<Id<P>>>,
    pub(super) seen: Seen<P>,
    pub(super) store: Store<P, M>,
    /// Present while something is going on, so that a node at rest is small.
    pub(super) traffic: Option<Box<Traffic<P>>>,
    pub(super) stage: Stage<P>,
    /// Present until nobody can send any of it any more.
    pub(super) earlier: Option<Box<Earlier<P>>>,
    pub(super) pace: Pace,
    /// From when on calm rumors of others may be spread again.
    pub(super) calm_due: Birth,
}

/// Which rumors a machine has seen, kept after the machine is gone: see [`Gossip::into_memory`].
#[derive(Clone, Debug)]
pub struct Memory<P> {
    seen: Seen<P>,
}

impl<P: Copy + Ord> Memory<P> {
    /// Whether nothing has been seen.
    pub fn is_empty(&self) -> bool {
        self.seen.size() == (0, 0, 0)
    }

    /// About how much memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.seen.bytes()
    }
}

impl<P: PeerId, M: Clone> Gossip<P, M> {
    /// The gossip of node `me`, in its life `incarnation`: a number that is higher after every restart.
    ///
    /// The node is in the group from the group's beginning, so that it performs whatever it receives.
    pub fn new(me: P, incarnation: u64, config: Arc<GossipConfig>) -> Self {
        Gossip { stage: Stage::Inside, ..Gossip::newcomer(me, incarnation, config) }
    }

    /// The same for a node that comes into a group which may have existed before: it has to [enter](Input::Enter), and
    /// performs no rumor that was started before it has, unless the rumor or the group asks for it.
    pub fn newcomer(me: P, incarnation: u64, config: Arc<GossipConfig>) -> Self {
        Gossip {
            me,
            incarnation,
            config,
            sequence: 0,
            number: 0,
            comparison: 0,
            resume: None,
            seen: Seen::default(),
            store: Store::default(),
            traffic: None,
            stage: Stage::Outside,
            earlier: None,
            pace: Pace::default(),
            calm_due: Birth::MIN,
        }
    }

    /// The life under which this node starts rumors.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Goes on in a later life: the node has learned that peers know one which is not earlier than its own. Does
    /// nothing if the present life is as late already.
    ///
    /// Rumors that were started before keep their ids. One that a peer refuses as [`Answer::Stale`] is started again.
    pub fn raise(&mut self, now: Duration, incarnation: u64) {
        if incarnation <= self.incarnation || incarnation > LAST_LIFE {
            return;
        }
        if self.sequence > 0 {
            self.seen.mark_own(self.me, self.incarnation, self.sequence, micros(now), &self.config);
        }
        self.incarnation = incarnation;
        self.sequence = 0;
    }

    /// Takes a life above one that peers know of this node. `same`: its present life has not been used yet, so if peers
    /// know it, an earlier process had the same number.
    pub(super) fn make_room_above(&mut self, now: Duration, known: u64, same: bool) {
        if known > self.incarnation || (same && known == self.incarnation) {
            self.raise(now, known.saturating_add(1));
        }
    }

    /// A hash of what is held: equal on nodes that have nothing to tell each other.
    pub fn hash(&mut self, now: Duration) -> u64 {
        self.expire(now);
        self.store.hash()
    }

    /// A peer holds the same as this node does, as it has said by the way: while nothing is new, this is as good as a
    /// comparison.
    pub fn same(&mut self) {
        self.pace.stated();
    }

    /// The same machine, but its first rumor is numbered `sequence + 1`.
    ///
    /// A machine of a group that is put again must start above every sequence that an earlier machine of the same node,
    /// life and group has used: peers take a rumor with a number that they know for one that they have seen.
    #[must_use]
    pub fn numbering_above(mut self, sequence: u64) -> Self {
        self.sequence = sequence;
        self
    }

    /// The same machine, which takes for seen what an earlier machine of this node and group has seen.
    #[must_use]
    pub fn recalling(mut self, memory: Memory<P>) -> Self {
        self.seen = memory.seen;
        self
    }

    /// The same machine, which refuses rumors born before `limit`, a time since the node started. For a node that may
    /// have performed them in a group that it has forgotten since.
    #[must_use]
    pub fn refusing_before(mut self, limit: Duration) -> Self {
        self.seen.refuse_before(micros(limit));
        self
    }

    /// The sequence of the last rumor started here.
    pub fn last_sequence(&self) -> u64 {
        self.sequence
    }

    /// Ends this machine, and returns what the next one of the same group has to know so that no message is performed
    /// twice.
    pub fn into_memory(self) -> Memory<P> {
        Memory { seen: self.seen }
    }

    /// How long after this machine's end its [`Memory`] is of use: until peers hold nothing that it knows of.
    pub fn memory_lasts(&self) -> Duration {
        self.config.retained_age + 2 * self.config.transit
    }

    /// Goes on under another configuration. What is held beyond its bounds goes at once, the oldest first, but for what
    /// has yet to be spread.
    pub fn configure(&mut self, config: Arc<GossipConfig>) {
        self.config = config;
        self.store.trim(&self.config);
    }

    /// Starts a rumor with a message of `bytes` bytes.
    ///
    /// Its origin counts as having seen it, and is not told to perform it: whether the sender is a member of the group
    /// that it sends to is for the caller to know. [`Output::Settled`] follows once all first peers have
    /// answered or failed, maybe at once.
    ///
    /// # Errors
    /// [`BroadcastError::Busy`] if too many own rumors are on their way or too much waits to be spread.
    /// Nothing was changed; try again once one is settled.
    pub fn broadcast<V: View<P> + ?Sized, R: Rng + ?Sized>(
        &mut self,
        context: &mut Context<'_, V, R>,
        message: M,
        bytes: usize,
        out: &mut Vec<Output<P, M>>,
    ) -> Result<Id<P>, BroadcastError> {
        self.broadcast_as(Manner::default(), context, message, bytes, out)
    }

    /// As [`broadcast`](Self::broadcast), in another manner.
    ///
    /// # Errors
    /// As there.
    pub fn broadcast_as<V: View<P> + ?Sized, R: Rng + ?Sized>(
        &mut self,
        manner: Manner,
        context: &mut Context<'_, V, R>,
        message: M,
        bytes: usize,
        out: &mut Vec<Output<P, M>>,
    ) -> Result<Id<P>, BroadcastError> {
        self.begin(&mut context.turn(out), manner, message, bytes)
    }

    fn begin(
        &mut self,
        turn: &mut Turn<'_, P, M>,
        manner: Manner,
        message: M,
        bytes: usize,
    ) -> Result<Id<P>, BroadcastError> {
        let own = self.traffic.as_ref().map_or(0, |traffic| traffic.own.len());
        if own >= self.config.own_in_flight.max(1) || !self.has_room(bytes) {
            return Err(BroadcastError::Busy { in_flight: own });
        }
        self.sequence += 1;
        let (origin, incarnation, sequence) = (self.me, self.incarnation, self.sequence);
        let id = Id::Numbered { origin, incarnation, sequence };
        let born = micros(turn.now);
        self.traffic_mut().own.insert((incarnation, sequence), 0);
        let Manner { urgency, replay } = manner;
        let (former, pushed_to) = (None, Vec::new());
        let held = Held { message, hop: 0, born, urgency, replay, former, own: true, bytes, waiting: true, pushed_to };
        self.hold(&id, held);
        self.enqueue(Queue::Main, QueuedRumor { id: id.clone(), bytes, from: None });
        if !urgency.is_calm() {
            self.wake(turn);
        }
        self.work(turn);
        Ok(id)
    }

    /// Answers a request. `from` is the node that sent it, if that is known; only a push may come from
    /// nobody, as reference nodes do not say who they are.
    pub fn respond<V: View<P> + ?Sized, R: Rng + ?Sized>(
        &mut self,
        context: &mut Context<'_, V, R>,
        from: Option<P>,
        request: Request<P, M>,
        out: &mut Vec<Output<P, M>>,
    ) -> Answer<P, M> {
        self.answer(&mut context.turn(out), from, request)
    }

    fn answer(&mut self, turn: &mut Turn<'_, P, M>, from: Option<P>, request: Request<P, M>) -> Answer<P, M> {
        if matches!(self.stage, Stage::Outside)
            && let Some(from) = from
            && from != self.me
        {
            // the first of the group that is met
            self.enter(turn, Some(from));
        }
        let answer = match request {
            Request::Push(rumor) => self.accept(turn, from, rumor),
            Request::Offer(ids) => self.offered(from, &ids),
            Request::Pull(ids) => self.supply(&ids, turn.now),
            Request::Compare { hash, .. } if hash == self.hash(turn.now) => Answer::Same,
            Request::Compare { after, .. } => Answer::Differs(self.store.page(after, self.config.page)),
            Request::Enter { after } => Answer::Seen(self.history(from, after.as_ref(), turn.now)),
        };
        self.work(turn);
        answer
    }

    /// Takes in whatever else happens.
    pub fn handle<V: View<P> + ?Sized, R: Rng + ?Sized>(
        &mut self,
        context: &mut Context<'_, V, R>,
        input: Input<P, M>,
        out: &mut Vec<Output<P, M>>,
    ) {
        self.take(&mut context.turn(out), input);
    }

    fn take(&mut self, turn: &mut Turn<'_, P, M>, input: Input<P, M>) {
        match input {
            Input::Start => {
                // Anywhere within the first tick, so that nodes started together do not tick together.
                let after = self.tick_length().mul_f64(turn.chance.random_range(0.0..1.0));
                self.pace.set(micros(turn.now + after));
                turn.out.push(Output::Timer { after, timer: Timer::Tick });
                self.forget_calm_timer();
            }
            Input::Enter { through } => self.enter(turn, through),
            Input::Timer(Timer::Tick) => self.tick(turn),
            Input::Timer(Timer::Entry) => self.entry_timer(turn),
            Input::Timer(Timer::Calm) => self.forget_calm_timer(),
            Input::Differs { peer } => self.differs(turn, peer),
            Input::Answer { token, from, mut answer } => {
                if let Some(sent) = self.finish(token, turn.now, turn.out) {
                    self.answered(turn, token, sent, answer);
                } else if token.number == self.comparison {
                    self.compared(turn, from, answer);
                } else {
                    self.entry_answer(turn, token, Some(&mut answer));
                }
            }
            Input::Failure { token } => {
                if let Some(sent) = self.finish(token, turn.now, turn.out) {
                    self.failed(turn, token, sent);
                } else if token.number == self.comparison {
                    self.comparison = 0;
                    self.pace.failed();
                } else {
                    self.entry_answer(turn, token, None);
                }
            }
        }
        self.work(turn);
    }

    /// How much is held, remembered and under way.
    pub fn load(&self) -> Load {
        let (lives, stretches, opaque_ids) = self.seen.size();
        let (earlier_lives, earlier_opaque) = self.earlier.as_ref().map_or((0, 0), |earlier| earlier.size());
        let traffic = self.traffic.as_deref();
        Load {
            retained: self.store.len(),
            retained_bytes: self.store.bytes(),
            lives,
            stretches,
            opaque_ids,
            earlier_lives,
            earlier_opaque,
            wanted: traffic.map_or(0, |traffic| traffic.wants.len()),
            queued: traffic.map_or(0, Traffic::queued),
            requests: traffic.map_or(0, |traffic| traffic.sent.len()),
            own_in_flight: traffic.map_or(0, |traffic| traffic.own.len()),
        }
    }

    /// Whether this rumor has been performed here, was started here, or is superseded.
    pub fn has_seen(&self, id: &Id<P>) -> bool {
        self.is_own(id) || self.seen.contains(id, &self.config)
    }

    pub(super) fn is_own(&self, id: &Id<P>) -> bool {
        matches!(id, Id::Numbered { origin, incarnation, .. }
            if *origin == self.me && *incarnation == self.incarnation)
    }

    /// Drops what is too old to be of use to anybody.
    pub(super) fn expire(&mut self, now: Duration) {
        let now = micros(now);
        self.store.expire(now - micros(self.config.retained_age), now - micros(self.config.age_limit(Urgency::Calm)));
        self.seen.expire(now, &self.config);
        if self.earlier.as_ref().is_some_and(|earlier| earlier.is_over(now)) {
            self.earlier = None;
        }
    }

    pub(super) fn traffic_mut(&mut self) -> &mut Traffic<P> {
        self.traffic.get_or_insert_default()
    }

    pub(super) fn tick_length(&self) -> Duration {
        self.config.tick.max(Duration::from_millis(1))
    }
}
