//! The measured story: one rumor to everyone, over many seeds.
//!
//! The model. Every node knows its neighbours in the overlay from the start. A node drawn at random sends one message
//! with a payload, at a moment drawn at random within a tick. The run ends when all have it, or counts as incomplete
//! after 50 ticks. A tick is 200 mean latencies, and a request that is not answered within 4 is sent again. A request,
//! with whatever answers it, counts once wherever it got to; idle ticks do not count, which are comparisons that found
//! nothing to do or were lost before they could. Run `r` of seed `s` is run 0 of seed `s + r`.

use std::time::Duration;

use chinwag_protocol::{fanout::Fanout, group::GroupConfig, overlay::Overlay};
use rand::RngExt as _;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng as _};
use serde::Serialize;

use super::{GROUP, Latency, STORY, Simulation, SimulationError, named, net::seed_of};

/// Latencies to a gossip tick.
pub const TICK: f64 = 200.0;

/// Latencies after which a request that was not answered counts as lost. Of a latency that varies, the slow ones count as lost then.
pub const TIMEOUT: f64 = 4.0;

/// Ticks after which a run counts as incomplete.
pub const TICKS: f64 = 50.0;

/// Longest mean latency, in milliseconds. All else is measured in it, so a longer one shows nothing new, while idle nodes
/// have something to do every second of it.
pub const SLOWEST: f64 = 1_000.0;

/// Largest payload, in bytes: what a node takes in one body.
pub const MAX_PAYLOAD: usize = 1 << 23;

/// What is to be measured.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Spread {
    /// How many nodes. From 1.
    pub nodes: usize,
    /// Who knows whom.
    pub overlay: Overlay,
    /// How many peers a rumor is first sent to.
    pub fanout: Fanout,
    /// Size of the message, in bytes. From 1.
    pub payload_bytes: usize,
    /// Share of one-way messages lost.
    pub loss: f64,
    /// How long a message takes.
    pub latency: Latency,
    /// The first run's seed.
    pub seed: u64,
}

/// What one run came to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Run {
    /// Nodes that have it.
    pub reached: u32,
    /// From the send to the last node's having it; none where a node went without.
    pub convergence: Option<Duration>,
    /// Requests from the send to then.
    pub requests: u64,
    /// Messages with the payload in them from the send to then.
    pub payloads: u64,
    /// The most hops it took to a node.
    pub last_hop: u32,
    /// How many had it at what time after the send.
    pub curve: Vec<(Duration, u32)>,
    /// Every message, where it was asked for.
    pub trace: String,
}

/// Where a run has got to, for those who have a clock: the simulation has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// All nodes are up, and the message is about to be sent.
    Sending,
    /// All have it, or the time is up. The nodes are still to be ended.
    Over,
}

impl Spread {
    /// A rumor of 4 kB among so many nodes that all know each other, over a network that takes 1 ms for a message and loses
    /// none, with the seed 1. Its fields say otherwise.
    ///
    /// ```
    /// use chinwag_simulation::spread::Spread;
    ///
    /// let mut spread = Spread::new(20);
    /// spread.loss = 0.1;
    /// assert_eq!(spread.run(0, false)?.reached, 20);
    /// # Ok::<(), chinwag_simulation::SimulationError>(())
    /// ```
    pub fn new(nodes: usize) -> Spread {
        Spread {
            nodes,
            overlay: Overlay::Clique,
            fanout: Fanout::Log,
            payload_bytes: 4_096,
            loss: 0.0,
            latency: Latency::Constant(1),
            seed: 1,
        }
    }

    /// Whether there is such a network; nothing runs.
    ///
    /// # Errors
    /// [`SimulationError`], saying what cannot be.
    pub fn check(&self) -> Result<(), SimulationError> {
        if self.payload_bytes == 0 || self.payload_bytes > MAX_PAYLOAD {
            return Err(SimulationError::Argument(format!(
                "a payload has 1 to {MAX_PAYLOAD} bytes, not {}",
                self.payload_bytes
            )));
        }
        let mean = self.latency.mean();
        if mean > SLOWEST {
            let why = format!(
                "a message takes at most {SLOWEST} ms on average where a rumor is measured, as figures are in latencies, \
                 not {mean}"
            );
            return Err(SimulationError::Argument(why));
        }
        self.simulation(0).check().map(drop)
    }

    fn simulation(&self, seed: u64) -> Simulation {
        let latency = self.latency.mean();
        let group = GroupConfig::new(named(GROUP))
            .with("subset", self.fanout.to_string())
            .with("tick", (TICK * latency).round())
            .with("requestTimeout", (TIMEOUT * latency).round())
            // a run is not to end for want of memory
            .with("retainedAge", 2.0 * TICKS * TICK * latency);
        // nothing is shipped, so nobody keeps what shipped code would see
        Simulation::new(seed)
            .nodes(self.nodes)
            .without_scripts()
            .overlay(self.overlay)
            .latency(self.latency)
            .loss(self.loss)
            .group(group)
    }

    /// One run, on this thread.
    ///
    /// # Errors
    /// [`SimulationError`], where no such network exists.
    pub fn run(&self, run: u64, traced: bool) -> Result<Run, SimulationError> {
        self.run_in_stages(run, traced, |_| {})
    }

