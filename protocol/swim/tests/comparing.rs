//! Tests of comparing views.

use super::*;

/// Compares two machines until they agree. Returns the number of requests, and the most entries in a message.
pub(super) fn compare(one: &mut Swim<u32>, two: &mut Swim<u32>) -> (usize, usize) {
    let mut chance = ChaCha8Rng::seed_from_u64(5);
    let (mut requests, mut most) = (0, 0);
    let mut next = Some(one.begin_joining(&two.me));
    while let Some(sync) = next {
        let (page, _) = two.answer_sync(seconds(9), one.me, &sync, &mut chance).unwrap();
        requests += 1;
        most = most.max(sync.news.len()).max(page.entries.len());
        (next, _) = one.take_page(seconds(9), two.me, (&sync, &page), &mut chance);
    }
    (requests, most)
}

pub(super) fn machine(me: u32, members: impl IntoIterator<Item = (u32, u32)>) -> Swim<u32> {
    let mut swim = Swim::new(me, LIFE, SwimConfig::default()).unwrap();
    let mut chance = ChaCha8Rng::seed_from_u64(1);
    let _ = swim.handle(Duration::ZERO, Input::Start, &mut chance);
    for (peer, turn) in members {
        let _ = swim.handle(Duration::ZERO, Input::Know(peer, at(turn)), &mut chance);
    }
    swim
}

#[test]
fn a_newcomer_receives_a_view_of_any_size_in_pages_and_becomes_known() {
    for count in [1, 15, 16, 17, 255, 256, 257, 258, 300, 1_000, 4_097, 20_000] {
        let mut seed = machine(1, (10..10 + count).map(|peer| (peer, 0)));
        let mut newcomer = machine(2, []);
        let (requests, most) = compare(&mut newcomer, &mut seed);
        assert_eq!(newcomer.view_hash(), seed.view_hash(), "{count}");
        assert_eq!(newcomer.size(), count as usize + 1);
        assert!(most <= PAGE + count as usize / 16, "{most} of {count} in a message");
        assert!(requests <= 3 + 2 * count as usize / PAGE, "{requests} for {count}");
        assert_eq!(compare(&mut newcomer, &mut seed), (1, 0), "nothing is left");
    }
}

/// Compares the views of two machines until they agree. Returns what the first one broadcasts.
fn told_by(one: &mut Swim<u32>, two: &mut Swim<u32>) -> Vec<u32> {
    let mut chance = ChaCha8Rng::seed_from_u64(5);
    let (mut told, mut next) = (Vec::new(), Some(one.begin_joining(&two.me)));
    while let Some(sync) = next {
        let (page, outputs) = two.answer_sync(seconds(9), one.me, &sync, &mut chance).unwrap();
        assert!(!outputs.iter().any(|output| matches!(output, Output::Broadcast(_))));
        let (more, outputs) = one.take_page(seconds(9), two.me, (&sync, &page), &mut chance);
        told.extend(outputs.iter().filter_map(|output| match output {
            Output::Broadcast(update) => Some(update.peer),
            _ => None,
        }));
        next = more;
    }
    told.sort_unstable();
    told
}

#[test]
fn two_groups_that_meet_learn_of_each_other() {
    let mut one = machine(1, [(10, 0), (11, 0)]);
    let mut two = machine(2, [(20, 0), (21, 0), (22, 0)]);
    assert_eq!(told_by(&mut one, &mut two), [1, 2, 10, 11, 20, 21, 22]);
    // a node that knows most of the members already
    let mut half = machine(3, [(10, 0), (20, 0), (21, 0), (22, 0), (30, 0)]);
    assert_eq!(told_by(&mut half, &mut two), [] as [u32; 0]);
    assert_eq!(half.view_hash(), two.view_hash());
}

#[test]
fn differences_within_a_group_are_not_broadcast_again() {
    let everyone = || (10..60).map(|peer| (peer, 0));
    let mut one = machine(1, everyone().chain([(2, 0)]));
    let mut two = machine(2, everyone().chain([(1, 0), (70, 0), (71, 0)]));
    assert_eq!(told_by(&mut one, &mut two), [] as [u32; 0]);
    assert_eq!(one.view_hash(), two.view_hash());
    // a newcomer that tries again, and has meanwhile learned of a few members, including the seed
    let mut newcomer = machine(3, [(1, 0), (10, 0)]);
    assert_eq!(told_by(&mut newcomer, &mut one), [] as [u32; 0]);
    assert_eq!(newcomer.size(), 54);
}

#[test]
fn a_difference_in_a_large_view_takes_few_messages() {
    let mut one = machine(1, (10..10_010).map(|peer| (peer, 0)));
    let mut two = machine(2, (10..10_010).map(|peer| (peer, u32::from(peer == 5_000))));
    let (requests, most) = compare(&mut one, &mut two);
    assert!(requests <= 2 && most <= 150, "{requests} requests, {most} entries");
    assert_eq!(one.view_hash(), two.view_hash());
}

#[test]
fn a_missed_verdict_arrives_as_a_correction() {
    let mut one = machine(1, [(2, 0), (10, 0), (11, 0)]);
    let mut two = machine(2, [(1, 0), (10, 0), (11, 0)]);
    let dead = Update { peer: 10, incarnation: at(0), claim: Claim::Dead, by: 2 };
    let _ = two.handle(seconds(1), Input::Update(dead), &mut ChaCha8Rng::seed_from_u64(1));
    compare(&mut one, &mut two);
    assert_eq!(one.status(&10), Some(Status::Failed));
    assert_eq!(one.view_hash(), two.view_hash());
}

#[test]
fn a_comparison_out_of_bounds_is_rejected() {
    let mut one = machine(1, [(2, 0)]);
    let mut chance = ChaCha8Rng::seed_from_u64(1);
    for parts in [0, 3, 512] {
        let sync = Sync { parts: vec![0; parts], first: 0, news: Vec::new() };
        assert_eq!(one.answer_sync(seconds(1), 2, &sync, &mut chance), Err(SyncError::Parts(parts)));
    }
    let news = vec![Update { peer: 3, incarnation: at(0), claim: Claim::Alive, by: 2 }; MAX_ENTRIES + 1];
    let sync = Sync { parts: vec![0], first: usize::MAX, news };
    assert_eq!(one.answer_sync(seconds(1), 2, &sync, &mut chance), Err(SyncError::Entries(MAX_ENTRIES + 1)));
    // A part that does not exist does not differ.
    let sync = Sync { parts: vec![0; 4], first: usize::MAX, news: Vec::new() };
    assert_eq!(one.answer_sync(seconds(1), 2, &sync, &mut chance).unwrap().0.entries, []);
}
