//! Measures how a rumor spreads, and prints a table with one line per group size and loss.
//!
//! ```text
//! cargo run --release -p chinwag-protocol --example spreading -- [key=value ...]
//!
//!   n=100,1000         group sizes                        (default 100,1000,10000,100000)
//!   loss=0,10,30       per one-way message, in percent    (default 0,10,30)
//!   runs=1000          seeds per line                     (default 1000, 1000, 100, 10 by size)
//!   seed=1             the first seed                     (default 1)
//!   fanout=log         as in a group's configuration      (default log)
//!   bytes=4096         size of the message                (default 4096)
//!   offers=4           random peers for an offer          (default as in GossipConfig)
//!   pushes=1           random peers for a small message   (default as in GossipConfig)
//! ```

use std::process::ExitCode;

use chinwag_protocol::fanout::Fanout;
use chinwag_protocol::rumor::GossipConfig;

#[path = "../tests/spreading/figures.rs"]
mod figures;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/spreading/network.rs"]
mod network;

use figures::{Scenario, Summary, summarize};

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refused) => {
            eprintln!("{refused}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let mut sizes = vec![100, 1_000, 10_000, 100_000];
    let mut losses = vec![0.0, 10.0, 30.0];
    let mut runs = None;
    let mut seed = 1;
    let mut fanout = Fanout::default();
    let mut bytes = 4096;
    let mut config = GossipConfig::default();
    for argument in arguments {
        let (key, value) = argument.split_once('=').ok_or_else(|| format!("expected key=value: {argument:?}"))?;
        match key {
            "n" => sizes = list(value)?,
            "loss" => losses = list(value)?,
            "runs" => runs = Some(number(value)?),
            "seed" => seed = number(value)?,
            "fanout" => fanout = value.parse().map_err(|error| format!("{error}"))?,
            "bytes" => bytes = number(value)?,
            "offers" => config.offers = number(value)?,
            "pushes" => config.pushes = number(value)?,
            _ => return Err(format!("unknown key {key:?}")),
        }
    }
    println!("fan-out {fanout}, {bytes} bytes; times in one-way latencies, a tick is 200");
    println!(
        "{:>7} {:>5} {:>5} {:>9} {:>10} {:>6} {:>9} {:>9} {:>7} {:>7} {:>6} {:>5}",
        "n",
        "loss%",
        "runs",
        "coverage%",
        "incomplete",
        "twice",
        "payloads",
        "requests",
        "median",
        "90th",
        "ticks",
        "LDH"
    );
    for members in sizes {
        for loss in &losses {
            let runs = runs.unwrap_or(match members {
                0..=1_000 => 1_000,
                1_001..=10_000 => 100,
                _ => 10,
            });
            let config = config.clone();
            let scenario = Scenario { members, loss: loss / 100.0, fanout, bytes, config };
            let Summary { incomplete, repeated, coverage, payloads, requests, median, ninetieth, ticks, last_hop } =
                summarize(&scenario, seed, runs);
            let coverage = coverage * 100.0;
            println!(
                "{members:>7} {loss:>5} {runs:>5} {coverage:>9.4} {incomplete:>10} {repeated:>6} {payloads:>9.3} \
                 {requests:>9.2} {median:>7.1} {ninetieth:>7.1} {ticks:>6.2} {last_hop:>5.1}"
            );
        }
    }
    Ok(())
}

fn list<T: std::str::FromStr>(text: &str) -> Result<Vec<T>, String> {
    text.split(',').map(number).collect()
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("not a number: {text:?}"))
}
