//! Clusters of nodes in virtual time: which nodes belong together, which groups a returning node enters, and the news
//! about members that never answered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{rc::Rc, time::Duration};

use chinwag::{
    Gid, NodeAddr, Remote,
    actors::handle::NodeHandle,
    membership::{Event, Settings},
    protocol::swim::Status,
};
use futures_util::FutureExt as _;
use support::{network::*, until};
use tokio::time::{Instant, sleep};

fn joining(seed: &NodeAddr) -> Settings {
    let mut settings = Settings::default();
    settings.seeds.push(seed.into());
    settings
}

/// Starts nodes at these ports, which join through the first of them.
async fn cluster(network: &Rc<Network>, ports: std::ops::RangeInclusive<u16>) -> Vec<NodeHandle> {
    let first = at(*ports.start());
    let mut nodes = vec![network.start_life(&first, 1, Settings::default())];
    nodes.extend(ports.skip(1).map(|port| network.start_life(&at(port), 1, joining(&first))));
    until_all_know_each_other(&nodes).await;
    until_of_one_cluster(&nodes).await;
    nodes
}

async fn until_all_know_each_other(nodes: &[NodeHandle]) {
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
fn a_newcomer_and_more_than_258_members_learn_of_each_other() {
    in_virtual_time(async |network| {
        let seed = network.start_life(&at(1), 1, Settings::default());
        let mut nodes = vec![seed];
        for port in 2..=270 {
            nodes.push(network.start_life(&at(port), 1, joining(&at(1))));
        }
        for node in &nodes {
            until("all see all", async || size(node, "all").await == nodes.len()).await;
        }
        let newcomer = network.start_life(&at(900), 1, joining(&at(1)));
        until("it sees all", async || size(&newcomer, "all").await == nodes.len() + 1).await;
        until("the last sees it", || sees(&nodes[200], "all", newcomer.nid())).await;
    });
}

#[test]
fn members_that_only_one_node_reports_are_dropped_and_have_no_vote() {
    in_virtual_time(async |network| {
        let nodes = cluster(&network, 1..=4).await;
        // three hundred unreachable nodes, in the news of node 2
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
        network.crash(&at(4)).await;
        for node in &nodes[..3] {
            until("the dead one is gone", async || !sees(node, "all", victim).await).await;
        }
        assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    });
}

#[test]
fn a_node_killed_at_any_time_after_a_put_is_removed_by_all() {
    for after in [0, 50, 200, 500, 1_000, 2_000] {
        in_virtual_time(async |network| {
            let all: Vec<NodeAddr> = (1..=6).map(at).collect();
            let nodes: Vec<NodeHandle> = all.iter().map(|at| network.start_life(at, 1, Settings::default())).collect();
            // the first node has heard from all of them, like a node that has spawned them
            for node in &all {
                nodes[0].comm().send(("sid",), &Remote::new("status", "get").on(node.clone())).await.unwrap();
            }
            for node in &nodes {
                node.groups().put("g", all.clone()).await.unwrap();
            }
            // how soon it is killed is what the test is about
            sleep(Duration::from_millis(after)).await;
            network.crash(&all[5]).await;
            for node in &nodes[..5] {
                let gone = async || !sees(node, "g", all[5].nid()).await;
                // a node that nobody has heard from stays; here some node has heard from it, or this is not certain
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
fn a_nonexistent_member_stays_as_unreachable_and_delays_no_call() {
    in_virtual_time(async |network| {
        let node = network.start_life(&at(1), 1, Settings::default());
        let mut events = node.events().await.unwrap();
        let made_up = NodeAddr::new("10.7.7.7", 1);
        node.groups().put("g", [at(1), made_up.clone()]).await.unwrap();
        until("it is unreachable", async || status(&node, made_up.nid()).await == Some(Status::Unreachable)).await;
        // a member that does not answer for two minutes
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
        // the member starts
        let late = network.start_life(&made_up, 1, Settings::default());
        until("it joins", async || status(&node, made_up.nid()).await == Some(Status::Alive)).await;
        until("both know", || sees(&late, "all", node.nid())).await;
    });
}

#[test]
fn a_node_of_another_cluster_at_the_address_of_a_dead_member_is_a_stranger() {
    in_virtual_time(async |network| {
        let (east, west) = (cluster(&network, 1..=3).await, cluster(&network, 11..=13).await);
        network.crash(&at(3)).await;
        network.crash(&at(13)).await;
        let gone = async || status(&east[0], at(3).nid()).await == Some(Status::Failed);
        until("the east has removed its member", gone).await;
        // a node that joins the second cluster takes the address of a dead member of the first
        let stray = network.start_life(&at(3), 2, joining(&at(11)));
        until("it is in the west", || sees(&west[0], "all", stray.nid())).await;
        // the time in which they could meet
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
fn a_newcomer_takes_no_cluster_id_from_gossip_before_its_membership_starts() {
    in_virtual_time(async |network| {
        let (east, west) = (cluster(&network, 1..=3).await, cluster(&network, 11..=12).await);
        let ask = |method, argument| {
            let arguments = vec![chinwag::Value::from_json(argument)];
            chinwag::Call::new(Gid::local(), "gossip", method, arguments)
        };
        let id = east[0].dispatch(ask("ping", serde_json::json!({}))).await.unwrap().into_value();
        let id = id.get("cluster").and_then(|id| id.as_str().map(str::to_owned)).unwrap();
        network.crash(&at(3)).await;
        let stray = network.start_life(&at(3), 2, joining(&at(11)));
        // the tasks of the node have not run yet
        let comparison =
            serde_json::json!({"gid": "all", "hash": "0", "from": "10.0.0.1:1", "life": 1, "turn": 0, "cluster": id});
        let refused = stray.dispatch(ask("compare", comparison)).await.unwrap_err();
        assert_eq!(refused.kind, chinwag::ErrorKind::Other("Stranger".into()), "{refused}");
        until("it is in the west", || sees(&west[0], "all", stray.nid())).await;
        // the time in which the clusters could meet
        sleep(Duration::from_secs(30)).await;
        assert_eq!((size(&east[0], "all").await, size(&west[0], "all").await), (2, 3));
    });
}

#[test]
fn a_relay_that_reaches_a_node_of_another_cluster_does_not_confirm_the_member() {
    in_virtual_time(async |network| {
        let (east, west) = (cluster(&network, 1..=4).await, cluster(&network, 11..=13).await);
        // the address is taken before any member notices the end, so that all relays get an answer there
        network.crash(&at(3)).await;
        let stray = network.start_life(&at(3), 2, joining(&at(11)));
        until("it is in the west", || sees(&west[0], "all", stray.nid())).await;
        for node in [&east[0], &east[1], &east[3]] {
            let gone = async || status(node, at(3).nid()).await == Some(Status::Failed);
            until("the east removes its member", gone).await;
        }
        assert!(!network.receivers_of("relay").is_empty(), "relays were asked");
        for node in west.iter().chain([&stray]) {
            assert_eq!(size(node, "all").await, 4);
        }
    });
}

#[test]
fn a_comparison_without_a_put_or_join_merges_no_clusters() {
    in_virtual_time(async |network| {
        let nodes = cluster(&network, 1..=3).await;
        let mut events = Vec::new();
        for node in [&nodes[0], &nodes[2]] {
            events.push(node.events().await.unwrap());
        }
        network.requests.borrow_mut().clear();
        // when it answers the comparison, a node of a cluster with a lower id has its address
        let forged = [(at(2), "ping", "view", "abc".into()), (at(2), "sync", "cluster", "1".into())];
        network.forged.borrow_mut().extend(forged);
        until("both compare views with it", async || network.receivers_of("sync").len() >= 10).await;
        for mut events in events {
            while let Some(Some(event)) = events.next().now_or_never() {
                assert!(!matches!(event, Event::Merged { .. }), "{event:?}");
            }
        }
    });
}

#[test]
fn a_put_of_a_node_of_another_cluster_merges_the_clusters() {
    in_virtual_time(async |network| {
        let (east, west) = (cluster(&network, 1..=4).await, cluster(&network, 11..=14).await);
        east[1].groups().put("both", [at(2), at(13)]).await.unwrap();
        for node in east.iter().chain(&west) {
            until("all see all", async || size(node, "all").await == 8).await;
        }
        // the time in which they could part again
        sleep(Duration::from_secs(30)).await;
        for node in east.iter().chain(&west) {
            assert_eq!(size(node, "all").await, 8, "and they stay together");
        }
        assert!(west[2].groups().get("both").await.is_err(), "a put stays where it was made");
    });
}

#[test]
fn clusters_with_different_names_never_merge() {
    in_virtual_time(async |network| {
        let named = |name: &str, seed: Option<&NodeAddr>| {
            let mut settings = seed.map_or_else(Settings::default, joining);
            settings.cluster = name.to_owned();
            settings
        };
        let one = network.start_life(&at(1), 1, named("east", None));
        let other = network.start_life(&at(2), 1, named("west", Some(&at(1))));
        one.groups().put("g", [at(1), at(2)]).await.unwrap();
        // the time in which they could merge
        sleep(Duration::from_secs(60)).await;
        assert_eq!((size(&other, "all").await, status(&one, other.nid()).await), (1, Some(Status::Unreachable)));
        let same = network.start_life(&at(3), 1, named("east", Some(&at(1))));
        until("one of the same name joins", || sees(&one, "all", same.nid())).await;
    });
}

#[test]
fn a_node_that_restarts_at_once_without_a_seed_returns_to_its_groups() {
    in_virtual_time(async |network| {
        let nodes = cluster(&network, 1..=4).await;
        for node in &nodes {
            node.groups().put("g", (1..=4).map(at).collect::<Vec<_>>()).await.unwrap();
        }
        network.crash(&at(3)).await;
        let again = network.start_life(&at(3), 2, Settings::default());
        for gid in ["all", "g"] {
            until("it knows the others", async || size(&again, gid).await == 4).await;
        }
        for node in [&nodes[0], &nodes[1], &nodes[3]] {
            until("its new life is known", async || {
                let list = node.membership().list().await.unwrap();
                let member = list.values().find(|member| member.node == at(3)).cloned();
                member.is_some_and(|member| member.status == Status::Alive && member.incarnation.life == 2)
            })
            .await;
            assert!(sees(node, "g", again.nid()).await);
        }
    });
}

#[test]
fn the_news_that_removes_one_member_readmits_another_to_its_groups() {
    in_virtual_time(async |network| {
        let nodes = cluster(&network, 1..=4).await;
        nodes[0].groups().put("g", (1..=4).map(at).collect::<Vec<_>>()).await.unwrap();
        network.crash(&at(4)).await;
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

/// Two members of the group `web`, whose cluster has an id.
async fn pair_in_web(network: &Rc<Network>) -> [NodeHandle; 2] {
    let nodes = [network.start(&at(1), None), network.start(&at(2), Some("10.0.0.1:1"))];
    until("both are in town", async || size(&nodes[1], "web").await == 2).await;
    until_of_one_cluster(&nodes).await;
    nodes
}

/// Tells both nodes that the node at port 3 is alive, as a node does that has met it and does not know its groups.
async fn report_alive(newcomer: &NodeHandle) {
    let by = at(9).nid().to_string();
    let met =
        serde_json::json!([{"peer": {"ip": "10.0.0.1", "port": 3}, "life": 1, "turn": 0, "claim": "alive", "by": by}]);
    for to in [at(1), at(2)] {
        let news = chinwag::Value::from_json(met.clone());
        newcomer.comm().send((news,), &Remote::new("gossip", "news").on(to)).await.unwrap();
    }
}

#[test]
fn news_without_groups_does_not_keep_the_seed_from_reporting_the_groups_of_a_newcomer() {
    in_virtual_time(async |network| {
        let nodes = pair_in_web(&network).await;
        let newcomer = network.start(&at(3), Some("10.0.0.1:1"));
        until("it has joined", || sees(&nodes[0], "all", newcomer.nid())).await;
        // another node that has met it reports it first
        report_alive(&newcomer).await;
        until("the other has it in the group", || sees(&nodes[1], "web", newcomer.nid())).await;
    });
}

#[test]
fn a_newcomer_known_before_it_joins_is_in_its_group_on_all_nodes() {
    in_virtual_time(async |network| {
        let nodes = pair_in_web(&network).await;
        let newcomer = network.start(&at(3), None);
        report_alive(&newcomer).await;
        network.crash(&at(3)).await;
        let newcomer = network.start(&at(3), Some("10.0.0.1:1"));
        until("the other has it in the group", || sees(&nodes[1], "web", newcomer.nid())).await;
    });
}

#[test]
fn a_restarted_node_reports_its_groups_to_the_member_that_readmits_it() {
    in_virtual_time(async |network| {
        let node = network.start(&at(1), None);
        let asker = network.start_life(&at(2), 1, Settings::default());
        let ping = serde_json::json!({"from": {"ip": "10.0.0.1", "port": 2}, "life": 1, "turn": 0, "welcome": []});
        let ping = chinwag::Value::from_json(ping);
        let answer = asker.comm().send((ping,), &Remote::new("gossip", "ping").on(at(1))).await.unwrap();
        let groups = answer.get("about").and_then(|about| about.get("groups")).cloned();
        assert_eq!(groups, Some(chinwag::Value::from_json(serde_json::json!(["web"]))), "{answer:?}");
        drop(node);
    });
}

#[test]
fn a_restarted_node_asks_the_member_that_readmits_it_even_if_it_joins_through_another() {
    in_virtual_time(async |network| {
        let nodes = cluster(&network, 1..=5).await;
        let own = |port: u16| format!("g{port}");
        for (node, port) in nodes.iter().zip(1..=4) {
            node.groups().put(own(port).as_str(), [at(port), at(5)]).await.unwrap();
        }
        network.crash(&at(5)).await;
        network.lost.borrow_mut().extend((1..=4).map(|port| (at(port), "sync")));
        let again = network.start_life(&at(5), 2, Settings::default());
        // the first attempt to join waits for its answer for two seconds
        sleep(Duration::from_millis(2_100)).await;
        network.lost.borrow_mut().clear();
        for port in 1..=4 {
            until("it knows the group", async || size(&again, &own(port)).await == 2).await;
        }
    });
}

#[test]
fn a_node_whose_clock_was_set_back_is_readmitted_in_a_later_life() {
    in_virtual_time(async |network| {
        let seed = network.start_life(&at(1), 1_000_000, Settings::default());
        let first = network.start_life(&at(2), 1_000_000, joining(&at(1)));
        until("it joins", || sees(&seed, "all", first.nid())).await;
        network.crash(&at(2)).await;
        let again = network.start_life(&at(2), 5, joining(&at(1)));
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
fn a_node_that_serves_as_a_seed_keeps_trying_its_own_seed() {
    in_virtual_time(async |network| {
        let node = network.start_life(&at(2), 1, joining(&at(1)));
        let guest = network.start_life(&at(3), 1, joining(&at(2)));
        until("the guest has joined", || sees(&guest, "all", node.nid())).await;
        // the node is a member of a cluster for a while before its own seed starts
        sleep(Duration::from_secs(30)).await;
        let seed = network.start_life(&at(1), 1, Settings::default());
        until_all_know_each_other(&[seed, node, guest]).await;
    });
}

#[test]
fn a_node_that_does_not_answer_at_its_stated_address_cannot_join() {
    in_virtual_time(async |network| {
        let seed = network.start_life(&at(1), 1, Settings::default());
        let hidden = network.start_life(&at(2), 1, joining(&at(1)));
        // no node answers at the address that it states
        network.nodes.borrow_mut().remove(&at(2).nid());
        until("it has tried to join three times", async || network.receivers_of("sync").len() >= 3).await;
        assert_eq!((size(&seed, "all").await, size(&hidden, "all").await), (1, 1));
        network.nodes.borrow_mut().insert(at(2).nid(), hidden.clone());
        until("it joins once it is reached", || sees(&seed, "all", hidden.nid())).await;
    });
}

#[test]
fn a_node_stops_trying_itself_as_a_seed() {
    in_virtual_time(async |network| {
        let node = network.start_life(&at(1), 1, joining(&at(1)));
        // the time in which it could try
        sleep(Duration::from_secs(120)).await;
        assert_eq!(network.receivers_of("sync"), []);
        assert_eq!(size(&node, "all").await, 1);
    });
}

#[test]
fn a_newcomer_receives_two_hundred_large_groups_in_pages() {
    in_virtual_time(async |network| {
        let seed = network.start_life(&at(1), 1, Settings::default());
        let members: Vec<NodeAddr> =
            (0..400).map(|number| NodeAddr::new("10.8.8.8", 1 + number)).chain([at(1), at(2)]).collect();
        for number in 0..40 {
            seed.groups().put(format!("group{number}").as_str(), members.clone()).await.unwrap();
        }
        let newcomer = network.start_life(&at(2), 1, joining(&at(1)));
        for number in [0, 7, 39] {
            let gid = format!("group{number}");
            until("it has the group", async || size(&newcomer, &gid).await == 402).await;
        }
        assert!(newcomer.groups().get(Gid::all().as_str()).await.is_ok());
    });
}
