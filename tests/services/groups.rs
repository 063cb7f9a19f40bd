//! Groups: their nodes, their views and calls on all of their members.

use std::{collections::BTreeSet, time::Duration};

use chinwag::{
    Answer, Call, CallError, ErrorKind, Gid, GroupConfig, GroupReply, Node, NodeAddr, Remote, Scope, Service, Value,
    membership,
};

use crate::support::*;

#[tokio::test]
async fn groups_can_be_put_read_changed_and_deleted() {
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
async fn addresses_that_cannot_be_dialled_are_refused_and_unreachable_ones_are_not() {
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
async fn different_spellings_of_an_address_are_one_node() {
    let nodes = nodes(2).await;
    let (one, two) = (&nodes[0], &nodes[1]);
    let spelled = |node: &Node, ip: &str| NodeAddr::new(ip, node.addr().port());
    let (own, other) = (spelled(one, "localhost"), spelled(two, "LOCALHOST"));
    let set = one.groups().put("g", [own.clone(), other.clone()]).await.unwrap();
    assert_eq!((set.sid_of(&own.nid()), set.sid_of(&other.nid())), (Some(&own.sid()), Some(&other.sid())));
    // nodes that are already in the group stay as they were put
    for again in [one.addr().clone(), two.addr().clone(), spelled(one, "::ffff:127.0.0.1")] {
        assert_eq!(one.groups().add("g", again).await.unwrap(), set);
    }
    assert_eq!(one.groups().get("all").await.unwrap().len(), 2);
    // each node is called once, counted once, and answers with its own name
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
async fn a_call_on_any_spelling_of_a_nodes_own_address_uses_no_socket() {
    // no other node can reach it at its stated address
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
    // the node that makes the call ends last, and only once
    let stopped = node.group("g").status().stop().await.unwrap();
    assert_eq!((stopped.values.len(), stopped.errors.len()), (1, 0));
    node.stopped().await;
}

#[tokio::test]
async fn membership_lists_a_node_once_under_its_own_spelling() {
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
    // members stay as they were put
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
    // a group that is put again is the same group with other members
    node.groups().put("g", [node.addr().clone()]).await.unwrap();
    node.groups().put("g", Vec::new()).await.unwrap();
    assert!(sid("g").await.unwrap_err().message.contains("no members"));
    // the deadline applies to that call alone
    assert!(sid("all").await.is_ok());
    node.stop().await;
}

#[tokio::test]
async fn a_call_on_a_group_is_answered_by_all_members() {
    let nodes = nodes(3).await;
    group(&nodes, "g").await;
    let g = nodes[0].group("g");
    let sids: BTreeSet<String> = nodes.iter().map(|node| node.sid().to_string()).collect();
    let named = |reply: &GroupReply| reply.values.keys().map(ToString::to_string).collect::<BTreeSet<_>>();

    let reply = g.comm().send(("sid",), &Remote::new("status", "get")).await.unwrap();
    assert_eq!(named(&reply), sids);
    assert!(reply.values.iter().all(|(sid, value)| *value == Value::from(sid.as_str())));

    // sums are one number, and other answers are by member
    let counts = g.status().counts().await.unwrap();
    assert!(counts.value >= 6 && counts.errors.is_empty());
    let (used, total) = (g.status().heap_used().await.unwrap(), g.status().heap_total().await.unwrap());
    assert!(used.value > 0 && total.value > 0);
    let Answer::Group { errors, value } = g.status().get("port").await.unwrap() else { panic!("not a group's answer") };
    assert!(errors.is_empty() && value.as_object().unwrap().len() == 3);
    let bogus: GroupReply = g.status().get("bogus").await.unwrap().try_into().unwrap();
    assert_eq!(bogus.errors.len(), 3);

    // the groups of the members
    let extra = NodeAddr::new("127.0.0.1", 1);
    assert_eq!(named(&g.groups().put("h", addresses(&nodes)).await.unwrap()), sids);
    let _ = g.groups().add("h", extra.clone()).await.unwrap();
    assert!(g.groups().get("h").await.unwrap().values.values().all(|set| set.as_object().unwrap().len() == 4));
    let _ = g.groups().rem("h", extra.sid().as_str()).await.unwrap();
    assert_eq!(nodes[2].groups().get("h").await.unwrap().len(), 3);
    let _ = g.groups().del("h").await.unwrap();
    assert_eq!(kind(nodes[1].groups().get("h").await), ErrorKind::UnknownGroup);
    assert_eq!(g.groups().del("h").await.unwrap().errors.len(), 3);

    // the route tables of the members
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
async fn a_dead_member_costs_a_group_call_one_error() {
    let mut nodes = nodes(2).await;
    // a member that stops without a farewell
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
    // only the second node has the service, and its method never answers
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
async fn groups_can_overlap_and_views_can_differ() {
    let nodes = nodes(3).await;
    let at = addresses(&nodes);
    // each node has other members under the same name: a ring
    for (index, node) in nodes.iter().enumerate() {
        node.groups().put("ring", [at[(index + 1) % 3].clone()]).await.unwrap();
    }
    for (index, node) in nodes.iter().enumerate() {
        let reply = node.group("ring").comm().send(("sid",), &Remote::new("status", "get")).await.unwrap();
        assert_eq!(reply.values.keys().collect::<Vec<_>>(), [&nodes[(index + 1) % 3].sid()]);
    }
    // two groups share a node
    nodes[0].groups().put("left", [at[0].clone(), at[1].clone()]).await.unwrap();
    nodes[0].groups().put("right", [at[1].clone(), at[2].clone()]).await.unwrap();
    for gid in ["left", "right"] {
        let _ = nodes[0].group(gid).comm().send((), &Remote::new("counter", "count")).await.unwrap();
    }
    for (node, counted) in nodes.iter().zip([1, 2, 1]) {
        let read = node.call(Gid::local(), "counter", "read", ()).await.unwrap();
        assert_eq!(read, Answer::Value(Value::from(counted)));
    }
    // a change of one node's view does not change the views of others
    nodes[0].groups().del("ring").await.unwrap();
    assert_eq!(nodes[1].groups().get("ring").await.unwrap().len(), 1);
    stop(nodes).await;
}

#[tokio::test]
async fn a_service_is_available_in_every_group() {
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
    // the other members do not notice
    assert!(g.status().counts().await.is_ok());
    assert!(node.group("all").call("fragile", "where", ()).await.is_ok());
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
