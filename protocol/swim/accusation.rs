//! Accusations, and how they lead to a verdict or are withdrawn.

use std::time::Duration;

use rand::{Rng, RngExt};

use super::interface::Timer;
use super::machine::Swim;
use super::standing::{Claim, Incarnation, Member, Status, Update};
use super::suspicion::Suspicion;
use crate::peer_id::PeerId;

impl<P: PeerId> Swim<P> {
    /// Accuses a member that this node could not reach, directly or through others.
    pub(super) fn accuse(&mut self, now: Duration, peer: P) {
        let Some(member) = self.find(&peer) else {
            return;
        };
        if !member.status().is_known() {
            return;
        }
        let update = Update { peer, incarnation: member.incarnation, claim: Claim::Suspect, by: self.me };
        self.merge(now, update);
        let enough = self.accusers_enough();
        let known = self.suspicions.get(&peer).map_or(0, |suspicion| suspicion.accusers.len());
        let first = self.count_accuser(now, update);
        if let Some(suspicion) = self.suspicions.get_mut(&peer) {
            if std::mem::replace(&mut suspicion.mine, true) {
                suspicion.failures += 1;
            } else {
                for accuser in suspicion.unverified.clone() {
                    self.verify(now, accuser);
                }
            }
        }
        // Lifeguard, IV-B: only as many accusations are sent as can matter.
        if first && known < enough {
            self.broadcast(update);
        }
        self.tell(peer, update);
        self.arm_retry(now, peer);
        self.judge(now, peer);
    }

    /// Handles a refused connection to a peer that no relay reached either. Unlike silence, a refusal is evidence, so
    /// no other node has to confirm it. But a process may be restarting, so there has to be another refusal after
    /// [`restart_time`](super::SwimConfig::restart_time).
    pub(super) fn refused<R: Rng + ?Sized>(&mut self, now: Duration, peer: P, chance: &mut R) {
        let Some(member) = self.find(&peer) else {
            return;
        };
        let (incarnation, by) = (member.incarnation, self.me);
        if member.status().is_known() {
            // The others notice by themselves, or hear the verdict.
            self.merge(now, Update { peer, incarnation, claim: Claim::Suspect, by });
        }
        let suspicion = self.suspicions.entry(peer).or_insert_with(|| Suspicion::new(incarnation, now));
        let since = *suspicion.refused_since.get_or_insert(now);
        if now >= since + self.config.restart_time {
            self.suspicions.remove(&peer);
            let update = Update { peer, incarnation, claim: Claim::Dead, by };
            if self.merge(now, update) {
                self.broadcast(update);
            }
            return;
        }
        // Nodes that notice at the same time should not all decide at the same time.
        let at = since + self.config.restart_time + self.config.probe_interval.mul_f64(chance.random_range(0.0..0.2));
        suspicion.retry_due = Some(at);
        self.set_timer(at, Timer::Retry { peer });
    }

    fn arm_retry(&mut self, now: Duration, peer: P) {
        let at = now + self.config.probe_interval / 2 * (1 + self.health);
        if let Some(suspicion) = self.suspicions.get_mut(&peer)
            && suspicion.retry_due.is_none()
        {
            suspicion.retry_due = Some(at);
            self.set_timer(at, Timer::Retry { peer });
        }
    }

    /// Sets the timer for the next retry. Each failure is further evidence, and one success ends the accusation.
    pub(super) fn retry(&mut self, now: Duration, peer: P) {
        let Some(suspicion) = self.suspicions.get_mut(&peer) else {
            return;
        };
        let Some(due) = suspicion.retry_due else {
            return;
        };
        if now < due {
            self.set_timer(due, Timer::Retry { peer });
            return;
        }
        suspicion.retry_due = None;
        if suspicion.mine || suspicion.refused_since.is_some() {
            let under_way = self.flights.values().any(|flight| flight.peer == peer);
            self.probe(now, peer, false);
            if under_way {
                self.arm_retry(now, peer);
            }
        }
    }

    /// Ends this node's own accusation, because it has reached the peer or heard from it.
    pub(super) fn withdraw(&mut self, peer: &P) {
        let me = self.me;
        if let Some(suspicion) = self.suspicions.get_mut(peer) {
            suspicion.withdraw(me);
        }
    }

