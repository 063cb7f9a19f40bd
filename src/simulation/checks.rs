//! What must hold once a network has healed.

use std::{collections::BTreeSet, future::Future, pin::Pin, time::Duration};

use chinwag_actors::load::Load;
use chinwag_protocol::{identity::Nid, swim::Status};
use serde::Serialize;

use super::{Net, scenario::Scenario};

/// What makes a message as long as it is to be. No name in a call has it.
pub(super) const PADDING: char = '~';

/// A message that a node was to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What it is.
    pub message: String,
    /// Which node.
    pub node: usize,
    /// In which of its lives.
    pub life: u32,
    /// When.
    pub at: Duration,
}

/// A check that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which check.
    pub check: &'static str,
    /// What was found.
    pub what: String,
}

type Found<'a> = Pin<Box<dyn Future<Output = Option<String>> + 'a>>;

/// Something that must hold.
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// Whether it is to hold in such a scenario.
    pub applies: fn(&Scenario) -> bool,
    /// Once broken, broken for good: waiting does not help.
    pub for_good: bool,
    find: for<'a> fn(&'a Net, &'a [Told]) -> Found<'a>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Check({})", self.name)
    }
}

/// What must hold once a network has healed.
pub const CHECKS: [Check; 7] = [
    Check { name: "nobody hears a message twice in one life", applies: |_| true, for_good: true, find: heard_twice },
    Check { name: "nothing is held beyond its bound", applies: |_| true, for_good: true, find: overfull },
    Check { name: "whoever starts a message hears it", applies: |_| true, for_good: false, find: unsaid },
    Check {
        name: "whoever is connected has heard the same",
        applies: |scenario| scenario.retained.is_none(),
        for_good: false,
        find: unheard,
    },
    Check {
        name: "each view is whom one knew, but for the dead",
        applies: |scenario| scenario.watch.is_some(),
        for_good: false,
        find: views,
    },
    Check { name: "what was under way has come to an end", applies: |_| true, for_good: false, find: unfinished },
    Check {
        name: "nobody has anything to send any more",
        // what others have forgotten is offered to them for as long as one holds it
        applies: |scenario| scenario.retained.is_none(),
        for_good: false,
        find: unsent,
    },
];

