//! Clusters of nodes in virtual time: which nodes belong together, who comes back to what, and what is told about members
//! that were put and never answered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/street.rs"]
mod street;

use std::{rc::Rc, time::Duration};

use chinwag::{
    Gid, NodeAddr, Remote,
    actors::handle::NodeHandle,
    membership::{Event, Settings},
    protocol::swim::Status,
};
use futures_util::{FutureExt as _, StreamExt as _};
use street::*;
use tokio::time::{Instant, sleep};

fn joining(seed: &NodeAddr) -> Settings {
    Settings { seeds: vec![seed.into()], ..Settings::default() }
}

/// Nodes that have joined through the first of them, at these ports.
async fn cluster(street: &Rc<Street>, ports: std::ops::RangeInclusive<u16>) -> Vec<NodeHandle> {
    let first = at(*ports.start());
    let mut nodes = vec![street.open_as(&first, 1, Settings::default())];
    nodes.extend(ports.skip(1).map(|port| street.open_as(&at(port), 1, joining(&first))));
    knows_all(&nodes).await;
    // by then the cluster has an id
    sleep(Duration::from_secs(8)).await;
    nodes
}

async fn knows_all(nodes: &[NodeHandle]) {
    for node in nodes {
        for other in nodes {
            until("they know each other", || sees(node, "all", other.nid())).await;
        }
    }
}

async fn size(node: &NodeHandle, gid: &str) -> usize {
    node.groups().get(gid).await.map_or(0, |members| members.len())
}

#[test]
fn a_newcomer_learns_of_more_members_than_258_and_all_of_them_of_it() {
    story(async |street| {
        let seed = street.open_as(&at(1), 1, Settings::default());
        let settings = || Settings { on: true, ..joining(&at(1)) };
        let mut nodes = vec![seed];
        for port in 2..=270 {
            nodes.push(street.open_as(&at(port), 1, settings()));
        }
        for node in &nodes {
            until("all see all", async || size(node, "all").await == nodes.len()).await;
        }
        let newcomer = street.open_as(&at(900), 1, settings());
        until("it sees all", async || size(&newcomer, "all").await == nodes.len() + 1).await;
        until("the last sees it", || sees(&nodes[200], "all", newcomer.nid())).await;
    });
}

#[test]
fn members_that_only_one_node_speaks_of_neither_stay_nor_decide() {
    story(async |street| {
        let nodes = cluster(&street, 1..=4).await;
        // three hundred that nobody can reach, told as news of node 2
        let by = nodes[1].nid().to_string();
        for chunk in (0..300_u16).collect::<Vec<_>>().chunks(100) {
            let entries = chunk.iter().map(|number| {
                serde_json::json!({"peer": {"ip": "10.9.9.9", "port": 1 + number}, "life": 1, "turn": 0, "claim": "alive", "by": by})
            });
            let news = chinwag::Value::from_json(serde_json::Value::Array(entries.collect()));
            nodes[0].comm().send((news,), &Remote::new("gossip", "news").on(at(3))).await.unwrap();
        }
        until("they are taken for members", async || size(&nodes[2], "all").await == 304).await;
        let victim = nodes[3].nid();
        let began = Instant::now();
        street.shut(&at(4)).await;
        for node in &nodes[..3] {
            until("the dead one is gone", async || !sees(node, "all", victim).await).await;
        }
        assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    });
}

#[test]
fn a_node_killed_at_any_moment_after_it_was_put_is_removed_everywhere() {
    for after in [0, 50, 200, 500, 1_000, 2_000] {
        story(async |street| {
            let all: Vec<NodeAddr> = (1..=6).map(at).collect();
            let nodes: Vec<NodeHandle> = all.iter().map(|at| street.open_as(at, 1, Settings::default())).collect();
            // the first has heard from all of them, as one that has spawned them has
            for node in &all {
                nodes[0].comm().send(("sid",), &Remote::new("status", "get").on(node.clone())).await.unwrap();
            }
            for node in &nodes {
                node.groups().put("g", all.clone()).await.unwrap();
            }
            sleep(Duration::from_millis(after)).await;
            street.shut(&all[5]).await;
            for node in &nodes[..5] {
                let gone = async || !sees(node, "g", all[5].nid()).await;
                // what nobody has heard from stays: here somebody has, or nobody can tell
                if after >= 200 {
                    until(&format!("killed after {after} ms, it is gone"), gone).await;
                }
                for other in &all[..5] {
                    assert!(sees(node, "g", other.nid()).await);
                }
            }
        });
    }
}

