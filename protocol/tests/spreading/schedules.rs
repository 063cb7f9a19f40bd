//! Random schedules of loss, repetition and reordering: each node performs each rumor exactly once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chinwag_protocol::rumor::{
    Answer, BroadcastError, Gossip, GossipConfig, Id, Input, Request, Rumor, Timer, Urgency,
};
use proptest::prelude::*;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::network::{Event, Network, Schedule, Views};

/// Any event under way may be the next one. It may be lost, come twice, or come after its sender has given up. Timers
/// expire at any time, whether or not a node has started them.
struct AnyOrder {
    loss: f64,
    under_way: Vec<Event>,
    /// A tick that follows directly on another timer.
    tick: Option<u32>,
}

impl Schedule for AnyOrder {
    fn send(&mut self, _now: Duration, sent: Event, chance: &mut ChaCha8Rng) {
        let (asker, token) = match sent {
            Event::Request { from, token, .. } => (from, token),
            Event::Answer { to, token, .. } => (to, token),
            Event::Failure { .. } | Event::Timer { .. } => return,
        };
        let failure = Event::Failure { node: asker, token };
        if chance.random_bool(self.loss) {
            return self.under_way.push(failure);
        }
        // The sender may give up while the request or its answer is under way.
        if chance.random_ratio(1, 20) {
            self.under_way.push(failure);
        }
        self.under_way.push(sent);
    }

    fn start_timer(&mut self, _now: Duration, _node: u32, _timer: Timer, _after: Duration) {}

    fn next(&mut self, now: Duration, nodes: u32, chance: &mut ChaCha8Rng) -> Option<(Duration, Event)> {
        let now = now + Duration::from_micros(200);
        if let Some(node) = self.tick.take() {
            return Some((now, Event::Timer { node, timer: Timer::Tick }));
        }
        if self.under_way.is_empty() || chance.random_ratio(1, 50) {
            let node = chance.random_range(0..nodes);
            self.tick = Some(node);
            // a round of an entry, if one is under way
            return Some((now, Event::Timer { node, timer: Timer::Entry }));
        }
        let at = chance.random_range(0..self.under_way.len() as u64) as usize;
        let event = self.under_way.swap_remove(at);
        // Anything may arrive twice.
        if chance.random_ratio(1, 20) {
            self.under_way.push(event.clone());
        }
        Some((now, event))
    }
}

/// A network and the rumors that were started in it.
struct Net {
    network: Network<AnyOrder>,
    started: Vec<Id<u32>>,
    /// When each rumor of a node of the network was started.
    begun: BTreeMap<Id<u32>, Duration>,
}

impl Net {
    fn new(count: u32, fanout: usize, loss: f64, config: &GossipConfig, seed: u64) -> Self {
        let order = AnyOrder { loss, under_way: Vec::new(), tick: None };
        let network = Network::new(count, fanout, Arc::new(config.clone()), order, seed);
        Net { network, started: Vec::new(), begun: BTreeMap::new() }
    }

    fn broadcast(&mut self, node: u32, bytes: usize) {
        match self.network.broadcast(node, self.started.len() as u32, bytes) {
            Ok(id) => {
                self.begun.insert(id.clone(), self.network.now);
                self.started.push(id);
            }
            Err(error) => assert!(matches!(error, BroadcastError::Busy { .. }), "{error}"),
        }
    }

    /// Sends a rumor of a node that does not number its rumors or state its address.
    fn push_opaque(&mut self, node: u32, bytes: usize) {
        let message = self.started.len() as u32;
        let id = Id::Opaque(format!("mid {message}").into());
        let rumor = Rumor {
            id: id.clone(),
            hop: 1,
            age: Duration::ZERO,
            urgency: Urgency::Normal,
            replay: false,
            former: None,
            size: bytes.into(),
            message,
        };
        if self.network.respond(node, None, Request::Push(rumor)) == Answer::Fresh {
            self.started.push(id);
        }
    }

