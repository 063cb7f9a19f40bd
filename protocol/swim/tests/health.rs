//! Tests of local health: what a node makes of its own lateness.

use super::*;

#[test]
fn a_node_that_stood_still_accuses_nobody() {
    let mut node = Node::among(1..=9);
    node.run(seconds(20), without(&[3]));
    assert!(node.swim.suspicions[&3].mine);
    for by in [4, 5] {
        node.tell(Input::Update(says(by, 3, 0, Claim::Suspect)));
    }
    // A probe is under way when the process is stopped for a minute. Then all its requests fail at once.
    node.timers.sort();
    node.now += seconds(60);
    let mut outputs = Vec::new();
    for (_, timer) in std::mem::take(&mut node.timers) {
        outputs.extend(node.tell(Input::Timer(timer)));
    }
    let open: Vec<_> = node.swim.flights.keys().map(|probe| Token(probe << 8)).collect();
    for token in open {
        outputs.extend(node.tell(Input::Outcome { token, outcome: Outcome::Lost }));
    }
    outputs.extend(node.tell(Input::Update(says(6, 3, 0, Claim::Suspect))));
    assert_eq!(broadcasts(&outputs), []);
    assert!(!node.swim.suspicions[&3].mine, "its own accusation is void");
    assert!(node.swim.health() > 1);
    assert_eq!(node.status(3), Some(Status::Suspect));
}

#[test]
fn local_health_worsens_when_relays_are_silent_too() {
    let mut node = Node::among(1..=9);
    node.run(seconds(30), without(&[3]));
    assert_eq!(node.swim.health(), 0, "relays say that they cannot either");
    node.run(seconds(30), |_| Outcome::Lost);
    assert_eq!(node.swim.health(), 8);
    node.run(seconds(60), well);
    assert_eq!(node.swim.health(), 0);
}

#[test]
fn each_late_timer_worsens_local_health_once() {
    let mut node = Node::among(1..=3);
    node.now = node.swim.period_due + Duration::from_millis(100);
    node.tell(Input::Answered(1));
    assert_eq!(node.swim.health(), 0, "a busy machine may be as late as that");
    node.now += Duration::from_millis(1);
    node.tell(Input::Answered(1));
    node.tell(Input::Answered(2));
    assert_eq!(node.swim.health(), 1);
    node.run(Duration::from_millis(1), well);
    assert_eq!(node.swim.health(), 0, "the probe was answered");
}

#[test]
fn an_answer_after_relays_were_asked_worsens_local_health() {
    let mut node = Node::among(1..=9);
    let period = node.timers.iter().find(|(_, timer)| matches!(timer, Timer::Period { .. })).copied().unwrap();
    node.now = period.0;
    let probe = node.tell(Input::Timer(period.1)).into_iter().find_map(|output| match output {
        Output::Probe { token, .. } => Some(token),
        _ => None,
    });
    let token = probe.unwrap();
    node.now += node.swim.config.probe_timeout;
    node.tell(Input::Timer(Timer::Relays { token }));
    let late = Input::Outcome { token, outcome: well(1) };
    node.tell(late);
    assert_eq!(node.swim.health(), 2);
    node.run(seconds(60), well);
    assert_eq!(node.swim.health(), 0);
}
