//! What a scenario has done so far, as far as the checks have to know.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chinwag_protocol::swim::Status;

use super::{Net, scenario::Demand};

/// What has happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    /// Messages that nodes were to start.
    pub told: Vec<Told>,
    /// How many were not, as the node was not up or had just joined.
    pub untold: u64,
    /// Whether nodes watch each other.
    pub watched: bool,
    /// From when on each cluster of more than one node has an id.
    pub settled: Duration,
    /// A node of one cluster has joined another, on its old address, when one of the two may have had no id: they may be one
    /// by now, or not.
    blurred: bool,
    /// What is demanded of them.
    pub demands: BTreeSet<Demand>,
    /// Groups put by hand, the latest last.
    puts: BTreeMap<(String, usize), Put>,
    /// Nodes that joined, by node, the latest only.
    joins: BTreeMap<usize, Joined>,
    /// Nodes that knew nobody when a node was started anew the last time.
    lone: BTreeSet<usize>,
    /// When each node was stopped last.
    paused: BTreeMap<usize, Duration>,
    /// The cluster that each node begins in.
    clusters: Vec<usize>,
    /// The cluster that each cluster was merged into; itself where it was not.
    merged: Vec<usize>,
    /// The puts that merged clusters.
    merges: Vec<Merge>,
}

/// A put that merges two clusters.
#[derive(Clone, Copy, Debug)]
struct Merge {
    /// The clusters as they began.
    clusters: [usize; 2],
    /// Where the group was put.
    on: usize,
    /// In which of that node's lives.
    life: u32,
    at: Duration,
    /// The node ended before it can have told anybody.
    untold: bool,
}

/// How long it takes a node, at most, to tell others of nodes that were put on it: it asks them within two periods, and
/// compares views when its own is at rest. Generous, as requests are lost.
const TELLING: Duration = Duration::from_secs(10);

/// A message that a node was to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// What it is.
    pub message: String,
    /// Which node.
    pub node: usize,
    /// In which of its lives.
    pub life: u32,
    /// When.
    pub at: Duration,
}

/// A group that was put on a node.
#[derive(Clone, Debug)]
pub(super) struct Put {
    /// Its name.
    pub group: String,
    /// Where it was put.
    pub on: usize,
    /// In which of that node's lives.
    pub life: u32,
    /// Its members.
    pub members: Vec<usize>,
    /// The life that each was in.
    pub lives: Vec<u32>,
    /// Members that were started anew after this node had heard of an earlier life of theirs. A node that first hears of a
    /// member in a later life cannot tell that it was restarted.
    pub missed: BTreeSet<usize>,
}

impl Put {
    /// The life that a member was in.
    pub(super) fn life_of(&self, member: usize) -> Option<u32> {
        self.members.iter().position(|other| *other == member).and_then(|at| self.lives.get(at)).copied()
    }
}

/// A node that was started to join others.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    /// In which of its lives.
    pub life: u32,
    /// Through which nodes, and the life that each was in.
    pub through: Vec<(usize, u32)>,
    /// Whether it is to be in `all` only.
    pub ungrouped: bool,
}

impl Story {
    /// Of a network and cliques of these sizes beside it, of which nothing has happened yet.
    pub(super) fn new(nodes: usize, beside: &[usize], watched: bool, demands: BTreeSet<Demand>) -> Story {
        let sizes = std::iter::once(&nodes).chain(beside);
        let clusters = (0..).zip(sizes).flat_map(|(cluster, size)| std::iter::repeat_n(cluster, *size)).collect();
        Story { watched, demands, clusters, merged: (0..=beside.len()).collect(), ..Story::default() }
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
        // an operator who puts nodes of two clusters into one group wants them to be one
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
        let (before, after) = (self.cluster_of_place(node), through.first().map(|seed| self.cluster(net, *seed)));
        let company = (0..net.len()).filter(|&other| net.is_up(other) && Some(self.cluster(net, other)) == after);
        if let Some(after) = after
            && before != after
            && self.is_clique(node)
            && (net.now() < self.settled || company.count() < 2 || self.any_unsettled(net, before, after))
        {
            self.blurred = true;
        }
        let through = through.iter().map(|seed| (*seed, net.life(*seed))).collect();
        self.joins.insert(node, Joined { life: net.life(node), through, ungrouped });
    }

