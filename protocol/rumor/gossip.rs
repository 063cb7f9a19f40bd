//! The state machine: one per node and group.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, RngExt};

use super::choice::{choose, push_depth};
use super::config::Config;
use super::message::{Answer, Id, Page, Request, Rumor, Stretch};
use super::micros;
use super::seen::{Birth, Mark, Seen};
use super::store::{Held, Store};
use super::wants::{Unanswered, Wants};
use super::{BroadcastError, Context, Input, Load, Output, Timer, Token, View};
use crate::fanout::log_ceiling;

/// An opaque id longer than this many bytes is refused: it is kept for long, and real ones have 64.
const OPAQUE_LENGTH: usize = 256;

/// A rumor found by comparison is spread from here if it is younger than this many ticks. An older one has been
/// spread, and missed us or was kept from us: comparison brings it to the few others like us without
/// asking everybody, and to the many after a partition within a few ticks.
const FRESH_TICKS: u32 = 5;

/// The youngest rumors that a peer which takes only whole messages may be sent on a tick. It remembers the last
/// ten ids; what is among our last five it has not forgotten, if we hear about the same.
const WHOLE_YOUNGEST: usize = 5;

/// And for how many ticks after a rumor's birth: each such peer is picked about once per tick, by somebody.
const WHOLE_TICKS: u32 = 10;

/// How often a push or an offer that failed is made up for by an offer to somebody else. Simulated at 30% loss:
/// the mean convergence falls from 2.2 to 0.9 ticks at n = 10,000 with 1, and no further with 2.
const REPLACEMENTS: u8 = 1;

/// One node's part in the gossip of one group.
///
/// See the [module](super) for the exchange. All calls take a [`Context`] and append to `out` what is
/// to be done, in the order in which to do it.
#[derive(Clone, Debug)]
pub struct Gossip<P, M> {
    me: P,
    incarnation: u64,
    config: Arc<Config>,
    /// Of the last rumor started here.
    sequence: u64,
    /// Of the last request sent.
    number: u64,
    /// The comparison under way; an answer to an older one is not listened to.
    comparison: u64,
    seen: Seen<P>,
    store: Store<P, M>,
    /// Present while something is going on, so that a node at rest is small.
    traffic: Option<Box<Traffic<P>>>,
}

/// What is waiting and what is under way.
#[derive(Clone, Debug)]
struct Traffic<P> {
    wants: Wants<P>,
    queue: VecDeque<Waiting<P>>,
    queue_bytes: usize,
    /// Requests under way. At most [`Config::requests`], so a search through them is short.
    sent: Vec<(u64, Sent<P>)>,
    /// Own rumors being sent, by sequence: pushes without an answer. 0 is one that waits in the queue.
    own: BTreeMap<u64, usize>,
}

/// A rumor to be spread.
#[derive(Clone, Debug)]
struct Waiting<P> {
    id: Id<P>,
    bytes: usize,
    /// Where it came from: nobody there lacks it.
    from: Option<P>,
}

#[derive(Clone, Debug)]
struct Sent<P> {
    to: P,
    what: Sending<P>,
}

#[derive(Clone, Debug)]
enum Sending<P> {
    /// `first`: of an own rumor to its first peers, so that its settling depends on it.
    Push {
        id: Id<P>,
        first: bool,
    },
    Offer {
        ids: Arc<[Id<P>]>,
        replacements: u8,
    },
    Pull(Arc<[Id<P>]>),
}

