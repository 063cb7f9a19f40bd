//! Asking peers that an operator put in a group and that nobody has heard from.
//!
//! Until somebody has an answer from it, a peer that was put is neither probed in turn nor accused: a group may list
//! nodes that were never started. But it must be asked soon, or a node that dies soon after it was put would never be
//! missed. All members that list it share this work without talking about it: each draws, from a hash of itself and the
//! peer's block, when it would ask, so that as a rule one node asks all peers of a block at once, tells the others what
//! it heard, and spares them the asking.
//!
//! A node asks at most [`SwimConfig::asks`](super::SwimConfig::asks) peers a period. A peer that does not answer is
//! reported as unreachable, and asked again after a pause that grows with the number of members that share the asking.

use std::time::Duration;

use rand::{Rng, RngExt};

use super::interface::{MemberEvent, Output, Timer};
use super::machine::{Swim, second};
use super::standing::{Member, Status};
use crate::peer_id::{PeerId, mix};

/// How many peers one node asks at once, as a rule.
const BLOCK: usize = 64;

/// By the latest, a node asks after so many periods by itself, whoever else should have.
const PATIENCE: u32 = 2;

/// How many nodes share the first asking of a peer in one period, on average, if nobody answers. A guess: with 5 the
/// first asks after a fifth of a period.
const ASKERS: f64 = 5.0;

/// How long a node waits at most, in periods, before it asks a peer that is known to live. A guess: what another learns
/// meanwhile has come to this node by then, and at one second a period this is one gossip tick.
const SOON: f64 = 0.2;

impl<P: PeerId> Swim<P> {
    /// Decides when to ask a peer that was put. Not before all are known that were put with it, as their number
    /// decides.
    fn plan_ask<R: Rng + ?Sized>(&mut self, now: Duration, peer: P, chance: &mut R) {
        let interval = self.config.probe_interval;
        let listed = self.known + self.unheard + 1;
        let blocks = listed.div_ceil(BLOCK) as u64;
        let block = mix(peer.bits()) % blocks;
        // From 0 to 1, the same for all peers of a block, unlike that of any other node.
        let place = mix(self.me.bits() ^ mix(block.wrapping_add(1))) as f64 / u64::MAX as f64;
        let turn = interval.mul_f64(place * listed as f64 / ASKERS).min(interval * PATIENCE);
        // A little apart, so that what is put everywhere at once is not asked before it is put here, too.
        let jitter = interval.mul_f64(chance.random_range(0.0..0.05));
        self.asks.insert((now + turn + jitter, peer));
    }

    /// A peer that nobody has heard from has answered a call without a statement, so it lives. When a group is put
    /// everywhere, every member sees this of several others at once: each waits for a while of its own, in which
    /// another may have asked and told it.
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
            // at once, to draw when those that were put just now are asked
            _ if !self.put.is_empty() => now,
            Some((at, _)) => now.max(*at).max(budget),
            None => return,
        };
        if self.running && self.ask_due.is_none_or(|due| at < due) {
            self.ask_due = Some(at);
            self.set_timer(at, Timer::Ask);
        }
    }

    /// Asks all that are due, within the budget of this period.
    pub(super) fn ask_unheard<R: Rng + ?Sized>(&mut self, now: Duration, chance: &mut R) {
        if self.ask_due.is_none_or(|due| now < due) {
            // An earlier timer took its place.
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
                // Somebody heard from it, or it was removed.
                continue;
            }
            self.ask_budget.1 += 1;
            self.probe(now, peer, false);
            // Again after a while: all who list it take turns.
            let listed = (self.known + self.unheard + 1) as f64;
            let pause = self.config.reconnect_interval.max(interval.mul_f64(listed / ASKERS));
            self.asks.insert((now + pause.mul_f64(chance.random_range(0.75..1.25)), peer));
        }
    }

    /// A peer that nobody has heard from did not answer.
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
