//! Which rumors a newcomer performs, and how it learns the history.

use super::*;

fn newcomer(me: u32) -> Node {
    Gossip::newcomer(me, 1, Arc::new(GossipConfig::default()))
}

fn enter(through: Option<u32>) -> Input<u32, &'static str> {
    Input::Enter { through }
}

fn has_entered(out: &Outputs) -> bool {
    out.contains(&Output::Entered)
}

fn seen(entered: bool, ids: Vec<Id<u32>>) -> Answer<u32, &'static str> {
    Answer::Seen(History { entered, incarnation: None, ids, more: false })
}

fn timer() -> Input<u32, &'static str> {
    Input::Timer(Timer::Entry)
}

#[test]
fn a_rumor_started_before_the_entry_is_held_and_not_performed() {
    let (mut world, mut old, mut new) = (World::of(2), node(0), newcomer(1));
    for sequence in 1..=3 {
        world.ask(&mut old, 7, Request::Push(rumor(numbered(7, 1, sequence), 9)));
    }
    world.ask(&mut old, 7, Request::Push(rumor(Id::Opaque("m".into()), 9)));
    let asked = sends(&world.tell(&mut new, enter(None)));
    assert_eq!(asked.len(), 1);
    let (answer, _) = world.ask(&mut old, 1, asked[0].2.clone());
    assert_eq!(answer, seen(true, vec![numbered(7, 1, 3), Id::Opaque("m".into())]));
    assert!(has_entered(&world.answer(&mut new, &asked[0], answer)));
    // comparison brings all of them, and none is performed
    world.ask(&mut old, 7, Request::Push(rumor(numbered(7, 1, 4), 9)));
    let mut open = sends(&world.tell(&mut new, Input::Timer(Timer::Tick)));
    let mut performed = Vec::new();
    while let Some(sent) = open.pop() {
        let (answer, _) = world.ask(&mut old, 1, sent.2.clone());
        let out = world.answer(&mut new, &sent, answer);
        performed.extend(out.iter().filter_map(|output| match output {
            Output::Perform { id, .. } => Some(id.clone()),
            _ => None,
        }));
        open.extend(sends(&out));
    }
    assert_eq!(performed, [numbered(7, 1, 4)], "started after the entry");
    assert_eq!(new.load().retained, 5, "it can hand on the others");
    assert_eq!(new.hash(world.now), old.hash(world.now));
}

#[test]
fn a_replayed_rumor_and_all_of_a_replaying_group_are_performed_by_newcomers() {
    let (mut world, mut new) = (World::of(2), newcomer(1));
    let asked = sends(&world.tell(&mut new, enter(None)));
    world.answer(&mut new, &asked[0], seen(true, vec![numbered(7, 1, 3)]));
    for (sequence, replay) in [(1, false), (2, true), (3, false)] {
        let pushed = Rumor { replay, ..rumor(numbered(7, 1, sequence), 1) };
        let (answer, out) = world.ask(&mut new, 0, Request::Push(pushed));
        assert_eq!((answer, performs(&out) == 1), (Answer::Fresh, replay), "{sequence}");
    }
    let config = GossipConfig { replay: true, ..GossipConfig::default() };
    let mut new = Gossip::newcomer(1, 1, Arc::new(config));
    let out = world.tell(&mut new, enter(None));
    assert!(has_entered(&out) && sends(&out).is_empty(), "{out:?}");
    assert_eq!(performs(&world.ask(&mut new, 0, Request::Push(rumor(numbered(7, 1, 1), 1))).1), 1);
}

#[test]
fn a_node_that_enters_performs_pushes_and_neither_pulls_nor_compares() {
    let (mut world, mut new) = (World::of(9), newcomer(1));
    let asked = sends(&world.tell(&mut new, enter(None)));
    assert_eq!(asked.len(), 3);
    let (answer, out) = world.ask(&mut new, 2, Request::Push(rumor(numbered(7, 1, 5), 1)));
    assert_eq!((answer, performs(&out)), (Answer::Fresh, 1));
    assert_eq!(world.ask(&mut new, 2, offer(&numbered(8, 1, 1))), (Answer::Noted, vec![]));
    assert_eq!(sends(&world.tell(&mut new, Input::Timer(Timer::Tick))), []);
    let (answer, _) = world.ask(&mut new, 2, Request::Compare { hash: 1, after: None });
    assert!(matches!(answer, Answer::Differs(_)));
    // 5 was performed, but earlier rumors that arrive later are not
    world.answer(&mut new, &asked[1], seen(true, vec![numbered(7, 1, 5)]));
    assert_eq!(world.ask(&mut new, 2, Request::Push(rumor(numbered(7, 1, 5), 1))).0, Answer::Had);
    assert_eq!(performs(&world.ask(&mut new, 2, Request::Push(rumor(numbered(7, 1, 4), 1))).1), 0);
    assert_eq!(performs(&world.ask(&mut new, 2, Request::Push(rumor(numbered(7, 1, 6), 1))).1), 1);
    assert_eq!(sends(&world.ask(&mut new, 2, offer(&numbered(8, 1, 1))).1).len(), 1);
}