#[test]
fn a_made_up_member_stays_is_unreachable_and_holds_up_no_call() {
    story(async |street| {
        let node = street.open_as(&at(1), 1, Settings::default());
        let mut events = node.events().await.unwrap();
        let made_up = NodeAddr::new("10.7.7.7", 1);
        node.groups().put("g", [at(1), made_up.clone()]).await.unwrap();
        until("it is unreachable", async || status(&node, made_up.nid()).await == Some(Status::Unreachable)).await;
        sleep(Duration::from_secs(120)).await;
        assert!(sees(&node, "g", made_up.nid()).await);
        let mut told = 0;
        while let Some(Some(event)) = events.next().now_or_never() {
            told += usize::from(matches!(event, Event::Unreachable(peer) if peer.nid == made_up.nid()));
        }
        assert_eq!(told, 1, "once");
        let list = node.membership().list().await.unwrap();
        let member = list.values().find(|member| member.node == made_up).unwrap();
        assert!(member.since.is_some_and(|since| since < 10_000.0), "{member:?}");
        let began = Instant::now();
        let replies = node.group("g").comm().send(("sid",), &Remote::new("status", "get")).await.unwrap();
        assert_eq!((replies.values.len(), replies.errors.len()), (1, 1));
        assert!(began.elapsed() <= Duration::from_secs(1), "{:?}", began.elapsed());
        // it comes to life
        let late = street.open_as(&made_up, 1, Settings::default());
        until("it joins", async || status(&node, made_up.nid()).await == Some(Status::Alive)).await;
        until("both know", || sees(&late, "all", node.nid())).await;
    });
}

#[test]
fn a_node_of_another_cluster_on_a_dead_members_address_is_a_stranger() {
    story(async |street| {
        let (east, west) = (cluster(&street, 1..=3).await, cluster(&street, 11..=13).await);
        street.shut(&at(3)).await;
        street.shut(&at(13)).await;
        let gone = async || status(&east[0], at(3).nid()).await == Some(Status::Failed);
        until("the east has removed its member", gone).await;
        // a node that joins the western cluster takes the address of a dead member of the eastern one
        let stray = street.open_as(&at(3), 2, joining(&at(11)));
        until("it is in the west", || sees(&west[0], "all", stray.nid())).await;
        sleep(Duration::from_secs(60)).await;
        for node in &east[..2] {
            assert_eq!(size(node, "all").await, 2, "{:?}", node.groups().get("all").await);
            assert_eq!(status(node, stray.nid()).await, Some(Status::Failed));
        }
        for node in [&west[0], &west[1], &stray] {
            assert_eq!(size(node, "all").await, 3);
        }
    });
}

#[test]
fn a_newcomer_takes_no_cluster_from_gossip_that_comes_before_its_membership_has_started() {
    story(async |street| {
        let (east, west) = (cluster(&street, 1..=3).await, cluster(&street, 11..=12).await);
        let ask = |method, argument| {
            let arguments = vec![chinwag::Value::from_json(argument)];
            chinwag::Call::new(Gid::local(), "gossip", method, arguments)
        };
        let id = east[0].dispatch(ask("ping", serde_json::json!({}))).await.unwrap().into_value();
        let id = id.get("cluster").and_then(|id| id.as_str().map(str::to_owned)).unwrap();
        street.shut(&at(3)).await;
        let stray = street.open_as(&at(3), 2, joining(&at(11)));
        // nothing of the node has run so far
        let comparison =
            serde_json::json!({"gid": "all", "hash": "0", "from": "10.0.0.1:1", "life": 1, "turn": 0, "cluster": id});
        let refused = stray.dispatch(ask("compare", comparison)).await.unwrap_err();
        assert_eq!(refused.kind, chinwag::ErrorKind::Other("Stranger".into()), "{refused}");
        until("it is in the west", || sees(&west[0], "all", stray.nid())).await;
        sleep(Duration::from_secs(30)).await;
        assert_eq!((size(&east[0], "all").await, size(&west[0], "all").await), (2, 3));
    });
}

