//! How a rumor spread, drawn for a page: dark lines, no color that a printer loses, each line named where it ends.

use chinwag::simulation::{
    spread::{Report, Run, Spread},
    theory,
};
use plotters::{element::DashedPathElement, prelude::*};

/// Most runs that are drawn each; more are a black patch.
const MOST_RUNS: usize = 50;

/// A line: latencies since the send, and the share that has heard.
type Line = Vec<(f64, f64)>;

/// The picture, as SVG.
///
/// # Errors
/// What the drawing library says.
pub(super) fn draw(spread: &Spread, runs: &[Run], report: &Report) -> Result<String, String> {
    let mut svg = String::new();
    picture(&mut svg, spread, runs, report).map_err(|why| why.to_string())?;
    Ok(svg)
}

fn picture(
    svg: &mut String,
    spread: &Spread,
    runs: &[Run],
    report: &Report,
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'static> as DrawingBackend>::ErrorType>> {
    let fanout = spread.fanout.count(spread.nodes) as f64;
    let theory: Line = (0..).map(f64::from).zip(theory::epidemic(spread.nodes, fanout, spread.loss)).collect();
    let limit = theory::limit(fanout, spread.loss);
    let lines: Vec<Line> = runs.iter().take(MOST_RUNS).map(|run| steps(run, spread)).collect();
    let last = |line: &Line| line.last().map_or(0.0, |(at, _)| *at);
    let longest = lines.iter().chain([&theory]).map(last).fold(1.0, f64::max) * 1.05;

    let root = SVGBackend::with_string(svg, (900, 560)).into_drawing_area();
    root.fill(&WHITE)?;
    let title = format!(
        "{} nodes, {}, fan-out {} ({fanout}), loss {}%, {} runs",
        spread.nodes,
        spread.overlay,
        spread.fanout,
        spread.loss * 100.0,
        report.runs
    );
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..longest, 0.0..1.02)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.1))
        .x_desc("one-way latencies since the send")
        .y_desc("share of nodes that have it")
        .y_label_formatter(&|share| format!("{:.0}%", share * 100.0))
        .x_label_formatter(&|at| format!("{at:.0}"))
        .label_style(("sans-serif", 14))
        .draw()?;
    let faint = BLACK.mix((6.0 / lines.len().max(1) as f64).clamp(0.12, 0.8));
    for (number, line) in lines.into_iter().enumerate() {
        let drawn = chart.draw_series(LineSeries::new(line, faint.stroke_width(1)))?;
        if number == 0 {
            drawn.label("measured, each run").legend(|(x, y)| PathElement::new([(x, y), (x + 28, y)], BLACK.mix(0.5)));
        }
    }
    chart
        .draw_series(DashedLineSeries::new(theory, 8, 5, BLACK.stroke_width(2)))?
        .label("theory: passed on once by each, in step")
        .legend(|(x, y)| DashedPathElement::new([(x, y), (x + 28, y)], 8, 5, BLACK.stroke_width(2)));
    let edge = [(0.0, limit), (longest, limit)];
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
