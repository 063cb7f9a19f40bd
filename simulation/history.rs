//! What has happened in a scenario so far, as far as the checks need it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chinwag_protocol::swim::Status;

use super::{Net, scenario::Demand};

/// What has happened.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    /// The messages that nodes were to start.
    pub told: Vec<Told>,
    /// The number of messages that were not started, because the node was not up or had just joined.
    pub untold: u64,
    /// Whether nodes have membership.
    pub watched: bool,
    /// The time from which on each cluster of more than one node has an id.
    pub settled: Duration,
    /// Whether a node has joined another cluster on its old address while one of the two clusters may have had no id.
    /// The two may then be one cluster, or not.
    may_have_joined: bool,
    /// The demands of the scenario.
    pub demands: BTreeSet<Demand>,
    /// The groups that operators put, by group and node. The latest put replaces earlier ones.
    puts: BTreeMap<(String, usize), Put>,
    /// The latest join of each node.
    joins: BTreeMap<usize, Joined>,
    /// The nodes that knew nobody at the last restart of a node.
    isolated: BTreeSet<usize>,
    /// When each node was paused last.
    paused: BTreeMap<usize, Duration>,
    /// The cluster in which each node begins.
    clusters: Vec<usize>,
    /// The cluster that each cluster was merged into, or the cluster itself.
    merged: Vec<usize>,
    /// The puts that merged clusters.
    merges: Vec<Merge>,
}

/// A put that merges two clusters.
#[derive(Clone, Copy, Debug)]
struct Merge {
    /// The clusters at the start.
    clusters: [usize; 2],
    /// The node on which the group was put.
    on: usize,
    /// The life of that node.
    life: u32,
    at: Duration,
    /// Whether the node ended before it can have told other nodes.
    untold: bool,
}

/// The longest time after which a node has told others of the nodes that were put on it. It asks them within two
/// periods, and compares views when its own no longer changes. The time is generous, because requests are lost.
const TELLING: Duration = Duration::from_secs(10);

/// A message that a node was to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// The message.
    pub message: String,
    /// The node.
    pub node: usize,
    /// The life of the node.
    pub life: u32,
    /// The time.
    pub at: Duration,
}

/// A group that was put on a node.
#[derive(Clone, Debug)]
pub(super) struct Put {
    /// The group's name.
    pub group: String,
    /// The node on which it was put.
    pub on: usize,
    /// The life of that node.
    pub life: u32,
    /// The members.
    pub members: Vec<usize>,
    /// The life of each member.
    pub lives: Vec<u32>,
    /// The members that restarted after this node had heard of an earlier life of theirs. A node that first hears of a
    /// member in a later life cannot know that it was restarted.
    pub missed: BTreeSet<usize>,
}

impl Put {
    /// The life of a member when the group was put.
    pub(super) fn life_of(&self, member: usize) -> Option<u32> {
        self.members.iter().position(|other| *other == member).and_then(|at| self.lives.get(at)).copied()
    }
}

/// A node that was started to join others.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    /// The life of the node.
    pub life: u32,
    /// The seeds, and the life of each.
    pub through: Vec<(usize, u32)>,
    /// Whether the node joins only `all`.
    pub ungrouped: bool,
}

impl History {
    /// The state before anything has happened, for a network and further cliques of these sizes.
    pub(super) fn new(nodes: usize, beside: &[usize], watched: bool, demands: BTreeSet<Demand>) -> History {
        let sizes = std::iter::once(&nodes).chain(beside);
        let clusters = (0..).zip(sizes).flat_map(|(cluster, size)| std::iter::repeat_n(cluster, *size)).collect();
        History { watched, demands, clusters, merged: (0..=beside.len()).collect(), ..History::default() }
    }

