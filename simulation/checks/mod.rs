//! The properties that must hold after a network has healed.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
};

use chinwag_actors::load::Load;
use chinwag_protocol::{identity::Nid, swim::Status};
use serde::Serialize;

use super::{
    Net,
    history::{History, Put},
    scenario::{Demand, Scenario},
};

/// The character that pads messages to their length. No name in a call contains it.
pub(super) const PADDING: char = '~';

/// A check that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Violation {
    /// The name of the check.
    pub check: &'static str,
    /// What the check found.
    pub what: String,
}

type CheckFuture<'a> = Pin<Box<dyn Future<Output = Option<String>> + 'a>>;

/// A property that must hold.
#[non_exhaustive]
pub struct Check {
    /// The name of the check.
    pub name: &'static str,
    /// Whether the property must hold in a scenario.
    pub applies: fn(&Scenario) -> bool,
    /// Whether a failure is final, so that waiting cannot help.
    pub is_final: bool,
    find: for<'a> fn(&'a Net, &'a History) -> CheckFuture<'a>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Check({})", self.name)
    }
}

/// All checks.
pub const CHECKS: [Check; 10] = [
    Check { name: "no node performs a message twice in one life", applies: |_| true, is_final: true, find: duplicates },
    Check { name: "no limit is exceeded", applies: |_| true, is_final: true, find: exceeded_limits },
    Check {
        name: "the sender of a message performs it",
        applies: |_| true,
        is_final: false,
        find: unperformed_own_messages,
    },
    Check {
        name: "connected nodes have heard the same messages",
        applies: |scenario| scenario.retained.is_none(),
        is_final: false,
        find: missing_messages,
    },
    Check {
        name: "each view lists the known nodes without the dead",
        applies: |scenario| scenario.watch.is_some(),
        is_final: false,
        find: views,
    },
    Check {
        name: "each group lists the members that were put without the dead",
        applies: |scenario| scenario.has_puts(),
        is_final: false,
        find: puts,
    },
    Check {
        name: "joined nodes know all members and are known to them",
        applies: |scenario| scenario.has_joins(),
        is_final: false,
        find: joins,
    },
    Check {
        name: "clusters stay separate unless they are merged",
        applies: |scenario| !scenario.beside.is_empty(),
        is_final: false,
        find: mixed_clusters,
    },
    Check { name: "nothing is under way any more", applies: |_| true, is_final: false, find: unfinished_work },
    Check {
        name: "nothing is left to send",
        // a node offers a message for as long as it holds it, also to nodes that have unknown_groups_after_restart it
        applies: |scenario| scenario.retained.is_none(),
        is_final: false,
        find: unsent_requests,
    },
];

