//! Every method of every service, in one process over HTTP: its answers and its errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gossip;
mod groups;
#[path = "../support/mod.rs"]
mod support;

use std::{sync::Arc, sync::atomic::AtomicUsize, sync::atomic::Ordering, time::Duration};

use chinwag::{Answer, Call, ErrorKind, Gid, Lasting, Node, NodeAddr, Remote, Value};
use support::*;

#[tokio::test]
async fn status_says_what_a_node_is() {
    let node = node().await;
    let status = node.status();
    assert_eq!(status.get("nid").await.unwrap(), Value::from(node.nid().to_string()));
    assert_eq!(status.get("sid").await.unwrap(), Value::from(node.sid().as_str()));
    assert_eq!(status.get("ip").await.unwrap(), Value::from("127.0.0.1"));
    assert_eq!(status.get("port").await.unwrap(), Value::from(node.addr().port()));
    let before = status.counts().await.unwrap();
    assert_eq!(status.counts().await.unwrap(), before + 1);
    let (used, total) = (status.heap_used().await.unwrap(), status.heap_total().await.unwrap());
    assert!(used > 0 && used <= total, "{used} of {total}");
    assert_eq!(kind(status.get("bogus").await), ErrorKind::NotFound);
    assert_eq!(kind(node.call(Gid::local(), "status", "get", ()).await), ErrorKind::BadArgument);
    assert_eq!(kind(node.call(Gid::local(), "status", "gett", ()).await), ErrorKind::UnknownMethod);
    node.stop().await;
}

#[tokio::test]
async fn a_node_that_is_told_to_stop_answers_before_it_ends() {
    let nodes = nodes(2).await;
    let (asking, asked) = (&nodes[0], &nodes[1]);
    let stop = Remote::new("status", "stop").on(asked.addr().clone());
    let answer = asking.comm().send((), &stop).await.unwrap();
    assert_eq!(NodeAddr::from_value(&answer).unwrap(), *asked.addr());
    asked.stopped().await;
    let gone = asking.comm().send(("sid",), &Remote::new("status", "get").on(asked.addr().clone())).await;
    // on a kept connection, the end of the node shows as a broken connection
    assert!([ErrorKind::Unreachable, ErrorKind::Interrupted].contains(&kind(gone)));
    asking.stop().await;
}

#[tokio::test]
async fn a_node_without_a_program_answers_a_spawn_with_unsupported() {
    let node = Node::builder().port(0).spawns(false).start().await.unwrap();
    assert_eq!(kind(node.spawn(NodeAddr::new("127.0.0.1", 0)).await), ErrorKind::Unsupported);
    // an invalid configuration is refused as such
    for bad in [Value::Null, Value::from(3), object([("ip", Value::from("127.0.0.1"))])] {
        let spawn = node.call(Gid::local(), "status", "spawn", vec![bad]).await;
        assert_eq!(kind(spawn), ErrorKind::BadArgument);
    }
    node.stop().await;
}

#[tokio::test]
async fn routes_can_be_put_read_and_removed() {
    let nodes = nodes(2).await;
    let (one, two) = (&nodes[0], &nodes[1]);
    // a node shows its own services as stubs, which can be called from anywhere
    let shown = one.routes().get("counter").await.unwrap();
    assert_eq!(
        shown.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["add", "count", "never", "panic", "read", "refuse"]
    );
    two.routes().put(shown, "theirs").await.unwrap();
    let add = Remote::new("theirs", "add").on(two.addr().clone());
    assert_eq!(one.comm().send((5,), &add).await.unwrap(), Value::from(5));
    let read = one.call(Gid::local(), "counter", "read", ()).await.unwrap();
    assert_eq!(read, Answer::Value(Value::from(5)));

    assert!(two.routes().rem("theirs").await.unwrap().get("add").is_some());
    assert_eq!(kind(two.routes().get("theirs").await), ErrorKind::UnknownService);
    assert_eq!(two.routes().rem("theirs").await.unwrap(), Value::Undefined);
    for name in ["status", "groups", "routes", "comm", "gossip"] {
        assert_eq!(kind(two.routes().put(object([]), name).await), ErrorKind::Reserved);
        assert_eq!(kind(two.routes().rem(name).await), ErrorKind::Reserved);
        assert!(two.routes().get(name).await.unwrap().as_object().is_some());
    }
    assert_eq!(kind(two.routes().put(Value::from(3), "x").await), ErrorKind::BadArgument);
    assert_eq!(kind(two.routes().put(object([]), "a/b").await), ErrorKind::BadArgument);
    // a service of a group, by its group
    let of_group = object([("service", Value::from("status")), ("gid", Value::from("all"))]);
    let shown = one.call(Gid::local(), "routes", "get", vec![of_group]).await.unwrap().into_value();
    assert!(shown.get("spawn").is_some());
    stop(nodes).await;
}

