//! Entering a group: a newcomer learns the history, so that it does not perform earlier rumors.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use super::choice::following;
use super::gossip::Gossip;
use super::message::{Answer, History, Id, Request};
use super::stage::{Candidate, Earlier, Entering, Open, Stage};
use super::turn::Turn;
use super::{Output, Timer, Token, micros};
use crate::peer_id::PeerId;

/// The number of peers that a newcomer asks first. One that has entered is enough; the others are for the case of loss.
const FIRST: usize = 3;

/// The most peers that a newcomer asks, besides the one through which it enters.
const MOST: usize = 8;

/// The number of rounds in [`GossipConfig::entry_silence`](super::GossipConfig::entry_silence) in which silent peers
/// are asked.
const ROUNDS: u32 = 3;

/// The number of ids in a page of history, in pages of a comparison. It is large, because an operator waits for the
/// entry.
const PAGES: usize = 4;

impl<P: PeerId, M: Clone> Gossip<P, M> {
    /// Returns whether this node has entered, so that it performs, pulls and compares rumors.
    pub fn has_entered(&self) -> bool {
        matches!(self.stage, Stage::Inside)
    }

    /// Begins to enter the group, if the node has not entered and there are other members.
    pub(super) fn enter(&mut self, turn: &mut Turn<'_, P, M>, through: Option<P>) {
        if self.config.replay && !self.has_entered() {
            return self.entered(turn, Earlier::default());
        }
        let through = through.filter(|peer| *peer != self.me && !turn.view.is_reference(*peer));
        match &mut self.stage {
            Stage::Inside => turn.out.push(Output::Entered),
            Stage::Entering(entering) => {
                let Some(peer) = through else { return };
                entering.alive = true;
                if entering.candidates.iter().any(|candidate| candidate.peer == peer) {
                    return;
                }
                // before those that have not been asked
                entering.candidates.insert(entering.asked, Candidate::new(peer));
                self.ask_candidates(1, turn.out);
            }
            Stage::Outside => {
                let drawn = following(turn.view, self.me, MOST, through);
                if drawn.is_empty() && through.is_none() {
                    return turn.out.push(Output::Entered);
                }
                let peers = through.into_iter().chain(drawn);
                // reference nodes have no history
                let peers = peers.filter(|peer| !turn.view.is_reference(*peer));
                let candidates: Vec<_> = peers.map(Candidate::new).collect();
                if candidates.is_empty() {
                    return self.entered(turn, Earlier::default());
                }
                self.stage = Stage::Entering(Box::new(Entering {
                    begun: micros(turn.now),
                    alive: through.is_some(),
                    candidates,
                    asked: 0,
                    open: Vec::new(),
                    earlier: Earlier::default(),
                }));
                turn.out.push(Output::Timer { after: self.entry_round(), timer: Timer::Entry });
                self.ask_candidates(FIRST, turn.out);
            }
        }
    }

    fn entry_round(&self) -> Duration {
        (self.config.entry_silence / ROUNDS).max(Duration::from_millis(1))
    }

    /// Asks the next candidates.
    fn ask_candidates(&mut self, count: usize, out: &mut Vec<Output<P, M>>) {
        for _ in 0..count {
            let Stage::Entering(entering) = &mut self.stage else { return };
            let at = entering.asked;
            if at >= entering.candidates.len() {
                return;
            }
            entering.asked += 1;
            self.ask_for_history(at, out);
        }
    }

    fn ask_for_history(&mut self, at: usize, out: &mut Vec<Output<P, M>>) {
        let Stage::Entering(entering) = &mut self.stage else { return };
        let Some(candidate) = entering.candidates.get(at) else { return };
        self.number += 1;
        entering.open.push(Open { number: self.number, to: at, page: candidate.pages });
        let (to, after) = (candidate.peer, candidate.after.clone());
        out.push(Output::Send { token: Token { number: self.number }, to, request: Request::Enter { after } });
    }

    /// Handles the answer to a request for history, or its failure. Returns whether the token belongs to such a
    /// request.
    pub(super) fn entry_answer(
        &mut self,
        turn: &mut Turn<'_, P, M>,
        token: Token,
        answer: Option<&mut Answer<P, M>>,
    ) -> bool {
        let Stage::Entering(entering) = &mut self.stage else { return false };
        let Some(place) = entering.open.iter().position(|open| open.number == token.number) else { return false };
        let Open { to: at, page, .. } = entering.open.swap_remove(place);
        // the next round repeats a request that failed
        let Some(Answer::Seen(history)) = answer else { return true };
        let History { entered, incarnation, ids, more } = std::mem::take(history);
        let last = ids.last().cloned();
        for id in ids {
            entering.earlier.add(id, &self.config);
        }
        entering.alive |= entered;
        let Some(candidate) = entering.candidates.get_mut(at).filter(|candidate| candidate.pages == page) else {
            return true;
        };
        candidate.pages += 1;
        // a page that does not advance would be requested endlessly
        let goes_on = more && last.is_some() && last > candidate.after;
        candidate.done |= !goes_on;
        if goes_on {
            candidate.after = last;
        }
        let (done, waits) = (candidate.done, entering.candidates.iter().take(entering.asked).any(|other| !other.done));
        if let Some(life) = incarnation {
            self.make_room_above(turn.now, life, self.sequence == 0);
        }
        if !done {
            self.ask_for_history(at, turn.out);
        } else if entered {
            self.finish_entry(turn);
        } else if !waits {
            self.ask_candidates(MOST, turn.out);
            let Stage::Entering(entering) = &self.stage else { return true };
            if entering.candidates.iter().all(|candidate| candidate.done) {
                // all members are as new as this node
                self.finish_entry(turn);
            }
        }
        true
    }

