//! What is known of a peer, and which news beats which.
//!
//! Everything said about a peer is a pair of an [`Incarnation`] and a [`Claim`]. Pairs are totally ordered, so
//! keeping the greater of two is a join: views merge to one result in any order, however often a piece of
//! news arrives. Whether a peer is *pending* or was *expelled* is this node's own affair and travels nowhere.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which life of a peer, and which turn of that life, a piece of news is about.
///
/// Lives are ordered by when they began: a node takes its start time (milliseconds since 1970, say) as
/// its life, so a node started again on the same address is a newer one, not a ghost of the older. Within
/// its life a node takes another turn each time it has to contradict what others say of it.
///
/// Life 0 belongs to *passive* peers: those which state no incarnation, and for which the nodes that reach
/// them count the turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    /// When the node was started, in any unit that grows from start to start; 0 for passive peers.
    pub life: u64,
    /// How often it has been raised within that life.
    pub turn: u32,
}

impl Incarnation {
    /// The first turn of a life.
    pub const fn of_life(life: u64) -> Self {
        Self { life, turn: 0 }
    }

    /// The least incarnation above this one that a node may take in the same life.
    pub const fn next(self) -> Self {
        match self.turn.checked_add(1) {
            Some(turn) => Self { turn, ..self },
            None => Self::of_life(self.life.saturating_add(1)),
        }
    }

    /// What a node at `self` has to become so that a claim at `seen` no longer holds.
    ///
    /// A claim about a later life than one's own means that the clock went back between two starts. The
    /// node then takes a life after that one, rather than a turn of a life it has not lived: others number
    /// its rumors by life.
    pub(super) fn above(self, seen: Self) -> Self {
        match seen.life.cmp(&self.life) {
            std::cmp::Ordering::Greater => Self::of_life(seen.life.saturating_add(1)),
            _ if seen < self => self,
            _ => seen.next(),
        }
    }

    /// Whether this was counted by others, for a peer that states none.
    pub const fn is_passive(self) -> bool {
        self.life == 0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.life, self.turn)
    }
}

/// What is said of a peer at one incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Claim {
    /// It takes part.
    Alive,
    /// The speaker could not reach it, directly or through others.
    Suspect,
    /// The verdict: several could not reach it for the whole suspicion time.
    Dead,
    /// It said that it was leaving.
    Left,
}

/// One piece of news about one peer, as gossip carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Update<P> {
    /// Whom it is about.
    pub peer: P,
    /// Which incarnation of it. News about an older one than is known changes nothing.
    pub incarnation: Incarnation,
    /// What is said.
    pub claim: Claim,
    /// Who says so. Suspicions by different speakers count as independent confirmations.
    pub by: P,
}

impl<P: PartialEq> Update<P> {
    /// Whether this says already what `other` would: that a peer is alive, at the same incarnation or a later one.
    /// Accusations say more when they are repeated, as each speaker counts.
    pub fn says_the_same_as(&self, other: &Update<P>) -> bool {
        let alive = self.claim == Claim::Alive && other.claim == Claim::Alive;
        alive && self.peer == other.peer && self.incarnation >= other.incarnation
    }
}

/// Whether `new` replaces `old`: the whole precedence of the protocol.
///
/// A later incarnation always wins, also over a verdict. At one incarnation suspicion beats life, a verdict
/// beats suspicion, and a farewell beats all, for only the peer itself says it.
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

/// How this node regards a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// An operator put it in a group, and it has not been asked yet.
    Pending,
    /// An operator put it in a group, and nobody has ever had an answer from it. It stays where it was put, is asked
    /// now and then, and is never accused or removed: nobody knows that it ever was alive.
    Unreachable,
    /// A member.
    Alive,
    /// A member that somebody could not reach.
    Suspect,
    /// Removed by a verdict. Probed now and then, readmitted at its next incarnation.
    Failed,
    /// Left voluntarily. Readmitted when it restarts; never probed.
    Left,
    /// Removed by an operator. Nothing that is said about it counts until an operator adds it.
    Expelled,
}

impl Status {
    /// Whether a peer so regarded belongs in this node's groups.
    pub const fn is_present(self) -> bool {
        match self {
            Self::Pending | Self::Unreachable | Self::Alive | Self::Suspect => true,
            Self::Failed | Self::Left | Self::Expelled => false,
        }
    }

    /// Whether it is a member that somebody has heard from: those that probing can judge.
    pub const fn is_known(self) -> bool {
        match self {
            Self::Alive | Self::Suspect => true,
            Self::Pending | Self::Unreachable | Self::Failed | Self::Left | Self::Expelled => false,
        }
    }
}

/// All that is kept per peer, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Member<P> {
    pub(super) peer: P,
    pub(super) incarnation: Incarnation,
    pub(super) claim: Claim,
    /// Somebody has heard from it: this node, or one that said something about it.
    pub(super) heard: bool,
    /// This node has had an answer from it, so that its accusations count here.
    pub(super) answered: bool,
    pub(super) expelled: bool,
    /// Somebody had heard from it before an operator put it here again: a port that refuses removes it again.
    pub(super) known_before: bool,
    /// Nobody has heard from it, and this node has asked it in vain.
    pub(super) unreachable: bool,
    /// An operator put it here and it has not answered since: its cluster may be merged with this one.
    pub(super) merge: bool,
    /// It was restarted, and this node has yet to tell it that it is a member: see
    /// [`Output::Probe`](super::Output::Probe).
    pub(super) welcome: bool,
    /// Probed already in this pass over the members.
    pub(super) visited: bool,
    /// The second (since the node's start) at which it was removed, became unreachable, or was last told that it is
    /// removed.
    pub(super) second: u32,
}

impl<P> Member<P> {
    /// A peer that an operator put in a group.
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

    /// A peer that is known from what others say.
    pub(super) fn reported(peer: P, incarnation: Incarnation, claim: Claim) -> Self {
        Self { incarnation, claim, heard: true, merge: false, ..Self::placed(peer) }
    }

    /// An operator adds it again: what is held against it here is forgotten.
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

    /// Joins a claim into what is known; says whether anything changed.
    ///
    /// Whatever somebody says of a peer, somebody has heard from it: an accusation or a verdict, too, is about a
    /// member.
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
