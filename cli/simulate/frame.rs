//! The frame of every plot: a title, axes, and a key below them, where it covers no line.
//!
//! Lines are black and differ in their strokes, so that no printer loses them.

use plotters::{
    coord::ranged1d::{AsRangedCoord, ValueFormatter},
    element::DashedPathElement,
    prelude::*,
};

/// The height of the key below the plot.
const KEY: u32 = 44;

/// The error of the drawing library.
type DrawingError = DrawingAreaErrorKind<<SVGBackend<'static> as DrawingBackend>::ErrorType>;

/// The points of a line: times, and shares from 0 to 1.
pub(super) type Line = Vec<(f64, f64)>;

/// How a line is drawn.
#[derive(Clone, Copy)]
pub(super) enum Stroke {
    Solid(ShapeStyle),
    /// The lengths of a dash and of the gap after it, and the style.
    Dashed(u8, u8, ShapeStyle),
}

/// A line of the key: where it begins, what it says, and its stroke.
pub(super) type KeyEntry = (i32, String, Stroke);

/// A plot of shares over time.
pub(super) struct Plot {
    pub(super) title: String,
    /// The second line of the title.
    pub(super) details: String,
    /// What the time axis shows.
    pub(super) times: String,
    /// The number of steps between two whole numbers to which times are rounded.
    pub(super) precision: f64,
    /// What the other axis shows.
    pub(super) shares: &'static str,
    pub(super) lines: Vec<(Line, Stroke)>,
    pub(super) key: Vec<KeyEntry>,
}

impl Plot {
    /// Returns the plot as SVG, with this time axis.
    ///
    /// # Errors
    /// The error of the drawing library.
    pub(super) fn draw<X>(self, time: X) -> Result<String, String>
    where
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
    {
        let mut svg = String::new();
        self.draw_into(&mut svg, time).map_err(|why| why.to_string())?;
        Ok(svg)
    }

    fn draw_into<X>(self, svg: &mut String, time: X) -> Result<(), DrawingError>
    where
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
    {
        let size = (900, 600);
        let root = SVGBackend::with_string(svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        let (above, below) = root
            .titled(&self.title, ("sans-serif", 20))?
            .titled(&self.details, ("sans-serif", 14))?
            .split_vertically(size.1 - KEY - 48);
        let mut chart = ChartBuilder::on(&above)
            .margin(16)
            .margin_right(32)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(time, 0.0..1.02)?;
        let precision = self.precision;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.1))
            .x_desc(self.times)
            .y_desc(self.shares)
            .y_label_formatter(&|share| format!("{:.0}%", share * 100.0))
            .x_label_formatter(&|at| format!("{}", (at * precision).round() / precision))
            .label_style(("sans-serif", 14))
            .draw()?;
        for (line, stroke) in self.lines {
            match stroke {
                Stroke::Solid(style) => chart.draw_series(LineSeries::new(line, style))?,
                Stroke::Dashed(dash, gap, style) => {
                    chart.draw_series(DashedLineSeries::new(line, u32::from(dash), u32::from(gap), style))?
                }
            };
        }
        for (left, says, stroke) in self.key {
            let line = [(left, 20), (left + 28, 20)];
            match stroke {
                Stroke::Solid(style) => below.draw(&PathElement::new(line, style))?,
                Stroke::Dashed(dash, gap, style) => {
                    below.draw(&DashedPathElement::new(line, i32::from(dash), i32::from(gap), style))?;
                }
            }
            below.draw(&Text::new(says, (left + 36, 14), ("sans-serif", 14)))?;
        }
        root.present()
    }
}
