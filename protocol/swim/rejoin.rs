//! Probes of removed peers, and messages to those that do not know that they were removed.

use std::time::Duration;

use rand::{Rng, RngExt};

use super::interface::Timer;
use super::machine::{Swim, second};
use super::standing::Status;
use crate::peer_id::PeerId;

impl<P: PeerId> Swim<P> {
    /// Tells a peer, at most once a second, that it was removed, because it seems not to know.
    pub(super) fn remind_removed(&mut self, now: Duration, peer: P) {
        let Ok(at) = self.position(&peer) else {
            return;
        };
        if self.members[at].second == second(now) {
            return;
        }
        self.members[at].second = second(now);
        if let Some(held) = self.held_against(&peer) {
            self.tell(peer, held);
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

    /// Sets the timer for probing removed peers, unless it is set or there are no such peers.
    pub(super) fn keep_reconnecting(&mut self, now: Duration) {
        let wanted = self.running && !self.reconnecting;
        if wanted && self.members.iter().any(|member| member.status() == Status::Failed) {
            self.reconnecting = true;
            self.set_timer(now + self.config.reconnect_interval, Timer::Reconnect);
        }
    }
}
