//! The seen set: the rumors that this node has performed, in bounded space.
//!
//! Per origin and life it has a watermark, below which all rumors were seen, and the stretches of those seen above. It
//! forgets in three ways, each of which can reject a rumor but cannot accept one twice. A gap is closed once no peer
//! may send what is missing in it. The oldest life of an origin is superseded by its later ones. An origin that has
//! long been silent is dropped for others, and leaves a *horizon*: from then on, rumors of that age are rejected if
//! their origin is not known.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::config::GossipConfig;
use super::message::Id;
use super::micros;

/// The birth of a rumor in microseconds since this node's start. It is negative for rumors that are older than the
/// node.
pub(super) type Birth = i64;

/// The bytes that a life takes in the map: 64 for the box, 40 for the key, and the space that a map leaves free.
const LIFE_BYTES: usize = 160;

/// The bytes that an opaque id takes in the map and the set, besides its text.
const OPAQUE_BYTES: usize = 96;

/// The result of marking an id as seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It was not seen before, so the rumor has to be performed.
    New,
    /// It was seen, or is too old to tell.
    Seen,
    /// There is no room for it at present. Nothing has changed.
    Full,
}

#[derive(Clone, Debug)]
pub(super) struct Seen<P> {
    /// The values are boxed, because a map of one entry has room for eleven.
    lives: BTreeMap<(P, u64), Box<Life>>,
    horizon: Birth,
    opaque: BTreeMap<Arc<str>, Birth>,
    opaque_by_birth: BTreeSet<(Birth, Arc<str>)>,
    opaque_horizon: Birth,
}

#[derive(Clone, Debug, Default)]
struct Life {
    /// The watermark: all sequences up to and including it are seen, or lost for good.
    watermark: u64,
    /// The stretches above the watermark, ascending, with at least one unseen sequence before each.
    stretches: Vec<Stretch>,
    /// The birth of the youngest rumor of this life, or of one that it superseded.
    youngest: Birth,
    /// The horizon when this life became known. The life may have been known before and forgotten, so rumors that are
    /// not younger are rejected.
    horizon: Birth,
}

#[derive(Clone, Copy, Debug)]
struct Stretch {
    first: u64,
    last: u64,
    /// The birth of the rumor `first`. Rumors that are missing below it are older.
    born: Birth,
}

impl<P> Default for Seen<P> {
    fn default() -> Self {
        Seen {
            lives: BTreeMap::new(),
            horizon: Birth::MIN,
            opaque: BTreeMap::new(),
            opaque_by_birth: BTreeSet::new(),
            opaque_horizon: Birth::MIN,
        }
    }
}

impl<P: Copy + Ord> Seen<P> {
    /// Returns whether this id is known to be seen. An unknown id counts as not seen.
    pub(super) fn contains(&self, id: &Id<P>, config: &GossipConfig) -> bool {
        match id {
            Id::Numbered { origin, incarnation, sequence } => match self.lives.get(&(*origin, *incarnation)) {
                Some(life) => life.contains(*sequence),
                None => *sequence == 0 || self.superseded(*origin, *incarnation, config),
            },
            Id::Opaque(text) => self.opaque.contains_key(text),
        }
    }

    /// Marks a rumor that was born at `born` as seen.
    pub(super) fn mark(&mut self, id: &Id<P>, born: Birth, now: Birth, config: &GossipConfig) -> Mark {
        match id {
            Id::Numbered { origin, incarnation, sequence } => {
                self.mark_numbered((*origin, *incarnation), *sequence, born, now, config)
            }
            Id::Opaque(text) => self.mark_opaque(text, born, now, config),
        }
    }

    /// Forgets opaque ids whose rumors are so old that they are rejected.
    pub(super) fn expire(&mut self, now: Birth, config: &GossipConfig) {
        let limit = now - micros(config.retained_age) - 2 * micros(config.transit);
        while self.opaque_by_birth.first().is_some_and(|(born, _)| *born < limit) {
            self.forget_oldest_opaque();
        }
    }

    /// Returns the number of (origin, life) pairs, of stretches above their watermarks, and of opaque ids.
    pub(super) fn size(&self) -> (usize, usize, usize) {
        let stretches = self.lives.values().map(|life| life.stretches.len()).sum();
        (self.lives.len(), stretches, self.opaque.len())
    }

    /// Returns whether this id has been marked, or is forgotten together with ids that have been.
    pub(super) fn is_marked(&self, id: &Id<P>) -> bool {
        match id {
            Id::Numbered { origin, incarnation, sequence } => {
                self.lives.get(&(*origin, *incarnation)).is_some_and(|life| life.contains(*sequence))
            }
            Id::Opaque(text) => self.opaque.contains_key(text),
        }
    }

