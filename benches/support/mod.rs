//! Shared by the benchmarks: arguments, tables and JSON, processes to measure and to compare with, and load.
//!
//! A benchmark compares figures of the same run, because the speed of the machine drifts from minute to minute, and a
//! ratio of two figures that are taken in turn drifts less. So everything that a figure is compared with (a bare
//! server, the JavaScript reference) runs in the same program, in processes of its own. The program starts itself again
//! in a role for that.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod bare;
pub mod cluster;
pub mod load;
pub mod proc;
#[path = "../../tests/support/program.rs"]
pub mod program;
pub mod reference;
pub mod spawned_group;

use std::{fmt::Display, ops::RangeInclusive, process::ExitCode, str::FromStr};

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde_json::{Map, Value as Json, json};

/// The options of most benchmarks.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Print one JSON object instead of tables.
    pub json: bool,
    /// Do a tenth of the work, for a first look.
    pub quick: bool,
    /// The number of nodes.
    pub nodes: usize,
    /// Measure only this number of calls in flight, for a profiler.
    pub in_flight: Option<usize>,
    /// The size of the largest network.
    pub most: Option<usize>,
}

/// The options of every benchmark.
#[derive(Clone, Copy, Debug, Default)]
pub struct Common {
    /// Print one JSON object instead of tables.
    pub json: bool,
    /// Do a tenth of the work, for a first look.
    pub quick: bool,
}

/// The arguments that have not been read yet.
pub type Arguments<'a> = dyn Iterator<Item = &'a str> + 'a;

/// The options of one benchmark besides the common ones.
pub trait OwnOptions: Default {
    /// The options in the form that `--help` shows.
    const USAGE: &'static str;

    /// Takes an option, and its value from the arguments that follow. Returns whether the option exists.
    ///
    /// # Errors
    /// What is wrong with the value.
    fn take(&mut self, option: &str, arguments: &mut Arguments<'_>) -> Result<bool, String>;
}

/// Parses the value of an option.
///
/// # Errors
/// If the value is missing, not a number, or out of range.
pub fn number<T>(option: &str, arguments: &mut Arguments<'_>, range: RangeInclusive<T>) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    let number = arguments.next().and_then(|number| number.parse().ok());
    let refused = || format!("{option} takes a number from {} to {}", range.start(), range.end());
    number.filter(|number| range.contains(number)).ok_or_else(refused)
}

impl Default for Options {
    fn default() -> Options {
        Options { json: false, quick: false, nodes: 100, in_flight: None, most: None }
    }
}

impl OwnOptions for Options {
    const USAGE: &'static str = "[--nodes N] [--in-flight N] [--most N]";