    pub(super) fn put(&mut self, net: &Net, group: &str, on: usize, members: &[usize]) {
        let lives = members.iter().map(|member| net.life(*member)).collect();
        let put = Put {
            group: group.to_owned(),
            on,
            life: net.life(on),
            members: members.to_vec(),
            lives,
            missed: BTreeSet::new(),
        };
        // an operator who puts nodes of two clusters into one group merges the clusters
        for member in members {
            let clusters = [self.begun(net, *member), self.begun(net, on)];
            if clusters[0] != clusters[1] {
                self.merges.push(Merge { clusters, on, life: net.life(on), at: net.now(), untold: false });
            }
            self.merge(self.cluster(net, *member), self.cluster(net, on));
        }
        self.puts.insert((group.to_owned(), on), put);
    }

    pub(super) fn join(&mut self, net: &Net, node: usize, through: &[usize], ungrouped: bool) {
        let (before, after) = (self.cluster_of_address(node), through.first().map(|seed| self.cluster(net, *seed)));
        let company = (0..net.len()).filter(|&other| net.is_up(other) && Some(self.cluster(net, other)) == after);
        if let Some(after) = after
            && before != after
            && self.is_clique(node)
            && (net.now() < self.settled || company.count() < 2 || self.any_without_cluster_id(net, before, after))
        {
            self.may_have_joined = true;
        }
        let through = through.iter().map(|seed| (*seed, net.life(*seed))).collect();
        self.joins.insert(node, Joined { life: net.life(node), through, ungrouped });
    }

    /// Prepares for the restart of a node: records which nodes that list it have heard of one of its lives, and which
    /// nodes know nobody else. The latter state no cluster, and take the id of any.
    pub(super) async fn will_restart(&mut self, net: &Net, node: usize) {
        if !self.watched {
            return;
        }
        let nid = net.addr(node).nid();
        for put in self.puts.values_mut() {
            let lists = put.on != node && put.members.contains(&node);
            if !lists || !net.is_up(put.on) || net.life(put.on) != put.life {
                continue;
            }
            let known = net.node(put.on).membership().list().await.unwrap_or_default();
            let heard = known.values().any(|standing| {
                let here = standing.status.is_present() || standing.status == Status::Failed;
                standing.node.nid() == nid && here && standing.incarnation.life > 0
            });
            if heard {
                put.missed.insert(node);
            }
        }
        self.isolated.clear();
        for other in (0..net.len()).filter(|&other| other != node && net.is_up(other)) {
            let known = net.node(other).membership().list().await.unwrap_or_default();
            let others = [net.addr(other).nid(), nid];
            let company = known.values().any(|known| known.status.is_known() && !others.contains(&known.node.nid()));
            // a node that has just joined will learn of the nodes that its seed knows
            let gone = |(seed, life): &(usize, u32)| *seed == node || !net.is_up(*seed) || net.life(*seed) != *life;
            let left = self.joined(net, other).is_none_or(|joined| joined.through.iter().all(gone));
            if !company && left {
                self.isolated.insert(other);
            }
        }
    }

    /// Whether a node may be in either of two clusters. It restarted on its old address to join another cluster, and its seed
    /// was not there for some of the time, so that its old cluster may have found it. Or its seed has moved to another
    /// cluster, while the node may still have been asking the seed to let it in, which is a request to merge.
    pub(super) fn may_be_in_either_cluster(&self, net: &Net, node: usize) -> bool {
        let Some((seed, life)) = self.joined(net, node).and_then(|joined| joined.through.first()) else { return false };
        let restarted = net.life(*seed) != *life;
        let moved = restarted && self.cluster_of_address(*seed) != self.cluster(net, *seed);
        let gone = restarted || !net.is_up(*seed);
        moved || (gone && self.is_clique(node) && self.cluster_of_address(node) != self.cluster(net, node))
    }

    /// Whether two clusters may have become one without a merge: a node is in one of them, and may have joined the
    /// other through a restarted member.
    pub(super) fn clusters_may_have_joined(&self, net: &Net) -> bool {
        let rejoined = |node: usize| {
            let seed = self.joined(net, node).and_then(|joined| joined.through.first());
            self.may_be_in_either_cluster(net, node) && seed.is_some_and(|(seed, _)| net.is_up(*seed))
        };
        self.may_have_joined || (0..net.len()).any(rejoined)
    }

