//! The seen set: no rumor is new twice, and the set is bounded.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::numbered;
use crate::rumor::seen::{Mark, Seen};
use crate::rumor::{GossipConfig, Id};

const SECOND: i64 = 1_000_000;

#[test]
fn a_million_messages_of_ten_thousand_origins_are_remembered_in_bounded_memory() {
    let config = GossipConfig { origins: 1_000, gaps: 8, ..GossipConfig::default() };
    let mut chance = ChaCha8Rng::seed_from_u64(3);
    let mut seen = Seen::<u32>::default();
    let mut next = vec![(1u64, 1u64); 10_000];
    let mut recent: VecDeque<(Id<u32>, i64)> = VecDeque::new();
    let (mut taken, mut most) = (0u32, (0, 0, 0));
    for message in 0..1_000_000i64 {
        let now = message * SECOND / 50;
        let origin = chance.random_range(0..10_000u32);
        let (incarnation, sequence) = &mut next[origin as usize];
        // One in a hundred never arrives, one in a thousand is the first after a restart.
        *sequence += 1 + u64::from(chance.random_ratio(1, 100));
        if chance.random_ratio(1, 1_000) {
            (*incarnation, *sequence) = (*incarnation + 1, 1);
        }
        let id = numbered(origin, *incarnation, *sequence);
        taken += u32::from(seen.mark(&id, now, now, &config) == Mark::New);
        recent.push_back((id, now));
        if recent.len() > 5_000 {
            recent.pop_front();
        }
        // A repeated rumor is not new, however late.
        if message % 5 == 0 {
            let (again, born) = &recent[chance.random_range(0..recent.len())];
            assert_ne!(seen.mark(again, *born, now, &config), Mark::New, "{again:?}");
        }
        if message % 10_000 == 0 {
            let size = seen.size();
            most = (most.0.max(size.0), most.1.max(size.1), most.2.max(size.2));
        }
    }
    assert!(most.0 <= 1_000 && most.1 <= 8 * 1_000, "{most:?}");
    assert!(taken >= 999_000, "{taken} of a million");
}

#[test]
fn only_long_silent_origins_are_forgotten() {
    let config = GossipConfig { origins: 8, ..GossipConfig::default() };
    let mut seen = Seen::<u32>::default();
    for origin in 0..8 {
        assert_eq!(seen.mark(&numbered(origin, 1, 1), i64::from(origin), 8, &config), Mark::New);
    }
    // All origins are recent and copies may be under way, so the ninth has to wait.
    assert_eq!(seen.mark(&numbered(8, 1, 1), SECOND, SECOND, &config), Mark::Full);
    let later = 60 * SECOND;
    assert_eq!(seen.mark(&numbered(8, 1, 1), later, later, &config), Mark::New);
    assert_eq!(seen.size().0, 8);
    // The rumor of the forgotten origin is rejected for its age, and its next one is accepted.
    assert_eq!(seen.mark(&numbered(0, 1, 1), 0, later, &config), Mark::Seen);
    assert_eq!(seen.mark(&numbered(0, 1, 2), later, later, &config), Mark::New);
}

#[test]
fn the_oldest_life_is_superseded_for_good() {
    let config = GossipConfig { lives: 2, ..GossipConfig::default() };
    let mut seen = Seen::<u32>::default();
    for incarnation in [5, 7, 6] {
        assert_eq!(seen.mark(&numbered(1, incarnation, 1), 0, 0, &config), Mark::New);
    }
    assert_eq!(seen.size().0, 2);
    assert!(seen.contains(&numbered(1, 5, 2), &config) && !seen.contains(&numbered(1, 6, 2), &config));
    assert_eq!(seen.mark(&numbered(1, 5, 2), 0, 0, &config), Mark::Seen);
    assert_eq!(seen.mark(&numbered(1, 6, 2), 0, 0, &config), Mark::New);
    assert_eq!(seen.mark(&numbered(2, 1, 1), 0, 0, &config), Mark::New);
}

