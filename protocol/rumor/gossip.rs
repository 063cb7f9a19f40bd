//! The state machine: one per node and group.

use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, RngExt};

use super::config::GossipConfig;
use super::message::{Answer, Id, Request, Size, Urgency};
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

/// The gossip of one node in one group.
///
/// See the [module](super) for the exchange. Calls take a [`Context`] and append to `out` what the driver has to do, in
/// order.
#[derive(Clone, Debug)]
pub struct Gossip<P, M> {
    pub(super) me: P,
    pub(super) incarnation: u64,
    pub(super) config: Arc<GossipConfig>,
    /// The sequence of the last rumor that was started here.
    pub(super) sequence: u64,
    /// The number of the last request that was sent.
    pub(super) number: u64,
    /// The number of the comparison under way. The answer to an older one is ignored.
    pub(super) comparison: u64,
    /// The id after which the next comparison begins, if the last one was interrupted. Otherwise, with many pages and
    /// some loss, no comparison would reach the end.
    pub(super) resume: Option<Box<Id<P>>>,
    pub(super) seen: Seen<P>,
    pub(super) store: Store<P, M>,
    /// The rumors that wait and the requests under way, or `None` at rest, so that an idle node is small.
    pub(super) traffic: Option<Box<Traffic<P>>>,
    pub(super) stage: Stage<P>,
    /// The history from before this node entered, until no peer can send any of it.
    pub(super) earlier: Option<Box<Earlier<P>>>,
    pub(super) pace: Pace,
    /// The time from which calm rumors of others may be spread again.
    pub(super) calm_due: Birth,
}

/// The rumors that a machine has seen, kept after its end: see [`Gossip::into_memory`].
#[derive(Clone, Debug)]
pub struct Memory<P> {
    seen: Seen<P>,
}

impl<P: Copy + Ord> Memory<P> {
    /// Returns whether no rumor has been seen.
    pub fn is_empty(&self) -> bool {
        self.seen.size() == (0, 0, 0)
    }

    /// Returns about how much memory it takes in bytes.
    pub fn bytes(&self) -> usize {
        self.seen.bytes()
    }
}

impl<P: PeerId, M: Clone> Gossip<P, M> {
    /// Creates the gossip of node `me` in the life `incarnation`, a number that has to be higher after every restart.
    ///
    /// The node is in the group from its beginning, so it performs every rumor that it receives.
    pub fn new(me: P, incarnation: u64, config: Arc<GossipConfig>) -> Self {
        Gossip { stage: Stage::Inside, ..Gossip::newcomer(me, incarnation, config) }
    }

    /// Creates the gossip of a node that joins a group which may have existed before. The node has to
    /// [enter](Input::Enter). It performs no rumor that was started before that, unless the rumor or the group asks for
    /// replay.
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

    /// Returns the life in which this node starts rumors.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Continues in a later life, because peers know a life of this node that is not earlier than its own. Does nothing
    /// if the present life is not earlier.
    ///
    /// Rumors that were started before keep their ids. A rumor that a peer rejects as [`Answer::Stale`] is started
    /// again.
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

    /// Continues in a life after `known`, which peers know of this node. `same` means that this node has not used its
    /// present life, so that an earlier process must have had the same life if peers know it.
    pub(super) fn make_room_above(&mut self, now: Duration, known: u64, same: bool) {
        if known > self.incarnation || (same && known == self.incarnation) {
            self.raise(now, known.saturating_add(1));
        }
    }

    /// Returns a hash of the rumors that are held. Nodes that hold the same have the same hash.
    pub fn hash(&mut self, now: Duration) -> u64 {
        self.expire(now);
        self.store.hash()
    }

    /// Notes that a peer has stated that it holds the same as this node. While nothing is new, that counts as a
    /// comparison.
    pub fn same(&mut self) {
        self.pace.stated();
    }

    /// Returns the machine, whose first rumor will have the number `sequence + 1`.
    ///
    /// If a group is put again, its new machine has to start above every sequence that an earlier machine of the same
    /// node, life and group has used, because peers ignore a rumor with a number that they have seen.
    #[must_use]
    pub fn numbering_above(mut self, sequence: u64) -> Self {
        self.sequence = sequence;
        self
    }

    /// Returns the machine with the rumors marked as seen that an earlier machine of this node and group has seen.
    #[must_use]
    pub fn recalling(mut self, memory: Memory<P>) -> Self {
        self.seen = memory.seen;
        self
    }