    /// The same, and tells where it has got to.
    ///
    /// # Errors
    /// As [`run`](Spread::run).
    pub fn run_in_stages(&self, run: u64, traced: bool, at: impl Fn(Stage)) -> Result<Run, SimulationError> {
        self.check()?;
        let seed = self.seed.wrapping_add(run);
        let simulation = self.simulation(seed);
        let simulation = if traced { simulation.traced() } else { simulation };
        let tick = Duration::from_millis((TICK * self.latency.mean()).round() as u64);
        // a character that no name in a call has
        let payload = "~".repeat(self.payload_bytes);
        let nodes = self.nodes;
        simulation.run(|net| async move {
            let mut chance = ChaCha8Rng::from_seed(seed_of(seed, STORY, 0));
            let from = chance.random_range(0..nodes);
            let wait = tick + Duration::from_millis(chance.random_range(0..tick.as_millis() as u64));
            net.advance(wait).await;
            let (start, before) = (net.now(), net.counts());
            net.watch(&payload, from);
            at(Stage::Sending);
            net.tell(from, &payload);
            net.until_all_heard(&payload, tick.mul_f64(TICKS)).await;
            at(Stage::Over);
            let reach = net.reach(&payload);
            let sent = reach.complete.unwrap_or_else(|| net.counts()).since(before);
            let curve: Vec<_> = reach.curve.into_iter().map(|(at, count)| (at - start, count)).collect();
            Run {
                reached: reach.nodes,
                convergence: reach.complete.and(curve.last().map(|(at, _)| *at)),
                requests: sent.at_work(),
                payloads: sent.payloads,
                last_hop: net.last_hop(),
                curve,
                trace: net.trace(),
            }
        })
    }

    /// Sums runs up.
    pub fn report(&self, runs: &[Run], wall: Duration) -> Report {
        let nodes = self.nodes as f64;
        let mean = |of: &dyn Fn(&Run) -> f64| runs.iter().map(of).sum::<f64>() / runs.len().max(1) as f64;
        let latency = self.latency.mean();
        let mut latencies: Vec<f64> =
            runs.iter().filter_map(|run| Some(run.convergence?.as_secs_f64() * 1_000.0 / latency)).collect();
        latencies.sort_by(f64::total_cmp);
        let payloads = mean(&|run| run.payloads as f64);
        let converged = Percentiles::of(&latencies);
        Report {
            nodes: self.nodes,
            runs: runs.len(),
            seed: self.seed,
            loss: self.loss,
            latency: self.latency.to_string(),
            overlay: self.overlay.to_string(),
            fanout: self.fanout.to_string(),
            payload_bytes: self.payload_bytes,
            coverage: mean(&|run| f64::from(run.reached)) / nodes,
            incomplete_runs: runs.iter().filter(|run| run.convergence.is_none()).count(),
            payloads_per_node: payloads / nodes,
            requests_per_node: mean(&|run| run.requests as f64) / nodes,
            rmr: (self.nodes > 1).then(|| payloads / (nodes - 1.0) - 1.0),
            ldh: mean(&|run| run.last_hop.into()),
            convergence_ticks: converged.as_ref().map(|converged| converged.mean / TICK),
            convergence_latencies: converged,
            wall_seconds: wall.as_secs_f64(),
            spreading_seconds: None,
        }
    }
}

/// What many runs came to. Means are over all runs, times over those that were complete.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Nodes in each run.
    pub nodes: usize,
    /// Runs.
    pub runs: usize,
    /// The first run's seed.
    pub seed: u64,
    /// Share of one-way messages lost.
    pub loss: f64,
    /// How long a message took.
    pub latency: String,
    /// Who knew whom.
    pub overlay: String,
    /// How many peers a rumor was first sent to.
    pub fanout: String,
    /// Size of the message.
    pub payload_bytes: usize,
    /// Mean share of nodes reached.
    pub coverage: f64,
    /// Runs in which a node went without.
    pub incomplete_runs: usize,
    /// Messages with the payload in them, by node.
    pub payloads_per_node: f64,
    /// Requests of any kind but idle ones, by node.
    pub requests_per_node: f64,
    /// Relative message redundancy: payload messages / (nodes - 1) - 1. None for one node.
    pub rmr: Option<f64>,
    /// Last delivery hop, the mean.
    pub ldh: f64,
    /// From the send to the last delivery, in mean one-way latencies. None where no run was complete.
    pub convergence_latencies: Option<Percentiles>,
    /// The mean of that, in ticks.
    pub convergence_ticks: Option<f64>,
    /// Real time that all runs took together.
    pub wall_seconds: f64,
    /// Real time from a send to its last delivery, the mean; none where nobody looked at a clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spreading_seconds: Option<f64>,
}

/// A distribution.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Percentiles {
    /// The mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// Exceeded by one in ten.
    pub p90: f64,
    /// Exceeded by one in a hundred.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Percentiles {
    /// Of numbers in ascending order, by nearest rank; none of none.
    pub fn of(sorted: &[f64]) -> Option<Percentiles> {
        let at = |share: f64| sorted.get(((share * sorted.len() as f64).ceil() as usize).saturating_sub(1)).copied();
        Some(Percentiles {
            mean: sorted.iter().sum::<f64>() / sorted.len().max(1) as f64,
            p50: at(0.5)?,
            p90: at(0.9)?,
            p99: at(0.99)?,
            max: *sorted.last()?,
        })
    }
}
