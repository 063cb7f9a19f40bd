//! Measures gossip to a hundred processes: how long until the last has performed a message, and whether all do.
//!
//! Run it with `cargo bench --profile dist --bench processes`. The profile `dist` is that of the shipped program;
//! memory and speed of other profiles are not comparable.
//!
//! ```text
//! this node   gossip.send(([k], {counter.count on this node}), comm.send) to the group
//! each node   receives the message from a random peer and performs comm.send: calls counter.count(k) here
//! counter     records which message, and when
//! ```
//!
//! This counts rumors as the handout does. The time of a message is from just before the send until the call of the
//! last node has arrived here; then the next one is sent. A message that is not complete within ten seconds counts as
//! incomplete. A node that counts a message more than once has performed it twice. The processor time of all processes
//! together is the cost of a message, however busy the machine is. The nodes and their group are as in `launch`, with
//! default options. If the JavaScript reference is installed, it does the same with as many nodes and fewer messages,
//! because each incomplete message takes its whole timeout.
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
    spawned_group::{GROUP, SpawnedGroup},
    words,
};

/// The timeout for a message to reach all nodes.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the benchmark waits at the end for messages that are performed again.
const AFTERMATH: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    support::main("One gossip message to 100 processes.", |options| {
        actix_web::rt::System::new().block_on(measure(options))
    })
}

async fn measure(options: Options) -> Report {
    let messages = if options.quick { 20 } else { 200 };
    let mut report = Report::new("processes");
    let mut group = SpawnedGroup::start(options.nodes).await.expect("the nodes start");
    let everyone = options.nodes as u64;
    let counter = Remote::new("counter", "count").on(group.asking.addr().clone()).to_value();

    let processes: Vec<u32> = group.processes().into_iter().chain([std::process::id()]).collect();
    let spent = || processes.iter().map(|&id| proc::cpu(id)).sum::<Duration>();
    let before = spent();
    let (mut complete, mut counted) = (Vec::new(), vec![0_u64; messages]);
    for message in 0..messages {
        let began = Instant::now();
        let arguments = (vec![Value::from(message as u64)], counter.clone());
        let _ =
            group.asking.group(GROUP).gossip().send(arguments, &Remote::new("comm", "send")).await.expect("it is sent");
        let last = async {
            while let Some((heard, at)) = group.counted.recv().await {
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
        while let Some((heard, _)) = group.counted.recv().await {
            counted[heard as usize] += 1;
        }
    };
    let _ = tokio::time::timeout(AFTERMATH, more).await;
    let cost = (spent() - before).as_secs_f64() * 1e3 / messages as f64;
    group.stop().await;

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
        // rounded down, so that 100 means all
        figure((coverage * 1e4).floor() / 1e2, 2),
    ];
    row.extend([0.5, 0.9, 0.99, 1.0].map(|share| figure(quantile(complete, share), 1)));
    row.extend([cost, count(twice)]);
    row
}
