//! The arguments of `chinwag simulate`.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use chinwag::protocol::fanout::Fanout;
use chinwag_simulation::{
    Latency, Overlay, SimulationError,
    kinds::{KINDS, Kind, usual},
    membership::{Death, Experiment, Pauses},
};
use clap::Args;

use super::output::{OutputFile, SimulateError};

/// The arguments of the experiment with a rumor. They conflict with other kinds of simulation.
const MEASURED: [&str; 8] = ["nodes", "fanout", "payload_bytes", "loss", "latency", "overlay", "runs", "plot"];

/// The arguments of `simulate`.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Number of nodes
    #[arg(long, default_value_t = 100, allow_negative_numbers = true)]
    pub(super) nodes: usize,
    /// Number of peers that a rumor is first sent to: a number, log, log+N, sqrt, all
    #[arg(long, default_value = "log")]
    pub(super) fanout: Fanout,
    /// Size of the message
    #[arg(long, value_name = "BYTES", default_value_t = 4_096, allow_negative_numbers = true)]
    pub(super) payload_bytes: usize,
    /// Share of one-way messages to lose, 0 to less than 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, allow_negative_numbers = true)]
    pub(super) loss: f64,
    /// Latency of a message in ms: constant:MS, uniform:MS..MS, lognormal:MEDIAN,SIGMA
    #[arg(long, default_value = "constant:1")]
    pub(super) latency: Latency,
    /// Which nodes know each other: clique, ring, line, star, torus, hypercube, regular:K
    #[arg(long, default_value = "clique")]
    pub(super) overlay: Overlay,
    /// Number of runs; run r has the seed SEED + r
    #[arg(long, default_value_t = 100, allow_negative_numbers = true)]
    pub(super) runs: u64,
    /// First seed
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    pub(super) seed: u64,
    /// Print figures as JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Plot how the rumor spread, or how soon dead nodes were removed, as SVG
    #[arg(long, value_name = "FILE")]
    pub(super) plot: Option<PathBuf>,
    /// Write a line for every message of the first run
    #[arg(long, value_name = "FILE")]
    pub(super) trace: Option<PathBuf>,
    #[command(flatten)]
    pub(super) membership: MembershipArgs,
    /// Instead: draw this many networks with failures from seeds, and check each after it has healed
    #[arg(long, value_name = "SEEDS", allow_negative_numbers = true, conflicts_with_all = MEASURED)]
    #[arg(conflicts_with = "scenario")]
    pub(super) swarm: Option<u64>,
    /// Kinds of failures that a swarm draws besides losses, partitions and crashes: usual, all, none, or a
    /// comma-separated list of silent, restarts, clocks, puts, late-puts, early, returns, joins, large-joins, clusters,
    /// takeovers, merges
    #[arg(long, value_name = "KINDS", requires = "swarm", value_parser = kinds, default_value = "usual")]
    pub(super) kinds: Kinds,
    /// Instead: run the scenario in this file, as JSON
    #[arg(long, value_name = "FILE", conflicts_with_all = MEASURED, conflicts_with = "seed")]
    pub(super) scenario: Option<PathBuf>,
}

impl SimulateArgs {
    /// Opens the files for the trace and the plot.
    pub(super) fn open_files(&self) -> Result<(Option<OutputFile<'_>>, Option<OutputFile<'_>>), SimulateError> {
        if self.trace.is_some() && self.trace == self.plot {
            return Err(SimulateError::Invalid("the trace and the plot need a file each".to_owned()));
        }
        if self.trace.is_some() && self.trace == self.scenario {
            return Err(SimulateError::Invalid("the trace would overwrite the scenario".to_owned()));
        }
        let trace = self.trace.as_deref().map(OutputFile::open).transpose()?;
        Ok((trace, self.plot.as_deref().map(OutputFile::open).transpose()?))
    }
}

/// The kinds that a swarm draws.
#[derive(Clone, Debug)]
pub(super) struct Kinds(pub(super) BTreeSet<Kind>);

/// Parses a list of kinds.
fn kinds(text: &str) -> Result<Kinds, SimulationError> {
    Ok(Kinds(match text {
        "usual" => usual(),
        "all" => KINDS.into(),
        "none" => BTreeSet::new(),
        list => list.split(',').map(str::parse).collect::<Result<_, _>>()?,
    }))
}

