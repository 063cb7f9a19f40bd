//! Membership over real connections: nodes that are killed, stopped, restarted, busy, removed or never existed, and
//! nodes that join or leave. The tests also check which events the application receives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use chinwag::{
    Call, ErrorKind, Gid, Lasting, Nid, Node, NodeAddr, Remote, Value,
    membership::{Event, Settings},
    protocol::swim::Status,
};
use support::{
    network::{sees, status},
    process::{Process, node_command},
    *,
};

/// The protocol period of all nodes, in milliseconds. A shorter one would be too short for a machine that compiles at
/// the same time.
const PERIOD: &str = "200";

fn quick() -> Settings {
    Settings::paced(Duration::from_millis(PERIOD.parse().unwrap()))
}

async fn quick_nodes(count: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(Node::builder().port(0).service(counter()).membership(quick()).start().await.unwrap());
    }
    nodes
}

/// A command that runs a node with the protocol period of the tests. Nobody reads what the node logs.
fn quick_command(arguments: &[&str]) -> Command {
    let mut command = node_command(&[&["--probe-interval", PERIOD], arguments].concat());
    command.stderr(Stdio::null());
    command
}

fn quick_process() -> Process {
    Process::up(&mut quick_command(&["--port", "0"]))
}

/// An address where nobody listens, now or later. Another test could take a port that is merely free.
fn nowhere() -> NodeAddr {
    NodeAddr::new("127.0.0.1", 1)
}

/// The events that a subscriber of a node has received so far.
#[derive(Clone)]
struct Events(Arc<Mutex<Vec<Event>>>);

impl Events {
    async fn of(node: &Node) -> Events {
        let mut stream = node.events().await.unwrap();
        let events = Events(Arc::default());
        let list = events.0.clone();
        tokio::spawn(async move {
            while let Some(event) = stream.next().await {
                list.lock().unwrap().push(event);
            }
        });
        events
    }

    /// The names of the events about a node, in order.
    fn about(&self, nid: Nid) -> Vec<&'static str> {
        let events = self.0.lock().unwrap();
        events.iter().filter(|event| event.peer().is_some_and(|peer| peer.nid == nid)).map(Event::name).collect()
    }

    async fn include(&self, nid: Nid, name: &str) {
        until(&format!("the event {name}"), async || self.about(nid).contains(&name)).await;
    }
}

/// Puts a group of nodes in this process and of others on each of them, and waits until the nodes have heard from each
/// other.
async fn put_group(nodes: &[Node], others: &[NodeAddr], gid: &str) {
    let members: Vec<NodeAddr> = addresses(nodes).into_iter().chain(others.iter().cloned()).collect();
    for node in nodes {
        node.groups().put(gid, members.clone()).await.unwrap();
    }
    let asking = &nodes[0];
    for other in others {
        let set = asking.groups().get(gid).await.unwrap();
        let put = Call::new(Gid::local(), "groups", "put", vec![Value::from(gid), set.to_value()]);
        // a node that does not exist does not answer
        let _ = asking.call_on(other, put).await;
    }
    for node in nodes {
        for other in nodes {
            let alive = async || status(node, other.nid()).await == Some(Status::Alive);
            until("the nodes know each other", alive).await;
        }
    }
}

/// Waits until each of these nodes regards another one as alive.
async fn until_alive(nodes: &[Node], nid: Nid) {
    for node in nodes {
        until("it is alive", async || status(node, nid).await == Some(Status::Alive)).await;
    }
}

#[tokio::test]
async fn a_killed_node_is_removed_and_every_subscriber_receives_one_failed_event() {
    let nodes = quick_nodes(3).await;
    let victim = quick_process();
    let nid = victim.node.nid();
    put_group(&nodes, std::slice::from_ref(&victim.node), "g").await;
    until_alive(&nodes, nid).await;
    let mut events = Vec::new();
    for node in [&nodes[0], &nodes[0], &nodes[1], &nodes[2]] {
        events.push(Events::of(node).await);
    }
    drop(victim);
    for (node, events) in nodes.iter().chain(&nodes).zip(&events) {
        events.include(nid, "failed").await;
        until("it is gone", async || !sees(node, "g", nid).await && !sees(node, "all", nid).await).await;
    }
    for events in &events {
        assert_eq!(events.about(nid).last(), Some(&"failed"));
        assert_eq!(events.about(nid).iter().filter(|name| **name == "failed").count(), 1);
        let changed = events.0.lock().unwrap().iter().filter(|event| event.name() == "groupChanged").count();
        assert_eq!(changed, 2, "g and all");
    }
    assert_eq!(nodes[0].groups().get("g").await.unwrap().len(), 3);
    stop(nodes).await;
}

