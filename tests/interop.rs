//! Nodes of chinwag and of the JavaScript reference in one group, each calling the other.
//!
//! The tests need Node.js and `npm ci` in `tests/interop`. Without them, each test prints that it is skipped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
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
use support::{
    process::{PROGRAM, Process, text as printed},
    *,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/interop")
}

/// Whether the reference is installed. CI sets `CHINWAG_INTEROP=required`, so that it skips nothing.
fn available() -> bool {
    let node =
        Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    let installed = folder().join("node_modules/@brown-ds/distribution").is_dir();
    if node && installed {
        return true;
    }
    let lacking = if node { "`npm ci` was not run in tests/interop" } else { "there is no `node`" };
    assert!(std::env::var("CHINWAG_INTEROP").is_err(), "the interop suite is required, and {lacking}");
    eprintln!("SKIPPED: {lacking}");
    false
}

/// Starts a node of the reference, which cannot take port 0.
fn reference() -> Process {
    let port = free().port().to_string();
    Process::up(Command::new("node").current_dir(folder()).args(["peer.js", "--ip", "127.0.0.1", "--port", &port]))
}

/// Two nodes of chinwag and two of the reference, with the group `mixed` of all four on each of them.
async fn mixed() -> (Vec<Node>, Vec<Process>) {
    let ours = nodes(2).await;
    let theirs: Vec<Process> = (0..2).map(|_| reference()).collect();
    let members = addresses(&ours).into_iter().chain(theirs.iter().map(|peer| peer.node.clone()));
    let members: Vec<NodeAddr> = members.collect();
    ours[0].groups().put("mixed", members.clone()).await.unwrap();
    let told = ours[0].group("mixed").groups().put("mixed", members).await.unwrap();
    assert_eq!((told.values.len(), told.errors.len()), (4, 0), "{:?}", told.errors);
    (ours, theirs)
}

#[tokio::test]
async fn a_call_on_a_mixed_group_is_answered_by_all_members() {
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
    // the reference node performs the call on the group
    let to = Remote::new("status", "get").of(Gid::new("mixed").unwrap()).on(theirs[0].node.clone());
    let seen = ours[1].comm().send(("ip",), &to).await.unwrap();
    assert_eq!(seen.as_object().unwrap().len(), 4);
    // an error of the reference is an error here
    let bogus: GroupReply = g.status().get("bogus").await.unwrap().try_into().unwrap();
    assert_eq!(bogus.errors.len(), 4);
    // each reference node that has ended costs one error
    drop(theirs);
    let sids: GroupReply = g.status().get("sid").await.unwrap().try_into().unwrap();
    assert_eq!((sids.values.len(), sids.errors.len()), (2, 2));
    stop(ours).await;
}

#[tokio::test]
async fn the_reference_calls_services_of_chinwag() {
    if !available() {
        return;
    }
    let (ours, theirs) = mixed().await;
    // comm.send of the group, on a reference node, which then calls every member
    let send = Remote::new("comm", "send").of(Gid::new("mixed").unwrap()).on(theirs[0].node.clone());
    let remote: Object = [("service", "counter"), ("method", "count")].into_iter().collect();
    let arguments = (Vec::<Value>::new(), Value::Object(remote));
    let counted = ours[0].comm().send(arguments, &send).await.unwrap();
    assert_eq!(counted.as_object().unwrap().len(), 2, "only the nodes of chinwag have a counter: {counted:?}");
    for node in &ours {
        let read = node.call(Gid::local(), "counter", "read", ()).await.unwrap();
        assert_eq!(read.into_value(), Value::from(1));
    }
    stop(ours).await;
}

