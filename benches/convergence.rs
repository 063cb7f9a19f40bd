//! Measures one rumor to all nodes of one process: `cargo bench --profile dist --bench convergence -- [--json]
//! [--quick] [--most N]`.
//!
//! It runs 100 nodes with every fan-out function and overlay, then the default with 1,000 and 10,000 nodes, and with
//! 100,000 if `--most 100000` is given. A time is that of one run, with the start and the end of its nodes. The memory
//! is the peak of the process during the runs, if the system reports it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{process::ExitCode, time::Instant};

use chinwag::protocol::fanout::Fanout;
use chinwag_simulation::{Overlay, spread::Spread};
use support::{Cell, Options, Report, count, figure, none, words};

/// The number of runs with 100 nodes. A tenfold number of nodes takes a tenth of the runs.
const RUNS: u64 = 50;

const COLUMNS: [&str; 9] =
    ["nodes", "overlay", "fan-out", "wall ms", "virtual ms", "payloads", "requests", "MB", "incomplete"];

fn main() -> ExitCode {
    support::main("One rumor to all nodes of one process, by overlay and fan-out.", measure)
}

fn measure(options: Options) -> Report {
    let (runs, usual) = if options.quick { (RUNS / 10, 1_000) } else { (RUNS, 10_000) };
    let most = options.most.unwrap_or(usual);
    let fanouts = ["log", "3", "log+2", "sqrt", "all"].map(|text| text.parse::<Fanout>().expect("a fan-out"));
    let overlays = [Overlay::Clique, Overlay::RandomRegular(8), Overlay::Torus, Overlay::Star, Overlay::Ring];
    let mut rows = Vec::new();
    for overlay in overlays {
        rows.extend(fanouts.iter().map(|fanout| row(100, overlay, *fanout, runs)));
    }
    rows.extend(fanouts.iter().map(|fanout| row(128, Overlay::Hypercube, *fanout, runs)));
    let larger = [1_000, 10_000, 100_000].into_iter().filter(|nodes| *nodes <= most);
    rows.extend(larger.map(|nodes| row(nodes, Overlay::Clique, Fanout::Log, runs)));
    let mut report = Report::new("convergence");
    report.line("a rumor of 4 kB to all nodes of one process, over 1 ms a message and without loss; payloads and requests by node");
    report.table("runs", &COLUMNS, &rows);
    report
}

fn row(nodes: usize, overlay: Overlay, fanout: Fanout, most_runs: u64) -> Vec<Cell> {
    let mut spread = Spread::new(nodes);
    (spread.overlay, spread.fanout) = (overlay, fanout);
    let runs = (most_runs * 100 / nodes as u64).clamp(1, most_runs);
    forget_peak();
    let began = Instant::now();
    let done: Vec<_> = (0..runs).map(|run| spread.run(run, false).expect("a network that can be")).collect();
    let wall = began.elapsed();
    let report = spread.report(&done, wall);
    vec![
        count(nodes as u64),
        words(report.overlay),
        words(report.fanout),
        figure(wall.as_secs_f64() * 1_000.0 / runs as f64, 1),
        report.convergence_latencies.map_or_else(none, |times| figure(times.p50, 0)),
        figure(report.payloads_per_node, 3),
        figure(report.requests_per_node, 2),
        peak().map_or_else(none, |megabytes| figure(megabytes, 0)),
        words(format!("{} of {runs}", report.incomplete_runs)),
    ]
}

/// Resets the system's peak of resident memory.
fn forget_peak() {
    // systems other than Linux have no such file, and report no peak
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The peak of resident memory since the reset, in megabytes.
fn peak() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok()? / 1_024.0)
}