#[tokio::test]
async fn a_suspended_node_that_resumes_in_time_is_not_removed() {
    let nodes = quick_nodes(3).await;
    let slow = quick_process();
    let nid = slow.node.nid();
    put_group(&nodes, std::slice::from_ref(&slow.node), "g").await;
    until_alive(&nodes, nid).await;
    let events = Events::of(&nodes[0]).await;
    slow.signal("-STOP");
    events.include(nid, "suspected").await;
    slow.signal("-CONT");
    events.include(nid, "refuted").await;
    until_alive(&nodes, nid).await;
    assert!(!events.about(nid).contains(&"failed"));
    assert!(sees(&nodes[1], "g", nid).await);
    stop(nodes).await;
}

#[tokio::test]
async fn a_removed_node_that_resumes_returns_to_the_groups_that_no_operator_changed() {
    let nodes = quick_nodes(3).await;
    let away = quick_process();
    let nid = away.node.nid();
    put_group(&nodes, std::slice::from_ref(&away.node), "g").await;
    for node in &nodes {
        node.groups().put("h", [away.node.clone()]).await.unwrap();
    }
    until_alive(&nodes, nid).await;
    let events = Events::of(&nodes[1]).await;
    away.signal("-STOP");
    for node in &nodes {
        until("it is gone", async || !sees(node, "g", nid).await && !sees(node, "h", nid).await).await;
    }
    // what an operator changes meanwhile stays: one node no longer has it in g, and another no longer has h
    nodes[0].groups().rem("g", away.node.sid().as_str()).await.unwrap();
    nodes[2].groups().del("h").await.unwrap();
    away.signal("-CONT");
    events.include(nid, "rejoined").await;
    for node in &nodes {
        until("it is back", async || sees(node, "all", nid).await).await;
    }
    until_alive(&nodes, nid).await;
    assert_eq!(events.about(nid), ["suspected", "failed", "rejoined"]);
    assert!(!sees(&nodes[0], "g", nid).await && sees(&nodes[1], "g", nid).await && sees(&nodes[2], "g", nid).await);
    assert!(sees(&nodes[0], "h", nid).await && sees(&nodes[1], "h", nid).await && !sees(&nodes[2], "h", nid).await);
    stop(nodes).await;
}

#[tokio::test]
async fn a_restarted_node_rejoins_with_a_higher_incarnation() {
    let nodes = quick_nodes(2).await;
    let seed = nodes[0].addr().authority();
    let first = quick_process();
    let (nid, port) = (first.node.nid(), first.node.port().to_string());
    put_group(&nodes, std::slice::from_ref(&first.node), "g").await;
    until_alive(&nodes, nid).await;
    let events = Events::of(&nodes[1]).await;
    let lives = || -> Vec<u64> {
        let events = events.0.lock().unwrap();
        events.iter().filter_map(|e| e.peer().filter(|peer| peer.nid == nid)).map(|p| p.incarnation.life).collect()
    };

    // restarted after the others removed it
    drop(first);
    events.include(nid, "failed").await;
    let second = Process::up(&mut quick_command(&["--port", &port, "--join", &seed]));
    events.include(nid, "rejoined").await;
    for node in &nodes {
        until("it is back", async || sees(node, "g", nid).await).await;
    }
    // the new process does not know the group, and learns it from its seed
    let asked = Call::new(Gid::local(), "groups", "get", vec![Value::from("g")]);
    until("it knows the group", async || {
        let set = nodes[0].call_on(&second.node, asked.clone()).await;
        set.is_ok_and(|set| set.into_value().as_object().is_some_and(|set| set.len() == 3))
    })
    .await;
    let before = lives();
    assert!(before.windows(2).all(|pair| pair[0] <= pair[1]) && before.first() < before.last(), "{before:?}");

    // restarted before the others notice
    drop(second);
    let _third = Process::up(&mut quick_command(&["--port", &port, "--join", &seed]));
    until("it has a new incarnation", async || lives().last() > before.last()).await;
    until_alive(&nodes, nid).await;
    stop(nodes).await;
}

