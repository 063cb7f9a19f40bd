//! Every method of every service, in one process over HTTP: what it answers, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{collections::BTreeSet, sync::Arc, sync::atomic::AtomicUsize, sync::atomic::Ordering, time::Duration};

use chinwag::{
    Answer, Call, CallError, ErrorKind, Gid, GroupConfig, GroupReply, Lasting, Node, NodeAddr, Remote, Scope, Service,
    Value, membership,
    protocol::value::{Function, Object},
};
use support::*;

fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Object(entries.into_iter().collect::<Object>())
}

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
async fn a_node_that_is_told_to_stop_answers_first() {
    let nodes = nodes(2).await;
    let (asking, asked) = (&nodes[0], &nodes[1]);
    let stop = Remote::new("status", "stop").on(asked.addr().clone());
    let answer = asking.comm().send((), &stop).await.unwrap();
    assert_eq!(NodeAddr::from_value(&answer).unwrap(), *asked.addr());
    asked.stopped().await;
    let gone = asking.comm().send(("sid",), &Remote::new("status", "get").on(asked.addr().clone())).await;
    // over a connection that was kept, its end shows as a broken one
    assert!([ErrorKind::Unreachable, ErrorKind::Interrupted].contains(&kind(gone)));
    asking.stop().await;
}

#[tokio::test]
async fn a_node_that_is_not_to_spawn_answers_unsupported() {
    let node = Node::builder().port(0).spawns(false).start().await.unwrap();
    assert_eq!(kind(node.spawn(NodeAddr::new("127.0.0.1", 0)).await), ErrorKind::Unsupported);
    // a configuration that cannot be one is refused for that
    for bad in [Value::Null, Value::from(3), object([("ip", Value::from("127.0.0.1"))])] {
        let spawn = node.call(Gid::local(), "status", "spawn", vec![bad]).await;
        assert_eq!(kind(spawn), ErrorKind::BadArgument);
    }
    node.stop().await;
}

#[tokio::test]
async fn groups_are_a_nodes_own_map() {
    let node = node().await;
    let (a, b) = (NodeAddr::new("127.0.0.1", 1), NodeAddr::new("127.0.0.1", 2));
    let groups = node.groups();
    assert_eq!(groups.get("all").await.unwrap().len(), 1);
    assert_eq!(groups.get("local").await.unwrap().len(), 1);
    assert_eq!(groups.put("g", [a.clone()]).await.unwrap().len(), 1);
    assert_eq!(groups.add("g", b.clone()).await.unwrap().len(), 2);
    assert_eq!(groups.get("all").await.unwrap().len(), 3);
    assert_eq!(groups.rem("g", a.sid().as_str()).await.unwrap().len(), 1);
    assert_eq!(groups.rem("g", "nobody").await.unwrap().len(), 1);
    assert_eq!(groups.get("all").await.unwrap().len(), 3);
    assert_eq!(groups.del("g").await.unwrap().len(), 1);
    for refused in [
        kind(groups.get("g").await),
        kind(groups.add("g", a.clone()).await),
        kind(groups.rem("g", "x").await),
        kind(groups.del("g").await),
    ] {
        assert_eq!(refused, ErrorKind::UnknownGroup);
    }
    assert_eq!(kind(groups.del("all").await), ErrorKind::Reserved);
    assert_eq!(kind(groups.del("local").await), ErrorKind::Reserved);
    node.stop().await;
}

#[tokio::test]
async fn a_malformed_group_changes_nothing() {
    let node = node().await;
    node.groups().put("g", [NodeAddr::new("127.0.0.1", 1)]).await.unwrap();
    let entry = |port: f64| object([("ip", Value::from("127.0.0.1")), ("port", Value::from(port))]);
    for set in [Value::from("x"), object([("a", Value::from(1))]), object([("a", entry(2.0)), ("b", entry(65_536.0))])]
    {
        let put = node.call(Gid::local(), "groups", "put", vec![Value::from("g"), set]).await;
        assert_eq!(kind(put), ErrorKind::BadArgument);
    }
    for name in [Value::Undefined, Value::from(""), Value::from("a/b"), object([])] {
        let put = node.call(Gid::local(), "groups", "put", vec![name, object([])]).await;
        assert_eq!(kind(put), ErrorKind::BadArgument);
    }
    assert_eq!(node.groups().get("g").await.unwrap().len(), 1);
    assert_eq!(node.groups().get("all").await.unwrap().len(), 2);
    node.stop().await;
}

