//! How often nodes compare.

use super::*;

const TICK: u128 = 200;

fn after(out: &Outputs) -> Option<Duration> {
    out.iter().rev().find_map(|output| match output {
        Output::Timer { after, timer: Timer::Tick } => Some(*after),
        _ => None,
    })
}

/// Lets a node tick, and answers each comparison with `answer`. Returns the intervals in ticks.
fn intervals(world: &mut World, node: &mut Node, ticks: usize, answer: Option<Answer<u32, &'static str>>) -> Vec<u128> {
    let mut intervals = Vec::new();
    for _ in 0..ticks {
        let out = world.tell(node, Input::Timer(Timer::Tick));
        let after = after(&out).unwrap();
        intervals.push((after.as_millis() + TICK / 2) / TICK);
        for sent in sends(&out) {
            match answer.clone() {
                Some(answer) => world.answer(node, &sent, answer),
                None => world.tell(node, Input::Failure { token: sent.0 }),
            };
        }
        world.now += after;
    }
    intervals
}

/// Lets nothing happen for a long time. The last timer has just been started.
fn rest(world: &mut World, node: &mut Node) {
    intervals(world, node, 12, Some(Answer::Same));
    for sent in sends(&world.tell(node, Input::Timer(Timer::Tick))) {
        world.answer(node, &sent, Answer::Same);
    }
}

fn within(intervals: &[u128], least: u128, most: u128) -> bool {
    intervals.iter().all(|interval| (least..=most).contains(interval))
}

#[test]
fn the_interval_doubles_with_every_two_comparisons_without_a_difference() {
    let (mut world, mut idle) = (World::of(100), node(0));
    let found = intervals(&mut world, &mut idle, 12, Some(Answer::Same));
    assert!(within(&found[..2], 1, 1) && within(&found[2..4], 2, 2) && within(&found[4..6], 4, 4), "{found:?}");
    assert!(within(&found[6..8], 7, 9) && within(&found[8..], 14, 18), "{found:?}");
    // failures count half, so that a group of dead nodes does not keep a node busy
    let found = intervals(&mut world, &mut node(0), 20, None);
    assert!(within(&found[..4], 1, 1) && within(&found[4..8], 2, 2) && within(&found[16..], 14, 18), "{found:?}");
    // a node with one peer waits at most four ticks, and a lone node the longest time
    for (count, least, most) in [(2, 4, 4), (3, 7, 9), (1, 14, 18)] {
        world.members.count = count;
        let found = intervals(&mut world, &mut node(0), 12, Some(Answer::Same));
        assert!(within(&found[10..], least, most), "{count}: {found:?}");
    }
}

#[test]
fn anything_new_resets_the_interval_to_one_tick_during_a_long_timer() {
    type Act = fn(&mut World, &mut Node) -> Outputs;
    let news: [(&str, Act); 5] = [
        ("a rumor sent", |world, node| world.broadcast(node, LARGE)),
        ("one received", |world, node| world.ask(node, 7, Request::Push(rumor(numbered(7, 1, 1), 1))).1),
        ("one offered that its holder does not hand over", |world, node| {
            let pull = sends(&world.ask(node, 7, offer(&numbered(7, 1, 1))).1).remove(0);
            world.tell(node, Input::Failure { token: pull.0 })
        }),
        ("a peer that differs", |world, node| world.tell(node, Input::Differs { peer: 7 })),
        ("a comparison that differs", |world, node| {
            let sent = sends(&world.tell(node, Input::Timer(Timer::Tick))).remove(0);
            world.answer(node, &sent, Answer::Differs(Page { after: None, held: vec![], next: None }))
        }),
    ];
    for (what, act) in news {
        let (mut world, mut idle) = (World::of(100), node(0));
        rest(&mut world, &mut idle);
        world.now += Duration::from_millis(300);
        let out = act(&mut world, &mut idle);
        assert!(after(&out).is_some_and(|after| after.as_millis() <= TICK), "{what}: {out:?}");
        // there it stays as long as at first
        assert!(within(&intervals(&mut world, &mut idle, 2, Some(Answer::Same)), 1, 1), "{what}");
    }
    // calm rumors can wait
    let (mut world, mut idle) = (World::of(100), node(0));
    rest(&mut world, &mut idle);
    let calm = Rumor { urgency: Urgency::Calm, ..rumor(numbered(7, 1, 1), 1) };
    let mut out = world.ask(&mut idle, 7, Request::Push(calm)).1;
    idle.broadcast_as(CALM, &mut world.context(), "news", 9, &mut out).unwrap();
    assert!(performs(&out) == 1 && after(&out).is_none(), "{out:?}");
    assert!(within(&intervals(&mut world, &mut idle, 2, Some(Answer::Same)), 14, 18));
    // a known rumor is not new
    let (mut world, mut idle) = (World::of(100), node(0));
    world.ask(&mut idle, 7, Request::Push(rumor(numbered(7, 1, 1), 1)));
    rest(&mut world, &mut idle);
    for request in [Request::Push(rumor(numbered(7, 1, 1), 1)), offer(&numbered(7, 1, 1))] {
        assert_eq!(world.ask(&mut idle, 7, request).1, []);
    }
}

