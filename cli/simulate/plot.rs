//! How a rumor spread, drawn for a page: black lines that differ in their strokes, no color that a printer loses.
//!
//! Time is on a linear axis where all is soon over. Where some runs had to wait for comparisons, a hundred times as long
//! as the others, it is on a logarithmic one, on which both can be seen.

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

/// Most runs that are drawn each; more are a black patch.
const MOST_RUNS: usize = 50;

/// Most latencies for which the axis of time is linear: below that the waves of the spreading can be told apart.
const LINEAR: f64 = 60.0;

/// Where a logarithmic axis begins, in latencies: before the first delivery.
const SOONEST: f64 = 0.5;

/// A line: latencies since the send, and the share that has heard.
type Line = Vec<(f64, f64)>;

/// Height of the picture's lower part, where it says which line is what.
const KEY: u32 = 44;

/// What is drawn.
struct Picture {
    title: String,
    /// What else the runs have in common.
    details: String,
    runs: Vec<Line>,
    /// Whether these are not all.
    some: bool,
    theory: Line,
    limit: f64,
    /// Where the axis of time ends.
    longest: f64,
}

/// What the drawing library says when it fails.
type Fault = DrawingAreaErrorKind<<SVGBackend<'static> as DrawingBackend>::ErrorType>;

/// The picture, as SVG.
///
/// # Errors
/// What the drawing library says.
pub(super) fn draw(spread: &Spread, runs: &[Run], report: &Report) -> Result<String, String> {
    let fanout = spread.fanout.count(spread.nodes);
    let mut theory: Line =
        (0..).map(f64::from).zip(theory::epidemic(spread.nodes, fanout as f64, spread.loss)).collect();
    let mut lines: Vec<Line> = runs.iter().take(MOST_RUNS).map(|run| steps(run, spread)).collect();
    let last = |line: &Line| line.last().map_or(0.0, |(at, _)| *at);
    let mut longest = lines.iter().chain([&theory]).map(last).fold(1.0, f64::max) * 1.05;
    if runs.iter().take(MOST_RUNS).any(|run| run.convergence.is_none()) {
        // until it was given up
        longest = longest.max(TICKS * TICK);
    }
    // each stays where it has come to
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
    let mut picture = Picture { title, details, runs: lines, some, theory, limit, longest };
    let mut svg = String::new();
    let drawn = if longest <= LINEAR {
        picture.draw(&mut svg, 0.0..longest)
    } else {
        // the start is not on a logarithmic axis
        for (at, _) in picture.runs.iter_mut().chain([&mut picture.theory]).flatten() {
            *at = at.max(SOONEST);
        }
        picture.draw(&mut svg, (SOONEST..longest).log_scale())
    };
    drawn.map_err(|why| why.to_string())?;
    Ok(svg)
}

impl Picture {
    fn draw<X>(self, svg: &mut String, time: X) -> Result<(), Fault>
    where
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
    {
        let Picture { title, details, runs: lines, some, theory, limit, longest } = self;
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
            .y_desc("share of nodes that have it")
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
        // which line is what stands below, where it covers none
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

/// Nothing happens between two deliveries: steps, not slopes.
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