    fn step(&mut self) {
        assert!(self.network.step(), "a timer can always expire");
    }

    fn complete(&self) -> bool {
        self.network.performed.iter().all(|performed| performed.len() == self.started.len())
    }
}

/// Nodes that have long been in a group, and others that join while rumors spread. A node performs once what is started
/// after it entered, and not what was complete before.
fn newcomers(
    (old, new, fanout, loss): (u32, u32, usize, f64),
    mut config: GossipConfig,
    rumors: &[(u32, usize, usize)],
    seed: u64,
) -> Result<(), TestCaseError> {
    // the time at which an entry ends without an answer is tested elsewhere
    config.entry_time = Duration::from_secs(3_600);
    let mut net = Net::new(old, fanout, loss, &config, seed);
    for _ in 0..5 {
        net.broadcast(net.network.chance.clone().random_range(0..old), 300);
        net.push_opaque(0, 300);
    }
    let mut steps = 0;
    // a push that is still under way is young, so any node that receives it performs it
    let busy = |net: &Net| net.network.nodes.iter().any(|node| node.load().requests + node.load().queued > 0);
    while !net.complete() || busy(&net) {
        net.step();
        steps += 1;
        prop_assert!(steps < 300_000);
    }
    let before = net.started.clone();
    // they come together, and every node knows all of them
    for me in old..old + new {
        net.network.add(Gossip::newcomer(me, 1, Arc::new(config.clone())), None);
    }
    for me in old..old + new {
        net.network.handle(me, Input::Enter { through: Some(me % old) });
    }
    for (node, bytes, pause) in rumors {
        net.broadcast(node % (old + new), *bytes);
        for _ in 0..*pause {
            net.step();
        }
    }
    steps = 0;
    let lacks = |net: &Net| {
        net.network.entered.iter().zip(&net.network.performed).find_map(|(entered, performed)| {
            let Some(entered) = entered else { return Some(None) };
            let after = net.begun.iter().filter(|(_, begun)| *begun > entered).map(|(id, _)| id);
            after.into_iter().find(|id| !performed.contains_key(id)).map(|id| Some(id.clone()))
        })
    };
    while let Some(lacking) = lacks(&net) {
        net.step();
        steps += 1;
        prop_assert!(steps < 300_000, "{:?} {:?}", lacking, net.network.performed);
    }
    for _ in 0..1_000 {
        net.step();
    }
    prop_assert_eq!(net.network.repeated, 0, "{:?}", net.network.performed);
    for performed in &net.network.performed[old as usize..] {
        prop_assert!(!before.iter().any(|id| performed.contains_key(id)), "{:?}", performed);
    }
    Ok(())
}

fn configs() -> impl Strategy<Value = GossipConfig> {
    let bounds = (1usize..6, 1usize..4, 0usize..300, 1usize..5, 1usize..4, 1usize..6);
    (bounds, 0usize..4, 0usize..4, 0usize..200).prop_map(|(bounds, offers, pushes, eager_bytes)| {
        let (batch, page, transfer_bytes, requests, pulls, queue_count) = bounds;
        let mut config = GossipConfig::default();
        (config.batch, config.page, config.transfer_bytes) = (batch, page, transfer_bytes);
        (config.requests, config.pulls, config.queue_count) = (requests, pulls, queue_count);
        (config.offers, config.pushes, config.eager_bytes) = (offers, pushes, eager_bytes);
        config
    })
}

