//! The arguments of `chinwag simulate`.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use chinwag::protocol::fanout::Fanout;
use chinwag_simulation::{
    Latency, Overlay, SimulationError,
    kinds::{KINDS, Kind, USUAL},
    membership::{Death, Experiment, Pauses},
};
use clap::Args;

use super::output::{Refusal, Sink};

/// What says how a rumor is to be measured, and means nothing where something else is done instead.
const MEASURED: [&str; 8] = ["nodes", "fanout", "payload_bytes", "loss", "latency", "overlay", "runs", "plot"];

/// What is to be simulated.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// How many nodes
    #[arg(long, default_value_t = 100, allow_negative_numbers = true)]
    pub(super) nodes: usize,
    /// Peers a rumor is first sent to: a number, log, log+N, sqrt, all
    #[arg(long, default_value = "log")]
    pub(super) fanout: Fanout,
    /// Size of the message
    #[arg(long, value_name = "BYTES", default_value_t = 4_096, allow_negative_numbers = true)]
    pub(super) payload_bytes: usize,
    /// Share of one-way messages lost, 0 to less than 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, allow_negative_numbers = true)]
    pub(super) loss: f64,
    /// Time a message takes, in ms: constant:MS, uniform:MS..MS, lognormal:MEDIAN,SIGMA
    #[arg(long, default_value = "constant:1")]
    pub(super) latency: Latency,
    /// Who knows whom: clique, ring, line, star, torus, hypercube, regular:K
    #[arg(long, default_value = "clique")]
    pub(super) overlay: Overlay,
    /// How many runs; run r has the seed SEED + r
    #[arg(long, default_value_t = 100, allow_negative_numbers = true)]
    pub(super) runs: u64,
    /// The first seed
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    pub(super) seed: u64,
    /// Print figures as JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Draw how the rumor spread, or how soon dead nodes were removed, as SVG
    #[arg(long, value_name = "FILE")]
    pub(super) plot: Option<PathBuf>,
    /// Write every message of the first run, a line each
    #[arg(long, value_name = "FILE")]
    pub(super) trace: Option<PathBuf>,
    #[command(flatten)]
    pub(super) membership: MembershipArgs,
    /// Instead: draw this many networks with failures from the seeds, and check each after it has healed
    #[arg(long, value_name = "SEEDS", allow_negative_numbers = true, conflicts_with_all = MEASURED)]
    #[arg(conflicts_with = "scenario")]
    pub(super) swarm: Option<u64>,
    /// What a swarm draws besides weather and single failures: usual, all, none, or kinds with commas between, of
    /// silent, restarts, clocks, puts, late-puts, early, returns, joins, large-joins, clusters, takeovers, merges
    #[arg(long, value_name = "KINDS", requires = "swarm", value_parser = kinds, default_value = "usual")]
    pub(super) kinds: Kinds,
    /// Instead: run the failures in this file, as JSON
    #[arg(long, value_name = "FILE", conflicts_with_all = MEASURED, conflicts_with = "seed")]
    pub(super) scenario: Option<PathBuf>,
}

impl SimulateArgs {
    /// Opens the files that the trace and the plot are to be written to.
    pub(super) fn open_files(&self) -> Result<(Option<Sink<'_>>, Option<Sink<'_>>), Refusal> {
        if self.trace.is_some() && self.trace == self.plot {
            return Err(Refusal::Invalid("the trace and the plot need a file each".to_owned()));
        }
        if self.trace.is_some() && self.trace == self.scenario {
            return Err(Refusal::Invalid("the trace would overwrite the scenario".to_owned()));
        }
        let trace = self.trace.as_deref().map(Sink::open).transpose()?;
        Ok((trace, self.plot.as_deref().map(Sink::open).transpose()?))
    }
}

/// Which kinds a swarm draws.
#[derive(Clone, Debug)]
pub(super) struct Kinds(pub(super) BTreeSet<Kind>);

/// Reads a list of kinds.
fn kinds(text: &str) -> Result<Kinds, SimulationError> {
    Ok(Kinds(match text {
        "usual" => USUAL.into(),
        "all" => KINDS.into(),
        "none" => BTreeSet::new(),
        list => list.split(',').map(str::parse).collect::<Result<_, _>>()?,
    }))
}

