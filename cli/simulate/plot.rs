//! A plot of how a rumor spread. Its lines are black and differ in their strokes, so that no printer loses them.
//!
//! The time axis is linear if all runs were short. If some runs had to wait for comparisons, a hundred times as long as
//! the others, it is logarithmic, and shows both.

use super::table::number;
use chinwag_simulation::{
    spread::{Report, Run, Spread, TICK, TICKS},
    theory,
};
use plotters::{
    coord::ranged1d::{AsRangedCoord, ValueFormatter},
    element::DashedPathElement,
    prelude::*,
};

/// The largest number of runs that are drawn. More would be a black area.
const MOST_RUNS: usize = 50;

/// The longest time in latencies for which the time axis is linear. Up to this length, single waves are visible.
const LINEAR: f64 = 60.0;

/// Where a logarithmic axis begins, in latencies: before the first delivery.
const SOONEST: f64 = 0.5;

/// A line of the plot: latencies since the send, and the share that has heard the rumor.
type Line = Vec<(f64, f64)>;

/// The height of the key below the plot.
const KEY: u32 = 44;

/// The data of the plot.
struct PlotData {
    title: String,
    /// The settings that all runs share.
    details: String,
    runs: Vec<Line>,
    /// Whether some runs are not drawn.
    some: bool,
    theory: Line,
    limit: f64,
    /// The end of the time axis.
    longest: f64,
}

/// The error of the drawing library.
type DrawingError = DrawingAreaErrorKind<<SVGBackend<'static> as DrawingBackend>::ErrorType>;

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
    let (some, limit) = (runs.len() > MOST_RUNS, theory::limit(fanout as f64, spread.loss));
    let mut data = PlotData { title, details, runs: lines, some, theory, limit, longest };
    let mut svg = String::new();
    let drawn = if longest <= LINEAR {
        data.draw(&mut svg, 0.0..longest)
    } else {
        // a logarithmic axis does not show the start
        for (at, _) in data.runs.iter_mut().chain([&mut data.theory]).flatten() {
            *at = at.max(SOONEST);
        }
        data.draw(&mut svg, (SOONEST..longest).log_scale())
    };
    drawn.map_err(|why| why.to_string())?;
    Ok(svg)
}

impl PlotData {
    fn draw<X>(self, svg: &mut String, time: X) -> Result<(), DrawingError>
    where
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
    {
        let PlotData { title, details, runs: lines, some, theory, limit, longest } = self;
        let soonest = theory.first().map_or(0.0, |(at, _)| *at);
        let size = (900, 600);
        let root = SVGBackend::with_string(svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        let (above, below) = root
            .titled(&title, ("sans-serif", 20))?
            .titled(&details, ("sans-serif", 14))?
            .split_vertically(size.1 - KEY - 48);
        let mut chart = ChartBuilder::on(&above)
            .margin(16)
            .margin_right(32)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(time, 0.0..1.02)?;
        let axis = if soonest > 0.0 { ", logarithmic; the send is at its left end" } else { "" };
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.1))
            .x_desc(format!("one-way latencies since the send{axis}"))
            .y_desc("share of nodes that have the message")
            .y_label_formatter(&|share| format!("{:.0}%", share * 100.0))
            .x_label_formatter(&|at| format!("{}", (at * 10.0).round() / 10.0))
            .label_style(("sans-serif", 14))
            .draw()?;
        let faint = BLACK.mix((6.0 / lines.len().max(1) as f64).clamp(0.12, 0.8));
        for line in lines {
            chart.draw_series(LineSeries::new(line, faint.stroke_width(1)))?;
        }
        let thick = BLACK.stroke_width(2);
        chart.draw_series(DashedLineSeries::new(theory, 8, 5, thick))?;
        chart.draw_series(DashedLineSeries::new([(soonest, limit), (longest, limit)], 2, 4, thick))?;
        // the key is below the plot, where it covers no line
        let measured =
            if some { format!("measured, the first {MOST_RUNS} runs") } else { "measured, each run".to_owned() };
        let says = |x: i32, text: String| Text::new(text, (x + 36, 14), ("sans-serif", 14));
        let line = |x: i32| [(x, 20), (x + 28, 20)];
        let places = [72, 282, 592];
        below.draw(&PathElement::new(line(places[0]), BLACK.mix(0.5)))?;
        below.draw(&says(places[0], measured))?;
        below.draw(&DashedPathElement::new(line(places[1]), 8, 5, thick))?;
        below.draw(&says(places[1], "theory: a clique, passed on once by each".to_owned()))?;
        below.draw(&DashedPathElement::new(line(places[2]), 2, 4, thick))?;
        below.draw(&says(places[2], format!("the fan-out's limit: {:.2}%", limit * 100.0)))?;
        root.present()
    }
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
