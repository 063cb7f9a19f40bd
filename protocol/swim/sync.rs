//! [`Sync`] and [`Page`]: the messages by which two nodes compare their views.

use std::time::Duration;

use super::standing::{Incarnation, Update};
use crate::peer_id::{PeerId, mix};

/// About how many entries of a view one message has. A guess: each takes about 120 bytes on the wire.
pub const PAGE: usize = 256;

/// The most parts into which a view is divided, so that their hashes fit into one message.
pub const MAX_PARTS: usize = 256;

/// The most entries that are accepted in one message: a page, one part that exceeds it, and corrections.
pub const MAX_ENTRIES: usize = 8 * PAGE;

/// About how many members a part of a small view has.
pub(super) const PART: usize = 16;

/// A request to compare views.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sync<P> {
    /// The hash of each part of the sender's view. Their number is a power of two.
    pub parts: Vec<u64>,
    /// The first part to compare, or the number of parts if only `news` is sent.
    pub first: usize,
    /// The entries that the receiver lacks, or of which it has an older incarnation, as far as the sender knows.
    pub news: Vec<Update<P>>,
}

/// The answer to a [`Sync`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Page<P> {
    /// The parts before `next` that differ.
    pub differing: Vec<usize>,
    /// The entries of those parts in the answering node's view, and corrections of the request's news.
    pub entries: Vec<Update<P>>,
    /// The part with which to continue, or `None` after the last part.
    pub next: Option<usize>,
    /// The number of parts into which the answering node would have divided its view. If that is more than the request
    /// has, nothing was compared, and the sender begins again with this many.
    pub parts: usize,
}

/// Why a [`Sync`] cannot be answered. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The number of parts is not a power of two up to [`MAX_PARTS`].
    #[error("a view has a power of two of parts, at most {MAX_PARTS}, not {0}")]
    Parts(usize),
    /// There are more news than fit into one message.
    #[error("a message carries at most {MAX_ENTRIES} entries of a view, not {0}")]
    Entries(usize),
}

/// A comparison under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Comparison<P> {
    pub(super) peer: P,
    /// The time at which it is given up if the peer has not answered.
    pub(super) until: Duration,
}

/// Returns the hash of an entry. The hash of a view is the exclusive or of those of its entries, so that it does not
/// depend on their order and can be updated with each change.
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