impl<P> Default for Traffic<P> {
    fn default() -> Self {
        Traffic {
            wants: Wants::default(),
            queue: VecDeque::new(),
            queue_bytes: 0,
            sent: Vec::new(),
            own: BTreeMap::new(),
        }
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
            seen: Seen::default(),
            store: Store::default(),
            traffic: None,
        }
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
        let own = self.traffic.as_ref().map_or(0, |traffic| traffic.own.len());
        if own >= self.config.own_in_flight.max(1) || !self.has_room(bytes) {
            return Err(BroadcastError::Busy { in_flight: own });
        }
        self.sequence += 1;
        let (origin, incarnation, sequence) = (self.me, self.incarnation, self.sequence);
        let id = Id::Numbered { origin, incarnation, sequence };
        let born = micros(context.now);
        self.traffic_mut().own.insert(sequence, 0);
        self.hold(&id, Held { message, hop: 0, born, bytes, waiting: true, sent_whole: Vec::new() });
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
            Request::Compare { hash, after: None } if hash == self.store.hash() => Answer::Same,
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
            Input::Answer { token, answer: Answer::Same, .. } => self.end_comparison(token),
            Input::Answer { token, from, answer: Answer::Differs(page) } => {
                if token.number == self.comparison {
                    self.compare(from, page, out);
                }
            }
            Input::Answer { token, answer, .. } => {
                if let Some(sent) = self.finish(token, out) {
                    self.answered(context, token, sent, answer, out);
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

    fn is_own(&self, id: &Id<P>) -> bool {
        matches!(id, Id::Numbered { origin, incarnation, .. }
            if *origin == self.me && *incarnation == self.incarnation)
    }

    fn traffic_mut(&mut self) -> &mut Traffic<P> {
        self.traffic.get_or_insert_default()
    }

    fn tick_length(&self) -> Duration {
        self.config.tick.max(Duration::from_millis(1))
    }

    // Receiving.

    fn accept<V: View<P> + ?Sized, R: Rng + ?Sized>(
        &mut self,
        context: &Context<'_, V, R>,
        from: Option<P>,
        rumor: Rumor<P, M>,
        out: &mut Vec<Output<P, M>>,
    ) -> Answer<P, M> {
        let Rumor { id, hop, age, bytes, message } = rumor;
        let now = micros(context.now);
        let born = now - micros(age);
        if self.has_seen(&id) {
            return Answer::Had;
        }
        if age > self.config.retained_age {
            self.arrived(&id, out);
            return Answer::Had;
        }
        let too_long = matches!(&id, Id::Opaque(text) if text.len() > OPAQUE_LENGTH);
        if too_long || !self.has_room(bytes) {
            return Answer::Busy;
        }
        match self.seen.mark(&id, born, now, &self.config) {
            Mark::New => {}
            Mark::Full => return Answer::Busy,
            Mark::Seen => {
                self.arrived(&id, out);
                return Answer::Had;
            }
        }
        let compared = self.arrived(&id, out);
        out.push(Output::Perform { id: id.clone(), message: message.clone() });
        if self.config.hop_limit.is_none_or(|limit| hop < limit) {
            let spread = !compared || age < self.tick_length() * FRESH_TICKS;
            let sent_whole = from.filter(|from| context.view.takes_only_pushes(*from)).into_iter().collect();
            self.hold(&id, Held { message, hop, born, bytes, waiting: spread, sent_whole });
            if spread {
                self.enqueue(id, bytes, from);
            }
        }
        Answer::Fresh
    }

    /// Ends the pull for a rumor that is here. Returns whether it was first heard of by comparison.
    fn arrived(&mut self, id: &Id<P>, out: &mut Vec<Output<P, M>>) -> bool {
        let Some(traffic) = self.traffic.as_deref_mut() else {
            return false;
        };
        let (pull, compared) = traffic.wants.arrived(id);
        if let Some(number) = pull
            && let Some(at) = traffic.sent.iter().position(|(sent, _)| *sent == number)
            && let Sending::Pull(ids) = &traffic.sent[at].1.what
            && !ids.iter().any(|id| traffic.wants.awaits(id, number))
        {
            traffic.sent.swap_remove(at);
            out.push(Output::Cancel { token: Token { number } });
        }
        compared
    }

    fn note(&mut self, id: &Id<P>, from: P, compared: bool) {
        if !self.has_seen(id) && from != self.me {
            let limit = self.config.wanted;
            self.traffic_mut().wants.note(id, from, compared, limit);
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.traffic.as_deref().is_none_or(|traffic| {
            traffic.queue.is_empty()
                || (traffic.queue.len() < self.config.queue_count
                    && traffic.queue_bytes.saturating_add(bytes) <= self.config.queue_bytes)
        })
    }

    fn hold(&mut self, id: &Id<P>, held: Held<P, M>) {
        self.store.insert(id.clone(), held);
        self.store.trim(&self.config);
    }

    fn enqueue(&mut self, id: Id<P>, bytes: usize, from: Option<P>) {
        let traffic = self.traffic_mut();
        traffic.queue_bytes += bytes;
        traffic.queue.push_back(Waiting { id, bytes, from });
    }

    // Supplying.

    fn supply(&self, ids: &[Id<P>], now: Duration) -> Answer<P, M> {
        let mut rumors = Vec::new();
        let mut total = 0usize;
        let mut more = false;
        for id in ids {
            let Some(held) = self.store.get(id) else {
                continue;
            };
            if !rumors.is_empty() && total.saturating_add(held.bytes) > self.config.transfer_bytes {
                more = true;
                break;
            }
            total = total.saturating_add(held.bytes);
            rumors.push(rumor(id, held, micros(now)));
        }
        Answer::Rumors { rumors, more }
    }

    // Answers and failures.

    fn finish(&mut self, token: Token, out: &mut Vec<Output<P, M>>) -> Option<Sent<P>> {
        let traffic = self.traffic.as_deref_mut()?;
        let at = traffic.sent.iter().position(|(number, _)| *number == token.number)?;
        let (_, sent) = traffic.sent.swap_remove(at);
        if let Sending::Push { id, first: true } = &sent.what {
            traffic.settle(id, out);
        }
        Some(sent)
    }

    fn answered<V: View<P> + ?Sized, R: Rng + ?Sized>(
        &mut self,
        context: &mut Context<'_, V, R>,
        token: Token,
        sent: Sent<P>,
        answer: Answer<P, M>,
        out: &mut Vec<Output<P, M>>,
    ) {
        let Sending::Pull(ids) = &sent.what else {
            return;
        };
        let Answer::Rumors { rumors, more } = answer else {
            return self.failed(context, token, sent, out);
        };
        let progress = !rumors.is_empty();
        for rumor in rumors {
            // Only what was asked for: an answer is no way around a full queue.
            if ids.contains(&rumor.id) {
                self.accept(context, Some(sent.to), rumor, out);
            }
        }
        let outcome = if more && progress { Unanswered::LeftOver } else { Unanswered::NotHeld };
        for id in ids.iter().rev() {
            self.traffic_mut().wants.unanswered(id, sent.to, token.number, outcome);
        }
    }

    fn failed<V: View<P> + ?Sized, R: Rng + ?Sized>(
        &mut self,
        context: &mut Context<'_, V, R>,
        token: Token,
        sent: Sent<P>,
        out: &mut Vec<Output<P, M>>,
    ) {
        match sent.what {
            Sending::Pull(ids) => {
                for id in ids.iter() {
                    self.traffic_mut().wants.unanswered(id, sent.to, token.number, Unanswered::Failed);
                }
            }
            Sending::Push { id, .. } => self.replace(context, sent.to, Arc::new([id]), REPLACEMENTS, out),
            Sending::Offer { ids, replacements } => self.replace(context, sent.to, ids, replacements, out),
        }
    }

    /// Makes up for a push or an offer that failed, with an offer to somebody else: the loss of one request
    /// leaves the spreading as wide as before. Where the group is sent to whole there is nobody else.
    fn replace<V: View<P> + ?Sized, R: Rng + ?Sized>(
        &mut self,
        context: &mut Context<'_, V, R>,
        failed: P,
        ids: Arc<[Id<P>]>,
        replacements: u8,
        out: &mut Vec<Output<P, M>>,
    ) {
        if replacements == 0 || !ids.iter().any(|id| self.store.get(id).is_some()) {
            return;
        }
        let whole = context.view.len() <= context.fanout + 1;
        let peer = if whole && !context.view.takes_only_pushes(failed) {
            Some(failed)
        } else {
            choose(context.view, self.me, 1, Some(failed), context.chance).first().copied()
        };
        if let Some(peer) = peer {
            self.offer(context, peer, &ids, replacements - 1, out);
        }
    }

    // Comparing.

    fn tick<V: View<P> + ?Sized, R: Rng + ?Sized>(
        &mut self,
        context: &mut Context<'_, V, R>,
        out: &mut Vec<Output<P, M>>,
    ) {
        let tick = self.tick_length();
        let after = tick.mul_f64(context.chance.random_range(0.9..1.1));
        out.push(Output::Timer { after, timer: Timer::Tick });
        let now = micros(context.now);
        self.store.expire(now - micros(self.config.retained_age));
        self.seen.expire(now, &self.config);
        // One peer as a rule. If it is one that cannot compare, it is sent what it may have missed, and
        // another one is drawn.
        for peer in choose(context.view, self.me, 4, None, context.chance) {
            if context.view.takes_only_pushes(peer) {
                self.push_missed(context, peer, out);
            } else {
                self.number += 1;
                self.comparison = self.number;
                self.request_page(peer, None, out);
                break;
            }
        }
    }

    fn request_page(&self, to: P, after: Option<Id<P>>, out: &mut Vec<Output<P, M>>) {
        let token = Token { number: self.comparison };
        out.push(Output::Send { token, to, request: Request::Compare { hash: self.store.hash(), after } });
    }

    fn end_comparison(&mut self, token: Token) {
        if token.number == self.comparison {
            self.comparison = 0;
        }
    }

    /// Reads a page of what a peer holds: asks for what is missing here, offers what is missing there.
    fn compare(&mut self, from: P, page: Page<P>, out: &mut Vec<Output<P, M>>) {
        let Page { after, held, next } = page;
        let mut lacking = Vec::new();
        let mut room = self.config.wanted;
        {
            let mut theirs = held.iter().peekable();
            for id in self.store.between(after.as_ref(), next.as_ref()) {
                while theirs.next_if(|stretch| is_below(stretch, id)).is_some() {}
                if !theirs.peek().is_some_and(|stretch| holds(stretch, id)) {
                    lacking.push(id.clone());
                }
            }
        }
        for stretch in held {
            match stretch {
                Stretch::Opaque(text) => self.note(&Id::Opaque(text), from, true),
                Stretch::Numbered { origin, incarnation, first, last } => {
                    for sequence in first..=last {
                        // A stretch of any length fits into a few bytes, so its reading has a bound of its own.
                        if room == 0 {
                            break;
                        }
                        room -= 1;
                        self.note(&Id::Numbered { origin, incarnation, sequence }, from, true);
                    }
                }
            }
        }
        // One batch per page: what is left over is found on the next tick.
        lacking.truncate(self.config.batch.max(1));
        if !lacking.is_empty() {
            self.send(from, Sending::Offer { ids: lacking.into(), replacements: 0 }, out);
        }
        // A page must end after it began, or the comparison would never end.
        if next.is_some() && next > after {
            self.number += 1;
            self.comparison = self.number;
            self.request_page(from, next, out);
        } else {
            self.comparison = 0;
        }
    }

    // Spreading.

    /// Starts as much of what waits as the bounds allow. Pulls go first: they bring what others wait for.
    fn work<V: View<P> + ?Sized, R: Rng + ?Sized>(
        &mut self,
        context: &mut Context<'_, V, R>,
        out: &mut Vec<Output<P, M>>,
    ) {
        loop {
            let limit = self.config.requests.max(1);
            let room = self.has_room(0);
            let Some(traffic) = self.traffic.as_deref_mut() else {
                return;
            };
            if traffic.sent.len() >= limit {
                return;
            }
            if room
                && !traffic.wants.is_empty()
                && let Some((to, ids)) = traffic.wants.next(self.number + 1, self.config.batch)
            {
                self.send(to, Sending::Pull(ids.into()), out);
                continue;
            }
            let Some(waiting) = traffic.next_waiting() else {
                break;
            };
            self.spread(context, waiting, out);
        }
        if self.traffic.as_deref().is_some_and(Traffic::is_empty) {
            self.traffic = None;
        }
    }

    fn spread<V: View<P> + ?Sized, R: Rng + ?Sized>(
        &mut self,
        context: &mut Context<'_, V, R>,
        Waiting { id, bytes, from }: Waiting<P>,
        out: &mut Vec<Output<P, M>>,
    ) {
        let members = context.view.len();
        let depth = push_depth(members, context.fanout);
        let Some(held) = self.store.get_mut(&id) else {
            // It waited until it was too old.
            if self.is_own(&id) {
                self.traffic_mut().settle(&id, out);
            }
            return;
        };
        held.waiting = false;
        let young = held.hop < depth;
        // Young rumors go to as many as the group's fan-out says. Later, completeness counts: more than ln n are
        // in vain then, however large a fan-out the group was given.
        let count = if young {
            context.fanout.max(1)
        } else {
            context.fanout.min(log_ceiling(members)).saturating_add(self.config.extra_offers).max(1)
        };
        if !young && bytes > self.config.eager_bytes {
            let (ids, from) = self.gather(id, from, depth);
            for peer in choose(context.view, self.me, count, from, context.chance) {
                self.offer(context, peer, &ids, REPLACEMENTS, out);
            }
            return;
        }
        let peers = choose(context.view, self.me, count, from, context.chance);
        let first = self.is_own(&id);
        if first && let Id::Numbered { sequence, .. } = &id {
            // One more than there are, taken back below, so that one sent to nobody settles too.
            self.traffic_mut().own.insert(*sequence, peers.len() + 1);
        }
        for peer in peers {
            self.push(context, peer, &id, first, out);
        }
        if first {
            self.traffic_mut().settle(&id, out);
        }
    }

    /// Takes from the queue what else is to be offered, as far as it stands next in line: it goes to the
    /// same peers in the same requests.
    fn gather(&mut self, id: Id<P>, from: Option<P>, depth: u32) -> (Arc<[Id<P>]>, Option<P>) {
        let Gossip { traffic, store, config, .. } = self;
        let mut ids = vec![id];
        while let Some(traffic) = traffic.as_deref_mut()
            && ids.len() < config.batch.max(1)
            && let Some(next) = traffic.queue.front()
            && let Some(held) = store.get_mut(&next.id)
            && held.hop >= depth
            && held.bytes > config.eager_bytes
            && let Some(next) = traffic.next_waiting()
        {
            held.waiting = false;
            ids.push(next.id);
        }
        let from = from.filter(|_| ids.len() == 1);
        (ids.into(), from)
    }

    fn push<V: View<P> + ?Sized, R: Rng + ?Sized>(
        &mut self,
        context: &Context<'_, V, R>,
        to: P,
        id: &Id<P>,
        first: bool,
        out: &mut Vec<Output<P, M>>,
    ) {
        let Some(held) = self.store.get_mut(id) else {
            return;
        };
        if context.view.takes_only_pushes(to) {
            if held.sent_whole.contains(&to) {
                return;
            }
            held.sent_whole.push(to);
        }
        let rumor = rumor(id, held, micros(context.now));
        let token = self.sending(to, Sending::Push { id: id.clone(), first });
        out.push(Output::Send { token, to, request: Request::Push(rumor) });
    }

    /// Offers, or pushes to a peer that takes nothing else.
    fn offer<V: View<P> + ?Sized, R: Rng + ?Sized>(
        &mut self,
        context: &Context<'_, V, R>,
        to: P,
        ids: &Arc<[Id<P>]>,
        replacements: u8,
        out: &mut Vec<Output<P, M>>,
    ) {
        if context.view.takes_only_pushes(to) {
            for id in ids.iter() {
                self.push(context, to, id, false, out);
            }
        } else {
            self.send(to, Sending::Offer { ids: ids.clone(), replacements }, out);
        }
    }

    /// Pushes to a peer that cannot compare what it most likely remembers, if it has seen it.
    fn push_missed<V: View<P> + ?Sized, R: Rng + ?Sized>(
        &mut self,
        context: &Context<'_, V, R>,
        peer: P,
        out: &mut Vec<Output<P, M>>,
    ) {
        let oldest: Birth = micros(context.now) - micros(self.tick_length() * WHOLE_TICKS);
        let ids: Vec<_> = self.store.youngest().take(WHOLE_YOUNGEST).cloned().collect();
        for id in ids {
            if self.store.get(&id).is_some_and(|held| !held.waiting && held.born >= oldest) {
                self.push(context, peer, &id, false, out);
            }
        }
    }

    fn send(&mut self, to: P, what: Sending<P>, out: &mut Vec<Output<P, M>>) {
        let request = match &what {
            Sending::Offer { ids, .. } => Request::Offer(ids.clone()),
            Sending::Pull(ids) => Request::Pull(ids.clone()),
            Sending::Push { .. } => return,
        };
        let token = self.sending(to, what);
        out.push(Output::Send { token, to, request });
    }

    fn sending(&mut self, to: P, what: Sending<P>) -> Token {
        self.number += 1;
        let number = self.number;
        self.traffic_mut().sent.push((number, Sent { to, what }));
        Token { number }
    }
}

impl<P: Copy + Ord> Traffic<P> {
    fn is_empty(&self) -> bool {
        self.wants.is_empty() && self.queue.is_empty() && self.sent.is_empty() && self.own.is_empty()
    }

    fn next_waiting(&mut self) -> Option<Waiting<P>> {
        let waiting = self.queue.pop_front()?;
        self.queue_bytes -= waiting.bytes;
        Some(waiting)
    }

    /// Notes that there is one push less to wait for of this own rumor.
    fn settle<M>(&mut self, id: &Id<P>, out: &mut Vec<Output<P, M>>) {
        if let Id::Numbered { sequence, .. } = id
            && let Some(pushes) = self.own.get_mut(sequence)
        {
            *pushes = pushes.saturating_sub(1);
            if *pushes == 0 {
                self.own.remove(sequence);
                out.push(Output::Settled { id: id.clone() });
            }
        }
    }
}

fn rumor<P: Clone, M: Clone>(id: &Id<P>, held: &Held<P, M>, now: Birth) -> Rumor<P, M> {
    Rumor {
        id: id.clone(),
        hop: held.hop.saturating_add(1),
        age: held.age(now),
        bytes: held.bytes,
        message: held.message.clone(),
    }
}

/// Whether all of a stretch comes before an id.
fn is_below<P: Ord>(stretch: &Stretch<P>, id: &Id<P>) -> bool {
    match (stretch, id) {
        (
            Stretch::Numbered { origin, incarnation, last, .. },
            Id::Numbered { origin: of, incarnation: life, sequence },
        ) => (origin, incarnation, last) < (of, life, sequence),
        (Stretch::Opaque(text), Id::Opaque(other)) => text < other,
        (Stretch::Numbered { .. }, Id::Opaque(_)) => true,
        (Stretch::Opaque(_), Id::Numbered { .. }) => false,
    }
}

/// Whether a stretch that is not below an id contains it.
fn holds<P: Ord>(stretch: &Stretch<P>, id: &Id<P>) -> bool {
    match (stretch, id) {
        (
            Stretch::Numbered { origin, incarnation, first, .. },
            Id::Numbered { origin: of, incarnation: life, sequence },
        ) => origin == of && incarnation == life && first <= sequence,
        (Stretch::Opaque(text), Id::Opaque(other)) => text == other,
        _ => false,
    }
}
