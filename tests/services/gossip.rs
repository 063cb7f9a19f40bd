//! Messages and timers of `gossip`.

use std::time::Duration;

use chinwag::{ErrorKind, Gid, GroupConfig, Node, Remote, Value, protocol::value::Function};

use crate::support::*;

#[tokio::test]
async fn each_member_performs_a_gossiped_message_once() {
    let nodes = nodes(8).await;
    group(&nodes, "g").await;
    let read = async |node: &Node| node.call(Gid::local(), "counter", "read", ()).await.unwrap().into_value();
    for round in 1..=5 {
        let _ = nodes[round % 8].group("g").gossip().send((), &Remote::new("counter", "count")).await.unwrap();
        for node in &nodes {
            until("all nodes have performed it", async || read(node).await == Value::from(round as u32)).await;
        }
    }
    // a message that arrived twice was performed once
    for node in &nodes {
        assert_eq!(read(node).await, Value::from(5));
    }
    assert_eq!(
        kind(nodes[0].group("x").gossip().send((), &Remote::new("counter", "count")).await),
        ErrorKind::UnknownGroup
    );
    let bad = nodes[0].group("g").call("gossip", "send", (3, 4)).await;
    assert_eq!(kind(bad), ErrorKind::BadArgument);
    stop(nodes).await;
}

#[tokio::test]
async fn a_sender_outside_a_group_performs_none_of_its_messages() {
    let nodes = nodes(3).await;
    let outsider = node().await;
    for node in nodes.iter().chain([&outsider]) {
        // members compare every millisecond, so that the sender outside the group meets messages that it did not send
        let config = GroupConfig::new(Gid::new("g").unwrap()).with("tick", 1);
        node.groups().put(config, addresses(&nodes)).await.unwrap();
    }
    let read = async |node: &Node| node.call(Gid::local(), "counter", "read", ()).await.unwrap().into_value();
    for heard in 1..=40 {
        let sender = if heard % 2 == 0 { &outsider } else { &nodes[0] };
        let _ = sender.group("g").gossip().send((), &Remote::new("counter", "count")).await.unwrap();
        for node in &nodes {
            until("every member has performed it", async || read(node).await == Value::from(heard)).await;
        }
    }
    assert_eq!(read(&outsider).await, Value::from(0));
    stop(nodes).await;
    outsider.stop().await;
}

#[tokio::test]
async fn repeated_and_malformed_gossip_is_refused() {
    let node = node().await;
    node.groups().put("g", [node.addr().clone()]).await.unwrap();
    let message = object([
        ("message", Value::from(Vec::<Value>::new())),
        ("remote", Remote::new("counter", "count").to_value()),
        ("mid", Value::from("m1")),
        ("gid", Value::from("g")),
    ]);
    let recv = async |message: Value| node.call(Gid::local(), "gossip", "recv", vec![message]).await;
    assert_eq!(recv(message.clone()).await.unwrap().into_value(), Value::from(1));
    assert_eq!(kind(recv(message.clone()).await), ErrorKind::AlreadyReceived);
    for key in ["message", "remote", "mid", "gid"] {
        let mut broken = message.as_object().unwrap().clone();
        broken.remove(key);
        assert!(recv(Value::Object(broken)).await.is_err(), "without {key}");
    }
    assert_eq!(kind(recv(Value::Null).await), ErrorKind::BadArgument);
    node.stop().await;
}

#[tokio::test]
async fn timers_run_until_they_are_stopped() {
    let nodes = nodes(1).await;
    let node = &nodes[0];
    node.groups().put("g", addresses(&nodes)).await.unwrap();
    let gossip = node.group("g");
    let gossip = gossip.gossip();
    let stub = node.routes().get("counter").await.unwrap();
    let Some(Value::Function(count)) = stub.get("count").cloned() else { panic!("no stub") };
    let read = async || node.call(Gid::local(), "counter", "read", ()).await.unwrap().into_value().as_f64().unwrap();

    let timer = gossip.at(Duration::from_millis(5), count.clone()).await.unwrap();
    until("it has run three times", async || read().await >= 3.0).await;
    let listed = node.group("g").call("gossip", "list", ()).await.unwrap().into_value();
    assert_eq!(listed.get(&timer), Some(&Value::from(5.0)));
    gossip.del(&timer).await.unwrap();
    assert_eq!(kind(gossip.del(&timer).await), ErrorKind::NotFound);
    let listed = node.group("g").call("gossip", "list", ()).await.unwrap().into_value();
    assert!(listed.as_object().unwrap().is_empty());

    assert_eq!(kind(gossip.at(Duration::ZERO, count.clone()).await), ErrorKind::BadArgument);
    assert_eq!(kind(gossip.at(Duration::from_secs(1 << 40), count.clone()).await), ErrorKind::BadArgument);
    for interval in [Value::from("x"), Value::from(-1), Value::from(f64::NAN), Value::Undefined] {
        let at = node.group("g").call("gossip", "at", vec![interval, Value::Function(count.clone())]).await;
        assert_eq!(kind(at), ErrorKind::BadArgument);
    }
    let not_one = node.group("g").call("gossip", "at", vec![Value::from(5), Value::from("f")]).await;
    assert_eq!(kind(not_one), ErrorKind::BadArgument);
    stop(nodes).await;
}

#[tokio::test]
async fn a_function_that_is_not_a_stub_does_not_break_a_timer() {
    let node = node().await;
    let answer = node.apply(Function::new("][ not a function"), Vec::new()).await;
    assert!(answer.is_err());
    assert!(node.status().counts().await.is_ok());
    node.stop().await;
}