#[tokio::test]
async fn addresses_that_nobody_can_dial_are_refused_everywhere_and_made_up_ones_are_not() {
    let node = node().await;
    let entry = |ip: &str, port: u16| object([("ip", Value::from(ip)), ("port", Value::from(port))]);
    node.groups().put("g", Vec::new()).await.unwrap();
    for (ip, port) in [
        ("", 1),
        ("a b", 1),
        ("a/b", 1),
        ("127.0.0.1", 0),
        ("0.0.0.0", 1),
        ("::", 1),
        ("239.0.0.1", 1),
        ("ff02::1", 1),
        ("255.255.255.255", 1),
        ("127.1", 1),
        ("fe80::1%eth0", 1),
    ] {
        let remote = object([("node", entry(ip, port)), ("service", "status".into()), ("method", "get".into())]);
        for (service, method, arguments) in [
            ("groups", "put", vec![Value::from("h"), object([("a", entry(ip, port))])]),
            ("groups", "add", vec![Value::from("g"), entry(ip, port)]),
            ("comm", "send", vec![Value::from(vec![Value::from("sid")]), remote]),
        ] {
            let refused = node.call(Gid::local(), service, method, arguments).await;
            assert_eq!(kind(refused), ErrorKind::BadArgument, "{service}.{method} {ip:?} {port}");
        }
        let call = Call::new(Gid::local(), "status", "get", vec![Value::from("sid")]);
        assert_eq!(kind(node.call_on(&NodeAddr::new(ip, port), call).await), ErrorKind::BadArgument, "{ip:?} {port}");
    }
    assert!(node.groups().get("g").await.unwrap().is_empty());
    assert_eq!(node.groups().get("all").await.unwrap().len(), 1);
    for (ip, port) in [("127.0.0.1", 1), ("192.0.2.1", 8080), ("nowhere.invalid", 65_535), ("h", 1), ("[::1]", 1)] {
        let added = node.call(Gid::local(), "groups", "add", vec![Value::from("g"), entry(ip, port)]).await.unwrap();
        let sid = NodeAddr::new(ip, port).sid();
        assert_eq!(added.into_value().get(sid.as_str()), Some(&entry(ip, port)), "as it was written");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_node_is_one_however_its_address_is_spelled() {
    let nodes = nodes(2).await;
    let (one, two) = (&nodes[0], &nodes[1]);
    let spelled = |node: &Node, ip: &str| NodeAddr::new(ip, node.addr().port());
    let (own, other) = (spelled(one, "localhost"), spelled(two, "LOCALHOST"));
    let set = one.groups().put("g", [own.clone(), other.clone()]).await.unwrap();
    assert_eq!((set.sid_of(&own.nid()), set.sid_of(&other.nid())), (Some(&own.sid()), Some(&other.sid())));
    // there already, each stays as it was put
    for again in [one.addr().clone(), two.addr().clone(), spelled(one, "::ffff:127.0.0.1")] {
        assert_eq!(one.groups().add("g", again).await.unwrap(), set);
    }
    assert_eq!(one.groups().get("all").await.unwrap().len(), 2);
    // called once, summed once, and each answers with its own name
    let reply = one.group("g").comm().send(("sid",), &Remote::new("status", "get")).await.unwrap();
    let answers: Vec<_> = reply.values.into_iter().collect();
    let mut expected =
        [(own.sid(), one.sid()), (other.sid(), two.sid())].map(|(key, sid)| (key, Value::from(sid.as_str())));
    expected.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert_eq!(answers, expected);
    let each: f64 = {
        let (a, b) = (one.status().counts().await.unwrap(), two.status().counts().await.unwrap());
        (a + b) as f64
    };
    let sum = one.group("g").status().counts().await.unwrap();
    assert!(sum.errors.is_empty() && (sum.value as f64) < 1.5 * each, "{} of {each}", sum.value);

    let both = object([("a", own.to_value()), ("b", one.addr().to_value())]);
    let refused = one.call(Gid::local(), "groups", "put", vec![Value::from("h"), both]).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::BadArgument);
    assert!(
        refused.message.contains(&own.to_string()) && refused.message.contains(&one.addr().to_string()),
        "{refused}"
    );
    stop(nodes).await;
}

#[tokio::test]
async fn a_node_knows_itself_by_every_spelling_and_takes_no_socket() {
    // nobody could reach it where it says it is
    let me = NodeAddr::new("Host2.invalid", 9);
    let node = Node::builder().port(0).advertise(me.clone()).start().await.unwrap();
    for ip in ["host2.invalid", "HOST2.INVALID", "host2.invalid."] {
        let remote = Remote::new("status", "get").on(NodeAddr::new(ip, 9));
        assert_eq!(node.comm().send(("nid",), &remote).await.unwrap(), Value::from(me.nid().to_string()), "{ip}");
        let set = node.groups().put("g", [NodeAddr::new(ip, 9)]).await.unwrap();
        let sids = node.group("g").comm().send(("sid",), &Remote::new("status", "get")).await.unwrap();
        assert_eq!((set.len(), sids.values.len(), sids.errors.len()), (1, 1, 0), "{ip}");
    }
    assert_eq!(node.groups().get("all").await.unwrap().len(), 1);
    assert_eq!((node.nid(), node.sid()), (me.nid(), me.sid()), "shown as written");
    assert_eq!(node.groups().get("all").await.unwrap().to_value().get(me.sid().as_str()), Some(&me.to_value()));
    // it ends itself last and once
    let stopped = node.group("g").status().stop().await.unwrap();
    assert_eq!((stopped.values.len(), stopped.errors.len()), (1, 0));
    node.stopped().await;
}

#[tokio::test]
async fn membership_knows_a_node_once_and_shows_it_as_it_spells_itself() {
    let quick = || membership::Settings::paced(Duration::from_millis(50));
    let start = async || Node::builder().port(0).membership(quick()).start().await.unwrap();
    let (one, two) = (start().await, start().await);
    let spelled = NodeAddr::new("localhost", two.addr().port());
    one.groups().put("g", [one.addr().clone(), spelled.clone()]).await.unwrap();
    let mut expected = [one.addr().clone(), two.addr().clone()].map(|node| (node.sid(), node));
    expected.sort_by(|(a, _), (b, _)| a.cmp(b));
    for node in [&one, &two] {
        until("both know both, once, as they spell themselves", async || {
            let list = node.membership().list().await.unwrap();
            let alive = list.values().all(|standing| standing.status == chinwag::protocol::swim::Status::Alive);
            let shown: Vec<_> = list.into_iter().map(|(sid, standing)| (sid, standing.node)).collect();
            alive && shown == expected
        })
        .await;
        assert_eq!(node.groups().get("all").await.unwrap().len(), 2);
    }
    // what was put stays as it was put
    assert_eq!(one.groups().get("g").await.unwrap().sid_of(&two.addr().key()), Some(&spelled.sid()));
    stop(vec![one, two]).await;
}

#[tokio::test]
async fn a_groups_services_come_and_go_with_it() {
    let node = node().await;
    let sid = async |gid: &str| node.group(gid).comm().send(("sid",), &Remote::new("status", "get")).await;
    assert_eq!(kind(sid("g").await), ErrorKind::UnknownGroup);
    for _ in 0..20 {
        node.groups().put("g", [node.addr().clone()]).await.unwrap();
        assert_eq!(sid("g").await.unwrap().values.len(), 1);
        node.groups().del("g").await.unwrap();
        assert_eq!(kind(sid("g").await), ErrorKind::UnknownGroup);
    }
    // put again in its place, it is the same group with other members
    node.groups().put("g", [node.addr().clone()]).await.unwrap();
    node.groups().put("g", Vec::new()).await.unwrap();
    assert!(sid("g").await.unwrap_err().message.contains("no members"));
    // and for that call alone
    assert!(sid("all").await.is_ok());
    node.stop().await;
}

#[tokio::test]
async fn routes_name_services() {
    let nodes = nodes(2).await;
    let (one, two) = (&nodes[0], &nodes[1]);
    // what a node shows of a service of its own is stubs, which call it from anywhere
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
    // a group's service by its group
    let of_group = object([("service", Value::from("status")), ("gid", Value::from("all"))]);
    let shown = one.call(Gid::local(), "routes", "get", vec![of_group]).await.unwrap().into_value();
    assert!(shown.get("spawn").is_some());
    stop(nodes).await;
}

#[tokio::test]
async fn comm_calls_other_nodes() {
    let nodes = nodes(2).await;
    let (one, two) = (&nodes[0], &nodes[1]);
    let to = |service: &str, method: &str| Remote::new(service, method).on(two.addr().clone());
    assert_eq!(one.comm().send(("sid",), &to("status", "get")).await.unwrap(), Value::from(two.sid().as_str()));
    // a service of a group, as that node sees the group
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
async fn a_group_is_called_as_one() {
    let nodes = nodes(3).await;
    group(&nodes, "g").await;
    let g = nodes[0].group("g");
    let sids: BTreeSet<String> = nodes.iter().map(|node| node.sid().to_string()).collect();
    let named = |reply: &GroupReply| reply.values.keys().map(ToString::to_string).collect::<BTreeSet<_>>();

    let reply = g.comm().send(("sid",), &Remote::new("status", "get")).await.unwrap();
    assert_eq!(named(&reply), sids);
    assert!(reply.values.iter().all(|(sid, value)| *value == Value::from(sid.as_str())));

    // sums are one number, everything else is by member
    let counts = g.status().counts().await.unwrap();
    assert!(counts.value >= 6 && counts.errors.is_empty());
    let (used, total) = (g.status().heap_used().await.unwrap(), g.status().heap_total().await.unwrap());
    assert!(used.value > 0 && total.value > 0);
    let Answer::Group { errors, value } = g.status().get("port").await.unwrap() else { panic!("not a group's answer") };
    assert!(errors.is_empty() && value.as_object().unwrap().len() == 3);
    let bogus: GroupReply = g.status().get("bogus").await.unwrap().try_into().unwrap();
    assert_eq!(bogus.errors.len(), 3);

    // the members' own maps
    let extra = NodeAddr::new("127.0.0.1", 1);
    assert_eq!(named(&g.groups().put("h", addresses(&nodes)).await.unwrap()), sids);
    let _ = g.groups().add("h", extra.clone()).await.unwrap();
    assert!(g.groups().get("h").await.unwrap().values.values().all(|set| set.as_object().unwrap().len() == 4));
    let _ = g.groups().rem("h", extra.sid().as_str()).await.unwrap();
    assert_eq!(nodes[2].groups().get("h").await.unwrap().len(), 3);
    let _ = g.groups().del("h").await.unwrap();
    assert_eq!(kind(nodes[1].groups().get("h").await), ErrorKind::UnknownGroup);
    assert_eq!(g.groups().del("h").await.unwrap().errors.len(), 3);

    // the members' own route tables
    let stub = nodes[0].routes().get("counter").await.unwrap();
    let _ = g.routes().put(stub, "shared").await.unwrap();
    let counted = g.comm().send((1,), &Remote::new("shared", "add")).await.unwrap();
    assert_eq!(counted.values.len(), 3);
    assert_eq!(nodes[0].call(Gid::local(), "counter", "read", ()).await.unwrap(), Answer::Value(Value::from(3)));
    assert_eq!(g.routes().rem("shared").await.unwrap().values.len(), 3);

    let stopped = g.status().stop().await.unwrap();
    assert_eq!(named(&stopped), sids);
    for node in &nodes {
        node.stopped().await;
    }
}

#[tokio::test]
async fn a_dead_member_costs_one_error_and_no_more() {
    let mut nodes = nodes(2).await;
    // one that goes without a word
    nodes.push(Node::builder().port(0).membership(membership::Settings::off()).start().await.unwrap());
    group(&nodes, "g").await;
    let dead = nodes.pop().unwrap();
    dead.stop().await;
    let g = nodes[0].group("g");
    let reply = g.comm().send(("sid",), &Remote::new("status", "get")).await.unwrap();
    assert_eq!(reply.values.len(), 2);
    assert_eq!(reply.errors[&dead.sid()].kind, ErrorKind::Unreachable);
    let counts = g.status().counts().await.unwrap();
    assert_eq!(counts.errors.len(), 1);
    stop(nodes).await;
}

#[tokio::test]
async fn a_member_that_never_answers_is_not_waited_for_past_the_deadline() {
    let nodes = nodes(2).await;
    group(&nodes, "g").await;
    let hasty = nodes[0].with_deadline(Duration::from_millis(300));
    // only the second has the service, and it never answers
    let wait = Service::new("wait", |_| ()).async_method("on", |(), _, ()| async {
        std::future::pending::<()>().await;
        Ok::<(), CallError>(())
    });
    nodes[1].install(wait).await.unwrap();
    let reply = hasty.group("g").comm().send((), &Remote::new("wait", "on")).await.unwrap();
    assert_eq!(reply.errors[&nodes[0].sid()].kind, ErrorKind::UnknownService);
    assert_eq!(reply.errors[&nodes[1].sid()].kind, ErrorKind::DeadlineExceeded);
    stop(nodes).await;
}

#[tokio::test]
async fn groups_overlap_and_views_differ() {
    let nodes = nodes(3).await;
    let at = addresses(&nodes);
    // the same name means other nodes to each of them: a ring
    for (index, node) in nodes.iter().enumerate() {
        node.groups().put("ring", [at[(index + 1) % 3].clone()]).await.unwrap();
    }
    for (index, node) in nodes.iter().enumerate() {
        let reply = node.group("ring").comm().send(("sid",), &Remote::new("status", "get")).await.unwrap();
        assert_eq!(reply.values.keys().collect::<Vec<_>>(), [&nodes[(index + 1) % 3].sid()]);
    }
    // two groups that share a node
    nodes[0].groups().put("left", [at[0].clone(), at[1].clone()]).await.unwrap();
    nodes[0].groups().put("right", [at[1].clone(), at[2].clone()]).await.unwrap();
    for gid in ["left", "right"] {
        let _ = nodes[0].group(gid).comm().send((), &Remote::new("counter", "count")).await.unwrap();
    }
    for (node, counted) in nodes.iter().zip([1, 2, 1]) {
        let read = node.call(Gid::local(), "counter", "read", ()).await.unwrap();
        assert_eq!(read, Answer::Value(Value::from(counted)));
    }
    // what one does to its own view changes nobody else's
    nodes[0].groups().del("ring").await.unwrap();
    assert_eq!(nodes[1].groups().get("ring").await.unwrap().len(), 1);
    stop(nodes).await;
}

#[tokio::test]
async fn a_service_is_written_once_and_found_in_every_group() {
    let shout = Service::new("shout", |scope: &Scope| scope.gid().to_string())
        .method("where", |gid: &mut String, ()| gid.clone())
        .async_method("size", |_, scope: Scope, ()| async move {
            Ok::<u32, CallError>(scope.group().members().await?.len() as u32)
        });
    let node = Node::builder().port(0).distributed(shout).start().await.unwrap();
    node.groups().put("g", [node.addr().clone(), NodeAddr::new("127.0.0.1", 1)]).await.unwrap();
    for (gid, size) in [("all", 2), ("g", 2)] {
        assert_eq!(node.group(gid).call("shout", "where", ()).await.unwrap().into_value(), Value::from(gid));
        assert_eq!(node.group(gid).call("shout", "size", ()).await.unwrap().into_value(), Value::from(size));
    }
    assert_eq!(kind(node.call(Gid::local(), "shout", "where", ()).await), ErrorKind::UnknownService);
    node.stop().await;
}

#[tokio::test]
async fn an_argument_that_does_not_fit_is_named() {
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
async fn a_groups_actor_that_panics_is_replaced_in_its_group() {
    let fragile = Service::new("fragile", |scope: &Scope| scope.gid().to_string())
        .method("where", |gid: &mut String, ()| gid.clone())
        .method("panic", |_: &mut String, ()| -> () { panic!("on purpose") });
    let node = Node::builder().port(0).distributed(fragile).start().await.unwrap();
    node.groups().put("g", [node.addr().clone()]).await.unwrap();
    let g = node.group("g");
    assert_eq!(kind(g.call("fragile", "panic", ()).await), ErrorKind::Crashed);
    until("its replacement answers", async || {
        g.call("fragile", "where", ()).await.is_ok_and(|answer| answer.into_value() == Value::from("g"))
    })
    .await;
    // the others never noticed
    assert!(g.status().counts().await.is_ok());
    assert!(node.group("all").call("fragile", "where", ()).await.is_ok());
    node.stop().await;
}

#[tokio::test]
async fn callbacks_cross_the_wire() {
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
async fn gossip_reaches_each_member_once() {
    let nodes = nodes(8).await;
    group(&nodes, "g").await;
    let read = async |node: &Node| node.call(Gid::local(), "counter", "read", ()).await.unwrap().into_value();
    for round in 1..=5 {
        let _ = nodes[round % 8].group("g").gossip().send((), &Remote::new("counter", "count")).await.unwrap();
        for node in &nodes {
            until("everyone has heard", async || read(node).await == Value::from(round as u32)).await;
        }
    }
    // what came twice was performed once
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
async fn one_that_only_sends_to_a_group_performs_nothing_of_it() {
    let nodes = nodes(3).await;
    let outsider = node().await;
    for node in nodes.iter().chain([&outsider]) {
        // notes are compared every millisecond, so that the outsider meets what it did not send
        let config = GroupConfig::new(Gid::new("g").unwrap()).with("tick", 1);
        node.groups().put(config, addresses(&nodes)).await.unwrap();
    }
    let read = async |node: &Node| node.call(Gid::local(), "counter", "read", ()).await.unwrap().into_value();
    for heard in 1..=40 {
        let sender = if heard % 2 == 0 { &outsider } else { &nodes[0] };
        let _ = sender.group("g").gossip().send((), &Remote::new("counter", "count")).await.unwrap();
        for node in &nodes {
            until("every member has heard", async || read(node).await == Value::from(heard)).await;
        }
    }
    assert_eq!(read(&outsider).await, Value::from(0));
    stop(nodes).await;
    outsider.stop().await;
}

#[tokio::test]
async fn gossip_that_was_received_is_refused_and_gossip_that_is_none_too() {
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
async fn calls_that_call_themselves_end() {
    let node = node().await;
    // comm.send of comm.send of … on one node, deeper than calls may be nested
    let mut call = (Vec::<Value>::new(), Remote::new("counter", "count").on(node.addr().clone()));
    for _ in 0..40 {
        let arguments = vec![Value::from(call.0), call.1.to_value()];
        call = (arguments, Remote::new("comm", "send").on(node.addr().clone()));
    }
    assert_eq!(kind(node.comm().send(call.0, &call.1).await), ErrorKind::TooDeep);
    node.stop().await;
}

#[tokio::test]
async fn a_full_node_says_so() {
    let settings = chinwag::actors::settings::Settings { calls_in_flight: 2, ..Default::default() };
    let builder = Node::builder().port(0).settings(settings).service(counter());
    let node = builder.start().await.unwrap();
    let hasty = node.with_deadline(Duration::from_millis(500));
    let never = || hasty.call(Gid::local(), "counter", "never", ());
    let (one, two, three) = tokio::join!(never(), never(), async {
        // what fills it is asked of a full node too
        until("both are under way", async || node.status().load().await.unwrap()["calls"].held == 2).await;
        kind(node.call(Gid::local(), "counter", "count", ()).await)
    });
    assert_eq!(three, ErrorKind::Busy);
    assert_eq!((kind(one), kind(two)), (ErrorKind::DeadlineExceeded, ErrorKind::DeadlineExceeded));
    assert!(node.status().counts().await.is_ok());
    node.stop().await;
}

#[tokio::test]
async fn a_group_is_put_with_a_configuration() {
    let node = node().await;
    let config = GroupConfig::new(Gid::new("g").unwrap()).with("subset", "log");
    node.groups().put(config, [node.addr().clone()]).await.unwrap();
    assert_eq!(node.groups().get("g").await.unwrap().len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn functions_that_are_no_stubs_do_not_break_a_timer() {
    let node = node().await;
    let answer = node.apply(Function::new("][ not a function"), Vec::new()).await;
    assert!(answer.is_err());
    assert!(node.status().counts().await.is_ok());
    node.stop().await;
}

#[tokio::test]
async fn a_call_from_elsewhere_is_a_call_from_here() {
    let nodes = nodes(2).await;
    let call = Call::new(Gid::local(), "counter", "add", vec![Value::from(2)]);
    assert_eq!(nodes[0].call_on(nodes[1].addr(), call.clone()).await.unwrap().into_value(), Value::from(2));
    assert_eq!(nodes[1].handle().dispatch(call).await.unwrap().into_value(), Value::from(4));
    stop(nodes).await;
}
