//! What is known of a peer, and the precedence of news.
//!
//! News of a peer is a pair of an [`Incarnation`] and a [`Claim`]. Pairs are totally ordered, so keeping the greater of
//! two is a join: views merge to the same result in any order, however often a piece of news arrives. Whether a peer is
//! *pending* or *expelled* is known to this node alone and is not sent.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An incarnation of a peer: a life, and a turn within that life.
///
/// The life of a node is the time at which it started, such as milliseconds since 1970, so a node that restarts at the
/// same address has a later life. Within its life, a node takes the next turn whenever it has to contradict what others
/// say of it.
///
/// Life 0 is that of *passive* peers, which state no incarnation. The nodes that reach them count their turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    /// The time at which the node started, in any unit that grows from start to start, or 0 for a passive peer.
    pub life: u64,
    /// How often the node has contradicted others within that life.
    pub turn: u32,
}

impl Incarnation {
    /// Returns the first turn of a life.
    pub const fn of_life(life: u64) -> Self {
        Self { life, turn: 0 }
    }

    /// Returns the next incarnation after this one, in the same life if possible.
    pub const fn next(self) -> Self {
        match self.turn.checked_add(1) {
            Some(turn) => Self { turn, ..self },
            None => Self::of_life(self.life.saturating_add(1)),
        }
    }

    /// Returns the incarnation that a node at `self` has to take so that a claim about `seen` no longer holds.
    ///
    /// A claim about a later life than the node's own means that its clock was set back between two starts. The node
    /// then takes a life after that one, and not a turn of a life that is not its own, because others number its rumors
    /// by life.
    pub(super) fn above(self, seen: Self) -> Self {
        match seen.life.cmp(&self.life) {
            std::cmp::Ordering::Greater => Self::of_life(seen.life.saturating_add(1)),
            _ if seen < self => self,
            _ => seen.next(),
        }
    }

    /// Returns whether this is the incarnation of a passive peer, which others count.
    pub const fn is_passive(self) -> bool {
        self.life == 0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.life, self.turn)
    }
}

/// A claim about a peer at one incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Claim {
    /// The peer is alive.
    Alive,
    /// The source of the claim could not reach the peer, directly or through others.
    Suspect,
    /// The verdict: several nodes could not reach the peer for the whole suspicion time.
    Dead,
    /// The peer said that it was leaving.
    Left,
}

/// A piece of news about a peer, as gossip carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Update<P> {
    /// The peer.
    pub peer: P,
    /// The incarnation of the peer. News about an earlier incarnation than the known one changes nothing.
    pub incarnation: Incarnation,
    /// The claim.
    pub claim: Claim,
    /// The source of the claim. Suspicions from different sources are independent confirmations.
    pub by: P,
}

impl<P: PartialEq> Update<P> {
    /// Returns whether this makes `other` redundant: both say that the peer is alive, and this one at the same
    /// incarnation or a later one. Accusations are not redundant, as each source counts.
    pub fn says_the_same_as(&self, other: &Update<P>) -> bool {
        let alive = self.claim == Claim::Alive && other.claim == Claim::Alive;
        alive && self.peer == other.peer && self.incarnation >= other.incarnation
    }
}

/// Returns whether `new` replaces `old`. This is the whole precedence of the protocol.
///
/// A later incarnation supersedes everything, even a verdict. At the same incarnation, suspicion supersedes life, a
/// verdict supersedes suspicion, and a farewell supersedes all, because only the peer itself says farewell.
pub fn supersedes(new: (Incarnation, Claim), old: (Incarnation, Claim)) -> bool {
    use Claim::{Alive, Dead, Left, Suspect};
    use std::cmp::Ordering::{Equal, Greater, Less};
    match (new.0.cmp(&old.0), old.1, new.1) {
        (Greater, Alive | Suspect | Dead | Left, Alive | Suspect | Dead | Left) => true,
        (Less, Alive | Suspect | Dead | Left, Alive | Suspect | Dead | Left) => false,
        (Equal, Alive, Alive) => false,
        (Equal, Alive, Suspect | Dead | Left) => true,
        (Equal, Suspect, Alive | Suspect) => false,
        (Equal, Suspect, Dead | Left) => true,
        (Equal, Dead, Alive | Suspect | Dead) => false,
        (Equal, Dead, Left) => true,
        (Equal, Left, Alive | Suspect | Dead | Left) => false,
    }
}