    /// Asks silent peers again, and further peers, while there is time.
    pub(super) fn entry_timer(&mut self, turn: &mut Turn<'_, P, M>) {
        let Stage::Entering(entering) = &mut self.stage else { return };
        let limit =
            if entering.alive { self.config.entry_time } else { self.config.entry_silence.min(self.config.entry_time) };
        let left = micros(limit) - (micros(turn.now) - entering.begun);
        if left <= 0 {
            return self.finish_entry(turn);
        }
        let silent: Vec<usize> = (0..entering.asked).filter(|at| !entering.candidates[*at].done).collect();
        let after = self.entry_round().min(Duration::from_micros(left.unsigned_abs()));
        turn.out.push(Output::Timer { after, timer: Timer::Entry });
        for at in silent {
            self.ask_for_history(at, turn.out);
        }
        self.ask_candidates(MOST, turn.out);
    }

    fn finish_entry(&mut self, turn: &mut Turn<'_, P, M>) {
        let Stage::Entering(entering) = &mut self.stage else { return };
        for Open { number, .. } in entering.open.drain(..) {
            turn.out.push(Output::Cancel { token: Token { number } });
        }
        let earlier = std::mem::take(&mut entering.earlier);
        self.entered(turn, earlier);
    }

    fn entered(&mut self, turn: &mut Turn<'_, P, M>, mut earlier: Earlier<P>) {
        self.stage = Stage::Inside;
        if earlier.size() != (0, 0) {
            earlier.until = micros(turn.now) + micros(self.config.retained_age) + 2 * micros(self.config.transit);
            self.earlier = Some(Box::new(earlier));
        }
        turn.out.push(Output::Entered);
        self.wake(turn);
    }

    /// Returns a page of the history for a newcomer.
    pub(super) fn history(&self, newcomer: Option<P>, after: Option<&Id<P>>, now: Duration) -> History<P> {
        let limit = self.config.page.max(1).saturating_mul(PAGES);
        // older rumors are rejected everywhere
        let oldest = micros(now) - micros(self.config.retained_age) - 2 * micros(self.config.transit);
        let mut ids: Vec<Id<P>> = Vec::new();
        let (lives, opaque) = match after {
            None => (Some(Bound::Unbounded), Bound::Unbounded),
            Some(Id::Numbered { origin, incarnation, .. }) => {
                (Some(Bound::Excluded((*origin, *incarnation))), Bound::Unbounded)
            }
            Some(Id::Opaque(text)) => (None, Bound::Excluded(text.clone())),
        };
        if let Some(from) = lives {
            // each source gives its first ids, so the first ids of all are among them
            let mut first: BTreeMap<(P, u64), u64> = BTreeMap::new();
            let mut add = |key, sequence| {
                let last = first.entry(key).or_insert(sequence);
                *last = sequence.max(*last);
            };
            self.seen.lives_after(from, oldest).take(limit + 1).for_each(|(key, sequence)| add(key, sequence));
            if let Some(earlier) = &self.earlier {
                let range = earlier.lives.range((from, Bound::Unbounded)).take(limit + 1);
                range.for_each(|(key, sequence)| add(*key, *sequence));
            }
            let own = (self.me, self.incarnation);
            let is_after = match from {
                Bound::Excluded(after) => own > after,
                _ => true,
            };
            if self.sequence > 0 && is_after {
                add(own, self.sequence);
            }
            ids.extend(first.into_iter().map(|((origin, incarnation), sequence)| Id::Numbered {
                origin,
                incarnation,
                sequence,
            }));
        }
        if ids.len() <= limit {
            let mut first: BTreeSet<Arc<str>> =
                self.seen.opaque_after(opaque.as_ref()).take(limit + 1).cloned().collect();
            if let Some(earlier) = &self.earlier {
                let range = earlier.opaque.range::<str, _>((opaque.as_ref().map(|text| &**text), Bound::Unbounded));
                first.extend(range.take(limit + 1).cloned());
            }
            ids.extend(first.into_iter().map(Id::Opaque));
        }
        let more = ids.len() > limit;
        ids.truncate(limit);
        let incarnation = newcomer.and_then(|newcomer| self.seen.latest(newcomer));
        History { entered: self.has_entered(), incarnation, ids, more }
    }
}
