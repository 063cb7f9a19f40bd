//! One rumor to all nodes of one process: `cargo bench --bench convergence -- [--json] [--quick] [--most N]`.
//!
//! 100 nodes for every fan-out function and overlay, then the default at 1,000 and 10,000 and, if asked for with
//! `--most 100000`, at 100,000. The times are of one run, its nodes' start and end included; the memory is the most that
//! the process had resident meanwhile, where the system says.

use std::{io::Write as _, process::ExitCode, time::Instant};

use chinwag::{
    protocol::{fanout::Fanout, overlay::Overlay},
    simulation::{Impossible, Latency, spread::Spread},
};
use serde::Serialize;

/// Runs of 100 nodes; larger networks take one tenth for each tenfold.
const RUNS: u64 = 50;

#[derive(Serialize)]
struct Row {
    nodes: usize,
    overlay: String,
    fanout: String,
    runs: u64,
    incomplete_runs: usize,
    /// Real time of a run.
    wall_seconds: f64,
    /// Virtual time from the send to the last delivery, the median, in one-way latencies of 1 ms.
    latencies: Option<f64>,
    /// Most megabytes resident.
    megabytes: Option<f64>,
    payloads_per_node: f64,
    requests_per_node: f64,
}

fn measured(nodes: usize, overlay: Overlay, fanout: Fanout, most_runs: u64) -> Result<Row, Impossible> {
    let spread =
        Spread { nodes, overlay, fanout, payload_bytes: 4_096, loss: 0.0, latency: Latency::Constant(1), seed: 1 };
    let runs = (most_runs * 100 / nodes as u64).clamp(1, most_runs);
    forget_peak();
    let began = Instant::now();
    let done = (0..runs).map(|run| spread.run(run, false)).collect::<Result<Vec<_>, Impossible>>()?;
    let wall = began.elapsed();
    let report = spread.report(&done, wall);
    Ok(Row {
        nodes,
        overlay: report.overlay,
        fanout: report.fanout,
        runs,
        incomplete_runs: report.incomplete_runs,
        wall_seconds: wall.as_secs_f64() / runs as f64,
        latencies: report.convergence_latencies.map(|times| times.p50),
        megabytes: peak(),
        payloads_per_node: report.payloads_per_node,
        requests_per_node: report.requests_per_node,
    })
}

/// Has the system measure the peak of resident memory from now on.
fn forget_peak() {
    // one that does not is not Linux: there is no figure then
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The peak since then, in megabytes.
fn peak() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok()? * 1_024.0 / 1e6)
}

fn all(most: usize, runs: u64, mut each: impl FnMut(Row)) -> Result<(), Impossible> {
    for overlay in [Overlay::Clique, Overlay::RandomRegular(8), Overlay::Torus, Overlay::Star, Overlay::Ring] {
        each(measured(100, overlay, Fanout::Log, runs)?);
    }
    each(measured(128, Overlay::Hypercube, Fanout::Log, runs)?);
    for fanout in ["3", "log+2", "sqrt", "all"] {
        let fanout = fanout.parse().map_err(|why| Impossible::Argument(format!("{why}")))?;
        each(measured(100, Overlay::Clique, fanout, runs)?);
    }
    for nodes in [1_000, 10_000, 100_000].into_iter().filter(|nodes| *nodes <= most) {
        each(measured(nodes, Overlay::Clique, Fanout::Log, runs)?);
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let most = arguments.iter().skip_while(|argument| *argument != "--most").nth(1);
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let (runs, usual) = if quick { (RUNS / 10, 1_000) } else { (RUNS, 10_000) };
    let most = most.and_then(|most| most.parse().ok()).unwrap_or(usual);
    let mut out = std::io::stdout();
    let mut rows = Vec::new();
    if !json {
        let _ =
            writeln!(out, " nodes overlay    fan-out  wall, ms  virtual, ms  payloads  requests      MB  incomplete");
    }
    let done = all(most, runs, |row| {
        if !json {
            let _ = writeln!(
                out,
                "{:>6} {:<10} {:<7} {:>9.1} {:>12} {:>9.3} {:>9.2} {:>7} {:>7} of {}",
                row.nodes,
                row.overlay,
                row.fanout,
                row.wall_seconds * 1_000.0,
                row.latencies.map_or("-".to_owned(), |latencies| latencies.to_string()),
                row.payloads_per_node,
                row.requests_per_node,
                row.megabytes.map_or("-".to_owned(), |megabytes| format!("{megabytes:.0}")),
                row.incomplete_runs,
                row.runs,
            );
        }
        rows.push(row);
    });
    if let Err(why) = done {
        let _ = writeln!(std::io::stderr(), "error: {why}");
        return ExitCode::FAILURE;
    }
    if json {
        let _ = writeln!(out, "{}", serde_json::to_string_pretty(&rows).unwrap_or_default());
    }
    ExitCode::SUCCESS
}