    /// Returns the machine, which will reject rumors from before `limit`, a time since the node started. It is meant
    /// for a node that may have performed them in a group that it has since forgotten.
    #[must_use]
    pub fn refusing_before(mut self, limit: Duration) -> Self {
        self.seen.refuse_before(micros(limit));
        self
    }

    /// Returns the sequence of the last rumor that was started here.
    pub fn last_sequence(&self) -> u64 {
        self.sequence
    }

    /// Ends the machine, and returns what the next machine of the same group needs so that no message is performed
    /// twice.
    pub fn into_memory(self) -> Memory<P> {
        Memory { seen: self.seen }
    }

    /// Returns how long after the end of this machine its [`Memory`] is useful: until peers hold none of its rumors.
    pub fn memory_lasts(&self) -> Duration {
        self.config.retained_age + 2 * self.config.transit
    }

    /// Continues with another configuration. Rumors beyond its bounds are dropped at once, the oldest first, except
    /// those that still have to be spread.
    pub fn configure(&mut self, config: Arc<GossipConfig>) {
        self.config = config;
        self.store.trim(&self.config);
    }

    /// Starts a rumor with a message of this size.
    ///
    /// The origin counts as having seen the rumor, and is not told to perform it, because only the caller knows whether
    /// the sender is a member of the group. [`Output::Settled`] follows once all first peers have answered or failed,
    /// possibly at once.
    ///
    /// # Errors
    /// [`BroadcastError::Busy`] if too many own rumors are under way or too much waits to be spread. Nothing has
    /// changed; try again once a rumor has settled.
    pub fn broadcast<V: View<P> + ?Sized, R: Rng + ?Sized>(
        &mut self,
        context: &mut Context<'_, V, R>,
        message: M,
        size: impl Into<Size>,
        out: &mut Vec<Output<P, M>>,
    ) -> Result<Id<P>, BroadcastError> {
        self.broadcast_as(Manner::default(), context, message, size, out)
    }

    /// Like [`broadcast`](Self::broadcast), in another manner.
    ///
    /// # Errors
    /// As in [`broadcast`](Self::broadcast).
    pub fn broadcast_as<V: View<P> + ?Sized, R: Rng + ?Sized>(
        &mut self,
        manner: Manner,
        context: &mut Context<'_, V, R>,
        message: M,
        size: impl Into<Size>,
        out: &mut Vec<Output<P, M>>,
    ) -> Result<Id<P>, BroadcastError> {
        self.begin(&mut context.turn(out), manner, message, size.into())
    }

    fn begin(
        &mut self,
        turn: &mut Turn<'_, P, M>,
        manner: Manner,
        message: M,
        size: Size,
    ) -> Result<Id<P>, BroadcastError> {
        let own = self.traffic.as_ref().map_or(0, |traffic| traffic.own.len());
        if own >= self.config.own_in_flight.max(1) || !self.has_room(size) {
            return Err(BroadcastError::Busy { in_flight: own });
        }
        self.sequence += 1;
        let (origin, incarnation, sequence) = (self.me, self.incarnation, self.sequence);
        let id = Id::Numbered { origin, incarnation, sequence };
        let born = micros(turn.now);
        self.traffic_mut().own.insert((incarnation, sequence), 0);
        let Manner { urgency, replay } = manner;
        let (former, pushed_to) = (None, Vec::new());
        let held = Held { message, hop: 0, born, urgency, replay, former, own: true, size, waiting: true, pushed_to };
        self.hold(&id, held);
        self.enqueue(Queue::Main, QueuedRumor { id: id.clone(), size, from: None });
        if !urgency.is_calm() {
            self.wake(turn);
        }
        self.work(turn);
        Ok(id)
    }

    /// Answers a request. `from` is the sender. It can be unknown for a push only, because reference nodes do not state their
    /// address.
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
            // the sender is the first known member of the group
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

    /// Takes any other input.
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
                // A random time within the first tick, so that nodes that start together do not tick together.
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

    /// Returns how much is held, remembered and under way.
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

    /// Returns whether this rumor has been performed here, was started here, or is superseded.
    pub fn has_seen(&self, id: &Id<P>) -> bool {
        self.is_own(id) || self.seen.contains(id, &self.config)
    }

    pub(super) fn is_own(&self, id: &Id<P>) -> bool {
        matches!(id, Id::Numbered { origin, incarnation, .. }
            if *origin == self.me && *incarnation == self.incarnation)
    }

    /// Drops what is too old to be useful to any peer.
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
