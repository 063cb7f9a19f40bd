//! [`Sync`] and [`Page`]: the messages by which two nodes compare their views.

use std::time::Duration;

use super::standing::{Incarnation, Update};
use crate::peer_id::{PeerId, mix};

/// About how many entries of a view go into one message. A guess: some 120 bytes each on the wire.
pub const PAGE: usize = 256;

/// Most parts that a view is divided into, so that their hashes fit into one message.
pub const MAX_PARTS: usize = 256;

/// Most entries that are accepted in one message: a page, one part that exceeds it, and corrections.
pub const MAX_ENTRIES: usize = 8 * PAGE;

/// About how many members one part holds in a small view.
pub(super) const PART: usize = 16;

/// A request to compare views.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sync<P> {
    /// The hash of each part of the sender's view. Their number is a power of two.
    pub parts: Vec<u64>,
    /// The first part that is to be compared; the number of parts when only `news` is sent.
    pub first: usize,
    /// What the receiver lacks or has older, as far as the sender knows.
    pub news: Vec<Update<P>>,
}

/// The answer to a [`Sync`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Page<P> {
    /// The parts that differ, among those up to `next`.
    pub differing: Vec<usize>,
    /// What the answering node knows in those parts, and where the request was wrong.
    pub entries: Vec<Update<P>>,
    /// Where to go on, or `None` after the last part.
    pub next: Option<usize>,
    /// The number of parts that the answering node would have divided its view into. If that is more than were
    /// compared, nothing else was: the sender begins again with as many.
    pub parts: usize,
}

/// A [`Sync`] that cannot be answered. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The number of parts is not a power of two up to [`MAX_PARTS`].
    #[error("a view has a power of two of parts, at most {MAX_PARTS}, not {0}")]
    Parts(usize),
    /// More news than fit into one message.
    #[error("a message carries at most {MAX_ENTRIES} entries of a view, not {0}")]
    Entries(usize),
}

/// A comparison under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Comparison<P> {
    pub(super) peer: P,
    /// When it is given up: the peer has not answered.
    pub(super) until: Duration,
}

/// The hash of one entry. The hash of a view is the exclusive or of its entries', so that it does not depend on order
/// and can follow each change.
pub(super) fn entry_hash<P: PeerId>(peer: &P, incarnation: Incarnation) -> u64 {
    mix(mix(peer.bits() ^ 0x9e37_79b9_7f4a_7c15) ^ mix(incarnation.life.rotate_left(32) ^ u64::from(incarnation.turn)))
}

/// Returns the part of a view that a peer is in.
pub(super) fn part_of<P: PeerId>(peer: &P, parts: usize) -> usize {
    match parts.trailing_zeros() {
        0 => 0,
        bits => (peer.bits() >> (64 - bits)) as usize,
    }
}
