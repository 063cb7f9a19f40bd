//! Sending pulls, pushes and offers.

use std::sync::Arc;
use std::time::Duration;

use super::choice::{choose_around, push_depth};
use super::gossip::Gossip;
use super::message::{Id, Request, Rumor, Size};
use super::seen::Birth;
use super::store::Held;
use super::traffic::{QueuedRumor, Sending, Sent, Traffic};
use super::turn::Turn;
use super::{Output, Timer, Token, micros};
use crate::pause;
use crate::peer_id::PeerId;

/// How many times a push or an offer that failed is replaced by an offer to another peer.
///
/// Simulated at n = 10,000 and 30% loss, convergence at the median in latencies: 240 with 0, 62 with 1, 64 with 2, for
/// 15.0, 21.6 and 25.0 requests a node. Without loss it costs nothing.
pub(super) const REPLACEMENTS: u8 = 1;

/// The number of neighbours on the ring of all members.
pub(super) const AROUND: usize = 2;

impl<P: PeerId, M: Clone> Gossip<P, M> {
    /// Starts as many of the waiting requests as the bounds allow. Pulls come first, because other nodes wait for what
    /// they bring.
    pub(super) fn work(&mut self, turn: &mut Turn<'_, P, M>) {
        loop {
            let limit = self.config.requests.max(1);
            let room = self.has_room(Size::default());
            let Some(traffic) = self.traffic.as_deref_mut() else {
                return;
            };
            if traffic.sent.len() >= limit {
                return;
            }
            if room
                && !traffic.wants.is_empty()
                && traffic.pulls() < self.config.pulls.max(1)
                && let Some((to, ids)) = traffic.wants.next(self.number + 1, self.config.batch)
            {
                self.send(to, Sending::Pull(ids.into()), turn.out);
                continue;
            }
            let Some(waiting) = traffic.next_waiting() else {
                break;
            };
            self.spread(turn, waiting);
        }
        self.spread_calm(turn);
        if self.traffic.as_deref().is_some_and(Traffic::is_empty) {
            self.traffic = None;
        }
    }

    /// Spreads the waiting calm rumors of others, unless calm rumors were spread recently.
    fn spread_calm(&mut self, turn: &mut Turn<'_, P, M>) {
        let now = micros(turn.now);
        while let Some(traffic) = self.traffic.as_deref_mut()
            && !traffic.calm.is_empty()
            && traffic.sent.len() < self.config.requests.max(1)
        {
            if now < self.calm_due {
                if !std::mem::replace(&mut traffic.calm_timer, true) {
                    let after = Duration::from_micros((self.calm_due - now).unsigned_abs());
                    turn.out.push(Output::Timer { after, timer: Timer::Calm });
                }
                return;
            }
            let first = self.number + 1;
            self.spread_all_calm(turn);
            let requests = first..=self.number;
            if let Some(traffic) = self.traffic.as_deref_mut().filter(|_| !requests.is_empty()) {
                traffic.calm_turn = Some((requests, turn.now));
                self.calm_due = micros(turn.now + self.config.calm_interval * pause::LONGEST);
            }
        }
    }

    /// Spreads the waiting calm rumors of others together. A single one is spread like any other rumor; several are
    /// offered, so that each of a few peers gets one request for all of them.
    fn spread_all_calm(&mut self, turn: &mut Turn<'_, P, M>) {
        let Some(traffic) = self.traffic.as_deref_mut() else { return };
        if traffic.calm.len() == 1
            && let Some(waiting) = traffic.next_calm()
        {
            return self.spread(turn, waiting);
        }
        let mut ids = Vec::new();
        while ids.len() < self.config.batch.max(1)
            && let Some(QueuedRumor { id, .. }) = traffic.next_calm()
        {
            // a rumor that is no longer held was too old
            if let Some(held) = self.store.get_mut(&id) {
                held.waiting = false;
                ids.push(id);
            }
        }
        if !ids.is_empty() {
            let (ids, count) = (ids.into(), self.calm_count(turn.fanout));
            for peer in choose_around(turn.view, self.me, neighbours_among(count), count, None, turn.chance) {
                // comparison replaces an offer that fails
                self.offer(turn, peer, &ids, 0);
            }
        }
    }

    /// Notes the end of a request. The first one to end among those that sent calm rumors shows how long requests take
    /// at present, which decides when calm rumors are next spread.
    pub(super) fn calm_answered(&mut self, now: Duration, number: u64) {
        let Some(traffic) = self.traffic.as_deref_mut() else { return };
        let Some((_, began)) = traffic.calm_turn.take_if(|(requests, _)| requests.contains(&number)) else { return };
        let due = micros(pause::due(began, now, self.config.calm_interval));
        if due < self.calm_due {
            self.calm_due = due;
            // the timer has to be set again for the earlier time
            traffic.calm_timer = false;
        }
    }

    /// Returns the number of peers for a calm rumor.
    fn calm_count(&self, fanout: usize) -> usize {
        fanout.min(self.config.calm_fanout).max(1)
    }

    /// Notes that the timer for calm rumors has expired or was lost.
    pub(super) fn forget_calm_timer(&mut self) {
        if let Some(traffic) = self.traffic.as_deref_mut() {
            traffic.calm_timer = false;
        }
    }

