//! Many or large messages at once, in virtual time. Every node performs each message once, and what a node holds
//! meanwhile is bounded.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use chinwag_simulation::{Latency, Net, Overlay, Simulation};

fn network(seed: u64, nodes: usize) -> Simulation {
    Simulation::new(seed).nodes(nodes).latency(Latency::Uniform(1, 20))
}

/// Waits until all nodes have heard all of these messages, and checks that no node heard one twice.
async fn all_nodes_hear(net: &Net, messages: &[String]) {
    let all = |net: &Net| messages.iter().all(|message| net.all_heard(message));
    assert!(net.until(Duration::from_secs(120), all).await, "not everybody heard everything");
    for node in 0..net.len() {
        assert_eq!(net.heard(node).len(), messages.len(), "node {node} heard each once");
    }
}

#[test]
fn a_thousand_messages_of_one_node_reach_all_nodes() {
    let result = network(1, 6).loss(0.1).duplication(0.1).run(|net| async move {
        let messages: Vec<String> = (0..1_000).map(|number| format!("message {number}")).collect();
        for message in &messages {
            net.tell(3, message);
        }
        all_nodes_hear(&net, &messages).await;
    });
    result.unwrap();
}

fn one_message_of_each_reaches_all(nodes: usize) {
    let result = network(2, nodes).run(|net| async move {
        let messages: Vec<String> = (0..net.len()).map(|node| format!("from {node}")).collect();
        for (node, message) in messages.iter().enumerate() {
            net.tell(node, message);
        }
        all_nodes_hear(&net, &messages).await;
    });
    result.unwrap();
}

#[test]
fn one_message_of_each_of_many_nodes_reaches_all() {
    one_message_of_each_reaches_all(80);
}

/// A million deliveries. Run it by hand with `cargo test --release --test bursts -- --ignored`.
#[test]
#[ignore = "takes minutes"]
fn one_message_of_each_of_a_thousand_nodes_reaches_all() {
    one_message_of_each_reaches_all(1_000);
}

#[test]
fn messages_larger_than_a_megabyte_reach_all_nodes() {
    let result = network(3, 8).loss(0.2).run(|net| async move {
        let messages: Vec<String> = ('a'..='c').map(|letter| letter.to_string().repeat(1_500_000)).collect();
        for (node, message) in messages.iter().enumerate() {
            net.tell(node, message);
        }
        all_nodes_hear(&net, &messages).await;
    });
    result.unwrap();
}

#[test]
fn a_restarted_node_hears_messages_sent_after_its_entry_and_no_older_ones() {
    let result = network(4, 20).run(|net| async move {
        net.crash(7);
        for number in 0..50 {
            net.tell(1, &format!("message {number}"));
        }
        net.advance(Duration::from_secs(30)).await;
        net.restart(7);
        assert!(net.until(Duration::from_secs(10), |net| net.entered_at(7).is_some()).await, "it never entered");
        let later: Vec<String> = (0..50).map(|number| format!("later {number}")).collect();
        for message in &later {
            net.tell(1, message);
        }
        let all = |net: &Net| later.iter().all(|message| net.all_heard(message));
        assert!(net.until(Duration::from_secs(120), all).await, "not everybody heard what was told later");
        assert_eq!(net.heard(7).len(), later.len(), "it heard each once, and nothing older");
    });
    result.unwrap();
}

/// Nodes push to random peers. Over a star, the hub alone would reach one of its hundred peers per tick.
#[test]
fn a_rumor_reaches_everyone_over_every_overlay() {
    use Overlay::{Clique, Hypercube, Line, RandomRegular, Ring, Star, Torus};
    for overlay in [Clique, Star, RandomRegular(4), Hypercube, Torus, Ring, Line] {
        for seed in 1..=3 {
            let reached = Simulation::new(seed).nodes(64).overlay(overlay).run(|net| async move {
                net.advance(Duration::from_millis(1_500)).await;
                for from in [0, 40] {
                    net.tell(from, &format!("from {from}"));
                }
                net.until(Duration::from_secs(10), |net| {
                    [0, 40].iter().all(|from| net.all_heard(&format!("from {from}")))
                })
                .await
            });
            assert!(reached.unwrap(), "{overlay}, seed {seed}");
        }
    }
}