    /// A node is about to start anew: notes which nodes that list it have heard of one of its lives, and which nodes know
    /// nobody else. These state no cluster and take the id of any.
    pub(super) async fn starts_anew(&mut self, net: &Net, node: usize) {
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
        self.lone.clear();
        for other in (0..net.len()).filter(|&other| other != node && net.is_up(other)) {
            let known = net.node(other).membership().list().await.unwrap_or_default();
            let others = [net.addr(other).nid(), nid];
            let company = known.values().any(|known| known.status.is_known() && !others.contains(&known.node.nid()));
            // one that has just joined will know those that its seed knows
            let gone = |(seed, life): &(usize, u32)| *seed == node || !net.is_up(*seed) || net.life(*seed) != *life;
            let left = self.joined(net, other).is_none_or(|joined| joined.through.iter().all(gone));
            if !company && left {
                self.lone.insert(other);
            }
        }
    }

    /// A node of one cluster was started to join another, on its old address, and the member that it was to join through is not
    /// there, or was not: either cluster may have found it.
    pub(super) fn is_astray(&self, net: &Net, node: usize) -> bool {
        let Some((seed, life)) = self.joined(net, node).and_then(|joined| joined.through.first()) else { return false };
        let gone = !net.is_up(*seed) || net.life(*seed) != *life;
        gone && self.is_clique(node) && self.cluster_of_place(node) != self.cluster(net, node)
    }

    /// Whether two clusters may have become one unasked: a node is in one of them, and may have joined the other through a
    /// member that was started anew.
    pub(super) fn is_blurred(&self, net: &Net) -> bool {
        let rejoined = |node: usize| {
            let seed = self.joined(net, node).and_then(|joined| joined.through.first());
            self.is_astray(net, node) && seed.is_some_and(|(seed, _)| net.is_up(*seed))
        };
        self.blurred || (0..net.len()).any(rejoined)
    }

    /// Whether two nodes are sure to be in one cluster.
    pub(super) fn together(&self, net: &Net, one: usize, other: usize) -> bool {
        let astray = self.is_astray(net, one) || self.is_astray(net, other);
        !astray && self.sure_cluster(net, one) == self.sure_cluster(net, other)
    }

    /// The present life of a node is about to end.
    pub(super) fn end(&mut self, net: &Net, node: usize) {
        let lately = |merge: &&mut Merge| net.now() < merge.at + TELLING;
        let its = self.merges.iter_mut().filter(|merge| merge.on == node && merge.life == net.life(node));
        its.filter(lately).for_each(|merge| merge.untold = true);
    }

    /// The cluster that a node is sure to be in: that which it began in, or one with which somebody is known to have merged it.
    fn sure_cluster(&self, net: &Net, node: usize) -> usize {
        let mut reached = BTreeSet::from([self.begun(net, node)]);
        // at most as many rounds as there are merges
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

    /// A node is about to be stopped where it is.
    pub(super) fn pause(&mut self, net: &Net, node: usize) {
        if net.is_up(node) {
            self.paused.insert(node, net.now());
        }
    }

    /// Whether a node of one of two clusters knows nobody else, or has stood still since before its cluster had an id: it may
    /// take that of either.
    fn any_unsettled(&self, net: &Net, one: usize, other: usize) -> bool {
        let there = |node: usize| [one, other].contains(&self.cluster(net, node));
        let early = |since: Duration| since < self.settled;
        let mut paused =
            self.paused.iter().filter(|(node, since)| early(**since) && net.lives(**node) && !net.is_up(**node));
        paused.any(|(node, _)| there(*node)) || self.lone.iter().any(|node| there(*node))
    }

    /// Whether a node's address was in a clique of several at the beginning.
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

    /// The last time each group was put on each node.
    pub(super) fn puts(&self) -> impl Iterator<Item = &Put> {
        self.puts.values()
    }

    /// How a node came to where it is, if its present life was started to join others.
    pub(super) fn joined(&self, net: &Net, node: usize) -> Option<&Joined> {
        self.joins.get(&node).filter(|joined| joined.life == net.life(node))
    }

    /// Whether a node is in everybody's group.
    pub(super) fn grouped(&self, net: &Net, node: usize) -> bool {
        self.joined(net, node).is_none_or(|joined| !joined.ungrouped)
    }

    /// The cluster that a node is in.
    pub(super) fn cluster(&self, net: &Net, node: usize) -> usize {
        let begun = self.begun(net, node);
        self.merged.get(begun).copied().unwrap_or(begun)
    }

    /// The cluster that a node began or joined in, before any merge.
    pub(super) fn begun(&self, net: &Net, node: usize) -> usize {
        let place = self.joined(net, node).and_then(|joined| joined.through.first()).map_or(node, |(seed, _)| *seed);
        self.clusters.get(place).copied().unwrap_or_default()
    }

    /// The cluster that a node's address was in at the beginning, or what that was merged into.
    fn cluster_of_place(&self, node: usize) -> usize {
        let cluster = self.clusters.get(node).copied().unwrap_or_default();
        self.merged.get(cluster).copied().unwrap_or(cluster)
    }
}
