//! Checks of groups: views, groups that operators put, nodes that joined, and clusters.

use std::collections::{BTreeMap, BTreeSet};

use chinwag_protocol::{identity::Nid, swim::Status};

use super::future::CheckFuture;
use crate::{
    Net,
    history::{History, Put},
    scenario::Demand,
};

/// The status of every member in the list of each running node.
pub(super) struct Statuses(pub(super) BTreeMap<usize, BTreeMap<Nid, Status>>);

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
    pub(super) fn excuses(&self, net: &Net, history: &History, node: usize, dead: &Nid) -> bool {
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
pub(super) fn views<'a>(net: &'a Net, history: &'a History) -> CheckFuture<'a> {
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
pub(super) fn puts<'a>(net: &'a Net, history: &'a History) -> CheckFuture<'a> {
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
pub(super) async fn unknown_groups_after_restart(net: &Net, history: &History) -> Option<String> {
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
pub(super) fn joins<'a>(net: &'a Net, history: &'a History) -> CheckFuture<'a> {
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
pub(super) fn mixed_clusters<'a>(net: &'a Net, history: &'a History) -> CheckFuture<'a> {
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