#[test]
fn a_relay_that_reaches_a_node_of_another_cluster_does_not_count_as_having_reached_the_member() {
    story(async |street| {
        let (east, west) = (cluster(&street, 1..=4).await, cluster(&street, 11..=13).await);
        // the address is taken before anybody has missed the member, so that all relays get an answer there
        street.shut(&at(3)).await;
        let stray = street.open_as(&at(3), 2, joining(&at(11)));
        until("it is in the west", || sees(&west[0], "all", stray.nid())).await;
        for node in [&east[0], &east[1], &east[3]] {
            let gone = async || status(node, at(3).nid()).await == Some(Status::Failed);
            until("the east removes its member", gone).await;
        }
        assert!(!street.asked("relay").is_empty(), "relays were asked");
        for node in west.iter().chain([&stray]) {
            assert_eq!(size(node, "all").await, 4);
        }
    });
}

#[test]
fn a_comparison_that_nobody_asked_to_merge_by_merges_no_clusters() {
    story(async |street| {
        let nodes = cluster(&street, 1..=3).await;
        let mut events = Vec::new();
        for node in [&nodes[0], &nodes[2]] {
            events.push(node.events().await.unwrap());
        }
        street.asked.borrow_mut().clear();
        // by the time it answers the comparison, a node of a cluster with a lower id has the address
        let forged = [(at(2), "ping", "view", "abc".into()), (at(2), "sync", "cluster", "1".into())];
        street.forged.borrow_mut().extend(forged);
        until("both compare views with it", async || street.asked("sync").len() >= 10).await;
        for mut events in events {
            while let Some(Some(event)) = events.next().now_or_never() {
                assert!(!matches!(event, Event::Merged { .. }), "{event:?}");
            }
        }
    });
}

#[test]
fn two_clusters_merge_when_an_operator_puts_a_node_of_one_into_a_group_of_the_other() {
    story(async |street| {
        let (east, west) = (cluster(&street, 1..=4).await, cluster(&street, 11..=14).await);
        east[1].groups().put("both", [at(2), at(13)]).await.unwrap();
        for node in east.iter().chain(&west) {
            until("all see all", async || size(node, "all").await == 8).await;
        }
        sleep(Duration::from_secs(30)).await;
        for node in east.iter().chain(&west) {
            assert_eq!(size(node, "all").await, 8, "and they stay together");
        }
        assert!(west[2].groups().get("both").await.is_err(), "a put stays where it was made");
    });
}

#[test]
fn clusters_of_different_names_never_mix() {
    story(async |street| {
        let named = |name: &str, seed: Option<&NodeAddr>| Settings {
            cluster: name.to_owned(),
            ..seed.map_or_else(Settings::default, joining)
        };
        let one = street.open_as(&at(1), 1, named("east", None));
        let other = street.open_as(&at(2), 1, named("west", Some(&at(1))));
        one.groups().put("g", [at(1), at(2)]).await.unwrap();
        sleep(Duration::from_secs(60)).await;
        assert_eq!((size(&other, "all").await, status(&one, other.nid()).await), (1, Some(Status::Unreachable)));
        let same = street.open_as(&at(3), 1, named("east", Some(&at(1))));
        until("one of the same name joins", || sees(&one, "all", same.nid())).await;
    });
}

#[test]
fn a_node_restarted_at_once_without_a_seed_comes_back_to_what_it_was_in() {
    story(async |street| {
        let nodes = cluster(&street, 1..=4).await;
        for node in &nodes {
            node.groups().put("g", (1..=4).map(at).collect::<Vec<_>>()).await.unwrap();
        }
        street.shut(&at(3)).await;
        let again = street.open_as(&at(3), 2, Settings::default());
        for gid in ["all", "g"] {
            until("it knows the others", async || size(&again, gid).await == 4).await;
        }
        sleep(Duration::from_secs(10)).await;
        for node in [&nodes[0], &nodes[1], &nodes[3]] {
            assert!(sees(node, "g", again.nid()).await);
            assert_eq!(status(node, again.nid()).await, Some(Status::Alive));
        }
    });
}