    /// Returns the latest known life of the id's origin, if the id is rejected because it belongs to an earlier one.
    pub(super) fn superseding(&self, id: &Id<P>, config: &GossipConfig) -> Option<u64> {
        match id {
            Id::Numbered { origin, incarnation, .. }
                if !self.lives.contains_key(&(*origin, *incarnation))
                    && self.superseded(*origin, *incarnation, config) =>
            {
                self.latest(*origin)
            }
            _ => None,
        }
    }

    /// Returns the latest known life of an origin.
    pub(super) fn latest(&self, origin: P) -> Option<u64> {
        self.lives.range((origin, 0)..=(origin, u64::MAX)).next_back().map(|((_, life), _)| *life)
    }

    /// Iterates over the lives with rumors since a time, starting after one of them, with the highest sequence of each.
    pub(super) fn lives_after(
        &self,
        after: Bound<(P, u64)>,
        since: Birth,
    ) -> impl Iterator<Item = ((P, u64), u64)> + '_ {
        let range = self.lives.range((after, Bound::Unbounded)).filter(move |(_, life)| life.youngest >= since);
        range.map(|(key, life)| (*key, life.highest()))
    }

    /// Iterates over the opaque ids after one of them.
    pub(super) fn opaque_after(&self, after: Bound<&Arc<str>>) -> impl Iterator<Item = &Arc<str>> {
        self.opaque.range::<Arc<str>, _>((after, Bound::Unbounded)).map(|(text, _)| text)
    }

    /// Marks all rumors that this node started in a former life. This ignores the bounds, because the node would
    /// otherwise perform its own rumors.
    pub(super) fn mark_own(&mut self, me: P, incarnation: u64, watermark: u64, now: Birth, config: &GossipConfig) {
        if self.lives.len() >= config.origins.max(1) {
            self.make_room(now, config);
        }
        let horizon = self.horizon;
        let fresh = || Box::new(Life { youngest: now, horizon, ..Life::default() });
        let life = self.lives.entry((me, incarnation)).or_insert_with(fresh);
        life.watermark = life.watermark.max(watermark);
        while life.stretches.first().is_some_and(|lowest| lowest.first <= life.watermark.saturating_add(1)) {
            life.watermark = life.stretches.remove(0).last.max(life.watermark);
        }
        life.youngest = life.youngest.max(now);
        self.supersede(me, config);
    }

    /// Returns about how much memory the set takes in bytes.
    pub(super) fn bytes(&self) -> usize {
        let (lives, stretches, _) = self.size();
        let texts: usize = self.opaque.keys().map(|text| text.len() + OPAQUE_BYTES).sum();
        lives * LIFE_BYTES + stretches * size_of::<Stretch>() + texts
    }

    /// Counts every rumor as seen that was born before `limit` and is not remembered.
    pub(super) fn refuse_before(&mut self, limit: Birth) {
        self.horizon = self.horizon.max(limit);
        self.opaque_horizon = self.opaque_horizon.max(limit);
    }

    fn superseded(&self, origin: P, incarnation: u64, config: &GossipConfig) -> bool {
        let mut lives = self.lives.range((origin, 0)..=(origin, u64::MAX));
        let oldest = lives.next().map(|((_, oldest), _)| *oldest);
        oldest.is_some_and(|oldest| incarnation < oldest && lives.count() + 1 >= config.lives.max(1))
    }

    fn mark_numbered(&mut self, key: (P, u64), sequence: u64, born: Birth, now: Birth, config: &GossipConfig) -> Mark {
        if let Some(life) = self.lives.get_mut(&key) {
            return life.mark(sequence, born, now, config);
        }
        let too_old = is_beyond(self.horizon, born, config);
        if sequence == 0 || too_old || self.superseded(key.0, key.1, config) {
            return Mark::Seen;
        }
        if self.lives.len() >= config.origins.max(1) && !self.make_room(now, config) {
            return Mark::Full;
        }
        let horizon = self.horizon;
        let life =
            self.lives.entry(key).or_insert_with(|| Box::new(Life { youngest: born, horizon, ..Life::default() }));
        let mark = life.mark(sequence, born, now, config);
        self.supersede(key.0, config);
        mark
    }

    /// Drops the oldest life of an origin that has too many. The next life supersedes it.
    fn supersede(&mut self, origin: P, config: &GossipConfig) {
        let mut lives = self.lives.range((origin, 0)..=(origin, u64::MAX));
        let oldest = lives.next().map(|(key, life)| (*key, life.youngest));
        let next = lives.next().map(|(key, _)| *key);
        if let (Some((oldest, youngest)), Some(next)) = (oldest, next)
            && lives.count() + 2 > config.lives.max(1)
        {
            self.lives.remove(&oldest);
            if let Some(life) = self.lives.get_mut(&next) {
                life.youngest = life.youngest.max(youngest);
            }
        }
    }

    /// Forgets the origins that have been silent longest, an eighth of all at once, so that the search is rare. All
    /// lives of an origin are dropped together, because they decide which of them is superseded. Recent origins stay,
    /// because copies of their rumors may be under way.
    fn make_room(&mut self, now: Birth, config: &GossipConfig) -> bool {
        let mut origins: Vec<(Birth, P)> = Vec::new();
        for ((origin, _), life) in &self.lives {
            match origins.last_mut() {
                Some((youngest, last)) if last == origin => *youngest = (*youngest).max(life.youngest),
                _ => origins.push((life.youngest, *origin)),
            }
        }
        origins.sort_unstable();
        origins.truncate((origins.len() / 8).max(1));
        let limit = now - 2 * micros(config.transit);
        let before = self.lives.len();
        for (youngest, origin) in origins.into_iter().take_while(|(youngest, _)| *youngest < limit) {
            self.horizon = self.horizon.max(youngest);
            let keys: Vec<_> = self.lives.range((origin, 0)..=(origin, u64::MAX)).map(|(key, _)| *key).collect();
            for key in keys {
                self.lives.remove(&key);
            }
        }
        self.lives.len() < before
    }

    fn mark_opaque(&mut self, text: &Arc<str>, born: Birth, now: Birth, config: &GossipConfig) -> Mark {
        let too_old = is_beyond(self.opaque_horizon, born, config);
        if too_old || self.opaque.contains_key(text) {
            return Mark::Seen;
        }
        if self.opaque.len() >= config.opaque_ids.max(1) {
            let limit = now - 2 * micros(config.transit);
            match self.opaque_by_birth.first() {
                Some((oldest, _)) if *oldest < limit => {
                    self.opaque_horizon = self.opaque_horizon.max(*oldest);
                    self.forget_oldest_opaque();
                }
                _ => return Mark::Full,
            }
        }
        self.opaque.insert(text.clone(), born);
        self.opaque_by_birth.insert((born, text.clone()));
        Mark::New
    }

    fn forget_oldest_opaque(&mut self) {
        if let Some((_, text)) = self.opaque_by_birth.pop_first() {
            self.opaque.remove(&text);
        }
    }
}