    /// Whether two nodes are certainly in the same cluster.
    pub(super) fn same_cluster(&self, net: &Net, one: usize, other: usize) -> bool {
        let unsure = self.may_be_in_either_cluster(net, one) || self.may_be_in_either_cluster(net, other);
        !unsure && self.sure_cluster(net, one) == self.sure_cluster(net, other)
    }

    /// Records that the present life of a node ends.
    pub(super) fn end(&mut self, net: &Net, node: usize) {
        let lately = |merge: &&mut Merge| net.now() < merge.at + TELLING;
        let its = self.merges.iter_mut().filter(|merge| merge.on == node && merge.life == net.life(node));
        its.filter(lately).for_each(|merge| merge.untold = true);
    }

    /// The cluster that a node is certainly in: the one in which it began, or one with which it was merged.
    fn sure_cluster(&self, net: &Net, node: usize) -> usize {
        let mut reached = BTreeSet::from([self.begun(net, node)]);
        // at most one round for each merge
        for _ in 0..self.merges.len() {
            let before = reached.len();
            for Merge { clusters, .. } in self.merges.iter().filter(|merge| !merge.untold) {
                if clusters.iter().any(|cluster| reached.contains(cluster)) {
                    reached.extend(clusters);
                }
            }
            if reached.len() == before {
                break;
            }
        }
        reached.first().copied().unwrap_or_default()
    }

    /// Records that a node pauses.
    pub(super) fn pause(&mut self, net: &Net, node: usize) {
        if net.is_up(node) {
            self.paused.insert(node, net.now());
        }
    }

    /// Whether a node of one of two clusters knows nobody else, or has been paused since before its cluster had an id.
    /// It may then take the id of either.
    fn any_without_cluster_id(&self, net: &Net, one: usize, other: usize) -> bool {
        let there = |node: usize| [one, other].contains(&self.cluster(net, node));
        let early = |since: Duration| since < self.settled;
        let mut paused =
            self.paused.iter().filter(|(node, since)| early(**since) && net.lives(**node) && !net.is_up(**node));
        paused.any(|(node, _)| there(*node)) || self.isolated.iter().any(|node| there(*node))
    }

    /// Whether a node's address was in a clique of several nodes at the start.
    fn is_clique(&self, node: usize) -> bool {
        let cluster = self.clusters.get(node);
        self.clusters.iter().filter(|other| Some(*other) == cluster).count() > 1
    }

    fn merge(&mut self, one: usize, other: usize) {
        let (least, most) = (one.min(other), one.max(other));
        for root in &mut self.merged {
            if *root == most {
                *root = least;
            }
        }
    }

    /// The latest put of each group on each node.
    pub(super) fn puts(&self) -> impl Iterator<Item = &Put> {
        self.puts.values()
    }

    /// How a node joined, if its present life was started to join others.
    pub(super) fn joined(&self, net: &Net, node: usize) -> Option<&Joined> {
        self.joins.get(&node).filter(|joined| joined.life == net.life(node))
    }

    /// Whether a node is in the group of the other nodes.
    pub(super) fn grouped(&self, net: &Net, node: usize) -> bool {
        self.joined(net, node).is_none_or(|joined| !joined.ungrouped)
    }

    /// The cluster that a node is in.
    pub(super) fn cluster(&self, net: &Net, node: usize) -> usize {
        let begun = self.begun(net, node);
        self.merged.get(begun).copied().unwrap_or(begun)
    }

    /// The cluster in which a node began or joined, before any merge.
    pub(super) fn begun(&self, net: &Net, node: usize) -> usize {
        let slot = self.joined(net, node).and_then(|joined| joined.through.first()).map_or(node, |(seed, _)| *seed);
        self.clusters.get(slot).copied().unwrap_or_default()
    }

    /// The cluster in which a node's address was at the start, or the one that it was merged into.
    fn cluster_of_address(&self, node: usize) -> usize {
        let cluster = self.clusters.get(node).copied().unwrap_or_default();
        self.merged.get(cluster).copied().unwrap_or(cluster)
    }
}
