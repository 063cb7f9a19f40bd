//! How a rumor spread, drawn for a page: black lines that differ in their strokes, no color that a printer loses.
//!
//! Time is on a linear axis where all is soon over. Where some runs had to wait for comparisons, a hundred times as long
//! as the others, it is on a logarithmic one, on which both can be seen.

use chinwag::simulation::{
    spread::{Report, Run, Spread},
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

/// What is drawn.
struct Picture {
    title: String,
    runs: Vec<Line>,
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
    let lines: Vec<Line> = runs.iter().take(MOST_RUNS).map(|run| steps(run, spread)).collect();
    let last = |line: &Line| line.last().map_or(0.0, |(at, _)| *at);
    let longest = lines.iter().chain([&theory]).map(last).fold(1.0, f64::max) * 1.05;
    // it stays where it has come to
    theory.extend(theory.last().map(|(_, share)| (longest, *share)));
    let named = spread.fanout.to_string();
    let named = if named == fanout.to_string() { named } else { format!("{named} ({fanout})") };
    let title = format!(
        "{} nodes, {}, fan-out {named}, loss {}%, {} runs",
        spread.nodes,
        spread.overlay,
        (spread.loss * 10_000.0).round() / 100.0,
        report.runs
    );
    let mut picture = Picture { title, runs: lines, theory, limit: theory::limit(fanout as f64, spread.loss), longest };
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
        let Picture { title, runs: lines, theory, limit, longest } = self;
        let measured = match lines.len() {
            MOST_RUNS => format!("measured, the first {MOST_RUNS} runs"),
            _ => "measured, each run".to_owned(),
        };
        let soonest = theory.first().map_or(0.0, |(at, _)| *at);
        let root = SVGBackend::with_string(svg, (900, 560)).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(title, ("sans-serif", 20))
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(time, 0.0..1.02)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.1))
            .x_desc("one-way latencies since the send")
            .y_desc("share of nodes that have it")
            .y_label_formatter(&|share| format!("{:.0}%", share * 100.0))
            .x_label_formatter(&|at| format!("{}", (at * 10.0).round() / 10.0))
            .label_style(("sans-serif", 14))
            .draw()?;
        let faint = BLACK.mix((6.0 / lines.len().max(1) as f64).clamp(0.12, 0.8));
        for (number, line) in lines.into_iter().enumerate() {
            let drawn = chart.draw_series(LineSeries::new(line, faint.stroke_width(1)))?;
            if number == 0 {
                drawn.label(measured.as_str()).legend(|(x, y)| PathElement::new([(x, y), (x + 28, y)], BLACK.mix(0.5)));
            }
        }
        chart
            .draw_series(DashedLineSeries::new(theory, 8, 5, BLACK.stroke_width(2)))?
            .label("theory: passed on once by each, in step")
            .legend(|(x, y)| DashedPathElement::new([(x, y), (x + 28, y)], 8, 5, BLACK.stroke_width(2)));
        let edge = [(soonest, limit), (longest, limit)];
        chart
            .draw_series(DashedLineSeries::new(edge, 2, 4, BLACK.stroke_width(2)))?
            .label(format!("the fan-out's limit: {:.2}%", limit * 100.0))
            .legend(|(x, y)| DashedPathElement::new([(x, y), (x + 28, y)], 2, 4, BLACK.stroke_width(2)));
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE)
            .border_style(BLACK.mix(0.3))
            .label_font(("sans-serif", 14))
            .draw()?;
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
