//! `chinwag simulate --membership`: measures how soon a dead node is removed, and how many live ones are removed.

use std::{
    cell::Cell,
    process::ExitCode,
    time::{Duration, Instant},
};

use chinwag_simulation::{
    membership::{Figures, Progress, Removal, Report, Run, Times},
    spread::Percentiles,
};
use plotters::prelude::*;

use super::{
    args::SimulateArgs,
    frame::{Line, Plot, Stroke},
    output::{SimulateError, json, print, progress},
    table::{number, two_columns, width},
};
use crate::usage;

/// The share of a kill on the progress bar, in periods. It is a guess.
const PERIODS_PER_KILL: u64 = 20;

/// Measures how soon a dead node is removed, and how many live ones are removed.
pub(super) fn measure(args: &SimulateArgs) -> Result<ExitCode, SimulateError> {
    let experiment = args.membership.experiment(args)?;
    let (trace, plot) = args.open_files()?;
    let bar = progress(experiment.periods + PERIODS_PER_KILL * u64::from(experiment.kills), "periods");
    let (wall, processor) = (Stopwatch::new(Duration::ZERO), usage::processor_time().map(Stopwatch::new));
    let began = Instant::now();
    let run = experiment.run_with_progress(trace.is_some(), |progress| {
        match progress {
            Progress::Period => return bar.inc(1),
            Progress::Killed => return bar.inc(PERIODS_PER_KILL),
            Progress::Started | Progress::Idle | Progress::Over => {}
        }
        wall.lap(progress, began.elapsed());
        if let (Some(stopwatch), Some(now)) = (&processor, usage::processor_time()) {
            stopwatch.lap(progress, now);
        }
    });
    bar.finish_and_clear();
    let Run { figures, removals, trace: lines, .. } = run?;
    let report =
        Report::of(figures, wall.times.get(), processor.map(|stopwatch| stopwatch.times.get()), usage::peak_memory());
    // the figures are printed first, even if a file then cannot be written
    print(&if args.json { json(&report)? } else { table(&report) })?;
    if let Some(trace) = trace {
        trace.write(&lines)?;
    }
    if let Some(plot) = plot {
        plot.write(&draw(&report.figures, &removals).map_err(SimulateError::Failed)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures the length of each part of a run, with a clock that is read at its end.
struct Stopwatch {
    since: Cell<Duration>,
    times: Cell<Times>,
}

impl Stopwatch {
    fn new(now: Duration) -> Stopwatch {
        Stopwatch { since: Cell::new(now), times: Cell::default() }
    }

    fn lap(&self, progress: Progress, now: Duration) {
        let (lap, times) = (now.saturating_sub(self.since.replace(now)), self.times.get());
        self.times.set(match progress {
            Progress::Started => Times { start: lap, ..times },
            Progress::Idle => Times { idle: lap, ..times },
            Progress::Over => Times { kills: lap, ..times },
            Progress::Period | Progress::Killed => times,
        });
    }
}

fn percent(share: f64) -> f64 {
    (share * 10_000.0).round() / 100.0
}

fn table(report: &Report) -> String {
    let figures = &report.figures;
    let times = |times: &Option<Percentiles>| {
        times.as_ref().map_or_else(
            || "-".to_owned(),
            |times| [times.p50, times.p90, times.max].map(|time| format!("{time:.2}")).join(", "),
        )
    };
    let mut rows = vec![
        ("nodes".to_owned(), figures.nodes.to_string()),
        ("seed".to_owned(), figures.seed.to_string()),
        ("latency, loss".to_owned(), format!("{}, {}%", figures.latency, percent(figures.loss))),
        ("protocol period".to_owned(), format!("{} s", figures.protocol_period_seconds)),
    ];
    if let Some(pauses) = &figures.pauses {
        let shown =
            format!("{}% for {} s in every {} s", percent(pauses.share), pauses.pause_seconds, pauses.every_seconds);
        rows.push(("paused".to_owned(), shown));
    }
    if let Some(death) = figures.death {
        rows.extend([
            ("kills".to_owned(), format!("{}, {death}", figures.kills)),
            ("seconds to the first removal: p50, p90, most".to_owned(), times(&figures.first_seconds)),
            ("seconds to the last removal: p50, p90, most".to_owned(), times(&figures.last_seconds)),
            ("victims not removed by everyone".to_owned(), figures.unfinished_kills.to_string()),
        ]);
    }
    rows.extend([
        ("node-periods".to_owned(), figures.node_periods.to_string()),
        ("false removals, each as one node sees it".to_owned(), figures.false_removals.to_string()),
    ]);
    if figures.pauses.is_some() {
        rows.push(("removals of paused nodes".to_owned(), figures.paused_removals.to_string()));
    }
    rows.extend([
        ("suspicions of live nodes".to_owned(), figures.suspicions.to_string()),
        ("requests per node and period".to_owned(), format!("{:.2}", figures.requests_per_node_period)),
    ]);
    if let Some(idle) = &figures.idle {
        rows.push(("requests per node and period, idle".to_owned(), format!("{:.2}", idle.requests_per_node_period)));
    }
    if figures.missed_events > 0 {
        rows.push(("events missed".to_owned(), figures.missed_events.to_string()));
    }
    let micros = |micros: f64| format!("{micros:.1} \u{b5}s");
    rows.extend([
        ("wall time".to_owned(), format!("{:.2} s", report.wall_seconds)),
        ("of which the start".to_owned(), format!("{:.2} s", report.start_wall_seconds)),
        ("real time per node and period".to_owned(), micros(report.wall_micros_per_node_period)),
    ]);
    if let Some(idle) = report.idle_wall_micros_per_node_period {
        rows.push(("real time per node and period, idle".to_owned(), micros(idle)));
    }
    if let Some(processor) = report.idle_processor_micros_per_node_period.or(report.processor_micros_per_node_period) {
        rows.push(("processor time per node and period".to_owned(), micros(processor)));
    }
    if let Some(bytes) = report.peak_memory_bytes {
        rows.push(("memory at the peak".to_owned(), format!("{:.1} MB", bytes as f64 / 1e6)));
    }
    two_columns(rows, width())
}

/// The share of kills whose victim was removed by each time, as steps.
fn steps(times: impl Iterator<Item = Duration>, kills: usize, longest: f64) -> Line {
    let mut times: Vec<f64> = times.map(|time| time.as_secs_f64()).collect();
    times.sort_by(f64::total_cmp);
    let mut line = vec![(0.0, 0.0)];
    for (count, at) in (1..).zip(times) {
        let before = line.last().map_or(0.0, |(_, share)| *share);
        line.extend([(at, before), (at, f64::from(count) / kills.max(1) as f64)]);
    }
    line.extend(line.last().map(|(_, share)| (longest, *share)));
    line
}

/// A plot of how soon the victims were removed, as SVG.
///
/// # Errors
/// The error of the drawing library.
fn draw(figures: &Figures, removals: &[Removal]) -> Result<String, String> {
    let last = removals.iter().flat_map(|removal| [removal.first, removal.last]).flatten().max();
    let longest = last.map_or(1.0, |last| last.as_secs_f64().max(0.1)) * 1.05;
    let title = format!(
        "{}, {} ({}), loss {}%",
        number(figures.nodes, "node"),
        number(figures.kills, "kill"),
        figures.death.unwrap_or_default(),
        percent(figures.loss)
    );
    let mut details = format!(
        "protocol period {} s, latency {}, seed {}",
        figures.protocol_period_seconds, figures.latency, figures.seed
    );
    if figures.unfinished_kills > 0 {
        details += &format!("; {} not removed by everyone", number(figures.unfinished_kills, "victim"));
    }
    let first = steps(removals.iter().filter_map(|removal| removal.first), removals.len(), longest);
    let last = steps(removals.iter().filter_map(|removal| removal.last), removals.len(), longest);
    let thick = BLACK.stroke_width(2);
    let (solid, dashed) = (Stroke::Solid(thick), Stroke::Dashed(8, 5, thick));
    let plot = Plot {
        title,
        details,
        times: "seconds since the kill".to_owned(),
        precision: 100.0,
        shares: "share of kills",
        lines: vec![(first, solid), (last, dashed)],
        key: vec![
            (72, "the first node has removed the victim".to_owned(), solid),
            (392, "the last living node has removed it".to_owned(), dashed),
        ],
    };
    plot.draw(0.0..longest)
}
