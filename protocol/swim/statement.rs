//! [`Statement`]: what a node states of itself; and [`Cluster`], what it knows of its own cluster.

use std::num::NonZeroU64;
use std::time::Duration;

use super::standing::Incarnation;

/// How many former ids a node states. A guess: merges that follow each other more quickly than they spread are rare.
pub const FORMER_IDS: usize = 4;

/// The id of a cluster, drawn at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub(super) NonZeroU64);

impl ClusterId {
    /// The id with this number; `None` for 0, which no cluster has.
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0.get()
    }
}

/// What a node states of itself in every request and answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Statement {
    /// Its incarnation, or one of life 0 for a *passive* node, which states nothing.
    pub incarnation: Incarnation,
    /// Its cluster, or `None` while it has no other members.
    pub cluster: Option<ClusterId>,
    /// Ids that were merged into its cluster's, the latest last.
    pub formerly: [Option<ClusterId>; FORMER_IDS],
    /// The hash of its view ([`Swim::view_hash`]), or 0 where it was not stated.
    pub view: u64,
}

impl Statement {
    /// What a node states of which only the incarnation is known.
    pub fn of(incarnation: Incarnation) -> Self {
        Self { incarnation, ..Self::default() }
    }

    /// Whether it states nothing: a node of the reference, or one with membership switched off.
    pub const fn is_passive(&self) -> bool {
        self.incarnation.is_passive()
    }
}

/// How another node relates to this node's cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// It belongs to this cluster, or it may.
    Member,
    /// It belongs to another cluster.
    Stranger,
}

/// This node's own cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Cluster {
    pub(super) id: Option<ClusterId>,
    pub(super) formerly: [Option<ClusterId>; FORMER_IDS],
    /// The last other member is gone: the id is no longer stated and gives way to any other.
    pub(super) alone: bool,
    /// Since when this node has had other members without an id.
    pub(super) since: Option<Duration>,
    /// This node is about to join others: see [`Swim::expect_to_join`].
    pub(super) joins: bool,
}

impl Cluster {
    pub(super) fn id(&self) -> Option<ClusterId> {
        if self.alone { None } else { self.id }
    }

    pub(super) fn formerly(&self) -> [Option<ClusterId>; FORMER_IDS] {
        if self.alone { Default::default() } else { self.formerly }
    }

    /// The last other member is gone, or there is one again.
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

    /// Takes over an id, with the former ids that go with it.
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
