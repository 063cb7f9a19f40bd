//! Which rumors are held, for how long, and how others obtain them later.

use super::*;

#[test]
fn rumors_are_retained_by_count_bytes_and_age() {
    let mut world = World::of(1);
    let mut holder = node_with(0, |config| {
        (config.retained_count, config.retained_bytes) = (3, 3 * LARGE);
        config.retained_age = Duration::from_secs(10);
    });
    for sequence in 1..=5 {
        world.now += Duration::from_secs(1);
        world.ask(&mut holder, 7, Request::Push(rumor(numbered(7, 1, sequence), 1)));
    }
    assert_eq!((holder.load().retained, holder.load().retained_bytes), (3, 3 * LARGE));
    let huge = Rumor { size: (100 * LARGE).into(), ..rumor(numbered(7, 1, 6), 1) };
    world.ask(&mut holder, 7, Request::Push(huge));
    assert_eq!((holder.load().retained, holder.load().retained_bytes), (1, 100 * LARGE));
    // The age counts from the birth, not from the arrival.
    let old = Rumor { age: Duration::from_secs(9), ..rumor(numbered(8, 1, 1), 1) };
    let (answer, _) = world.ask(&mut holder, 8, Request::Push(old));
    assert_eq!(answer, Answer::Fresh);
    world.now += Duration::from_secs(2);
    world.tell(&mut holder, Input::Timer(Timer::Tick));
    let pull = Request::Pull(Arc::new([numbered(8, 1, 1), numbered(7, 1, 6)]));
    let (answer, _) = world.ask(&mut holder, 9, pull);
    let Answer::Rumors { rumors, more: false } = answer else { panic!("{answer:?}") };
    let given: Vec<_> = rumors.iter().map(|rumor| (rumor.id.clone(), rumor.age.as_secs())).collect();
    assert_eq!(given.len(), 0, "trimmed to one rumor: the large one was older: {given:?}");
    let ancient = Rumor { age: Duration::from_secs(11), ..rumor(numbered(9, 1, 1), 1) };
    let (answer, out) = world.ask(&mut holder, 9, Request::Push(ancient));
    assert_eq!((answer, performs(&out)), (Answer::Had, 0));
}

#[test]
fn memory_bounds_what_is_held_and_the_length_on_the_wire_decides_how_it_is_spread() {
    let sparse = Size { wire: 60, memory: 10 * LARGE };
    let mut world = World::of(100);
    let mut holder = node_with(0, |config| {
        (config.retained_bytes, config.queue_bytes, config.requests) = (25 * LARGE, 25 * LARGE, 1);
    });
    let push = |sequence| Request::Push(Rumor { size: sparse, ..rumor(numbered(7, 1, sequence), 9) });
    // a short message is pushed, however much memory it takes
    let sent = sends(&world.ask(&mut holder, 7, push(1)).1);
    assert!(!sent.is_empty() && sent.iter().all(is_push));
    // the next two wait for the requests of the first, and a third has no room
    for (sequence, answer) in [(2, Answer::Fresh), (3, Answer::Fresh), (4, Answer::Busy)] {
        assert_eq!(world.ask(&mut holder, 7, push(sequence)).0, answer, "{sequence}");
    }
    assert_eq!(holder.load().retained_bytes, 20 * LARGE, "the first was dropped");
}

#[test]
fn rumors_that_still_have_to_be_spread_are_not_dropped() {
    let mut world = World::of(100);
    let mut origin = node_with(0, |config| (config.requests, config.retained_count) = (1, 1));
    let mut open = sends(&world.broadcast(&mut origin, LARGE));
    for _ in 0..9 {
        world.broadcast(&mut origin, LARGE);
    }
    let mut pushes = open.len();
    while let Some(push) = open.pop() {
        let sent = sends(&world.answer(&mut origin, &push, Answer::Fresh));
        pushes += sent.len();
        open.extend(sent);
    }
    assert_eq!(pushes, 50);
    assert_eq!((origin.load().own_in_flight, origin.load().requests), (0, 0));
}

#[test]
fn equal_nodes_compare_by_hash_alone() {
    let (mut world, mut one, mut two) = (World::of(2), node(0), node(1));
    for sequence in [1, 2, 3] {
        world.ask(&mut one, 7, Request::Push(rumor(numbered(7, 1, sequence), 9)));
    }
    for sequence in [3, 1, 2] {
        world.ask(&mut two, 7, Request::Push(rumor(numbered(7, 1, sequence), 9)));
    }
    let out = world.tell(&mut one, Input::Timer(Timer::Tick));
    assert!(matches!(out[0], Output::Timer { timer: Timer::Tick, .. }));
    let (_, 1, compare @ Request::Compare { .. }) = sends(&out).remove(0) else { panic!("{out:?}") };
    assert_eq!(world.ask(&mut two, 0, compare).0, Answer::Same);
}

