//! Answers that the wire format prescribes: unusual arguments, unusual messages, and requests as the JavaScript
//! reference makes them. `interop.rs` makes the same requests on the reference itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use chinwag::{
    Answer, Call, CallError, ErrorKind, Gid, GroupConfig, GroupReply, Lasting, Node, NodeAddr, Remote, Service, Value,
    protocol::{group::Group, value::Object},
};
use support::*;
use tokio::sync::Semaphore;

/// A message in the form in which a node of the reference sends it.
fn message(gid: &str, mid: impl Into<Value>, remote: &Remote) -> Object {
    [
        ("message", Value::from(Vec::<Value>::new())),
        ("remote", remote.to_value()),
        ("mid", mid.into()),
        ("gid", Value::from(gid)),
    ]
    .into_iter()
    .collect()
}

/// The same message in the form in which a relay of chinwag passes it on.
fn relayed(mut message: Object) -> Object {
    message.insert("chinwag", object([("hop", Value::from(2)), ("age", Value::from(1)), ("quiet", Value::from(true))]));
    message
}

async fn recv(node: &Node, message: Object) -> Result<Value, CallError> {
    let answer = node.call(Gid::local(), "gossip", "recv", vec![Value::Object(message)]).await;
    answer.map(Answer::into_value)
}

#[tokio::test]
async fn invalid_arguments_are_one_error_per_member() {
    let nodes = nodes(3).await;
    group(&nodes, "g").await;
    let sids: BTreeSet<_> = nodes.iter().map(|node| node.sid()).collect();
    let none = || Value::from(Vec::<Value>::new());
    let status = Remote::new("status", "get").to_value();
    for arguments in [
        vec![none(), object([])],
        vec![none(), object([("service", Value::from("status"))])],
        vec![none(), object([("service", Value::from("status")), ("method", Value::from(3))])],
        vec![none(), Value::Null],
        vec![none()],
        vec![Value::from("not an array"), status.clone()],
        vec![],
    ] {
        let reply: GroupReply =
            nodes[0].group("g").call("comm", "send", arguments.clone()).await.unwrap().try_into().unwrap();
        assert!(reply.values.is_empty(), "{arguments:?}");
        assert_eq!(reply.errors.keys().cloned().collect::<BTreeSet<_>>(), sids, "{arguments:?}");
        for error in reply.errors.values() {
            assert_eq!(error.kind, ErrorKind::BadArgument);
            assert!(error.message.starts_with("comm.send:"), "{error}");
        }
    }
    nodes[0].groups().put("empty", Vec::new()).await.unwrap();
    let empty = nodes[0].group("empty").call("comm", "send", vec![none(), object([])]).await.unwrap_err();
    assert!(empty.message.contains("no members"), "{empty}");
    // gossip goes to some of the members, so an invalid argument is one error of the call
    for arguments in [vec![none(), object([])], vec![Value::from("x"), status]] {
        let error = nodes[0].group("g").call("gossip", "send", arguments).await.unwrap_err();
        assert!(error.kind == ErrorKind::BadArgument && error.message.starts_with("gossip.send:"), "{error}");
    }
    stop(nodes).await;
}

#[tokio::test]
async fn a_node_under_two_keys_is_called_once_and_answers_under_both() {
    let node = node().await;
    let (sid, addr) = (node.sid(), node.addr().clone());
    node.call(Gid::local(), "groups", "put", vec![Value::from("g"), object([("507aa", addr.to_value())])])
        .await
        .unwrap();
    assert_eq!(node.groups().add("g", addr.clone()).await.unwrap().len(), 2);
    let counted = node.group("g").comm().send((), &Remote::new("counter", "count")).await.unwrap();
    let keys: Vec<_> = counted.values.iter().map(|(sid, value)| (sid.as_str(), value.clone())).collect();
    let mut expected = [("507aa", Value::from(1)), (sid.as_str(), Value::from(1))];
    expected.sort_by_key(|(sid, _)| *sid);
    assert_eq!(keys, expected);
    let sum = node.group("g").status().counts().await.unwrap().value;
    let own = node.status().counts().await.unwrap();
    assert!(sum <= own, "summed once: {sum}, then {own}");
    // a node that is removed under one key is still there under the other
    assert_eq!(node.groups().rem("g", sid.as_str()).await.unwrap().len(), 1);
    let counted = node.group("g").comm().send((), &Remote::new("counter", "count")).await.unwrap();
    assert_eq!(counted.values.keys().map(|sid| sid.as_str()).collect::<Vec<_>>(), ["507aa"]);
    node.stop().await;
}

