//! Nodes as processes: how the program starts, what it prints, how it ends, and how nodes start each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chinwag::{ErrorKind, Node, NodeAddr, Remote, Value};
use support::*;

const PROGRAM: &str = env!("CARGO_BIN_EXE_chinwag");

fn chinwag(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).output().expect("the program runs")
}

/// A node in a process of its own, ended when dropped.
struct Process {
    child: Child,
    node: NodeAddr,
}

impl Process {
    fn start(arguments: &[&str]) -> Process {
        let mut command = Command::new(PROGRAM);
        command.args(["--json"]).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("a line");
        let up: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line:?}"));
        let port = up["port"].as_u64().expect("a port") as u16;
        let node = NodeAddr::new(up["ip"].as_str().expect("an address").to_owned(), port);
        assert_eq!(up["sid"].as_str(), Some(node.sid().as_str()));
        Process { child, node }
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
    }

    /// Its exit code, and how long it took to end.
    fn ended(&mut self) -> (Option<i32>, Duration) {
        let began = Instant::now();
        let status = self.child.wait().expect("it ends");
        (status.code(), began.elapsed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_cannot_be_is_one_line_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (arguments, says) in [
        (vec!["--port", &port], port.as_str()),
        (vec!["--port", "70000"], "70000"),
        (vec!["--port", "-1"], "-1"),
        (vec!["--port", "http"], "http"),
        (vec!["--ip", "300.1.1.1"], "300.1.1.1"),
        (vec!["--ip", "192.0.2.1", "--insecure"], "192.0.2.1"),
        (vec!["--ip", "0.0.0.0", "--port", "0"], "--insecure"),
        (vec!["--config", "{port: }"], "{port: }"),
        (vec!["--config", "{port: 65536}"], "65536"),
        (vec!["--config", "[]"], "array"),
        (vec!["--config", "{prot: 8080}"], "\"port\""),
        (vec!["--advertise", "nowhere"], "nowhere"),
        (vec!["--advertise", "node.example:0"], "port 0"),
        (vec!["--advertise", "0.0.0.0:8080"], "every address"),
        (vec!["--ip", "0.0.0.0", "--insecure", "--port", "0"], "--advertise "),
        (vec!["--ip", "::", "--insecure", "--port", "0"], "--advertise "),
        (vec!["--ip", "127.1", "--port", "0"], "four numbers"),
        (vec!["--join", "0.0.0.0:8080"], "every address"),
        (vec!["call", "local", "groups", "put", "g", r#"{"a": {"ip":"127.0.0.1", port: }}"#], "line 1 column"),
        (vec!["--bogus"], "--bogus"),
        (vec!["up", "0"], "0"),
        (vec!["call", "local", "status", "get", "--connect", "here"], "here"),
    ] {
        let output = chinwag(&arguments);
        let stderr = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_node_is_configured_in_every_way() {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let port = free();
    let person = format!(r#"{{"ip": "127.0.0.1", port: {port}, advertise: 'localhost:{port}'}}"#);
    let typed = format!(r#"{{"type":"object","value":{{"port":{{"type":"number","value":"{port}"}}}}}}"#);
    for config in [person.as_str(), &typed] {
        let process = Process::start(&["--config", config]);
        assert_eq!(process.node.port(), port, "{config}");
    }
    // a flag wins over the configuration
    let other = free().to_string();
    let plain = format!("{{port: {port}}}");
    let process = Process::start(&["--config", &plain, "--port", &other]);
    assert_eq!(process.node.port().to_string(), other);
    // what a node tells others need not be where it is bound
    let advertised = Process::start(&["--port", "0", "--advertise", "node.example:9999"]);
    assert_eq!(advertised.node, NodeAddr::new("node.example", 9999));
    let everywhere = Process::start(&["--ip", "0.0.0.0", "--insecure", "--port", "0", "--advertise", "127.0.0.1:9999"]);
    assert_eq!(everywhere.node, NodeAddr::new("127.0.0.1", 9999));
}

#[test]
fn a_node_says_in_a_line_that_it_is_up() {
    let mut child = Command::new(PROGRAM).args(["--port", "0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (sid, address) = line.trim_end().split_once(" listens on ").expect("SID and address");
    assert_eq!(address.parse::<NodeAddr>().unwrap().sid().as_str(), sid);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_shell_calls_any_service() {
    let process = Process::start(&["--port", "0"]);
    let at = process.node.to_string();
    let call = |arguments: &[&str]| chinwag(&[&["call"], arguments, &["--connect", &at]].concat());
    let output = call(&["local", "status", "get", "sid"]);
    assert!(output.status.success());
    assert_eq!(text(&output.stdout).trim(), format!("{:?}", process.node.sid().as_str()));
    let output = call(&["local", "groups", "put", "g", r#"{"x": {"ip": "127.0.0.1", "port": 1}}"#]);
    assert!(output.status.success(), "{output:?}");
    let set: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(set["x"]["port"], 1);
    // as people type it
    let output = call(&["local", "groups", "put", "h", r#"{x: {"ip": '127.0.0.1', port: 1,}}"#]);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap(), set, "{output:?}");
    let output = call(&["local", "groups", "put", "h", r#"{"x": {"ip": "127.0.0.1", port: 1}"#]);
    assert_eq!(output.status.code(), Some(2), "no call was made: {output:?}");
    // a group of which one member is dead: what was answered on stdout, what failed on stderr
    let output = call(&["all", "status", "get", "sid"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains(process.node.sid().as_str()));
    assert!(text(&output.stderr).contains("Unreachable"), "{output:?}");
    for (arguments, says) in [
        (vec!["local", "status", "get", "bogus"], "NotFound"),
        (vec!["nowhere", "status", "get", "sid"], "UnknownGroup"),
        (vec!["local", "a/b", "get"], "a/b"),
    ] {
        let output = call(&arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(says), "{output:?}");
    }
    let nobody = chinwag(&["call", "local", "status", "get", "sid", "--connect", "127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody.stderr).contains("Unreachable"));
}

#[test]
fn a_node_that_is_stopped_goes_although_connections_are_open() {
    for end in ["-INT", "-TERM", "stop"] {
        let mut process = Process::start(&["--port", "0"]);
        // a connection that was used and is kept alive, and one that never was
        let mut used = TcpStream::connect(process.node.authority()).unwrap();
        used.write_all(&put("/local/status/get", r#"["sid"]"#)).unwrap();
        let mut answer = [0; 4096];
        assert!(used.read(&mut answer).unwrap() > 0);
        let _unused = TcpStream::connect(process.node.authority()).unwrap();
        match end {
            "stop" => {
                let answer = raw(process.node.authority().parse().unwrap(), &put("/local/status/stop", "[]"));
                assert!(answer.contains(r#""ip":"127.0.0.1""#), "it answers first: {answer}");
            }
            signal => process.signal(signal),
        }
        let (code, took) = process.ended();
        assert_eq!(code, Some(0), "{end}");
        assert!(took < Duration::from_secs(2), "{end} took {took:?}");
    }
}

#[tokio::test]
async fn twenty_nodes_are_spawned_at_once_and_leave_no_zombies() {
    let parent = Node::builder().port(0).program(PROGRAM).start().await.unwrap();
    let patient = parent.with_deadline(PATIENCE);
    let spawning = (0..20).map(|_| patient.spawn(NodeAddr::new("127.0.0.1", 0)));
    let spawned = futures_util::future::join_all(spawning).await;
    let spawned: Vec<NodeAddr> = spawned.into_iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(parent.groups().get("all").await.unwrap().len(), 21);
    let all = patient.group("all");
    let sids = all.comm().send(("sid",), &Remote::new("status", "get")).await.unwrap();
    assert_eq!((sids.values.len(), sids.errors.len()), (21, 0));
    assert!(spawned.iter().all(|node| sids.values.contains_key(&node.sid())));

    let stop = Remote::new("status", "stop");
    parent.groups().put("born", spawned).await.unwrap();
    assert_eq!(patient.group("born").comm().send((), &stop).await.unwrap().values.len(), 20);
    until("their ends are attended to", async || children() == 0).await;
    parent.stop().await;
}

/// The children of this process that have ended or not, as the operating system counts them.
fn children() -> usize {
    let of = std::process::id().to_string();
    let output = Command::new("ps").args(["-o", "comm=", "--ppid", &of]).output().expect("ps runs");
    text(&output.stdout).lines().filter(|line| line.contains("chinwag")).count()
}

#[tokio::test]
async fn a_node_that_does_not_boot_says_why() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let parent = Node::builder().port(0).program(PROGRAM).start().await.unwrap();
    let error = parent.spawn(NodeAddr::new("127.0.0.1", port)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::SpawnFailed);
    assert!(error.message.contains(&port.to_string()), "{error}");
    assert!(error.cause.as_str().is_some_and(|stderr| stderr.contains("taken")), "{:?}", error.cause);
    // a program that is no node
    let other = Node::builder().port(0).program("/bin/sh").start().await.unwrap();
    let error = other.spawn(NodeAddr::new("127.0.0.1", 0)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::SpawnFailed);
    let none = Node::builder().port(0).program("/no/such/program").start().await.unwrap();
    let error = none.spawn(NodeAddr::new("127.0.0.1", 0)).await.unwrap_err();
    assert!(error.message.contains("/no/such/program"), "{error}");
    stop(vec![parent, other, none]).await;
}

#[tokio::test]
async fn a_group_grows_by_a_node_that_knows_it() {
    let parent = Node::builder().port(0).program(PROGRAM).start().await.unwrap();
    parent.groups().put("g", [parent.addr().clone()]).await.unwrap();
    let patient = parent.with_deadline(PATIENCE);
    let first = patient.group("g").status().spawn(NodeAddr::new("127.0.0.1", 0)).await.unwrap();
    let second = patient.group("g").status().spawn(NodeAddr::new("127.0.0.1", 0)).await.unwrap();
    let views = patient.group("g").groups().get("g").await.unwrap();
    assert_eq!(views.errors.len(), 0);
    assert_eq!(views.values.len(), 3);
    for view in views.values.values() {
        let members = view.as_object().unwrap();
        assert!([&first, &second].iter().all(|node| members.contains_key(node.sid().as_str())), "{view:?}");
    }
    let stopped = patient.group("g").status().stop().await.unwrap();
    assert_eq!(stopped.values.len(), 3);
    parent.stopped().await;
}

#[tokio::test]
async fn a_killed_node_costs_its_group_one_error() {
    let mut processes: Vec<Process> = (0..3).map(|_| Process::start(&["--port", "0"])).collect();
    let asking = node().await;
    let members: Vec<NodeAddr> = processes.iter().map(|process| process.node.clone()).collect();
    asking.groups().put("g", members).await.unwrap();
    let mut dead = processes.pop().unwrap();
    dead.signal("-KILL");
    dead.ended();
    let sids = asking.group("g").status().get("sid").await.unwrap();
    let reply: chinwag::GroupReply = sids.try_into().unwrap();
    assert_eq!(reply.values.len(), 2);
    assert!(reply.errors.contains_key(&dead.node.sid()));
    // and one that hangs costs a deadline, and no more
    let hung = processes.pop().unwrap();
    hung.signal("-STOP");
    // all of its threads: the signal reaches one after the other
    let impatient = asking.with_deadline(Duration::from_millis(100));
    let at_hung = Remote::new("status", "get").on(hung.node.clone());
    until("it hangs", async || impatient.comm().send(("sid",), &at_hung).await.is_err()).await;
    let hasty = asking.with_deadline(Duration::from_secs(1));
    let reply: chinwag::GroupReply = hasty.group("g").status().get("sid").await.unwrap().try_into().unwrap();
    assert_eq!(reply.values.len(), 1);
    assert_eq!(reply.errors[&hung.node.sid()].kind, ErrorKind::DeadlineExceeded);
    asking.stop().await;
}

#[test]
fn up_counts_a_rumor_and_leaves_nothing_behind() {
    let output = chinwag(&["up", "5", "--once"]);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown} {}", text(&output.stderr));
    assert!(shown.contains("5 nodes are up") && shown.contains("5 of 5 have heard"), "{shown}");
    let ports: Vec<u16> = shown
        .lines()
        .filter_map(|line| line.split("127.0.0.1:").nth(1)?.split_whitespace().next()?.parse().ok())
        .collect();
    assert!(ports.len() >= 5);
    assert!(ports.iter().all(|&port| TcpStream::connect(("127.0.0.1", port)).is_err()), "all have stopped");
}

#[test]
fn up_runs_until_it_is_interrupted() {
    let mut child = Command::new(PROGRAM).args(["up", "2"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut shown = Vec::new();
    while !shown.last().is_some_and(|line: &String| line.contains("Ctrl-C")) {
        shown.push(lines.next().expect("more to come").unwrap());
    }
    let node = shown.iter().find_map(|line| line.split("127.0.0.1:").nth(1)?.split_whitespace().next()?.parse().ok());
    let port: u16 = node.expect("an address to try");
    assert!(raw(([127, 0, 0, 1], port).into(), &put("/town/status/get", r#"["sid"]"#)).contains("200 OK"));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[tokio::test]
async fn on_start_is_called_once_when_the_socket_listens() {
    let (say, heard) = std::sync::mpsc::channel();
    let builder = Node::builder().port(0).on_start(move |server| {
        let connected = TcpStream::connect(server.address()).is_ok();
        say.send((server.address(), connected)).unwrap();
    });
    let node = builder.start().await.unwrap();
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), [(node.server().address(), true)]);
    assert_eq!(node.addr().port(), node.server().address().port());
    node.stop().await;
    // and can stop the node
    let stopped = Node::builder().port(0).on_start(|server| server.stop()).start().await.unwrap();
    stopped.stopped().await;
}

#[tokio::test]
async fn what_was_asked_is_answered_before_the_end() {
    let asked = Arc::new(AtomicBool::new(false));
    let begun = asked.clone();
    let slow = chinwag::Service::new("slow", |_| ()).async_method("answer", move |(), _, ()| {
        begun.store(true, Ordering::SeqCst);
        async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Ok::<_, chinwag::CallError>(7)
        }
    });
    let node = Node::builder().port(0).service(slow).start().await.unwrap();
    let asking = support::node().await;
    let remote = Remote::new("slow", "answer").on(node.addr().clone());
    let comm = asking.comm();
    let (answer, ()) = tokio::join!(comm.send((), &remote), async {
        until("it is under way", async || asked.load(Ordering::SeqCst)).await;
        node.stop().await;
    });
    assert_eq!(answer.unwrap(), Value::from(7));
    asking.stop().await;
}