fn heard_twice<'a>(net: &'a Net, _: &'a [Told]) -> Found<'a> {
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

/// A node that is up, in the same life as when it was to start a message, has started it and performed it as everyone does.
fn unsaid<'a>(net: &'a Net, told: &'a [Told]) -> Found<'a> {
    Box::pin(async move {
        told.iter().filter(|told| net.is_up(told.node) && net.life(told.node) == told.life).find_map(|told| {
            let heard = net.heard(told.node);
            let has = heard.iter().any(|heard| heard.life == told.life && *heard.message == *told.message);
            (!has).then(|| format!("node {} was to start {:?} and has not heard it", told.node, shown(&told.message)))
        })
    })
}

/// A message without what makes it long.
fn shown(message: &str) -> &str {
    message.trim_end_matches(PADDING)
}

/// A message that a node in its present life has heard must come to everyone connected with it through nodes that are
/// up, and who was in the group when it was told. One that was lost with its only bearer is nobody's.
fn unheard<'a>(net: &'a Net, told: &'a [Told]) -> Found<'a> {
    Box::pin(async move {
        let has = |node: usize| -> BTreeSet<_> {
            let life = net.life(node);
            net.heard(node).into_iter().filter(|heard| heard.life == life).map(|heard| heard.message).collect()
        };
        let has: Vec<BTreeSet<_>> = (0..net.len()).map(has).collect();
        let mut done = BTreeSet::new();
        for start in 0..net.len() {
            if !net.is_up(start) || done.contains(&start) {
                continue;
            }
            let together = net.neighbours().reachable(start as u32, |node| net.is_up(node as usize));
            let together: Vec<usize> = together.into_iter().map(|node| node as usize).collect();
            done.extend(together.iter().copied());
            for told in told {
                let (with, mut without): (Vec<usize>, Vec<usize>) =
                    together.iter().copied().partition(|&node| has[node].contains(told.message.as_str()));
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

/// A dead peer that a node never heard from stays where it was put: it may never have been there.
fn views<'a>(net: &'a Net, _: &'a [Told]) -> Found<'a> {
    Box::pin(async move {
        let everyone: Vec<(usize, Nid)> = (0..net.len()).map(|node| (node, net.addr(node).nid())).collect();
        for node in (0..net.len()).filter(|&node| net.is_up(node)) {
            let Ok(standings) = net.node(node).membership().list().await else {
                return Some(format!("node {node} takes no part in membership any more"));
            };
            let pending = standings.into_values().filter(|standing| standing.status == Status::Pending);
            let pending: BTreeSet<Nid> = pending.map(|standing| standing.node.nid()).collect();
            let known: BTreeSet<usize> = net.neighbours().of(node as u32).map(|other| other as usize).collect();
            for gid in [net.group(), "all"] {
                let Ok(view) = net.node(node).groups().get(gid).await else {
                    return Some(format!("node {node} does not know its group {gid} any more"));
                };
                for (other, nid) in &everyone {
                    let (held, up) = (view.contains(nid), net.is_up(*other));
                    let missed = up && !held && (known.contains(other) || *other == node);
                    if missed || (held && !up && !pending.contains(nid)) {
                        let (has, is) = if up { ("misses", "alive") } else { ("holds", "dead") };
                        return Some(format!("in {gid}, node {node} {has} node {other}, which is {is}"));
                    }
                }
            }
        }
        None
    })
}

/// Each node's load, of those that are up.
async fn load_of(net: &Net, node: usize) -> Result<Load, String> {
    net.node(node).status().load().await.map_err(|why| format!("node {node} does not say how full it is: {why}"))
}

fn overfull<'a>(net: &'a Net, _: &'a [Told]) -> Found<'a> {
    Box::pin(async move {
        for node in (0..net.len()).filter(|&node| net.is_up(node)) {
            let load = match load_of(net, node).await {
                Ok(load) => load,
                Err(why) => return Some(why),
            };
            if let Some((name, fill)) = load.iter().find(|(_, fill)| fill.held > fill.most) {
                return Some(format!("node {node} has {} {name}, of at most {}", fill.held, fill.most));
            }
        }
        None
    })
}

/// What empties once nothing happens any more.
const EMPTIES: [&str; 7] = [
    "calls",
    "relayedCalls",
    "gossip.ownInFlight",
    "gossip.queued",
    "gossip.waiting",
    "gossip.wanted",
    "membership.relays",
];

fn unfinished<'a>(net: &'a Net, _: &'a [Told]) -> Found<'a> {
    Box::pin(remaining(net, &EMPTIES))
}

fn unsent<'a>(net: &'a Net, _: &'a [Told]) -> Found<'a> {
    Box::pin(remaining(net, &["gossip.requests"]))
}

/// What of these there is at a node, of the nodes that are up.
async fn remaining(net: &Net, names: &[&str]) -> Option<String> {
    for node in (0..net.len()).filter(|&node| net.is_up(node)) {
        let load = match load_of(net, node).await {
            Ok(load) => load,
            Err(why) => return Some(why),
        };
        for name in names {
            match load.get(*name) {
                Some(fill) if fill.held > 0 => {
                    return Some(format!("node {node} has {} {name}, where none would be left", fill.held));
                }
                // a node without company has no gossip, one that takes no part no membership
                Some(_) => {}
                None if name.contains('.') => {}
                None => return Some(format!("node {node} does not say how many {name} it has")),
            }
        }
    }
    None
}

/// What came of checks.
#[derive(Default)]
pub(super) struct Tried {
    pub checked: u64,
    pub violations: Vec<Violation>,
    /// One is broken for good.
    pub hopeless: bool,
}

impl Tried {
    async fn one(&mut self, check: &Check, net: &Net, told: &[Told]) -> Option<Violation> {
        self.checked += 1;
        let what = (check.find)(net, told).await?;
        self.hopeless |= check.for_good;
        Some(Violation { check: check.name, what })
    }

    /// Whether all hold; those after one that does not are not made.
    pub async fn holds(&mut self, checks: &[&Check], net: &Net, told: &[Told]) -> bool {
        for check in checks {
            if self.one(check, net, told).await.is_some() {
                return false;
            }
        }
        true
    }

    /// Keeps what does not hold.
    pub async fn all<'a>(&mut self, checks: impl Iterator<Item = &'a &'a Check>, net: &Net, told: &[Told]) {
        for check in checks {
            let violation = self.one(check, net, told).await;
            self.violations.extend(violation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::Simulation;

    #[test]
    fn what_is_to_come_to_an_end_is_something_that_nodes_tell() {
        let settings = chinwag_actors::home::Settings::default();
        let loads = Simulation::new(1).settings(settings).run(|net| async move {
            net.tell(0, "news");
            net.advance(Duration::from_millis(2_000)).await;
            load_of(&net, 0).await.unwrap()
        });
        let load = loads.unwrap();
        for name in EMPTIES.iter().chain(&["gossip.requests"]) {
            assert!(load.contains_key(*name), "{name}: {:?}", load.keys());
        }
    }

    #[test]
    fn a_message_that_never_left_is_found() {
        let found = Simulation::new(1).run(|net| async move {
            let told = |message: &str, node, life| Told { message: message.to_owned(), node, life, at: Duration::ZERO };
            net.tell(0, "news");
            net.advance(Duration::from_millis(100)).await;
            let said = unsaid(&net, &[told("news", 0, 0)]).await;
            let unsaid = async |what| unsaid(&net, &[what]).await;
            // another's, and a later life's, are not its own
            (said, unsaid(told("nothing~~~", 0, 0)).await, unsaid(told("nothing", 1, 3)).await)
        });
        let never = "node 0 was to start \"nothing\" and has not heard it".to_owned();
        assert_eq!(found.unwrap(), (None, Some(never), None));
    }
}