#[tokio::test]
async fn busy_and_unreachable_members_stay_and_an_expelled_member_stays_out() {
    let mut nodes = quick_nodes(3).await;
    let mut settings = chinwag::actors::settings::Settings::from(quick());
    settings.calls_in_flight = 1;
    nodes.push(Node::builder().port(0).service(counter()).settings(settings).start().await.unwrap());
    let (made_up, victim) = (nowhere(), quick_process());
    put_group(&nodes, &[made_up.clone(), victim.node.clone()], "g").await;
    let busy = nodes.pop().unwrap();
    until_alive(&nodes, victim.node.nid()).await;

    // a call that never ends takes the only permit of the node
    let stuck = busy.clone();
    tokio::spawn(async move {
        let patient = stuck.with_deadline(Duration::from_secs(60));
        // repeated until it has the permit
        while patient.call(Gid::local(), "counter", "never", ()).await.is_err_and(|why| why.kind == ErrorKind::Busy) {}
    });
    let full = Call::new(Gid::local(), "counter", "count", Vec::new());
    let refused = async || busy.handle().dispatch(full.clone()).await.is_err_and(|why| why.kind == ErrorKind::Busy);
    until("it is full", refused).await;
    // an operator of one of two other nodes removes the other
    let (one, other) = (&nodes[0], &nodes[1]);
    one.groups().rem("all", other.sid().as_str()).await.unwrap();

    let events = Events::of(one).await;
    let nid = victim.node.nid();
    drop(victim);
    // the verdict on the victim takes longer than everything else that is checked below
    for node in &nodes {
        until("the victim is gone", async || !sees(node, "g", nid).await).await;
    }
    for node in &nodes {
        assert_ne!(status(node, busy.nid()).await, Some(Status::Failed));
        assert_eq!(status(node, made_up.nid()).await, Some(Status::Unreachable));
        assert!(sees(node, "g", made_up.nid()).await && sees(node, "g", busy.nid()).await);
    }
    assert!(events.about(made_up.nid()).iter().all(|name| *name == "unreachable"));
    assert!(refused().await);
    assert_eq!(status(one, other.nid()).await, Some(Status::Expelled));
    assert!(!sees(one, "all", other.nid()).await && sees(one, "g", other.nid()).await);
    // the same operator makes it a member again
    one.groups().add("all", other.addr().clone()).await.unwrap();
    until_alive(std::slice::from_ref(one), other.nid()).await;
    busy.stop().await;
    stop(nodes).await;
}

#[tokio::test]
async fn nodes_that_stop_or_leave_are_reported_as_left_and_not_as_failed() {
    let mut nodes = quick_nodes(4).await;
    let process = quick_process();
    put_group(&nodes, std::slice::from_ref(&process.node), "g").await;
    until_alive(&nodes, process.node.nid()).await;
    let (stopped, left) = (nodes.pop().unwrap(), nodes.pop().unwrap());
    let mut events = Vec::new();
    for node in &nodes {
        events.push(Events::of(node).await);
    }
    stopped.stop().await;
    left.membership().leave().await.unwrap();
    process.signal("-TERM");
    for (node, events) in nodes.iter().zip(&events) {
        for nid in [stopped.nid(), left.nid(), process.node.nid()] {
            events.include(nid, "left").await;
            until("it is gone", async || !sees(node, "g", nid).await && !sees(node, "all", nid).await).await;
            assert!(!events.about(nid).contains(&"failed"));
            assert_eq!(status(node, nid).await, Some(Status::Left));
        }
    }
    left.stop().await;
    stop(nodes).await;
}

#[tokio::test]
async fn one_of_two_members_removes_the_other_alone() {
    let nodes = quick_nodes(1).await;
    let other = quick_process();
    put_group(&nodes, std::slice::from_ref(&other.node), "pair").await;
    let nid = other.node.nid();
    until_alive(&nodes, nid).await;
    drop(other);
    until("it is gone", async || !sees(&nodes[0], "pair", nid).await).await;
    assert_eq!(status(&nodes[0], nid).await, Some(Status::Failed));
    stop(nodes).await;
}

