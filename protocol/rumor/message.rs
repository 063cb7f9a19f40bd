//! What nodes say to each other, each request with its answer.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::peer_id::PeerId;

/// What makes a rumor this rumor and no other.
///
/// Not its content: two equal messages are two messages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Id<P> {
    /// The `sequence`-th rumor (from 1) that `origin` started in the life `incarnation`.
    Numbered {
        /// The node it was born on.
        origin: P,
        /// Which life of that node: grows with every start.
        incarnation: u64,
        /// Its place among the rumors of that life, from 1.
        sequence: u64,
    },
    /// A rumor born on a node that numbers nothing; all that is known of it is this text.
    Opaque(Arc<str>),
}

impl<P: fmt::Display> fmt::Display for Id<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Numbered { origin, incarnation, sequence } => {
                write!(f, "{origin}/{incarnation}/{sequence}")
            }
            Id::Opaque(text) => f.write_str(text),
        }
    }
}

/// How soon a rumor has to be everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Urgency {
    /// As soon as possible.
    #[default]
    Normal,
    /// It can wait. A calm rumor goes to few peers, together with others; comparison brings it to the rest, and it is
    /// soon forgotten. See [`calm_fanout`](super::GossipConfig::calm_fanout),
    /// [`calm_interval`](super::GossipConfig::calm_interval) and [`calm_age`](super::GossipConfig::calm_age).
    Calm,
}

impl Urgency {
    /// Whether this is [`Urgency::Calm`].
    pub const fn is_calm(self) -> bool {
        matches!(self, Urgency::Calm)
    }
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rumor<P, M> {
    /// Its identity.
    pub id: Id<P>,
    /// How many times it has been handed on, this time included: 1 when it comes from its origin.
    pub hop: u32,
    /// How long it has been held by nodes since its birth. Time on the way is not in it, so it is a lower bound.
    pub age: Duration,
    /// How soon it has to be everywhere.
    pub urgency: Urgency,
    /// Newcomers perform it too, for as long as it is held.
    pub replay: bool,
    /// The life and sequence under which its origin started it first, if it had to be sent again under a later life.
    /// Who has performed that one does not perform this one.
    pub former: Option<(u64, u64)>,
    /// The message's size on the wire, in bytes.
    pub bytes: usize,
    /// What is to be performed.
    pub message: M,
}

/// What one node asks of another. Every request is answered or fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<P, M> {
    /// "Here it is." Answered [`Answer::Fresh`], [`Answer::Had`], [`Answer::Stale`] or [`Answer::Busy`].
    Push(Rumor<P, M>),
    /// "I hold these." Answered [`Answer::Noted`]; who lacks one asks for it with a `Pull` of its own. The origin of
    /// one may be answered [`Answer::Stale`].
    Offer(Arc<[Id<P>]>),
    /// "Give me these." Answered [`Answer::Rumors`].
    Pull(Arc<[Id<P>]>),
    /// "What I hold hashes to this." Answered [`Answer::Same`], wherever the page begins, or [`Answer::Differs`].
    Compare {
        /// Over the ids of everything held, in any order.
        hash: u64,
        /// Where the page asked for begins: after this id. `None` is the first page.
        after: Option<Id<P>>,
    },
    /// "I am new in this group. What has been said in it so far?" Answered [`Answer::Seen`].
    Enter {
        /// Where the page asked for begins: after this id. `None` is the first page.
        after: Option<Id<P>>,
    },
}

/// What is said in return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<P, M> {
    /// To a push: it was news, and has been performed.
    Fresh,
    /// To a push: known already, or too old to take.
    Had,
    /// To a push, or to an offer of the origin's own: refused unseen, as the origin has had later lives. It is to start
    /// the rumor again in a life that is later still.
    Stale {
        /// The latest life of the origin that is known here.
        incarnation: u64,
    },
    /// To anything: too much to do; nothing was changed.
    Busy,
    /// To an offer.
    Noted,
    /// To a pull.
    Rumors {
        /// Those asked for that are held, as many as fit into one answer; at least one if any is.
        rumors: Vec<Rumor<P, M>>,
        /// Whether one that is held was left out for its size: ask again. Otherwise what is missing is not held.
        more: bool,
    },
    /// To a comparison: the hashes are equal.
    Same,
    /// To a comparison: what this node holds.
    Differs(Page<P>),
    /// To a newcomer: what has been said in the group.
    Seen(History<P>),
}

/// A part of what has been said in a group, as far as anybody may still bring it up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "P: fmt::Display", deserialize = "P: FromStr"))]
pub struct History<P> {
    /// Whether this node has entered the group itself. The word of one that has not is not the whole truth.
    pub entered: bool,
    /// Ascending. A numbered id stands for all up to it in its life, as they were started in this order.
    pub ids: Vec<Id<P>>,
    /// Whether the list goes on after the last id.
    #[serde(default)]
    pub more: bool,
    /// The latest life of the newcomer that is known here. Its own is to be later.
    #[serde(rename = "known", default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
}

/// The history of a group in which a node has heard nothing.
impl<P> Default for History<P> {
    fn default() -> Self {
        History { entered: false, incarnation: None, ids: Vec::new(), more: false }
    }
}

/// A part of the list of what a node holds: everything after one id up to another, and nothing left out between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "P: fmt::Display", deserialize = "P: FromStr"))]
pub struct Page<P> {
    /// Where it begins: after this id. `None` is the very beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Id<P>>,
    /// What is held, ascending.
    pub held: Vec<Stretch<P>>,
    /// The id that the page ends with, if the list goes on after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Id<P>>,
}

/// Rumors that follow one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stretch<P> {
    /// All from `first` to `last`, both included.
    Numbered {
        /// The node they were born on.
        origin: P,
        /// In which of its lives.
        incarnation: u64,
        /// The lowest sequence.
        first: u64,
        /// The highest sequence.
        last: u64,
    },
    /// One with an opaque id.
    Opaque(Arc<str>),
}

/// Hashes an id: the first bytes of the SHA-256 of an encoding of it, so that it is the same on every machine and for
/// every version of Rust. Sums of these are compared, so a weaker hash could let differences cancel out.
///
/// Were the hash of a peer to differ, equal nodes would read each other's pages in vain; nothing would be lost.
pub(super) fn stable_hash<P: PeerId>(id: &Id<P>) -> u64 {
    let hasher = match id {
        Id::Numbered { origin, incarnation, sequence } => Sha256::new()
            .chain_update([0])
            .chain_update(origin.bytes())
            .chain_update(incarnation.to_le_bytes())
            .chain_update(sequence.to_le_bytes()),
        Id::Opaque(text) => Sha256::new().chain_update([1]).chain_update(text.as_bytes()),
    };
    hasher.finalize().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}
