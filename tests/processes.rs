//! Nodes in processes of their own: how the program starts, what it prints, how it ends, and how nodes start each
//! other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use chinwag::{ErrorKind, Gid, Node, NodeAddr, Remote, Value};
use support::{
    process::{PROGRAM, Process, children, node_command, run, text},
    *,
};
use tokio::sync::Semaphore;

#[test]
fn an_invalid_argument_prints_one_line_that_names_it() {
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
        let output = run(&arguments);
        let stderr = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_node_takes_its_address_from_flags_and_configurations() {
    let port = free().port();
    let person = format!(r#"{{"ip": "127.0.0.1", port: {port}, advertise: 'localhost:{port}'}}"#);
    let typed = format!(r#"{{"type":"object","value":{{"port":{{"type":"number","value":"{port}"}}}}}}"#);
    for config in [person.as_str(), &typed] {
        let process = Process::start(&["--config", config]);
        assert_eq!(process.node.port(), port, "{config}");
    }
    // a flag takes precedence over the configuration
    let other = free().port().to_string();
    let plain = format!("{{port: {port}}}");
    let process = Process::start(&["--config", &plain, "--port", &other]);
    assert_eq!(process.node.port().to_string(), other);
    // the advertised address can differ from the bound one
    let advertised = Process::start(&["--port", "0", "--advertise", "node.example:9999"]);
    assert_eq!(advertised.node, NodeAddr::new("node.example", 9999));
    let everywhere = Process::start(&["--ip", "0.0.0.0", "--insecure", "--port", "0", "--advertise", "127.0.0.1:9999"]);
    assert_eq!(everywhere.node, NodeAddr::new("127.0.0.1", 9999));
}

#[test]
fn a_node_prints_its_sid_and_address_when_it_listens() {
    let mut child = Command::new(PROGRAM).args(["--port", "0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (sid, address) = line.trim_end().split_once(" listens on ").expect("SID and address");
    assert_eq!(address.parse::<NodeAddr>().unwrap().sid().as_str(), sid);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_call_command_calls_any_service_and_prints_answers_and_errors() {
    let process = Process::start(&["--port", "0"]);
    let at = process.node.to_string();
    let call = |arguments: &[&str]| run(&[&["call"], arguments, &["--connect", &at]].concat());
    let output = call(&["local", "status", "get", "sid"]);
    assert!(output.status.success());
    assert_eq!(text(&output.stdout).trim(), format!("{:?}", process.node.sid().as_str()));
    let output = call(&["local", "groups", "put", "g", r#"{"x": {"ip": "127.0.0.1", "port": 1}}"#]);
    assert!(output.status.success(), "{output:?}");
    let set: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(set["x"]["port"], 1);
    // JSON5, as people type it
    let output = call(&["local", "groups", "put", "h", r#"{x: {"ip": '127.0.0.1', port: 1,}}"#]);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap(), set, "{output:?}");
    let output = call(&["local", "groups", "put", "h", r#"{"x": {"ip": "127.0.0.1", port: 1}"#]);
    assert_eq!(output.status.code(), Some(2), "no call was made: {output:?}");
    // one member of the group is dead: stdout shows the answers, and stderr the failures
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
    let nobody = run(&["call", "local", "status", "get", "sid", "--connect", "127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody.stderr).contains("Unreachable"));
}

#[test]
fn a_stopped_node_ends_although_clients_keep_connections_open() {
    for (end, code, signal) in
        [("-INT", None, Some(2)), ("-TERM", None, Some(15)), ("-HUP", None, Some(1)), ("stop", Some(0), None)]
    {
        let mut process = Process::start(&["--port", "0"]);
        // one connection that was used and is kept alive, and one that was never used
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
        let status = process.ended();
        // its parent sees what ended it
        assert_eq!((status.code(), status.signal()), (code, signal), "{end}");
    }
}

#[tokio::test]
async fn twenty_nodes_spawned_at_once_join_all_and_are_reaped_when_they_stop() {
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
    until("their parent has reaped them", async || !runs_children()).await;
    parent.stop().await;
}

/// Whether this process has children that run the program or have ended and are not reaped.
fn runs_children() -> bool {
    children(std::process::id()).iter().any(|(_, name)| name.contains("chinwag"))
}

#[tokio::test]
async fn a_failed_spawn_returns_what_the_process_wrote() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let parent = Node::builder().port(0).program(PROGRAM).start().await.unwrap();
    let error = parent.spawn(NodeAddr::new("127.0.0.1", port)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::SpawnFailed);
    assert!(error.message.contains(&port.to_string()), "{error}");
    assert!(error.cause.as_str().is_some_and(|stderr| stderr.contains("taken")), "{:?}", error.cause);
    // a program that is not a node
    let other = Node::builder().port(0).program("/bin/sh").start().await.unwrap();
    let error = other.spawn(NodeAddr::new("127.0.0.1", 0)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::SpawnFailed);
    let none = Node::builder().port(0).program("/no/such/program").start().await.unwrap();
    let error = none.spawn(NodeAddr::new("127.0.0.1", 0)).await.unwrap_err();
    assert!(error.message.contains("/no/such/program"), "{error}");
    stop(vec![parent, other, none]).await;
}

/// An application that names no program. It is a test because `an_application_that_names_no_program_spawns_chinwag`
/// starts this file again.
#[tokio::test]
#[ignore = "needs the search path that an_application_that_names_no_program_spawns_chinwag sets"]
async fn spawn_without_a_named_program() {
    let node = Node::builder().port(0).start().await.unwrap();
    match node.with_deadline(PATIENCE).spawn(NodeAddr::new("127.0.0.1", 0)).await {
        Ok(spawned) => {
            println!("spawned {spawned}");
            node.comm().send((), &Remote::new("status", "stop").on(spawned)).await.unwrap();
        }
        Err(why) => println!("{}: {why}", why.kind.name()),
    }
    node.stop().await;
}

#[test]
fn an_application_that_names_no_program_spawns_chinwag() {
    let application = |path: &Path| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "spawn_without_a_named_program", "--nocapture"]);
        text(&command.env("PATH", path).stdin(Stdio::null()).output().unwrap().stdout)
    };
    let found = application(Path::new(PROGRAM).parent().unwrap());
    assert!(found.contains("spawned 127.0.0.1:"), "{found}");
    let missing = application(Path::new("/no/such/directory"));
    assert!(missing.contains("SpawnFailed: ") && missing.contains("Builder::program"), "{missing}");
}

#[tokio::test]
async fn a_configuration_larger_than_an_argument_reaches_the_spawned_node() {
    let parent = Node::builder().port(0).program(PROGRAM).start().await.unwrap();
    let patient = parent.with_deadline(PATIENCE);
    for bytes in [1_000, 140_000, 1_000_000] {
        let text = "x".repeat(bytes);
        let mut extra = chinwag::protocol::value::Object::new();
        extra.insert("text", text.as_str());
        let spawned = patient.spawn(NodeAddr::new("127.0.0.1", 0).with_extra(extra)).await.unwrap();
        let at_spawned = Remote::new("status", "get").on(spawned.clone());
        assert_eq!(parent.comm().send(("text",), &at_spawned).await.unwrap(), Value::from(text.as_str()), "{bytes}");
        parent.comm().send((), &Remote::new("status", "stop").on(spawned)).await.unwrap();
    }
    parent.stop().await;
}

#[test]
fn a_configuration_is_read_from_standard_input() {
    let config = "{\n  // a comment\n  port: 0,\n  ip: 'localhost'\n}\n";
    let mut child = node_command(&["--config", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(config.as_bytes()).unwrap();
    let process = Process::listening(child);
    let address = ([127, 0, 0, 1], process.node.port()).into();
    assert!(raw(address, &put("/status/get", r#"["ip"]"#)).contains(r#"[null,"localhost"]"#));
}

#[test]
fn a_mistyped_argument_prints_one_line_with_the_nearest_name() {
    for (arguments, tip) in
        [(vec!["--prot", "1"], "'--port'"), (vec!["simulate", "--node", "5"], "'--nodes'"), (vec!["cal"], "'call'")]
    {
        let output = run(&arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
        assert!(stderr.contains("(tip: ") && stderr.contains(tip), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_call_whose_answer_nobody_reads_succeeds_silently() {
    let process = Process::start(&["--port", "0"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let at = process.node.to_string();
    let mut command = Command::new(PROGRAM);
    command.args(["call", "local", "status", "get", "sid", "--connect", &at]).stdin(Stdio::null());
    let output = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "");
    assert!(output.status.success(), "{:?}", output.status);
}

#[tokio::test]
async fn a_node_spawned_in_a_group_is_known_to_all_its_members() {
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
async fn a_group_call_returns_one_error_for_a_killed_or_suspended_member() {
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
    // a suspended member costs the deadline
    let hung = processes.pop().unwrap();
    hung.signal("-STOP");
    // the signal reaches the threads one after the other
    let impatient = asking.with_deadline(Duration::from_millis(100));
    let at_hung = Remote::new("status", "get").on(hung.node.clone());
    until("its threads are suspended", async || impatient.comm().send(("sid",), &at_hung).await.is_err()).await;
    let hasty = asking.with_deadline(Duration::from_secs(1));
    let reply: chinwag::GroupReply = hasty.group("g").status().get("sid").await.unwrap().try_into().unwrap();
    assert_eq!(reply.values.len(), 1);
    assert_eq!(reply.errors[&hung.node.sid()].kind, ErrorKind::DeadlineExceeded);
    asking.stop().await;
}

#[test]
fn up_once_sends_a_rumor_and_stops_all_its_nodes() {
    let output = run(&["up", "5", "--once"]);
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

#[tokio::test]
async fn on_start_is_called_once_after_the_socket_listens() {
    let (say, heard) = std::sync::mpsc::channel();
    let builder = Node::builder().port(0).on_start(move |server| {
        let connected = TcpStream::connect(server.address()).is_ok();
        say.send((server.address(), connected)).unwrap();
    });
    let node = builder.start().await.unwrap();
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), [(node.server().address(), true)]);
    assert_eq!(node.addr().port(), node.server().address().port());
    node.stop().await;
    // it can stop the node
    let stopped = Node::builder().port(0).on_start(|server| server.begin_stop()).start().await.unwrap();
    stopped.stopped().await;
}

#[tokio::test]
async fn a_node_that_is_told_to_stop_answers_the_calls_under_way_first() {
    let (begun, released) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let permits = (begun.clone(), released.clone());
    let slow = chinwag::Service::new("slow", |_| ()).async_method("answer", move |(), _, ()| {
        let (begun, released) = permits.clone();
        async move {
            begun.add_permits(1);
            released.acquire().await.unwrap().forget();
            Ok::<_, chinwag::CallError>(7)
        }
    });
    let node = Node::builder().port(0).service(slow).start().await.unwrap();
    let asking = support::node().await;
    let remote = Remote::new("slow", "answer").on(node.addr().clone());
    let comm = asking.comm();
    let (answer, ()) = tokio::join!(comm.send((), &remote), async {
        begun.acquire().await.unwrap().forget();
        let release = async {
            let refuses = async || node.call(Gid::local(), "status", "get", ("sid",)).await.is_err();
            until("the node performs no further calls", refuses).await;
            released.add_permits(1);
        };
        tokio::join!(node.stop(), release);
    });
    assert_eq!(answer.unwrap(), Value::from(7));
    asking.stop().await;
}
