//! Checks of messages: nodes perform them once, and connected nodes have the same ones.

use std::collections::BTreeSet;

use super::future::CheckFuture;
use crate::{Net, history::History};

/// The character that pads messages to their length. No name in a call contains it.
pub(in super::super) const PADDING: char = '~';

pub(super) fn duplicates<'a>(net: &'a Net, _: &'a History) -> CheckFuture<'a> {
    Box::pin(async move {
        (0..net.len()).find_map(|node| {
            let mut seen = BTreeSet::new();
            let twice = net.heard(node).into_iter().find(|heard| !seen.insert((heard.life, heard.message.clone())))?;
            Some(format!(
                "node {node} heard {:?} again in its life {} at {:?}",
                shown(&twice.message),
                twice.life,
                twice.at
            ))
        })
    })
}

/// A node that was to start a message, and is still in the same life, must have performed it.
pub(super) fn unperformed_own_messages<'a>(net: &'a Net, history: &'a History) -> CheckFuture<'a> {
    Box::pin(async move {
        history.told.iter().filter(|told| net.is_up(told.node) && net.life(told.node) == told.life).find_map(|told| {
            let heard = net.heard(told.node);
            let has = heard.iter().any(|heard| heard.life == told.life && *heard.message == *told.message);
            (!has).then(|| format!("node {} was to start {:?} and has not heard it", told.node, shown(&told.message)))
        })
    })
}

/// A message without its padding.
fn shown(message: &str) -> &str {
    message.trim_end_matches(PADDING)
}

/// A message that a node has heard in its present life must reach every node that is connected with it through running
/// nodes and was in the group when the message was sent. A message that only ended nodes had is lost.
pub(super) fn missing_messages<'a>(net: &'a Net, history: &'a History) -> CheckFuture<'a> {
    Box::pin(async move {
        let has = |node: usize| -> BTreeSet<_> {
            let life = net.life(node);
            net.heard(node).into_iter().filter(|heard| heard.life == life).map(|heard| heard.message).collect()
        };
        let has: Vec<BTreeSet<_>> = (0..net.len()).map(has).collect();
        let mut done = BTreeSet::new();
        // newcomers may or may not hear messages that are older than their entry
        let counts = |node: usize| net.is_up(node) && history.joined(net, node).is_none();
        for start in 0..net.len() {
            if !counts(start) || done.contains(&start) {
                continue;
            }
            let same_cluster = net.neighbours().reachable(start as u32, |node| counts(node as usize));
            let same_cluster: Vec<usize> = same_cluster.into_iter().map(|node| node as usize).collect();
            done.extend(same_cluster.iter().copied());
            for told in &history.told {
                let (with, mut without): (Vec<usize>, Vec<usize>) =
                    same_cluster.iter().copied().partition(|&node| has[node].contains(told.message.as_str()));
                without.retain(|&node| {
                    net.entered_at(node).is_some_and(|entered| entered < told.at || net.life(node) == 0)
                });
                if let (Some(with), Some(without)) = (with.first(), without.first()) {
                    return Some(format!(
                        "node {with} has heard {:?} and node {without} has not",
                        shown(&told.message)
                    ));
                }
            }
        }
        None
    })
}
