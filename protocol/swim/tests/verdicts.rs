//! Tests of accusations, and of what it takes to remove a member.

use super::*;

#[test]
fn an_accusation_is_broadcast_and_sent_to_the_accused_unless_it_is_passive() {
    let mut node = Node::among(1..=5);
    let outputs = node.run(seconds(12), without(&[3]));
    let accusation = says(ME, 3, 0, Claim::Suspect);
    assert_eq!(broadcasts(&outputs), [accusation]);
    assert!(
        outputs.iter().any(|output| matches!(output, Output::Tell { peer: 3, update, .. } if *update == accusation))
    );

    let mut node = Node::new(SwimConfig::default());
    node.tell(Input::Start);
    node.tell(Input::Add(3));
    node.tell(Input::Heard { peer: 3, stated: Statement::default() });
    let outputs = node.run(seconds(2), without(&[3]));
    assert_eq!(broadcasts(&outputs).len(), 1);
    assert!(!outputs.iter().any(|output| matches!(output, Output::Tell { .. } | Output::Sync { .. })));
}

#[test]
fn a_verdict_needs_confirmations() {
    let mut node = Node::among(1..=9);
    node.run(seconds(300), without(&[3]));
    assert_eq!(node.status(3), Some(Status::Suspect), "nobody else says so");
    for by in [4, 5] {
        node.tell(Input::Update(says(by, 3, 0, Claim::Suspect)));
        node.tell(Input::Update(says(by, 3, 0, Claim::Suspect)));
        assert_eq!(node.status(3), Some(Status::Suspect), "too few");
    }
    let outputs = node.tell(Input::Update(says(6, 3, 0, Claim::Suspect)));
    assert_eq!(broadcasts(&outputs), [says(ME, 3, 0, Claim::Dead)]);
    let incarnation = at(0);
    assert_eq!(
        node.events,
        [MemberEvent::Suspected { peer: 3, incarnation, by: ME }, MemberEvent::Failed { peer: 3, incarnation, by: ME }]
    );
}

#[test]
fn a_node_that_has_reached_the_accused_gives_no_verdict() {
    let mut node = Node::among(1..=9);
    for by in 4..=9 {
        node.tell(Input::Update(says(by, 3, 0, Claim::Suspect)));
    }
    node.run(seconds(300), well);
    assert_eq!(node.status(3), Some(Status::Suspect));
    // One success ends the accusation.
    let mut node = Node::among(1..=9);
    node.run(seconds(15), without(&[3]));
    assert_eq!(node.status(3), Some(Status::Suspect));
    node.tell(Input::Heard { peer: 3, stated: Statement::of(at(0)) });
    for by in 4..=9 {
        node.tell(Input::Update(says(by, 3, 0, Claim::Suspect)));
    }
    assert_eq!(node.run(seconds(300), well).iter().filter(|output| matches!(output, Output::Broadcast(_))).count(), 0);
}

#[test]
fn a_node_of_a_pair_or_among_passive_peers_decides_alone() {
    let mut node = Node::among(1..=1);
    node.run(seconds(2), without(&[1]));
    assert_eq!(node.status(1), Some(Status::Suspect), "the suspicion time is not over");
    node.run(seconds(3), without(&[1]));
    assert_eq!(node.status(1), Some(Status::Failed));

    let mut node = Node::among([]);
    for peer in 1..=4 {
        node.tell(Input::Add(peer));
    }
    let passive = |peer| {
        if peer == 2 { Outcome::Lost } else { Outcome::Answered(Statement::default()) }
    };
    node.tell(Input::Heard { peer: 2, stated: Statement::default() });
    node.run(seconds(30), passive);
    assert_eq!(node.status(2), Some(Status::Failed));
    assert_eq!(node.swim.passive_members().collect::<Vec<_>>(), [1, 3, 4]);
}

#[test]
fn the_rest_decides_when_many_fail_at_once() {
    let mut node = Node::among(1..=30);
    node.run(seconds(120), |_| Outcome::Lost);
    node.run(seconds(3_000), |_| Outcome::Lost);
    assert!(node.swim.peers().all(|(_, status, _)| status == Status::Failed));
}

#[test]
fn a_verdict_of_others_removes_a_peer_that_this_node_never_heard_from() {
    let mut node = Node::among(1..=5);
    node.tell(Input::Add(9));
    node.tell(Input::Update(says(4, 9, 0, Claim::Dead)));
    assert_eq!(node.status(9), Some(Status::Failed));
    assert_eq!(node.events, [MemberEvent::Failed { peer: 9, incarnation: at(0), by: 4 }]);
}

#[test]
fn a_failed_peer_that_is_put_again_is_removed_when_its_port_refuses() {
    let mut node = Node::among(1..=5);
    node.tell(Input::Update(says(4, 3, 0, Claim::Dead)));
    node.tell(Input::Add(3));
    assert_eq!(node.status(3), Some(Status::Pending));
    node.run(seconds(10), |peer| if peer == 3 { Outcome::Refused } else { well(peer) });
    assert_eq!(node.status(3), Some(Status::Failed));
    node.tell(Input::Add(3));
    node.run(seconds(10), without(&[3]));
    assert_eq!(node.status(3), Some(Status::Unreachable), "silence is no evidence");
}

