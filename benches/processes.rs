//! Gossip to a hundred processes: how long until the last has performed a message, and whether all do.
//!
//! Run it with `cargo bench --profile dist --bench processes`: the profile `dist` is that of the shipped program, and the memory and
//! speed of another one are not comparable.
//!
//! ```text
//! this node   gossip.send(([k], {counter.count on this node}), comm.send) to the group
//! each node   hears of it from a random peer, performs comm.send: calls counter.count(k) here
//! counter     notes which message, and when
//! ```
//!
//! Rumor counting, as the handout has it. A message is timed from just before the send until the call of the last node
//! has arrived here; then the next one is sent. One that is not complete within ten seconds counts as incomplete. What
//! is counted more than once per node and message would be a message performed twice. The processor time of all
//! processes together is what a message costs the machine, however busy that is with other things. Nodes and group are as in
//! `launch`; options are the defaults. Where the JavaScript reference is found it does the same among as many of its
//! nodes, fewer messages, as each that stays incomplete is waited for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use chinwag::{Remote, Value};
use serde_json::json;
use support::{
    Cell, Options, Report, count, figure, none, proc, quantile, reference,
    town::{GROUP, Town},
    words,
};

/// How long a message may take to reach everyone.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the end is watched for messages performed once more.
const AFTERMATH: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    support::main("One gossip message to 100 processes.", |options| {
        actix_web::rt::System::new().block_on(measure(options))
    })
}

async fn measure(options: Options) -> Report {
    let messages = if options.quick { 20 } else { 200 };
    let mut report = Report::new("processes");
    let mut town = Town::start(options.nodes).await.expect("the nodes start");
    let everyone = options.nodes as u64;
    let counter = Remote::new("counter", "count").on(town.asking.addr().clone()).to_value();

    let processes: Vec<u32> = town.processes().into_iter().chain([std::process::id()]).collect();
    let spent = || processes.iter().map(|&id| proc::cpu(id)).sum::<Duration>();
    let before = spent();
    let (mut complete, mut counted) = (Vec::new(), vec![0_u64; messages]);
    for message in 0..messages {
        let began = Instant::now();
        let arguments = (vec![Value::from(message as u64)], counter.clone());
        let _ =
            town.asking.group(GROUP).gossip().send(arguments, &Remote::new("comm", "send")).await.expect("it is sent");
        let last = async {
            while let Some((heard, at)) = town.counted.recv().await {
                counted[heard as usize] += 1;
                if counted[message] >= everyone {
                    return Some(at);
                }
            }
            None
        };
        if let Ok(Some(at)) = tokio::time::timeout(PATIENCE, last).await {
            complete.push((at - began).as_secs_f64() * 1e3);
        }
    }
    let more = async {
        while let Some((heard, _)) = town.counted.recv().await {
            counted[heard as usize] += 1;
        }
    };
    let _ = tokio::time::timeout(AFTERMATH, more).await;
    let cost = (spent() - before).as_secs_f64() * 1e3 / messages as f64;
    town.stop().await;

    let covered: u64 = counted.iter().map(|&nodes| nodes.min(everyone)).sum();
    let twice: u64 = counted.iter().map(|&nodes| nodes.saturating_sub(everyone)).sum();
    let coverage = covered as f64 / (everyone * messages as u64) as f64;
    report.line(format!("{messages} messages, one after another, to {} processes", options.nodes));
    let columns = [
        "what",
        "messages",
        "complete",
        "coverage %",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "max ms",
        "CPU ms",
        "performed again",
    ];
    let mut rows = vec![row("chinwag", messages, &complete, coverage, figure(cost, 1), twice)];

    let few = if options.quick { 3 } else { 20 };
    match reference::run("processes", &[options.nodes.to_string(), few.to_string()]) {
        Ok(said) => {
            let complete: Vec<f64> =
                said["complete"].as_array().into_iter().flatten().filter_map(|time| time.as_f64()).collect();
            let coverage = said["coverage"].as_f64().unwrap_or(f64::NAN);
            let twice = said["again"].as_u64().unwrap_or(0);
            rows.push(row(&reference::name(&said), few, &complete, coverage, none(), twice));
        }
        Err(why) => report.skipped("reference", &why),
    }
    report.table("gossip", &columns, &rows);
    report.put("milliseconds", json!(complete));
    report
}

fn row(what: &str, messages: usize, complete: &[f64], coverage: f64, cost: Cell, twice: u64) -> Vec<Cell> {
    let mut row = vec![
        words(what),
        count(messages as u64),
        count(complete.len() as u64),
        // rounded down: 100 means all
        figure((coverage * 1e4).floor() / 1e2, 2),
    ];
    row.extend([0.5, 0.9, 0.99, 1.0].map(|share| figure(quantile(complete, share), 1)));
    row.extend([cost, count(twice)]);
    row
}