#[tokio::test]
async fn callbacks_and_values_cross_in_both_directions() {
    if !available() {
        return;
    }
    let (ours, theirs) = mixed().await;
    // a closure of this process as a service of the reference
    let echo =
        ours[0].create_rpc(Lasting::Always, |arguments| async move { Ok(Value::from(arguments)) }).await.unwrap();
    let service = Value::Object([("echo", Value::Function(echo))].into_iter().collect());
    let put = Remote::new("routes", "put").on(theirs[0].node.clone());
    ours[0].comm().send((service, "ours"), &put).await.unwrap();
    let call = Remote::new("ours", "echo").on(theirs[0].node.clone());
    let answer = ours[1].comm().send(("x", 3), &call).await.unwrap();
    assert_eq!(answer, Value::from(vec![Value::from("x"), Value::from(3)]));
    // Values of every kind come back unchanged, and shared parts stay shared. A cycle would end the reference, which
    // logs its calls as JSON.
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

#[cfg(feature = "scripts")]
#[tokio::test]
async fn methods_in_shorthand_that_shipped_code_sends_run_on_the_reference() {
    if !available() {
        return;
    }
    let (ours, theirs) = mixed().await;
    let source = "(node, cb) => {
        const service = {
            plain(x, cb) { cb(null, x + this.offset); },
            async waits(x, cb) { await null; cb(null, x + 2); },
            *['computed (x)'](x, cb) { yield cb; },
            get(x = 6 / 2, y, cb) { cb(null, x / 2); },
            7(x, cb) { cb(null, [...arguments].length); },
            offset: 1,
        };
        distribution.local.comm.send([service, 'shorthand'], { node, service: 'routes', method: 'put' }, cb);
    }";
    let put = value::Function::new(source);
    ours[0].apply(put, vec![theirs[0].node.to_value()]).await.unwrap();
    for (method, expected) in [("plain", 41), ("waits", 42), ("get", 20), ("7", 2)] {
        let call = Remote::new("shorthand", method).on(theirs[0].node.clone());
        let arguments = if method == "get" { vec![Value::from(40), Value::Null] } else { vec![Value::from(40)] };
        assert_eq!(ours[1].comm().send(arguments, &call).await.unwrap(), Value::from(expected), "{method}");
    }
    stop(ours).await;
}

#[tokio::test]
async fn a_gossiped_message_reaches_all_members_of_a_mixed_group() {
    if !available() {
        return;
    }
    let (ours, theirs) = mixed().await;
    let asking = node().await;
    let members = addresses(&ours).into_iter().chain(theirs.iter().map(|peer| peer.node.clone()));
    asking.groups().put("mixed", members.collect::<Vec<_>>()).await.unwrap();
    let heard = async || asking.call(Gid::local(), "counter", "read", ()).await.unwrap().into_value().as_f64().unwrap();
    for round in 1..=3 {
        // as in the handout, every node that performs the message calls the counter of the sender
        let counter = Remote::new("counter", "count").on(asking.addr().clone()).to_value();
        let message = (Vec::<Value>::new(), counter);
        let _ = asking.group("mixed").gossip().send(message, &Remote::new("comm", "send")).await.unwrap();
        until("all four have performed it", async || heard().await >= f64::from(4 * round)).await;
    }
    // a reference node sends, and nodes of chinwag relay
    let send = Remote::new("gossip", "send").of(Gid::new("mixed").unwrap()).on(theirs[1].node.clone());
    let counter = Remote::new("counter", "count").on(asking.addr().clone()).to_value();
    let message = Value::from(vec![Value::from(Vec::<Value>::new()), counter]);
    let before = heard().await;
    asking.comm().send((message, Remote::new("comm", "send").to_value()), &send).await.unwrap();
    until("both nodes of chinwag have performed it", async || heard().await >= before + 2.0).await;
    asking.stop().await;
    stop(ours).await;
}

