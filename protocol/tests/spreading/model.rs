//! Many nodes under a network with constant latency and independent loss, in virtual time.
//!
//! One-way latency is 1 ms. A request whose answer has not come after 4 ms has failed, whether it was performed or
//! not. A tick is 200 ms. Every member knows every other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use chinwag_protocol::fanout::Fanout;
use chinwag_protocol::rumor::{Answer, Context, Gossip, GossipConfig, Input, Output, Request, Timer, Token, View};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The one-way latency in microseconds, the unit of all times here.
const LATENCY: u64 = 1_000;
const TIMEOUT: u64 = 4 * LATENCY;
/// After this many ticks a run counts as incomplete.
const LAST_TICK: u64 = 50;

/// The members 0 to n - 1, without a list of them.
struct Members(u32);

impl View<u32> for Members {
    fn len(&self) -> usize {
        self.0 as usize
    }
    fn peer(&self, place: usize) -> u32 {
        place as u32
    }
    fn around(&self, peer: u32) -> Option<[u32; 2]> {
        let count = self.0;
        (count > 1).then(|| [(peer + count - 1) % count, (peer + 1) % count])
    }
}

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

enum Event {
    Arrive { from: u32, to: u32, token: Token, request: Request<u32, ()> },
    Answered { from: u32, to: u32, token: Token, answer: Answer<u32, ()> },
    Failed { node: u32, token: Token },
    Tick { node: u32, timer: u64 },
}

struct World {
    members: Members,
    nodes: Vec<Gossip<u32, ()>>,
    performed: Vec<bool>,
    /// The number of the last timer that was started, by node.
    timers: Vec<u64>,
    fanout: usize,
    loss: f64,
    chance: ChaCha8Rng,
    now: u64,
    /// The events, in slots, so that the heap moves only their numbers.
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    number: u64,
    slots: Vec<Option<Event>>,
    free: Vec<u32>,
    out: Vec<Output<u32, ()>>,
    run: Run,
}

/// Spreads one rumor.
pub fn spread(scenario: &Scenario, seed: u64) -> Run {
    let config = Arc::new(scenario.config.clone());
    let count = scenario.members;
    let mut world = World {
        members: Members(count),
        nodes: (0..count).map(|node| Gossip::new(node, 1, config.clone())).collect(),
        performed: vec![false; count as usize],
        timers: vec![0; count as usize],
        fanout: scenario.fanout.count(count as usize),
        loss: scenario.loss,
        chance: ChaCha8Rng::seed_from_u64(seed),
        now: 0,
        heap: BinaryHeap::new(),
        number: 0,
        slots: Vec::new(),
        free: Vec::new(),
        out: Vec::new(),
        run: Run::default(),
    };
    for node in 0..count {
        world.handle(node, Input::Start);
    }
    world.performed[0] = true;
    world.run.reached = 1;
    world.broadcast(0, scenario.bytes);
    let tick = micros(scenario.config.tick);
    while world.run.reached < count {
        let Some(Reverse((time, _, slot))) = world.heap.pop() else {
            break;
        };
        if time > LAST_TICK * tick {
            break;
        }
        world.now = time;
        if let Some(event) = world.slots[slot as usize].take() {
            world.free.push(slot);
            world.step(event);
        }
    }
    world.run.latencies = world.now as f64 / LATENCY as f64;
    world.run.ticks = world.now as f64 / tick as f64;
    world.run
}

impl World {
    fn step(&mut self, event: Event) {
        match event {
            Event::Tick { node, timer } if self.timers[node as usize] != timer => {}
            Event::Tick { node, .. } => self.handle(node, Input::Timer(Timer::Tick)),
            Event::Failed { node, token } => self.handle(node, Input::Failure { token }),
            Event::Answered { from, to, token, answer } => self.handle(to, Input::Answer { token, from, answer }),
            Event::Arrive { from, to, token, request } => {
                let asked = self.now;
                let comparison = matches!(request, Request::Compare { .. });
                let mut context = Context {
                    now: Duration::from_micros(self.now),
                    view: &self.members,
                    fanout: self.fanout,
                    chance: &mut self.chance,
                };
                if let Request::Push(rumor) = &request {
                    self.run.last_hop = self.run.last_hop.max(rumor.hop);
                }
                let mut out = std::mem::take(&mut self.out);
                let answer = self.nodes[to as usize].respond(&mut context, Some(from), request, &mut out);
                self.out = out;
                self.carry_out(to);
                if let Answer::Rumors { rumors, .. } = &answer {
                    self.run.payloads += rumors.len() as u64;
                    self.run.last_hop = rumors.iter().map(|rumor| rumor.hop).fold(self.run.last_hop, u32::max);
                }
                // A comparison that finds a difference counts as a request.
                if comparison && answer != Answer::Same {
                    self.run.requests += 1;
                }
                if self.lost() {
                    let failed = asked - LATENCY + TIMEOUT;
                    self.schedule(failed, Event::Failed { node: from, token });
                } else {
                    self.schedule(asked + LATENCY, Event::Answered { from: to, to: from, token, answer });
                }
            }
        }
    }

    fn broadcast(&mut self, node: u32, bytes: usize) {
        let mut out = std::mem::take(&mut self.out);
        let mut context = Context {
            now: Duration::from_micros(self.now),
            view: &self.members,
            fanout: self.fanout,
            chance: &mut self.chance,
        };
        let started = self.nodes[node as usize].broadcast(&mut context, (), bytes, &mut out);
        assert!(started.is_ok(), "the first rumor of a node was refused");
        self.out = out;
        self.carry_out(node);
    }

    fn handle(&mut self, node: u32, input: Input<u32, ()>) {
        let mut out = std::mem::take(&mut self.out);
        let mut context = Context {
            now: Duration::from_micros(self.now),
            view: &self.members,
            fanout: self.fanout,
            chance: &mut self.chance,
        };
        self.nodes[node as usize].handle(&mut context, input, &mut out);
        self.out = out;
        self.carry_out(node);
    }

    fn carry_out(&mut self, node: u32) {
        let mut out = std::mem::take(&mut self.out);
        for output in out.drain(..) {
            match output {
                Output::Perform { .. } => {
                    let performed = &mut self.performed[node as usize];
                    self.run.repeated += u32::from(*performed);
                    self.run.reached += u32::from(!*performed);
                    *performed = true;
                }
                Output::Timer { after, timer: Timer::Tick } => {
                    let timer = self.number + 1;
                    self.timers[node as usize] = timer;
                    self.schedule(self.now + micros(after), Event::Tick { node, timer });
                }
                Output::Send { token, to, request } => {
                    self.run.payloads += u64::from(matches!(request, Request::Push(_)));
                    self.run.requests += u64::from(!matches!(request, Request::Compare { .. }));
                    if self.lost() {
                        self.schedule(self.now + TIMEOUT, Event::Failed { node, token });
                    } else {
                        let event = Event::Arrive { from: node, to, token, request };
                        self.schedule(self.now + LATENCY, event);
                    }
                }
                Output::Timer { timer: Timer::Entry | Timer::Calm, .. }
                | Output::Cancel { .. }
                | Output::Settled { .. }
                | Output::Reissued { .. }
                | Output::Entered => {}
            }
        }
        self.out = out;
    }

    fn lost(&mut self) -> bool {
        use rand::RngExt;
        self.loss > 0.0 && self.chance.random_bool(self.loss)
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

fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64
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