#[tokio::test]
async fn newcomers_and_members_learn_of_each_other() {
    let start = async |seeds: &[String]| {
        let builder = Node::builder().port(0).membership(quick()).group("web");
        seeds.iter().fold(builder, |builder, seed| builder.join(seed)).start().await.unwrap()
    };
    let mut nodes = vec![start(&[]).await];
    let listed = nowhere();
    let first = nodes[0].addr().clone();
    let dead = nowhere().to_string();
    nodes.push(start(&[dead.clone(), first.to_string()]).await);
    // through a host name, and through a node that is not the first member
    nodes.push(start(&[format!("localhost:{}", first.port())]).await);
    nodes.push(start(&[nodes[1].addr().to_string()]).await);
    for node in &nodes {
        for other in &nodes {
            let knows = async || sees(node, "all", other.nid()).await && sees(node, "web", other.nid()).await;
            until("they know each other", knows).await;
        }
        assert_eq!(node.groups().get("all").await.unwrap().len(), 4);
    }
    nodes[0].groups().put("listed", [listed.clone()]).await.unwrap();
    let seed = first.to_string();
    let arguments = ["--port", "0", "--join", &dead, "--join", &seed, "--group", "web"];
    let mut process = Process::up(quick_command(&arguments).stderr(Stdio::piped()));
    let nid = process.node.nid();
    for node in &nodes {
        until("they know it", async || sees(node, "all", nid).await && sees(node, "web", nid).await).await;
    }
    process.signal("-TERM");
    let mut said = String::new();
    process.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(
        said.contains(&format!("cannot join through {dead}")) && said.contains(&format!("trying {seed}")),
        "{said}"
    );
    stop(nodes).await;
}

#[tokio::test]
async fn a_newcomer_retries_until_its_seed_starts() {
    let late = free();
    let waiting = Node::builder().port(0).membership(quick()).join(late.to_string()).start().await.unwrap();
    let seed = Node::builder().port(late.port()).membership(quick()).start().await.unwrap();
    for (node, other) in [(&waiting, &seed), (&seed, &waiting)] {
        until("they have met", async || sees(node, "all", other.nid()).await).await;
    }
    stop(vec![waiting, seed]).await;
}

