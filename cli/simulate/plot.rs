//! A plot of how a rumor spread.
//!
//! The time axis is linear if all runs were short. If some runs had to wait for comparisons, a hundred times as long as
//! the others, it is logarithmic, and shows both.

use chinwag_simulation::{
    spread::{Report, Run, Spread, TICK, TICKS},
    theory,
};
use plotters::prelude::*;

use super::{
    frame::{Line, Plot, Stroke},
    table::number,
};

/// The largest number of runs that are drawn. More would be a black area.
const MOST_RUNS: usize = 50;

/// The longest time in latencies for which the time axis is linear. Up to this length, single waves are visible.
const LINEAR: f64 = 60.0;

/// Where a logarithmic axis begins, in latencies: before the first delivery.
const SOONEST: f64 = 0.5;

/// The plot as SVG.
///
/// # Errors
/// The error of the drawing library.
pub(super) fn draw(spread: &Spread, runs: &[Run], report: &Report) -> Result<String, String> {
    let fanout = spread.fanout.count(spread.nodes);
    let mut theory: Line =
        (0..).map(f64::from).zip(theory::epidemic(spread.nodes, fanout as f64, spread.loss)).collect();
    let mut lines: Vec<Line> = runs.iter().take(MOST_RUNS).map(|run| steps(run, spread)).collect();
    let last = |line: &Line| line.last().map_or(0.0, |(at, _)| *at);
    let mut longest = lines.iter().chain([&theory]).map(last).fold(1.0, f64::max) * 1.05;
    if runs.iter().take(MOST_RUNS).any(|run| run.convergence.is_none()) {
        // until the run was given up
        longest = longest.max(TICKS * TICK);
    }
    // each line continues at its last value
    for line in lines.iter_mut().chain([&mut theory]) {
        line.extend(line.last().map(|(_, share)| (longest, *share)));
    }
    let named = spread.fanout.to_string();
    let named = if named == fanout.to_string() { named } else { format!("{named} ({fanout})") };
    let loss = (spread.loss * 10_000.0).round() / 100.0;
    let title = format!("{}, {}, fan-out {named}, loss {loss}%", number(spread.nodes, "node"), spread.overlay);
    let details = format!(
        "latency {}, payload {}, {} (seeds from {})",
        spread.latency,
        number(spread.payload_bytes, "byte"),
        number(report.runs, "run"),
        spread.seed
    );
    let limit = theory::limit(fanout as f64, spread.loss);
    let logarithmic = longest > LINEAR;
    if logarithmic {
        // a logarithmic axis does not show the start
        for (at, _) in lines.iter_mut().chain([&mut theory]).flatten() {
            *at = at.max(SOONEST);
        }
    }
    let (soonest, axis) = if logarithmic { (SOONEST, ", logarithmic; the send is at its left end") } else { (0.0, "") };
    let faint = Stroke::Solid(BLACK.mix((6.0 / lines.len().max(1) as f64).clamp(0.12, 0.8)).stroke_width(1));
    let thick = BLACK.stroke_width(2);
    let (dashed, dotted) = (Stroke::Dashed(8, 5, thick), Stroke::Dashed(2, 4, thick));
    let measured = if runs.len() > MOST_RUNS {
        format!("measured, the first {MOST_RUNS} runs")
    } else {
        "measured, each run".to_owned()
    };
    let plot = Plot {
        title,
        details,
        times: format!("one-way latencies since the send{axis}"),
        precision: 10.0,
        shares: "share of nodes that have the message",
        lines: lines
            .into_iter()
            .map(|line| (line, faint))
            .chain([(theory, dashed), (vec![(soonest, limit), (longest, limit)], dotted)])
            .collect(),
        key: vec![
            (72, measured, Stroke::Solid(BLACK.mix(0.5).into())),
            (282, "theory: a clique, passed on once by each".to_owned(), dashed),
            (592, format!("the fan-out's limit: {:.2}%", limit * 100.0), dotted),
        ],
    };
    if logarithmic { plot.draw((soonest..longest).log_scale()) } else { plot.draw(soonest..longest) }
}

/// The curve as steps, because nothing happens between two deliveries.
fn steps(run: &Run, spread: &Spread) -> Line {
    let mut line: Line = Vec::new();
    for (at, count) in &run.curve {
        let (at, share) = (at.as_secs_f64() * 1_000.0 / spread.latency.mean(), f64::from(*count) / spread.nodes as f64);
        if let Some((_, before)) = line.last().copied() {
            line.push((at, before));
        }
        line.push((at, share));
    }
    line
}