/// Idle periods, unless told otherwise.
const PERIODS: u64 = 60;

/// Kills, unless told otherwise.
const KILLS: u32 = 10;

/// How membership is to be measured.
#[derive(Debug, Args)]
pub(super) struct MembershipArgs {
    /// Instead: measure how soon nodes that watch each other remove one that dies, and how many live ones they remove
    #[arg(long, conflicts_with_all = ["fanout", "payload_bytes", "overlay", "runs", "swarm", "scenario"])]
    pub(super) membership: bool,
    /// Kill this many nodes, one after another [default: 10; 0 with --periods or --seconds]
    #[arg(long, value_name = "COUNT", requires = "membership", allow_negative_numbers = true)]
    pub(super) kills: Option<u32>,
    /// How they die: refused (the port refuses connections at once) or silent (nothing answers) [default: refused]
    #[arg(long, value_name = "KIND", requires = "membership")]
    pub(super) death: Option<Death>,
    /// Protocol periods to watch while nobody dies, before the kills [default: 60]
    #[arg(long, value_name = "COUNT", requires = "membership", allow_negative_numbers = true)]
    pub(super) periods: Option<u64>,
    /// The same in seconds of virtual time, rounded up to whole periods
    #[arg(
        long,
        value_name = "SECONDS",
        requires = "membership",
        conflicts_with = "periods",
        allow_negative_numbers = true
    )]
    pub(super) seconds: Option<u64>,
    /// Membership's protocol period, to which all of its times are in proportion [default: 1s]
    #[arg(long, value_name = "DURATION", requires = "membership", value_parser = duration, allow_hyphen_values = true)]
    pub(super) protocol_period: Option<Duration>,
    /// Pause nodes for so long in each cycle
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    #[arg(requires_all = ["membership", "pause_every", "paused"])]
    pub(super) pause: Option<Duration>,
    /// The length of a cycle of pauses
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    #[arg(requires_all = ["membership", "pause"])]
    pub(super) pause_every: Option<Duration>,
    /// The share of nodes paused in each cycle, drawn afresh for each: more than 0, less than 1
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, requires_all = ["membership", "pause"])]
    pub(super) paused: Option<f64>,
}

/// Reads `1s`, `200ms`, `1m 30s`.
fn duration(text: &str) -> Result<Duration, String> {
    if text.trim_start().starts_with('-') {
        return Err("a duration is not negative".to_owned());
    }
    humantime::parse_duration(text).map_err(|why| why.to_string())
}

impl MembershipArgs {
    pub(super) fn watching(&self, args: &SimulateArgs) -> Result<Experiment, Refusal> {
        let impossible = |why: &str| Err(Refusal::Invalid(why.to_owned()));
        let period = self.protocol_period.unwrap_or(Duration::from_secs(1));
        if !period.subsec_nanos().is_multiple_of(1_000_000) || period.is_zero() {
            return impossible("a protocol period is a whole number of milliseconds, from 10 on");
        }
        let in_periods = |seconds: u64| {
            let milliseconds = u128::from(seconds) * 1_000;
            // what is out of range is refused later
            u64::try_from(milliseconds.div_ceil(period.as_millis())).unwrap_or(u64::MAX)
        };
        let asked = self.periods.or(self.seconds.map(in_periods));
        let kills = self.kills.unwrap_or(if asked.is_some() { 0 } else { KILLS });
        if kills == 0 && self.death.is_some() {
            return impossible("--death means nothing where nobody is killed: give --kills");
        }
        if kills == 0 && args.plot.is_some() {
            return impossible("--plot draws how soon dead nodes were removed, and nobody is killed: give --kills");
        }
        let pauses = match (self.pause, self.pause_every, self.paused) {
            (Some(length), Some(every), Some(share)) => Some(Pauses::new(length, every, share)),
            // they come together
            _ => None,
        };
        let mut watching = Experiment::new(args.nodes);
        watching.loss = args.loss;
        watching.latency = args.latency;
        watching.seed = args.seed;
        watching.period = period;
        watching.periods = asked.unwrap_or(PERIODS);
        watching.kills = kills;
        watching.death = self.death.unwrap_or_default();
        watching.pauses = pauses;
        watching.check()?;
        Ok(watching)
    }
}
