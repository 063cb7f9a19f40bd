//! An origin whose life is earlier than those that peers know.

use super::*;

/// Creates a node that knows as many later lives of node 0 as it can remember.
fn knowing(me: u32) -> Node {
    let (mut world, mut knowing) = (World::of(3), node(me));
    for life in [11, 12, 13, 14] {
        let (answer, _) = world.ask(&mut knowing, 0, Request::Push(rumor(numbered(0, life, 1), 9)));
        assert_eq!(answer, Answer::Fresh);
    }
    knowing
}

fn reissued(out: &Outputs) -> Vec<(Id<u32>, Id<u32>)> {
    let reissued = out.iter().filter_map(|output| match output {
        Output::Reissued { from, to } => Some((from.clone(), to.clone())),
        _ => None,
    });
    reissued.collect()
}

#[test]
fn a_stale_rumor_is_sent_again_in_a_later_life_and_performed_once() {
    let (mut world, mut origin, mut knowing, mut ignorant) = (World::of(3), node(0), knowing(1), node(2));
    let mut open = sends(&world.broadcast(&mut origin, LARGE));
    assert_eq!(open.len(), 2);
    open.sort_by_key(|(_, to, _)| *to);
    // a node that knows no other life performs it
    let second = open.pop().unwrap();
    let (answer, out) = world.ask(&mut ignorant, 0, second.2.clone());
    assert_eq!((answer.clone(), performs(&out)), (Answer::Fresh, 1));
    world.answer(&mut origin, &second, answer);
    // a node that knows later lives does not
    let first = open.pop().unwrap();
    let (answer, out) = world.ask(&mut knowing, 0, first.2.clone());
    assert_eq!((answer.clone(), performs(&out)), (Answer::Stale { incarnation: 14 }, 0));
    let out = world.answer(&mut origin, &first, answer);
    assert_eq!(reissued(&out), [(numbered(0, 1, 1), numbered(0, 15, 1))]);
    assert!(out.contains(&Output::Settled { id: numbered(0, 1, 1) }));
    assert_eq!(origin.incarnation(), 15);
    let mut settled = false;
    for sent in sends(&out) {
        let (node, performed) = if sent.1 == 1 { (&mut knowing, 1) } else { (&mut ignorant, 0) };
        let (answer, out) = world.ask(node, 0, sent.2.clone());
        assert_eq!((answer.clone(), performs(&out)), (Answer::Fresh, performed), "{sent:?}");
        settled |= world.answer(&mut origin, &sent, answer).contains(&Output::Settled { id: numbered(0, 15, 1) });
    }
    assert!(settled);
    // all hold the same, whichever life they received it in
    let hash = origin.hash(world.now);
    assert_eq!(ignorant.hash(world.now), hash);
    assert_eq!(origin.load().retained, 1);
    // a node that received the new id first does not perform the former one
    let mut third = node(2);
    let again = Rumor { former: Some((1, 1)), ..rumor(numbered(0, 15, 1), 1) };
    assert_eq!(performs(&world.ask(&mut third, 0, Request::Push(again)).1), 1);
    assert_eq!(world.ask(&mut third, 1, Request::Push(rumor(numbered(0, 1, 1), 1))).0, Answer::Had);
    // the origin performs neither
    assert!(origin.has_seen(&numbered(0, 1, 1)) && origin.has_seen(&numbered(0, 15, 1)));
}

#[test]
fn a_settled_rumor_that_a_comparison_offers_is_reissued_if_stale() {
    let (mut world, mut origin, mut knowing) = (World::of(3), node(0), knowing(1));
    for push in sends(&world.broadcast(&mut origin, LARGE)) {
        world.answer(&mut origin, &push, Answer::Fresh);
    }
    let (_, _, compare) = sends(&world.tell(&mut origin, Input::Timer(Timer::Tick))).remove(0);
    let (differs, _) = world.ask(&mut knowing, 0, compare);
    let token = Token { number: origin.comparison };
    // the page shows lives of the origin later than its own
    let out = world.tell(&mut origin, Input::Answer { token, from: 1, answer: differs });
    assert_eq!(origin.incarnation(), 15);
    let offered = sends(&out).into_iter().find(is_offer).unwrap();
    let (answer, _) = world.ask(&mut knowing, 0, offered.2.clone());
    assert_eq!(answer, Answer::Stale { incarnation: 14 });
    let out = world.answer(&mut origin, &offered, answer.clone());
    assert_eq!(reissued(&out), [(numbered(0, 1, 1), numbered(0, 15, 1))]);
    // once
    assert_eq!(reissued(&world.answer(&mut origin, &offered, answer)), []);
}

#[test]
fn only_own_rumors_with_valid_lives_are_reissued() {
    let (mut world, mut relay) = (World::of(3), node(0));
    let passed_on = sends(&world.ask(&mut relay, 1, Request::Push(rumor(numbered(1, 4, 1), 1))).1);
    let out = world.answer(&mut relay, &passed_on[0], Answer::Stale { incarnation: 9 });
    assert_eq!((reissued(&out), relay.incarnation()), (vec![], 1));
    let mut origin = Gossip::new(0, 5, Arc::new(GossipConfig::default()));
    for known in [0, 4, u64::MAX] {
        let push = sends(&world.broadcast(&mut origin, LARGE)).remove(0);
        let out = world.answer(&mut origin, &push, Answer::Stale { incarnation: known });
        assert_eq!((reissued(&out), origin.incarnation()), (vec![], 5), "{known}");
    }
}

#[test]
fn a_life_is_raised_from_outside_and_never_lowered() {
    let (mut world, mut origin) = (World::of(3), node(0));
    world.broadcast(&mut origin, LARGE);
    for (life, takes) in [(7, 7), (3, 7), (u64::MAX, 7)] {
        origin.raise(world.now, life);
        assert_eq!(origin.incarnation(), takes);
    }
    let id = origin.broadcast(&mut world.context(), "news", LARGE, &mut Vec::new()).unwrap();
    assert_eq!(id, numbered(0, 7, 1));
    // it receives its former rumors
    assert_eq!(world.ask(&mut origin, 1, Request::Push(rumor(numbered(0, 1, 1), 2))), (Answer::Had, vec![]));
}
