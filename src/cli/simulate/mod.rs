//! `chinwag simulate`: a rumor to everyone over many seeds, measured; or random failures, checked.
//!
//! Runs are spread over the cores, a thread and a runtime each at a time; a run knows nothing but its seed, so the
//! figures do not depend on how many cores there are.

mod plot;
mod table;

use std::{
    cell::Cell,
    fs,
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chinwag::{
    protocol::fanout::Fanout,
    simulation::{
        Impossible, Latency, Overlay,
        scenario::Scenario,
        spread::{Report, Run, Spread, Stage},
        swarm,
    },
};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::fail;

/// What is to be simulated.
#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    /// How many nodes
    #[arg(long, default_value_t = 100)]
    nodes: usize,
    /// Peers a rumor is first sent to: a number, log, log+N, sqrt, all
    #[arg(long, default_value = "log")]
    fanout: Fanout,
    /// Size of the message
    #[arg(long, value_name = "BYTES", default_value_t = 4_096)]
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
    #[arg(long, default_value_t = 100)]
    runs: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print figures as JSON
    #[arg(long)]
    json: bool,
    /// Draw how the rumor spread, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Write every message of the first run, a line each
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Instead: draw this many networks with failures from the seeds, and check each after it has healed
    #[arg(long, value_name = "SEEDS", conflicts_with_all = ["plot", "scenario"])]
    swarm: Option<u64>,
    /// Instead: run the failures in this file, as JSON
    #[arg(long, value_name = "FILE", conflicts_with = "plot")]
    scenario: Option<PathBuf>,
}

/// Runs it. What cannot be is refused with 2, what failed is 1.
pub(super) fn run(args: &SimulateArgs) -> ExitCode {
    let done = match (&args.scenario, args.swarm) {
        (Some(file), _) => replay(args, file),
        (None, Some(seeds)) => swarm(args, seeds),
        (None, None) => measure(args),
    };
    done.unwrap_or_else(|refusal| match refusal {
        Refusal::Impossible(why) => {
            let _ = writeln!(std::io::stderr(), "error: {why}");
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

fn write(file: &PathBuf, text: &str) -> Result<(), Refusal> {
    fs::write(file, text).map_err(|why| Refusal::Failed(format!("cannot write {}: {why}", file.display())))
}

fn say(text: &str) {
    let mut stdout = std::io::stdout();
    // nobody need be reading
    let _ = writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush());
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, Refusal> {
    serde_json::to_string_pretty(value).map_err(|why| Refusal::Failed(why.to_string()))
}

fn measure(args: &SimulateArgs) -> Result<ExitCode, Refusal> {
    if args.runs == 0 {
        return Err(Refusal::Impossible("at least one run is needed to measure anything".to_owned()));
    }
    let spread = Spread {
        nodes: args.nodes,
        overlay: args.overlay,
        fanout: args.fanout,
        payload_bytes: args.payload_bytes,
        loss: args.loss,
        latency: args.latency,
        seed: args.seed,
    };
    spread.check()?;
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
    let report = Report {
        spreading_seconds: Some(spreading.iter().sum::<Duration>().as_secs_f64() / runs.len() as f64),
        ..spread.report(&runs, began.elapsed())
    };
    if let (Some(file), Some(first)) = (&args.trace, runs.first()) {
        write(file, &first.trace)?;
    }
    if let Some(file) = &args.plot {
        let drawn = plot::draw(&spread, &runs, &report).map_err(Refusal::Failed)?;
        write(file, &drawn)?;
    }
    say(&if args.json { json(&report)? } else { table::report(&report) });
    Ok(ExitCode::SUCCESS)
}

fn replay(args: &SimulateArgs, file: &PathBuf) -> Result<ExitCode, Refusal> {
    let text = fs::read_to_string(file)
        .map_err(|why| Refusal::Impossible(format!("cannot read {}: {why}", file.display())))?;
    let scenario: Scenario = serde_json::from_str(&text)
        .map_err(|why| Refusal::Impossible(format!("{} is no scenario: {why}", file.display())))?;
    let outcome = scenario.run(args.trace.is_some())?;
    if let Some(file) = &args.trace {
        write(file, &outcome.trace)?;
    }
    if outcome.violations.is_empty() {
        say(&if args.json { json(&outcome.violations)? } else { table::violations(&outcome.violations) });
        return Ok(ExitCode::SUCCESS);
    }
    let replay = format!("chinwag simulate --scenario {}", file.display());
    let failure = swarm::Failure::of(scenario, outcome.violations, replay)?;
    say(&if args.json { json(&failure)? } else { table::failure(&failure) });
    Ok(ExitCode::FAILURE)
}

fn swarm(args: &SimulateArgs, seeds: u64) -> Result<ExitCode, Refusal> {
    if seeds == 0 {
        return Err(Refusal::Impossible("at least one seed is needed".to_owned()));
    }
    let began = Instant::now();
    let try_one = |number: u64| {
        let seed = args.seed.wrapping_add(number);
        let scenario = Scenario::drawn(seed);
        let outcome = scenario.run(args.trace.is_some() && number == 0);
        outcome.map(|outcome| (scenario, outcome))
    };
    let tried = each(seeds, "seeds", try_one, Result::is_err).into_iter().collect::<Result<Vec<_>, Impossible>>()?;
    if let (Some(file), Some((_, first))) = (&args.trace, tried.first()) {
        write(file, &first.trace)?;
    }
    let (mut checked, mut failures) = (0, Vec::new());
    for (scenario, outcome) in tried {
        checked += outcome.checked;
        if !outcome.violations.is_empty() {
            failures.push((scenario, outcome));
        }
    }
    let failed = failures.len();
    let mut shown = Vec::new();
    // the first few are enough to work on; shrinking takes many runs each
    for (scenario, outcome) in failures.into_iter().take(3) {
        let replay = swarm::Failure::replay_of(scenario.seed);
        shown.push(swarm::Failure::of(scenario, outcome.violations, replay)?);
    }
    let report =
        swarm::Report { seeds, seed: args.seed, checked, failed, shown, wall_seconds: began.elapsed().as_secs_f64() };
    say(&if args.json { json(&report)? } else { table::swarm(&report) });
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Does `count` things on all cores, and answers the results in order. Ends early once one says so.
fn each<T: Send>(
    count: u64,
    what: &'static str,
    work: impl Fn(u64) -> T + Sync,
    enough: impl Fn(&T) -> bool + Sync,
) -> Vec<T> {
    let bar = ProgressBar::with_draw_target(
        Some(count),
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
    );
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}, {eta} left") {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
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
