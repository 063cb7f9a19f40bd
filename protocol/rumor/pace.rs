//! How often a node compares: once per tick while something is new, and less often otherwise.

use super::config::GossipConfig;
use super::seen::Birth;

/// The weights of a comparison without a difference and of one that failed. Failures count, so that a group of dead
/// nodes does not keep this node busy, but less, because loss is no reason to slow down.
const SAME: u8 = 2;
const FAILED: u8 = 1;

/// The weight at which the interval doubles: two comparisons without a difference.
const DOUBLE: u8 = 4;

/// The most ticks that a node waits, per peer. Guessed.
const TICKS_PER_PEER: usize = 4;

/// The factor by which a node at rest waits longer each time, and at most, while peers state that they hold the same.
/// Guessed: the maximum is the delay with which it notices that they no longer do.
const STRETCH: u8 = 4;
const LONGEST_STRETCH: u8 = 16;

#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The end of the present tick.
    due: Birth,
    /// The beginning of the last comparison.
    pub(super) compared: Birth,
    /// The sum of the weights of the comparisons since the last news.
    quiet: u8,
    /// How often peers have stated during the present tick that they hold the same.
    stated: u8,
    /// The factor by which the present tick is longer, because peers state that they hold the same.
    stretch: u8,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { due: Birth::MIN, compared: Birth::MIN, quiet: 0, stated: 0, stretch: 1 }
    }
}

impl Pace {
    /// Returns the number of ticks until the next comparison.
    pub(super) fn ticks(&self, members: usize, config: &GossipConfig) -> u32 {
        let doublings = u32::from(self.quiet / DOUBLE).min(u32::BITS - 1);
        (1u32 << doublings).min(most_ticks(members, config))
    }

    /// Notes that a peer has stated that it holds the same.
    pub(super) fn stated(&mut self) {
        self.stated = self.stated.saturating_add(1);
    }

    /// Begins a tick. A node at rest need not compare if peers have stated often enough that they hold the same.
    /// Returns the factor by which it waits longer, or 1 if it has to compare.
    pub(super) fn stretch(&mut self, members: usize, config: &GossipConfig) -> u32 {
        let at_rest = self.ticks(members, config) == most_ticks(members, config);
        // as often as it would have compared meanwhile
        let enough = std::mem::take(&mut self.stated) >= self.stretch;
        self.stretch = if at_rest && enough { self.stretch.saturating_mul(STRETCH).min(LONGEST_STRETCH) } else { 1 };
        self.stretch.into()
    }

    /// Sets the end of the present tick.
    pub(super) fn set(&mut self, due: Birth) {
        self.due = due;
    }

    /// Returns whether the present tick ends after `latest`.
    pub(super) fn is_late(&self, latest: Birth) -> bool {
        self.due > latest
    }

    /// Notes that something is new.
    pub(super) fn quicken(&mut self) {
        self.quiet = 0;
        self.stretch = 1;
    }

    /// Notes that a comparison found no difference, or that there was no peer to compare with.
    pub(super) fn same(&mut self) {
        self.quiet = self.quiet.saturating_add(SAME);
    }

    /// Notes that a comparison failed.
    pub(super) fn failed(&mut self) {
        self.quiet = self.quiet.saturating_add(FAILED);
    }
}

/// Returns the number of ticks between two comparisons at rest.
fn most_ticks(members: usize, config: &GossipConfig) -> u32 {
    let most = match members.saturating_sub(1) {
        // there is no peer to compare with
        0 => config.idle_ticks,
        peers => {
            let for_peers = peers.saturating_mul(TICKS_PER_PEER);
            config.idle_ticks.min(u32::try_from(for_peers).unwrap_or(u32::MAX))
        }
    };
    most.max(1)
}
