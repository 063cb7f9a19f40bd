//! Measures how long a hundred nodes take to start, and how much memory each uses.
//!
//! Run it with `cargo bench --profile dist --bench launch`. The profile `dist` is that of the shipped program; memory
//! and speed of other profiles are not comparable.
//!
//! ```text
//! node.spawn, N at once   N processes of the program chinwag; each binds a free port, starts its actors, and calls
//!                         its onStart, a callback on this node
//! called back             the last of them has called back
//! standing                groups.put on this node, and on each of them by one call on the group, has answered
//! ```
//!
//! A time starts with the first spawn. Each round uses new nodes. Memory is read a second after the last round, when
//! nothing is under way: resident (RSS), which counts the program's own text in each process, and proportional (PSS),
//! which divides shared memory among its processes. For comparison, the same run starts as many processes that are only
//! an actix-web server of one worker, one after another without waiting, until the last has printed its address. If the
//! JavaScript reference is installed, it starts as many nodes, each after the previous one has called back, because it
//! loses callbacks of nodes that start at the same time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use support::{
    Cell, Options, Report, bare::Process, count, figure, median, none, proc, quantile, reference,
    spawned_group::SpawnedGroup, words,
};

fn main() -> ExitCode {
    support::main("The time and memory that 100 nodes take to start.", |options| {
        actix_web::rt::System::new().block_on(measure(options))
    })
}

/// Measurements of one way to start nodes.
#[derive(Default)]
struct Launches {
    /// Seconds until the last node was up, by round.
    up: Vec<f64>,
    /// Seconds until all nodes had the group, by round.
    standing: Vec<f64>,
    memory: Vec<proc::Memory>,
}

async fn measure(options: Options) -> Report {
    let rounds = if options.quick { 2 } else { 7 };
    let mut report = Report::new("launch");
    let (mut ours, mut floor) = (Launches::default(), Launches::default());
    for round in 0..rounds {
        let began = Instant::now();
        let mut bare: Vec<Process> = (0..options.nodes).map(|_| Process::start("bare", 64)).collect();
        for process in &mut bare {
            process.address();
        }
        floor.up.push(began.elapsed().as_secs_f64());
        if round + 1 == rounds {
            settle().await;
            floor.memory = bare.iter().filter_map(|process| proc::memory(process.id())).collect();
        }
        drop(bare);

        let group = SpawnedGroup::start(options.nodes).await.expect("the nodes start");
        ours.up.push(group.called_back.as_secs_f64());
        ours.standing.push(group.standing.as_secs_f64());
        if round + 1 == rounds {
            settle().await;
            ours.memory = group.processes().into_iter().filter_map(proc::memory).collect();
            assert_eq!(ours.memory.len(), options.nodes, "every node still runs");
        }
        group.stop().await;
    }
    report.line(format!("{} processes started at once, {rounds} rounds", options.nodes));
    let columns = ["what", "up s", "standing s", "worst s", "RSS MB", "worst MB", "PSS MB", "threads"];
    let mut rows = vec![row("chinwag nodes", &ours), row("bare actix-web", &floor)];
    // the reference uses 50 MB and 0.2 s per node
    let nodes = if options.quick { options.nodes.min(10) } else { options.nodes };
    match reference::run("launch", &[nodes.to_string()]) {
        Ok(said) => {
            let number = |key: &str| said[key].as_f64().unwrap_or(f64::NAN);
            let name = format!("{}, {nodes} in turn", reference::name(&said));
            let mut row = vec![words(name), figure(number("up"), 2), figure(number("standing"), 2), none()];
            row.extend([figure(number("resident"), 1), figure(number("worst"), 1), none(), none()]);
            rows.push(row);
        }
        Err(why) => report.skipped("reference", &why),
    }
    report.table("launches", &columns, &rows);
    report
}

async fn settle() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

fn row(what: &str, of: &Launches) -> Vec<Cell> {
    let all = |pick: fn(&proc::Memory) -> f64| of.memory.iter().map(pick).collect::<Vec<f64>>();
    let standing = if of.standing.is_empty() { &of.up } else { &of.standing };
    vec![
        words(what),
        figure(median(&of.up), 3),
        if of.standing.is_empty() { none() } else { figure(median(standing), 3) },
        figure(quantile(standing, 1.0), 3),
        figure(median(&all(|memory| memory.resident)), 2),
        figure(quantile(&all(|memory| memory.resident), 1.0), 2),
        figure(median(&all(|memory| memory.proportional)), 2),
        count(median(&all(|memory| memory.threads)) as u64),
    ]
}