#[tokio::test]
async fn a_sender_of_the_reference_receives_the_answers_of_its_first_peers() {
    if !available() {
        return;
    }
    let ours = nodes(8).await;
    let theirs = reference();
    group(&ours, "g").await;
    let asking = &ours[0];
    let there = Remote::new("groups", "put").on(theirs.node.clone());
    asking.comm().send(("g", Group::from_iter(addresses(&ours)).to_value()), &there).await.unwrap();
    // relays of chinwag are faster than the sender's own loop
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

/// Makes the same calls on a node of chinwag and on one of the reference. All errors count as equal, because only their
/// texts differ.
#[tokio::test]
async fn chinwag_and_the_reference_answer_calls_alike() {
    if !available() {
        return;
    }
    let (ours, theirs) = (node().await, reference());
    let asking = node().await;
    let a = NodeAddr::new("127.0.0.1", 1).to_value();
    let nowhere = NodeAddr::new("127.0.0.1", 2);
    let b = nowhere.to_value();
    let object = |entries: Vec<(&str, Value)>| Value::Object(entries.into_iter().collect());
    let port = |port: Value| object(vec![("ip", Value::from("127.0.0.1")), ("port", port)]);
    let text = |text: &str| Value::from(text);
    let nothing = || object(vec![]);
    let status = Remote::new("status", "get").to_value();
    // in order, because a call may depend on earlier ones
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
async fn nodes_of_chinwag_join_through_the_reference() {
    if !available() {
        return;
    }
    let quick = membership::Settings::paced(Duration::from_millis(200));
    let start = |seed: &NodeAddr| {
        let builder = Node::builder().port(0).membership(quick.clone());
        builder.group("web").group("unknown").join(seed.to_string()).start()
    };
    let seed = reference();
    // the reference node knows a group, which lists a member that does not exist
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
        until("the node knows its seed", async || knows(&first, gid, seed.node.nid()).await).await;
        until("the seed knows the node", async || there(gid).await.contains(&first.nid())).await;
    }
    assert!(knows(&first, "web", made_up.nid()).await, "the newcomer takes over all members that the seed lists");
    // a group that the seed does not know starts with the newcomer
    assert_eq!(first.groups().get("unknown").await.unwrap().len(), 1);

    // the second node finds the first one through the seed, and the first one admits it
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
    until("the seed knows the node", async || there("web").await.contains(&second.nid())).await;
    stop(vec![second, first, asking]).await;
}

#[tokio::test]
async fn the_reference_is_sent_the_nodes_that_join_through_chinwag() {
    if !available() {
        return;
    }
    let quick = membership::Settings::paced(Duration::from_millis(200));
    let start = || Node::builder().port(0).membership(quick.clone()).group("web");
    let (seed, theirs) = (start().start().await.unwrap(), reference());
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
    until("the reference was told", async || {
        let web = Group::from_value(&nodes[0].comm().send(("web",), &there("get")).await.unwrap()).unwrap();
        nodes.iter().all(|node| web.contains(&node.nid()))
    })
    .await;
    stop(nodes).await;
}

#[tokio::test]
async fn chinwag_stops_a_node_of_the_reference() {
    if !available() {
        return;
    }
    let (ours, mut theirs) = mixed().await;
    let stop_it = Remote::new("status", "stop").on(theirs[0].node.clone());
    let answer = ours[0].comm().send((), &stop_it).await;
    // the node may end before it has answered
    assert!(answer.is_ok() || kind(answer) == ErrorKind::Interrupted);
    theirs[0].ended();
    stop(ours).await;
}

#[test]
fn a_controller_of_the_reference_spawns_and_calls_nodes_of_chinwag() {
    if !available() {
        return;
    }
    // the spawn of the reference starts `distribution.js` of the repository that it runs in
    let repository = std::env::temp_dir().join(format!("chinwag-interop-{}", std::process::id()));
    std::fs::create_dir_all(&repository).unwrap();
    assert!(Command::new("git").args(["init", "--quiet"]).current_dir(&repository).status().unwrap().success());
    std::fs::copy(folder().join("distribution.js"), repository.join("distribution.js")).unwrap();
    let port = || free().port().to_string();
    let (own, ports) = (port(), [port(), port()].join(","));
    let output = Command::new("node")
        .current_dir(&repository)
        .arg(folder().join("controller.js"))
        .args(["--ip", "127.0.0.1", "--port", &own])
        .env("CHINWAG", PROGRAM)
        .env("PORTS", &ports)
        .output()
        .unwrap();
    std::fs::remove_dir_all(&repository).unwrap();
    let shown = printed(&output.stdout);
    let last = shown.lines().last().unwrap_or_default();
    let seen: serde_json::Value =
        serde_json::from_str(last).unwrap_or_else(|_| panic!("{shown}\n{}", printed(&output.stderr)));
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
    // the reference drops the name of the error when it turns it into an Error
    assert_eq!(seen["refused"]["message"], "I will not");
    assert_eq!(seen["source"], true);
    assert_eq!(seen["counted"], 1);
    assert!(seen["heard"].as_u64().unwrap() >= 2);
    assert_eq!(seen["stopped"], 2);
}
