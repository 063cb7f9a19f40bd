//! [`Flight`]: a probe under way.

use std::time::Duration;

use super::standing::Incarnation;

/// A probe under way: a direct request, then relays and further direct requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flight<P> {
    pub(super) peer: P,
    /// The incarnation of the peer when the probe began. A failure says nothing about a later one.
    pub(super) incarnation: Incarnation,
    /// Whether it is the probe of the period, which measures local health.
    pub(super) scheduled: bool,
    /// The time at which all requests have ended, if the transport keeps to their timeouts.
    pub(super) due: Duration,
    /// The time at which relays are asked.
    pub(super) second_stage: Duration,
    /// Whether relays have been asked.
    pub(super) asked: bool,
    pub(super) relays: Vec<P>,
    /// The number of requests without an outcome.
    pub(super) open: u32,
    /// The number of relays that have not answered.
    pub(super) silent: u32,
    /// Whether a direct request was refused, because nobody or another node listens at the peer's address.
    pub(super) refused: bool,
    /// Whether the first request told the peer that it is a member.
    pub(super) welcome: bool,
    /// Whether this node stood still meanwhile, so that only success counts.
    pub(super) void: bool,
}
