//! Tests of restarts, removals and returns.

use super::*;

#[test]
fn a_late_verdict_does_not_remove_a_node_that_has_returned() {
    let mut node = Node::among(1..=5);
    node.tell(Input::Update(says(3, 3, 1, Claim::Alive)));
    node.tell(Input::Update(says(4, 3, 0, Claim::Dead)));
    assert_eq!((node.status(3), node.events.len()), (Some(Status::Alive), 0));
    node.tell(Input::Update(says(4, 3, 1, Claim::Dead)));
    assert_eq!(node.status(3), Some(Status::Failed));
}

#[test]
fn a_restart_within_the_restart_time_is_not_a_failure() {
    let mut node = Node::among(1..=1);
    node.run(seconds(1), |_| Outcome::Refused);
    assert_eq!(node.status(1), Some(Status::Suspect));
    let again = Statement::of(Incarnation::of_life(LIFE + 1));
    let outputs = node.run(seconds(5), |_| Outcome::Answered(again));
    assert!(!node.events.iter().any(|event| matches!(event, MemberEvent::Failed { .. })));
    assert!(node.events.contains(&MemberEvent::Rejoined { peer: 1, incarnation: again.incarnation }));
    assert_eq!(welcomes(&outputs), 1, "the new process knows nobody");
}

/// Counts the probes that tell their peers that they are members.
fn welcomes(outputs: &[Output<u32>]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::Probe { welcome: true, .. })).count()
}

#[test]
fn every_member_welcomes_a_restarted_member_until_it_answers() {
    let again = Incarnation::of_life(LIFE + 1);
    let mut node = Node::among(1..=3);
    // another member reports the restart, so it is not urgent
    let said = Update { peer: 1, incarnation: again, claim: Claim::Alive, by: 2 };
    assert_eq!(welcomes(&node.tell(Input::Update(said))), 0);
    let answer = |lives: bool| {
        move |peer: u32| match (peer, lives) {
            (1, true) => Outcome::Answered(Statement::of(again)),
            (1, false) => Outcome::Lost,
            _ => well(peer),
        }
    };
    assert!(welcomes(&node.run(seconds(2), answer(false))) > 1, "what is lost is said again");
    assert_eq!(welcomes(&node.run(seconds(10), answer(true))), 1);
    assert_eq!(welcomes(&node.run(seconds(10), answer(true))), 0);
    // this node notices the restart first, so it probes at once
    let later = Statement::of(Incarnation::of_life(LIFE + 2));
    assert_eq!(welcomes(&node.tell(Input::Heard { peer: 1, stated: later })), 1);
    // a peer that was never heard from has not restarted
    let mut node = Node::among(1..=3);
    node.tell(Input::Add(9));
    assert_eq!(welcomes(&node.tell(Input::Heard { peer: 9, stated: later })), 0);
}

#[test]
fn a_failed_member_that_is_put_again_is_welcomed_in_its_next_life() {
    let mut node = Node::among(1..=3);
    node.tell(Input::Update(says(2, 1, 0, Claim::Dead)));
    node.tell(Input::Add(1));
    assert_eq!(node.status(1), Some(Status::Pending));
    let again = Statement::of(Incarnation::of_life(LIFE + 1));
    assert_eq!(welcomes(&node.tell(Input::Heard { peer: 1, stated: again })), 1);
}

#[test]
fn a_restarted_member_that_is_about_to_join_is_welcomed_again_once_it_has_joined() {
    let (again, id) = (Incarnation::of_life(LIFE + 1), ClusterId::new(7));
    let mut node = Node::among(1..=3);
    let stated = |cluster| Statement { cluster, ..Statement::of(again) };
    assert_eq!(node.swim.relate(&Statement { cluster: id, ..Statement::of(at(0)) }, false), Relation::Member);
    node.tell(Input::Update(Update { peer: 1, incarnation: again, claim: Claim::Alive, by: 2 }));
    let answer = |cluster| {
        move |peer: u32| match peer {
            1 => Outcome::Answered(stated(cluster)),
            _ => well(peer),
        }
    };
    // it rejects a welcome while it tries its seeds, and its answer states no cluster
    assert!(welcomes(&node.run(seconds(10), answer(None))) > 1);
    assert_eq!(welcomes(&node.run(seconds(10), answer(id))), 1);
    assert_eq!(welcomes(&node.run(seconds(10), answer(id))), 0);
}

