//! `chinwag simulate --membership`: how soon a dead node is removed, and how many live ones are.

use std::{
    cell::Cell,
    process::ExitCode,
    time::{Duration, Instant},
};

use chinwag_simulation::{
    membership::{Death, Figures, Pauses, Removal, Report, Run, Stage, Took, Watching},
    spread::Percentiles,
};
use clap::Args;
use plotters::{element::DashedPathElement, prelude::*};

use super::{
    Refusal, SimulateArgs, Sink, json, progress, say,
    table::{number, two_columns, width},
};
use crate::usage;

/// Idle periods, unless told otherwise.
const PERIODS: u64 = 60;

/// Kills, unless told otherwise.
const KILLS: u32 = 10;

/// What a kill counts for on the progress bar, in periods. A guess.
const PERIODS_PER_KILL: u64 = 20;

/// How membership is to be measured.
#[derive(Debug, Args)]
pub(super) struct MembershipArgs {
    /// Instead: measure how soon nodes that watch each other remove one that dies, and how many live ones they remove
    #[arg(long, conflicts_with_all = ["fanout", "payload_bytes", "overlay", "runs", "swarm", "scenario"])]
    pub membership: bool,
    /// Kill this many nodes, one after another [default: 10; 0 with --periods or --seconds]
    #[arg(long, value_name = "COUNT", requires = "membership", allow_negative_numbers = true)]
    kills: Option<u32>,
    /// How they die: refused (the port refuses connections at once) or silent (nothing answers) [default: refused]
    #[arg(long, value_name = "KIND", requires = "membership")]
    death: Option<Death>,
    /// Protocol periods to watch while nobody dies, before the kills [default: 60]
    #[arg(long, value_name = "COUNT", requires = "membership", allow_negative_numbers = true)]
    periods: Option<u64>,
    /// The same in seconds of virtual time, rounded up to whole periods
    #[arg(
        long,
        value_name = "SECONDS",
        requires = "membership",
        conflicts_with = "periods",
        allow_negative_numbers = true
    )]
    seconds: Option<u64>,
    /// Membership's protocol period, to which all of its times are in proportion [default: 1s]
    #[arg(long, value_name = "DURATION", requires = "membership", value_parser = duration, allow_hyphen_values = true)]
    protocol_period: Option<Duration>,
    /// Pause nodes for so long in each cycle
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    #[arg(requires_all = ["membership", "pause_every", "paused"])]
    pause: Option<Duration>,
    /// The length of a cycle of pauses
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    #[arg(requires_all = ["membership", "pause"])]
    pause_every: Option<Duration>,
    /// The share of nodes paused in each cycle, drawn afresh for each: more than 0, less than 1
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, requires_all = ["membership", "pause"])]
    paused: Option<f64>,
}

/// Reads `1s`, `200ms`, `1m 30s`.
fn duration(text: &str) -> Result<Duration, String> {
    if text.trim_start().starts_with('-') {
        return Err("a duration is not negative".to_owned());
    }
    humantime::parse_duration(text).map_err(|why| why.to_string())
}