#[tokio::test]
async fn a_group_can_be_put_as_an_array_and_an_unknown_key_can_be_removed() {
    let node = node().await;
    let (a, b) = (NodeAddr::new("127.0.0.1", 1), NodeAddr::new("127.0.0.1", 2));
    let groups = |method: &'static str, arguments: Vec<Value>| node.call(Gid::local(), "groups", method, arguments);
    let set = object([("0", a.to_value()), ("1", b.to_value())]);
    let array = Value::from(vec![a.to_value(), b.to_value()]);
    assert_eq!(groups("put", vec!["g".into(), array]).await.unwrap().into_value(), set);
    for key in [a.to_value(), Value::from("nobody"), Value::Undefined, Value::Null, Value::from(7), object([])] {
        let after = groups("rem", vec!["g".into(), key.clone()]).await.unwrap().into_value();
        assert_eq!(after, set, "{key:?}");
    }
    // a key of digits, which JavaScript reads as a number
    assert_eq!(
        groups("rem", vec!["g".into(), Value::from(0)]).await.unwrap().into_value(),
        object([("1", b.to_value())])
    );
    assert_eq!(kind(groups("rem", vec!["none".into(), a.to_value()]).await), ErrorKind::UnknownGroup);
    node.stop().await;
}

#[tokio::test]
async fn removing_an_unknown_service_is_not_an_error() {
    let node = node().await;
    let rem = |name: Value| node.call(Gid::local(), "routes", "rem", vec![name]);
    assert_eq!(rem("nobody".into()).await.unwrap().into_value(), Value::Undefined);
    // a service of a group is not the node's own service of the same name
    let stub = node.routes().get("counter").await.unwrap();
    node.routes().put(stub, "mine").await.unwrap();
    let of_group = object([("service", Value::from("mine")), ("gid", Value::from("all"))]);
    assert_eq!(rem(of_group).await.unwrap().into_value(), Value::Undefined);
    assert!(node.routes().get("mine").await.is_ok());
    assert_eq!(kind(rem("status".into()).await), ErrorKind::Reserved);
    let removed = node.group("all").routes().rem("nobody").await.unwrap();
    assert_eq!((removed.values.len(), removed.errors.len()), (1, 0));
    node.stop().await;
}

#[tokio::test]
async fn a_spawn_on_port_zero_is_refused_over_http() {
    let mut nodes = Vec::new();
    for _ in 0..2 {
        nodes.push(Node::builder().port(0).service(counter()).spawns(false).start().await.unwrap());
    }
    group(&nodes, "g").await;
    let config = |port: u16| vec![NodeAddr::new("127.0.0.1", port).to_value()];
    for gid in ["local", "g"] {
        let spawn = |port| Call::new(Gid::new(gid).unwrap(), "status", "spawn", config(port));
        let error = nodes[0].call_on(nodes[1].addr(), spawn(0)).await.unwrap_err();
        assert!(error.kind == ErrorKind::BadArgument && error.message.contains("port is 0"), "{gid}: {error}");
        // the request is valid, but these nodes start no others
        assert_eq!(kind(nodes[0].call_on(nodes[1].addr(), spawn(1)).await), ErrorKind::Unsupported);
    }
    let send = Remote::new("status", "spawn").on(nodes[1].addr().clone());
    let relayed = Call::new(Gid::local(), "comm", "send", vec![Value::from(config(0)), send.to_value()]);
    assert_eq!(kind(nodes[0].call_on(nodes[1].addr(), relayed).await), ErrorKind::BadArgument);
    // this process may let the system choose the port
    assert_eq!(kind(nodes[0].spawn(NodeAddr::new("127.0.0.1", 0)).await), ErrorKind::Unsupported);
    stop(nodes).await;
}

