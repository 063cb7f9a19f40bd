//! One test for each rule of membership. The node under test is here, with the tests of its bounds and its start.

mod comparing;
mod health;
mod probing;
mod properties;
mod returning;
mod verdicts;

use std::time::Duration;

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
