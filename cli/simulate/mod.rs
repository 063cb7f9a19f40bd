//! `chinwag simulate`: a rumor to everyone over many seeds, or membership while nodes die, measured; or random failures,
//! checked.
//!
//! Runs are spread over the cores, a thread and a runtime each at a time; a run knows nothing but its seed, so the
//! figures do not depend on how many cores there are.

mod membership;
mod plot;
mod table;

use std::{
    cell::Cell,
    collections::BTreeSet,
    fs::{self, File},
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chinwag::protocol::fanout::Fanout;
use chinwag_simulation::{
    Impossible, Latency, Overlay,
    kinds::{KINDS, Kind, USUAL},
    scenario::Scenario,
    spread::{Run, Spread, Stage},
    swarm,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::fail;

/// What says how a rumor is to be measured, and means nothing where something else is done instead.
const MEASURED: [&str; 8] = ["nodes", "fanout", "payload_bytes", "loss", "latency", "overlay", "runs", "plot"];

/// What is to be simulated.
#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    /// How many nodes
    #[arg(long, default_value_t = 100, allow_negative_numbers = true)]
    nodes: usize,
    /// Peers a rumor is first sent to: a number, log, log+N, sqrt, all
    #[arg(long, default_value = "log")]
    fanout: Fanout,
    /// Size of the message
    #[arg(long, value_name = "BYTES", default_value_t = 4_096, allow_negative_numbers = true)]
    payload_bytes: usize,
    /// Share of one-way messages lost, 0 to less than 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, allow_negative_numbers = true)]
    loss: f64,
    /// Time a message takes, in ms: constant:MS, uniform:MS..MS, lognormal:MEDIAN,SIGMA
    #[arg(long, default_value = "constant:1")]
    latency: Latency,
    /// Who knows whom: clique, ring, line, star, torus, hypercube, regular:K
    #[arg(long, default_value = "clique")]
    overlay: Overlay,
    /// How many runs; run r has the seed SEED + r
    #[arg(long, default_value_t = 100, allow_negative_numbers = true)]
    runs: u64,
    /// The first seed
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    seed: u64,
    /// Print figures as JSON
    #[arg(long)]
    json: bool,
    /// Draw how the rumor spread, or how soon dead nodes were removed, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Write every message of the first run, a line each
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    membership: membership::MembershipArgs,
    /// Instead: draw this many networks with failures from the seeds, and check each after it has healed
    #[arg(long, value_name = "SEEDS", allow_negative_numbers = true, conflicts_with_all = MEASURED)]
    #[arg(conflicts_with = "scenario")]
    swarm: Option<u64>,
    /// What a swarm draws besides weather and single failures: usual, all, none, or kinds with commas between, of
    /// silent, restarts, clocks, puts, late-puts, early, returns, joins, large-joins, clusters, takeovers, merges
    #[arg(long, value_name = "KINDS", requires = "swarm", value_parser = kinds, default_value = "usual")]
    kinds: Kinds,
    /// Instead: run the failures in this file, as JSON
    #[arg(long, value_name = "FILE", conflicts_with_all = MEASURED, conflicts_with = "seed")]
    scenario: Option<PathBuf>,
}

/// Which kinds a swarm draws.
#[derive(Clone, Debug)]
struct Kinds(BTreeSet<Kind>);

/// Reads a list of kinds.
fn kinds(text: &str) -> Result<Kinds, Impossible> {
    Ok(Kinds(match text {
        "usual" => USUAL.into(),
        "all" => KINDS.into(),
        "none" => BTreeSet::new(),
        list => list.split(',').map(str::parse).collect::<Result<_, _>>()?,
    }))
}

/// Runs it. What cannot be is refused with 2, what failed is 1.
pub(super) fn run(args: &SimulateArgs) -> ExitCode {
    let done = match (&args.scenario, args.swarm) {
        _ if args.membership.membership => membership::measure(args),
        (Some(file), _) => replay(args, file),
        (None, Some(seeds)) => swarm(args, seeds),
        (None, None) => measure(args),
    };
    done.unwrap_or_else(|refusal| match refusal {
        Refusal::Impossible(why) => {
            let _ = writeln!(io::stderr(), "error: {why}");
            ExitCode::from(2)
        }
        Refusal::Failed(why) => fail(&why),
    })
}

enum Refusal {
    Impossible(String),
    Failed(String),
}

impl From<Impossible> for Refusal {
    fn from(why: Impossible) -> Refusal {
        Refusal::Impossible(why.to_string())
    }
}

/// A file that is written at the end. It is opened before anything runs, so that no figure is lost for want of one.
struct Sink<'a> {
    path: &'a Path,
    file: File,
}

impl Sink<'_> {
    fn open(path: &Path) -> Result<Sink<'_>, Refusal> {
        match File::create(path) {
            Ok(file) => Ok(Sink { path, file }),
            Err(why) => Err(Refusal::Failed(format!("cannot write {}: {why}", path.display()))),
        }
    }

    /// The two files that may be asked for.
    fn open_both(args: &SimulateArgs) -> Result<(Option<Sink<'_>>, Option<Sink<'_>>), Refusal> {
        if args.trace.is_some() && args.trace == args.plot {
            return Err(Refusal::Impossible("the trace and the plot need a file each".to_owned()));
        }
        if args.trace.is_some() && args.trace == args.scenario {
            return Err(Refusal::Impossible("the trace would overwrite the scenario".to_owned()));
        }
        let trace = args.trace.as_deref().map(Sink::open).transpose()?;
        Ok((trace, args.plot.as_deref().map(Sink::open).transpose()?))
    }

    fn write(mut self, text: &str) -> Result<(), Refusal> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|why| Refusal::Failed(format!("cannot write {}: {why}", self.path.display())))
    }
}

