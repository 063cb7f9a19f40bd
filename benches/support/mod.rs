//! What the benchmarks share: their arguments, tables and JSON, the processes they measure against, and load.
//!
//! A benchmark compares within one run: the machine's speed drifts from minute to minute, and a ratio of two figures
//! taken in turn drifts less. So whatever a figure is to be judged by (a bare server, the JavaScript reference) runs in
//! the same program, in processes of its own; the program starts itself again for that, with a role.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod bare;
pub mod cluster;
pub mod load;
pub mod proc;
pub mod reference;
pub mod town;

use std::{fmt::Display, ops::RangeInclusive, process::ExitCode, str::FromStr};

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde_json::{Map, Value as Json, json};

/// What a benchmark was asked for on its command line.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// One JSON object in place of the tables.
    pub json: bool,
    /// A tenth of the work: for a look, not for a figure.
    pub quick: bool,
    /// How many nodes, where there is a number of them.
    pub nodes: usize,
    /// Only this many calls in flight, where there is a choice: for a profiler.
    pub in_flight: Option<usize>,
    /// The largest network, where they grow.
    pub most: Option<usize>,
}

/// What every benchmark can be asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Common {
    /// One JSON object in place of the tables.
    pub json: bool,
    /// A tenth of the work: for a look, not for a figure.
    pub quick: bool,
}

/// The arguments that are still to be read.
pub type Arguments<'a> = dyn Iterator<Item = &'a str> + 'a;

/// Options that a benchmark has besides the common ones.
pub trait OwnOptions: Default {
    /// How `--help` shows them.
    const USAGE: &'static str;

    /// Takes an option, and its value from the arguments that follow. Returns whether there is such an option.
    ///
    /// # Errors
    /// What is wrong with the value.
    fn take(&mut self, option: &str, arguments: &mut Arguments<'_>) -> Result<bool, String>;
}

/// Reads the value of an option.
///
/// # Errors
/// If it is missing, not a number, or outside of its range.
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

/// Runs a benchmark: the role this process was started for, or the whole of it.
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
            // what cargo passes to every benchmark
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
    // many peers mean many connections, in this program too
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

/// What a benchmark says, as text and as JSON.
#[derive(Debug)]
pub struct Report {
    text: String,
    json: Map<String, Json>,
}

impl Report {
    /// The report of a benchmark, which starts with the machine.
    pub fn new(name: &str) -> Report {
        let machine = proc::machine();
        let json = json!({"benchmark": name, "machine": machine});
        let Json::Object(json) = json else { unreachable!("an object") };
        Report { text: format!("{name}, on {machine}\n"), json }
    }

    /// A line of its own: what was skipped, or how to read what follows.
    pub fn line(&mut self, line: impl Display) {
        self.text.push_str(&format!("\n{line}\n"));
    }

    /// Something that could not be measured, which both forms say.
    pub fn skipped(&mut self, what: &str, why: &str) {
        self.line(format!("skipped: {what}: {why}"));
        let skipped = self.json.entry("skipped").or_insert_with(|| json!({}));
        skipped[what] = why.into();
    }

    /// A figure, or a map of them, of the JSON.
    pub fn put(&mut self, key: &str, value: impl Into<Json>) {
        self.json.insert(key.to_owned(), value.into());
    }

    /// A table: text in the first column, figures in the others. The JSON has its rows as objects.
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

/// A figure, as people read it and as it is.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    json: Json,
}

/// Words.
pub fn words(words: impl Into<String>) -> Cell {
    let text = words.into();
    Cell { json: text.clone().into(), text }
}

/// A figure with so many decimals.
pub fn figure(figure: f64, decimals: usize) -> Cell {
    Cell { text: format!("{figure:.decimals$}"), json: json!(figure) }
}

/// A number of things.
pub fn count(count: u64) -> Cell {
    let digits = count.to_string();
    let grouped: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|chunk| std::str::from_utf8(chunk).unwrap()).collect();
    Cell { text: grouped.join(","), json: json!(count) }
}

/// A share, in per cent.
pub fn share(share: f64) -> Cell {
    Cell { text: format!("{:.0}%", share * 100.0), json: json!(share) }
}

/// Nothing to say.
pub fn none() -> Cell {
    Cell { text: String::new(), json: Json::Null }
}

/// The median.
pub fn median(figures: &[f64]) -> f64 {
    quantile(figures, 0.5)
}

/// The figure that such a share of them does not exceed.
pub fn quantile(figures: &[f64], share: f64) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    let last = figures.len().saturating_sub(1);
    figures.get(((last as f64) * share).round() as usize).copied().unwrap_or(f64::NAN)
}
