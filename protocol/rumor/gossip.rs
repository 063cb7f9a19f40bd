//! The state machine: one per node and group.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, RngExt};

use super::config::Config;
use super::message::{Answer, Id, Request};
use super::seen::Seen;
use super::store::{Held, Store};
use super::traffic::Traffic;
use super::{BroadcastError, Context, Input, Load, Output, Timer, View, micros};

/// One node's part in the gossip of one group.
///
/// See the [module](super) for the exchange. All calls take a [`Context`] and append to `out` what is
/// to be done, in the order in which to do it.
#[derive(Clone, Debug)]
pub struct Gossip<P, M> {
    pub(super) me: P,
    pub(super) incarnation: u64,
    pub(super) config: Arc<Config>,
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

impl<P: Copy + Ord + Hash, M: Clone> Gossip<P, M> {
    /// The gossip of node `me`, in its life `incarnation`: a number that is higher after every restart.
    pub fn new(me: P, incarnation: u64, config: Arc<Config>) -> Self {
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
        }
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

    /// Goes on under another configuration. What is held beyond its bounds goes as room is next needed.
    pub fn configure(&mut self, config: Arc<Config>) {
        self.config = config;
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
        self.begin(context, message, bytes, false, out)
    }

    /// As [`broadcast`](Self::broadcast), for a message that need not be everywhere at once: see
    /// [`calm_fanout`](Config::calm_fanout) and [`calm_age`](Config::calm_age).
    ///
    /// # Errors
    /// As there.
    pub fn broadcast_calmly<V: View<P> + ?Sized, R: Rng + ?Sized>(
        &mut self,
        context: &mut Context<'_, V, R>,
        message: M,
        bytes: usize,
        out: &mut Vec<Output<P, M>>,
    ) -> Result<Id<P>, BroadcastError> {
        self.begin(context, message, bytes, true, out)
    }

    fn begin<V: View<P> + ?Sized, R: Rng + ?Sized>(
        &mut self,
        context: &mut Context<'_, V, R>,
        message: M,
        bytes: usize,
        calm: bool,
        out: &mut Vec<Output<P, M>>,
    ) -> Result<Id<P>, BroadcastError> {
        let own = self.traffic.as_ref().map_or(0, |traffic| traffic.own.len());
        if own >= self.config.own_in_flight.max(1) || !self.has_room(bytes) {
            return Err(BroadcastError::Busy { in_flight: own });
        }
        self.sequence += 1;
        let (origin, incarnation, sequence) = (self.me, self.incarnation, self.sequence);
        let id = Id::Numbered { origin, incarnation, sequence };
        let born = micros(context.now);
        self.traffic_mut().own.insert(sequence, 0);
        self.hold(&id, Held { message, hop: 0, born, calm, bytes, waiting: true, sent_whole: Vec::new() });
        self.enqueue(id.clone(), bytes, None);
        self.work(context, out);
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
        let answer = match request {
            Request::Push(rumor) => self.accept(context, from, rumor, out),
            Request::Offer(ids) => {
                if let Some(from) = from {
                    for id in ids.iter() {
                        self.note(id, from, false);
                    }
                }
                Answer::Noted
            }
            Request::Pull(ids) => self.supply(&ids, context.now),
            Request::Compare { hash, .. } if hash == self.store.hash() => Answer::Same,
            Request::Compare { after, .. } => Answer::Differs(self.store.page(after, self.config.page)),
        };
        self.work(context, out);
        answer
    }

    /// Takes in whatever else happens.
    pub fn handle<V: View<P> + ?Sized, R: Rng + ?Sized>(
        &mut self,
        context: &mut Context<'_, V, R>,
        input: Input<P, M>,
        out: &mut Vec<Output<P, M>>,
    ) {
        match input {
            Input::Start => {
                // Anywhere within the first tick, so that nodes started together do not tick together.
                let after = self.tick_length().mul_f64(context.chance.random_range(0.0..1.0));
                out.push(Output::Timer { after, timer: Timer::Tick });
            }
            Input::Timer(Timer::Tick) => self.tick(context, out),
            Input::Answer { token, from, answer } => {
                if let Some(sent) = self.finish(token, out) {
                    self.answered(context, token, sent, answer, out);
                } else if token.number == self.comparison {
                    self.compared(from, answer, out);
                }
            }
            Input::Failure { token } => {
                if let Some(sent) = self.finish(token, out) {
                    self.failed(context, token, sent, out);
                }
            }
        }
        self.work(context, out);
    }

    /// How much is held, remembered and under way.
    pub fn load(&self) -> Load {
        let (lives, stretches, opaque_ids) = self.seen.size();
        let traffic = self.traffic.as_deref();
        Load {
            retained: self.store.len(),
            retained_bytes: self.store.bytes(),
            lives,
            stretches,
            opaque_ids,
            wanted: traffic.map_or(0, |traffic| traffic.wants.len()),
            queued: traffic.map_or(0, |traffic| traffic.queue.len()),
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

    pub(super) fn traffic_mut(&mut self) -> &mut Traffic<P> {
        self.traffic.get_or_insert_default()
    }

    pub(super) fn tick_length(&self) -> Duration {
        self.config.tick.max(Duration::from_millis(1))
    }
}