/// The status of a peer in the view of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// An operator put the peer in a group, and it has not been asked yet.
    Pending,
    /// An operator put the peer in a group, and no member has ever had an answer from it. It stays where it was put, is
    /// asked occasionally, and is never accused or removed, because it may never have been alive.
    Unreachable,
    /// A member.
    Alive,
    /// A member that another member could not reach.
    Suspect,
    /// Removed by a verdict. Probed occasionally, and readmitted at its next incarnation.
    Failed,
    /// Left voluntarily. Readmitted when it restarts; never probed.
    Left,
    /// Removed by an operator. News of it is ignored until an operator adds it.
    Expelled,
}

impl Status {
    /// Returns whether a peer with this status belongs in this node's groups.
    pub const fn is_present(self) -> bool {
        match self {
            Self::Pending | Self::Unreachable | Self::Alive | Self::Suspect => true,
            Self::Failed | Self::Left | Self::Expelled => false,
        }
    }

    /// Returns whether this is the status of a member that some node has heard from, which probes can judge.
    pub const fn is_known(self) -> bool {
        match self {
            Self::Alive | Self::Suspect => true,
            Self::Pending | Self::Unreachable | Self::Failed | Self::Left | Self::Expelled => false,
        }
    }
}

/// What is kept of each peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Member<P> {
    pub(super) peer: P,
    pub(super) incarnation: Incarnation,
    pub(super) claim: Claim,
    /// Whether a node has heard from it: this node, or one that sent news of it.
    pub(super) heard: bool,
    /// Whether it has answered this node, so that its accusations count here.
    pub(super) answered: bool,
    pub(super) expelled: bool,
    /// Whether a node had heard from it before an operator put it here again. Refused connections then remove it again.
    pub(super) known_before: bool,
    /// Whether no node has heard from it, and it did not answer this node.
    pub(super) unreachable: bool,
    /// Whether an operator put it here and it has not answered since, so that its cluster may be merged with this one.
    pub(super) merge: bool,
    /// Whether it was restarted, and this node still has to tell it that it is a member: see
    /// [`Output::Probe`](super::Output::Probe).
    pub(super) welcome: bool,
    /// Whether it has been probed in the present pass over the members.
    pub(super) visited: bool,
    /// The time at which it was removed, became unreachable, or was last told that it is removed, in seconds since the
    /// node's start.
    pub(super) second: u32,
}

impl<P> Member<P> {
    /// Creates the entry of a peer that an operator put in a group.
    pub(super) const fn placed(peer: P) -> Self {
        Self {
            peer,
            incarnation: Incarnation::of_life(0),
            claim: Claim::Alive,
            heard: false,
            answered: false,
            expelled: false,
            known_before: false,
            unreachable: false,
            merge: true,
            welcome: false,
            visited: false,
            second: 0,
        }
    }

    /// Creates the entry of a peer that is known from news.
    pub(super) fn reported(peer: P, incarnation: Incarnation, claim: Claim) -> Self {
        Self { incarnation, claim, heard: true, merge: false, ..Self::placed(peer) }
    }

    /// Notes that an operator adds the peer again, so that its removal and suspicions are forgotten.
    pub(super) fn place_again(&mut self) {
        self.known_before |= self.heard;
        self.heard = false;
        self.answered = false;
        self.expelled = false;
        self.merge = true;
        self.visited = false;
    }

    pub(super) const fn status(&self) -> Status {
        match (self.expelled, self.heard, self.claim) {
            (true, _, _) => Status::Expelled,
            (false, false, _) if self.unreachable => Status::Unreachable,
            (false, false, _) => Status::Pending,
            (false, true, Claim::Alive) => Status::Alive,
            (false, true, Claim::Suspect) => Status::Suspect,
            (false, true, Claim::Dead) => Status::Failed,
            (false, true, Claim::Left) => Status::Left,
        }
    }

    /// Merges a claim into what is known. Returns whether anything changed.
    ///
    /// Any claim means that some node has heard from the peer, because accusations and verdicts are about members, too.
    pub(super) fn merge(&mut self, incarnation: Incarnation, claim: Claim) -> bool {
        let wins = supersedes((incarnation, claim), (self.incarnation, self.claim));
        let changed = wins || !self.heard;
        self.heard = true;
        self.unreachable = false;
        if wins {
            self.incarnation = incarnation;
            self.claim = claim;
        }
        changed
    }
}