    fn take(&mut self, option: &str, arguments: &mut Arguments<'_>) -> Result<bool, String> {
        match option {
            "--nodes" => self.nodes = number(option, arguments, 1..=1_000)?,
            "--in-flight" => self.in_flight = Some(number(option, arguments, 1..=4_096)?),
            "--most" => self.most = Some(number(option, arguments, 100..=1_000_000)?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Runs a benchmark, or the role that this process was started for.
pub fn main(about: &str, run: impl FnOnce(Options) -> Report) -> ExitCode {
    main_with(about, |Common { json, quick }, options: Options| run(Options { json, quick, ..options }))
}

/// Runs a benchmark that has options of its own.
pub fn main_with<O: OwnOptions>(about: &str, run: impl FnOnce(Common, O) -> Report) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(role) = bare::role(&arguments) {
        return role;
    }
    let (mut common, mut own) = (Common::default(), O::default());
    let mut arguments = arguments.iter().map(String::as_str);
    while let Some(argument) = arguments.next() {
        match argument {
            "--json" => common.json = true,
            "--quick" => common.quick = true,
            // cargo passes this to every benchmark
            "--bench" => {}
            "--help" | "-h" => {
                println!("{}", help(about, O::USAGE));
                return ExitCode::SUCCESS;
            }
            other => match own.take(other, &mut arguments) {
                Ok(true) => {}
                Ok(false) => return usage(about, O::USAGE, &format!("there is no {other}")),
                Err(why) => return usage(about, O::USAGE, &why),
            },
        }
    }
    // this program, too, has a connection to each of many peers
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let report = run(common, own);
    if common.json {
        println!("{}", Json::Object(report.json));
    } else {
        print!("{}", report.text);
    }
    ExitCode::SUCCESS
}

fn help(about: &str, own: &str) -> String {
    let usage = format!("usage: cargo bench --profile dist --bench NAME [-- [--json] [--quick] {own}]");
    format!(
        "{about}\n\n{usage}\n\nThe profile `dist` is that of the shipped program; the figures of another one are not comparable."
    )
}

fn usage(about: &str, own: &str, why: &str) -> ExitCode {
    eprintln!("{why}\n\n{}", help(about, own));
    ExitCode::from(2)
}

/// The report of a benchmark, as text and as JSON.
#[derive(Debug)]
pub struct Report {
    text: String,
    json: Map<String, Json>,
}

impl Report {
    /// A report, which starts with the machine.
    pub fn new(name: &str) -> Report {
        let machine = proc::machine();
        let json = json!({"benchmark": name, "machine": machine});
        let Json::Object(json) = json else { unreachable!("an object") };
        Report { text: format!("{name}, on {machine}\n"), json }
    }

    /// Adds a line: something that was skipped, or how to read what follows.
    pub fn line(&mut self, line: impl Display) {
        self.text.push_str(&format!("\n{line}\n"));
    }

    /// Adds something that could not be measured to both forms.
    pub fn skipped(&mut self, what: &str, why: &str) {
        self.line(format!("skipped: {what}: {why}"));
        let skipped = self.json.entry("skipped").or_insert_with(|| json!({}));
        skipped[what] = why.into();
    }

    /// Adds a figure or a map of figures to the JSON.
    pub fn put(&mut self, key: &str, value: impl Into<Json>) {
        self.json.insert(key.to_owned(), value.into());
    }

    /// Adds a table, with text in the first column and figures in the others. Its rows are objects in the JSON.
    pub fn table(&mut self, key: &str, columns: &[&str], rows: &[Vec<Cell>]) {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN).set_header(columns.to_vec());
        for row in rows {
            table.add_row(row.iter().map(|cell| cell.text.clone()));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        self.text.push_str(&format!("\n{table}\n"));
        let rows: Vec<Json> = rows
            .iter()
            .map(|row| columns.iter().zip(row).map(|(&column, cell)| (column.to_owned(), cell.json.clone())).collect())
            .map(Json::Object)
            .collect();
        self.put(key, rows);
    }
}

/// A figure as text for people and as a number.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    json: Json,
}

/// A cell with text.
pub fn words(words: impl Into<String>) -> Cell {
    let text = words.into();
    Cell { json: text.clone().into(), text }
}

/// A cell with this number of decimals.
pub fn figure(figure: f64, decimals: usize) -> Cell {
    Cell { text: format!("{figure:.decimals$}"), json: json!(figure) }
}

/// A cell with a number of things.
pub fn count(count: u64) -> Cell {
    let digits = count.to_string();
    let grouped: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|chunk| std::str::from_utf8(chunk).unwrap()).collect();
    Cell { text: grouped.join(","), json: json!(count) }
}

/// A cell with a share in per cent.
pub fn share(share: f64) -> Cell {
    Cell { text: format!("{:.0}%", share * 100.0), json: json!(share) }
}

/// An empty cell.
pub fn none() -> Cell {
    Cell { text: String::new(), json: Json::Null }
}

/// The median.
pub fn median(figures: &[f64]) -> f64 {
    quantile(figures, 0.5)
}

/// The figure that this share of the figures does not exceed.
pub fn quantile(figures: &[f64], share: f64) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    let last = figures.len().saturating_sub(1);
    figures.get(((last as f64) * share).round() as usize).copied().unwrap_or(f64::NAN)
}