fn duplicates<'a>(net: &'a Net, _: &'a History) -> CheckFuture<'a> {
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
fn unperformed_own_messages<'a>(net: &'a Net, history: &'a History) -> CheckFuture<'a> {
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
fn missing_messages<'a>(net: &'a Net, history: &'a History) -> CheckFuture<'a> {
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

/// The status of every member in the list of each running node.
struct Statuses(BTreeMap<usize, BTreeMap<Nid, Status>>);

impl Statuses {
    async fn ask(net: &Net) -> Result<Statuses, String> {
        let mut all = BTreeMap::new();
        for node in (0..net.len()).filter(|&node| net.is_up(node)) {
            let Ok(list) = net.node(node).membership().list().await else {
                return Err(format!("node {node} no longer answers membership calls"));
            };
            let statuses = list.into_values().map(|member| (member.node.nid(), member.status));
            all.insert(node, statuses.collect());
        }
        Ok(Statuses(all))
    }

    /// Whether a node may still list a dead one: it has never heard from it, so that the dead one may never have
    /// existed. If the scenario demands liveness, no node of the cluster may have heard from it either.
    fn excuses(&self, net: &Net, history: &History, node: usize, dead: &Nid) -> bool {
        let pending = |statuses: &BTreeMap<Nid, Status>| {
            matches!(statuses.get(dead), Some(Status::Pending | Status::Unreachable))
        };
        if !self.0.get(&node).is_some_and(pending) {
            return false;
        }
        let knows = |(other, statuses): (&usize, &BTreeMap<Nid, Status>)| {
            history.same_cluster(net, *other, node) && statuses.contains_key(dead) && !pending(statuses)
        };
        !history.demands.contains(&Demand::Liveness) || !self.0.iter().any(knows)
    }
}

fn everyone(net: &Net) -> Vec<(usize, Nid)> {
    (0..net.len()).map(|node| (node, net.addr(node).nid())).collect()
}

/// Every running node must have the nodes that it knew in its groups, without the dead. A dead node that it has never
/// heard from may stay, because it may never have existed.
fn views<'a>(net: &'a Net, history: &'a History) -> CheckFuture<'a> {
    Box::pin(async move {
        if history.clusters_may_have_joined(net) {
            return None;
        }
        let everyone = everyone(net);
        let statuses = match Statuses::ask(net).await {
            Ok(statuses) => statuses,
            Err(why) => return Some(why),
        };
        for node in (0..net.len()).filter(|&node| net.is_up(node)) {
            // other checks cover nodes that joined, which began with an empty view
            let joined = |node: usize| history.joined(net, node).is_some();
            let begun = !joined(node);
            let same_cluster = |other: usize| begun && !joined(other) && history.same_cluster(net, other, node);
            let known: BTreeSet<usize> = net
                .neighbours()
                .of(node as u32)
                .map(|other| other as usize)
                .filter(|other| same_cluster(*other))
                .collect();
            for gid in std::iter::once("all").chain(history.grouped(net, node).then(|| net.group())) {
                let Ok(view) = net.node(node).group(gid).members().await else {
                    return Some(format!("node {node} no longer knows its group {gid}"));
                };
                for (other, nid) in &everyone {
                    let (held, up) = (view.contains(nid), net.is_up(*other));
                    let missed = up && !held && (known.contains(other) || *other == node);
                    if missed || (held && !up && !statuses.excuses(net, history, node, nid)) {
                        let (verb, state) = if up { ("misses", "alive") } else { ("has", "dead") };
                        return Some(format!("in {gid}, node {node} {verb} node {other}, which is {state}"));
                    }
                }
            }
        }
        None
    })
}

/// A group that an operator put on a node keeps its members for as long as the node lives, without the dead.
fn puts<'a>(net: &'a Net, history: &'a History) -> CheckFuture<'a> {
    Box::pin(async move {
        let everyone = everyone(net);
        let statuses = match Statuses::ask(net).await {
            Ok(statuses) => Some(statuses),
            Err(why) if history.watched => return Some(why),
            // without membership, no node is removed from a group
            Err(_) => None,
        };
        for put in history.puts().filter(|put| net.is_up(put.on) && net.life(put.on) == put.life) {
            let (gid, on) = (&put.group, put.on);
            let Ok(view) = net.node(on).group(gid).members().await else {
                return Some(format!("node {on} does not know the group {gid}, which was put there"));
            };
            for (other, nid) in &everyone {
                let (held, named) = (view.contains(nid), put.members.contains(other));
                let stays = net.is_up(*other) && history.same_cluster(net, *other, on);
                if held && !named {
                    return Some(format!("in {gid}, node {on} has node {other}, which was not put there"));
                }
                let unwatched = statuses.is_none();
                if named && !held && (stays || unwatched) {
                    return Some(format!("in {gid}, node {on} misses node {other}, which is alive"));
                }
                let excused = statuses.as_ref().is_none_or(|all| all.excuses(net, history, on, nid));
                if held && !net.is_up(*other) && !excused {
                    return Some(format!("in {gid}, node {on} has node {other}, which is dead"));
                }
            }
        }
        // without membership, nobody notices that a node was restarted
        if !history.demands.contains(&Demand::Groups) || !history.watched {
            None
        } else {
            unknown_groups_after_restart(net, history).await
        }
    })
}

/// A restarted node must know each group that lists it as one of the listing nodes does. The sets that operators put
/// may differ, and the restarted node keeps the first one that it is sent, or the one that an operator puts on it. A
/// node that had not heard of it before the restart does not notice the restart.
async fn unknown_groups_after_restart(net: &Net, history: &History) -> Option<String> {
    let puts: Vec<&Put> = history.puts().filter(|put| net.is_up(put.on) && net.life(put.on) == put.life).collect();
    for member in (0..net.len()).filter(|&node| net.is_up(node)) {
        let same_cluster = |other: usize| history.same_cluster(net, other, member);
        let listing: Vec<&Put> =
            puts.iter().copied().filter(|put| put.members.contains(&member) && same_cluster(put.on)).collect();
        let missed = |put: &&&Put| put.missed.contains(&member) && put.life_of(member) != Some(net.life(member));
        for put in listing.iter().filter(missed) {
            let same: Vec<&&Put> = listing.iter().filter(|other| other.group == put.group).collect();
            if puts.iter().any(|own| own.on == member && own.group == put.group) {
                continue;
            }
            let view = net.node(member).group(put.group.as_str()).members().await.ok();
            let knows = |other: usize| {
                let nid = net.addr(other).nid();
                !net.is_up(other) || !same_cluster(other) || view.as_ref().is_some_and(|view| view.contains(&nid))
            };
            if !same.iter().any(|put| put.members.iter().all(|other| knows(*other))) {
                return Some(format!(
                    "node {member} was restarted and does not know {} as node {} does",
                    put.group, put.on
                ));
            }
        }
    }
    None
}

/// A node that has joined through a running node must see the whole cluster of that node in `all`, and be seen there;
/// the two must also see each other in the group. If the scenario demands groups, this holds for the group of every
/// node. After a merge, each cluster keeps its own group, and the nodes that joined it are in it.
fn joins<'a>(net: &'a Net, history: &'a History) -> CheckFuture<'a> {
    Box::pin(async move {
        if history.clusters_may_have_joined(net) {
            return None;
        }
        let lists = async |node: usize, gid: &str, other: usize| -> bool {
            let view = net.node(node).group(gid).members().await;
            view.is_ok_and(|view| view.contains(&net.addr(other).nid()))
        };
        // a node whose seed is dead retries, and no node knows it
        let seed = |node: usize| {
            let (seed, life) = *history.joined(net, node)?.through.first()?;
            (net.is_up(seed) && net.life(seed) == life).then_some(seed)
        };
        for node in (0..net.len()).filter(|&node| net.is_up(node)) {
            let Some(through) = seed(node) else { continue };
            let company = (0..net.len()).filter(|&other| {
                let there = history.joined(net, other).is_none() || seed(other).is_some();
                let same_cluster = history.same_cluster(net, other, node);
                other != node && net.is_up(other) && there && same_cluster
            });
            for other in company {
                let all_groups = other == through || history.demands.contains(&Demand::Groups);
                let grouped = history.grouped(net, node) && history.grouped(net, other);
                let group = (all_groups && grouped).then(|| net.group());
                let given = |listed: usize| {
                    history.joined(net, listed).is_none() && history.begun(net, node) != history.begun(net, other)
                };
                for gid in ["all"].into_iter().chain(group) {
                    for (one, two) in [(node, other), (other, node)] {
                        let left_open = gid != "all" && given(two);
                        if !left_open && !lists(one, gid, two).await {
                            return Some(format!(
                                "in {gid}, node {one} misses node {two}; node {node} joined through node {through}"
                            ));
                        }
                    }
                }
            }
        }
        None
    })
}

/// No node may have a node of another cluster in a group.
fn mixed_clusters<'a>(net: &'a Net, history: &'a History) -> CheckFuture<'a> {
    Box::pin(async move {
        if history.clusters_may_have_joined(net) {
            return None;
        }
        let everyone = everyone(net);
        let unsure = |node: &usize| history.may_be_in_either_cluster(net, *node);
        for node in (0..net.len()).filter(|node| net.is_up(*node) && !unsure(node)) {
            let cluster = history.cluster(net, node);
            for gid in [net.group(), "all"] {
                let Ok(view) = net.node(node).group(gid).members().await else { continue };
                let strange = |other: &usize| history.cluster(net, *other) != cluster && !unsure(other);
                let strangers = everyone.iter().filter(|(other, _)| strange(other));
                for (other, nid) in strangers {
                    if view.contains(nid) {
                        return Some(format!("in {gid}, node {node} has node {other}, which is in another cluster"));
                    }
                }
            }
        }
        None
    })
}

/// The load of a node.
async fn load_of(net: &Net, node: usize) -> Result<Load, String> {
    net.node(node).status().load().await.map_err(|why| format!("node {node} does not report its load: {why}"))
}

fn exceeded_limits<'a>(net: &'a Net, _: &'a History) -> CheckFuture<'a> {
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
const MUST_EMPTY: [&str; 7] = [
    "calls",
    "relayedCalls",
    "gossip.ownInFlight",
    "gossip.queued",
    "gossip.waiting",
    "gossip.wanted",
    "membership.relays",
];

fn unfinished_work<'a>(net: &'a Net, _: &'a History) -> CheckFuture<'a> {
    Box::pin(remaining(net, &MUST_EMPTY))
}

fn unsent_requests<'a>(net: &'a Net, _: &'a History) -> CheckFuture<'a> {
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

/// The results of checks.
#[derive(Default)]
pub(super) struct CheckResults {
    pub checked: u64,
    pub violations: Vec<Violation>,
    /// Whether a final check has failed.
    pub failed_finally: bool,
}

impl CheckResults {
    async fn one(&mut self, check: &Check, net: &Net, history: &History) -> Option<Violation> {
        self.checked += 1;
        let what = (check.find)(net, history).await?;
        self.failed_finally |= check.is_final;
        Some(Violation { check: check.name, what })
    }

    /// Whether all checks hold. It stops at the first that does not.
    pub(crate) async fn holds(&mut self, checks: &[&Check], net: &Net, history: &History) -> bool {
        for check in checks {
            if self.one(check, net, history).await.is_some() {
                return false;
            }
        }
        true
    }

    /// Makes all checks, and keeps the violations.
    pub(crate) async fn all<'a>(&mut self, checks: impl Iterator<Item = &'a &'a Check>, net: &Net, history: &History) {
        for check in checks {
            let violation = self.one(check, net, history).await;
            self.violations.extend(violation);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Simulation, history::Told};

    #[test]
    fn what_is_to_come_to_an_end_is_something_that_nodes_tell() {
        let settings = chinwag_actors::settings::Settings::default();
        let loads = Simulation::new(1).settings(settings).run(|net| async move {
            net.tell(0, "news");
            net.advance(Duration::from_millis(2_000)).await;
            load_of(&net, 0).await.unwrap()
        });
        let load = loads.unwrap();
        for name in MUST_EMPTY.iter().chain(&["gossip.requests"]) {
            assert!(load.contains_key(*name), "{name}: {:?}", load.keys());
        }
    }

    #[test]
    fn a_message_that_never_left_is_found() {
        let found = Simulation::new(1).run(|net| async move {
            let told = |message: &str, node, life| {
                let mut history = History::new(2, &[], false, BTreeSet::new());
                history.told.push(Told { message: message.to_owned(), node, life, at: Duration::ZERO });
                history
            };
            net.tell(0, "news");
            net.advance(Duration::from_millis(100)).await;
            let said = unperformed_own_messages(&net, &told("news", 0, 0)).await;
            let unperformed_own_messages = async |what| unperformed_own_messages(&net, &what).await;
            // messages of another node or of a later life are not checked
            (
                said,
                unperformed_own_messages(told("nothing~~~", 0, 0)).await,
                unperformed_own_messages(told("nothing", 1, 3)).await,
            )
        });
        let never = "node 0 was to start \"nothing\" and has not heard it".to_owned();
        assert_eq!(found.unwrap(), (None, Some(never), None));
    }

    #[test]
    fn what_joins_and_puts_were_to_bring_about_is_found_missing() {
        let watched = chinwag_actors::settings::Settings::default();
        let found = Simulation::new(1).nodes(3).beside([1]).settings(watched).run(|net| async move {
            net.advance(Duration::from_millis(3_000)).await;
            let mut history = History::new(3, &[1], true, BTreeSet::new());
            let before =
                (puts(&net, &history).await, joins(&net, &history).await, mixed_clusters(&net, &history).await);
            // the put was not performed
            history.put(&net, "g", 1, &[1, 2]);
            history.join(&net, 3, &[2], false);
            let missing = (puts(&net, &history).await, joins(&net, &history).await);
            net.node(1).groups().put("g", [net.addr(1), net.addr(3)]).await.unwrap();
            let other = puts(&net, &history).await;
            let history = History::new(3, &[1], true, BTreeSet::new());
            (before, missing, other, mixed_clusters(&net, &history).await)
        });
        let (before, missing, other, mixed_clusters) = found.unwrap();
        assert_eq!(before, (None, None, None));
        assert_eq!(missing.0.unwrap(), "node 1 does not know the group g, which was put there");
        assert_eq!(missing.1.unwrap(), "in all, node 3 misses node 0; node 3 joined through node 2");
        assert_eq!(other.unwrap(), "in g, node 1 misses node 2, which is alive");
        assert_eq!(mixed_clusters.unwrap(), "in all, node 1 has node 3, which is in another cluster");
    }

    #[test]
    fn a_group_that_a_restarted_node_does_not_know_is_found_if_a_member_could_notice() {
        let watched = chinwag_actors::settings::Settings::default();
        let found = Simulation::new(1).nodes(3).settings(watched).run(|net| async move {
            net.advance(Duration::from_millis(3_000)).await;
            let history = || {
                let mut history = History::new(3, &[], true, BTreeSet::new());
                // the put was not performed
                history.put(&net, "g", 1, &[1, 2]);
                history
            };
            let (unnoticed, mut noticed) = (history(), history());
            noticed.will_restart(&net, 2).await;
            let before = unknown_groups_after_restart(&net, &noticed).await;
            net.restart(2);
            (
                before,
                unknown_groups_after_restart(&net, &unnoticed).await,
                unknown_groups_after_restart(&net, &noticed).await,
            )
        });
        let (before, unnoticed, noticed) = found.unwrap();
        assert_eq!((before, unnoticed), (None, None));
        assert_eq!(noticed.unwrap(), "node 2 was restarted and does not know g as node 1 does");
    }

    #[test]
    fn a_node_whose_seed_is_dead_may_be_in_either_cluster() {
        let watched = chinwag_actors::settings::Settings::default();
        let found = Simulation::new(1).nodes(3).beside([2]).settings(watched).run(|net| async move {
            let mut history = History::new(3, &[2], true, BTreeSet::new());
            net.join(2, &[3], &[]);
            history.join(&net, 2, &[3], false);
            let before = (
                history.may_be_in_either_cluster(&net, 2),
                history.same_cluster(&net, 2, 4),
                history.same_cluster(&net, 2, 0),
            );
            net.crash(3);
            let after = (
                history.may_be_in_either_cluster(&net, 2),
                history.same_cluster(&net, 2, 4),
                history.same_cluster(&net, 2, 0),
            );
            (before, after)
        });
        assert_eq!(found.unwrap(), ((false, true, false), (true, false, false)));
    }

    #[test]
    fn clusters_are_sure_to_be_one_if_whoever_merged_them_lived_to_tell() {
        let watched = chinwag_actors::settings::Settings::default();
        let found = Simulation::new(1).nodes(2).beside([1, 1]).settings(watched).run(|net| async move {
            let mut history = History::new(2, &[1, 1], true, BTreeSet::new());
            history.put(&net, "g", 0, &[0, 2]);
            history.put(&net, "g", 1, &[1, 3]);
            let same_cluster = |history: &History| [history.same_cluster(&net, 1, 2), history.same_cluster(&net, 0, 3)];
            let mut later = history.clone();
            let before = same_cluster(&history);
            history.end(&net, 0);
            net.advance(Duration::from_secs(10)).await;
            later.end(&net, 0);
            (before, same_cluster(&history), same_cluster(&later))
        });
        assert_eq!(found.unwrap(), ([true, true], [false, true], [true, true]));
    }

    #[test]
    fn a_dead_member_that_another_has_removed_is_excused_only_where_liveness_is_no_news() {
        let dead = Simulation::new(1).run(|net| async move { net.addr(1).nid() }).unwrap();
        let of = |status| BTreeMap::from([(dead, status)]);
        let excused = Simulation::new(1).nodes(3).beside([1]).run(|net| async move {
            use Status::{Alive, Failed, Pending, Unreachable};
            let excuses = |one: Status, two: Status, demands: &[Demand]| {
                let history = History::new(3, &[1], true, demands.iter().copied().collect());
                // what a node of another cluster knows is ignored
                let statuses = Statuses([(0, of(one)), (2, of(two)), (3, of(Failed))].into());
                statuses.excuses(&net, &history, 0, &dead)
            };
            [
                excuses(Alive, Failed, &[]),
                excuses(Pending, Failed, &[]),
                excuses(Pending, Failed, &[Demand::Liveness]),
                excuses(Pending, Pending, &[Demand::Liveness]),
                excuses(Unreachable, Failed, &[]),
                excuses(Unreachable, Pending, &[Demand::Liveness]),
            ]
        });
        assert_eq!(excused.unwrap(), [false, true, false, true, true, true]);
    }
}
