//! The rumors known by offer and not yet received: who offered them, and whom we asked.

use std::collections::{BTreeMap, VecDeque};

use super::message::Id;

/// How many offerers of one rumor are remembered: enough for one of them to be alive.
const OFFERERS: usize = 8;

/// How often one rumor is asked for before it is left to the next offer or comparison. At 30% loss per message
/// a pull fails with 51%, so one node in 50,000 gives up; one in 200 would if each offerer were asked only once.
const ATTEMPTS: u8 = 16;

#[derive(Clone, Debug)]
pub(super) struct Wants<P> {
    /// Boxed: a map of one has room for eleven.
    wanted: BTreeMap<Id<P>, Box<Want<P>>>,
    /// Every id that is wanted and not asked for is in here, in the order of their first offers. An id in here that is
    /// not wanted, or is asked for, is skipped.
    ready: VecDeque<Id<P>>,
}

#[derive(Clone, Debug)]
struct Want<P> {
    /// In the order of their offers.
    offerers: Vec<P>,
    /// The number of the pull that asks for it. Never two at a time.
    pull: Option<u64>,
    attempts: u8,
    /// It was found by comparison first, so it is not fresh in this group.
    compared: bool,
}

/// Why a pull did not bring a rumor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The answer was full; the peer holds it.
    LeftOver,
    /// The peer does not hold it.
    NotHeld,
    /// No answer. The peer is asked again after the others.
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

    /// Notes that `from` holds a rumor that this node lacks. At most `limit` rumors are noted.
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

    /// Whom to ask next, and for what: the rumor that waits longest and others that the same peer offered.
    /// They count as asked for by pull `number` from here on.
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
            // The second bound is on the search: a few batches ahead, not the whole list.
            if ids.len() >= limit.max(1) || passed_over.len() >= 4 * limit.max(1) {
                break;
            }
        }
        for id in passed_over.into_iter().rev() {
            self.ready.push_front(id);
        }
        peer.map(|peer| (peer, ids))
    }

    /// Notes that a pull is over and did not bring this one.
    pub(super) fn unanswered(&mut self, id: &Id<P>, peer: P, number: u64, outcome: Unanswered) {
        let Some(want) = self.wanted.get_mut(id).filter(|want| want.pull == Some(number)) else {
            return;
        };
        want.pull = None;
        match outcome {
            Unanswered::LeftOver => {
                // Nothing failed, so nothing is counted.
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

    /// Forgets one that arrived. Returns the pull that asks for it, and whether it was found by comparison.
    pub(super) fn arrived(&mut self, id: &Id<P>) -> (Option<u64>, bool) {
        self.wanted.remove(id).map_or((None, false), |want| (want.pull, want.compared))
    }

    /// Whether pull `number` asks for this one and it has not arrived by another way.
    pub(super) fn awaits(&self, id: &Id<P>, number: u64) -> bool {
        self.wanted.get(id).is_some_and(|want| want.pull == Some(number))
    }
}
