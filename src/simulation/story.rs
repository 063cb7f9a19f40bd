//! What a scenario has done so far, as far as the checks have to know.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

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
    pub blurred: bool,
    /// What is demanded of them.
    pub demands: BTreeSet<Demand>,
    /// Groups put by hand, the latest last.
    puts: BTreeMap<(String, usize), Put>,
    /// Nodes that joined, by node, the latest only.
    joins: BTreeMap<usize, Joined>,
    /// The cluster that each node begins in.
    clusters: Vec<usize>,
    /// The cluster that each cluster was merged into; itself where it was not.
    merged: Vec<usize>,
}

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
        let put = Put { group: group.to_owned(), on, life: net.life(on), members: members.to_vec(), lives };
        // an operator who puts nodes of two clusters into one group wants them to be one
        for member in members {
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
            && (net.now() < self.settled || company.count() < 2)
        {
            self.blurred = true;
        }
        let through = through.iter().map(|seed| (*seed, net.life(*seed))).collect();
        self.joins.insert(node, Joined { life: net.life(node), through, ungrouped });
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
        let begun = self.joined(net, node).and_then(|joined| joined.through.first()).map_or(node, |(seed, _)| *seed);
        self.cluster_of_place(begun)
    }

    /// The cluster that a node's address was in at the beginning, or what that was merged into.
    fn cluster_of_place(&self, node: usize) -> usize {
        let cluster = self.clusters.get(node).copied().unwrap_or_default();
        self.merged.get(cluster).copied().unwrap_or(cluster)
    }
}