#[test]
fn a_late_joiner_receives_all_rumors_in_bounded_steps() {
    let mut world = World::of(2);
    let tight = |config: &mut GossipConfig| {
        (config.page, config.batch, config.transfer_bytes, config.pulls) = (2, 3, 2 * LARGE, 1);
    };
    let (mut old, mut joiner) = (node_with(0, tight), node_with(1, tight));
    // The node is alone while these arrive, so nothing waits to be spread.
    world.members.count = 1;
    for origin in 10..20 {
        for sequence in [1, 2, 3, 5, 6] {
            world.ask(&mut old, origin, Request::Push(rumor(numbered(origin, 1, sequence), 9)));
        }
    }
    world.members.count = 2;
    let mut open = sends(&world.tell(&mut joiner, Input::Timer(Timer::Tick)));
    let (mut performed, mut largest, mut pages) = (0, 0, 0);
    while let Some(sent) = open.pop() {
        let (answer, _) = world.ask(&mut old, 1, sent.2.clone());
        match &answer {
            Answer::Rumors { rumors, .. } => largest = largest.max(rumors.len()),
            Answer::Differs(page) => {
                assert!(page.held.len() <= 2);
                pages += 1;
            }
            _ => {}
        }
        let out = world.answer(&mut joiner, &sent, answer);
        performed += performs(&out);
        open.extend(sends(&out));
    }
    assert_eq!((performed, largest, pages), (50, 2, 10));
    assert_eq!(joiner.load().retained, 50);
}

#[test]
fn the_comparing_node_offers_what_the_peer_lacks() {
    let (mut world, mut one, mut two) = (World::of(2), node(0), node(1));
    for sequence in [1, 2, 3, 4] {
        world.ask(&mut one, 1, Request::Push(rumor(numbered(7, 1, sequence), 9)));
    }
    world.ask(&mut one, 1, Request::Push(rumor(Id::Opaque("abc".into()), 9)));
    for sequence in [2, 3] {
        world.ask(&mut two, 0, Request::Push(rumor(numbered(7, 1, sequence), 9)));
    }
    let (_, _, compare) = sends(&world.tell(&mut one, Input::Timer(Timer::Tick))).remove(0);
    let compare = (Token { number: 0 }, 1, compare);
    let (differs, _) = world.ask(&mut two, 0, compare.2);
    let token = Token { number: one.comparison };
    let out = world.tell(&mut one, Input::Answer { token, from: 1, answer: differs });
    let (_, 1, Request::Offer(ids)) = sends(&out).remove(0) else { panic!("{out:?}") };
    assert_eq!(ids[..], [numbered(7, 1, 1), numbered(7, 1, 4), Id::Opaque("abc".into())]);
}

#[test]
fn reference_nodes_receive_each_rumor_once_and_nothing_else() {
    let (mut world, mut origin) = (World::of(10), node(0));
    world.members.first_reference = 1;
    let mut reached: Vec<_> = sends(&world.broadcast(&mut origin, LARGE));
    let offered = rumor(numbered(77, 1, 1), 9);
    let (_, out) = world.ask(&mut origin, 77, Request::Push(offered));
    reached.extend(sends(&out));
    for _ in 0..20 {
        world.now += Duration::from_millis(50);
        reached.extend(sends(&world.tell(&mut origin, Input::Timer(Timer::Tick))));
    }
    assert!(reached.iter().all(is_push), "{reached:?}");
    let mut given: Vec<_> = reached
        .iter()
        .map(|(_, to, request)| match request {
            Request::Push(rumor) => (*to, rumor.id.clone()),
            _ => unreachable!(),
        })
        .collect();
    given.sort();
    // Nine peers and two rumors: the ticks have reached the peers that were not drawn before.
    assert_eq!(given.len(), 18);
    given.dedup();
    assert_eq!(given.len(), 18);
}

#[test]
fn a_tick_does_not_send_a_reference_peer_what_it_may_have_forgotten() {
    let (mut world, mut origin) = (World::of(1), node(0));
    for _ in 0..8 {
        world.broadcast(&mut origin, LARGE);
        world.now += Duration::from_millis(10);
    }
    world.members = Members { count: 2, first_reference: 1 };
    let mut sent = sends(&world.tell(&mut origin, Input::Timer(Timer::Tick)));
    sent.retain(is_push);
    assert_eq!(sent.len(), 5);
    world.now += Duration::from_secs(3);
    assert_eq!(sends(&world.tell(&mut origin, Input::Timer(Timer::Tick))), []);
    world.broadcast(&mut origin, LARGE);
    world.now += Duration::from_secs(3);
    assert_eq!(sends(&world.tell(&mut origin, Input::Timer(Timer::Tick))), []);
}

