//! [`PeerId`]: in which terms the machines of gossip and membership think of nodes.

use std::fmt::Debug;

use crate::identity::Nid;

/// The id of a node. The machines of [`rumor`](crate::rumor) and [`swim`](crate::swim) know nothing else of it.
pub trait PeerId: Copy + Ord + Debug {
    /// The bytes that identify the node. They are the same on every node.
    fn bytes(&self) -> [u8; 32];

    /// 64 bits that are spread evenly, and that are the same on every node. Views are divided by the first of them.
    fn bits(&self) -> u64;
}

/// A NID is a hash already, so its first 64 bits are spread evenly.
impl PeerId for Nid {
    fn bytes(&self) -> [u8; 32] {
        *self.as_bytes()
    }

    fn bits(&self) -> u64 {
        self.as_bytes().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }
}

/// For simulations of the machines alone.
impl PeerId for u32 {
    fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&self.to_le_bytes());
        bytes
    }

    fn bits(&self) -> u64 {
        mix(u64::from(*self) + 1)
    }
}

/// Mixes 64 bits (the finalizer of SplitMix64; Steele, Lea and Flood 2014).
pub(crate) const fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
