//! How a rumor spreads among many nodes with constant latency and independent loss, as figures.
//!
//! One-way latency is 1 ms. A request whose answer has not come after 4 ms has failed, whether it was performed or
//! not. A tick is 200 ms. Every member knows every other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use chinwag_protocol::fanout::Fanout;
use chinwag_protocol::rumor::{GossipConfig, Input, Timer};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::network::{Event, Network, Schedule};

/// The one-way latency in microseconds, the unit of all times of this schedule.
const LATENCY: u64 = 1_000;
const TIMEOUT: u64 = 4 * LATENCY;
/// After this many ticks a run counts as incomplete.
const LAST_TICK: u32 = 50;

/// The parameters of a simulation.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The number of nodes.
    pub members: u32,
    /// The probability that a one-way message is lost.
    pub loss: f64,
    /// The group's fan-out.
    pub fanout: Fanout,
    /// The size of the message.
    pub bytes: usize,
    /// The settings.
    pub config: GossipConfig,
}

/// The result of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Run {
    /// The number of nodes that performed the rumor, including the origin.
    pub reached: u32,
    /// The number of repeated performances, which must be 0.
    pub repeated: u32,
    /// The time from the send to the last delivery, in latencies.
    pub latencies: f64,
    /// The same in ticks.
    pub ticks: f64,
    /// The number of payloads sent, whether or not they arrived.
    pub payloads: u64,
    /// The number of requests before the last delivery, without comparisons that find no difference.
    pub requests: u64,
    /// The highest hop at which the rumor was performed (LDH).
    pub last_hop: u32,
}

/// Delivers after one latency, or loses, what is sent. Ticks happen on time.
struct Timetable {
    loss: f64,
    /// The number of the last tick that was started, by node.
    ticks: Vec<u64>,
    /// The events, in slots, so that the heap moves only their numbers.
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    number: u64,
    slots: Vec<Option<Event>>,
    free: Vec<u32>,
}

impl Timetable {
    fn new(members: u32, loss: f64) -> Self {
        Timetable {
            loss,
            ticks: vec![0; members as usize],
            heap: BinaryHeap::new(),
            number: 0,
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    fn schedule(&mut self, time: u64, event: Event) {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                (self.slots.len() - 1) as u32
            }
        };
        self.slots[slot as usize] = Some(event);
        self.number += 1;
        self.heap.push(Reverse((time, self.number, slot)));
    }
}

impl Schedule for Timetable {
    fn send(&mut self, now: Duration, sent: Event, chance: &mut ChaCha8Rng) {
        let now = micros(now);
        if self.loss == 0.0 || !chance.random_bool(self.loss) {
            return self.schedule(now + LATENCY, sent);
        }
        match sent {
            Event::Request { from, token, .. } => self.schedule(now + TIMEOUT, Event::Failure { node: from, token }),
            // The request was sent one latency ago.
            Event::Answer { to, token, .. } => {
                self.schedule(now - LATENCY + TIMEOUT, Event::Failure { node: to, token });
            }
            Event::Failure { .. } | Event::Timer { .. } => {}
        }
    }

    fn start_timer(&mut self, now: Duration, node: u32, timer: Timer, after: Duration) {
        // Every node is in the group from its beginning, and no rumor is calm.
        if timer == Timer::Tick {
            self.schedule(micros(now + after), Event::Timer { node, timer });
            self.ticks[node as usize] = self.number;
        }
    }

    fn next(&mut self, _now: Duration, _nodes: u32, _chance: &mut ChaCha8Rng) -> Option<(Duration, Event)> {
        loop {
            let Reverse((time, number, slot)) = self.heap.pop()?;
            self.free.push(slot);
            match self.slots[slot as usize].take()? {
                // The node has started its timer again since.
                Event::Timer { node, .. } if self.ticks[node as usize] != number => {}
                event => return Some((Duration::from_micros(time), event)),
            }
        }
    }
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64
}

/// Spreads one rumor.
pub fn spread(scenario: &Scenario, seed: u64) -> Run {
    let count = scenario.members;
    let fanout = scenario.fanout.count(count as usize);
    let config = Arc::new(scenario.config.clone());
    let mut network = Network::new(count, fanout, config, Timetable::new(count, scenario.loss), seed);
    for node in 0..count {
        network.handle(node, Input::Start);
    }
    let started = network.broadcast(0, 0, scenario.bytes);
    assert!(started.is_ok(), "the first rumor of a node was refused");
    let tick = scenario.config.tick;
    while network.reached < u64::from(count) && network.now <= tick * LAST_TICK && network.step() {}
    Run {
        reached: network.reached as u32,
        repeated: network.repeated as u32,
        latencies: micros(network.now) as f64 / LATENCY as f64,
        ticks: micros(network.now) as f64 / micros(tick) as f64,
        payloads: network.traffic.payloads,
        requests: network.traffic.requests,
        last_hop: network.traffic.last_hop,
    }
}

/// The result of many runs.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The number of runs in which not all nodes were reached.
    pub incomplete: usize,
    /// The number of repeated performances.
    pub repeated: u32,
    /// The share of nodes that were reached, over all runs.
    pub coverage: f64,
    /// The payloads per node.
    pub payloads: f64,
    /// The requests per node.
    pub requests: f64,
    /// The median of the latencies to the last delivery.
    pub median: f64,
    /// The 90th percentile of the latencies to the last delivery.
    pub ninetieth: f64,
    /// The mean of the ticks to the last delivery.
    pub ticks: f64,
    /// The mean of the highest hop (LDH).
    pub last_hop: f64,
}

/// Runs a scenario with the seeds from `seed` on.
pub fn summarize(scenario: &Scenario, seed: u64, runs: u64) -> Summary {
    let results: Vec<Run> = (seed..seed + runs).map(|seed| spread(scenario, seed)).collect();
    let count = results.len() as f64;
    let nodes = f64::from(scenario.members);
    let mean = |figure: fn(&Run) -> f64| results.iter().map(figure).sum::<f64>() / count;
    let mut latencies: Vec<f64> = results.iter().map(|run| run.latencies).collect();
    latencies.sort_by(f64::total_cmp);
    // The nearest rank: of ten runs, the ninth is at the 90th percentile.
    let percentile = |share: f64| latencies[((count * share).ceil() as usize).clamp(1, latencies.len()) - 1];
    Summary {
        incomplete: results.iter().filter(|run| run.reached < scenario.members).count(),
        repeated: results.iter().map(|run| run.repeated).sum(),
        coverage: mean(|run| f64::from(run.reached)) / nodes,
        payloads: mean(|run| run.payloads as f64) / nodes,
        requests: mean(|run| run.requests as f64) / nodes,
        median: percentile(0.5),
        ninetieth: percentile(0.9),
        ticks: mean(|run| run.ticks),
        last_hop: mean(|run| f64::from(run.last_hop)),
    }
}