#[test]
fn a_life_too_far_ahead_is_rejected() {
    let mut node = Node::among(1..=3);
    let hour = 3_600_000;
    node.now = seconds(10);
    let claim = |life, claim| Update { peer: 3, incarnation: Incarnation::of_life(life), claim, by: 4 };
    node.tell(Input::Update(claim(LIFE + hour + 10_001, Claim::Dead)));
    node.tell(Input::Update(claim(1 << 53, Claim::Left)));
    assert_eq!((node.status(3), node.events.len()), (Some(Status::Alive), 0));
    let stated = Statement::of(Incarnation::of_life(1 << 53));
    node.tell(Input::Heard { peer: 3, stated });
    node.tell(Input::Update(Update { peer: ME, incarnation: stated.incarnation, claim: Claim::Alive, by: 4 }));
    assert_eq!(node.swim.incarnation(), at(0));
    node.tell(Input::Update(claim(LIFE + hour + 10_000, Claim::Dead)));
    assert_eq!(node.status(3), Some(Status::Failed));
}

#[test]
fn another_life_at_this_address_is_reported_and_contradicted_once_a_minute() {
    let mut node = Node::among(1..=3);
    let other = |life| Update { peer: ME, incarnation: Incarnation::of_life(life), claim: Claim::Alive, by: 2 };
    node.tell(Input::Told(other(LIFE + 50)));
    assert_eq!(node.swim.incarnation(), Incarnation::of_life(LIFE + 51), "an earlier start, perhaps");
    node.tell(Input::Told(other(LIFE + 60)));
    assert_eq!(node.swim.incarnation(), Incarnation::of_life(LIFE + 51), "no race of two processes");
    let taken = |life| MemberEvent::AddressTaken { incarnation: Incarnation::of_life(life) };
    assert_eq!(node.events, [taken(LIFE + 50), taken(LIFE + 60)]);
}

#[test]
fn a_peer_that_an_operator_removed_stays_removed_until_it_is_added() {
    let mut node = Node::among(1..=5);
    node.tell(Input::Remove(3));
    node.tell(Input::Update(says(3, 3, 7, Claim::Alive)));
    node.tell(Input::Told(says(3, 3, 8, Claim::Alive)));
    node.tell(Input::Heard { peer: 3, stated: Statement::of(at(9)) });
    node.told_view(4, &[says(4, 3, 9, Claim::Alive)]);
    node.tell(Input::Update(says(4, 3, 9, Claim::Dead)));
    let outputs = node.run(seconds(100), well);
    assert!(!outputs.iter().any(|output| matches!(output, Output::Probe { peer: 3, .. })));
    assert_eq!((node.status(3), node.events.len()), (Some(Status::Expelled), 0));
    node.tell(Input::Add(3));
    assert_eq!(node.status(3), Some(Status::Pending));
    node.run(seconds(20), well);
    assert_eq!(node.events, [MemberEvent::Joined { peer: 3, incarnation: at(0) }]);
}

#[test]
fn a_peer_that_a_verdict_removed_is_probed_forever_and_readmitted() {
    let mut node = Node::among(1..=5);
    node.tell(Input::Update(says(4, 3, 0, Claim::Dead)));
    node.events.clear();
    let outputs = node.run(seconds(100_000), without(&[3]));
    let tries = outputs.iter().filter(|output| matches!(output, Output::Probe { peer: 3, .. })).count();
    assert!((19_000..=20_000).contains(&tries), "{tries}");
    // The peer answers, and does not know that it was removed.
    let outputs = node.run(seconds(10), well);
    let verdict = says(ME, 3, 0, Claim::Dead);
    let told = |output: &Output<u32>| matches!(output, Output::Tell { peer: 3, update, .. } if *update == verdict);
    assert!(outputs.iter().any(told), "that is how it learns");
    assert_eq!(node.status(3), Some(Status::Failed), "it has not contradicted yet");
    let news = says(3, 3, 1, Claim::Alive);
    let outputs = node.told_view(3, &[news]);
    assert_eq!(broadcasts(&outputs), [news], "the others are told");
    assert_eq!(node.events, [MemberEvent::Rejoined { peer: 3, incarnation: at(1) }]);
    // Or the peer has restarted meanwhile.
    node.tell(Input::Update(says(4, 3, 1, Claim::Dead)));
    node.events.clear();
    let incarnation = Incarnation::of_life(LIFE + 1);
    let outputs = node.tell(Input::Heard { peer: 3, stated: Statement::of(incarnation) });
    assert_eq!(node.events, [MemberEvent::Rejoined { peer: 3, incarnation }]);
    assert_eq!(broadcasts(&outputs).len(), 1);
}