/// Prints what was asked for.
fn say(text: &str) -> Result<(), Refusal> {
    let mut stdout = io::stdout();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        // whoever was reading has read enough
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        said => said.map_err(|why| Refusal::Failed(format!("cannot print: {why}"))),
    }
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, Refusal> {
    serde_json::to_string_pretty(value).map_err(|why| Refusal::Failed(why.to_string()))
}

fn measure(args: &SimulateArgs) -> Result<ExitCode, Refusal> {
    if args.runs == 0 {
        return Err(Refusal::Impossible("at least one run is needed to measure anything".to_owned()));
    }
    let mut spread = Spread::new(args.nodes);
    spread.overlay = args.overlay;
    spread.fanout = args.fanout;
    spread.payload_bytes = args.payload_bytes;
    spread.loss = args.loss;
    spread.latency = args.latency;
    spread.seed = args.seed;
    spread.check()?;
    let (trace, plot) = Sink::open_both(args)?;
    let began = Instant::now();
    let one = |run| {
        let (sending, took) = (Cell::new(began), Cell::new(Duration::ZERO));
        let done = spread.run_in_stages(run, run == 0 && args.trace.is_some(), |stage| match stage {
            Stage::Sending => sending.set(Instant::now()),
            Stage::Over => took.set(sending.get().elapsed()),
        })?;
        Ok((done, took.get()))
    };
    let runs = each(args.runs, "runs", one, Result::is_err);
    let (runs, spreading): (Vec<Run>, Vec<Duration>) =
        runs.into_iter().collect::<Result<Vec<_>, Impossible>>()?.into_iter().unzip();
    let mut report = spread.report(&runs, began.elapsed());
    report.spreading_seconds = Some(spreading.iter().sum::<Duration>().as_secs_f64() / runs.len() as f64);
    // the figures first: whatever becomes of the files
    say(&if args.json { json(&report)? } else { table::report(&report) })?;
    if let (Some(trace), Some(first)) = (trace, runs.first()) {
        trace.write(&first.trace)?;
    }
    if let Some(plot) = plot {
        plot.write(&plot::draw(&spread, &runs, &report).map_err(Refusal::Failed)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn replay(args: &SimulateArgs, file: &PathBuf) -> Result<ExitCode, Refusal> {
    let text = fs::read_to_string(file)
        .map_err(|why| Refusal::Impossible(format!("cannot read {}: {why}", file.display())))?;
    let scenario: Scenario = serde_json::from_str(&text)
        .map_err(|why| Refusal::Impossible(format!("{} is no scenario: {why}", file.display())))?;
    scenario.check()?;
    let (trace, _) = Sink::open_both(args)?;
    let outcome = swarm::run(&scenario, trace.is_some())?;
    if let Some(trace) = trace {
        trace.write(&outcome.trace)?;
    }
    if outcome.violations.is_empty() {
        say(&if args.json { json(&outcome)? } else { table::holds(&outcome) })?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = file.to_string_lossy();
    // a path that no shell can be given is shown as it is
    let quoted = shlex::try_quote(&path).unwrap_or_else(|_| path.clone());
    let failure = swarm::Failure::of(scenario, outcome.violations, format!("chinwag simulate --scenario {quoted}"))?;
    say(&if args.json { json(&failure)? } else { table::failure(&failure) })?;
    Ok(ExitCode::FAILURE)
}

fn swarm(args: &SimulateArgs, seeds: u64) -> Result<ExitCode, Refusal> {
    if seeds == 0 {
        return Err(Refusal::Impossible("at least one seed is needed".to_owned()));
    }
    let (trace, _) = Sink::open_both(args)?;
    let began = Instant::now();
    let try_one = |number: u64| {
        let scenario = Scenario::drawn_with(args.seed.wrapping_add(number), &args.kinds.0);
        let outcome = swarm::run(&scenario, args.trace.is_some() && number == 0);
        outcome.map(|outcome| (scenario, outcome))
    };
    let tried = each(seeds, "seeds", try_one, Result::is_err).into_iter().collect::<Result<Vec<_>, Impossible>>()?;
    if let (Some(trace), Some((_, first))) = (trace, tried.first()) {
        trace.write(&first.trace)?;
    }
    for (scenario, outcome) in &tried {
        // to make one small may take minutes
        if let Some(violation) = outcome.violations.first() {
            let _ = writeln!(io::stderr(), "seed {}: {}: {}", scenario.seed, violation.check, violation.what);
        }
    }
    let report = swarm::Report::of(args.seed, &args.kinds.0, tried, began.elapsed())?;
    say(&if args.json { json(&report)? } else { table::swarm(&report) })?;
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Shows on a terminal how far something has got.
fn progress(count: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(
        Some(count),
        if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
    );
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}, {eta} left") {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Does `count` things on all cores, and answers the results in order. Ends early once one says so.
fn each<T: Send>(
    count: u64,
    what: &'static str,
    work: impl Fn(u64) -> T + Sync,
    enough: impl Fn(&T) -> bool + Sync,
) -> Vec<T> {
    let bar = progress(count, what);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let done: Mutex<Vec<(usize, T)>> = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(count);
    let worker = || {
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                break;
            }
            let result = work(number as u64);
            if enough(&result) {
                stop.store(true, Ordering::Relaxed);
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
            bar.inc(1);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..cores {
            scope.spawn(worker);
        }
        // this thread's heap is the one that grows in large steps, so a run alone is here
        worker();
    });
    bar.finish_and_clear();
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}
