//! One test for each rule of membership.

mod comparing;
mod returning;

use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;

const ME: u32 = 0;
const LIFE: u64 = 100;

fn at(turn: u32) -> Incarnation {
    Incarnation { life: LIFE, turn }
}

fn says(by: u32, peer: u32, turn: u32, claim: Claim) -> Update<u32> {
    Update { peer, incarnation: at(turn), claim, by }
}

/// A machine, its clock, and its pending outputs.
struct Node {
    swim: Swim<u32>,
    chance: ChaCha8Rng,
    now: Duration,
    timers: Vec<(Duration, Timer<u32>)>,
    events: Vec<MemberEvent<u32>>,
}

impl Node {
    fn new(config: SwimConfig) -> Self {
        Self {
            swim: Swim::new(ME, LIFE, config).unwrap(),
            chance: ChaCha8Rng::seed_from_u64(1),
            now: Duration::ZERO,
            timers: Vec::new(),
            events: Vec::new(),
        }
    }

    /// A started node among members that are not passive and known from others.
    fn among(peers: impl IntoIterator<Item = u32>) -> Self {
        let mut node = Self::new(SwimConfig { witnesses: 0, ..SwimConfig::default() });
        node.tell(Input::Start);
        for peer in peers {
            node.tell(Input::Know(peer, at(0)));
        }
        node.events.clear();
        node
    }

    fn tell(&mut self, input: Input<u32>) -> Vec<Output<u32>> {
        let outputs = self.swim.handle(self.now, input, &mut self.chance);
        for output in &outputs {
            match output {
                Output::Timer { at, timer } => self.timers.push((*at, *timer)),
                Output::Event(event) => self.events.push(*event),
                _ => {}
            }
        }
        outputs
    }

    /// Runs the timers for a while, and answers each request at once with `answer`.
    fn run(&mut self, time: Duration, answer: impl Fn(u32) -> Outcome) -> Vec<Output<u32>> {
        let end = self.now + time;
        let mut all = Vec::new();
        loop {
            self.timers.sort();
            if self.timers.first().is_none_or(|(at, _)| *at > end) {
                break;
            }
            let (at, timer) = self.timers.remove(0);
            self.now = self.now.max(at);
            let mut queue = self.tell(Input::Timer(timer));
            while !queue.is_empty() {
                let output = queue.remove(0);
                let (token, outcome) = match &output {
                    Output::Probe { token, peer, .. } => (Some(*token), answer(*peer)),
                    Output::Relay { token, peer, via, .. } => match (answer(*via), answer(*peer)) {
                        (Outcome::Answered(stated), Outcome::Answered(_)) => (Some(*token), Outcome::Answered(stated)),
                        (Outcome::Answered(stated), _) => (Some(*token), Outcome::Unreachable(stated)),
                        _ => (Some(*token), Outcome::Lost),
                    },
                    _ => (None, Outcome::Lost),
                };
                all.push(output);
                if let Some(token) = token {
                    queue.extend(self.tell(Input::Outcome { token, outcome }));
                }
            }
        }
        self.now = end;
        all
    }

    /// A peer sends its view in a comparison.
    fn told_view(&mut self, from: u32, view: &[Update<u32>]) -> Vec<Output<u32>> {
        let sync = Sync { parts: vec![0], first: 1, news: view.to_vec() };
        let (_, outputs) = self.swim.answer_sync(self.now, from, &sync, &mut self.chance).unwrap();
        self.events.extend(outputs.iter().filter_map(|output| match output {
            Output::Event(event) => Some(*event),
            _ => None,
        }));
        outputs
    }

    fn status(&self, peer: u32) -> Option<Status> {
        self.swim.status(&peer)
    }
}

fn well(_: u32) -> Outcome {
    Outcome::Answered(Statement::of(at(0)))
}