#[test]
fn gaps_close_when_they_expire_or_are_too_many() {
    let config = GossipConfig { gaps: 3, ..GossipConfig::default() };
    let mut seen = Seen::<u32>::default();
    let mut mark = |sequence, at: i64| seen.mark(&numbered(1, 1, sequence), at * SECOND, at * SECOND, &config);
    for sequence in [2, 4, 6] {
        assert_eq!(mark(sequence, 0), Mark::New);
    }
    // A fourth stretch does not fit, but a sequence that extends a stretch does.
    assert_eq!(mark(8, 1), Mark::Full);
    assert_eq!((mark(7, 1), mark(3, 1)), (Mark::New, Mark::New));
    // 10 fits now that 2 to 4 are one stretch, and 12 does when 1 is given up.
    assert_eq!((mark(10, 6), mark(12, 7)), (Mark::New, Mark::New));
    assert_eq!((mark(1, 7), mark(5, 7)), (Mark::Seen, Mark::New));
    // After the retention time no peer may send 9.
    assert_eq!(mark(20, 640), Mark::New);
    assert_eq!((mark(9, 640), mark(11, 640)), (Mark::Seen, Mark::Seen));
    assert_eq!(mark(13, 640), Mark::New);
}

#[test]
fn opaque_ids_expire_and_make_room() {
    let config = GossipConfig { opaque_ids: 4, ..GossipConfig::default() };
    let mut seen = Seen::<u32>::default();
    let id = |number: i64| Id::Opaque(number.to_string().into());
    for number in 0..4 {
        assert_eq!(seen.mark(&id(number), 0, 0, &config), Mark::New);
    }
    assert_eq!(seen.mark(&id(4), SECOND, SECOND, &config), Mark::Full);
    assert_eq!(seen.mark(&id(4), 20 * SECOND, 20 * SECOND, &config), Mark::New);
    assert_eq!(seen.mark(&id(0), 0, 20 * SECOND, &config), Mark::Seen);
    assert_eq!(seen.size().2, 4);
    seen.expire(700 * SECOND, &config);
    assert_eq!(seen.size().2, 0);
}

proptest! {
    /// In any order and with any repetition, each rumor is new once, as in a plain set.
    #[test]
    fn as_a_plain_set(
        arrivals in proptest::collection::vec((0u32..3, 1u64..3, 0u64..40), 0..300),
    ) {
        let config = GossipConfig { gaps: 100, retained_age: Duration::from_secs(600), ..GossipConfig::default() };
        let mut seen = Seen::<u32>::default();
        let mut plain = BTreeSet::new();
        for (origin, incarnation, sequence) in arrivals {
            let id = numbered(origin, incarnation, sequence);
            let new = sequence > 0 && plain.insert(id.clone());
            prop_assert_eq!(seen.mark(&id, 0, 0, &config) == Mark::New, new, "{:?}", id);
            prop_assert!(seen.contains(&id, &config));
        }
    }

    /// With any bounds, no rumor is new twice, and the set stays within the bounds.
    #[test]
    fn never_twice_however_tight(
        arrivals in proptest::collection::vec((0u32..6, 1u64..5, 1u64..12, 0i64..30), 0..400),
        origins in 1usize..5, lives in 1usize..3, gaps in 1usize..4,
    ) {
        let config = GossipConfig { origins, lives, gaps, ..GossipConfig::default() };
        let mut seen = Seen::<u32>::default();
        let mut born = std::collections::BTreeMap::new();
        let mut performed = BTreeSet::new();
        let mut now = 0;
        for (origin, incarnation, sequence, pause) in arrivals {
            now += pause * SECOND;
            let id = numbered(origin, incarnation, sequence);
            let born = *born.entry(id.clone()).or_insert(now);
            if seen.mark(&id, born, now, &config) == Mark::New {
                prop_assert!(performed.insert(id.clone()), "{:?} twice", id);
            }
            let (remembered, stretches, _) = seen.size();
            prop_assert!(remembered <= origins && stretches <= origins * gaps);
        }
    }
}
