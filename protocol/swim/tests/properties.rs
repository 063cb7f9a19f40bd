//! Properties that hold for all messages, in any order.

use proptest::prelude::*;

use super::comparing::{compare, machine};
use super::*;

#[test]
fn precedence_is_a_strict_total_order() {
    let mut all = Vec::new();
    for life in 0..2 {
        for turn in 0..3 {
            for claim in [Claim::Alive, Claim::Suspect, Claim::Dead, Claim::Left] {
                all.push((Incarnation { life, turn }, claim));
            }
        }
    }
    for a in &all {
        for b in &all {
            assert_eq!(supersedes(*a, *b), a > b, "{a:?} {b:?}");
        }
    }
}

fn claims() -> impl Strategy<Value = Claim> {
    prop_oneof![Just(Claim::Alive), Just(Claim::Suspect), Just(Claim::Dead), Just(Claim::Left)]
}

fn updates() -> impl Strategy<Value = Update<u32>> {
    (1..4_u32, 0..2_u64, 0..3_u32, claims(), 1..9_u32).prop_map(|(peer, life, turn, claim, by)| Update {
        peer,
        incarnation: Incarnation { life, turn },
        claim,
        by,
    })
}

proptest! {
    #[test]
    fn any_two_views_agree_after_a_comparison(
        ones in prop::collection::btree_map(10..60_u32, 0..3_u32, 0..40),
        twos in prop::collection::btree_map(10..60_u32, 0..3_u32, 0..40),
        padding in 0..600_u32,
    ) {
        let padding = (1_000..1_000 + padding).map(|peer| (peer, 0));
        let mut one = machine(1, ones.into_iter().chain(padding.clone()));
        let mut two = machine(2, twos.into_iter().chain(padding));
        compare(&mut one, &mut two);
        prop_assert_eq!(one.view_hash(), two.view_hash());
    }

    #[test]
    fn views_merge_to_one_result_in_any_order(
        (news, shuffled) in prop::collection::vec(updates(), 0..30)
            .prop_flat_map(|news| (Just(news.clone()), Just(news).prop_shuffle())),
        repeated in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        pending in any::<bool>(),
    ) {
        let mut views = Vec::new();
        let again: Vec<_> = repeated.iter().filter(|_| !news.is_empty()).map(|index| *index.get(&news)).collect();
        for order in [news.clone(), [again, shuffled].concat()] {
            let mut node = Node::new(SwimConfig { confirmations: 64, ..SwimConfig::default() });
            if pending {
                node.tell(Input::Add(2));
            }
            for update in order {
                node.tell(Input::Update(update));
            }
            let cases: Vec<_> = node.swim.suspicions.iter()
                .map(|(peer, case)| (*peer, case.incarnation, case.accusers.clone())).collect();
            views.push((node.swim.peers().collect::<Vec<_>>(), cases));
        }
        prop_assert_eq!(&views[0], &views[1]);
    }

    #[test]
    fn events_alternate_whatever_is_heard(news in prop::collection::vec(updates(), 0..60)) {
        let mut node = Node::new(SwimConfig::default());
        node.tell(Input::Start);
        for update in news {
            node.tell(Input::Told(update));
            node.run(Duration::from_millis(700), |peer| if peer == 2 { Outcome::Lost } else { Outcome::Answered(Statement::default()) });
        }
        for peer in 1..4 {
            let mut last = None;
            for event in &node.events {
                let (who, kind) = match event {
                    MemberEvent::Joined { peer, .. } => (*peer, 'j'),
                    MemberEvent::Suspected { peer, .. } => (*peer, 's'),
                    MemberEvent::Refuted { peer, .. } => (*peer, 'r'),
                    MemberEvent::Failed { peer, .. } => (*peer, 'f'),
                    MemberEvent::Left { peer, .. } => (*peer, 'l'),
                    MemberEvent::Rejoined { peer, .. } => (*peer, 'b'),
                    MemberEvent::Unreachable { .. } | MemberEvent::AddressTaken { .. } | MemberEvent::Merged { .. } => continue,
                };
                if who != peer {
                    continue;
                }
                let allowed = match last {
                    None => "jb",
                    Some('l') => "jb",
                    Some('j' | 'r' | 'b') => "sflb",
                    Some('s') => "rflb",
                    Some(_) => "bj",
                };
                prop_assert!(allowed.contains(kind), "{:?}", node.events);
                last = Some(kind);
            }
        }
    }

    #[test]
    fn signs_of_life_that_nobody_minds_change_nothing(
        news in prop::collection::vec(updates(), 0..30),
        stated in prop::option::of((0..3_u64, 0..4_u32)),
    ) {
        let mut node = Node::new(SwimConfig::default());
        node.tell(Input::Start);
        node.tell(Input::Add(3));
        for update in news {
            node.tell(Input::Told(update));
            node.run(Duration::from_millis(700), |peer| if peer == 2 { Outcome::Lost } else { Outcome::Answered(Statement::default()) });
        }
        let incarnation = stated.map(|(life, turn)| Incarnation { life: life + 1, turn });
        for peer in 0..5 {
            if node.swim.minds(&peer, incarnation) {
                continue;
            }
            let stated = incarnation.map(Statement::of);
            let sign = stated.map_or(Input::Answered(peer), |stated| Input::Heard { peer, stated });
            // an input without effect, so that the passing of time affects both machines
            let nothing = Input::Timer(Timer::Relays { token: Token(0) });
            let (mut one, mut other) = (node.swim.clone(), node.swim.clone());
            prop_assert_eq!(one.handle(node.now, sign, &mut node.chance), other.handle(node.now, nothing, &mut node.chance));
            prop_assert_eq!(one, other);
        }
    }
}