/// Returns what each node performed, and when.
fn play(
    (count, fanout, loss): (u32, usize, f64),
    config: GossipConfig,
    rumors: &[(u32, usize, bool)],
    seed: u64,
) -> Result<Vec<BTreeMap<Id<u32>, Duration>>, TestCaseError> {
    let mut net = Net::new(count, fanout, loss, &config, seed);
    for (node, bytes, opaque) in rumors {
        if *opaque {
            net.push_opaque(node % count, *bytes);
        } else {
            net.broadcast(node % count, *bytes);
        }
        for _ in 0..3 {
            net.step();
        }
    }
    let mut steps = 0;
    while !net.complete() {
        net.step();
        steps += 1;
        prop_assert!(steps < 300_000, "{:?} of {:?}", net.network.performed, net.started);
    }
    // What is still under way must not be performed again.
    for _ in 0..1_000 {
        net.step();
    }
    prop_assert_eq!(net.network.repeated, 0, "{:?}", net.network.performed);
    Ok(net.network.performed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn newcomers_perform_what_is_started_after_they_entered(
        old in 1u32..6, new in 1u32..4, fanout in 1usize..5, loss in 0.0f64..0.6,
        config in configs(),
        rumors in proptest::collection::vec((0u32..9, 0usize..400, 0usize..60), 1..12),
        seed: u64,
    ) {
        newcomers((old, new, fanout, loss), config, &rumors, seed)?;
    }

    #[test]
    fn each_once_and_all(
        world in (2u32..9, 1usize..5, 0.0f64..0.6),
        config in configs(),
        rumors in proptest::collection::vec((0u32..9, 0usize..400, any::<bool>()), 1..12),
        seed: u64,
    ) {
        play(world, config, &rumors, seed)?;
    }
}

#[test]
fn rumors_spread_along_a_ring_and_across_it() {
    for (count, loss) in [(60, 0.0), (20, 0.4)] {
        let mut net = Net::new(count, 1, loss, &GossipConfig::default(), 9);
        let neighbours = |node| vec![(node + count - 1) % count, node, (node + 1) % count];
        net.network.views = Views::Each((0..count).map(neighbours).collect());
        net.broadcast(0, 4096);
        net.push_opaque(count / 3, 10);
        let mut steps = 0;
        while !net.complete() {
            net.step();
            steps += 1;
            assert!(steps < 200_000);
        }
        assert_eq!(net.network.repeated, 0);
    }
}

#[test]
fn rumors_cross_a_healed_partition() {
    let mut net = Net::new(8, 3, 0.1, &GossipConfig::default(), 4);
    let side = |node: u32| (0..8).filter(|peer| peer / 4 == node / 4).collect();
    net.network.views = Views::Each((0..8).map(side).collect());
    for node in 0..8 {
        net.broadcast(node, 4096);
        net.push_opaque(node, 4096);
    }
    for _ in 0..20_000 {
        net.step();
    }
    assert!(net.network.performed.iter().all(|performed| performed.len() == 8), "each side has its own");
    net.network.now += Duration::from_secs(300);
    net.network.views = Views::All;
    let mut steps = 0;
    while !net.complete() {
        net.step();
        steps += 1;
        assert!(steps < 50_000);
    }
    assert_eq!(net.network.repeated, 0);
}

#[test]
fn the_same_seed_is_the_same_trace() {
    let rumors = [(0, 300, false), (1, 10, true), (2, 4096, false)];
    let traces: Vec<_> =
        [7, 7, 8].map(|seed| play((8, 2, 0.3), GossipConfig::default(), &rumors, seed).unwrap()).into();
    assert_eq!(traces[0], traces[1]);
    assert_ne!(traces[0], traces[2]);
}

#[test]
fn bursts_of_one_and_of_many_origins_reach_all() {
    let mut net = Net::new(6, 2, 0.1, &GossipConfig::default(), 5);
    for _ in 0..1_000 {
        net.broadcast(0, 100);
    }
    for node in 0..6 {
        net.broadcast(node, 2_000_000);
    }
    assert!(net.started.len() >= 1_000);
    let mut steps = 0;
    while !net.complete() {
        net.step();
        steps += 1;
        assert!(steps < 1_000_000);
        if steps % 1_000 == 0 {
            let load = net.network.nodes[0].load();
            assert!(load.requests <= 300 && load.queued <= 4096, "{load:?}");
        }
    }
    assert_eq!(net.network.repeated, 0);
}
