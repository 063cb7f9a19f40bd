//! The results of the experiment.

use std::time::Duration;

use serde::Serialize;

use super::death::Death;
use crate::percentiles::Percentiles;

/// The result of one run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Run {
    /// The figures.
    pub figures: Figures,
    /// The removal of each victim, in order.
    pub removals: Vec<Removal>,
    /// Every message, if the run was traced.
    pub trace: String,
}

/// The removal of one victim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removal {
    /// The time from the kill until the first node had removed the victim, or `None` if no node did.
    pub first: Option<Duration>,
    /// The time from the kill until the last living node had removed the victim, or `None` if a node did not.
    pub last: Option<Duration>,
}

/// The figures of a run. All except `idle` cover everything after the start.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Figures {
    /// The number of nodes.
    pub nodes: usize,
    /// The seed of all random numbers.
    pub seed: u64,
    /// The share of one-way messages that were lost.
    pub loss: f64,
    /// The latency of messages.
    pub latency: String,
    /// The protocol period of membership.
    pub protocol_period_seconds: f64,
    /// The pauses, or `None` if there were none.
    pub pauses: Option<PausesFigures>,
    /// The length of the start in virtual time.
    pub start_seconds: f64,
    /// The number of kills.
    pub kills: u32,
    /// How the nodes died, or `None` if none was killed.
    pub death: Option<Death>,
    /// The number of kills whose victim was still in the view of a living node after 120 periods. `last_seconds` does
    /// not include them.
    pub unfinished_kills: u32,
    /// The virtual time from a kill until the first node had removed the victim, or `None` if no node did.
    pub first_seconds: Option<Percentiles>,
    /// The virtual time from a kill until the last living node had removed the victim, or `None` if that never
    /// happened.
    pub last_seconds: Option<Percentiles>,
    /// The number of removals of running nodes. Each node that removes another one counts.
    pub false_removals: u64,
    /// The number of removals of nodes that were paused at that moment. Each node that removes another one counts.
    pub paused_removals: u64,
    /// The number of suspicions of living nodes. Each node that hears of a suspicion counts.
    pub suspicions: u64,
    /// The number of all requests, those of gossip included, per node and period.
    pub requests_per_node_period: f64,
    /// The number of observed protocol periods, times the number of living nodes.
    pub node_periods: u64,
    /// The number of events that arrived faster than the experiment took them. If it is not 0, other counts may be too
    /// low.
    pub missed_events: u64,
    /// The figures of the idle periods alone, or `None` if there were none.
    pub idle: Option<IdleFigures>,
}

/// The figures of the idle periods.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct IdleFigures {
    /// The number of periods.
    pub periods: u64,
    /// The number of periods times the number of nodes.
    pub node_periods: u64,
    /// As [`Figures::false_removals`].
    pub false_removals: u64,
    /// As [`Figures::paused_removals`].
    pub paused_removals: u64,
    /// As [`Figures::suspicions`].
    pub suspicions: u64,
    /// As [`Figures::requests_per_node_period`].
    pub requests_per_node_period: f64,
}

/// The settings of the pauses, as data.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PausesFigures {
    /// The length of a pause.
    pub pause_seconds: f64,
    /// The length of a cycle.
    pub every_seconds: f64,
    /// The share of nodes that pause in each cycle.
    pub share: f64,
}

/// The time that a run took, measured by a caller with a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// The start.
    pub start: Duration,
    /// The idle periods.
    pub idle: Duration,
    /// The kills.
    pub kills: Duration,
}

/// The figures of a run, with its real time, processor time and memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// The real time of the run, with the start.
    pub wall_seconds: f64,
    /// The real time of the start.
    pub start_wall_seconds: f64,
    /// The real time per node and period after the start, in microseconds. All nodes are on one thread.
    pub wall_micros_per_node_period: f64,
    /// The real time per node and period over the idle periods, or `None` if there were none.
    pub idle_wall_micros_per_node_period: Option<f64>,
    /// The processor time per node and period after the start, in microseconds, or `None` if the system does not report
    /// it. It is less than the real time on a machine that does other things.
    pub processor_micros_per_node_period: Option<f64>,
    /// The processor time per node and period over the idle periods.
    pub idle_processor_micros_per_node_period: Option<f64>,
    /// The peak memory of the process, or `None` if the system does not report it.
    pub peak_memory_bytes: Option<u64>,
}

impl Report {
    /// Adds what the run took of the machine.
    pub fn of(figures: Figures, wall: Times, processor: Option<Times>, peak_memory_bytes: Option<u64>) -> Report {
        let each = |took: Duration, node_periods: u64| took.as_secs_f64() * 1e6 / node_periods.max(1) as f64;
        let all = |took: Times| each(took.idle + took.kills, figures.node_periods);
        let idle = |took: Times| figures.idle.as_ref().map(|idle| each(took.idle, idle.node_periods));
        Report {
            wall_seconds: (wall.start + wall.idle + wall.kills).as_secs_f64(),
            start_wall_seconds: wall.start.as_secs_f64(),
            wall_micros_per_node_period: all(wall),
            idle_wall_micros_per_node_period: idle(wall),
            processor_micros_per_node_period: processor.map(all),
            idle_processor_micros_per_node_period: processor.and_then(idle),
            peak_memory_bytes,
            figures,
        }
    }
}