#[test]
fn the_history_of_one_peer_that_has_entered_is_enough() {
    let (mut world, mut new) = (World::of(100), newcomer(1));
    let asked = sends(&world.tell(&mut new, enter(Some(42))));
    assert_eq!((asked.len(), asked[0].1), (3, 42), "the one that let it in is asked first");
    assert!(!has_entered(&world.answer(&mut new, &asked[1], seen(false, vec![numbered(8, 1, 2)]))));
    let out = world.answer(&mut new, &asked[0], seen(true, vec![numbered(7, 1, 3)]));
    assert!(has_entered(&out) && out.contains(&Output::Cancel { token: asked[2].0 }), "{out:?}");
    // the history of a peer that is also new counts, too
    assert_eq!(performs(&world.ask(&mut new, 2, Request::Push(rumor(numbered(8, 1, 2), 1))).1), 0);
    assert!(has_entered(&world.tell(&mut new, enter(None))), "it is entered once");
}

#[test]
fn a_new_group_is_entered_once_eight_peers_are_new_too() {
    let (mut world, mut new) = (World::of(100), newcomer(1));
    let mut open = sends(&world.tell(&mut new, enter(None)));
    let mut asked = Vec::new();
    while let Some(sent) = open.pop() {
        assert!(!new.has_entered());
        asked.push(sent.1);
        open.extend(sends(&world.answer(&mut new, &sent, seen(false, vec![]))));
        open.retain(|(_, _, request)| matches!(request, Request::Enter { .. }));
    }
    asked.sort_unstable();
    asked.dedup();
    assert!(new.has_entered());
    assert_eq!(asked.len(), 8);
}

#[test]
fn two_newcomers_of_a_new_group_enter_by_each_other() {
    let (mut world, mut one, mut two) = (World::of(2), newcomer(0), newcomer(1));
    let first = sends(&world.tell(&mut one, enter(None))).remove(0);
    let second = sends(&world.tell(&mut two, enter(None))).remove(0);
    let (to_first, _) = world.ask(&mut two, 0, first.2.clone());
    let (to_second, _) = world.ask(&mut one, 1, second.2.clone());
    assert!(has_entered(&world.answer(&mut one, &first, to_first)));
    assert!(has_entered(&world.answer(&mut two, &second, to_second)));
}

#[test]
fn silent_peers_are_asked_again_until_the_entry_times_out() {
    // 300 ms without answers, and a second if the peer through which it enters is alive, or a page has arrived
    for (through, page, most) in [(None, false, 300), (Some(3), false, 1_000), (None, true, 1_000)] {
        let (mut world, mut new) = (World::of(4), newcomer(1));
        let begun = world.now;
        let mut out = world.tell(&mut new, enter(through));
        let first = sends(&out);
        if page {
            let ids = vec![numbered(7, 1, 3)];
            let answer = Answer::Seen(History { entered: true, incarnation: None, ids, more: true });
            let next = sends(&world.answer(&mut new, &first[0], answer));
            assert_eq!(next[0].2, Request::Enter { after: Some(numbered(7, 1, 3)) });
        }
        let mut requests = first.len();
        while let Some(after) = out.iter().find_map(|output| match output {
            Output::Timer { after, timer: Timer::Entry } => Some(*after),
            _ => None,
        }) {
            world.now += after;
            out = world.tell(&mut new, timer());
            requests += sends(&out).len();
        }
        assert!(has_entered(&out), "{through:?} {page}");
        assert_eq!((world.now - begun).as_millis(), most, "{through:?} {page}");
        assert!((9..=40).contains(&requests), "{requests}");
        assert!(world.answer(&mut new, &first[1], seen(true, vec![numbered(9, 1, 9)])).is_empty(), "it is too late");
        assert_eq!(performs(&world.ask(&mut new, 2, Request::Push(rumor(numbered(9, 1, 9), 1))).1), 1);
    }
}

#[test]
fn the_next_round_repeats_a_lost_request_and_a_late_answer_counts() {
    let (mut world, mut new) = (World::of(2), newcomer(1));
    let first = sends(&world.tell(&mut new, enter(None))).remove(0);
    world.now += Duration::from_millis(100);
    let second = sends(&world.tell(&mut new, timer())).remove(0);
    assert_eq!(second.1, first.1);
    world.tell(&mut new, Input::Failure { token: second.0 });
    assert!(has_entered(&world.answer(&mut new, &first, seen(true, vec![]))));
}