#[tokio::test]
async fn a_message_is_recognized_by_an_id_of_any_type() {
    let nodes = nodes(2).await;
    group(&nodes, "g").await;
    let count = Remote::new("counter", "count");
    let long = "x".repeat(100_000);
    let mids = [
        Value::from("5"),
        Value::from(5),
        Value::from(f64::NAN),
        Value::from(true),
        Value::Null,
        Value::from(""),
        object([("a", Value::from(1))]),
        object([("a", Value::from(2))]),
        Value::from(vec![Value::from(1), Value::Undefined]),
        Value::from(long.as_str()),
        Value::from(format!("{long}y")),
        object([("long", Value::from(long.as_str()))]),
    ];
    for (heard, mid) in (1..).zip(&mids) {
        let shown: String = format!("{mid:?}").chars().take(60).collect();
        recv(&nodes[0], message("g", mid.clone(), &count)).await.expect(&shown);
        for node in &nodes {
            let read = async || node.call(Gid::local(), "counter", "read", ()).await.unwrap().into_value();
            until("both have performed it", async || read().await == Value::from(heard)).await;
        }
        for node in &nodes {
            assert_eq!(kind(recv(node, relayed(message("g", mid.clone(), &count))).await), ErrorKind::AlreadyReceived);
        }
    }
    stop(nodes).await;
}

#[tokio::test]
async fn a_sender_overtaken_by_a_relay_receives_the_result_once() {
    let node = node().await;
    node.groups().put("g", [node.addr().clone()]).await.unwrap();
    let count = |mid: &str| message("g", mid, &Remote::new("counter", "count"));
    // a relay delivers it first
    assert_eq!(recv(&node, relayed(count("m1"))).await.unwrap(), Value::Null);
    assert_eq!(kind(recv(&node, relayed(count("m1"))).await), ErrorKind::AlreadyReceived, "another relay");
    assert_eq!(recv(&node, count("m1")).await.unwrap(), Value::from(1), "its sender");
    assert_eq!(kind(recv(&node, count("m1")).await), ErrorKind::AlreadyReceived, "a duplicate");
    // a failure is returned in the same way
    let refuse = || message("g", "m2", &Remote::new("counter", "refuse"));
    assert_eq!(recv(&node, relayed(refuse())).await.unwrap(), Value::Null);
    assert_eq!(kind(recv(&node, refuse()).await), ErrorKind::Other("Error".to_owned()));
    assert_eq!(kind(recv(&node, refuse()).await), ErrorKind::AlreadyReceived);
    // the first sender is answered, and no second answer follows
    assert_eq!(recv(&node, count("m3")).await.unwrap(), Value::from(2));
    assert_eq!(kind(recv(&node, count("m3")).await), ErrorKind::AlreadyReceived);
    // the same id in another group is another message
    node.groups().put("h", [node.addr().clone()]).await.unwrap();
    assert_eq!(recv(&node, relayed(count("m4"))).await.unwrap(), Value::Null);
    let other = message("h", "m4", &Remote::new("counter", "count"));
    assert_eq!(recv(&node, other).await.unwrap(), Value::from(4));
    assert_eq!(recv(&node, count("m4")).await.unwrap(), Value::from(3));
    node.stop().await;
}

