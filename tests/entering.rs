//! What a node performs after it enters a group: messages that are sent from then on, and no older ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chinwag::{Value, actors::settings::Settings};
use chinwag_protocol::{
    call::Remote,
    group::{Group, GroupConfig},
    identity::Gid,
};
use chinwag_simulation::{GROUP, Latency, Net, Simulation, Skew};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn heard(net: &Net, node: usize) -> Vec<String> {
    let life = net.life(node);
    net.heard(node).into_iter().filter(|heard| heard.life == life).map(|heard| heard.message.to_string()).collect()
}

async fn until_heard(net: &Net, node: usize, message: &str) {
    let there = |net: &Net| heard(net, node).iter().any(|heard| heard == message);
    assert!(net.until(seconds(10), there).await, "node {node} has not heard {message:?}");
}

fn group(gid: &str) -> GroupConfig {
    GroupConfig::new(Gid::new(gid).unwrap())
}

fn members(net: &Net, nodes: impl IntoIterator<Item = usize>) -> Group {
    nodes.into_iter().map(|node| net.addr(node)).collect()
}

async fn put(net: &Net, node: usize, config: &GroupConfig, members: &Group) {
    net.node(node).groups().put(config.clone(), members.clone()).await.unwrap();
}

async fn send(net: &Net, from: usize, gid: &str, message: &str) {
    let remote = Remote::new("record", "hear");
    let _ = net.node(from).group(gid).gossip().send((message,), &remote).await.unwrap();
}

fn network(seed: u64, nodes: usize) -> Simulation {
    Simulation::new(seed).nodes(nodes).latency(Latency::Constant(5))
}

#[test]
fn a_message_sent_before_the_put_is_not_performed_and_one_sent_after_it_is() {
    for (config, performs_old) in [(group("club"), false), (group("club").with("replay", true), true)] {
        let result = network(1, 10).run(|net| async move {
            for node in 0..9 {
                put(&net, node, &config, &members(&net, 0..9)).await;
            }
            send(&net, 3, "club", "old").await;
            net.advance(seconds(5)).await;
            assert!((0..9).all(|node| heard(&net, node) == ["old"]));
            put(&net, 9, &config, &members(&net, 0..10)).await;
            for node in 0..9 {
                put(&net, node, &config, &members(&net, 0..10)).await;
            }
            send(&net, 4, "club", "new").await;
            until_heard(&net, 9, "new").await;
            // enough time to compare
            net.advance(seconds(20)).await;
            let mut messages = heard(&net, 9);
            messages.sort();
            assert_eq!(messages, if performs_old { vec!["new", "old"] } else { vec!["new"] });
        });
        result.unwrap();
    }
}

#[test]
fn a_message_with_replay_is_performed_by_nodes_that_enter_later() {
    let result = network(2, 6).run(|net| async move {
        for node in 0..5 {
            put(&net, node, &group("club"), &members(&net, 0..5)).await;
        }
        let gossip = net.node(0).group("club");
        let _ = gossip.gossip().send_replayed(("kept",), &Remote::new("record", "hear")).await.unwrap();
        send(&net, 0, "club", "not kept").await;
        net.advance(seconds(5)).await;
        for node in 0..6 {
            put(&net, node, &group("club"), &members(&net, 0..6)).await;
        }
        until_heard(&net, 5, "kept").await;
        net.advance(seconds(20)).await;
        assert_eq!(heard(&net, 5), ["kept"]);
        // an unknown option is refused
        let message = [Value::from(vec![Value::from("x")]), Remote::new("record", "hear").to_value()];
        for (options, named) in [(serde_json::json!({"repaly": true}), "repaly"), (serde_json::json!(3), "number")] {
            let arguments = [&message[..], &[Value::from_json(options)]].concat();
            let refused = net.node(0).group("club").call("gossip", "send", arguments).await.unwrap_err();
            assert!(refused.message.contains(named), "{refused}");
        }
    });
    result.unwrap();
}

#[test]
fn a_restart_is_a_new_entry_and_a_healed_partition_is_not() {
    let result = network(3, 8).run(|net| async move {
        net.tell(0, "old");
        assert!(net.until_all_heard("old", seconds(5)).await);
        // no push is under way any more
        net.advance(seconds(2)).await;
        net.restart(7);
        assert!(net.until(seconds(2), |net| net.entered_at(7).is_some()).await);
        net.advance(seconds(10)).await;
        assert!(heard(&net, 7).is_empty());
        // two nodes miss this message during the partition, and hear it after it
        net.partition([[6, 7]]);
        net.tell(1, "missed");
        net.advance(seconds(120)).await;
        assert!(heard(&net, 7).is_empty() && heard(&net, 1).contains(&"missed".to_owned()));
        net.heal();
        until_heard(&net, 7, "missed").await;
        until_heard(&net, 6, "missed").await;
        net.advance(seconds(10)).await;
        assert_eq!(
            (heard(&net, 7), heard(&net, 6)),
            (vec!["missed".to_owned()], vec!["old".to_owned(), "missed".to_owned()])
        );
        // the node holds what it did not perform, for nodes that missed it; here no node did
        net.restart(6);
        net.advance(seconds(10)).await;
        assert!(heard(&net, 6).is_empty());
    });
    result.unwrap();
}