impl Life {
    fn highest(&self) -> u64 {
        self.stretches.last().map_or(self.watermark, |stretch| stretch.last)
    }

    fn contains(&self, sequence: u64) -> bool {
        let at = self.stretches.partition_point(|stretch| stretch.last < sequence);
        sequence <= self.watermark || self.stretches.get(at).is_some_and(|stretch| stretch.first <= sequence)
    }

    fn mark(&mut self, sequence: u64, born: Birth, now: Birth, config: &GossipConfig) -> Mark {
        self.close_gaps_before(now - micros(config.retained_age) - micros(config.transit));
        loop {
            if self.contains(sequence) || is_beyond(self.horizon, born, config) {
                return Mark::Seen;
            }
            let at = self.stretches.partition_point(|stretch| stretch.last < sequence);
            let below = if at == 0 { self.watermark } else { self.stretches[at - 1].last };
            let joins_below = below.wrapping_add(1) == sequence;
            let joins_above = self.stretches.get(at).is_some_and(|above| above.first == sequence.wrapping_add(1));
            if !joins_below && !joins_above && self.stretches.len() >= config.gaps.max(1) {
                // Make room by giving up the lowest gap, unless it is recent.
                if self.stretches[0].born >= now - micros(config.transit) {
                    return Mark::Full;
                }
                self.close_lowest_gap();
                continue;
            }
            match (joins_below, joins_above) {
                (false, false) => {
                    self.stretches.insert(at, Stretch { first: sequence, last: sequence, born });
                }
                (false, true) => {
                    self.stretches[at].first = sequence;
                    self.stretches[at].born = born;
                }
                (true, joins_above) => {
                    let last = if joins_above { self.stretches.remove(at).last } else { sequence };
                    if at == 0 {
                        self.watermark = last;
                    } else {
                        self.stretches[at - 1].last = last;
                    }
                }
            }
            self.youngest = self.youngest.max(born);
            return Mark::New;
        }
    }

    fn close_gaps_before(&mut self, limit: Birth) {
        while self.stretches.first().is_some_and(|lowest| lowest.born < limit) {
            self.close_lowest_gap();
        }
    }

    fn close_lowest_gap(&mut self) {
        self.watermark = self.stretches.remove(0).last;
        // Release the capacity that a burst needed.
        if self.stretches.is_empty() {
            self.stretches = Vec::new();
        }
    }
}

/// Returns whether a rumor may have been forgotten together with those that set this horizon. Births are known to
/// within [`GossipConfig::transit`].
fn is_beyond(horizon: Birth, born: Birth, config: &GossipConfig) -> bool {
    born <= horizon.saturating_add(micros(config.transit))
}
