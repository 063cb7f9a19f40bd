//! What a node logs and prints, and that it waits for nobody to read it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    net::{SocketAddr, TcpListener},
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
};

use chinwag::{NodeAddr, Remote};
use support::{
    process::{Heard, PROGRAM, Process, children, send},
    *,
};

/// More lines than a pipe holds, at some 100 bytes each.
const MANY: usize = 1_500;

fn address(node: &NodeAddr) -> SocketAddr {
    node.authority().parse().unwrap()
}

/// Sends requests that are none, and then one that is answered.
fn malformed(node: &NodeAddr) {
    for _ in 0..MANY {
        let answer = raw(address(node), b"PUT / HTTP/1.1\r\nbad header\r\n\r\n");
        assert!(answer.is_empty() || answer.contains(" 400 "), "{answer}");
    }
    assert!(raw(address(node), &put("/status/get", r#"["sid"]"#)).contains(node.sid().as_str()));
}

#[test]
fn malformed_requests_are_not_logged_by_default() {
    let mut process = Process::up(Command::new(PROGRAM).args(["--json", "--port", "0"]).stderr(Stdio::piped()));
    let said = Heard::of(process.child.stderr.take().unwrap());
    malformed(&process.node);
    process.signal("-TERM");
    process.ended();
    assert_eq!(said.text(), "");
}

#[test]
fn a_malformed_request_is_no_error_of_the_node() {
    let mut command = Command::new(PROGRAM);
    command.args(["--json", "--port", "0"]).env("RUST_LOG", "actix_http=debug").stderr(Stdio::piped());
    let mut process = Process::up(&mut command);
    let said = Heard::of(process.child.stderr.take().unwrap());
    raw(address(&process.node), b"PUT / HTTP/1.1\r\nbad header\r\n\r\n");
    process.signal("-TERM");
    process.ended();
    let said = said.text();
    assert!(said.contains(" DEBUG [dispatcher]"), "{said}");
    assert!(!said.contains(" ERROR ") && !said.contains(" WARN "), "{said}");
}

#[test]
fn a_node_whose_log_nobody_reads_goes_on() {
    let mut command = Command::new(PROGRAM);
    command.args(["--json", "--port", "0"]).env("RUST_LOG", "trace").stderr(Stdio::piped());
    let mut process = Process::up(&mut command);
    let stderr = process.child.stderr.take().unwrap();
    malformed(&process.node);
    // once somebody reads it, what was dropped is reported
    let said = Heard::of(stderr);
    process.signal("-TERM");
    assert_eq!(process.ended().signal(), Some(15));
    assert!(said.text().lines().count() > MANY, "{}", said.text().lines().count());
}

#[tokio::test]
async fn a_spawned_node_goes_on_while_its_parent_is_stopped_and_its_parent_while_nobody_reads() {
    let mut command = Command::new(PROGRAM);
    command.args(["--json", "--port", "0"]).env("RUST_LOG", "trace").stderr(Stdio::piped());
    let mut process = Process::up(&mut command);
    let _unread = process.child.stderr.take().unwrap();
    let asking = node().await;
    let patient = asking.with_deadline(PATIENCE);
    let spawn = Remote::new("status", "spawn").on(process.node.clone());
    let spawned = patient.comm().send((free().to_value(),), &spawn).await.unwrap();
    let spawned = NodeAddr::from_value(&spawned).unwrap();
    let (child, _) = children(process.child.id()).pop().unwrap();
    // the parent passes on what the child says to where nobody reads
    malformed(&spawned);
    malformed(&process.node);
    process.signal("-STOP");
    malformed(&spawned);
    process.signal("-CONT");
    send(child, "-TERM");
    until("the parent attends to its end", async || children(process.child.id()).is_empty()).await;
    asking.stop().await;
}

#[tokio::test]
async fn members_that_join_leave_and_fail_are_logged_by_default() {
    let quick = ["--json", "--port", "0", "--probe-interval", "200"];
    let mut process = Process::up(Command::new(PROGRAM).args(quick).stderr(Stdio::piped()));
    let said = Heard::of(process.child.stderr.take().unwrap());
    let seed = process.node.to_string();
    let asking = node().await;
    let logs = async |level: &str, node: &NodeAddr, what: &str| {
        let line = format!(" {level} [members] {} at {node} {what}", node.sid());
        until(&line, async || said.text().contains(&line)).await;
    };
    for (signal, level, what) in [("-TERM", "INFO", "left"), ("-KILL", "WARN", "failed")] {
        let mut other = Process::up(Command::new(PROGRAM).args(quick).args(["--join", &seed]).stderr(Stdio::null()));
        logs("INFO", &other.node, "joined").await;
        // it is known to its seed before the seed is known to it
        let get = Remote::new("groups", "get").on(other.node.clone());
        until("it has joined", async || {
            let all = asking.comm().send(("all",), &get).await.unwrap();
            all.get(process.node.sid().as_str()).is_some()
        })
        .await;
        other.signal(signal);
        other.ended();
        logs(level, &other.node, what).await;
    }
    asking.stop().await;
}

#[tokio::test]
async fn seeds_that_are_dead_cause_no_warnings_once_the_node_has_members() {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut command = Command::new(PROGRAM);
    command.args(["--json", "--port", "0", "--join", &dead]).env("RUST_LOG", "chinwag::membership=debug");
    let mut process = Process::up(command.stderr(Stdio::piped()));
    let said = Heard::of(process.child.stderr.take().unwrap());
    let through = process.node.to_string();
    let _other = Process::up(Command::new(PROGRAM).args(["--json", "--port", "0", "--join", &through]));
    let (met, tried) = ("; the seeds are tried again", "cannot join through");
    until("it has members", async || said.text().contains(met)).await;
    let since = || said.text().split_once(met).map_or_else(String::new, |(_, since)| since.to_owned());
    until("it has tried its seed again", async || since().contains(tried)).await;
    assert!(!since().contains(" WARN "), "{}", since());
}

#[cfg(feature = "scripts")]
#[test]
fn a_script_whose_output_nobody_reads_leaves_its_node_alone() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = std::env::temp_dir().join(format!("chinwag-{}-{free}.js", std::process::id()));
    std::fs::write(&file, "for (let i = 0; i < 50000; i++) console.log('x'.repeat(100)); setInterval(() => {}, 1000)")
        .unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["run", file.to_str().unwrap(), "--port", &free.to_string()]).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let node = NodeAddr::new("127.0.0.1", free);
    let began = std::time::Instant::now();
    while std::net::TcpStream::connect(node.authority()).is_err() {
        assert!(began.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    malformed(&node);
    // everything arrives, once somebody reads it
    let said = Heard::of(child.stdout.take().unwrap());
    let began = std::time::Instant::now();
    while said.text().lines().count() < 50_000 {
        assert!(began.elapsed() < PATIENCE, "{} lines", said.text().lines().count());
        std::thread::yield_now();
    }
    send(child.id(), "-TERM");
    assert_eq!(child.wait().unwrap().signal(), Some(15));
    std::fs::remove_file(&file).unwrap();
    assert!(said.text().lines().all(|line| line.len() == 100));
}
