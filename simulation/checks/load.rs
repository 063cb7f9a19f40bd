//! Checks of the load of nodes: limits hold, and everything comes to an end.

use chinwag_actors::load::Load;

use super::future::CheckFuture;
use crate::{Net, history::History};

/// The load of a node.
pub(super) async fn load_of(net: &Net, node: usize) -> Result<Load, String> {
    net.node(node).status().load().await.map_err(|why| format!("node {node} does not report its load: {why}"))
}

pub(super) fn exceeded_limits<'a>(net: &'a Net, _: &'a History) -> CheckFuture<'a> {
    Box::pin(async move {
        for node in (0..net.len()).filter(|&node| net.is_up(node)) {
            let load = match load_of(net, node).await {
                Ok(load) => load,
                Err(why) => return Some(why),
            };
            if let Some((name, fill)) = load.iter().find(|(_, fill)| fill.held > fill.most) {
                return Some(format!("node {node} has {} {name}, more than the limit of {}", fill.held, fill.most));
            }
        }
        None
    })
}

/// The parts of the load that must become empty when nothing happens any more.
pub(super) const MUST_EMPTY: [&str; 7] = [
    "calls",
    "relayedCalls",
    "gossip.ownInFlight",
    "gossip.queued",
    "gossip.waiting",
    "gossip.wanted",
    "membership.relays",
];

pub(super) fn unfinished_work<'a>(net: &'a Net, _: &'a History) -> CheckFuture<'a> {
    Box::pin(remaining(net, &MUST_EMPTY))
}

pub(super) fn unsent_requests<'a>(net: &'a Net, _: &'a History) -> CheckFuture<'a> {
    Box::pin(remaining(net, &["gossip.requests"]))
}

/// What is left of these parts on the running nodes.
async fn remaining(net: &Net, names: &[&str]) -> Option<String> {
    for node in (0..net.len()).filter(|&node| net.is_up(node)) {
        let load = match load_of(net, node).await {
            Ok(load) => load,
            Err(why) => return Some(why),
        };
        for name in names {
            match load.get(*name) {
                Some(fill) if fill.held > 0 => {
                    return Some(format!("node {node} still has {} {name}", fill.held));
                }
                // a node without peers has no gossip, and a node without membership has no membership
                Some(_) => {}
                None if name.contains('.') => {}
                None => return Some(format!("node {node} does not report {name}")),
            }
        }
    }
    None
}
