//! A group in which nothing happens: the requests that its nodes still make, and that no node misses a message.

#![allow(clippy::unwrap_used)]

use std::{rc::Rc, time::Duration};

use chinwag::{Nid, NodeAddr, Remote, actors::handle::NodeHandle, membership::Settings, protocol::swim::Status};

mod support;

use support::{network::*, until};

const COUNT: u16 = 10;

/// Starts nodes in the group `web`, which all know each other.
async fn group_at_rest(network: &Rc<Network>) -> Vec<NodeHandle> {
    let open = |port: u16| network.start(&at(port), (port > 1).then_some("10.0.0.1:1"));
    let nodes: Vec<NodeHandle> = (1..=COUNT).map(open).collect();
    for node in &nodes {
        for port in 1..=COUNT {
            until("all know each other", || sees(node, "web", at(port).nid())).await;
        }
    }
    nodes
}

/// Lets this much virtual time pass, in which the nodes are at rest.
async fn rest(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[test]
fn nodes_at_rest_send_one_probe_a_second_and_compare_nothing_else() {
    in_virtual_time(async |network| {
        let _nodes = group_at_rest(&network).await;
        rest(60).await;
        network.requests.borrow_mut().clear();
        // the minute that is measured
        rest(60).await;
        let nodes = usize::from(COUNT);
        let pings = network.receivers_of("ping").len();
        assert!((nodes * 58..=nodes * 62).contains(&pings), "{pings}");
        let others = network.requests.borrow().len() - pings;
        assert!(others <= 2, "{others} requests beside the probes: {:?}", network.receivers_of("compare").len());
    });
}

#[test]
fn a_node_that_missed_a_message_receives_it_after_the_next_probe_that_it_answers() {
    in_virtual_time(async |network| {
        let nodes = group_at_rest(&network).await;
        for (last, missing) in nodes.iter().enumerate().skip(1) {
            // until comparisons are rare again
            rest(30).await;
            let here = at(last as u16 + 1);
            *network.lost.borrow_mut() =
                ["recv", "offer", "pull", "compare"].map(|method| (here.clone(), method)).into();
            let key = format!("key{last}");
            let nothing: [NodeAddr; 0] = [];
            let sent = tokio::time::Instant::now();
            let _ = nodes[0]
                .group("web")
                .gossip()
                .send((key.as_str(), nothing), &Remote::new("groups", "put"))
                .await
                .unwrap();
            let has = async || missing.groups().get(key.as_str()).await.is_ok();
            until("it has it too", has).await;
            let waited = sent.elapsed();
            assert!(waited <= Duration::from_millis(2_500), "{here} waited for {waited:?}");
        }
    });
}

#[test]
fn a_node_enters_all_as_soon_as_it_has_a_peer_there() {
    in_virtual_time(async |network| {
        let node = network.start_life(&at(1), 1, Settings::default());
        // a node without peers compares more and more rarely
        rest(40).await;
        // the other node does not exist, so no message and no probe makes this node enter
        node.groups().put("others", [at(2)]).await.unwrap();
        let met = tokio::time::Instant::now();
        until("the node asks for earlier messages", async || network.receivers_of("enter").contains(&at(2))).await;
        assert!(met.elapsed() <= Duration::from_millis(100), "{:?}", met.elapsed());
    });
}

async fn is_alive_for(node: &NodeHandle, nid: Nid) -> bool {
    node.nid() == nid || status(node, nid).await == Some(Status::Alive)
}

/// Members ask each other whether they are alive, and gossip spreads the answers. Without coordination the number of
/// requests grows with the square of the number of members: 600 for each of 100 nodes.
#[test]
fn a_group_put_on_all_nodes_at_once_costs_each_node_a_limited_number_of_requests() {
    in_virtual_time(async |network| {
        let members: Vec<NodeAddr> = (1..=40).map(at).collect();
        let nodes: Vec<NodeHandle> =
            members.iter().map(|node| network.start_life(node, 1, Settings::default())).collect();
        nodes[0].groups().put("web", members.clone()).await.unwrap();
        let _ = nodes[0].group("web").groups().put("web", members.clone()).await.unwrap();
        for node in &nodes {
            for member in &members {
                until("all nodes are known to be alive", || is_alive_for(node, member.nid())).await;
            }
        }
        // requests that nobody needs any more count, too
        rest(2).await;
        let asked = network.requests.borrow().len() / nodes.len();
        assert!(asked <= 110, "{asked} requests for each node");
    });
}