#[test]
fn a_node_refutes_suspicion_and_removal_of_itself_once() {
    let mut node = Node::among(1..=5);
    let outputs = node.tell(Input::Update(says(3, ME, 0, Claim::Suspect)));
    assert_eq!(broadcasts(&outputs), [says(ME, ME, 1, Claim::Alive)]);
    assert_eq!(node.swim.health(), 1);
    assert!(node.tell(Input::Update(says(4, ME, 0, Claim::Suspect))).is_empty(), "answered already");
    let outputs = node.tell(Input::Told(says(4, ME, 1, Claim::Dead)));
    assert_eq!(broadcasts(&outputs), [says(ME, ME, 2, Claim::Alive)]);
    assert!(matches!(outputs[..], [_, Output::Tell { peer: 4, .. }]), "asks to be taken back");
    // An earlier life of this address had a later clock.
    let incarnation = Incarnation { life: LIFE + 50, turn: 3 };
    node.tell(Input::Update(Update { peer: ME, incarnation, claim: Claim::Dead, by: 4 }));
    assert_eq!(node.swim.incarnation(), Incarnation::of_life(LIFE + 51));
}

#[test]
fn leaving_is_not_a_failure_and_stops_the_node() {
    let mut node = Node::among(1..=5);
    node.tell(Input::Update(says(3, 3, 0, Claim::Left)));
    node.tell(Input::Update(says(4, 3, 0, Claim::Dead)));
    assert_eq!(node.events, [MemberEvent::Left { peer: 3, incarnation: at(0) }]);
    let outputs = node.run(seconds(60), well);
    assert!(!outputs.iter().any(|output| matches!(output, Output::Probe { peer: 3, .. })), "not tried");
    node.tell(Input::Update(says(3, 3, 1, Claim::Alive)));
    assert_eq!(node.events[1..], [MemberEvent::Joined { peer: 3, incarnation: at(1) }]);

    assert_eq!(node.tell(Input::Leave), [Output::Broadcast(says(ME, ME, 0, Claim::Left))]);
    assert!(node.tell(Input::Update(says(3, ME, 0, Claim::Suspect))).is_empty());
    assert!(node.run(seconds(60), well).is_empty());
    let outputs = node.tell(Input::Start);
    assert_eq!(broadcasts(&outputs), [says(ME, ME, 1, Claim::Alive)]);
}

#[test]
fn a_restart_is_a_new_incarnation_and_ends_the_suspicion() {
    let mut node = Node::among(1..=5);
    node.tell(Input::Update(says(4, 3, 5, Claim::Suspect)));
    let incarnation = Incarnation::of_life(LIFE + 1);
    node.tell(Input::Update(Update { peer: 3, incarnation, claim: Claim::Alive, by: 3 }));
    node.tell(Input::Update(says(4, 3, 9, Claim::Dead)));
    assert_eq!(node.status(3), Some(Status::Alive));
    assert_eq!(
        node.events,
        [MemberEvent::Suspected { peer: 3, incarnation: at(5), by: 4 }, MemberEvent::Rejoined { peer: 3, incarnation }]
    );
}

#[test]
fn removed_peers_are_bounded_and_those_of_operators_are_kept_longest() {
    let mut node = Node::new(SwimConfig { remembered: 3, ..SwimConfig::default() });
    node.tell(Input::Remove(1));
    for (peer, claim) in [(2, Claim::Dead), (3, Claim::Left), (4, Claim::Dead), (5, Claim::Dead)] {
        node.now += seconds(1);
        node.tell(Input::Update(says(9, peer, 0, claim)));
    }
    let kept: Vec<_> = node.swim.peers().map(|(peer, ..)| peer).collect();
    assert_eq!(kept, [1, 4, 5]);
}
