//! The requests between nodes, each with its answer.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::peer_id::PeerId;

/// The identity of a rumor. It does not depend on the content: two equal messages are two rumors.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Id<P> {
    /// A rumor that its origin numbered.
    Numbered {
        /// The node that started the rumor.
        origin: P,
        /// The life of that node, which is later after every start.
        incarnation: u64,
        /// The number of the rumor in that life, from 1.
        sequence: u64,
    },
    /// A rumor of a node that does not number its rumors. The id is a text that this node chose.
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

/// The size of a message.
///
/// ```
/// use chinwag_protocol::rumor::Size;
///
/// assert_eq!(Size::from(40), Size { wire: 40, memory: 40 });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// The bytes on the wire, which decide how the message is spread.
    pub wire: usize,
    /// The bytes in memory, which count against what a node holds.
    pub memory: usize,
}

/// The size of a message that takes as much memory as it has bytes on the wire.
impl From<usize> for Size {
    fn from(bytes: usize) -> Size {
        Size { wire: bytes, memory: bytes }
    }
}

/// A message that is being spread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rumor<P, M> {
    /// The identity of the rumor.
    pub id: Id<P>,
    /// How many times the rumor has been passed on, including this time: 1 if it comes from its origin.
    pub hop: u32,
    /// How long nodes have held the rumor since it was started. Time in transit is not included, so this is a lower
    /// bound.
    pub age: Duration,
    /// How soon it has to be everywhere.
    pub urgency: Urgency,
    /// Whether newcomers perform the rumor, too, for as long as it is held.
    pub replay: bool,
    /// The life and sequence under which the origin first started the rumor, if it had to send it again in a later
    /// life. A node that has performed that rumor does not perform this one.
    pub former: Option<(u64, u64)>,
    /// The size of the message.
    pub size: Size,
    /// The message to perform.
    pub message: M,
}

/// A request between nodes. Every request is answered or fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<P, M> {
    /// Sends a rumor. The answer is [`Answer::Fresh`], [`Answer::Had`], [`Answer::Stale`] or [`Answer::Busy`].
    Push(Rumor<P, M>),
    /// Says which rumors the sender holds. The answer is [`Answer::Noted`]; a node that lacks a rumor asks for it with
    /// a `Pull`. For a rumor of the sender's own, the answer can be [`Answer::Stale`].
    Offer(Arc<[Id<P>]>),
    /// Asks for rumors. The answer is [`Answer::Rumors`].
    Pull(Arc<[Id<P>]>),
    /// Compares what both nodes hold. The answer is [`Answer::Same`], wherever the page begins, or [`Answer::Differs`].
    Compare {
        /// The hash of the ids of all rumors that the sender holds. It does not depend on their order.
        hash: u64,
        /// The id after which the requested page begins, or `None` for the first page.
        after: Option<Id<P>>,
    },
    /// Asks for the history of a group in which the sender is new. The answer is [`Answer::Seen`].
    Enter {
        /// The id after which the requested page begins, or `None` for the first page.
        after: Option<Id<P>>,
    },
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<P, M> {
    /// To a push: the rumor was new, and has been performed.
    Fresh,
    /// To a push: the rumor is known, or too old.
    Had,
    /// To a push, or to an offer of the origin itself: the rumor is rejected, because a later life of the origin is
    /// known. The origin has to start the rumor again in a life that is later still.
    Stale {
        /// The latest life of the origin that is known here.
        incarnation: u64,
    },
    /// To any request: the node has too much to do, and nothing has changed.
    Busy,
    /// To an offer.
    Noted,
    /// To a pull.
    Rumors {
        /// The requested rumors that the node holds, as many as fit into one answer, and at least one if it holds any.
        rumors: Vec<Rumor<P, M>>,
        /// Whether a rumor that the node holds did not fit, so that the sender should ask again. Otherwise the node
        /// does not hold the rumors that are missing.
        more: bool,
    },
    /// To a comparison: the hashes are equal.
    Same,
    /// To a comparison: a page of what this node holds.
    Differs(Page<P>),
    /// To a newcomer: a page of the history.
    Seen(History<P>),
}

/// A page of the history of a group: the rumors that may still reach a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "P: fmt::Display", deserialize = "P: FromStr"))]
pub struct History<P> {
    /// Whether the node that answers has entered the group itself. If not, its history can be incomplete.
    pub entered: bool,
    /// The ids, ascending. A numbered id stands for all rumors of its life up to it, because they were started in this
    /// order.
    pub ids: Vec<Id<P>>,
    /// Whether the list goes on after the last id.
    #[serde(default)]
    pub more: bool,
    /// The latest life of the newcomer that the node knows. The newcomer's own life has to be later.
    #[serde(rename = "known", default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
}

/// The history of a node that has received nothing.
impl<P> Default for History<P> {
    fn default() -> Self {
        History { entered: false, incarnation: None, ids: Vec::new(), more: false }
    }
}

/// A page of the list of what a node holds: everything after one id up to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "P: fmt::Display", deserialize = "P: FromStr"))]
pub struct Page<P> {
    /// The id after which the page begins, or `None` for the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Id<P>>,
    /// What the node holds, ascending.
    pub held: Vec<Stretch<P>>,
    /// The last id of the page, if the list continues after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Id<P>>,
}

/// Consecutive rumors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stretch<P> {
    /// All rumors from `first` to `last`.
    Numbered {
        /// The node that started the rumors.
        origin: P,
        /// The life of that node.
        incarnation: u64,
        /// The lowest sequence.
        first: u64,
        /// The highest sequence.
        last: u64,
    },
    /// A rumor with an opaque id.
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
