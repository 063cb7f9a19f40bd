//! Taking in rumors, handing them out, and what becomes of requests.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;

use super::choice::choose;
use super::gossip::Gossip;
use super::message::{Answer, Id, Rumor};
use super::seen::Mark;
use super::spreading::{REPLACEMENTS, rumor};
use super::store::Held;
use super::traffic::{Sending, Sent, Waiting};
use super::wants::Unanswered;
use super::{Context, Output, Token, View, micros};

/// An opaque id longer than this many bytes is refused: it is kept for long, and real ones have 64.
pub const MAX_OPAQUE_ID: usize = 256;

/// A rumor found by comparison is spread from here if it is younger than this many ticks. An older one has been
/// spread, and missed us or was kept from us: comparison brings it to the few others like us without
/// asking everybody, and to the many after a partition within a few ticks.
const FRESH_TICKS: u32 = 5;

impl<P: Copy + Ord + Hash, M: Clone> Gossip<P, M> {
    pub(super) fn accept<V: View<P> + ?Sized, R: Rng + ?Sized>(
        &mut self,
        context: &Context<'_, V, R>,
        from: Option<P>,
        rumor: Rumor<P, M>,
        out: &mut Vec<Output<P, M>>,
    ) -> Answer<P, M> {
        let Rumor { id, hop, age, calm, bytes, message } = rumor;
        let now = micros(context.now);
        let born = now - micros(age);
        if self.has_seen(&id) {
            return Answer::Had;
        }
        if age > self.config.age_limit(calm) {
            self.arrived(&id, out);
            return Answer::Had;
        }
        let too_long = matches!(&id, Id::Opaque(text) if text.len() > MAX_OPAQUE_ID);
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
            self.hold(&id, Held { message, hop, born, calm, bytes, waiting: spread, sent_whole });
            if spread {
                self.enqueue(id, bytes, from);
            }
        }
        Answer::Fresh
    }

    /// Ends the pull for a rumor that is here. Returns whether it was first heard of by comparison.
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

    pub(super) fn note(&mut self, id: &Id<P>, from: P, compared: bool) {
        if !self.has_seen(id) && from != self.me {
            let limit = self.config.wanted;
            self.traffic_mut().wants.note(id, from, compared, limit);
        }
    }

    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.traffic.as_deref().is_none_or(|traffic| {
            traffic.queue.is_empty()
                || (traffic.queue.len() < self.config.queue_count
                    && traffic.queue_bytes.saturating_add(bytes) <= self.config.queue_bytes)
        })
    }

    pub(super) fn hold(&mut self, id: &Id<P>, held: Held<P, M>) {
        self.store.insert(id.clone(), held);
        self.store.trim(&self.config);
    }

    pub(super) fn enqueue(&mut self, id: Id<P>, bytes: usize, from: Option<P>) {
        let traffic = self.traffic_mut();
        traffic.queue_bytes += bytes;
        traffic.queue.push_back(Waiting { id, bytes, from });
    }

    pub(super) fn supply(&self, ids: &[Id<P>], now: Duration) -> Answer<P, M> {
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

    pub(super) fn finish(&mut self, token: Token, out: &mut Vec<Output<P, M>>) -> Option<Sent<P>> {
        let traffic = self.traffic.as_deref_mut()?;
        let at = traffic.sent.iter().position(|(number, _)| *number == token.number)?;
        let (_, sent) = traffic.sent.swap_remove(at);
        if let Sending::Push { id, first: true } = &sent.what {
            traffic.settle(id, out);
        }
        Some(sent)
    }

    pub(super) fn answered<V: View<P> + ?Sized, R: Rng + ?Sized>(
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

    pub(super) fn failed<V: View<P> + ?Sized, R: Rng + ?Sized>(
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
            Sending::Push { id, .. } => self.replace(context, sent.to, Arc::new([*id]), REPLACEMENTS, out),
            Sending::Offer { ids, replacements } => self.replace(context, sent.to, ids, replacements, out),
        }
    }

    /// Makes up for a push or an offer that failed, with an offer to somebody else: the loss of one request
    /// leaves the spreading as wide as before. Where the group is sent to whole there is nobody else.
    pub(super) fn replace<V: View<P> + ?Sized, R: Rng + ?Sized>(
        &mut self,
        context: &mut Context<'_, V, R>,
        failed: P,
        ids: Arc<[Id<P>]>,
        replacements: u8,
        out: &mut Vec<Output<P, M>>,
    ) {
        // nothing makes up for what is no longer held, and comparison for what is calm
        let calm = |id| self.store.get(id).is_none_or(|held| held.calm);
        if replacements == 0 || ids.iter().all(calm) {
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
}
