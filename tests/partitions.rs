//! Groups that a partition divides, in virtual time: the views of the nodes, and the messages that they hear.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{ops::Range, time::Duration};

use chinwag::actors::settings::Settings;
use chinwag_simulation::{GROUP, Latency, Net, Simulation, scenario::Scenario};

/// Nodes with membership at its default pace, on a network with a latency of 5 ms.
fn network(seed: u64, nodes: usize) -> Simulation {
    let settings = Settings::default();
    Simulation::new(seed).nodes(nodes).latency(Latency::Constant(5)).settings(settings)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Whether each of these nodes sees exactly those, in `all` and in the group.
async fn see(net: &Net, nodes: impl IntoIterator<Item = usize>, those: &[usize]) -> bool {
    for node in nodes {
        for gid in ["all", GROUP] {
            let Ok(view) = net.node(node).groups().get(gid).await else { return false };
            let there = those.iter().filter(|&&other| view.contains(&net.addr(other).nid())).count();
            if view.len() != those.len() || there != those.len() {
                return false;
            }
        }
    }
    true
}

/// Waits, in virtual time, until these nodes see exactly those.
async fn until_they_see(net: &Net, nodes: Range<usize>, those: &[usize], most: Duration) {
    let end = net.now() + most;
    while !see(net, nodes.clone().filter(|&node| net.is_up(node)), those).await {
        assert!(net.now() < end, "after {most:?} {nodes:?} do not see {those:?}");
        net.advance(seconds(1)).await;
    }
}

/// Divides a group for this time. Afterwards it must become one group again, and all nodes must hear the messages of
/// both sides.
fn becomes_one_group_after(seed: u64, apart: Duration) {
    let result = network(seed, 12).run(|net| async move {
        let everyone: Vec<usize> = (0..12).collect();
        net.advance(seconds(15)).await;
        assert!(see(&net, 0..12, &everyone).await, "nobody was lost while nothing was wrong");
        net.partition([0..5, 5..12]);
        until_they_see(&net, 0..5, &everyone[0..5], seconds(120)).await;
        until_they_see(&net, 5..12, &everyone[5..12], seconds(120)).await;
        net.advance(apart).await;
        net.tell(1, "said on the left");
        net.tell(9, "said on the right");
        net.advance(seconds(2)).await;
        assert!(!net.all_heard("said on the left") && !net.all_heard("said on the right"));
        net.heal();
        until_they_see(&net, 0..12, &everyone, seconds(300)).await;
        let all = |net: &Net| net.all_heard("said on the left") && net.all_heard("said on the right");
        assert!(net.until(seconds(60), all).await, "both sides' messages reach everybody");
        for node in 0..12 {
            assert_eq!(net.heard(node).len(), 2, "node {node} heard each once");
        }
    });
    result.unwrap();
}

#[test]
fn a_partition_that_heals_becomes_one_group_again() {
    for seed in 1..=2 {
        becomes_one_group_after(seed, seconds(10));
    }
}

#[test]
fn a_long_partition_that_heals_becomes_one_group_again() {
    becomes_one_group_after(7, seconds(600));
}

#[test]
fn a_crashed_node_is_removed_and_readmitted_when_it_restarts() {
    for seed in 1..=2 {
        let result = network(seed, 10).run(|net| async move {
            let everyone: Vec<usize> = (0..10).collect();
            let others: Vec<usize> = (0..10).filter(|&node| node != 4).collect();
            net.advance(seconds(15)).await;
            net.crash(4);
            until_they_see(&net, 0..10, &others, seconds(60)).await;
            net.restart(4);
            until_they_see(&net, 0..4, &everyone, seconds(120)).await;
            until_they_see(&net, 5..10, &everyone, seconds(120)).await;
        });
        result.unwrap();
    }
}

#[test]
fn no_live_node_is_removed_while_a_third_of_all_messages_is_lost() {
    let result = network(1, 12).loss(0.3).run(|net| async move {
        let everyone: Vec<usize> = (0..12).collect();
        for _ in 0..10 {
            net.advance(seconds(10)).await;
            assert!(see(&net, 0..12, &everyone).await, "someone was removed after {:?}", net.now());
        }
    });
    result.unwrap();
}

#[test]
fn a_node_that_pauses_for_less_than_the_suspicion_time_is_not_removed() {
    let result = network(3, 10).run(|net| async move {
        let everyone: Vec<usize> = (0..10).collect();
        net.advance(seconds(15)).await;
        net.pause(2);
        net.advance(seconds(2)).await;
        net.resume(2);
        for _ in 0..30 {
            net.advance(seconds(1)).await;
            assert!(see(&net, (0..10).filter(|&node| node != 2), &everyone).await);
        }
    });
    result.unwrap();
}

/// Runs a scenario, and checks that everything holds.
fn holds(scenario: &str) {
    let outcome = serde_json::from_str::<Scenario>(scenario).unwrap().run(false).unwrap();
    assert_eq!(outcome.violations, []);
}

#[test]
fn a_newcomer_learns_of_a_member_that_was_cut_off_when_it_returns() {
    holds(
        r#"{"seed": 1, "nodes": 6, "beside": [1], "latency": "constant:2", "watch": 200, "demands": ["groups"], "events": [
            {"at": 100, "do": "partition", "sides": [[5]]},
            {"at": 6000, "do": "join", "node": 6, "through": [0]},
            {"at": 9000, "do": "heal"}
        ]}"#,
    );
}

#[test]
fn a_restarted_node_learns_of_a_group_member_that_was_cut_off_when_it_returns() {
    holds(
        r#"{"seed": 1, "nodes": 6, "latency": "constant:2", "watch": 200, "demands": ["groups"], "events": [
            {"at": 10, "do": "put", "group": "g", "on": [0, 1, 2, 3, 4, 5], "members": [0, 1, 2, 3, 4, 5]},
            {"at": 1000, "do": "partition", "sides": [[5]]},
            {"at": 6000, "do": "restart", "node": 4},
            {"at": 9000, "do": "heal"}
        ]}"#,
    );
}

#[test]
fn a_restarted_node_learns_groups_that_its_seed_does_not_know() {
    holds(
        r#"{"seed": 1, "nodes": 6, "latency": "constant:2", "watch": 200, "demands": ["groups"], "events": [
            {"at": 10, "do": "put", "group": "g", "on": [1, 2], "members": [1, 2, 5]},
            {"at": 1000, "do": "partition", "sides": [[0]]},
            {"at": 2000, "do": "join", "node": 5, "through": [0]},
            {"at": 5000, "do": "heal"}
        ]}"#,
    );
}

/// Node 6 was restarted and still joins, at 49% loss, through members that it knows. One of them is restarted and joins
/// another cluster, which is no reason to merge the two.
#[test]
fn a_restarted_node_does_not_merge_its_cluster_with_one_that_a_member_has_joined_meanwhile() {
    holds(
        r#"{"seed": 14585, "nodes": 14, "overlay": "star", "beside": [6], "latency": "lognormal:9,0.5",
            "loss": 0.07295707623046184, "watch": 203, "early": true,
            "clocks": [{"node": 9, "rate": 0.83, "offset": 9294}], "events": [
            {"at": 514, "do": "crash", "node": 17},
            {"at": 691, "do": "restart", "node": 6},
            {"at": 1628, "do": "tell", "node": 2},
            {"at": 2367, "do": "loss", "share": 0.49},
            {"at": 3058, "do": "restart", "node": 4},
            {"at": 10049, "do": "join", "node": 12, "through": [18]}
        ]}"#,
    );
}
