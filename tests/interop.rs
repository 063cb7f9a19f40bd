//! Nodes of the JavaScript reference as peers: in one group with nodes of ours, each calling the other.
//!
//! Needs Node.js, and `npm ci` in `tests/interop`; without either each test says that it was skipped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use chinwag::{
    Answer, Call, ErrorKind, Gid, GroupReply, Lasting, Nid, Node, NodeAddr, Remote, Value, membership,
    protocol::{
        call::Reply,
        group::Group,
        swim::Status,
        value::{self, Object},
    },
};
use support::*;

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/interop")
}

/// Whether there is a reference to talk to. CI sets `CHINWAG_INTEROP=required`, so that nothing is skipped there.
fn available() -> bool {
    let node =
        Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    let installed = home().join("node_modules/@brown-ds/distribution").is_dir();
    if node && installed {
        return true;
    }
    let lacking = if node { "`npm ci` was not run in tests/interop" } else { "there is no `node`" };
    assert!(std::env::var("CHINWAG_INTEROP").is_err(), "the interop suite is required, and {lacking}");
    eprintln!("SKIPPED: {lacking}");
    false
}

/// A node of the reference, ended when dropped.
struct Reference {
    child: Child,
    node: NodeAddr,
}

impl Reference {
    fn start() -> Reference {
        // it takes no port 0: one that is free now
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new("node")
            .current_dir(home())
            .args(["peer.js", "--ip", "127.0.0.1", "--port", &port.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let up: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("it is not up: {line:?}"));
        let node = NodeAddr::new("127.0.0.1", port);
        assert_eq!(up["sid"].as_str(), Some(node.sid().as_str()), "both derive the same SID");
        Reference { child, node }
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two of ours and two of theirs, in one group `mixed` on all of them.
async fn mixed() -> (Vec<Node>, Vec<Reference>) {
    let ours = nodes(2).await;
    let theirs: Vec<Reference> = (0..2).map(|_| Reference::start()).collect();
    let members = addresses(&ours).into_iter().chain(theirs.iter().map(|peer| peer.node.clone()));
    let members: Vec<NodeAddr> = members.collect();
    ours[0].groups().put("mixed", members.clone()).await.unwrap();
    let told = ours[0].group("mixed").groups().put("mixed", members).await.unwrap();
    assert_eq!((told.values.len(), told.errors.len()), (4, 0), "{:?}", told.errors);
    (ours, theirs)
}

#[tokio::test]
async fn a_mixed_group_is_called_as_one() {
    if !available() {
        return;
    }
    let (ours, theirs) = mixed().await;
    let g = ours[0].group("mixed");
    let sids: GroupReply = g.status().get("sid").await.unwrap().try_into().unwrap();
    assert_eq!((sids.values.len(), sids.errors.len()), (4, 0));
    assert!(sids.values.iter().all(|(sid, value)| *value == Value::from(sid.as_str())));
    let heap = g.status().heap_total().await.unwrap();
    assert!(heap.errors.is_empty() && heap.value > 10_000_000, "Node.js alone holds as much: {}", heap.value);
    // the group's service there, as that node sees the group
    let to = Remote::new("status", "get").of(Gid::new("mixed").unwrap()).on(theirs[0].node.clone());
    let seen = ours[1].comm().send(("ip",), &to).await.unwrap();
    assert_eq!(seen.as_object().unwrap().len(), 4);
    // what they refuse is an error here, under their own words
    let bogus: GroupReply = g.status().get("bogus").await.unwrap().try_into().unwrap();
    assert_eq!(bogus.errors.len(), 4);
    // a node of theirs that ends costs one error
    drop(theirs);
    let sids: GroupReply = g.status().get("sid").await.unwrap().try_into().unwrap();
    assert_eq!((sids.values.len(), sids.errors.len()), (2, 2));
    stop(ours).await;
}

#[tokio::test]
async fn they_call_services_of_ours() {
    if !available() {
        return;
    }
    let (ours, theirs) = mixed().await;
    // comm.send of the group, asked of a node of theirs: it calls every member, ours among them
    let send = Remote::new("comm", "send").of(Gid::new("mixed").unwrap()).on(theirs[0].node.clone());
    let remote: Object = [("service", "counter"), ("method", "count")].into_iter().collect();
    let arguments = (Vec::<Value>::new(), Value::Object(remote));
    let counted = ours[0].comm().send(arguments, &send).await.unwrap();
    assert_eq!(counted.as_object().unwrap().len(), 2, "the two that have a counter: {counted:?}");
    for node in &ours {
        let read = node.call(Gid::local(), "counter", "read", ()).await.unwrap();
        assert_eq!(read.into_value(), Value::from(1));
    }
    stop(ours).await;
}

#[tokio::test]
async fn callbacks_go_both_ways() {
    if !available() {
        return;
    }
    let (ours, theirs) = mixed().await;
    // a closure of ours as a service of theirs
    let echo =
        ours[0].create_rpc(Lasting::Always, |arguments| async move { Ok(Value::from(arguments)) }).await.unwrap();
    let service = Value::Object([("echo", Value::Function(echo))].into_iter().collect());
    let put = Remote::new("routes", "put").on(theirs[0].node.clone());
    ours[0].comm().send((service, "ours"), &put).await.unwrap();
    let call = Remote::new("ours", "echo").on(theirs[0].node.clone());
    let answer = ours[1].comm().send(("x", 3), &call).await.unwrap();
    assert_eq!(answer, Value::from(vec![Value::from("x"), Value::from(3)]));
    // values of every kind arrive there and come back as they were
    // what is shared stays shared; what is cyclic would end the reference, which logs its calls as JSON
    let mut shared = Object::new();
    shared.insert("first", Object::from_iter([("k", 1)]));
    shared.insert("second", value::Reference::new(1, ["first"]));
    let kinds = Value::from(vec![
        Value::Undefined,
        Value::Null,
        Value::from(true),
        Value::from(-0.5),
        Value::from("héllo 🐦"),
        Value::Date(value::Date::new(1_700_000_000_123)),
        Value::Object(shared),
    ]);
    let answer = ours[1].comm().send((kinds.clone(),), &call).await.unwrap();
    assert_eq!(answer, Value::from(vec![kinds]));
    stop(ours).await;
}

#[tokio::test]
async fn gossip_reaches_ours_and_theirs() {
    if !available() {
        return;
    }
    let (ours, theirs) = mixed().await;
    let asking = node().await;
    let members = addresses(&ours).into_iter().chain(theirs.iter().map(|peer| peer.node.clone()));
    asking.groups().put("mixed", members.collect::<Vec<_>>()).await.unwrap();
    let heard = async || asking.call(Gid::local(), "counter", "read", ()).await.unwrap().into_value().as_f64().unwrap();
    for round in 1..=3 {
        // the handout's rumor: every node that hears it calls the counter of the one that asks
        let counter = Remote::new("counter", "count").on(asking.addr().clone()).to_value();
        let message = (Vec::<Value>::new(), counter);
        let _ = asking.group("mixed").gossip().send(message, &Remote::new("comm", "send")).await.unwrap();
        until("all four have heard", async || heard().await >= f64::from(4 * round)).await;
    }
    // theirs send, ours pass it on
    let send = Remote::new("gossip", "send").of(Gid::new("mixed").unwrap()).on(theirs[1].node.clone());
    let counter = Remote::new("counter", "count").on(asking.addr().clone()).to_value();
    let message = Value::from(vec![Value::from(Vec::<Value>::new()), counter]);
    let before = heard().await;
    asking.comm().send((message, Remote::new("comm", "send").to_value()), &send).await.unwrap();
    until("ours have heard", async || heard().await >= before + 2.0).await;
    asking.stop().await;
    stop(ours).await;
}

#[tokio::test]
async fn their_sender_hears_what_its_first_peers_performed() {
    if !available() {
        return;
    }
    let ours = nodes(8).await;
    let theirs = Reference::start();
    group(&ours, "g").await;
    let asking = &ours[0];
    let there = Remote::new("groups", "put").on(theirs.node.clone());
    asking.comm().send(("g", Group::from_iter(addresses(&ours)).to_value()), &there).await.unwrap();
    // relays of ours are faster than the sender's own loop
    let remote = Remote::new("status", "get").to_value();
    for round in 0..20 {
        let arguments = vec![Value::from(vec![Value::from("sid"), Value::from(round)]), remote.clone()];
        let call = Call::new(Gid::new("g").unwrap(), "gossip", "send", arguments);
        let reply: GroupReply = asking.call_on(&theirs.node, call).await.unwrap().try_into().unwrap();
        assert!(reply.errors.is_empty(), "round {round}: {:?}", reply.errors);
        // ceil(ln 8), each with its own answer
        assert_eq!(reply.values.len(), 3);
        assert!(reply.values.iter().all(|(sid, value)| *value == Value::from(sid.as_str())));
    }
    stop(ours).await;
}

/// Asks the same of a node of ours and of one of theirs. An error is equal to any other, as only its words differ; the
/// answers of a group are compared by member.
#[tokio::test]
async fn ours_and_theirs_answer_alike() {
    if !available() {
        return;
    }
    let (ours, theirs) = (node().await, Reference::start());
    let asking = node().await;
    let a = NodeAddr::new("127.0.0.1", 1).to_value();
    let nowhere = NodeAddr::new("127.0.0.1", 2);
    let b = nowhere.to_value();
    let object = |entries: Vec<(&str, Value)>| Value::Object(entries.into_iter().collect());
    let port = |port: Value| object(vec![("ip", Value::from("127.0.0.1")), ("port", port)]);
    let text = |text: &str| Value::from(text);
    let nothing = || object(vec![]);
    let status = Remote::new("status", "get").to_value();
    // in order, as each may depend on those before
    for (gid, service, method, arguments) in [
        ("local", "groups", "put", vec![text("g"), object(vec![("507aa", a.clone())])]),
        ("local", "groups", "add", vec![text("g"), a.clone()]),
        ("local", "groups", "add", vec![text("g"), a.clone()]),
        ("local", "groups", "get", vec![text("g")]),
        ("local", "groups", "rem", vec![text("g"), a.clone()]),
        ("local", "groups", "rem", vec![text("g"), text("nobody")]),
        ("local", "groups", "rem", vec![text("g"), Value::Undefined]),
        ("local", "groups", "rem", vec![text("g"), Value::from(507)]),
        ("local", "groups", "rem", vec![text("g"), text(NodeAddr::new("127.0.0.1", 1).sid().as_str())]),
        ("local", "groups", "rem", vec![text("g"), text("507aa")]),
        ("local", "groups", "rem", vec![text("none"), text("507aa")]),
        ("local", "groups", "put", vec![text("two"), object(vec![("x", a.clone()), ("y", a.clone())])]),
        ("local", "groups", "get", vec![text("two")]),
        ("local", "groups", "put", vec![text("digits"), object(vec![("12345", a.clone()), ("x", b.clone())])]),
        ("local", "groups", "rem", vec![text("digits"), Value::from(12345)]),
        ("local", "routes", "rem", vec![text("nobody")]),
        ("local", "routes", "rem", vec![object(vec![("service", text("nobody"))])]),
        ("local", "status", "spawn", vec![port(Value::from(0))]),
        ("local", "status", "spawn", vec![object(vec![("ip", text("127.0.0.1"))])]),
        ("local", "status", "spawn", vec![object(vec![("port", Value::from(9_999))])]),
        ("local", "groups", "put", vec![text("array"), Value::from(vec![b.clone(), a.clone()])]),
        ("local", "groups", "put", vec![text("remote"), object(vec![("k", b.clone()), ("l", a.clone())])]),
        ("remote", "comm", "send", vec![Value::from(Vec::<Value>::new()), nothing()]),
        ("remote", "comm", "send", vec![Value::from(Vec::<Value>::new()), object(vec![("service", text("status"))])]),
        ("remote", "comm", "send", vec![text("not an array"), status.clone()]),
        ("local", "groups", "put", vec![text("empty"), nothing()]),
        ("empty", "comm", "send", vec![Value::from(Vec::<Value>::new()), nothing()]),
        ("empty", "comm", "send", vec![Value::from(Vec::<Value>::new()), status.clone()]),
    ] {
        let call = Call::new(Gid::new(gid).unwrap(), service, method, arguments.clone());
        let shown = |reply: Reply| match reply {
            Err(_) => "an error".to_owned(),
            Ok(Answer::Value(Value::Array(array))) => {
                let keyed = (0..).zip(array.iter().flatten()).map(|(index, node)| format!("{index}: {node:?}"));
                format!("{:?}", keyed.collect::<Vec<_>>())
            }
            Ok(Answer::Value(Value::Object(object))) => {
                let keyed: BTreeMap<_, _> = object.iter().collect();
                format!("{:?}", keyed.iter().map(|(key, node)| format!("{key}: {node:?}")).collect::<Vec<_>>())
            }
            Ok(Answer::Value(value)) => format!("{value:?}"),
            Ok(Answer::Group { errors, value }) => format!("{:?} failed, {value:?}", errors.keys().collect::<Vec<_>>()),
        };
        let here = shown(asking.call_on(ours.addr(), call.clone()).await);
        let there = shown(asking.call_on(&theirs.node, call.clone()).await);
        assert_eq!(here, there, "{call} {arguments:?}");
    }
    stop(vec![ours, asking]).await;
}

#[tokio::test]
async fn ours_join_through_theirs() {
    if !available() {
        return;
    }
    let quick = membership::Settings::paced(Duration::from_millis(200));
    let start = |seed: &NodeAddr| {
        let builder = Node::builder().port(0).membership(quick.clone());
        builder.group("web").group("unknown").join(seed.to_string()).start()
    };
    let seed = Reference::start();
    // one of theirs that knows a group, and of a member that is not there
    let asking = Node::builder().port(0).membership(membership::Settings::off()).start().await.unwrap();
    let at_seed = |method: &str| Remote::new("groups", method).on(seed.node.clone());
    let made_up = NodeAddr::new("127.0.0.1", 1);
    let members: Group = [seed.node.clone(), made_up.clone()].into_iter().collect();
    asking.comm().send(("web", members.to_value()), &at_seed("put")).await.unwrap();
    let there = async |gid: &str| {
        let set = asking.comm().send((gid,), &at_seed("get")).await.unwrap();
        Group::from_value(&set).unwrap()
    };
    let knows = async |node: &Node, gid: &str, nid: Nid| node.groups().get(gid).await.is_ok_and(|g| g.contains(&nid));

    let first = start(&seed.node).await.unwrap();
    for gid in ["all", "web"] {
        until("it knows its seed", async || knows(&first, gid, seed.node.nid()).await).await;
        until("its seed knows it", async || there(gid).await.contains(&first.nid())).await;
    }
    assert!(knows(&first, "web", made_up.nid()).await, "whoever the seed takes for a member");
    // what the seed does not know begins here
    assert_eq!(first.groups().get("unknown").await.unwrap().len(), 1);

    // the second one finds the first by their seed, and is taken in by it
    let second = start(&seed.node).await.unwrap();
    for (node, other) in [(&first, &second), (&second, &first)] {
        for gid in ["all", "web", "unknown"] {
            until("they know each other", async || knows(node, gid, other.nid()).await).await;
        }
        until("it is alive", async || {
            let list = node.membership().list().await.unwrap();
            list.values().any(|member| member.node.nid() == other.nid() && member.status == Status::Alive)
        })
        .await;
    }
    until("their seed knows it", async || there("web").await.contains(&second.nid())).await;
    stop(vec![second, first, asking]).await;
}

#[tokio::test]
async fn theirs_are_told_of_who_joins_through_ours() {
    if !available() {
        return;
    }
    let quick = membership::Settings::paced(Duration::from_millis(200));
    let start = || Node::builder().port(0).membership(quick.clone()).group("web");
    let (seed, theirs) = (start().start().await.unwrap(), Reference::start());
    // each side knows the other in the group
    seed.groups().add("web", theirs.node.clone()).await.unwrap();
    let there = |method: &str| Remote::new("groups", method).on(theirs.node.clone());
    let members: Group = [theirs.node.clone(), seed.addr().clone()].into_iter().collect();
    seed.comm().send(("web", members.to_value()), &there("put")).await.unwrap();
    let newcomers = [start().join(seed.addr().to_string()), start().join(seed.addr().to_string())];
    let mut nodes = vec![seed];
    for newcomer in newcomers {
        nodes.push(newcomer.start().await.unwrap());
    }
    until("they were told", async || {
        let web = Group::from_value(&nodes[0].comm().send(("web",), &there("get")).await.unwrap()).unwrap();
        nodes.iter().all(|node| web.contains(&node.nid()))
    })
    .await;
    stop(nodes).await;
}

#[tokio::test]
async fn they_are_stopped_by_ours() {
    if !available() {
        return;
    }
    let (ours, mut theirs) = mixed().await;
    let stop_it = Remote::new("status", "stop").on(theirs[0].node.clone());
    let answer = ours[0].comm().send((), &stop_it).await;
    // it may end before it has answered
    assert!(answer.is_ok() || kind(answer) == ErrorKind::Interrupted);
    theirs[0].child.wait().unwrap();
    stop(ours).await;
}

#[test]
fn a_controller_of_theirs_spawns_and_drives_ours() {
    if !available() {
        return;
    }
    // their spawn starts `distribution.js` of the repository it runs in
    let folder = std::env::temp_dir().join(format!("chinwag-interop-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    assert!(Command::new("git").args(["init", "--quiet"]).current_dir(&folder).status().unwrap().success());
    std::fs::copy(home().join("distribution.js"), folder.join("distribution.js")).unwrap();
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let (own, ports) = (free(), [free(), free()].join(","));
    let output = Command::new("node")
        .current_dir(&folder)
        .arg(home().join("controller.js"))
        .args(["--ip", "127.0.0.1", "--port", &own])
        .env("CHINWAG", env!("CARGO_BIN_EXE_chinwag"))
        .env("PORTS", &ports)
        .output()
        .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    let last = shown.lines().last().unwrap_or_default();
    let seen: serde_json::Value =
        serde_json::from_str(last).unwrap_or_else(|_| panic!("{shown}\n{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(seen["failed"], serde_json::Value::Null, "{seen:#}");
    let expected: Vec<serde_json::Value> = ports
        .split(',')
        .map(|port| serde_json::json!({"ip": "127.0.0.1", "port": port.parse::<u16>().unwrap()}))
        .collect();
    assert_eq!(seen["configurations"], serde_json::Value::from(expected));
    assert_eq!(seen["members"], 3);
    assert_eq!(seen["sids"], seen["expected"]);
    assert!(seen["heap"].as_f64().unwrap() > 1_000_000.0);
    assert_eq!((&seen["begun"], &seen["sum"]), (&1.into(), &5.into()));
    assert_eq!((&seen["own"], &seen["relayed"]), (&seen["ownExpected"], &seen["ownExpected"]));
    // the name arrives, and the reference drops it when it makes an Error of it
    assert_eq!(seen["refused"]["message"], "I will not");
    assert_eq!(seen["source"], true);
    assert_eq!(seen["counted"], 1);
    assert!(seen["heard"].as_u64().unwrap() >= 2);
    assert_eq!(seen["stopped"], 2);
}