#[tokio::test]
async fn comm_send_calls_other_nodes() {
    let nodes = nodes(2).await;
    let (one, two) = (&nodes[0], &nodes[1]);
    let to = |service: &str, method: &str| Remote::new(service, method).on(two.addr().clone());
    assert_eq!(one.comm().send(("sid",), &to("status", "get")).await.unwrap(), Value::from(two.sid().as_str()));
    // the service of a group, as that node sees the group
    let all = to("status", "get").of(Gid::all());
    let seen = one.comm().send(("sid",), &all).await.unwrap();
    assert_eq!(seen.as_object().unwrap().len(), 1);
    for (remote, expected) in [
        (to("nothing", "get"), ErrorKind::UnknownService),
        (to("status", "nothing"), ErrorKind::UnknownMethod),
        (to("status", "get").of(Gid::new("g").unwrap()), ErrorKind::UnknownGroup),
        (Remote::new("status", "get"), ErrorKind::BadArgument),
        (Remote::new("status", "get").on(NodeAddr::new("127.0.0.1", 1)), ErrorKind::Unreachable),
        (to("counter", "refuse"), ErrorKind::Other("Error".into())),
    ] {
        assert_eq!(kind(one.comm().send(("sid",), &remote).await), expected, "{remote:?}");
    }
    let remote = to("status", "get").to_value();
    for arguments in [vec![Value::from("sid"), remote.clone()], vec![remote], vec![]] {
        assert_eq!(kind(one.call(Gid::local(), "comm", "send", arguments).await), ErrorKind::BadArgument);
    }
    stop(nodes).await;
}

#[tokio::test]
async fn an_error_names_the_argument_of_the_wrong_type() {
    let node = node().await;
    for (arguments, says) in [
        (vec![], "add: argument 1"),
        (vec![Value::from("x")], "add: argument 1"),
        (vec![Value::from(-1)], "add: argument 1"),
        (vec![Value::from(1.5)], "add: argument 1"),
    ] {
        let error = node.call(Gid::local(), "counter", "add", arguments).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadArgument);
        assert!(error.message.contains(says) && error.message.contains("u64"), "{error}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_service_that_panics_is_replaced() {
    let node = node().await;
    node.groups().put("g", [node.addr().clone()]).await.unwrap();
    for _ in 0..3 {
        let call = node.call(Gid::local(), "counter", "panic", ()).await;
        assert_eq!(kind(call), ErrorKind::Crashed);
        until("the counter is back", async || node.call(Gid::local(), "counter", "count", ()).await.is_ok()).await;
    }
    assert!(node.group("g").comm().send(("sid",), &Remote::new("status", "get")).await.is_ok());
    node.stop().await;
}

#[tokio::test]
async fn a_callback_is_called_from_another_node() {
    let nodes = nodes(2).await;
    let (one, two) = (&nodes[0], &nodes[1]);
    let heard = Arc::new(AtomicUsize::new(0));
    let count = heard.clone();
    let callback = move |arguments: Vec<Value>| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { Ok(Value::from(arguments)) }
    };
    let lasting = one.create_rpc(Lasting::Always, callback.clone()).await.unwrap();
    let once = one.create_rpc(Lasting::Once, callback).await.unwrap();
    for expected in 1..=3 {
        let answer = two.apply(lasting.clone(), vec![Value::from("x")]).await.unwrap();
        assert_eq!(answer.into_value(), Value::from(vec![Value::from("x")]));
        assert_eq!(heard.load(Ordering::SeqCst), expected);
    }
    assert!(two.apply(once.clone(), Vec::new()).await.is_ok());
    assert_eq!(kind(two.apply(once, Vec::new()).await), ErrorKind::UnknownService);
    stop(nodes).await;
}

#[tokio::test]
async fn calls_nested_too_deeply_are_refused() {
    let node = node().await;
    // comm.send of comm.send of … on one node, nested deeper than calls may be
    let mut call = (Vec::<Value>::new(), Remote::new("counter", "count").on(node.addr().clone()));
    for _ in 0..40 {
        let arguments = vec![Value::from(call.0), call.1.to_value()];
        call = (arguments, Remote::new("comm", "send").on(node.addr().clone()));
    }
    assert_eq!(kind(node.comm().send(call.0, &call.1).await), ErrorKind::TooDeep);
    node.stop().await;
}

#[tokio::test]
async fn a_full_node_answers_busy() {
    let mut settings = chinwag::actors::settings::Settings::default();
    settings.calls_in_flight = 2;
    let builder = Node::builder().port(0).settings(settings).service(counter());
    let node = builder.start().await.unwrap();
    let hasty = node.with_deadline(Duration::from_millis(500));
    let never = || hasty.call(Gid::local(), "counter", "never", ());
    let (one, two, three) = tokio::join!(never(), never(), async {
        // the load of a full node can be read
        until("both are under way", async || node.status().load().await.unwrap()["calls"].held == 2).await;
        kind(node.call(Gid::local(), "counter", "count", ()).await)
    });
    assert_eq!(three, ErrorKind::Busy);
    assert_eq!((kind(one), kind(two)), (ErrorKind::DeadlineExceeded, ErrorKind::DeadlineExceeded));
    assert!(node.status().counts().await.is_ok());
    node.stop().await;
}

#[tokio::test]
async fn a_call_from_another_node_is_performed_like_a_local_one() {
    let nodes = nodes(2).await;
    let call = Call::new(Gid::local(), "counter", "add", vec![Value::from(2)]);
    assert_eq!(nodes[0].call_on(nodes[1].addr(), call.clone()).await.unwrap().into_value(), Value::from(2));
    assert_eq!(nodes[1].handle().dispatch(call).await.unwrap().into_value(), Value::from(4));
    stop(nodes).await;
}