#[tokio::test]
async fn a_sender_waits_while_its_message_is_performed() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let service = Service::new("gate", |_| ()).async_method("pass", move |(), _, (): ()| {
        let gate = opened.clone();
        async move {
            gate.acquire().await.map_err(|_| CallError::other("closed"))?.forget();
            Ok::<_, CallError>("passed")
        }
    });
    let node = Node::builder().port(0).service(service).service(counter()).start().await.unwrap();
    node.groups().put("g", [node.addr().clone()]).await.unwrap();
    let pass = |mid: &str| message("g", mid, &Remote::new("gate", "pass"));
    assert_eq!(recv(&node, relayed(pass("m1"))).await.unwrap(), Value::Null);
    let (answer, ()) = tokio::join!(recv(&node, pass("m1")), async {
        // another call is answered while this one waits
        assert!(recv(&node, message("g", "m2", &Remote::new("counter", "count"))).await.is_ok());
        gate.add_permits(1);
    });
    assert_eq!(answer.unwrap(), Value::from("passed"));
    // the sender waits no longer than its own deadline
    assert_eq!(recv(&node, relayed(pass("m3"))).await.unwrap(), Value::Null);
    let hasty = node.with_deadline(Duration::from_millis(50));
    let arguments = vec![Value::Object(pass("m3"))];
    let late = hasty.call(Gid::local(), "gossip", "recv", arguments).await;
    assert_eq!(kind(late), ErrorKind::DeadlineExceeded);
    gate.add_permits(1);
    node.stop().await;
}

#[tokio::test]
async fn the_subset_function_receives_the_members_and_returns_the_number_of_peers() {
    let nodes = nodes(6).await;
    let outsider = node().await;
    for (answer, others, all) in [(100.0, 5, 6), (1.0, 1, 1), (0.0, 1, 1), (2.5, 3, 3), (f64::INFINITY, 5, 6)] {
        for (node, expected) in [(&nodes[0], others + 1), (&outsider, all)] {
            let asked = Arc::new(Mutex::new(Vec::new()));
            let heard = asked.clone();
            let rpc = move |arguments: Vec<Value>| {
                heard.lock().unwrap().push(arguments);
                async move { Ok(Value::from(answer)) }
            };
            let subset = node.create_rpc(Lasting::Always, rpc).await.unwrap();
            let config = GroupConfig::new(Gid::new("g").unwrap()).with("subset", subset);
            node.groups().put(config, Group::from_iter(addresses(&nodes))).await.unwrap();
            let reply = node.group("g").gossip().send(("sid",), &Remote::new("status", "get")).await.unwrap();
            let contacted = reply.values.len() + reply.errors.len();
            assert_eq!(contacted, expected, "{answer} peers from {}", node.addr());
            // the keys of the group, in order
            let keys: Vec<Value> =
                node.groups().get("g").await.unwrap().iter().map(|(sid, _)| Value::from(sid.as_str())).collect();
            let asked = asked.lock().unwrap();
            assert!(!asked.is_empty());
            for arguments in asked.iter() {
                assert_eq!(*arguments, [Value::from(keys.clone())]);
            }
        }
    }
    for answer in [Value::from(-1), Value::from(f64::NAN), Value::from("many"), Value::Undefined] {
        let shown = format!("{answer:?}");
        let rpc = move |_| {
            let answer = answer.clone();
            async move { Ok(answer) }
        };
        let subset = nodes[0].create_rpc(Lasting::Always, rpc).await.unwrap();
        let config = GroupConfig::new(Gid::new("g").unwrap()).with("subset", subset);
        nodes[0].groups().put(config, addresses(&nodes)).await.unwrap();
        let sent = nodes[0].group("g").gossip().send(("sid",), &Remote::new("status", "get")).await;
        assert_eq!(kind(sent), ErrorKind::BadAnswer, "{shown}");
    }
    stop(nodes).await;
    outsider.stop().await;
}

#[tokio::test]
async fn a_relay_asks_the_subset_function_too() {
    let nodes = nodes(2).await;
    let asked = Arc::new(Mutex::new(0));
    let heard = asked.clone();
    let rpc = move |_| {
        *heard.lock().unwrap() += 1;
        async { Ok(Value::from(1)) }
    };
    let subset = nodes[1].create_rpc(Lasting::Always, rpc).await.unwrap();
    let config = GroupConfig::new(Gid::new("g").unwrap()).with("subset", subset);
    nodes[1].groups().put(config, addresses(&nodes)).await.unwrap();
    until("the function was asked", async || *asked.lock().unwrap() > 0).await;
    stop(nodes).await;
}
