//! What a node keeps of a deleted group: nothing that grows, and enough that no message is lost or performed twice if
//! the group is put again.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use chinwag::{
    ErrorKind, Gid, GroupConfig, GroupReply, NodeAddr, Remote, Value, actors::handle::NodeHandle,
    protocol::group::MAX_GROUPS,
};
use chinwag_simulation::{GROUP, Latency, Net, Simulation};

mod support;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn nodes(count: usize) -> Simulation {
    // the simulation's own group makes no requests by itself
    let quiet = GroupConfig::new(Gid::new(GROUP).unwrap()).with("tick", 86_400_000);
    Simulation::new(1).nodes(count).latency(Latency::Constant(5)).group(quiet).service(support::counter())
}

fn addresses(net: &Net) -> Vec<NodeAddr> {
    (0..net.len()).map(|index| net.addr(index)).collect()
}

async fn count(node: &NodeHandle) -> Value {
    node.call(Gid::local(), "counter", "read", ()).await.unwrap().into_value()
}

async fn gossip_count(node: &NodeHandle, gid: &str) -> GroupReply {
    node.group(gid).gossip().send((), &Remote::new("counter", "count")).await.unwrap()
}

#[test]
fn more_groups_can_be_put_and_deleted_in_turn_than_at_once() {
    nodes(2)
        .run(|net| async move {
            let node = net.node(0);
            for number in 0..MAX_GROUPS + 10 {
                let gid = format!("g{number}");
                node.groups().put(gid.as_str(), [net.addr(0)]).await.unwrap();
                let _ = gossip_count(&node, &gid).await;
                node.groups().del(&gid).await.unwrap();
            }
            assert_eq!(count(&node).await, Value::from((MAX_GROUPS + 10) as u64));
            let load = node.status().load().await.unwrap();
            for (name, fill) in &load {
                assert!(fill.held <= fill.most, "{name}: {fill:?}");
            }
            assert_eq!(load["groups"].held, 2, "`all` and the simulation's own");
        })
        .unwrap();
}

#[test]
fn a_group_that_is_put_again_performs_each_message_once() {
    nodes(2)
        .run(|net| async move {
            let (node, other) = (net.node(0), net.node(1));
            other.groups().put("g", addresses(&net)).await.unwrap();
            for round in 1..=5_u64 {
                node.groups().put("g", addresses(&net)).await.unwrap();
                // each node has performed its own message and the other's
                for (sender, sent) in [(&node, 2 * round - 1), (&other, 2 * round)] {
                    let _ = gossip_count(sender, "g").await;
                    net.advance(ms(1_000)).await;
                    assert_eq!((count(&node).await, count(&other).await), (Value::from(sent), Value::from(sent)));
                }
                node.groups().del("g").await.unwrap();
            }
        })
        .unwrap();
}

#[test]
fn requests_and_timers_of_a_deleted_group_do_not_reach_its_replacement() {
    let slow = GroupConfig::new(Gid::new("g").unwrap()).with("tick", 1_000).with("requestTimeout", 60_000);
    nodes(2)
        .run(|net| async move {
            let (node, other) = (net.node(0), net.node(1));
            other.groups().put("g", addresses(&net)).await.unwrap();
            node.groups().put(slow.clone(), addresses(&net)).await.unwrap();
            // the other node answers only after its group has been replaced
            net.set_link_latency(0, 1, Latency::Constant(2_000));
            let sender = node.clone();
            let waiting = actix_web::rt::spawn(async move { gossip_count(&sender, "g").await });
            net.advance(ms(100)).await;
            node.groups().del("g").await.unwrap();
            node.groups().put(slow, addresses(&net)).await.unwrap();
            net.set_link_latency(0, 1, Latency::Constant(5));
            assert_eq!(gossip_count(&node, "g").await.values.len(), 2);
            // the request that was under way during the deletion arrives, and its sender receives the answer
            let reply = waiting.await.unwrap();
            assert_eq!((reply.values.len(), reply.errors.len()), (2, 0), "{reply:?}");
            net.advance(ms(2_000)).await;
            assert_eq!((count(&node).await, count(&other).await), (Value::from(2), Value::from(2)));
            // one timer runs, not one for each put
            let before = other.status().counts().await.unwrap();
            net.advance(ms(20_000)).await;
            let asked = other.status().counts().await.unwrap() - before;
            assert!((15..=30).contains(&asked), "{asked} requests in twenty ticks");
        })
        .unwrap();
}

#[test]
fn a_sender_whose_message_waits_during_the_deletion_receives_an_error() {
    let group = GroupConfig::new(Gid::new("g").unwrap()).with("subset", "all");
    nodes(301)
        .run(|net| async move {
            net.partition([[0]]);
            let node = net.node(0);
            node.groups().put(group, addresses(&net)).await.unwrap();
            let send = || {
                let node = node.clone();
                let remote = Remote::new("counter", "count");
                actix_web::rt::spawn(async move { node.group("g").gossip().send((), &remote).await })
            };
            // the first message uses all requests that may be under way, so the second waits
            let (first, second) = (send(), send());
            net.advance(ms(100)).await;
            node.groups().del("g").await.unwrap();
            let second = second.await.unwrap().unwrap_err();
            assert_eq!(second.kind, ErrorKind::UnknownGroup, "{second}");
            assert!(second.message.contains("deleted"), "{second}");
            let first = first.await.unwrap().unwrap();
            assert_eq!((first.values.len(), first.errors.len()), (1, 300));
        })
        .unwrap();
}

#[test]
fn a_message_that_deletes_its_own_group_reaches_every_member() {
    nodes(40)
        .run(|net| async move {
            for index in 0..net.len() {
                net.node(index).groups().put("g", addresses(&net)).await.unwrap();
            }
            let reply = net.node(0).group("g").gossip().send(("g",), &Remote::new("groups", "del")).await.unwrap();
            assert!(reply.errors.is_empty() && reply.values.len() > 1, "{reply:?}");
            net.advance(ms(5_000)).await;
            let mut left = Vec::new();
            for index in 0..net.len() {
                if net.node(index).groups().get("g").await.is_ok() {
                    left.push(index);
                }
            }
            assert!(left.is_empty(), "still there on {left:?}");
        })
        .unwrap();
}