#[test]
fn ticks_are_spread_over_the_interval() {
    let mut world = World::of(100);
    let mut phases = Vec::new();
    for me in 0..100 {
        let out = world.tell(&mut node(me), Input::Start);
        let [Output::Timer { after, timer: Timer::Tick }] = out[..] else { panic!("{out:?}") };
        phases.push(after.as_millis());
    }
    phases.sort_unstable();
    assert!(phases[10] < 60 && phases[90] > 140 && phases[99] < 200, "{phases:?}");
}

#[test]
fn a_node_releases_its_memory_when_it_comes_to_rest() {
    let size = size_of::<Gossip<[u8; 32], Arc<str>>>();
    assert!(size <= 304, "{size} bytes");
    let (mut world, mut origin) = (World::of(100), node(0));
    assert!(origin.traffic.is_none());
    for push in sends(&world.broadcast(&mut origin, LARGE)) {
        world.answer(&mut origin, &push, Answer::Fresh);
    }
    assert!(origin.traffic.is_none());
    world.now += Duration::from_secs(700);
    world.tell(&mut origin, Input::Timer(Timer::Tick));
    assert_eq!(origin.load(), Load::default());
}

#[test]
fn calm_rumors_are_sent_to_few_not_repeated_and_soon_forgotten() {
    let (mut world, mut origin, mut out) = (World::of(100), node(0), Vec::new());
    origin.broadcast_as(CALM, &mut world.context(), "news", 9, &mut out).unwrap();
    let pushes = sends(&out);
    assert_eq!(pushes.len(), 3);
    for push in &pushes {
        assert_eq!(sends(&world.tell(&mut origin, Input::Failure { token: push.0 })).len(), 0, "comparison brings it");
    }
    let Request::Push(pushed) = &pushes[0].2 else { panic!("{pushes:?}") };
    assert!(pushed.urgency.is_calm());
    // young or not, it goes to few peers, and a large one is offered
    for (hop, bytes) in [(1, 9), (7, 9), (7, 100 * LARGE)] {
        let mut relay = node(1);
        let (_, out) = world.ask(&mut relay, 0, Request::Push(Rumor { hop, size: bytes.into(), ..pushed.clone() }));
        let sent = sends(&out);
        assert_eq!((performs(&out), sent.len()), (1, 3));
        assert!(sent.iter().all(if bytes < LARGE { is_push } else { is_offer }));
    }
    // the others are still held
    world.broadcast(&mut origin, 9);
    world.now += Duration::from_secs(61);
    world.tell(&mut origin, Input::Timer(Timer::Tick));
    assert_eq!(origin.load().retained, 1);
    let old = Rumor { id: numbered(7, 1, 1), age: Duration::from_secs(61), ..pushed.clone() };
    let (answer, out) = world.ask(&mut origin, 7, Request::Push(old));
    assert_eq!((answer, performs(&out)), (Answer::Had, 0));
}

#[test]
fn a_calm_rumor_reaches_everyone_for_three_requests_a_node() {
    let count = 100;
    for seed in 0..20 {
        let mut world = World::of(count);
        world.chance = ChaCha8Rng::seed_from_u64(seed);
        let mut nodes: Vec<Node> = (0..count).map(node).collect();
        let mut out = Vec::new();
        nodes[0].broadcast_as(CALM, &mut world.context(), "news", 9, &mut out).unwrap();
        let mut under_way: Vec<(u32, Sent)> = sends(&out).into_iter().map(|sent| (0, sent)).collect();
        let (mut requests, mut ticks) = (0, 0);
        let has = |node: &Node| node.load().retained == 1;
        loop {
            while let Some((from, (token, to, request))) = under_way.pop() {
                requests += usize::from(!matches!(request, Request::Compare { .. }));
                let (answer, out) = world.ask(&mut nodes[to as usize], from, request);
                under_way.extend(sends(&out).into_iter().map(|sent| (to, sent)));
                let out = world.tell(&mut nodes[from as usize], Input::Answer { token, from: to, answer });
                under_way.extend(sends(&out).into_iter().map(|sent| (from, sent)));
            }
            if nodes.iter().all(has) {
                break;
            }
            ticks += 1;
            world.now += Duration::from_millis(200);
            for me in 0..count {
                let out = world.tell(&mut nodes[me as usize], Input::Timer(Timer::Tick));
                under_way.extend(sends(&out).into_iter().map(|sent| (me, sent)));
            }
        }
        assert!(ticks == 0 && requests <= 3 * count as usize, "seed {seed}: {ticks} ticks, {requests} requests");
    }
}

/// Returns the duration of the timer for calm rumors, if it is started.
fn calm_timer(out: &Outputs) -> Option<Duration> {
    out.iter().find_map(|output| match output {
        Output::Timer { after, timer: Timer::Calm } => Some(*after),
        _ => None,
    })
}

