//! [`Flight`]: a probe under way.

use std::time::Duration;

use super::standing::Incarnation;

/// One probe under way: a direct request, then relays and further direct ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flight<P> {
    pub(super) peer: P,
    /// What was known when it began: a failure says nothing of an incarnation that came since.
    pub(super) incarnation: Incarnation,
    /// Whether it is the period's probe, by which local health is measured.
    pub(super) scheduled: bool,
    /// When every request has ended, if the transport keeps its word.
    pub(super) due: Duration,
    /// When the relays are asked.
    pub(super) second_stage: Duration,
    /// Whether they have been.
    pub(super) asked: bool,
    pub(super) relays: Vec<P>,
    /// Requests whose outcome is not known yet.
    pub(super) open: u32,
    /// Relays that have not answered.
    pub(super) silent: u32,
    /// A direct request was refused: nobody listens at the peer's address, or another node does.
    pub(super) refused: bool,
    /// Its first request told the peer that it is welcome.
    pub(super) welcome: bool,
    /// This node stood still meanwhile: only success counts.
    pub(super) void: bool,
}
