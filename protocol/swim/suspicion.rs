//! From an accusation to a verdict, or to nothing.

use std::fmt::Debug;
use std::time::Duration;

use rand::{Rng, RngExt};

use super::standing::Member;
use super::{Claim, Incarnation, Output, Status, Swim, Timer, Update};

/// The case against one peer at one incarnation. Dropped with the incarnation, the verdict, or the farewell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Suspicion<P> {
    pub(super) incarnation: Incarnation,
    /// When this node first heard of it, or woke up.
    since: Duration,
    /// Who could not reach it, in order, no more than can matter.
    pub(super) accusers: Vec<P>,
    /// Whether this node has tried and failed, and not succeeded since.
    pub(super) mine: bool,
    /// How often it has tried again since and failed.
    failures: u32,
    /// When it tries again.
    pub(super) retry_due: Option<Duration>,
    /// When the timer for the verdict is set.
    verdict_due: Option<Duration>,
}

impl<P: Copy + Ord> Suspicion<P> {
    fn new(incarnation: Incarnation, since: Duration) -> Self {
        Self { incarnation, since, accusers: Vec::new(), mine: false, failures: 0, retry_due: None, verdict_due: None }
    }

    /// Whether `me` has a part in it.
    pub(super) fn is_held_by(&self, me: &P) -> bool {
        self.mine || self.failures > 0 || self.accusers.contains(me)
    }

    /// Forgets one's own part in it.
    fn withdraw(&mut self, me: P) {
        self.mine = false;
        self.failures = 0;
        self.accusers.retain(|accuser| *accuser != me);
    }

    /// What `me` held against the peer is void, and the time that passed was not waited.
    pub(super) fn begin_again(&mut self, now: Duration, me: P) {
        self.withdraw(me);
        self.since = now;
        self.retry_due = None;
        self.verdict_due = None;
    }
}

impl<P: Copy + Ord + Debug> Swim<P> {
    /// This node could not reach a member, directly or through others.
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
            if suspicion.mine {
                suspicion.failures += 1;
            }
            suspicion.mine = true;
        }
        // Lifeguard, IV-B: only as many accusations travel as can matter.
        if first && known < enough {
            self.broadcast(update);
        }
        if !update.incarnation.is_mute() {
            self.outbox.push(Output::Tell { peer, update, timeout: self.whole_timeout() });
        }
        self.arm_retry(now, peer);
        self.judge(now, peer);
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

    /// An accuser keeps trying: each failure is further evidence, one success is the end of it.
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
        if suspicion.mine {
            let under_way = self.flights.values().any(|flight| flight.peer == peer);
            self.probe(now, peer, false);
            if under_way {
                self.arm_retry(now, peer);
            }
        }
    }

    /// Reached, or heard from: whatever others say, this node no longer accuses it.
    pub(super) fn withdraw(&mut self, peer: &P) {
        let me = self.me;
        if let Some(suspicion) = self.suspicions.get_mut(peer) {
            suspicion.withdraw(me);
        }
    }

    /// Counts the speaker of a suspicion that is in force; says whether it is a new one.
    pub(super) fn count_accuser(&mut self, now: Duration, update: Update<P>) -> bool {
        let bound = self.accusers_enough();
        // Also against a pending peer, where it has no effect until the peer is heard from.
        let in_force = self.find(&update.peer).is_some_and(|member| {
            let known = (member.claim, member.incarnation);
            !member.expelled && known == (Claim::Suspect, update.incarnation)
        });
        if !in_force {
            return false;
        }
        let suspicion = self.suspicions.entry(update.peer).or_insert_with(|| Suspicion::new(update.incarnation, now));
        // Past the bound only their number could grow, and that no longer matters; there is always room for oneself.
        let own = update.by == self.me;
        match suspicion.accusers.binary_search(&update.by) {
            Err(at) if own || suspicion.accusers.len() <= bound => {
                suspicion.accusers.insert(at, update.by);
                true
            }
            Ok(_) | Err(_) => false,
        }
    }

    /// Those who hear of a suspicion check it, a few of them, unless it is confirmed already.
    pub(super) fn bear_witness<R: Rng + ?Sized>(&mut self, now: Duration, peer: P, chance: &mut R) {
        let voices = self.voices(&peer);
        let needed = self.accusers_needed(voices);
        let Some(suspicion) = self.suspicions.get(&peer) else {
            return;
        };
        let judged = self.status(&peer).is_some_and(Status::is_known);
        if !self.running || !judged || suspicion.mine || suspicion.accusers.len() >= needed {
            return;
        }
        let drawn = chance.random_range(0..voices.max(1) as u64);
        if drawn < u64::from(self.config.witnesses) {
            self.probe(now, peer, false);
        }
    }

    /// The timer for the verdict fired, perhaps an earlier one.
    pub(super) fn verdict_due(&mut self, now: Duration, peer: P) {
        if let Some(suspicion) = self.suspicions.get_mut(&peer) {
            suspicion.verdict_due = None;
        }
        self.judge(now, peer);
    }

    /// Decides, if this node may and it is time; else sees to it that it looks again.
    pub(super) fn judge(&mut self, now: Duration, peer: P) {
        let voices = self.voices(&peer);
        let needed = self.accusers_needed(voices);
        let group = 1 + self.members.iter().filter(|member| member.status().is_known()).count();
        let Some(suspicion) = self.suspicions.get_mut(&peer) else {
            return;
        };
        if !suspicion.mine {
            return;
        }
        let confirmed = suspicion.accusers.len().saturating_sub(1);
        let due = suspicion.since + self.config.suspicion_time(group, confirmed);
        if now < due {
            if suspicion.verdict_due != Some(due) {
                suspicion.verdict_due = Some(due);
                self.set_timer(due, Timer::Verdict { peer });
            }
            return;
        }
        if suspicion.accusers.len() < needed || suspicion.failures == 0 {
            // Looked at again when somebody confirms, and whenever a retry fails.
            return;
        }
        let incarnation = suspicion.incarnation;
        let update = Update { peer, incarnation, claim: Claim::Dead, by: self.me };
        if self.merge(now, update) {
            self.broadcast(update);
        }
    }

    /// How many could confirm a suspicion of `peer`: this node, and all others that take part and are not themselves in doubt.
    fn voices(&self, peer: &P) -> usize {
        let able = |member: &&Member<P>| {
            member.status() == Status::Alive && !member.incarnation.is_mute() && member.peer != *peer
        };
        1 + self.members.iter().filter(able).count()
    }

    /// How many accusers a verdict takes: all who could confirm, or as many as are configured.
    fn accusers_needed(&self, voices: usize) -> usize {
        self.accusers_enough().min(voices)
    }

    /// How many accusers a verdict takes in a group that has them.
    fn accusers_enough(&self) -> usize {
        self.config.confirmations as usize + 1
    }
}