/// All peers answer except these.
fn without(lost: &'static [u32]) -> impl Fn(u32) -> Outcome {
    move |peer| {
        if lost.contains(&peer) { Outcome::Lost } else { well(peer) }
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn broadcasts(outputs: &[Output<u32>]) -> Vec<Update<u32>> {
    let broadcast = |output: &Output<u32>| match output {
        Output::Broadcast(update) => Some(*update),
        _ => None,
    };
    outputs.iter().filter_map(broadcast).collect()
}

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
fn the_number_of_members_is_bounded() {
    let mut node = Node::new(SwimConfig { members: 3, ..SwimConfig::default() });
    node.tell(Input::Start);
    for peer in 1..=3 {
        node.tell(Input::Update(says(peer, peer, 0, Claim::Alive)));
    }
    node.tell(Input::Update(says(9, 9, 0, Claim::Alive)));
    node.tell(Input::Add(8));
    assert_eq!((node.swim.size(), node.swim.turned_away()), (3, 2));
}

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
fn the_suspicion_time_falls_with_each_confirmation() {
    let config = SwimConfig::default();
    let times: Vec<_> = (0..5).map(|confirmed| config.suspicion_time(100, confirmed, 3).as_millis()).collect();
    assert_eq!(times, [6_600, 4_400, 3_113, 2_200, 2_200]);
    assert_eq!(config.suspicion_time(1_000, 3, 3), seconds(3), "log10(n) periods");
    assert_eq!(config.suspicion_time(1, 0, 0).as_millis(), 2_200, "nobody else can confirm");
    assert_eq!(config.suspicion_time(3, 1, 1).as_millis(), 2_200, "all who can have confirmed");
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
fn nothing_is_sent_before_the_start() {
    let mut node = Node::new(SwimConfig::default());
    node.tell(Input::Add(1));
    node.tell(Input::Heard { peer: 1, stated: Statement::of(at(0)) });
    node.tell(Input::Told(says(2, 2, 0, Claim::Alive)));
    let outputs = node.tell(Input::Told(says(2, 1, 0, Claim::Dead)));
    assert!(matches!(outputs[..], [Output::Event(MemberEvent::Failed { .. })]));
    assert!(node.timers.is_empty());
    assert!(node.tell(Input::Told(says(2, ME, 0, Claim::Dead))).is_empty());
}

#[test]
fn news_sent_to_one_node_is_passed_on_but_a_newcomers_view_is_not() {
    let mut node = Node::among(1..=3);
    let news = says(4, 4, 0, Claim::Alive);
    assert_eq!(broadcasts(&node.tell(Input::Told(news))), [news]);
    assert_eq!(broadcasts(&node.tell(Input::Told(news))), []);
    let view: Vec<_> = (4..=6).map(|peer| says(4, peer, 0, Claim::Alive)).collect();
    let outputs = node.told_view(4, &view);
    assert_eq!(broadcasts(&outputs), [], "the peer that began the comparison tells the others, if they do not know");
    let mut newcomer = Node::among([]);
    let outputs = newcomer.told_view(4, &view);
    assert_eq!(broadcasts(&outputs), [], "nobody else is known here");
    assert_eq!(newcomer.events.len(), 3);
}

#[test]
fn a_setting_out_of_range_is_rejected_with_its_value() {
    let refused = |config: SwimConfig| config.check().unwrap_err().to_string();
    assert_eq!(
        refused(SwimConfig { relays: 65, ..SwimConfig::default() }),
        "relays is 65, it must lie between 0 and 64"
    );
    assert_eq!(
        refused(SwimConfig { relay_timeout: seconds(1), ..SwimConfig::default() }),
        "a probe takes 1.3s, more than its period of 1s"
    );
    assert!(
        refused(SwimConfig { probe_interval: Duration::ZERO, ..SwimConfig::default() }).starts_with("probe_interval")
    );
}

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

/// Compares two machines until they agree. Returns the number of requests, and the most entries in a message.
fn compare(one: &mut Swim<u32>, two: &mut Swim<u32>) -> (usize, usize) {
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

fn machine(me: u32, members: impl IntoIterator<Item = (u32, u32)>) -> Swim<u32> {
    let mut swim = Swim::new(me, LIFE, SwimConfig::default()).unwrap();
    let mut chance = ChaCha8Rng::seed_from_u64(1);
    let _ = swim.handle(Duration::ZERO, Input::Start, &mut chance);
    for (peer, turn) in members {
        let _ = swim.handle(Duration::ZERO, Input::Know(peer, at(turn)), &mut chance);
    }
    swim
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
