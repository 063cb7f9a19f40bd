//! [`Stage`]: whether a node has entered a group; and [`Earlier`], the history from before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::config::GossipConfig;
use super::message::Id;
use super::seen::Birth;

/// Whether a node has entered the group.
#[derive(Clone, Debug)]
pub(super) enum Stage<P> {
    /// It knows no member of the group yet.
    Outside,
    /// It has asked for the history.
    Entering(Box<Entering<P>>),
    /// It has entered, and performs new rumors.
    Inside,
}

#[derive(Clone, Debug)]
pub(super) struct Entering<P> {
    pub(super) begun: Birth,
    /// Whether a peer with a history is known to be alive, so that it is worth waiting for it.
    pub(super) alive: bool,
    /// The peers to ask, in this order.
    pub(super) candidates: Vec<Candidate<P>>,
    /// The number of candidates that have been asked.
    pub(super) asked: usize,
    /// The requests without an answer.
    pub(super) open: Vec<Open>,
    pub(super) earlier: Earlier<P>,
}

/// A request without an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) number: u64,
    /// The index of the candidate that was asked.
    pub(super) to: usize,
    /// The number of the requested page. A page that was requested twice can arrive twice.
    pub(super) page: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Candidate<P> {
    pub(super) peer: P,
    /// The number of pages that it has sent.
    pub(super) pages: usize,
    /// The last id of its last page.
    pub(super) after: Option<Id<P>>,
    /// Whether it has sent its whole history.
    pub(super) done: bool,
}

impl<P> Candidate<P> {
    pub(super) fn new(peer: P) -> Self {
        Candidate { peer, pages: 0, after: None, done: false }
    }
}

/// The history from before this node entered. It is dropped after the retention time, when no peer can send any of it.
#[derive(Clone, Debug)]
pub(super) struct Earlier<P> {
    pub(super) until: Birth,
    /// The highest sequence by origin and life, which stands for all up to it.
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

    /// Returns whether a rumor is part of the history, under its present or its former id.
    pub(super) fn covers(&self, id: &Id<P>, former: Option<(u64, u64)>) -> bool {
        let formerly = match (id, former) {
            (Id::Numbered { origin, .. }, Some((incarnation, sequence))) => {
                self.contains(&Id::Numbered { origin: *origin, incarnation, sequence })
            }
            _ => false,
        };
        formerly || self.contains(id)
    }

    /// Returns the number of lives and of opaque ids.
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