#[test]
fn a_newcomer_passes_on_messages_that_it_did_not_perform() {
    let result = network(4, 4).run(|net| async move {
        net.partition([[3]]);
        net.tell(0, "old");
        assert!(net.until(seconds(5), |net| (0..3).all(|node| !net.heard(node).is_empty())).await);
        net.advance(seconds(2)).await;
        // all nodes that performed the message are replaced one after another
        for node in 0..3 {
            net.restart(node);
            net.advance(seconds(10)).await;
        }
        net.heal();
        until_heard(&net, 3, "old").await;
        net.advance(seconds(10)).await;
        assert!((0..3).all(|node| heard(&net, node).is_empty()));
    });
    result.unwrap();
}

#[test]
fn a_deleted_group_that_is_put_again_is_entered_again() {
    let result = network(5, 4).run(|net| async move {
        let all = members(&net, 0..4);
        for node in 0..4 {
            put(&net, node, &group("club"), &all).await;
        }
        net.node(3).groups().del("club").await.unwrap();
        send(&net, 0, "club", "while it was out").await;
        net.advance(seconds(5)).await;
        put(&net, 3, &group("club"), &all).await;
        send(&net, 1, "club", "new").await;
        until_heard(&net, 3, "new").await;
        net.advance(seconds(20)).await;
        assert_eq!(heard(&net, 3), ["new"]);
        // a second put of a group does not make the node enter it again
        put(&net, 3, &group("club"), &all).await;
        send(&net, 2, "club", "newer").await;
        until_heard(&net, 3, "newer").await;
    });
    result.unwrap();
}

#[test]
fn a_put_is_answered_at_once_with_refusing_members_and_after_300_ms_with_silent_ones() {
    let result = network(7, 6).run(|net| async move {
        for node in 1..6 {
            net.crash(node);
        }
        // refused connections are answers
        let begun = net.now();
        put(&net, 0, &group("refused"), &members(&net, 0..6)).await;
        assert!(net.now() - begun < Duration::from_millis(50), "{:?}", net.now() - begun);
        // silence is not an answer
        for node in 1..6 {
            net.restart(node);
            net.cut(0, node);
        }
        let begun = net.now();
        put(&net, 0, &group("silent"), &members(&net, 0..6)).await;
        let took = net.now() - begun;
        assert!(took <= Duration::from_millis(310), "{took:?}");
        // nodes that do not know the group answer too
        net.heal();
        let begun = net.now();
        put(&net, 0, &group("unknown"), &members(&net, 0..6)).await;
        assert!(net.now() - begun < Duration::from_millis(50), "{:?}", net.now() - begun);
    });
    result.unwrap();
}

#[test]
fn messages_of_a_node_whose_clock_was_set_back_are_performed() {
    for seed in 1..=5 {
        let result = network(seed, 6).run(|net| async move {
            // the other nodes learn as many lives of the node as they remember
            for life in 0..4 {
                let message = format!("life {life}");
                net.tell(0, &message);
                let all = |net: &Net| (1..6).all(|node| net.heard(node).iter().any(|heard| *heard.message == *message));
                assert!(net.until(seconds(10), all).await, "{message}");
                net.restart(0);
                net.advance(seconds(30)).await;
            }
            net.set_clock(Skew::none(0).offset(-3_600_000)).unwrap();
            net.restart(0);
            // before it has entered, and learned of its earlier lives
            let outcomes = Arc::new(Mutex::new(None));
            let reply = net.gossip(0, ("early",), &Remote::new("record", "hear")).await.unwrap();
            *outcomes.lock().unwrap() = Some(reply);
            for node in 1..6 {
                until_heard(&net, node, "early").await;
            }
            net.advance(seconds(5)).await;
            net.tell(0, "late");
            for node in 0..6 {
                until_heard(&net, node, "late").await;
            }
            for node in 1..6 {
                let early = heard(&net, node).into_iter().filter(|heard| heard == "early").count();
                assert_eq!(early, 1, "node {node}");
            }
            let reply = outcomes.lock().unwrap().take().unwrap();
            assert!(reply.errors.is_empty(), "{reply:?}");
        });
        result.unwrap();
    }
}

#[test]
fn a_node_that_joins_performs_no_older_messages_in_all() {
    let settings = Settings::default();
    let result = network(8, 4).settings(settings).run(|net| async move {
        net.advance(seconds(15)).await;
        send(&net, 0, "all", "old").await;
        send(&net, 0, GROUP, "old too").await;
        net.advance(seconds(5)).await;
        net.restart(3);
        net.advance(seconds(60)).await;
        assert!(heard(&net, 3).is_empty(), "{:?}", heard(&net, 3));
        send(&net, 1, "all", "new").await;
        until_heard(&net, 3, "new").await;
    });
    result.unwrap();
}