#[test]
fn a_member_comes_back_into_its_groups_by_the_message_that_takes_another_out() {
    story(async |street| {
        let nodes = cluster(&street, 1..=4).await;
        nodes[0].groups().put("g", (1..=4).map(at).collect::<Vec<_>>()).await.unwrap();
        street.shut(&at(4)).await;
        let victim = nodes[3].nid();
        until("it is gone", async || status(&nodes[0], victim).await == Some(Status::Failed)).await;
        let entry = |port: u16, turn: u32, claim: &str| {
            let by = at(2).nid().to_string();
            serde_json::json!({"peer": {"ip": "10.0.0.1", "port": port}, "life": 1, "turn": turn, "claim": claim, "by": by})
        };
        let news = [entry(3, 0, "dead"), entry(4, 9, "alive")];
        let sync = serde_json::json!({
            "from": {"ip": "10.0.0.1", "port": 2}, "life": 1, "turn": 0, "parts": ["0"], "first": 1, "news": news
        });
        let sync = chinwag::Value::from_json(sync);
        nodes[1].comm().send((sync,), &Remote::new("gossip", "sync").on(at(1))).await.unwrap();
        assert!(sees(&nodes[0], "g", victim).await);
    });
}

/// Two nodes that are in town together, and whose cluster has an id.
async fn town_of_two(street: &Rc<Street>) -> [NodeHandle; 2] {
    let nodes = [street.open(&at(1), None), street.open(&at(2), Some("10.0.0.1:1"))];
    until("both are in town", async || size(&nodes[1], "town").await == 2).await;
    sleep(Duration::from_secs(8)).await;
    nodes
}

/// Has these two told that the node at port 3 lives, by somebody who has met it and does not know its groups.
async fn say_that_it_lives(newcomer: &NodeHandle) {
    let by = at(9).nid().to_string();
    let met =
        serde_json::json!([{"peer": {"ip": "10.0.0.1", "port": 3}, "life": 1, "turn": 0, "claim": "alive", "by": by}]);
    for to in [at(1), at(2)] {
        let news = chinwag::Value::from_json(met.clone());
        newcomer.comm().send((news,), &Remote::new("gossip", "news").on(to)).await.unwrap();
    }
}

#[test]
fn news_of_a_newcomer_without_its_groups_does_not_keep_its_seed_from_naming_them() {
    story(async |street| {
        let nodes = town_of_two(&street).await;
        let newcomer = street.open(&at(3), Some("10.0.0.1:1"));
        until("it has joined", || sees(&nodes[0], "all", newcomer.nid())).await;
        // somebody who has met it is quicker to say so
        say_that_it_lives(&newcomer).await;
        until("the other has it in town", || sees(&nodes[1], "town", newcomer.nid())).await;
    });
}

#[test]
fn a_newcomer_of_which_all_have_heard_before_it_joins_is_in_its_group_everywhere() {
    story(async |street| {
        let nodes = town_of_two(&street).await;
        let newcomer = street.open(&at(3), None);
        say_that_it_lives(&newcomer).await;
        street.shut(&at(3)).await;
        let newcomer = street.open(&at(3), Some("10.0.0.1:1"));
        until("the other has it in town", || sees(&nodes[1], "town", newcomer.nid())).await;
    });
}

#[test]
fn a_restarted_node_says_in_which_groups_it_is_to_whoever_welcomes_it() {
    story(async |street| {
        let node = street.open(&at(1), None);
        let asker = street.open_as(&at(2), 1, Settings::default());
        let ping = serde_json::json!({"from": {"ip": "10.0.0.1", "port": 2}, "life": 1, "turn": 0, "welcome": []});
        let ping = chinwag::Value::from_json(ping);
        let answer = asker.comm().send((ping,), &Remote::new("gossip", "ping").on(at(1))).await.unwrap();
        let groups = answer.get("about").and_then(|about| about.get("groups")).cloned();
        assert_eq!(groups, Some(chinwag::Value::from_json(serde_json::json!(["town"]))), "{answer:?}");
        drop(node);
    });
}

