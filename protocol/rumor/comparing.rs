//! Comparing with a random peer once per tick.

use rand::RngExt;

use super::choice::choose;
use super::gossip::Gossip;
use super::message::{Answer, Id, Page, Request, Stretch};
use super::seen::Birth;
use super::stage::Stage;
use super::traffic::Sending;
use super::turn::Turn;
use super::{Output, Timer, Token, micros};
use crate::peer_id::PeerId;

/// The number of the youngest rumors that a reference node may be sent in a tick. It remembers its last ten ids. If
/// both nodes receive about the same rumors, it has not forgotten the last five of this node.
const REFERENCE_YOUNGEST: usize = 5;

/// The number of ticks after a rumor's birth during which it is sent to reference nodes in this way. Some node draws
/// each of them about once per tick.
const REFERENCE_TICKS: u32 = 10;

impl<P: PeerId, M: Clone> Gossip<P, M> {
    pub(super) fn tick(&mut self, turn: &mut Turn<'_, P, M>) {
        let members = turn.view.len();
        let stretch = self.pace.stretch(members, &self.config);
        let ticks = self.pace.ticks(members, &self.config).saturating_mul(stretch);
        let after = (self.tick_length() * ticks).mul_f64(turn.chance.random_range(0.9..1.1));
        self.pace.set(micros(turn.now + after));
        turn.out.push(Output::Timer { after, timer: Timer::Tick });
        self.expire(turn.now);
        match self.stage {
            Stage::Outside => self.enter(turn, None),
            Stage::Entering(_) => return,
            Stage::Inside => {}
        }
        if stretch > 1 || !self.has_entered() {
            return;
        }
        // Usually one peer is drawn. A reference node cannot compare: it is sent what it may have missed, and another
        // peer is drawn.
        let mut missed = false;
        for peer in choose(turn.view, self.me, 4, None, turn.chance) {
            if turn.view.is_reference(peer) {
                missed |= self.push_missed(turn, peer);
            } else {
                return self.compare_with(turn, peer);
            }
        }
        // there is no peer to compare with
        if missed {
            self.pace.quicken();
        } else {
            self.pace.same();
        }
    }

    pub(super) fn compare_with(&mut self, turn: &mut Turn<'_, P, M>, peer: P) {
        self.pace.compared = micros(turn.now);
        self.number += 1;
        self.comparison = self.number;
        let after = self.resume.as_deref().cloned();
        self.request_page(peer, after, turn.out);
    }

    /// Handles the statement of a peer that it holds something else.
    pub(super) fn differs(&mut self, turn: &mut Turn<'_, P, M>, peer: P) {
        let since = micros(turn.now).saturating_sub(self.pace.compared);
        let usable = peer != self.me && !turn.view.is_reference(peer) && self.has_entered();
        if usable && since >= micros(self.tick_length()) {
            self.wake(turn);
            self.compare_with(turn, peer);
        }
    }

    /// Notes that something is new, so that the node compares once per tick again.
    pub(super) fn wake(&mut self, turn: &mut Turn<'_, P, M>) {
        self.pace.quicken();
        let (now, tick) = (micros(turn.now), self.tick_length());
        if self.pace.is_late(now + micros(tick.mul_f64(1.1))) {
            // a random time within a tick, because all nodes that receive the same rumor are woken at about the same
            // time
            let after = tick.mul_f64(turn.chance.random_range(0.0..1.0));
            self.pace.set(micros(turn.now + after));
            turn.out.push(Output::Timer { after, timer: Timer::Tick });
        }
    }

    pub(super) fn request_page(&self, to: P, after: Option<Id<P>>, out: &mut Vec<Output<P, M>>) {
        let token = Token { number: self.comparison };
        out.push(Output::Send { token, to, request: Request::Compare { hash: self.store.hash(), after } });
    }

    pub(super) fn compared(&mut self, turn: &mut Turn<'_, P, M>, from: P, answer: Answer<P, M>) {
        self.comparison = 0;
        match answer {
            Answer::Differs(page) => {
                self.wake(turn);
                self.compare(turn, from, page);
            }
            Answer::Same => {
                self.resume = None;
                self.pace.same();
            }
            _ => self.pace.failed(),
        }
    }

    /// Handles a page of what a peer holds: pulls what this node lacks, and offers what the peer lacks.
    fn compare(&mut self, turn: &mut Turn<'_, P, M>, from: P, page: Page<P>) {
        let Page { after, held, next } = page;
        for stretch in &held {
            if let Stretch::Numbered { origin, incarnation, last, .. } = stretch
                && *origin == self.me
            {
                // an earlier process had this life or a later one
                self.make_room_above(turn.now, *incarnation, *last > self.sequence);
            }
        }
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
                Stretch::Opaque(text) => {
                    self.note(&Id::Opaque(text), from, true);
                }
                Stretch::Numbered { origin, incarnation, first, last } => {
                    for sequence in first..=last {
                        // A stretch of any length takes a few bytes, so handling it is bounded separately.
                        if room == 0 {
                            break;
                        }
                        room -= 1;
                        self.note(&Id::Numbered { origin, incarnation, sequence }, from, true);
                    }
                }
            }
        }
        // Offer one batch per page: the next tick finds the rest.
        lacking.truncate(self.config.batch.max(1));
        if !lacking.is_empty() {
            self.send(from, Sending::Offer { ids: lacking.into(), replacements: 0 }, turn.out);
        }
        // A page that does not advance would make the comparison endless.
        let next = next.filter(|next| after.is_none_or(|after| *next > after));
        self.resume = next.clone().map(Box::new);
        if next.is_some() {
            self.number += 1;
            self.comparison = self.number;
            self.request_page(from, next, turn.out);
        }
    }

    /// Pushes the youngest rumors to a reference node, which ignores those that it remembers. Returns whether there are
    /// such young rumors.
    pub(super) fn push_missed(&mut self, turn: &mut Turn<'_, P, M>, peer: P) -> bool {
        let oldest: Birth = micros(turn.now) - micros(self.tick_length() * REFERENCE_TICKS);
        let ids: Vec<_> = self.store.youngest().take(REFERENCE_YOUNGEST).cloned().collect();
        let mut young = false;
        for id in ids {
            let Some(held) = self.store.get(&id).filter(|held| held.born >= oldest) else { continue };
            young = true;
            if !held.waiting {
                self.push(turn, peer, &id, false);
            }
        }
        young
    }
}

/// Returns whether all ids of a stretch are less than an id.
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

/// Returns whether a stretch that is not below an id contains the id.
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
