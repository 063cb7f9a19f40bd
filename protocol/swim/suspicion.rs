//! [`Suspicion`]: the case against one peer.

use std::time::Duration;

use super::standing::Incarnation;
use crate::peer_id::PeerId;

/// The case against a peer at one incarnation. It ends with the incarnation, the verdict, or the peer's farewell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Suspicion<P> {
    pub(super) incarnation: Incarnation,
    /// The time at which this node first heard of the suspicion, or woke up.
    pub(super) since: Duration,
    /// The members that could not reach the peer, in order, and no more than can matter.
    pub(super) accusers: Vec<P>,
    /// The accusers that have never answered this node. They count once they have.
    pub(super) unverified: Vec<P>,
    /// The time since which the peer's host refuses this node's requests, without an answer in between.
    pub(super) refused_since: Option<Duration>,
    /// Whether this node has failed to reach the peer, and not succeeded since.
    pub(super) mine: bool,
    /// The number of failed retries since then.
    pub(super) failures: u32,
    /// The time of the next retry.
    pub(super) retry_due: Option<Duration>,
    /// The time for which the timer for the verdict is set.
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

    /// Returns whether `me` shares the suspicion.
    pub(super) fn is_held_by(&self, me: &P) -> bool {
        self.mine || self.failures > 0 || self.refused_since.is_some() || self.accusers.contains(me)
    }

    /// Withdraws the suspicion of `me`.
    pub(super) fn withdraw(&mut self, me: P) {
        self.mine = false;
        self.failures = 0;
        self.refused_since = None;
        self.accusers.retain(|accuser| *accuser != me);
    }

    /// Withdraws the suspicion of `me`, and begins the suspicion time again.
    pub(super) fn begin_again(&mut self, now: Duration, me: P) {
        self.withdraw(me);
        self.since = now;
        self.retry_due = None;
        self.verdict_due = None;
    }
}