#[test]
fn one_node_removes_a_member_whose_port_refuses_after_the_restart_time() {
    for peers in [1, 9] {
        let mut node = Node::among(1..=peers);
        let refuses = |peer| if peer == 1 { Outcome::Refused } else { well(peer) };
        node.tell(Input::Closed(1));
        let token = node.swim.flights.keys().map(|probe| Token(probe << 8)).next().unwrap();
        let mut outputs = node.tell(Input::Outcome { token, outcome: Outcome::Refused });
        for output in outputs.clone() {
            if let Output::Relay { token, .. } = output {
                let outcome = Outcome::Unreachable(Statement::of(at(0)));
                outputs.extend(node.tell(Input::Outcome { token, outcome }));
            }
        }
        assert_eq!(node.status(1), Some(Status::Suspect));
        outputs.extend(node.run(Duration::from_millis(999), refuses));
        assert_eq!((node.status(1), broadcasts(&outputs)), (Some(Status::Suspect), vec![]), "it may be starting again");
        let outputs = node.run(Duration::from_millis(300), refuses);
        assert_eq!(node.status(1), Some(Status::Failed));
        assert_eq!(broadcasts(&outputs), [says(ME, 1, 0, Claim::Dead)]);
    }
}

#[test]
fn a_member_that_refuses_only_this_node_stays() {
    let mut node = Node::among(1..=9);
    // Relays reach the member.
    for _ in 0..20 {
        for output in node.run(Duration::from_millis(1), well) {
            assert!(!matches!(output, Output::Broadcast(_)));
        }
        node.tell(Input::Closed(1));
        let open: Vec<_> =
            node.swim.flights.iter().filter(|(_, flight)| flight.peer == 1).map(|(probe, _)| *probe).collect();
        for probe in open {
            for output in node.tell(Input::Outcome { token: Token(probe << 8), outcome: Outcome::Refused }) {
                if let Output::Relay { token, .. } = output {
                    node.tell(Input::Outcome { token, outcome: Outcome::Answered(Statement::of(at(0))) });
                }
            }
        }
        node.now += seconds(1);
        node.timers.clear();
        node.swim.period_due = node.now;
    }
    assert!(!node.events.iter().any(|event| matches!(event, MemberEvent::Failed { .. })));
}

#[test]
fn members_known_from_others_have_no_vote_until_they_answer() {
    let mut node = Node::among(1..=9);
    for peer in 20..60 {
        node.tell(Input::Update(says(1, peer, 0, Claim::Alive)));
    }
    node.run(seconds(6), |peer| if peer == 3 || peer >= 20 { Outcome::Lost } else { well(peer) });
    for by in 20..60 {
        node.tell(Input::Update(says(by, 3, 0, Claim::Suspect)));
    }
    assert_eq!(node.status(3), Some(Status::Suspect), "forty that nobody has met");
    // These members can be probed, accused and removed.
    node.run(seconds(600), |peer| if peer >= 20 { Outcome::Refused } else { well(peer) });
    assert!((20..60).all(|peer| node.status(peer) == Some(Status::Failed)));

    let mut node = Node::among(1..=9);
    for peer in 20..23 {
        node.tell(Input::Update(says(1, peer, 0, Claim::Alive)));
    }
    node.run(seconds(4), |peer| if peer == 3 || peer >= 20 { Outcome::Lost } else { well(peer) });
    node.run(seconds(30), without(&[3]));
    let mut votes = Vec::new();
    for by in 20..23 {
        votes.extend(node.tell(Input::Update(says(by, 3, 0, Claim::Suspect))));
        node.tell(Input::Answered(by));
    }
    node.run(seconds(5), without(&[3]));
    assert_eq!(node.status(3), Some(Status::Failed), "three that have answered");
}

#[test]
fn a_node_that_reaches_a_passive_peer_refutes_for_it() {
    let mut node = Node::among(1..=5);
    let passive = |turn, claim, by| Update { peer: 9, incarnation: Incarnation { life: 0, turn }, claim, by };
    node.tell(Input::Add(9));
    node.tell(Input::Heard { peer: 9, stated: Statement::default() });
    node.tell(Input::Update(passive(0, Claim::Suspect, 4)));
    let outputs = node.tell(Input::Heard { peer: 9, stated: Statement::default() });
    assert_eq!(broadcasts(&outputs), [passive(1, Claim::Alive, ME)]);
    node.tell(Input::Update(passive(1, Claim::Dead, 4)));
    let outputs =
        node.run(seconds(10), |peer| if peer == 9 { Outcome::Answered(Statement::default()) } else { well(peer) });
    assert_eq!(broadcasts(&outputs), [passive(2, Claim::Alive, ME)]);
    assert!(matches!(
        node.events[..],
        [
            MemberEvent::Joined { .. },
            MemberEvent::Suspected { .. },
            MemberEvent::Refuted { .. },
            MemberEvent::Failed { .. },
            MemberEvent::Rejoined { .. }
        ]
    ));
}

#[test]
fn the_suspicion_time_falls_with_each_confirmation() {
    let config = SwimConfig::default();
    let times: Vec<_> = (0..5).map(|confirmed| config.suspicion_time(100, confirmed, 3).as_millis()).collect();
    assert_eq!(times, [6_600, 4_400, 3_113, 2_200, 2_200]);
    assert_eq!(config.suspicion_time(1_000, 3, 3), seconds(3), "log10(n) periods");
    assert_eq!(config.suspicion_time(1, 0, 0).as_millis(), 2_200, "nobody else can confirm");
    assert_eq!(config.suspicion_time(3, 1, 1).as_millis(), 2_200, "all who can have confirmed");
}