impl MembershipArgs {
    fn watching(&self, args: &SimulateArgs) -> Result<Watching, Refusal> {
        let impossible = |why: &str| Err(Refusal::Impossible(why.to_owned()));
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
        let mut watching = Watching::new(args.nodes);
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

pub(super) fn measure(args: &SimulateArgs) -> Result<ExitCode, Refusal> {
    let watching = args.membership.watching(args)?;
    let (trace, plot) = Sink::open_both(args)?;
    let bar = progress(watching.periods + PERIODS_PER_KILL * u64::from(watching.kills), "periods");
    let (wall, processor) = (Laps::new(Duration::ZERO), usage::processor_time().map(Laps::new));
    let began = Instant::now();
    let run = watching.run_in_stages(trace.is_some(), |stage| {
        match stage {
            Stage::Period => return bar.inc(1),
            Stage::Killed => return bar.inc(PERIODS_PER_KILL),
            Stage::Started | Stage::Idle | Stage::Over => {}
        }
        wall.lap(stage, began.elapsed());
        if let (Some(laps), Some(now)) = (&processor, usage::processor_time()) {
            laps.lap(stage, now);
        }
    });
    bar.finish_and_clear();
    let Run { figures, removals, trace: lines, .. } = run?;
    let report = Report::of(figures, wall.took.get(), processor.map(|laps| laps.took.get()), usage::peak_memory());
    // the figures first: whatever becomes of the files
    say(&if args.json { json(&report)? } else { table(&report) })?;
    if let Some(trace) = trace {
        trace.write(&lines)?;
    }
    if let Some(plot) = plot {
        plot.write(&draw(&report.figures, &removals).map_err(Refusal::Failed)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What each part of a run took, by a clock that is read at its end.
struct Laps {
    since: Cell<Duration>,
    took: Cell<Took>,
}

impl Laps {
    fn new(now: Duration) -> Laps {
        Laps { since: Cell::new(now), took: Cell::default() }
    }

    fn lap(&self, stage: Stage, now: Duration) {
        let (lap, took) = (now.saturating_sub(self.since.replace(now)), self.took.get());
        self.took.set(match stage {
            Stage::Started => Took { start: lap, ..took },
            Stage::Idle => Took { idle: lap, ..took },
            Stage::Over => Took { kills: lap, ..took },
            Stage::Period | Stage::Killed => took,
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
        rows.push(("the same while nobody dies".to_owned(), format!("{:.2}", idle.requests_per_node_period)));
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
        rows.push(("the same while nobody dies".to_owned(), micros(idle)));
    }
    if let Some(processor) = report.idle_processor_micros_per_node_period.or(report.processor_micros_per_node_period) {
        rows.push(("the same of the processor's time".to_owned(), micros(processor)));
    }
    if let Some(bytes) = report.peak_memory_bytes {
        rows.push(("memory at the peak".to_owned(), format!("{:.1} MB", bytes as f64 / 1e6)));
    }
    two_columns(rows, width())
}

/// What the drawing library says when it fails.
type Fault = DrawingAreaErrorKind<<SVGBackend<'static> as DrawingBackend>::ErrorType>;

/// A line: seconds since the kill, and the share of kills.
type Line = Vec<(f64, f64)>;

/// The share of kills whose victim was removed by that time, as steps.
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

/// How soon the victims were removed, as SVG: black lines that differ in their strokes, as for rumors.
///
/// # Errors
/// What the drawing library says.
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
    let mut svg = String::new();
    picture(&mut svg, &title, &details, (first, last), longest).map_err(|why| why.to_string())?;
    Ok(svg)
}

fn picture(
    svg: &mut String,
    title: &str,
    details: &str,
    (first, last): (Line, Line),
    longest: f64,
) -> Result<(), Fault> {
    /// Height of the lower part, where it says which line is what.
    const KEY: u32 = 44;
    let size = (900, 600);
    let root = SVGBackend::with_string(svg, size).into_drawing_area();
    root.fill(&WHITE)?;
    let (above, below) = root
        .titled(title, ("sans-serif", 20))?
        .titled(details, ("sans-serif", 14))?
        .split_vertically(size.1 - KEY - 48);
    let mut chart = ChartBuilder::on(&above)
        .margin(16)
        .margin_right(32)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..longest, 0.0..1.02)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.1))
        .x_desc("seconds since the kill")
        .y_desc("share of kills")
        .y_label_formatter(&|share| format!("{:.0}%", share * 100.0))
        .x_label_formatter(&|at| format!("{}", (at * 100.0).round() / 100.0))
        .label_style(("sans-serif", 14))
        .draw()?;
    let stroke = BLACK.stroke_width(2);
    chart.draw_series(LineSeries::new(first, stroke))?;
    chart.draw_series(DashedLineSeries::new(last, 8, 5, stroke))?;
    let says = |x: i32, text: &'static str| Text::new(text, (x + 36, 14), ("sans-serif", 14));
    let line = |x: i32| [(x, 20), (x + 28, 20)];
    let places = [72, 392];
    below.draw(&PathElement::new(line(places[0]), stroke))?;
    below.draw(&says(places[0], "the first node has removed the victim"))?;
    below.draw(&DashedPathElement::new(line(places[1]), 8, 5, stroke))?;
    below.draw(&says(places[1], "the last living node has removed it"))?;
    root.present()
}
