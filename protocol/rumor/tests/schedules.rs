//! Random schedules of loss, repetition and reordering: each node performs each rumor exactly once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::rumor::*;

#[derive(Clone, Debug)]
enum Packet {
    Request { from: u32, to: u32, token: Token, request: Request<u32, u32> },
    Answer { from: u32, to: u32, token: Token, answer: Answer<u32, u32> },
}

struct Net {
    /// The random generator of each node.
    views: Vec<Vec<u32>>,
    nodes: Vec<Gossip<u32, u32>>,
    packets: Vec<Packet>,
    performed: Vec<BTreeMap<Id<u32>, u32>>,
    /// The step at which each entered, if it has, and at which each rumor was started.
    entered: Vec<Option<u64>>,
    begun: BTreeMap<Id<u32>, u64>,
    steps: u64,
    started: Vec<Id<u32>>,
    chance: ChaCha8Rng,
    fanout: usize,
    loss: f64,
    now: Duration,
    trace: Vec<(u64, u32)>,
}

impl Net {
    fn new(count: u32, fanout: usize, loss: f64, config: GossipConfig, seed: u64) -> Self {
        let config = Arc::new(config);
        Net {
            views: vec![(0..count).collect(); count as usize],
            nodes: (0..count).map(|me| Gossip::new(me, 1, config.clone())).collect(),
            packets: Vec::new(),
            performed: vec![BTreeMap::new(); count as usize],
            entered: vec![Some(0); count as usize],
            begun: BTreeMap::new(),
            steps: 0,
            started: Vec::new(),
            chance: ChaCha8Rng::seed_from_u64(seed),
            fanout,
            loss,
            now: Duration::ZERO,
            trace: Vec::new(),
        }
    }

