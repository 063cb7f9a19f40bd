//! A group in which nothing happens: what its nodes still ask each other, and that nobody lacks anything for it.

#![allow(clippy::unwrap_used)]

use std::{rc::Rc, time::Duration};

use chinwag::{Nid, NodeAddr, Remote, actors::handle::NodeHandle, membership::Settings, protocol::swim::Status};

#[path = "support/street.rs"]
mod street;

use street::*;

const COUNT: u16 = 10;

/// Nodes in the group `town`, which all know each other.
async fn town(street: &Rc<Street>) -> Vec<NodeHandle> {
    let open = |port: u16| street.open(&at(port), (port > 1).then_some("10.0.0.1:1"));
    let nodes: Vec<NodeHandle> = (1..=COUNT).map(open).collect();
    for node in &nodes {
        for port in 1..=COUNT {
            until("all know each other", || sees(node, "town", at(port).nid())).await;
        }
    }
    nodes
}

async fn sleep(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[test]
fn nodes_at_rest_send_one_probe_a_second_and_compare_nothing_else() {
    story(async |street| {
        let _nodes = town(&street).await;
        sleep(60).await;
        street.asked.borrow_mut().clear();
        sleep(60).await;
        let nodes = usize::from(COUNT);
        let pings = street.asked("ping").len();
        assert!((nodes * 58..=nodes * 62).contains(&pings), "{pings}");
        let others = street.asked.borrow().len() - pings;
        assert!(others <= 2, "{others} requests beside the probes: {:?}", street.asked("compare").len());
    });
}

#[test]
fn a_node_that_missed_a_message_hears_of_it_with_the_next_probe_that_it_answers() {
    story(async |street| {
        let nodes = town(&street).await;
        for (last, missing) in nodes.iter().enumerate().skip(1) {
            sleep(30).await;
            let here = at(last as u16 + 1);
            *street.lost.borrow_mut() =
                ["recv", "offer", "pull", "compare"].map(|method| (here.clone(), method)).into();
            let key = format!("key{last}");
            let nothing: [NodeAddr; 0] = [];
            let sent = tokio::time::Instant::now();
            let _ = nodes[0]
                .group("town")
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
fn a_node_enters_all_as_soon_as_it_has_company_there() {
    story(async |street| {
        let node = street.open_as(&at(1), 1, Settings::default());
        sleep(40).await;
        // nobody is there, so that no message and no probe makes the node enter
        node.groups().put("others", [at(2)]).await.unwrap();
        let met = tokio::time::Instant::now();
        until("it asks what was said before", async || street.asked("enter").contains(&at(2))).await;
        assert!(met.elapsed() <= Duration::from_millis(100), "{:?}", met.elapsed());
    });
}

async fn lives(node: &NodeHandle, nid: Nid) -> bool {
    node.nid() == nid || status(node, nid).await == Some(Status::Alive)
}

/// Members ask each other who is alive, and gossip brings the answers to everyone. Without coordination the number of
/// requests grows with the square of the number of members: to 600 for each of 100 nodes.
#[test]
fn a_group_that_is_put_everywhere_at_once_costs_each_node_a_bounded_number_of_requests() {
    story(async |street| {
        let members: Vec<NodeAddr> = (1..=40).map(at).collect();
        let nodes: Vec<NodeHandle> = members.iter().map(|node| street.open_as(node, 1, Settings::default())).collect();
        sleep(1).await;
        street.asked.borrow_mut().clear();
        nodes[0].groups().put("town", members.clone()).await.unwrap();
        let _ = nodes[0].group("town").groups().put("town", members.clone()).await.unwrap();
        for node in &nodes {
            for member in &members {
                until("everybody is known to live", || lives(node, member.nid())).await;
            }
        }
        sleep(2).await;
        let asked = street.asked.borrow().len() / nodes.len();
        assert!(asked <= 110, "{asked} requests for each node");
    });
}
