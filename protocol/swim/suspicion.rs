//! [`Suspicion`]: the case against one peer.

use std::time::Duration;

use super::standing::Incarnation;
use crate::peer_id::PeerId;

/// The case against one peer at one incarnation. Dropped with the incarnation, the verdict, or the farewell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Suspicion<P> {
    pub(super) incarnation: Incarnation,
    /// When this node first heard of it, or woke up.
    pub(super) since: Duration,
    /// Who could not reach it, in order, no more than can matter.
    pub(super) accusers: Vec<P>,
    /// Accusers that have never answered this node: they count once they have.
    pub(super) unverified: Vec<P>,
    /// When this node's requests began to be refused, without an answer since.
    pub(super) refused_since: Option<Duration>,
    /// Whether this node has tried and failed, and not succeeded since.
    pub(super) mine: bool,
    /// How often it has tried again since and failed.
    pub(super) failures: u32,
    /// When it tries again.
    pub(super) retry_due: Option<Duration>,
    /// When the timer for the verdict is set.
    pub(super) verdict_due: Option<Duration>,
}

impl<P: PeerId> Suspicion<P> {
    pub(super) fn new(incarnation: Incarnation, since: Duration) -> Self {
        Self {
            incarnation,
            since,
            accusers: Vec::new(),
            unverified: Vec::new(),
            refused_since: None,
            mine: false,
            failures: 0,
            retry_due: None,
            verdict_due: None,
        }
    }

    /// Whether `me` has a part in it.
    pub(super) fn is_held_by(&self, me: &P) -> bool {
        self.mine || self.failures > 0 || self.refused_since.is_some() || self.accusers.contains(me)
    }

    /// Forgets one's own part in it.
    pub(super) fn withdraw(&mut self, me: P) {
        self.mine = false;
        self.failures = 0;
        self.refused_since = None;
        self.accusers.retain(|accuser| *accuser != me);
    }

    /// What `me` held against the peer is void, and the time that passed was not waited.
    pub(super) fn begin_again(&mut self, now: Duration, me: P) {
        self.withdraw(me);
        self.since = now;
        self.retry_due = None;
        self.verdict_due = None;
    }
}