    fn at<T>(
        &mut self,
        node: u32,
        call: impl FnOnce(&mut Gossip<u32, u32>, &mut Context<'_, [u32], ChaCha8Rng>, &mut Vec<Output<u32, u32>>) -> T,
    ) -> T {
        let mut out = Vec::new();
        let mut context = Context {
            now: self.now,
            view: &self.views[node as usize][..],
            fanout: self.fanout,
            chance: &mut self.chance,
        };
        let result = call(&mut self.nodes[node as usize], &mut context, &mut out);
        for output in out {
            match output {
                Output::Perform { id, message } => {
                    self.trace.push((self.now.as_micros() as u64, message));
                    *self.performed[node as usize].entry(id).or_default() += 1;
                }
                Output::Send { token, to, request } => {
                    self.packets.push(Packet::Request { from: node, to, token, request });
                }
                // Ticks come at random here.
                Output::Entered => drop(self.entered[node as usize].get_or_insert(self.steps)),
                Output::Timer { .. } | Output::Cancel { .. } | Output::Settled { .. } | Output::Reissued { .. } => {}
            }
        }
        result
    }

    fn handle(&mut self, node: u32, input: Input<u32, u32>) {
        self.at(node, |node, context, out| node.handle(context, input, out));
    }

    fn broadcast(&mut self, node: u32, bytes: usize) {
        let message = self.started.len() as u32;
        match self.at(node, |node, context, out| node.broadcast(context, message, bytes, out)) {
            Ok(id) => {
                // The sender performs it itself.
                self.performed[node as usize].insert(id.clone(), 1);
                self.begun.insert(id.clone(), self.steps);
                self.started.push(id);
            }
            Err(BroadcastError::Busy { .. }) => {}
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
        let answer = self.at(node, |node, context, out| node.respond(context, None, Request::Push(rumor), out));
        if answer == Answer::Fresh {
            self.started.push(id);
        }
    }

    /// Makes one random event happen.
    fn step(&mut self) {
        self.now += Duration::from_micros(200);
        self.steps += 1;
        let count = self.nodes.len() as u32;
        if self.packets.is_empty() || self.chance.random_ratio(1, 50) {
            let node = self.chance.random_range(0..count);
            // a round of an entry, if one is under way
            self.handle(node, Input::Timer(Timer::Entry));
            return self.handle(node, Input::Timer(Timer::Tick));
        }
        let at = self.chance.random_range(0..self.packets.len() as u64) as usize;
        let packet = self.packets.swap_remove(at);
        let (asker, token) = match packet {
            Packet::Request { from, token, .. } => (from, token),
            Packet::Answer { to, token, .. } => (to, token),
        };
        if self.chance.random_bool(self.loss) {
            return self.handle(asker, Input::Failure { token });
        }
        // The sender may give up while the request or its answer is under way, and anything may arrive twice.
        if self.chance.random_ratio(1, 20) {
            self.handle(asker, Input::Failure { token });
        }
        if self.chance.random_ratio(1, 20) {
            self.packets.push(packet.clone());
        }
        match packet {
            Packet::Request { from, to, token, request } => {
                let answer = self.at(to, |node, context, out| node.respond(context, Some(from), request, out));
                self.packets.push(Packet::Answer { from: to, to: from, token, answer });
            }
            Packet::Answer { from, to, token, answer } => self.handle(to, Input::Answer { token, from, answer }),
        }
    }

    fn complete(&self) -> bool {
        self.performed.iter().all(|performed| performed.len() == self.started.len())
    }
}

/// Nodes that have long been in a group, and others that join while rumors spread. A node performs once what is started
/// after it entered, and not what was complete before.
fn newcomers(
    (old, new, fanout, loss): (u32, u32, usize, f64),
    config: GossipConfig,
    rumors: &[(u32, usize, usize)],
    seed: u64,
) -> Result<(), TestCaseError> {
    // the time at which an entry ends without an answer is tested elsewhere
    let config = GossipConfig { entry_time: Duration::from_secs(3_600), ..config };
    let mut net = Net::new(old, fanout, loss, config.clone(), seed);
    for _ in 0..5 {
        net.broadcast(net.chance.clone().random_range(0..old), 300);
        net.push_opaque(0, 300);
    }
    let mut steps = 0;
    // a push that is still under way is young, so any node that receives it performs it
    let busy = |net: &Net| net.nodes.iter().any(|node| node.load().requests + node.load().queued > 0);
    while !net.complete() || busy(&net) {
        net.step();
        steps += 1;
        prop_assert!(steps < 300_000);
    }
    let before = net.started.clone();
    // they come together, and every node knows all of them
    let all: Vec<u32> = (0..old + new).collect();
    for me in old..old + new {
        net.nodes.push(Gossip::newcomer(me, 1, Arc::new(config.clone())));
        net.performed.push(BTreeMap::new());
        net.entered.push(None);
    }
    net.views = vec![all; (old + new) as usize];
    for me in old..old + new {
        net.handle(me, Input::Enter { through: Some(me % old) });
    }
    for (node, bytes, pause) in rumors {
        net.broadcast(node % (old + new), *bytes);
        for _ in 0..*pause {
            net.step();
        }
    }
    steps = 0;
    let lacks = |net: &Net| {
        net.entered.iter().zip(&net.performed).find_map(|(entered, performed)| {
            let Some(entered) = entered else { return Some(None) };
            let after = net.begun.iter().filter(|(_, begun)| *begun > entered).map(|(id, _)| id);
            after.into_iter().find(|id| !performed.contains_key(id)).map(|id| Some(id.clone()))
        })
    };
    while let Some(lacking) = lacks(&net) {
        net.step();
        steps += 1;
        prop_assert!(steps < 300_000, "{:?} {:?}", lacking, net.performed);
    }
    for _ in 0..500 {
        net.step();
    }
    for performed in &net.performed {
        prop_assert!(performed.values().all(|times| *times == 1), "{:?}", performed);
    }
    for performed in &net.performed[old as usize..] {
        prop_assert!(!before.iter().any(|id| performed.contains_key(id)), "{:?}", performed);
    }
    Ok(())
}

fn configs() -> impl Strategy<Value = GossipConfig> {
    let bounds = (1usize..6, 1usize..4, 0usize..300, 1usize..5, 1usize..4, 1usize..6);
    (bounds, 0usize..4, 0usize..4, 0usize..200).prop_map(|(bounds, offers, pushes, eager_bytes)| {
        let (batch, page, transfer_bytes, requests, pulls, queue_count) = bounds;
        GossipConfig {
            batch,
            page,
            transfer_bytes,
            requests,
            pulls,
            queue_count,
            offers,
            pushes,
            eager_bytes,
            ..GossipConfig::default()
        }
    })
}

fn play(
    (count, fanout, loss): (u32, usize, f64),
    config: GossipConfig,
    rumors: &[(u32, usize, bool)],
    seed: u64,
) -> Result<Vec<(u64, u32)>, TestCaseError> {
    let mut net = Net::new(count, fanout, loss, config, seed);
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
        prop_assert!(steps < 300_000, "{:?} of {:?}", net.performed, net.started);
    }
    // What is still under way must not be performed again.
    for _ in 0..500 {
        net.step();
    }
    for performed in &net.performed {
        prop_assert!(performed.values().all(|times| *times == 1), "{:?}", performed);
    }
    Ok(net.trace)
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
        let mut net = Net::new(count, 1, loss, GossipConfig::default(), 9);
        for node in 0..count {
            let (before, after) = ((node + count - 1) % count, (node + 1) % count);
            net.views[node as usize] = vec![before, node, after];
        }
        net.broadcast(0, 4096);
        net.push_opaque(count / 3, 10);
        let mut steps = 0;
        while !net.complete() {
            net.step();
            steps += 1;
            assert!(steps < 200_000);
        }
        assert!(net.performed.iter().flat_map(BTreeMap::values).all(|times| *times == 1));
    }
}

#[test]
fn rumors_cross_a_healed_partition() {
    let mut net = Net::new(8, 3, 0.1, GossipConfig::default(), 4);
    let whole = net.views.clone();
    for node in 0..8 {
        net.views[node as usize] = (0..8).filter(|peer| peer / 4 == node / 4).collect();
    }
    for node in 0..8 {
        net.broadcast(node, 4096);
        net.push_opaque(node, 4096);
    }
    for _ in 0..20_000 {
        net.step();
    }
    assert!(net.performed.iter().all(|performed| performed.len() == 8), "each side has its own");
    net.now += Duration::from_secs(300);
    net.views = whole;
    let mut steps = 0;
    while !net.complete() {
        net.step();
        steps += 1;
        assert!(steps < 50_000);
    }
    assert!(net.performed.iter().flat_map(BTreeMap::values).all(|times| *times == 1));
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
    let mut net = Net::new(6, 2, 0.1, GossipConfig::default(), 5);
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
            let load = net.nodes[0].load();
            assert!(load.requests <= 300 && load.queued <= 4096, "{load:?}");
        }
    }
    assert!(net.performed.iter().all(|performed| performed.values().all(|times| *times == 1)));
}
