//! An experiment: the spread of one rumor to all nodes, over many seeds.
//!
//! Every node knows its neighbours in the overlay from the start. A random node sends one message with a payload at a
//! random moment of a tick. The run ends when all nodes have the message, or counts as incomplete after 50 ticks. A
//! tick is 200 mean latencies, and a request is repeated if it is not answered within 4. A request and its answer count
//! once, even if they are lost. Idle comparisons do not count: those that found no difference or were lost. Run `r`
//! with seed `s` is run 0 with seed `s + r`.

use std::time::Duration;

use chinwag_protocol::{fanout::Fanout, group::GroupConfig, overlay::Overlay};
use rand::RngExt as _;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng as _};
use serde::Serialize;

pub use super::percentiles::Percentiles;

use super::{GROUP, Latency, SCENARIO, Simulation, SimulationError, gid, net::seed_of};

/// The length of a gossip tick in latencies.
pub const TICK: f64 = 200.0;

/// The timeout of a request in latencies. If the latency varies, slow answers count as lost.
pub const TIMEOUT: f64 = 4.0;

/// The number of ticks after which a run is incomplete.
pub const TICKS: f64 = 50.0;

/// The longest mean latency in milliseconds. All other times are in proportion to it, so a longer one shows nothing new
/// and takes longer, because idle nodes act every second.
pub const SLOWEST: f64 = 1_000.0;

/// The largest payload in bytes, which is the limit of a request's body.
pub const MAX_PAYLOAD: usize = 1 << 23;

/// The settings of the experiment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Spread {
    /// The number of nodes, from 1.
    pub nodes: usize,
    /// Which nodes know each other.
    pub overlay: Overlay,
    /// The number of peers that the rumor is first sent to.
    pub fanout: Fanout,
    /// The size of the payload in bytes, from 1.
    pub payload_bytes: usize,
    /// The share of one-way messages that are lost.
    pub loss: f64,
    /// The latency of messages.
    pub latency: Latency,
    /// The seed of the first run.
    pub seed: u64,
}

/// The result of one run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Run {
    /// The number of nodes that received the message.
    pub reached: u32,
    /// The time from the send until the last node received it, or `None` if a node did not.
    pub convergence: Option<Duration>,
    /// The number of requests in that time.
    pub requests: u64,
    /// The number of messages with the payload in that time.
    pub payloads: u64,
    /// The largest number of hops to a node.
    pub last_hop: u32,
    /// The number of nodes that had received the message by each time after the send.
    pub curve: Vec<(Duration, u32)>,
    /// Every message, if the run was traced.
    pub trace: String,
}

/// The progress of a run. The simulation has no real clock; a caller that has one can measure the phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All nodes are up, and the message is sent next.
    Sending,
    /// All nodes have the message, or the time is over. The nodes have not been ended yet.
    Over,
}

impl Spread {
    /// A rumor of 4 kB among nodes that all know each other, on a network with a latency of 1 ms and without loss, with
    /// the seed 1.
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

    /// Checks the settings without running anything.
    ///
    /// # Errors
    /// A [`SimulationError`] that says what is invalid.
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
        let group = GroupConfig::new(gid(GROUP))
            .with("subset", self.fanout.to_string())
            .with("tick", (TICK * latency).round())
            .with("requestTimeout", (TIMEOUT * latency).round())
            // no run ends because nodes have dropped the message
            .with("retainedAge", 2.0 * TICKS * TICK * latency);
        // no code is shipped, and nodes need less memory without scripts
        Simulation::new(seed)
            .nodes(self.nodes)
            .without_scripts()
            .overlay(self.overlay)
            .latency(self.latency)
            .loss(self.loss)
            .group(group)
    }

    /// Runs once, on this thread.
    ///
    /// # Errors
    /// A [`SimulationError`] if the settings are invalid.
    pub fn run(&self, run: u64, traced: bool) -> Result<Run, SimulationError> {
        self.run_with_progress(run, traced, |_| {})
    }

    /// Runs once, and reports the progress.
    ///
    /// # Errors
    /// As [`run`](Spread::run).
    pub fn run_with_progress(
        &self,
        run: u64,
        traced: bool,
        progress: impl Fn(Progress),
    ) -> Result<Run, SimulationError> {
        self.check()?;
        let seed = self.seed.wrapping_add(run);
        let simulation = self.simulation(seed);
        let simulation = if traced { simulation.traced() } else { simulation };
        let tick = Duration::from_millis((TICK * self.latency.mean()).round() as u64);
        // no name in a call contains this character
        let payload = "~".repeat(self.payload_bytes);
        let nodes = self.nodes;
        simulation.run(|net| async move {
            let mut rng = ChaCha8Rng::from_seed(seed_of(seed, SCENARIO, 0));
            let from = rng.random_range(0..nodes);
            let wait = tick + Duration::from_millis(rng.random_range(0..tick.as_millis() as u64));
            net.advance(wait).await;
            let (start, before) = (net.now(), net.counts());
            net.watch(&payload, from);
            progress(Progress::Sending);
            net.tell(from, &payload);
            net.until_all_heard(&payload, tick.mul_f64(TICKS)).await;
            progress(Progress::Over);
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

    /// Summarizes several runs.
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

/// A summary of several runs. Means are over all runs, and times over the complete ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The number of nodes in each run.
    pub nodes: usize,
    /// The number of runs.
    pub runs: usize,
    /// The seed of the first run.
    pub seed: u64,
    /// The share of one-way messages that were lost.
    pub loss: f64,
    /// The latency of messages.
    pub latency: String,
    /// The overlay.
    pub overlay: String,
    /// The fan-out: the number of peers that the rumor was first sent to.
    pub fanout: String,
    /// The size of the payload.
    pub payload_bytes: usize,
    /// The mean share of nodes that received the message.
    pub coverage: f64,
    /// The number of runs in which a node did not receive the message.
    pub incomplete_runs: usize,
    /// The number of messages with the payload, per node.
    pub payloads_per_node: f64,
    /// The number of requests without idle comparisons, per node.
    pub requests_per_node: f64,
    /// Relative message redundancy: payload messages / (nodes - 1) - 1. `None` for one node.
    pub rmr: Option<f64>,
    /// The mean of the last delivery hop.
    pub ldh: f64,
    /// The time from the send to the last delivery in mean one-way latencies, or `None` if no run was complete.
    pub convergence_latencies: Option<Percentiles>,
    /// The mean of that time in ticks.
    pub convergence_ticks: Option<f64>,
    /// The real time of all runs together.
    pub wall_seconds: f64,
    /// The mean of the real time from the send to the last delivery, or `None` if nobody measured it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spreading_seconds: Option<f64>,
}