    /// Counts the source of a suspicion that is in force. Returns whether the source is new. Nodes that share the
    /// suspicion first probe a source that has never answered them, because a node that is known from others alone has
    /// no vote.
    pub(super) fn count_accuser(&mut self, now: Duration, update: Update<P>) -> bool {
        let bound = self.accusers_enough();
        let in_force = self.find(&update.peer).is_some_and(|member| {
            let known = (member.claim, member.incarnation);
            !member.expelled && known == (Claim::Suspect, update.incarnation)
        });
        if !in_force {
            return false;
        }
        let suspicion = self.suspicions.entry(update.peer).or_insert_with(|| Suspicion::new(update.incarnation, now));
        // Beyond the bound, further accusers do not matter, except this node itself.
        let own = update.by == self.me;
        let verified = own
            || self.members.binary_search_by(|member| member.peer.cmp(&update.by)).is_ok_and(|at| {
                let member = &self.members[at];
                member.answered && member.status().is_known()
            });
        if !verified {
            let fresh = suspicion.unverified.len() <= bound && !suspicion.unverified.contains(&update.by);
            if fresh {
                suspicion.unverified.push(update.by);
                // Only an accuser gives a verdict. If all others probed as well, each accuser in a large group would
                // have to answer the whole group.
                if suspicion.mine {
                    self.verify(now, update.by);
                }
            }
            return fresh;
        }
        match suspicion.accusers.binary_search(&update.by) {
            Err(at) if own || suspicion.accusers.len() <= bound => {
                suspicion.accusers.insert(at, update.by);
                true
            }
            Ok(_) | Err(_) => false,
        }
    }

    /// Probes an accuser that has never answered this node.
    fn verify(&mut self, now: Duration, accuser: P) {
        if self.is_member(&accuser) {
            self.probe(now, accuser, false);
        }
    }

    /// Counts the accusations of a peer that has answered this node for the first time.
    pub(super) fn admit_votes(&mut self, now: Duration, voter: P) {
        let waiting = self.suspicions.iter_mut().filter(|(_, suspicion)| suspicion.unverified.contains(&voter));
        let accused: Vec<(P, Incarnation)> = waiting
            .map(|(peer, suspicion)| {
                suspicion.unverified.retain(|by| *by != voter);
                (*peer, suspicion.incarnation)
            })
            .collect();
        for (peer, incarnation) in accused {
            self.count_accuser(now, Update { peer, incarnation, claim: Claim::Suspect, by: voter });
            self.judge(now, peer);
        }
    }

    /// Lets a few of the nodes that hear of a suspicion probe the peer, unless it is confirmed already.
    pub(super) fn bear_witness<R: Rng + ?Sized>(&mut self, now: Duration, peer: P, chance: &mut R) {
        let Some(suspicion) = self.suspicions.get(&peer) else {
            return;
        };
        if !self.running || !self.is_member(&peer) || suspicion.mine {
            return;
        }
        // Most nodes draw that they need not probe, and need not count the accusers.
        let drawn = chance.random_range(0..self.known.max(1) as u64);
        if drawn < u64::from(self.config.witnesses)
            && suspicion.accusers.len() < self.accusers_needed(self.voices(&peer))
        {
            self.probe(now, peer, false);
        }
    }

    /// Handles a timer for the verdict, which can be an earlier one.
    pub(super) fn verdict_due(&mut self, now: Duration, peer: P) {
        if let Some(suspicion) = self.suspicions.get_mut(&peer) {
            suspicion.verdict_due = None;
        }
        self.judge(now, peer);
    }

    /// Gives the verdict if this node may and it is time. Otherwise makes sure that it checks again.
    pub(super) fn judge(&mut self, now: Duration, peer: P) {
        let voices = self.voices(&peer);
        let needed = self.accusers_needed(voices);
        let group = 1 + self.known;
        let Some(suspicion) = self.suspicions.get_mut(&peer) else {
            return;
        };
        if !suspicion.mine {
            return;
        }
        let confirmed = suspicion.accusers.len().saturating_sub(1);
        let due = suspicion.since + self.config.suspicion_time(group, confirmed, needed - 1);
        if now < due {
            if suspicion.verdict_due != Some(due) {
                suspicion.verdict_due = Some(due);
                self.set_timer(due, Timer::Verdict { peer });
            }
            return;
        }
        if suspicion.accusers.len() < needed || suspicion.failures == 0 {
            // This is checked again with each confirmation and each failed retry.
            return;
        }
        let incarnation = suspicion.incarnation;
        let update = Update { peer, incarnation, claim: Claim::Dead, by: self.me };
        if self.merge(now, update) {
            self.broadcast(update);
        }
    }

    /// Returns how many nodes could confirm a suspicion of `peer`: this node, and all others that are not passive, have
    /// answered this node, and are not under suspicion themselves.
    fn voices(&self, peer: &P) -> usize {
        let able = |member: &&Member<P>| {
            let takes_part = member.answered && !member.incarnation.is_passive();
            member.status() == Status::Alive && takes_part && member.peer != *peer
        };
        1 + self.members.iter().filter(able).count()
    }

    /// Returns how many accusers a verdict needs: all that could confirm, or as many as are configured.
    fn accusers_needed(&self, voices: usize) -> usize {
        self.accusers_enough().min(voices)
    }

    /// Returns how many accusers a verdict needs in a large group.
    fn accusers_enough(&self) -> usize {
        self.config.confirmations as usize + 1
    }
}
