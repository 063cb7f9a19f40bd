//! What this node has performed, in bounded space.
//!
//! Per origin and life: a watermark below which all was seen, and the stretches seen above it. Forgetting is
//! safe in three ways, each of which can refuse a rumor and none of which can let one pass twice:
//! a gap is closed when nobody may send what is missing in it any more; an origin's oldest life is superseded by
//! its newer ones; an origin that has long been silent makes room for others, and leaves behind a *horizon*: from
//! then on nothing that old is taken from an origin that is not known.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::config::GossipConfig;
use super::message::Id;
use super::micros;

/// Microseconds relative to this node's start; negative for what was born before.
pub(super) type Birth = i64;

/// A life and its place in the map, in bytes: 64 for the box, 40 for the key, and what a map leaves free.
const LIFE_BYTES: usize = 160;

/// An opaque id's places in the map and the set beside its text, in bytes.
const OPAQUE_BYTES: usize = 96;

/// What marking an id as seen came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It was unseen and now is seen: perform it.
    New,
    /// It was seen, or is too old for anybody to tell.
    Seen,
    /// There is no room to remember it by, for now. Nothing was changed.
    Full,
}

#[derive(Clone, Debug)]
pub(super) struct Seen<P> {
    /// Boxed: a map of one has room for eleven.
    lives: BTreeMap<(P, u64), Box<Life>>,
    horizon: Birth,
    opaque: BTreeMap<Arc<str>, Birth>,
    opaque_by_birth: BTreeSet<(Birth, Arc<str>)>,
    opaque_horizon: Birth,
}

#[derive(Clone, Debug, Default)]
struct Life {
    /// All up to and including this one are seen, or lost for good.
    watermark: u64,
    /// Ascending, apart from each other and from the watermark by at least one unseen sequence.
    stretches: Vec<Stretch>,
    /// The birth of the youngest rumor of this life, or of one that it superseded.
    youngest: Birth,
    /// The horizon when this life became known. It may have been known before and forgotten, so what is not
    /// younger is not taken.
    horizon: Birth,
}

#[derive(Clone, Copy, Debug)]
struct Stretch {
    first: u64,
    last: u64,
    /// Of `first`. Whatever is missing below was born before.
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
    /// Whether this id is known to be seen. `false` also for one of which nothing is known.
    pub(super) fn contains(&self, id: &Id<P>, config: &GossipConfig) -> bool {
        match id {
            Id::Numbered { origin, incarnation, sequence } => match self.lives.get(&(*origin, *incarnation)) {
                Some(life) => life.contains(*sequence),
                None => *sequence == 0 || self.superseded(*origin, *incarnation, config),
            },
            Id::Opaque(text) => self.opaque.contains_key(text),
        }
    }

    /// Marks as seen a rumor born at `born`.
    pub(super) fn mark(&mut self, id: &Id<P>, born: Birth, now: Birth, config: &GossipConfig) -> Mark {
        match id {
            Id::Numbered { origin, incarnation, sequence } => {
                self.mark_numbered((*origin, *incarnation), *sequence, born, now, config)
            }
            Id::Opaque(text) => self.mark_opaque(text, born, now, config),
        }
    }

    /// Forgets opaque ids so old that their rumors are refused for their age.
    pub(super) fn expire(&mut self, now: Birth, config: &GossipConfig) {
        let limit = now - micros(config.retained_age) - 2 * micros(config.transit);
        while self.opaque_by_birth.first().is_some_and(|(born, _)| *born < limit) {
            self.forget_oldest_opaque();
        }
    }

    /// How many (origin, life) pairs, stretches above their watermarks, and opaque ids are remembered.
    pub(super) fn size(&self) -> (usize, usize, usize) {
        let stretches = self.lives.values().map(|life| life.stretches.len()).sum();
        (self.lives.len(), stretches, self.opaque.len())
    }

    /// Whether this very id has been marked, or could not be told from one that has been.
    pub(super) fn is_marked(&self, id: &Id<P>) -> bool {
        match id {
            Id::Numbered { origin, incarnation, sequence } => {
                self.lives.get(&(*origin, *incarnation)).is_some_and(|life| life.contains(*sequence))
            }
            Id::Opaque(text) => self.opaque.contains_key(text),
        }
    }

    /// The latest life of its origin that is known, if this id is refused for belonging to an earlier one.
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

    /// The latest life of an origin that is known.
    pub(super) fn latest(&self, origin: P) -> Option<u64> {
        self.lives.range((origin, 0)..=(origin, u64::MAX)).next_back().map(|((_, life), _)| *life)
    }

    /// The lives heard since a moment, after one of them, with the highest sequence of each.
    pub(super) fn lives_after(
        &self,
        after: Bound<(P, u64)>,
        since: Birth,
    ) -> impl Iterator<Item = ((P, u64), u64)> + '_ {
        let range = self.lives.range((after, Bound::Unbounded)).filter(move |(_, life)| life.youngest >= since);
        range.map(|(key, life)| (*key, life.highest()))
    }

    /// The opaque ids after one of them.
    pub(super) fn opaque_after(&self, after: Bound<&Arc<str>>) -> impl Iterator<Item = &Arc<str>> {
        self.opaque.range::<Arc<str>, _>((after, Bound::Unbounded)).map(|(text, _)| text)
    }

    /// Marks all that this node started in a life that it has given up. It has to be known whatever the bounds say, as
    /// the node would perform its own rumors otherwise.
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

    /// About how much memory all of it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let (lives, stretches, _) = self.size();
        let texts: usize = self.opaque.keys().map(|text| text.len() + OPAQUE_BYTES).sum();
        lives * LIFE_BYTES + stretches * size_of::<Stretch>() + texts
    }

    /// Takes for seen whatever was born before `limit` and is not remembered.
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

    /// Drops an origin's oldest life if there is one too many. The next one answers for it from now on.
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

    /// Forgets the origins that have been silent longest: an eighth of all at once, so that the search is paid
    /// for by many. An origin goes with all its lives, since they tell which of its lives is superseded. Those
    /// heard a moment ago stay: copies of what they said may still be under way.
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
                // Room is made at the cost of what may be missing in the lowest gap, unless it was opened only now.
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
        // A burst's capacity is not kept for the rest of the life.
        if self.stretches.is_empty() {
            self.stretches = Vec::new();
        }
    }
}

/// Whether something may have been forgotten together with what set this horizon. Births are known to within
/// [`GossipConfig::transit`].
fn is_beyond(horizon: Birth, born: Birth, config: &GossipConfig) -> bool {
    born <= horizon.saturating_add(micros(config.transit))
}
