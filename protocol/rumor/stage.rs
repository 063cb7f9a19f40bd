//! [`Stage`]: how far a node has come into a group, and [`Earlier`], what had been said before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::config::GossipConfig;
use super::message::Id;
use super::seen::Birth;

/// How far a node has come into the group.
#[derive(Clone, Debug)]
pub(super) enum Stage<P> {
    /// It has met nobody in the group yet.
    Outside,
    /// It has asked for what was said before.
    Entering(Box<Entering<P>>),
    /// What is new to it is to be performed.
    Inside,
}

#[derive(Clone, Debug)]
pub(super) struct Entering<P> {
    pub(super) begun: Birth,
    /// A peer that knows what was said is known to be alive, so that it is worth to wait for it.
    pub(super) alive: bool,
    /// The peers to be asked, in this order.
    pub(super) candidates: Vec<Candidate<P>>,
    /// How many of them have been asked.
    pub(super) asked: usize,
    /// The requests without an answer.
    pub(super) open: Vec<Open>,
    pub(super) earlier: Earlier<P>,
}

/// A request without an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) number: u64,
    /// The place of the candidate that it was sent to.
    pub(super) to: usize,
    /// Which page it asks for. One that was asked for twice may come twice.
    pub(super) page: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Candidate<P> {
    pub(super) peer: P,
    /// How many pages it has sent.
    pub(super) pages: usize,
    /// The last id of the last one.
    pub(super) after: Option<Id<P>>,
    /// It has told all that it knows.
    pub(super) done: bool,
}

impl<P> Candidate<P> {
    pub(super) fn new(peer: P) -> Self {
        Candidate { peer, pages: 0, after: None, done: false }
    }
}

/// What had been said when this node entered. Nobody can send any of it once the retention is over, so it is dropped
/// then.
#[derive(Clone, Debug)]
pub(super) struct Earlier<P> {
    pub(super) until: Birth,
    /// By origin and life: all up to this sequence.
    pub(super) lives: BTreeMap<(P, u64), u64>,
    pub(super) opaque: BTreeSet<Arc<str>>,
}

impl<P> Default for Earlier<P> {
    fn default() -> Self {
        Earlier { until: Birth::MAX, lives: BTreeMap::new(), opaque: BTreeSet::new() }
    }
}

impl<P: Copy + Ord> Earlier<P> {
    fn contains(&self, id: &Id<P>) -> bool {
        match id {
            Id::Numbered { origin, incarnation, sequence } => {
                self.lives.get(&(*origin, *incarnation)).is_some_and(|last| sequence <= last)
            }
            Id::Opaque(text) => self.opaque.contains(text),
        }
    }

    /// Whether a rumor was started before, under its present id or the one that it had first.
    pub(super) fn covers(&self, id: &Id<P>, former: Option<(u64, u64)>) -> bool {
        let formerly = match (id, former) {
            (Id::Numbered { origin, .. }, Some((incarnation, sequence))) => {
                self.contains(&Id::Numbered { origin: *origin, incarnation, sequence })
            }
            _ => false,
        };
        formerly || self.contains(id)
    }

    /// How many lives and opaque ids are remembered.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.lives.len(), self.opaque.len())
    }

    pub(super) fn is_over(&self, now: Birth) -> bool {
        now > self.until
    }

    pub(super) fn add(&mut self, id: Id<P>, config: &GossipConfig) {
        match id {
            Id::Numbered { origin, incarnation, sequence } => {
                let room = self.lives.len() < config.origins.max(1);
                match self.lives.get_mut(&(origin, incarnation)) {
                    Some(last) => *last = sequence.max(*last),
                    None if room => drop(self.lives.insert((origin, incarnation), sequence)),
                    None => {}
                }
            }
            Id::Opaque(text) if self.opaque.len() < config.opaque_ids.max(1) => drop(self.opaque.insert(text)),
            Id::Opaque(_) => {}
        }
    }
}