    pub(super) fn spread(&mut self, turn: &mut Turn<'_, P, M>, QueuedRumor { id, size, from }: QueuedRumor<P>) {
        let members = turn.view.len();
        let depth = push_depth(members, turn.fanout);
        let Some(held) = self.store.get_mut(&id) else {
            // It became too old while it waited, or was reissued.
            if matches!(&id, Id::Numbered { origin, .. } if *origin == self.me) {
                self.traffic_mut().settle(&id, turn.out);
            }
            return;
        };
        held.waiting = false;
        let eager = size.wire <= self.config.eager_bytes;
        let young = held.hop < depth;
        // A young rumor goes to as many peers as the group's fan-out. For an older one that would be wasteful, as most
        // peers have it.
        let (own, calm) = (held.own, held.urgency.is_calm());
        let count = if calm {
            self.calm_count(turn.fanout)
        } else if young {
            turn.fanout.max(1)
        } else {
            AROUND + if eager { self.config.pushes } else { self.config.offers }
        };
        let around = if own { 0 } else { neighbours_among(count) };
        if !young && !eager {
            let (ids, from) = if calm { (Arc::from([id]), from) } else { self.gather(id, from, depth) };
            for peer in choose_around(turn.view, self.me, around, count, from, turn.chance) {
                self.offer(turn, peer, &ids, REPLACEMENTS);
            }
            return;
        }
        let peers = choose_around(turn.view, self.me, around, count, from, turn.chance);
        if own && let Id::Numbered { incarnation, sequence, .. } = &id {
            // One more than there are pushes, settled below, so that a rumor without peers settles, too.
            self.traffic_mut().own.insert((*incarnation, *sequence), peers.len() + 1);
        }
        for peer in peers {
            self.push(turn, peer, &id, own);
        }
        if own {
            self.traffic_mut().settle(&id, turn.out);
        }
    }

    /// Takes the next rumors from the queue as long as they have to be offered, too: they go to the same peers in the
    /// same requests.
    pub(super) fn gather(&mut self, id: Id<P>, from: Option<P>, depth: u32) -> (Arc<[Id<P>]>, Option<P>) {
        let Gossip { traffic, store, config, .. } = self;
        let mut ids = vec![id];
        while let Some(traffic) = traffic.as_deref_mut()
            && ids.len() < config.batch.max(1)
            && let Some(next) = traffic.queue.front()
            && let Some(held) = store.get_mut(&next.id)
            && held.hop >= depth
            && held.size.wire > config.eager_bytes
            && !held.urgency.is_calm()
            && let Some(next) = traffic.next_waiting()
        {
            held.waiting = false;
            ids.push(next.id);
        }
        let from = from.filter(|_| ids.len() == 1);
        (ids.into(), from)
    }

    pub(super) fn push(&mut self, turn: &mut Turn<'_, P, M>, to: P, id: &Id<P>, first: bool) {
        let Some(held) = self.store.get_mut(id) else {
            return;
        };
        if turn.view.is_reference(to) {
            if held.pushed_to.contains(&to) {
                return;
            }
            held.pushed_to.push(to);
        }
        let rumor = rumor(id, held, micros(turn.now));
        let token = self.sending(to, Sending::Push { id: Box::new(id.clone()), first });
        turn.out.push(Output::Send { token, to, request: Request::Push(rumor) });
    }

    /// Offers rumors, or pushes them to a reference node.
    pub(super) fn offer(&mut self, turn: &mut Turn<'_, P, M>, to: P, ids: &Arc<[Id<P>]>, replacements: u8) {
        if turn.view.is_reference(to) {
            for id in ids.iter() {
                self.push(turn, to, id, false);
            }
        } else {
            self.send(to, Sending::Offer { ids: ids.clone(), replacements }, turn.out);
        }
    }

    pub(super) fn send(&mut self, to: P, what: Sending<P>, out: &mut Vec<Output<P, M>>) {
        let request = match &what {
            Sending::Offer { ids, .. } => Request::Offer(ids.clone()),
            Sending::Pull(ids) => Request::Pull(ids.clone()),
            Sending::Push { .. } => return,
        };
        let token = self.sending(to, what);
        out.push(Output::Send { token, to, request });
    }

    pub(super) fn sending(&mut self, to: P, what: Sending<P>) -> Token {
        self.number += 1;
        let number = self.number;
        self.traffic_mut().sent.push((number, Sent { to, what }));
        Token { number }
    }
}

/// Returns how many of `count` peers are neighbours. At least one peer is random.
fn neighbours_among(count: usize) -> usize {
    AROUND.min(count.saturating_sub(1))
}

/// Returns a rumor that is held, as it is passed on.
pub(super) fn rumor<P: Clone, M: Clone>(id: &Id<P>, held: &Held<P, M>, now: Birth) -> Rumor<P, M> {
    Rumor {
        id: id.clone(),
        hop: held.hop.saturating_add(1),
        age: held.age(now),
        urgency: held.urgency,
        replay: held.replay,
        former: held.former,
        size: held.size,
        message: held.message.clone(),
    }
}
