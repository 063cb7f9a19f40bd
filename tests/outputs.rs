//! What a node logs and prints, and that it does not wait for a reader of its output.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
};

use chinwag::{NodeAddr, Remote};
use support::{
    process::{PROGRAM, Process, StreamReader, children, node_command, send},
    *,
};

/// The number of lines, of about 100 bytes each, that is more than a pipe holds.
const MANY: usize = 1_500;

fn address(node: &NodeAddr) -> SocketAddr {
    node.authority().parse().unwrap()
}

/// Sends malformed requests, and then a valid one, which the node must answer.
fn malformed(node: &NodeAddr) {
    for _ in 0..MANY {
        let answer = raw(address(node), b"PUT / HTTP/1.1\r\nbad header\r\n\r\n");
        assert!(answer.is_empty() || answer.contains(" 400 "), "{answer}");
    }
    assert!(raw(address(node), &put("/status/get", r#"["sid"]"#)).contains(node.sid().as_str()));
}

#[test]
fn malformed_requests_are_not_logged_by_default() {
    let mut process = Process::up(node_command(&["--port", "0"]).stderr(Stdio::piped()));
    let said = StreamReader::start(process.child.stderr.take().unwrap());
    malformed(&process.node);
    process.signal("-TERM");
    process.ended();
    assert_eq!(said.text(), "");
}

#[test]
fn a_malformed_request_is_logged_at_debug_level() {
    let mut command = node_command(&["--port", "0"]);
    command.env("RUST_LOG", "actix_http=debug").stderr(Stdio::piped());
    let mut process = Process::up(&mut command);
    let said = StreamReader::start(process.child.stderr.take().unwrap());
    raw(address(&process.node), b"PUT / HTTP/1.1\r\nbad header\r\n\r\n");
    process.signal("-TERM");
    process.ended();
    let said = said.text();
    assert!(said.contains(" DEBUG [dispatcher]"), "{said}");
    assert!(!said.contains(" ERROR ") && !said.contains(" WARN "), "{said}");
}

#[test]
fn a_node_whose_log_nobody_reads_keeps_answering() {
    let mut command = node_command(&["--port", "0"]);
    command.env("RUST_LOG", "trace").stderr(Stdio::piped());
    let mut process = Process::up(&mut command);
    let stderr = process.child.stderr.take().unwrap();
    malformed(&process.node);
    let said = StreamReader::start(stderr);
    process.signal("-TERM");
    assert_eq!(process.ended().signal(), Some(15));
    assert!(said.text().lines().count() > MANY, "{}", said.text().lines().count());
}

#[tokio::test]
async fn a_spawned_node_keeps_answering_while_its_parent_is_suspended() {
    let mut command = node_command(&["--port", "0"]);
    command.env("RUST_LOG", "trace").stderr(Stdio::piped());
    let mut process = Process::up(&mut command);
    let _unread = process.child.stderr.take().unwrap();
    let asking = node().await;
    let patient = asking.with_deadline(PATIENCE);
    let spawn = Remote::new("status", "spawn").on(process.node.clone());
    let spawned = patient.comm().send((free().to_value(),), &spawn).await.unwrap();
    let spawned = NodeAddr::from_value(&spawned).unwrap();
    let (child, _) = children(process.child.id()).pop().unwrap();
    // the parent forwards the log of the child to its own log, which nobody reads
    malformed(&spawned);
    malformed(&process.node);
    process.signal("-STOP");
    malformed(&spawned);
    process.signal("-CONT");
    send(child, "-TERM");
    until("the parent has reaped it", async || children(process.child.id()).is_empty()).await;
    asking.stop().await;
}

#[tokio::test]
async fn members_that_join_leave_and_fail_are_logged_by_default() {
    let quick = ["--port", "0", "--probe-interval", "200"];
    let mut process = Process::up(node_command(&quick).stderr(Stdio::piped()));
    let said = StreamReader::start(process.child.stderr.take().unwrap());
    let seed = process.node.to_string();
    let asking = node().await;
    let logs = async |level: &str, node: &NodeAddr, what: &str| {
        let line = format!(" {level} [members] {} at {node} {what}", node.sid());
        until(&line, async || said.text().contains(&line)).await;
    };
    for (signal, level, what) in [("-TERM", "INFO", "left"), ("-KILL", "WARN", "failed")] {
        let mut other = Process::up(node_command(&quick).args(["--join", &seed]).stderr(Stdio::null()));
        logs("INFO", &other.node, "joined").await;
        // the seed knows the newcomer before the newcomer knows the seed
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
async fn dead_seeds_cause_no_warnings_once_the_node_has_members() {
    let dead = free().to_string();
    let mut command = node_command(&["--port", "0", "--join", &dead]);
    command.env("RUST_LOG", "chinwag::membership=debug");
    let mut process = Process::up(command.stderr(Stdio::piped()));
    let said = StreamReader::start(process.child.stderr.take().unwrap());
    let through = process.node.to_string();
    let _other = Process::start(&["--port", "0", "--join", &through]);
    let (met, tried) = ("; the seeds are tried again", "cannot join through");
    until("it has members", async || said.text().contains(met)).await;
    let since = || said.text().split_once(met).map_or_else(String::new, |(_, since)| since.to_owned());
    until("it has tried its seed again", async || since().contains(tried)).await;
    assert!(!since().contains(" WARN "), "{}", since());
}

#[cfg(feature = "scripts")]
#[tokio::test]
async fn what_a_shipped_function_prints_is_on_standard_output_whatever_the_log_level() {
    let mut command = Command::new(PROGRAM);
    command.args(["--port", "0", "--config", r#"{onStart: "(s) => console.log('hi!')"}"#]).env("RUST_LOG", "off");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let said = StreamReader::start(child.stdout.take().unwrap());
    let warned = StreamReader::start(child.stderr.take().unwrap());
    until("it listens and has printed", async || said.text().lines().count() == 2).await;
    let text = said.text();
    let (up, printed) = text.trim_end().split_once('\n').unwrap();
    let (sid, address) = up.split_once(" listens on ").unwrap();
    assert_eq!(printed, format!("[{sid}] hi!"));

    let asking = node().await;
    let on = |service, method| Remote::new(service, method).on(address.parse().unwrap());
    let shipped = object([(
        "print",
        chinwag::protocol::value::Function::new("() => { console.log('a\\nb'); console.warn('c'); }").into(),
    )]);
    asking.comm().send((shipped, "printing"), &on("routes", "put")).await.unwrap();
    asking.comm().send((), &on("printing", "print")).await.unwrap();
    until("it has printed both lines", async || said.text().ends_with(&format!("[{sid}] a\n[{sid}] b\n"))).await;
    until("it has warned", async || warned.text() == format!("[{sid}] c\n")).await;

    // what a node prints that it has spawned appears there, too, under the SID of that node
    let spawned = free();
    let function = chinwag::protocol::value::Function::new("() => console.log('spawned')");
    let config = object([("ip", "127.0.0.1".into()), ("port", spawned.port().into()), ("onStart", function.into())]);
    let patient = asking.with_deadline(PATIENCE);
    patient.comm().send((config,), &on("status", "spawn")).await.unwrap();
    until("the other has printed", async || warned.text().contains(&format!("[{}] spawned", spawned.sid()))).await;
    assert!(!warned.text().contains("listens on"), "{}", warned.text());
    for node in [&spawned, &address.parse().unwrap()] {
        asking.comm().send((), &Remote::new("status", "stop").on(node.clone())).await.unwrap();
    }
    assert!(child.wait().unwrap().success());
    asking.stop().await;
}

#[cfg(feature = "scripts")]
#[tokio::test]
async fn a_script_whose_output_nobody_reads_does_not_block_its_node() {
    let node = free();
    let port = node.port().to_string();
    let file = std::env::temp_dir().join(format!("chinwag-{}-{port}.js", std::process::id()));
    std::fs::write(&file, "for (let i = 0; i < 50000; i++) console.log('x'.repeat(100)); setInterval(() => {}, 1000)")
        .unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["run", file.to_str().unwrap(), "--port", &port]).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    until("the node listens", async || std::net::TcpStream::connect(node.authority()).is_ok()).await;
    malformed(&node);
    // all of the output arrives once somebody reads it
    let said = StreamReader::start(child.stdout.take().unwrap());
    until("all lines have arrived", async || said.text().lines().count() == 50_000).await;
    send(child.id(), "-TERM");
    assert_eq!(child.wait().unwrap().signal(), Some(15));
    std::fs::remove_file(&file).unwrap();
    assert!(said.text().lines().all(|line| line.len() == 100));
}