#[test]
fn calm_rumors_that_come_together_are_offered_together() {
    let (mut world, mut relay) = (World::of(100), node(1));
    let calm = |sequence| {
        Request::Push(Rumor { urgency: Urgency::Calm, size: 9.into(), ..rumor(numbered(7, 1, sequence), 5) })
    };
    let first = world.ask(&mut relay, 7, calm(1)).1;
    assert!(sends(&first).len() == 3 && sends(&first).iter().all(is_push) && calm_timer(&first).is_none());
    world.answer(&mut relay, &sends(&first)[0], Answer::Fresh);
    let second = world.ask(&mut relay, 7, calm(2)).1;
    assert_eq!((performs(&second), sends(&second)), (1, vec![]), "performed at once, handed on later");
    assert_eq!(calm_timer(&second), Some(Duration::from_millis(100)));
    for sequence in 3..=200 {
        let out = world.ask(&mut relay, 7, calm(sequence)).1;
        assert!(sends(&out).is_empty() && calm_timer(&out).is_none());
    }
    assert_eq!(relay.load().queued, 199);

    // one offer holds 128
    let mut offered = std::collections::BTreeSet::new();
    for expected in [128, 71] {
        world.now += Duration::from_millis(100);
        let out = world.tell(&mut relay, Input::Timer(Timer::Calm));
        let sent = sends(&out);
        assert_eq!(sent.len(), 3);
        for (_, _, request) in &sent {
            let Request::Offer(ids) = request else { panic!("{request:?}") };
            assert_eq!(ids.len(), expected);
            offered.extend(ids.iter().cloned());
        }
        assert_eq!(calm_timer(&out).is_some(), expected == 128);
        let answered = world.answer(&mut relay, &sent[0], Answer::Noted);
        assert_eq!(calm_timer(&answered).is_some(), expected == 128);
    }
    assert_eq!((offered.len(), relay.load().queued), (199, 0));

    // after a silence the next rumor does not wait
    world.now += Duration::from_millis(101);
    assert_eq!(sends(&world.ask(&mut relay, 7, calm(300)).1).len(), 3);
}

#[test]
fn calm_rumors_survive_a_lost_timer_and_do_not_delay_others() {
    let (mut world, mut relay) = (World::of(100), node(1));
    let calm = |sequence| {
        Request::Push(Rumor { urgency: Urgency::Calm, size: 9.into(), ..rumor(numbered(7, 1, sequence), 5) })
    };
    let first = world.ask(&mut relay, 7, calm(1)).1;
    world.answer(&mut relay, &sends(&first)[0], Answer::Fresh);
    world.ask(&mut relay, 7, calm(2));
    assert_eq!(sends(&world.ask(&mut relay, 7, Request::Push(rumor(numbered(7, 1, 3), 5))).1).len(), 6);
    let mut out = Vec::new();
    relay.broadcast_as(CALM, &mut world.context(), "own", 9, &mut out).unwrap();
    assert!(sends(&out).len() == 3 && sends(&out).iter().all(is_push), "its own does not wait");
    let again = world.tell(&mut relay, Input::Start);
    assert_eq!(calm_timer(&again), Some(Duration::from_millis(100)));
    world.now += Duration::from_millis(100);
    assert!(sends(&world.tell(&mut relay, Input::Timer(Timer::Calm))).iter().all(is_push), "a single one is pushed");
    assert_eq!(relay.load().queued, 0);
}

#[test]
fn calm_rumors_wait_longer_while_peers_are_slow() {
    for (took, next) in [(0, 100), (49, 100), (60, 120), (400, 800), (700, 1_000)] {
        let (mut world, mut relay) = (World::of(100), node(1));
        let calm = |sequence| {
            Request::Push(Rumor { urgency: Urgency::Calm, size: 9.into(), ..rumor(numbered(7, 1, sequence), 5) })
        };
        let first = sends(&world.ask(&mut relay, 7, calm(1)).1);
        let out = world.ask(&mut relay, 7, calm(2)).1;
        assert_eq!(calm_timer(&out), Some(Duration::from_secs(1)), "when nobody answers");
        world.now += Duration::from_millis(took);
        let out = world.answer(&mut relay, &first[0], Answer::Fresh);
        let rest = Duration::from_millis(next - took);
        assert_eq!(calm_timer(&out), Some(rest).filter(|_| next < 1_000), "answered after {took} ms");
        let later = world.answer(&mut relay, &first[1], Answer::Fresh);
        assert_eq!(calm_timer(&later), None, "the first answer counts");
        world.now += rest;
        assert_eq!(sends(&world.tell(&mut relay, Input::Timer(Timer::Calm))).len(), 3);
    }
}
