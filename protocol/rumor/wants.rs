//! The rumors that were offered and have not been received: which nodes offered them, and which were asked.

use std::collections::{BTreeMap, VecDeque};

use super::message::Id;

/// The number of offerers that are remembered per rumor: enough for one of them to be alive.
const OFFERERS: usize = 8;

/// The number of pulls for a rumor before the node waits for another offer or a comparison. At 30% loss per message a
/// pull fails with probability 51%, so one node in 50,000 gives up. If each offerer were asked once, one in 200 would.
const ATTEMPTS: u8 = 16;

#[derive(Clone, Debug)]
pub(super) struct Wants<P> {
    /// The values are boxed, because a map of one entry has room for eleven.
    wanted: BTreeMap<Id<P>, Box<Want<P>>>,
    /// The ids that are wanted and have no pull under way, in the order of their first offers. Other ids in this queue
    /// are skipped.
    ready: VecDeque<Id<P>>,
}

#[derive(Clone, Debug)]
struct Want<P> {
    /// The nodes that offered the rumor, in the order of their offers.
    offerers: Vec<P>,
    /// The number of the pull under way, of which there is never more than one.
    pull: Option<u64>,
    attempts: u8,
    /// Whether a comparison found the rumor first, so that it is not new in the group.
    compared: bool,
}

/// Why a pull did not bring a rumor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The answer was full, and the peer holds the rumor.
    LeftOver,
    /// The peer does not hold the rumor.
    NotHeld,
    /// There was no answer. The peer is asked again after the others.
    Failed,
}

impl<P> Default for Wants<P> {
    fn default() -> Self {
        Wants { wanted: BTreeMap::new(), ready: VecDeque::new() }
    }
}

impl<P: Copy + Ord> Wants<P> {
    pub(super) fn len(&self) -> usize {
        self.wanted.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Notes that `from` holds a rumor that this node lacks, for at most `limit` rumors.
    pub(super) fn note(&mut self, id: &Id<P>, from: P, compared: bool, limit: usize) {
        if let Some(want) = self.wanted.get_mut(id) {
            if want.offerers.len() < OFFERERS && !want.offerers.contains(&from) {
                want.offerers.push(from);
            }
        } else if self.wanted.len() < limit.max(1) {
            let want = Want { offerers: vec![from], pull: None, attempts: 0, compared };
            self.wanted.insert(id.clone(), Box::new(want));
            self.ready.push_back(id.clone());
        }
    }

    /// Returns the next peer to ask, and the rumors to ask for: the one that has waited longest, and others that the
    /// same peer offered. From now on pull `number` is under way for them.
    pub(super) fn next(&mut self, number: u64, limit: usize) -> Option<(P, Vec<Id<P>>)> {
        let mut peer = None;
        let mut ids = Vec::new();
        let mut passed_over = Vec::new();
        while let Some(id) = self.ready.pop_front() {
            let Some(want) = self.wanted.get_mut(&id).filter(|want| want.pull.is_none()) else {
                continue;
            };
            let asked = *peer.get_or_insert(want.offerers[0]);
            if want.offerers.contains(&asked) {
                want.pull = Some(number);
                want.attempts = want.attempts.saturating_add(1);
                ids.push(id);
            } else {
                passed_over.push(id);
            }
            // The second condition bounds the search to a few batches.
            if ids.len() >= limit.max(1) || passed_over.len() >= 4 * limit.max(1) {
                break;
            }
        }
        for id in passed_over.into_iter().rev() {
            self.ready.push_front(id);
        }
        peer.map(|peer| (peer, ids))
    }

    /// Notes that a pull has ended and did not bring this rumor.
    pub(super) fn unanswered(&mut self, id: &Id<P>, peer: P, number: u64, outcome: Unanswered) {
        let Some(want) = self.wanted.get_mut(id).filter(|want| want.pull == Some(number)) else {
            return;
        };
        want.pull = None;
        match outcome {
            Unanswered::LeftOver => {
                // Nothing failed, so this does not count as an attempt.
                want.attempts = want.attempts.saturating_sub(1);
                return self.ready.push_front(id.clone());
            }
            Unanswered::NotHeld => want.offerers.retain(|offerer| *offerer != peer),
            Unanswered::Failed => {
                if let Some(at) = want.offerers.iter().position(|offerer| *offerer == peer) {
                    want.offerers[at..].rotate_left(1);
                }
            }
        }
        if want.offerers.is_empty() || want.attempts >= ATTEMPTS {
            self.wanted.remove(id);
        } else {
            self.ready.push_back(id.clone());
        }
    }

    /// Forgets a rumor that arrived. Returns the pull under way for it, and whether a comparison found it first.
    pub(super) fn arrived(&mut self, id: &Id<P>) -> (Option<u64>, bool) {
        self.wanted.remove(id).map_or((None, false), |want| (want.pull, want.compared))
    }

    /// Returns whether pull `number` asks for this rumor, which has not arrived otherwise.
    pub(super) fn awaits(&self, id: &Id<P>, number: u64) -> bool {
        self.wanted.get(id).is_some_and(|want| want.pull == Some(number))
    }
}
