//! Receiving rumors, answering pulls, and handling the ends of requests.

use std::sync::Arc;
use std::time::Duration;

use super::choice::choose;
use super::gossip::Gossip;
use super::message::{Answer, Id, Rumor, Size};
use super::seen::{Birth, Mark};
use super::spreading::{REPLACEMENTS, rumor};
use super::store::Held;
use super::traffic::{Queue, QueuedRumor, Sending, Sent};
use super::turn::Turn;
use super::wants::Unanswered;
use super::{Output, Token, micros};
use crate::peer_id::PeerId;

/// The length of the longest opaque id that is accepted, in bytes. Ids are kept for a long time, and real ones have 64
/// bytes.
pub const MAX_OPAQUE_ID: usize = 256;

/// A rumor that a comparison found is spread from here if it is younger than this many ticks. An older one has been
/// spread, and missed this node or could not reach it: comparison brings it to the few other such nodes without further
/// requests, and after a partition to many within a few ticks.
const FRESH_TICKS: u32 = 5;

impl<P: PeerId, M: Clone> Gossip<P, M> {
    pub(super) fn accept(&mut self, turn: &mut Turn<'_, P, M>, from: Option<P>, rumor: Rumor<P, M>) -> Answer<P, M> {
        let Rumor { id, hop, age, urgency, replay, former, size, message } = rumor;
        let now = micros(turn.now);
        let born = now - micros(age);
        if let Some(incarnation) = self.superseding(&id) {
            return Answer::Stale { incarnation };
        }
        if self.has_seen(&id) {
            return Answer::Had;
        }
        if age > self.config.age_limit(urgency) {
            self.arrived(&id, turn.out);
            return Answer::Had;
        }
        let too_long = matches!(&id, Id::Opaque(text) if text.len() > MAX_OPAQUE_ID);
        if too_long || !self.has_room(size) {
            return Answer::Busy;
        }
        match self.seen.mark(&id, born, now, &self.config) {
            Mark::New => {}
            Mark::Full => return Answer::Busy,
            Mark::Seen => {
                self.arrived(&id, turn.out);
                return Answer::Had;
            }
        }
        let compared = self.arrived(&id, turn.out);
        let known = self.known_as(&id, former, born, now);
        let earlier = self.earlier.as_ref().is_some_and(|earlier| earlier.covers(&id, former));
        // a rumor from before this node entered is also held for others
        if !known && (!earlier || replay || self.config.replay) {
            turn.out.push(Output::Perform { id: id.clone(), message: message.clone() });
        }
        if !urgency.is_calm() {
            self.wake(turn);
        }
        if self.config.hop_limit.is_none_or(|limit| hop < limit) {
            // A rumor from before this node entered has been spread, so it is left to comparison. A push of it would
            // look young to another newcomer.
            let spread = !earlier && (!compared || age < self.tick_length() * FRESH_TICKS);
            let pushed_to = from.filter(|from| turn.view.is_reference(*from)).into_iter().collect();
            let own = false;
            self.hold(&id, Held { message, hop, born, urgency, replay, former, own, size, waiting: spread, pushed_to });
            if spread {
                let queue = if urgency.is_calm() { Queue::Calm } else { Queue::Main };
                self.enqueue(queue, QueuedRumor { id, size, from });
            }
        }
        Answer::Fresh
    }