#[test]
fn a_lone_node_enters_when_another_joins() {
    let (mut world, mut founder, mut second) = (World::of(1), newcomer(0), newcomer(1));
    let out = world.tell(&mut founder, enter(None));
    assert!(has_entered(&out) && sends(&out).is_empty());
    world.broadcast(&mut founder, 9);
    world.members.count = 2;
    // the second node asks the first, which asks back
    let asked = sends(&world.tell(&mut second, enter(Some(0)))).remove(0);
    let (answer, out) = world.ask(&mut founder, 1, asked.2.clone());
    assert_eq!(answer, seen(false, vec![numbered(0, 1, 1)]));
    let back = sends(&out).remove(0);
    assert!(has_entered(&world.answer(&mut second, &asked, answer)));
    assert_eq!(performs(&world.ask(&mut second, 0, Request::Push(rumor(numbered(0, 1, 1), 1))).1), 0);
    let (answer, _) = world.ask(&mut second, 0, back.2.clone());
    assert!(has_entered(&world.answer(&mut founder, &back, answer)));
    assert!(founder.has_entered());
}

#[test]
fn history_has_pages_and_omits_expired_rumors() {
    let mut world = World::of(2);
    let mut old = node_with(0, |config| config.page = 1);
    world.ask(&mut old, 7, Request::Push(rumor(numbered(5, 1, 9), 9)));
    world.now += Duration::from_secs(700);
    for origin in 10..20 {
        world.ask(&mut old, 7, Request::Push(rumor(numbered(origin, 1, 2), 9)));
        world.ask(&mut old, 7, Request::Push(rumor(Id::Opaque(format!("m{origin}").into()), 9)));
    }
    world.broadcast(&mut old, 9);
    let mut new = newcomer(1);
    let mut open = sends(&world.tell(&mut new, enter(None)));
    let (mut ids, mut pages) = (Vec::new(), 0);
    while let Some(sent) = open.pop().filter(|(_, _, request)| matches!(request, Request::Enter { .. })) {
        let (answer, _) = world.ask(&mut old, 1, sent.2.clone());
        let Answer::Seen(history) = &answer else { panic!("{answer:?}") };
        assert!(history.ids.len() <= 4);
        ids.extend(history.ids.clone());
        pages += 1;
        open.extend(sends(&world.answer(&mut new, &sent, answer)));
    }
    assert_eq!((ids.len(), pages), (21, 6), "{ids:?}");
    assert!(ids.is_sorted() && !ids.contains(&numbered(5, 1, 9)));
    assert!(new.has_entered());
    assert_eq!((new.load().earlier_lives, new.load().earlier_opaque), (11, 10));
    // no peer can send any of it after the retention time
    world.now += Duration::from_secs(620);
    world.tell(&mut new, Input::Timer(Timer::Tick));
    assert_eq!(new.load().earlier_lives, 0);
}

#[test]
fn an_endless_history_is_cut_off() {
    let (mut world, mut new) = (World::of(2), newcomer(1));
    let mut open = sends(&world.tell(&mut new, enter(None)));
    let mut pages = 0;
    while let Some(sent) = open.pop() {
        // a page that continues and starts again each time
        let answer =
            Answer::Seen(History { entered: true, incarnation: None, ids: vec![numbered(7, 1, 3)], more: true });
        pages += 1;
        open = sends(&world.answer(&mut new, &sent, answer));
        open.retain(|(_, _, request)| matches!(request, Request::Enter { .. }));
    }
    assert_eq!(pages, 2);
    assert!(new.has_entered());
}

#[test]
fn reference_nodes_are_not_asked_for_history() {
    let (mut world, mut new) = (World::of(5), newcomer(1));
    world.members.first_reference = 0;
    let out = world.tell(&mut new, enter(Some(3)));
    assert!(has_entered(&out) && sends(&out).is_empty(), "{out:?}");
}

#[test]
fn a_newcomer_takes_a_later_life_than_peers_know_of_it() {
    for (known, takes) in [(None, 1), (Some(0), 1), (Some(1), 2), (Some(9), 10), (Some(u64::MAX), 1)] {
        let (mut world, mut new) = (World::of(2), newcomer(1));
        let asked = sends(&world.tell(&mut new, enter(None))).remove(0);
        let answer = Answer::Seen(History { entered: true, incarnation: known, ids: vec![], more: false });
        world.answer(&mut new, &asked, answer);
        assert_eq!(new.incarnation(), takes, "{known:?}");
    }
    let (mut world, mut old) = (World::of(2), node(0));
    world.ask(&mut old, 1, Request::Push(rumor(numbered(1, 5, 1), 9)));
    world.ask(&mut old, 1, Request::Push(rumor(numbered(1, 3, 1), 9)));
    let (answer, _) = world.ask(&mut old, 1, Request::Enter { after: None });
    let Answer::Seen(history) = answer else { panic!("{answer:?}") };
    assert_eq!(history.incarnation, Some(5));
}
