//! [`Statement`]: what a node states of itself; and [`Cluster`], what it knows of its own cluster.

use std::num::NonZeroU64;
use std::time::Duration;

use super::standing::Incarnation;

/// The number of former ids that a node states. A guess: merges that follow each other faster than they spread are
/// rare.
pub const FORMER_IDS: usize = 4;

/// The id of a cluster, drawn at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub(super) NonZeroU64);

impl ClusterId {
    /// Creates the id with this number. No cluster has the number 0.
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Returns the number.
    pub const fn number(self) -> u64 {
        self.0.get()
    }
}

/// What a node states of itself in every request and answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Statement {
    /// The incarnation of the node. Life 0 means that the node is passive and states nothing.
    pub incarnation: Incarnation,
    /// The cluster of the node, or `None` while the node knows no other members.
    pub cluster: Option<ClusterId>,
    /// The former ids that were merged into that of the cluster, the latest last.
    pub formerly: [Option<ClusterId>; FORMER_IDS],
    /// The hash of the node's view ([`Swim::view_hash`](super::Swim::view_hash)), or 0 if it is not stated.
    pub view: u64,
}

impl Statement {
    /// Creates the statement of a node of which only the incarnation is known.
    pub fn of(incarnation: Incarnation) -> Self {
        Self { incarnation, ..Self::default() }
    }

    /// Returns whether the node is passive: a reference node, or a node with membership switched off.
    pub const fn is_passive(&self) -> bool {
        self.incarnation.is_passive()
    }
}

/// The relation of another node to this node's cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The node belongs to this cluster, or may do so.
    Member,
    /// The node belongs to another cluster.
    Stranger,
}

/// This node's own cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Cluster {
    pub(super) id: Option<ClusterId>,
    pub(super) formerly: [Option<ClusterId>; FORMER_IDS],
    /// Whether the last other member is gone, so that the id is no longer stated, and any other replaces it.
    pub(super) alone: bool,
    /// The time since which this node has known other members without an id.
    pub(super) since: Option<Duration>,
    /// Whether this node is about to join others: see [`Swim::expect_to_join`](super::Swim::expect_to_join).
    pub(super) joins: bool,
}

impl Cluster {
    pub(super) fn id(&self) -> Option<ClusterId> {
        if self.alone { None } else { self.id }
    }

    pub(super) fn formerly(&self) -> [Option<ClusterId>; FORMER_IDS] {
        if self.alone { Default::default() } else { self.formerly }
    }

    /// Sets whether the last other member is gone.
    pub(super) fn set_alone(&mut self, alone: bool) {
        self.alone = alone;
    }

    pub(super) fn remember(&mut self, id: Option<ClusterId>) {
        if id.is_none() || id == self.id || self.formerly.contains(&id) {
            return;
        }
        match self.formerly.iter().position(Option::is_none) {
            Some(free) => self.formerly[free] = id,
            None => {
                self.formerly.rotate_left(1);
                self.formerly[FORMER_IDS - 1] = id;
            }
        }
    }

    /// Takes over an id with its former ids.
    pub(super) fn adopt(&mut self, id: ClusterId, formerly: &[Option<ClusterId>]) {
        let before = self.id();
        if before.is_none() {
            self.formerly = Default::default();
        }
        self.id = Some(id);
        self.alone = false;
        self.joins = false;
        for former in formerly.iter().chain([&before]) {
            self.remember(*former);
        }
    }
}