    /// Ends the pull for a rumor that has arrived. Returns whether a comparison found it first.
    pub(super) fn arrived(&mut self, id: &Id<P>, out: &mut Vec<Output<P, M>>) -> bool {
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

    /// Notes that a peer holds a rumor, if this node lacks it. Returns whether it does. A node that has not entered
    /// wants only what is pushed: comparison brings the rest later.
    pub(super) fn note(&mut self, id: &Id<P>, from: P, compared: bool) -> bool {
        let lacking = self.has_entered() && from != self.me && !self.has_seen(id);
        if lacking {
            let limit = self.config.wanted;
            self.traffic_mut().wants.note(id, from, compared, limit);
        }
        lacking
    }

    pub(super) fn offered(&mut self, from: Option<P>, ids: &[Id<P>]) -> Answer<P, M> {
        let Some(from) = from else { return Answer::Noted };
        let mut stale = None;
        for id in ids {
            self.note(id, from, false);
            if matches!(id, Id::Numbered { origin, .. } if *origin == from) {
                stale = stale.max(self.superseding(id));
            }
        }
        stale.map_or(Answer::Noted, |incarnation| Answer::Stale { incarnation })
    }

    /// Returns the latest known life of the id's origin, if the id is rejected because it belongs to an earlier one.
    fn superseding(&self, id: &Id<P>) -> Option<u64> {
        if self.is_own(id) { None } else { self.seen.superseding(id, &self.config) }
    }

    /// Returns whether a rumor that its origin started again was performed here under its former id. From now on the
    /// former id is not performed either.
    fn known_as(&mut self, id: &Id<P>, former: Option<(u64, u64)>, born: Birth, now: Birth) -> bool {
        let (Some((incarnation, sequence)), Id::Numbered { origin, .. }) = (former, id) else { return false };
        let former = Id::Numbered { origin: *origin, incarnation, sequence };
        let known = former != *id && (self.is_own(&former) || self.seen.is_marked(&former));
        // all nodes receive the new id instead
        if self.store.get(&former).is_some_and(|held| !held.waiting) {
            self.store.remove(&former);
        }
        if !known {
            self.seen.mark(&former, born, now, &self.config);
        }
        known
    }

    /// Sends an own rumor again in a later life, because a peer rejected it and knows the life `known` of this node.
    pub(super) fn refused_as_stale(&mut self, turn: &mut Turn<'_, P, M>, id: &Id<P>, known: u64) {
        let Id::Numbered { incarnation: life, sequence, .. } = *id else { return };
        // it may have been sent again already; without room, it waits until it is next offered
        let Some(size) = self.store.get(id).filter(|held| held.own && !held.waiting).map(|held| held.size) else {
            return;
        };
        if known < life || !self.has_room(size) {
            return;
        }
        self.make_room_above(turn.now, known, true);
        // there may be no later life
        if self.incarnation <= known {
            return;
        }
        let Some(held) = self.store.remove(id) else { return };
        self.sequence += 1;
        let (origin, incarnation, sequence_now) = (self.me, self.incarnation, self.sequence);
        let to = Id::Numbered { origin, incarnation, sequence: sequence_now };
        self.traffic_mut().own.insert((incarnation, sequence_now), 0);
        let former = held.former.or(Some((life, sequence)));
        self.hold(&to, Held { former, waiting: true, ..held });
        self.enqueue(Queue::Main, QueuedRumor { id: to.clone(), size, from: None });
        turn.out.push(Output::Reissued { from: id.clone(), to });
        self.wake(turn);
    }

    pub(super) fn has_room(&self, size: Size) -> bool {
        self.traffic.as_deref().is_none_or(|traffic| {
            traffic.queued() == 0
                || (traffic.queued() < self.config.queue_count
                    && traffic.queue_bytes.saturating_add(size.memory) <= self.config.queue_bytes)
        })
    }

    pub(super) fn hold(&mut self, id: &Id<P>, held: Held<P, M>) {
        self.store.insert(id.clone(), held);
        self.store.trim(&self.config);
    }

    /// Adds a rumor to a queue.
    pub(super) fn enqueue(&mut self, queue: Queue, waiting: QueuedRumor<P>) {
        let traffic = self.traffic_mut();
        traffic.queue_bytes += waiting.size.memory;
        match queue {
            Queue::Main => traffic.queue.push_back(waiting),
            Queue::Calm => traffic.calm.push_back(waiting),
        }
    }

    pub(super) fn supply(&self, ids: &[Id<P>], now: Duration) -> Answer<P, M> {
        let mut rumors = Vec::new();
        let mut total = 0usize;
        let mut more = false;
        for id in ids {
            let Some(held) = self.store.get(id) else {
                continue;
            };
            if !rumors.is_empty() && total.saturating_add(held.size.wire) > self.config.transfer_bytes {
                more = true;
                break;
            }
            total = total.saturating_add(held.size.wire);
            rumors.push(rumor(id, held, micros(now)));
        }
        Answer::Rumors { rumors, more }
    }

    pub(super) fn finish(&mut self, token: Token, now: Duration, out: &mut Vec<Output<P, M>>) -> Option<Sent<P>> {
        self.calm_answered(now, token.number);
        let traffic = self.traffic.as_deref_mut()?;
        let at = traffic.sent.iter().position(|(number, _)| *number == token.number)?;
        let (_, sent) = traffic.sent.swap_remove(at);
        if let Sending::Push { id, first: true } = &sent.what {
            traffic.settle(id, out);
        }
        Some(sent)
    }

    pub(super) fn answered(&mut self, turn: &mut Turn<'_, P, M>, token: Token, sent: Sent<P>, answer: Answer<P, M>) {
        let ids = match &sent.what {
            Sending::Pull(ids) => ids,
            Sending::Push { id, .. } => {
                if let Answer::Stale { incarnation } = answer {
                    self.refused_as_stale(turn, id, incarnation);
                }
                return;
            }
            Sending::Offer { ids, .. } => {
                if let Answer::Stale { incarnation } = answer {
                    for id in ids.iter() {
                        self.refused_as_stale(turn, id, incarnation);
                    }
                }
                return;
            }
        };
        let Answer::Rumors { rumors, more } = answer else {
            return self.failed(turn, token, sent);
        };
        let progress = !rumors.is_empty();
        for rumor in rumors {
            // Accept only what was asked for, so that an answer cannot bypass a full queue.
            if ids.contains(&rumor.id) {
                self.accept(turn, Some(sent.to), rumor);
            }
        }
        let outcome = if more && progress { Unanswered::LeftOver } else { Unanswered::NotHeld };
        for id in ids.iter().rev() {
            self.traffic_mut().wants.unanswered(id, sent.to, token.number, outcome);
        }
    }

    pub(super) fn failed(&mut self, turn: &mut Turn<'_, P, M>, token: Token, sent: Sent<P>) {
        match sent.what {
            Sending::Pull(ids) => {
                for id in ids.iter() {
                    self.traffic_mut().wants.unanswered(id, sent.to, token.number, Unanswered::Failed);
                }
                // there may be no other peer to ask
                self.wake(turn);
            }
            Sending::Push { id, .. } => self.replace(turn, sent.to, Arc::new([*id]), REPLACEMENTS),
            Sending::Offer { ids, replacements } => self.replace(turn, sent.to, ids, replacements),
        }
    }

    /// Replaces a push or an offer that failed by an offer to another peer, so that the loss of a request does not
    /// narrow the spreading. If the rumor goes to the whole group, the same peer gets the offer.
    pub(super) fn replace(&mut self, turn: &mut Turn<'_, P, M>, failed: P, ids: Arc<[Id<P>]>, replacements: u8) {
        // nothing replaces a rumor that is no longer held, and comparison replaces calm rumors
        let calm = |id| self.store.get(id).is_none_or(|held| held.urgency.is_calm());
        if replacements == 0 || ids.iter().all(calm) {
            return;
        }
        let whole = turn.view.len() <= turn.fanout + 1;
        let peer = if whole && !turn.view.is_reference(failed) {
            Some(failed)
        } else {
            choose(turn.view, self.me, 1, Some(failed), turn.chance).first().copied()
        };
        if let Some(peer) = peer {
            self.offer(turn, peer, &ids, replacements - 1);
        }
    }
}