/// The default number of idle periods.
const PERIODS: u64 = 60;

/// The default number of kills.
const KILLS: u32 = 10;

/// The arguments of the experiment with membership.
#[derive(Debug, Args)]
pub(super) struct MembershipArgs {
    /// Instead: measure how soon dead nodes are removed, and how many live ones are removed by mistake
    #[arg(long, conflicts_with_all = ["fanout", "payload_bytes", "overlay", "runs", "swarm", "scenario"])]
    pub(super) membership: bool,
    /// Number of nodes to kill, one after another [default: 10; 0 with --periods or --seconds]
    #[arg(long, value_name = "COUNT", requires = "membership", allow_negative_numbers = true)]
    pub(super) kills: Option<u32>,
    /// How nodes die: refused (the port refuses connections) or silent (nothing answers) [default: refused]
    #[arg(long, value_name = "KIND", requires = "membership")]
    pub(super) death: Option<Death>,
    /// Number of idle protocol periods before the kills [default: 60]
    #[arg(long, value_name = "COUNT", requires = "membership", allow_negative_numbers = true)]
    pub(super) periods: Option<u64>,
    /// Length of the idle time in seconds of virtual time, rounded up to whole periods
    #[arg(
        long,
        value_name = "SECONDS",
        requires = "membership",
        conflicts_with = "periods",
        allow_negative_numbers = true
    )]
    pub(super) seconds: Option<u64>,
    /// Protocol period of membership; all of its times are in proportion to it [default: 1s]
    #[arg(long, value_name = "DURATION", requires = "membership", value_parser = duration, allow_hyphen_values = true)]
    pub(super) protocol_period: Option<Duration>,
    /// Length of the pause of some nodes in each cycle
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    #[arg(requires_all = ["membership", "pause_every", "paused"])]
    pub(super) pause: Option<Duration>,
    /// Length of a cycle of pauses
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    #[arg(requires_all = ["membership", "pause"])]
    pub(super) pause_every: Option<Duration>,
    /// Share of nodes to pause in each cycle, drawn anew for each: more than 0, less than 1
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, requires_all = ["membership", "pause"])]
    pub(super) paused: Option<f64>,
}

/// Parses `1s`, `200ms`, `1m 30s`.
fn duration(text: &str) -> Result<Duration, String> {
    if text.trim_start().starts_with('-') {
        return Err("a duration is not negative".to_owned());
    }
    humantime::parse_duration(text).map_err(|why| why.to_string())
}

impl MembershipArgs {
    pub(super) fn experiment(&self, args: &SimulateArgs) -> Result<Experiment, SimulateError> {
        let impossible = |why: &str| Err(SimulateError::Invalid(why.to_owned()));
        let period = self.protocol_period.unwrap_or(Duration::from_secs(1));
        if !period.subsec_nanos().is_multiple_of(1_000_000) || period.is_zero() {
            return impossible("a protocol period is a whole number of milliseconds, from 10 on");
        }
        let in_periods = |seconds: u64| {
            let milliseconds = u128::from(seconds) * 1_000;
            // a value that is out of range is refused later
            u64::try_from(milliseconds.div_ceil(period.as_millis())).unwrap_or(u64::MAX)
        };
        let asked = self.periods.or(self.seconds.map(in_periods));
        let kills = self.kills.unwrap_or(if asked.is_some() { 0 } else { KILLS });
        if kills == 0 && self.death.is_some() {
            return impossible("--death needs kills; give --kills");
        }
        if kills == 0 && args.plot.is_some() {
            return impossible("--plot needs kills; give --kills");
        }
        let pauses = match (self.pause, self.pause_every, self.paused) {
            (Some(length), Some(every), Some(share)) => Some(Pauses::new(length, every, share)),
            // clap requires all three together
            _ => None,
        };
        let mut experiment = Experiment::new(args.nodes);
        experiment.loss = args.loss;
        experiment.latency = args.latency;
        experiment.seed = args.seed;
        experiment.period = period;
        experiment.periods = asked.unwrap_or(PERIODS);
        experiment.kills = kills;
        experiment.death = self.death.unwrap_or_default();
        experiment.pauses = pauses;
        experiment.check()?;
        Ok(experiment)
    }
}
