//! Tests of who is probed, and when.

use super::*;

#[test]
fn every_member_is_probed_within_two_passes() {
    let mut node = Node::among(1..=20);
    let mut last = [0; 21];
    // One of eight periods probes any member in turn.
    for period in 1..1_000 {
        for output in node.run(seconds(1), well) {
            if let Output::Probe { peer, .. } = output {
                last[peer as usize] = period;
            }
        }
        for (peer, last) in last.iter().enumerate().skip(1) {
            assert!(period - last < 320, "{peer} was last probed in {last} of {period}");
        }
    }
    assert_eq!(node.events, []);
}

#[test]
fn an_unanswered_probe_goes_through_relays_and_one_answer_is_enough() {
    let mut node = Node::among(1..=9);
    let (when, timer) = node.timers[0];
    node.now = when;
    let outputs = node.tell(Input::Timer(timer));
    let Some(Output::Probe { token, peer, .. }) = outputs.iter().find(|output| matches!(output, Output::Probe { .. }))
    else {
        panic!("{outputs:?}")
    };
    // The connection is refused, so there is no need to wait for the timeout.
    let outputs = node.tell(Input::Outcome { token: *token, outcome: Outcome::Lost });
    let relays: Vec<_> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Relay { token, via, peer: target, .. } if target == peer => Some((*token, *via)),
            _ => None,
        })
        .collect();
    assert_eq!(relays.len(), 3);
    assert_eq!(outputs.iter().filter(|output| matches!(output, Output::Probe { .. })).count(), 1);
    node.tell(Input::Outcome { token: relays[0].0, outcome: Outcome::Unreachable(Statement::of(at(0))) });
    node.tell(Input::Outcome { token: relays[1].0, outcome: Outcome::Lost });
    node.tell(Input::Outcome { token: relays[2].0, outcome: Outcome::Answered(Statement::of(at(0))) });
    assert_eq!((node.status(*peer), node.swim.health()), (Some(Status::Alive), 0));
}

#[test]
fn a_peer_that_was_never_heard_from_is_unreachable_until_it_answers() {
    for outcome in [Outcome::Lost, Outcome::Refused] {
        let mut node = Node::among(1..=5);
        node.tell(Input::Add(9));
        assert_eq!(node.status(9), Some(Status::Pending));
        let outputs = node.run(seconds(300), |peer| if peer == 9 { outcome } else { well(peer) });
        let asked = outputs.iter().filter(|output| matches!(output, Output::Probe { peer: 9, .. })).count();
        assert!((40..=80).contains(&asked), "about every five seconds: {asked}");
        assert_eq!(node.status(9), Some(Status::Unreachable));
        assert_eq!(node.events, [MemberEvent::Unreachable { peer: 9 }], "once");
        assert!(node.swim.since(&9).is_some_and(|since| since < seconds(4)));
        assert_eq!(broadcasts(&outputs), []);
        let outputs = node.run(seconds(10), well);
        assert_eq!(node.events[1..], [MemberEvent::Joined { peer: 9, incarnation: at(0) }]);
        assert_eq!(broadcasts(&outputs), [says(ME, 9, 0, Claim::Alive)], "what one hears is news to all");
    }
}

#[test]
fn peers_that_were_put_are_asked_within_the_budget_and_members_share_the_work() {
    // 200 nodes are put everywhere at once. This determines which node asks each peer first.
    let all: Vec<u32> = (0..200).collect();
    let mut first: std::collections::BTreeMap<u32, (Duration, u32)> = std::collections::BTreeMap::new();
    let mut early = 0;
    for me in &all {
        let mut swim = Swim::new(*me, LIFE, SwimConfig::default()).unwrap();
        let mut chance = ChaCha8Rng::seed_from_u64(u64::from(*me));
        let _ = swim.handle(Duration::ZERO, Input::Start, &mut chance);
        for peer in all.iter().filter(|peer| *peer != me) {
            let _ = swim.handle(Duration::ZERO, Input::Add(*peer), &mut chance);
        }
        assert!(
            swim.ask_due == Some(Duration::ZERO) && swim.asks.is_empty(),
            "it waits for those that are put with them"
        );
        let _ = swim.handle(Duration::ZERO, Input::Timer(Timer::Ask), &mut chance);
        early += swim.asks.iter().filter(|(at, _)| *at < Duration::from_millis(250)).count();
        for (at, peer) in &swim.asks {
            let ask = (*at, *me);
            first.entry(*peer).and_modify(|first| *first = ask.min(*first)).or_insert(ask);
        }
    }
    assert_eq!(first.len(), 200);
    assert!(first.values().all(|(at, _)| *at < seconds(2)), "{first:?}");
    let askers: std::collections::BTreeSet<u32> = first.values().map(|(_, by)| *by).collect();
    assert!(askers.len() < 60, "{} ask", askers.len());
    // no peer has answered by then, and yet few nodes ask each peer
    assert!(early < 1_000, "{early} asks in the first quarter of a second");

    // An operator puts more peers than the budget of a period.
    let mut node = Node::new(SwimConfig { asks: 10, ..SwimConfig::default() });
    node.tell(Input::Start);
    for peer in 1..=100 {
        node.tell(Input::Add(peer));
    }
    for second in 0..12 {
        let outputs = node.run(seconds(1), |_| Outcome::Lost);
        let asked = outputs.iter().filter(|output| matches!(output, Output::Probe { .. })).count();
        assert!(asked <= 20, "{asked} in second {second}");
    }
    assert!((1..=100).all(|peer| node.status(peer) == Some(Status::Unreachable)));
}

#[test]
fn some_nodes_that_hear_of_a_suspicion_probe_the_peer() {
    let mut checked = 0;
    for seed in 0..200 {
        let mut node = Node::among(1..=99);
        node.swim.config.witnesses = 5;
        node.chance = ChaCha8Rng::seed_from_u64(seed);
        let outputs = node.tell(Input::Update(says(4, 3, 0, Claim::Suspect)));
        checked += outputs.iter().filter(|output| matches!(output, Output::Probe { peer: 3, .. })).count();
        let outputs = node.tell(Input::Update(says(4, 3, 0, Claim::Suspect)));
        assert!(outputs.is_empty(), "once");
    }
    assert!((2..=25).contains(&checked), "{checked} of 200, 10 expected");
}

#[test]
fn only_accusers_probe_unknown_accusers() {
    let probes = |outputs: &[Output<u32>]| -> Vec<u32> {
        let probe = |output: &Output<u32>| match output {
            Output::Probe { peer, .. } => Some(*peer),
            _ => None,
        };
        outputs.iter().filter_map(probe).collect()
    };
    let mut node = Node::among([3]);
    for peer in 20..23 {
        node.tell(Input::Update(says(1, peer, 0, Claim::Alive)));
    }
    assert!(probes(&node.tell(Input::Update(says(20, 3, 0, Claim::Suspect)))).is_empty());
    node.swim.accuse(node.now, 3);
    assert_eq!(probes(&node.tell(Input::Answered(22))), [20], "when it accuses, too");
    assert_eq!(probes(&node.tell(Input::Update(says(21, 3, 0, Claim::Suspect)))), [21], "and from then on");
}