#[tokio::test]
async fn invalid_membership_settings_are_refused_at_the_start() {
    for (builder, says) in [
        (Node::builder().join("nowhere"), "nowhere"),
        (Node::builder().join("host:x"), "host:x"),
        (Node::builder().group("a/b"), "a/b"),
        (Node::builder().group("all"), "all"),
        (Node::builder().membership(Settings::paced(Duration::from_millis(1))), "probe_interval"),
    ] {
        let error = builder.port(0).start().await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_node_without_membership_is_probed_and_sent_removals_as_group_calls() {
    let nodes = quick_nodes(2).await;
    let passive = Node::builder().port(0).membership(Settings::off()).start().await.unwrap();
    let victim = quick_process();
    put_group(&nodes, &[passive.addr().clone(), victim.node.clone()], "g").await;
    until_alive(&nodes, passive.nid()).await;
    until_alive(&nodes, victim.node.nid()).await;
    assert_eq!(kind(passive.membership().list().await), ErrorKind::UnknownService);
    assert_eq!(passive.events().await.unwrap_err().kind, ErrorKind::Unsupported);
    let nid = victim.node.nid();
    drop(victim);
    until("the removal reaches it", async || !sees(&passive, "g", nid).await && !sees(&passive, "all", nid).await)
        .await;
    // it does not announce its end, so that the others detect it
    passive.stop().await;
    let events = Events::of(&nodes[0]).await;
    events.include(passive.nid(), "failed").await;
    stop(nodes).await;
}

#[tokio::test]
async fn a_subscribed_function_is_called_with_each_event_in_order() {
    let nodes = quick_nodes(2).await;
    let heard: Arc<Mutex<Vec<Value>>> = Arc::default();
    let list = heard.clone();
    let function = nodes[1].create_rpc(Lasting::Always, move |arguments| {
        let list = list.clone();
        async move {
            list.lock().unwrap().extend(arguments);
            Ok(Value::Null)
        }
    });
    let function = function.await.unwrap();
    let id = nodes[0].membership().subscribe(function).await.unwrap();
    nodes[0].groups().put("g", [nodes[1].addr().clone()]).await.unwrap();
    nodes[0].groups().del("g").await.unwrap();
    let names = || -> Vec<String> {
        let heard = heard.lock().unwrap();
        heard.iter().filter_map(|event| Some(event.get("event")?.as_str()?.to_owned())).collect()
    };
    until("it receives all events", async || names().iter().any(|name| name == "joined")).await;
    until("it receives all events", async || names().len() == 4).await;
    let groups =
        heard.lock().unwrap().iter().filter_map(|e| Some(e.get("gid")?.as_str()?.to_owned())).collect::<Vec<_>>();
    assert_eq!(groups, ["g", "all", "g"]);
    nodes[0].membership().unsubscribe(&id).await.unwrap();
    assert_eq!(kind(nodes[0].membership().unsubscribe(&id).await), ErrorKind::NotFound);
    let bad = nodes[0].call(Gid::local(), "membership", "subscribe", (3,)).await;
    assert_eq!(kind(bad), ErrorKind::BadArgument);
    stop(nodes).await;
}

#[tokio::test]
async fn events_are_streamed_over_http_until_the_node_stops() {
    let nodes = quick_nodes(2).await;
    let open = |host: &str| {
        let mut stream = TcpStream::connect(nodes[0].addr().authority()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /local/membership/events HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        let mut head = String::new();
        let mut reader = BufReader::new(stream);
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
        }
        (head.to_lowercase(), reader)
    };
    let (head, _) = open("evil.example");
    assert!(head.starts_with("http/1.1 403"), "{head}");
    let (head, mut stream) = open("localhost");
    assert!(head.starts_with("http/1.1 200") && head.contains("content-type: text/event-stream"), "{head}");
    nodes[0].groups().put("g", [nodes[1].addr().clone()]).await.unwrap();
    until_alive(&nodes[..1], nodes[1].nid()).await;
    let stopping = nodes[0].clone();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    });
    stopping.stop().await;
    let text = reading.join().unwrap();
    for part in ["event: groupChanged\ndata: {", "event: joined\ndata: {", &nodes[1].nid().to_string()] {
        assert!(text.contains(part), "{text}");
    }
    assert!(text.ends_with("0\r\n\r\n"), "the last chunk is missing: {text:?}");
    nodes[1].stop().await;
}

#[tokio::test]
async fn a_stream_without_events_sends_heartbeats() {
    let mut settings = quick();
    settings.heartbeat = Duration::from_millis(5);
    let node = Node::builder().port(0).membership(settings).start().await.unwrap();
    let authority = node.addr().authority();
    let reading = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(&authority).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /local/membership/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        // the first comment starts the stream, and the others are heartbeats
        BufReader::new(stream).lines().map(|line| line.unwrap()).filter(|line| line == ":").take(4).count()
    });
    assert_eq!(reading.await.unwrap(), 4);
    node.stop().await;
}

#[tokio::test]
async fn a_node_that_closes_without_a_farewell_is_removed_as_failed() {
    let mut nodes = quick_nodes(3).await;
    put_group(&nodes, &[], "g").await;
    let crashed = nodes.pop().unwrap();
    let mut events = crashed.events().await.unwrap();
    crashed.handle().close().await;
    assert_eq!(events.next().await, None);
    for node in &nodes {
        until("it is gone", async || !sees(node, "g", crashed.nid()).await).await;
        assert_eq!(status(node, crashed.nid()).await, Some(Status::Failed));
    }
    crashed.stop().await;
    stop(nodes).await;
}

#[tokio::test]
async fn malformed_protocol_requests_are_refused() {
    let nodes = quick_nodes(1).await;
    let node = &nodes[0];
    for method in ["sync", "news", "relay", "listing"] {
        for argument in [Value::Undefined, Value::from(3), Value::from(vec![Value::Null])] {
            assert_eq!(kind(node.call(Gid::local(), "gossip", method, vec![argument]).await), ErrorKind::BadArgument);
        }
    }
    // a node answers a ping from anybody
    let answer = node.comm().send((), &Remote::new("gossip", "ping").on(node.addr().clone())).await.unwrap();
    assert!(answer.get("life").and_then(Value::as_f64).is_some_and(|life| life > 0.0));
    stop(nodes).await;
}
