//! Asking peers that an operator put in a group and that no member has heard from.
//!
//! Until a member has an answer from it, a peer that was put is neither probed in turn nor accused, because a group can
//! list nodes that were never started. But it must be asked soon: otherwise the failure of a node soon after it was put
//! would never be noticed. All members that list the peer share this work without messages about it. Each computes,
//! from a hash of itself and the peer's block, when it would ask, so that usually one node asks all peers of a block at
//! once, tells the others what it learned, and saves them the requests.
//!
//! A node asks at most [`SwimConfig::asks`](super::SwimConfig::asks) peers per period. A peer that does not answer is
//! reported as unreachable, and asked again after a pause that grows with the number of members that share the work.

use std::time::Duration;

use rand::{Rng, RngExt};

use super::interface::{MemberEvent, Output, Timer};
use super::machine::{Swim, second};
use super::standing::{Member, Status};
use crate::peer_id::{PeerId, mix};

/// The number of peers in a block, which one node usually asks at once.
const BLOCK: usize = 64;

/// The number of periods after which a node asks in any case.
const PATIENCE: u32 = 2;

/// The average number of nodes that ask a peer in the first period, if it does not answer. A guess: with 5, the first
/// node asks after a fifth of a period.
const ASKERS: f64 = 5.0;

/// The longest time, in periods, that a node waits before it asks a peer that is known to be alive. A guess: this node
/// has learned by then what another has learned meanwhile. With a period of one second, it is one gossip tick.
const SOON: f64 = 0.2;

impl<P: PeerId> Swim<P> {
    /// Decides when to ask a peer that was put. This waits until all peers are known that were put with it, because it
    /// depends on their number.
    fn plan_ask<R: Rng + ?Sized>(&mut self, now: Duration, peer: P, chance: &mut R) {
        let interval = self.config.probe_interval;
        let listed = self.known + self.unheard + 1;
        let blocks = listed.div_ceil(BLOCK) as u64;
        let block = mix(peer.bits()) % blocks;
        // A number from 0 to 1 that is the same for all peers of a block, and differs between nodes.
        let place = mix(self.me.bits() ^ mix(block.wrapping_add(1))) as f64 / u64::MAX as f64;
        let turn = interval.mul_f64(place * listed as f64 / ASKERS).min(interval * PATIENCE);
        // A small random delay, so that nodes that are put everywhere at once are not asked before they are put here,
        // too.
        let jitter = interval.mul_f64(chance.random_range(0.0..0.05));
        self.asks.insert((now + turn + jitter, peer));
    }

    /// Asks a peer soon that no member has heard from, because it has answered a call without a statement and so is
    /// alive. When a group is put everywhere, every member sees this of several others at once. Each waits for a random
    /// time, in which another member may ask and tell it.
    pub(super) fn ask_soon<R: Rng + ?Sized>(&mut self, now: Duration, peer: P, chance: &mut R) {
        self.put.retain(|other| *other != peer);
        self.asks.retain(|(_, other)| *other != peer);
        let pause = self.config.probe_interval.mul_f64(chance.random_range(0.0..SOON));
        self.asks.insert((now + pause, peer));
    }

    /// Sets the timer for the next ask, unless it is set.
    pub(super) fn arm_ask(&mut self, now: Duration) {
        let spent = self.ask_budget.1 >= self.config.asks;
        let budget = if spent { self.ask_budget.0 + self.config.probe_interval } else { Duration::ZERO };
        let at = match self.asks.first() {
            // at once, to decide when the peers that were just put are asked
            _ if !self.put.is_empty() => now,
            Some((at, _)) => now.max(*at).max(budget),
            None => return,
        };
        if self.running && self.ask_due.is_none_or(|due| at < due) {
            self.ask_due = Some(at);
            self.set_timer(at, Timer::Ask);
        }
    }

    /// Asks the peers that are due, within the budget of this period.
    pub(super) fn ask_unheard<R: Rng + ?Sized>(&mut self, now: Duration, chance: &mut R) {
        if self.ask_due.is_none_or(|due| now < due) {
            // An earlier timer has replaced this one.
            return;
        }
        self.ask_due = None;
        for peer in std::mem::take(&mut self.put) {
            self.plan_ask(now, peer, chance);
        }
        let interval = self.config.probe_interval;
        if now >= self.ask_budget.0 + interval {
            self.ask_budget = (now, 0);
        }
        while let Some((at, peer)) = self.asks.first().copied()
            && at <= now
            && self.ask_budget.1 < self.config.asks
        {
            self.asks.pop_first();
            if !matches!(self.status(&peer), Some(Status::Pending | Status::Unreachable)) {
                // A member heard from it, or it was removed.
                continue;
            }
            self.ask_budget.1 += 1;
            self.probe(now, peer, false);
            // Ask again after a while. All nodes that list the peer take turns.
            let listed = (self.known + self.unheard + 1) as f64;
            let pause = self.config.reconnect_interval.max(interval.mul_f64(listed / ASKERS));
            self.asks.insert((now + pause.mul_f64(chance.random_range(0.75..1.25)), peer));
        }
    }

    /// Handles the failure to reach a peer that no member has heard from.
    pub(super) fn not_heard<R: Rng + ?Sized>(&mut self, now: Duration, peer: P, chance: &mut R) {
        let Ok(at) = self.position(&peer) else {
            return;
        };
        // Another member may have heard from it, or have removed it before this node listed it.
        let able = |member: &&Member<P>| member.status() == Status::Alive && !member.incarnation.is_passive();
        let count = self.members.iter().filter(able).count();
        if count > 0
            && let Some(via) = self.members.iter().filter(able).nth(chance.random_range(0..count))
        {
            let via = via.peer;
            self.outbox.push(Output::Inquire { via, peer, timeout: self.whole_timeout() });
        }
        let member = &mut self.members[at];
        if member.status() == Status::Pending {
            member.unreachable = true;
            member.second = second(now);
            self.outbox.push(Output::Event(MemberEvent::Unreachable { peer }));
        }
    }
}
