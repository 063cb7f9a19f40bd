//! How often a node compares notes: once per tick while something is new, and less often while nothing is.

use super::config::GossipConfig;
use super::seen::Birth;

/// What a comparison without a difference counts for, and one that failed. Failures count too, as a group of nodes that
/// are gone must not keep this one awake, and for less, as loss is no reason to slow down.
const SAME: u8 = 2;
const FAILED: u8 = 1;

/// At so many the interval doubles: two comparisons in a row without a difference.
const DOUBLE: u8 = 4;

/// How many ticks a node waits at most for each peer that it has. Guessed.
const TICKS_PER_PEER: usize = 4;

/// By how many times longer each time, and at most, a node at rest waits while peers state that they hold the same.
/// Guessed: the longest is how late it notices that they have ceased to.
const STRETCH: u8 = 4;
const LONGEST_STRETCH: u8 = 16;

#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// When the tick under way ends.
    due: Birth,
    /// When the last comparison began.
    pub(super) compared: Birth,
    /// What the comparisons since the last news count for.
    quiet: u8,
    /// How often peers have stated the hash of what is held here too, since the tick under way began.
    stated: u8,
    /// By how many times the tick under way is longer than one at rest, as peers go on stating it.
    stretch: u8,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { due: Birth::MIN, compared: Birth::MIN, quiet: 0, stated: 0, stretch: 1 }
    }
}

impl Pace {
    /// How many ticks pass until the next comparison, in a view of so many.
    pub(super) fn ticks(&self, members: usize, config: &GossipConfig) -> u32 {
        let doublings = u32::from(self.quiet / DOUBLE).min(u32::BITS - 1);
        (1u32 << doublings).min(most_ticks(members, config))
    }

    /// A peer has stated by the way that it holds the same.
    pub(super) fn stated(&mut self) {
        self.stated = self.stated.saturating_add(1);
    }

    /// A tick begins. Where peers have stated often enough that they hold the same, a node at rest need not ask.
    /// Answers by how many times it then waits longer; 1 where it has to ask.
    pub(super) fn stretch(&mut self, members: usize, config: &GossipConfig) -> u32 {
        let at_rest = self.ticks(members, config) == most_ticks(members, config);
        // as often as it would have asked meanwhile
        let enough = std::mem::take(&mut self.stated) >= self.stretch;
        self.stretch = if at_rest && enough { self.stretch.saturating_mul(STRETCH).min(LONGEST_STRETCH) } else { 1 };
        self.stretch.into()
    }

    /// A tick is under way until then.
    pub(super) fn set(&mut self, due: Birth) {
        self.due = due;
    }

    /// Whether the tick under way ends later than that.
    pub(super) fn is_late(&self, latest: Birth) -> bool {
        self.due > latest
    }

    /// Something is new.
    pub(super) fn quicken(&mut self) {
        self.quiet = 0;
        self.stretch = 1;
    }

    /// A comparison found no difference, or there was nobody to compare with.
    pub(super) fn same(&mut self) {
        self.quiet = self.quiet.saturating_add(SAME);
    }

    /// A comparison failed.
    pub(super) fn failed(&mut self) {
        self.quiet = self.quiet.saturating_add(FAILED);
    }
}

/// How many ticks pass between two comparisons at rest, in a view of so many.
fn most_ticks(members: usize, config: &GossipConfig) -> u32 {
    let most = match members.saturating_sub(1) {
        // alone, it has nobody to ask
        0 => config.idle_ticks,
        peers => {
            let for_peers = peers.saturating_mul(TICKS_PER_PEER);
            config.idle_ticks.min(u32::try_from(for_peers).unwrap_or(u32::MAX))
        }
    };
    most.max(1)
}