#[test]
fn a_node_compares_with_a_differing_peer_at_once_and_at_most_once_a_tick() {
    let (mut world, mut one) = (World::of(100), node(0));
    let sent = sends(&world.tell(&mut one, Input::Differs { peer: 7 }));
    assert!(matches!(sent[..], [(_, 7, Request::Compare { .. })]), "{sent:?}");
    assert_eq!(world.tell(&mut one, Input::Differs { peer: 8 }), []);
    world.now += Duration::from_millis(200);
    assert_eq!(sends(&world.tell(&mut one, Input::Differs { peer: 8 })).len(), 1);
    assert_eq!(world.tell(&mut one, Input::Differs { peer: 0 }), [], "it differs from itself");
}

#[test]
fn a_node_at_rest_does_not_compare_while_peers_state_the_same_hash() {
    let (mut world, mut idle) = (World::of(100), node(0));
    // something is new, so the nodes compare whatever peers state
    idle.same();
    assert_eq!(sends(&world.tell(&mut idle, Input::Timer(Timer::Tick))).len(), 1);
    rest(&mut world, &mut idle);
    for (stated, stretch) in [(1, 4), (4, 16), (16, 16)] {
        for _ in 0..stated {
            idle.same();
        }
        let out = world.tell(&mut idle, Input::Timer(Timer::Tick));
        assert_eq!(sends(&out).len(), 0);
        let ticks = after(&out).unwrap().as_millis() / TICK;
        assert!((14 * stretch..=18 * stretch).contains(&ticks), "{ticks}");
    }
    // they state it less often than this node would compare
    for _ in 0..15 {
        idle.same();
    }
    let found = intervals(&mut world, &mut idle, 2, Some(Answer::Same));
    assert!(within(&found, 14, 18), "{found:?}");
    // then something is new
    rest(&mut world, &mut idle);
    world.now += Duration::from_millis(300);
    idle.same();
    let out = world.tell(&mut idle, Input::Differs { peer: 7 });
    assert!(after(&out).is_some_and(|after| after.as_millis() <= TICK), "{out:?}");
}

#[test]
fn a_node_does_not_slow_down_while_a_peer_that_cannot_compare_may_lack_a_rumor() {
    let (mut world, mut origin) = (World::of(3), node(0));
    world.members.first_reference = 1;
    world.broadcast(&mut origin, LARGE);
    let found = intervals(&mut world, &mut origin, 20, None);
    assert!(within(&found[..9], 1, 1) && found[19] > 2, "{found:?}");
}

#[test]
fn expired_rumors_do_not_count_in_the_hash() {
    let (mut world, mut holder) = (World::of(3), node(0));
    assert_eq!(holder.hash(world.now), 0);
    world.broadcast(&mut holder, 9);
    assert_ne!(holder.hash(world.now), 0);
    world.now += Duration::from_secs(601);
    let (answer, _) = world.ask(&mut holder, 1, Request::Compare { hash: 0, after: None });
    assert_eq!((answer, holder.hash(world.now)), (Answer::Same, 0));
}
