//! The rumors held for nodes that lack them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use super::config::GossipConfig;
use super::message::{Id, Page, Size, Stretch, Urgency, stable_hash};
use super::seen::Birth;
use crate::peer_id::PeerId;

#[derive(Clone, Debug)]
pub(super) struct Held<P, M> {
    pub(super) message: M,
    pub(super) hop: u32,
    pub(super) born: Birth,
    pub(super) urgency: Urgency,
    pub(super) replay: bool,
    pub(super) former: Option<(u64, u64)>,
    /// Whether this node started the rumor since its own start.
    pub(super) own: bool,
    pub(super) size: Size,
    /// Whether the rumor still has to be spread, so that it must not be dropped.
    pub(super) waiting: bool,
    /// The reference nodes that have received the rumor from here, or sent it.
    pub(super) pushed_to: Vec<P>,
}

#[derive(Clone, Debug)]
pub(super) struct Store<P, M> {
    /// The values are boxed, because a map of one rumor has room for eleven.
    held: BTreeMap<Id<P>, Box<Held<P, M>>>,
    by_birth: BTreeSet<(Birth, Id<P>)>,
    /// The memory that the messages take.
    bytes: usize,
    /// The number of calm rumors.
    calm: usize,
    /// The sum of the hashes of the ids, which is the same for equal sets and takes one step per change.
    hash: u64,
}

impl<P, M> Default for Store<P, M> {
    fn default() -> Self {
        Store { held: BTreeMap::new(), by_birth: BTreeSet::new(), bytes: 0, calm: 0, hash: 0 }
    }
}

impl<P: PeerId, M> Store<P, M> {
    pub(super) fn get(&self, id: &Id<P>) -> Option<&Held<P, M>> {
        self.held.get(id).map(|held| &**held)
    }

    pub(super) fn get_mut(&mut self, id: &Id<P>) -> Option<&mut Held<P, M>> {
        self.held.get_mut(id).map(|held| &mut **held)
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn insert(&mut self, id: Id<P>, held: Held<P, M>) {
        self.remove(&id);
        self.bytes += held.size.memory;
        self.calm += usize::from(held.urgency.is_calm());
        self.hash = self.hash.wrapping_add(stable_hash(&id));
        self.by_birth.insert((held.born, id.clone()));
        self.held.insert(id, Box::new(held));
    }

    pub(super) fn remove(&mut self, id: &Id<P>) -> Option<Held<P, M>> {
        let held = self.held.remove(id)?;
        self.bytes -= held.size.memory;
        self.calm -= usize::from(held.urgency.is_calm());
        self.hash = self.hash.wrapping_sub(stable_hash(id));
        self.by_birth.remove(&(held.born, id.clone()));
        Some(*held)
    }

    /// Drops the oldest rumors until count and bytes are within bounds, except those that still have to be spread and
    /// the last one.
    pub(super) fn trim(&mut self, config: &GossipConfig) {
        while self.held.len() > 1 && (self.held.len() > config.retained_count || self.bytes > config.retained_bytes) {
            let oldest = self.by_birth.iter().map(|(_, id)| id).find(|id| !self.is_waiting(id)).cloned();
            match oldest {
                Some(id) => drop(self.remove(&id)),
                None => return,
            }
        }
    }

    /// Drops rumors that were born before `limit`, and calm rumors that were born before `calm_limit`.
    pub(super) fn expire(&mut self, limit: Birth, calm_limit: Birth) {
        let too_old = |(born, id): &&(Birth, Id<P>)| {
            *born < limit || self.held.get(id).is_some_and(|held| held.urgency.is_calm() && *born < calm_limit)
        };
        // without calm rumors, the search ends at the first limit
        let last = if self.calm == 0 { limit } else { limit.max(calm_limit) };
        let dropped = self.by_birth.iter().take_while(|(born, _)| *born < last);
        let dropped: Vec<Id<P>> = dropped.filter(too_old).map(|(_, id)| id.clone()).collect();
        for id in dropped {
            self.remove(&id);
        }
    }

    fn is_waiting(&self, id: &Id<P>) -> bool {
        self.held.get(id).is_some_and(|held| held.waiting)
    }

    /// Iterates over the ids, the youngest first.
    pub(super) fn youngest(&self) -> impl Iterator<Item = &Id<P>> {
        self.by_birth.iter().rev().map(|(_, id)| id)
    }

    /// Returns what is held after an id, in at most `limit` stretches.
    pub(super) fn page(&self, after: Option<Id<P>>, limit: usize) -> Page<P> {
        let mut held: Vec<Stretch<P>> = Vec::new();
        let mut end: Option<&Id<P>> = None;
        let mut next = None;
        for id in self.between(after.as_ref(), None) {
            let joined = match (held.last_mut(), id) {
                (
                    Some(Stretch::Numbered { origin, incarnation, last, .. }),
                    Id::Numbered { origin: same, incarnation: life, sequence },
                ) if origin == same && incarnation == life && last.checked_add(1) == Some(*sequence) => {
                    *last = *sequence;
                    true
                }
                _ => false,
            };
            if !joined {
                if held.len() >= limit.max(1) {
                    next = end.cloned();
                    break;
                }
                held.push(match id {
                    Id::Numbered { origin, incarnation, sequence } => Stretch::Numbered {
                        origin: *origin,
                        incarnation: *incarnation,
                        first: *sequence,
                        last: *sequence,
                    },
                    Id::Opaque(text) => Stretch::Opaque(text.clone()),
                });
            }
            end = Some(id);
        }
        Page { after, held, next }
    }

    /// Iterates over the ids after one and up to another, ascending.
    pub(super) fn between(&self, after: Option<&Id<P>>, up_to: Option<&Id<P>>) -> impl Iterator<Item = &Id<P>> {
        let lower = after.map_or(Bound::Unbounded, Bound::Excluded);
        let upper = up_to.map_or(Bound::Unbounded, Bound::Included);
        // A page from outside can end before it begins, and such a range would panic.
        let empty = matches!((after, up_to), (Some(after), Some(up_to)) if after >= up_to);
        let range = if empty { None } else { Some(self.held.range::<Id<P>, _>((lower, upper))) };
        range.into_iter().flatten().map(|(id, _)| id)
    }
}

impl<P, M> Held<P, M> {
    pub(super) fn age(&self, now: Birth) -> Duration {
        Duration::from_micros(now.saturating_sub(self.born).max(0).unsigned_abs())
    }
}