#[test]
fn a_restarted_node_asks_the_member_that_welcomed_it_even_if_it_joins_through_another() {
    story(async |street| {
        let nodes = cluster(&street, 1..=5).await;
        let own = |port: u16| format!("g{port}");
        for (node, port) in nodes.iter().zip(1..=4) {
            node.groups().put(own(port).as_str(), [at(port), at(5)]).await.unwrap();
        }
        street.shut(&at(5)).await;
        street.lost.borrow_mut().extend((1..=4).map(|port| (at(port), "sync")));
        let again = street.open_as(&at(5), 2, Settings::default());
        // the first attempt to join takes two seconds to fail
        sleep(Duration::from_millis(2_100)).await;
        street.lost.borrow_mut().clear();
        for port in 1..=4 {
            until("it knows the group", async || size(&again, &own(port)).await == 2).await;
        }
    });
}

#[test]
fn a_node_whose_clock_was_set_back_is_a_member_in_a_later_life() {
    story(async |street| {
        let seed = street.open_as(&at(1), 1_000_000, Settings::default());
        let first = street.open_as(&at(2), 1_000_000, joining(&at(1)));
        until("it joins", || sees(&seed, "all", first.nid())).await;
        street.shut(&at(2)).await;
        let again = street.open_as(&at(2), 5, joining(&at(1)));
        until("it is back", async || {
            let list = seed.membership().list().await.unwrap();
            let member = list.values().find(|member| member.node == at(2)).cloned();
            member.is_some_and(|member| member.status == Status::Alive && member.incarnation.life > 1_000_000)
        })
        .await;
        until("it knows the seed", || sees(&again, "all", seed.nid())).await;
    });
}

#[test]
fn a_node_through_which_another_joins_goes_on_looking_for_its_own_seed() {
    story(async |street| {
        let node = street.open_as(&at(2), 1, joining(&at(1)));
        let guest = street.open_as(&at(3), 1, joining(&at(2)));
        until("the guest has joined", || sees(&guest, "all", node.nid())).await;
        sleep(Duration::from_secs(30)).await;
        let seed = street.open_as(&at(1), 1, Settings::default());
        knows_all(&[seed, node, guest]).await;
    });
}

#[test]
fn a_node_that_does_not_answer_where_it_says_it_is_may_not_join() {
    story(async |street| {
        let seed = street.open_as(&at(1), 1, Settings::default());
        let hidden = street.open_as(&at(2), 1, joining(&at(1)));
        // nobody is reached at the address that it states
        street.nodes.borrow_mut().remove(&at(2).nid());
        sleep(Duration::from_secs(20)).await;
        assert_eq!((size(&seed, "all").await, size(&hidden, "all").await), (1, 1));
        street.nodes.borrow_mut().insert(at(2).nid(), hidden.clone());
        until("it joins once it is reached", || sees(&seed, "all", hidden.nid())).await;
    });
}

#[test]
fn a_seed_that_is_the_node_itself_is_not_tried_for_ever() {
    story(async |street| {
        let node = street.open_as(&at(1), 1, joining(&at(1)));
        sleep(Duration::from_secs(120)).await;
        assert_eq!(street.asked("sync"), []);
        assert_eq!(size(&node, "all").await, 1);
    });
}

#[test]
fn a_node_with_two_hundred_large_groups_hands_them_to_a_newcomer_in_pages() {
    story(async |street| {
        let seed = street.open_as(&at(1), 1, Settings { on: true, ..Settings::default() });
        let members: Vec<NodeAddr> =
            (0..400).map(|number| NodeAddr::new("10.8.8.8", 1 + number)).chain([at(1), at(2)]).collect();
        for number in 0..40 {
            seed.groups().put(format!("group{number}").as_str(), members.clone()).await.unwrap();
        }
        let newcomer = street.open_as(&at(2), 1, joining(&at(1)));
        for number in [0, 7, 39] {
            let gid = format!("group{number}");
            until("it has the group", async || size(&newcomer, &gid).await == 402).await;
        }
        assert!(newcomer.groups().get(Gid::all().as_str()).await.is_ok());
    });
}
