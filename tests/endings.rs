//! How the program and the nodes that it started end: by signals, with its parent, as process 1, and embedded in
//! another program.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    io::{BufRead, BufReader, Lines},
    net::TcpStream,
    os::unix::process::ExitStatusExt,
    process::{Child, ChildStdout, Command, Stdio},
};

use actix_web::{App, HttpResponse, HttpServer, rt::System, web};
use chinwag::{Node, NodeAddr, Remote, membership::Event};
use support::{
    process::{PROGRAM, Process, children, send},
    *,
};

/// `chinwag up`, killed when dropped.
struct Up {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// The addresses of its nodes.
    nodes: Vec<NodeAddr>,
}

impl Up {
    fn start(nodes: &str) -> Up {
        let mut child = Command::new(PROGRAM).args(["up", nodes]).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut up = Up { child, lines, nodes: Vec::new() };
        let shown = up.reads_until("Ctrl-C");
        let seen = shown.iter().filter(|line| line.contains("members of"));
        up.nodes = seen.map(|line| line.split_whitespace().nth(1).unwrap().parse().unwrap()).collect();
        assert_eq!(up.nodes.len().to_string(), nodes, "{shown:#?}");
        up
    }

    /// Reads the output up to the line that contains this text.
    fn reads_until(&mut self, text: &str) -> Vec<String> {
        let mut shown = Vec::new();
        while !shown.last().is_some_and(|line: &String| line.contains(text)) {
            let line = self.lines.next().unwrap_or_else(|| panic!("{text:?} was never shown: {shown:#?}"));
            shown.push(line.unwrap());
        }
        shown
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listens(node: &NodeAddr) -> bool {
    TcpStream::connect(node.authority()).is_ok()
}

#[test]
fn up_stops_its_nodes_and_dies_by_the_signal() {
    for (signal, number) in [("-INT", 2), ("-TERM", 15), ("-HUP", 1)] {
        let mut up = Up::start("2");
        assert!(up.nodes.iter().all(listens));
        send(up.child.id(), signal);
        assert_eq!(up.child.wait().unwrap().signal(), Some(number));
        assert!(!up.nodes.iter().any(listens), "{signal}");
    }
}

#[tokio::test]
async fn killing_up_ends_its_nodes_and_the_nodes_that_they_spawned() {
    let mut up = Up::start("3");
    let asking = node().await;
    let spawn = Remote::new("status", "spawn").on(up.nodes[0].clone());
    let patient = asking.with_deadline(PATIENCE);
    let spawned = patient.comm().send((free().to_value(),), &spawn).await.unwrap();
    up.nodes.push(NodeAddr::from_value(&spawned).unwrap());
    assert!(up.nodes.iter().all(listens));
    send(up.child.id(), "-KILL");
    until("all have ended", async || !up.nodes.iter().any(listens)).await;
    asking.stop().await;
}

#[test]
fn up_reports_which_node_died_and_how() {
    let mut up = Up::start("3");
    let (killed, _) = children(up.child.id()).into_iter().find(|(_, name)| name == "chinwag").unwrap();
    send(killed, "-KILL");
    let shown = up.reads_until("has ended").pop().unwrap();
    assert!(shown.contains(&format!("(process {killed}) has ended: signal: 9")), "{shown}");
    let dead = up.nodes.iter().find(|node| shown.contains(&format!("{} at {node} ", node.sid()))).cloned();
    let dead = dead.unwrap_or_else(|| panic!("none of {:?}: {shown}", up.nodes));
    assert!(!listens(&dead));
    // it also reports a node that stops
    let other = up.nodes.iter().find(|node| **node != dead).unwrap().clone();
    raw(other.authority().parse().unwrap(), &put("/local/status/stop", "[]"));
    let shown = up.reads_until("has ended").pop().unwrap();
    assert!(shown.contains(&other.to_string()) && shown.contains("exit status: 0"), "{shown}");
    send(up.child.id(), "-INT");
    up.child.wait().unwrap();
    // it does not report the nodes that it stops itself
    assert!(up.lines.all(|line| !line.unwrap().contains("has ended")));
}

/// Waits until a peer has left or failed, and returns the name of that event.
async fn gone(events: &mut chinwag::membership::Events, peer: &NodeAddr) -> &'static str {
    let waiting = async {
        while let Some(event) = events.next().await {
            let about = event.peer().is_some_and(|about| about.nid == peer.nid());
            if about && matches!(event, Event::Left(_) | Event::Failed { .. }) {
                return event.name();
            }
        }
        "nothing more"
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the peer leaves or fails")
}

#[cfg(feature = "scripts")]
#[tokio::test]
async fn a_prompt_leaves_its_groups_and_dies_by_the_signal() {
    let other = node().await;
    for (signal, number) in [("-HUP", 1), ("-TERM", 15)] {
        let mut events = other.events().await.unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["repl", "--port", "0", "--join", &other.addr().to_string()]);
        let mut prompt = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut joined = None;
        while let Some(event) = events.next().await {
            if let Event::Joined(peer) = event {
                joined = Some(peer.node);
                break;
            }
        }
        let joined = joined.unwrap();
        // this node knows the newcomer before the newcomer knows this node
        let get = Remote::new("groups", "get").on(joined.clone());
        until("it has joined", async || {
            let all = other.comm().send(("all",), &get).await.unwrap();
            all.get(other.sid().as_str()).is_some()
        })
        .await;
        send(prompt.id(), signal);
        assert_eq!(gone(&mut events, &joined).await, "left");
        assert_eq!(prompt.wait().unwrap().signal(), Some(number));
    }
    other.stop().await;
}

#[test]
fn a_node_started_with_nohup_survives_a_hangup() {
    let nohup = format!("trap '' HUP; exec {PROGRAM} --json --port 0");
    let mut process = Process::up(Command::new("sh").args(["-c", &nohup]));
    process.signal("-HUP");
    // the process ignored the first signal, or it would have died by it
    process.signal("-TERM");
    assert_eq!(process.ended().signal(), Some(15));
}

#[tokio::test]
async fn an_embedded_node_leaves_its_groups_when_its_host_ends() {
    let other = node().await;
    // the server ends the actix system, the application ends it, or the program just returns
    for host in ["server", "system", "program"] {
        let mut events = other.events().await.unwrap();
        let seed = other.addr().to_string();
        let (say, said) = tokio::sync::oneshot::channel();
        let running = std::thread::spawn(move || {
            let system = System::new();
            system.block_on(async move {
                let node = Node::builder().port(0).join(seed).start().await.unwrap();
                let app = || App::new().default_service(web::to(HttpResponse::Ok));
                let server = HttpServer::new(app).workers(1).disable_signals().system_exit();
                let server = server.bind("127.0.0.1:0").unwrap().run();
                let handle = server.handle();
                let serving = actix_web::rt::spawn(server);
                let all = node.group("all");
                until("it has joined", async || all.members().await.is_ok_and(|members| members.len() == 2)).await;
                say.send(node.addr().clone()).unwrap();
                match host {
                    "server" => {
                        handle.stop(true).await;
                        serving.await.unwrap().unwrap();
                    }
                    "system" => System::current().stop(),
                    _ => {}
                }
            });
        });
        let peer = said.await.unwrap();
        assert_eq!(gone(&mut events, &peer).await, "left", "{host}");
        running.join().unwrap();
        assert!(!listens(&peer), "{host}: the system ends after the node");
    }
    other.stop().await;
}

#[tokio::test]
async fn process_1_reaps_orphans_and_forwards_signals() {
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
        command
    };
    let permitted = unshare().arg("true").output().is_ok_and(|output| output.status.success());
    if !permitted {
        println!("skipped: this system permits no process namespaces");
        return;
    }
    // the shell is process 1 and has orphans; then it becomes the node
    let asking = node().await;
    let mut events = asking.events().await.unwrap();
    let join = asking.addr();
    let script = format!("(sleep 0.05 &); (sleep 0.1 &); exec {PROGRAM} --json --port 0 --join {join}");
    let mut process = Process::up(unshare().args(["sh", "-c", &script]));
    // process 1 of the namespace is the only child of unshare
    let (first, _) = children(process.child.id()).pop().unwrap();
    until("the orphans are reaped", async || !children(first).iter().any(|(_, name)| name.contains("sleep"))).await;
    // process 1 does not reap the children of the node
    let patient = asking.with_deadline(PATIENCE);
    let at = |method| Remote::new("status", method).on(process.node.clone());
    let spawned = patient.comm().send((free().to_value(),), &at("spawn")).await.unwrap();
    assert!(listens(&NodeAddr::from_value(&spawned).unwrap()));
    let all = asking.group("all");
    until("it has joined", async || all.members().await.is_ok_and(|members| members.len() > 1)).await;
    send(first, "-TERM");
    assert_eq!(gone(&mut events, &process.node).await, "left");
    assert_eq!(process.ended().code(), Some(128 + 15));
    assert!(!listens(&process.node));
    asking.stop().await;
}
