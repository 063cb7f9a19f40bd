//! Coming back, and mending what gossip has missed: tries at removed peers, and exchanges of whole views.

use std::fmt::Debug;
use std::time::Duration;

use rand::{Rng, RngExt};

use super::machine::second;
use super::standing::Member;
use super::{Output, Status, Swim, Timer, Update};

impl<P: Copy + Ord + Debug> Swim<P> {
    /// Exchanges views with one who seems not to know that it was removed, at most once a second.
    pub(super) fn ask_exchange(&mut self, now: Duration, peer: P) {
        let (running, timeout) = (self.running, self.whole_timeout());
        let Ok(at) = self.members.binary_search_by(|member| member.peer.cmp(&peer)) else {
            return;
        };
        if running && self.members[at].second != second(now) {
            self.members[at].second = second(now);
            self.outbox.push(Output::Exchange { peer, timeout });
        }
    }

    pub(super) fn exchanged<R: Rng + ?Sized>(&mut self, now: Duration, from: P, view: Vec<Update<P>>, chance: &mut R) {
        let mut named: Vec<P> = view.iter().map(|update| update.peer).collect();
        named.sort_unstable();
        // A newcomer that is handed the list has nobody to tell, not even of who handed it: those named know each other.
        // Where two halves meet, both have; and one that was known before may be known for dead to others.
        let known = self.find(&from).is_some();
        let others = self
            .members
            .iter()
            .any(|member| member.status() == Status::Alive && named.binary_search(&member.peer).is_err());
        for update in view {
            let first_hand = known && update.peer == from;
            let news = self.learn(now, update, chance);
            if news && update.peer != self.me && (others || first_hand) {
                self.broadcast(update);
            }
        }
    }

    pub(super) fn reconnect<R: Rng + ?Sized>(&mut self, now: Duration, chance: &mut R) {
        self.reconnecting = false;
        let failed = || self.members.iter().filter(|member| member.status() == Status::Failed);
        let count = failed().count();
        if count > 0 {
            let chosen = failed().nth(chance.random_range(0..count)).map(|member| member.peer);
            if let Some(peer) = chosen {
                self.probe(now, peer, false);
            }
            self.keep_reconnecting(now);
        }
    }

    /// Sets the timer for trying removed peers, unless it is set or there are none.
    pub(super) fn keep_reconnecting(&mut self, now: Duration) {
        let wanted = self.running && !self.reconnecting;
        if wanted && self.members.iter().any(|member| member.status() == Status::Failed) {
            self.reconnecting = true;
            self.set_timer(now + self.config.reconnect_interval, Timer::Reconnect);
        }
    }

    pub(super) fn exchange<R: Rng + ?Sized>(&mut self, now: Duration, chance: &mut R) {
        let able = |member: &&Member<P>| member.status() == Status::Alive && !member.incarnation.is_mute();
        let count = self.members.iter().filter(able).count();
        if count > 0
            && let Some(member) = self.members.iter().filter(able).nth(chance.random_range(0..count))
        {
            self.outbox.push(Output::Exchange { peer: member.peer, timeout: self.whole_timeout() });
        }
        self.set_timer(now + self.config.exchange_interval, Timer::Exchange);
    }
}
