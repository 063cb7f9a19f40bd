//! Everything that the machine is told and asks for.

use std::time::Duration;

use super::standing::{Incarnation, Update};
use super::statement::{ClusterId, Statement};
use super::sync::Sync;

/// Names one request, from the [`Output`] that asks for it to the [`Input::Outcome`] that reports on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub(crate) u64);

/// Everything the machine can be told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input<P> {
    /// Begin to take part. Before this (and after [`Leave`](Self::Leave)) nothing is sent and no timer is set; what is
    /// told is remembered. After a leave it is a new incarnation.
    Start,
    /// Say farewell and take no further part.
    Leave,
    /// This peer is a member at this incarnation, and has answered this node: for nodes that are started with what they
    /// know. No news to anybody.
    Know(P, Incarnation),
    /// An operator put this peer in a group. If it is unknown, or was removed before, it is now pending.
    Add(P),
    /// An operator removed this peer. It stays removed.
    Remove(P),
    /// A timer set by [`Output::Timer`] is due. Late or repeated ones do no harm, missing ones do.
    Timer(Timer<P>),
    /// How a request ended. Exactly one per [`Output::Probe`] and [`Output::Relay`], at the latest at its timeout.
    Outcome {
        /// The request's.
        token: Token,
        /// How it ended.
        outcome: Outcome,
    },
    /// A request from this peer has arrived here, whatever it was about. It is no stranger ([`Swim::relate`]).
    Heard {
        /// The caller.
        peer: P,
        /// What it states of itself.
        stated: Statement,
    },
    /// This peer has answered a call of this node's, whatever it was about, without a statement.
    Answered(P),
    /// A connection that this peer kept to this node has closed.
    Closed(P),
    /// News that gossip brought. It reaches everyone by itself and is not passed on.
    Update(Update<P>),
    /// News that a peer told this node only: the other end of [`Output::Tell`], or what comes with a probe.
    Told(Update<P>),
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// An answer came, be it an error: for a relay, the answer of the peer behind it. With what the node states that
    /// answers *this* node (the relay's statement, if by relay).
    Answered(Statement),
    /// The relay answers that it could not reach the peer. With the relay's statement. For a direct probe the
    /// same as [`Lost`](Self::Lost).
    Unreachable(Statement),
    /// The connection was refused: the host is there, and nobody listens at the port. For a relay, its own port.
    Refused,
    /// No answer: reset or timed out, or no connection for a reason that says nothing about the peer.
    Lost,
}

/// Everything the machine can ask for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output<P> {
    /// Make a call that the peer answers. Reply: an [`Outcome`] under the token.
    Probe {
        /// Names the request.
        token: Token,
        /// The peer to call.
        peer: P,
        /// When to give up.
        timeout: Duration,
        /// Use the connection that is kept to this peer, and tell the peer that it is kept.
        kept: bool,
        /// Ask for a merge of the clusters, should they be two, if the peer is in this life, or in any if this is 0.
        merge: Option<u64>,
        /// Tell the peer, which was restarted, that it is a member and can join through this node. Every probe does so
        /// until one is answered. Members that hear of the restart from others do the same with their regular probes,
        /// so that the peer learns of it even if some of them fail.
        welcome: bool,
        /// What to tell the peer of what this node holds against it.
        about: Option<Update<P>>,
    },
    /// Have `via` make a call that the peer answers. Reply: an [`Outcome`] under the token.
    Relay {
        /// Names the request.
        token: Token,
        /// The relay.
        via: P,
        /// The peer that `via` is to call.
        peer: P,
        /// When to give up on `via`.
        timeout: Duration,
        /// What to tell `via` it has for its own call: less than `timeout`, so that its "unreachable" still arrives.
        budget: Duration,
    },
    /// Tell this peer a piece of news, almost always about itself. Reply: its statement, as [`Input::Heard`]. Never
    /// sent to passive peers.
    Tell {
        /// The peer to tell.
        peer: P,
        /// The news.
        update: Update<P>,
        /// When to give up.
        timeout: Duration,
    },
    /// Send this peer a comparison. Reply: a [`Page`] for [`Swim::take_page`]; then, or if it fails,
    /// [`Swim::end_sync`]. Never sent to passive peers.
    Sync {
        /// The peer to compare with.
        peer: P,
        /// The request.
        sync: Sync<P>,
        /// When to give up.
        timeout: Duration,
    },
    /// Ask this member what it knows of another peer, which does not answer this node. Reply: [`Swim::known_of`] there,
    /// as [`Input::Told`]. Never sent to passive peers.
    Inquire {
        /// The member to ask.
        via: P,
        /// The peer in question.
        peer: P,
        /// When to give up.
        timeout: Duration,
    },
    /// Have gossip bring this to every member.
    Broadcast(Update<P>),
    /// Give [`Input::Timer`] at this time since the node's start, or as soon after as possible.
    Timer {
        /// When.
        at: Duration,
        /// What to hand back.
        timer: Timer<P>,
    },
    /// This timer need not be given any more. If it is, it is ignored.
    Cancel {
        /// When it would be due.
        at: Duration,
        /// Which one.
        timer: Timer<P>,
    },
    /// Something that the application is to know.
    Event(MemberEvent<P>),
}

/// Everything that can be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer<P> {
    /// A protocol period begins.
    Period {
        /// Its number; another one's timer is stale.
        number: u64,
    },
    /// A direct probe has gone unanswered: ask others.
    Relays {
        /// The probe.
        token: Token,
    },
    /// Probe a peer that this node accuses once more.
    Retry {
        /// The accused.
        peer: P,
    },
    /// The suspicion time of a peer that this node accuses may be over.
    Verdict {
        /// The accused.
        peer: P,
    },
    /// Probe one of the peers that verdicts removed.
    Reconnect,
    /// Ask peers that nobody has heard from.
    Ask,
}

/// What happened to a peer, or to this node. For each peer in order: `Joined`, any number of `Suspected` each followed
/// by one of the others, at last `Failed` or `Left`, after which `Rejoined` or `Joined` begins anew. A peer that this
/// node only ever knew as removed begins with `Rejoined`. `Unreachable` comes at most once before `Joined`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberEvent<P> {
    /// It was heard from, or of, for the first time; or it is back after it had left.
    Joined {
        /// The peer.
        peer: P,
        /// Its incarnation.
        incarnation: Incarnation,
    },
    /// An operator put it in a group, it does not answer, and nobody has ever heard from it.
    Unreachable {
        /// The peer.
        peer: P,
    },
    /// Somebody could not reach it.
    Suspected {
        /// The peer.
        peer: P,
        /// Its incarnation.
        incarnation: Incarnation,
        /// The node that could not.
        by: P,
    },
    /// It contradicts the suspicion.
    Refuted {
        /// The peer.
        peer: P,
        /// Its incarnation.
        incarnation: Incarnation,
    },
    /// A verdict removed it: take it out of its groups, remember which, and tell passive members, if `by` is this node.
    Failed {
        /// The peer.
        peer: P,
        /// Its incarnation.
        incarnation: Incarnation,
        /// The node that decided.
        by: P,
    },
    /// It left voluntarily.
    Left {
        /// The peer.
        peer: P,
        /// Its incarnation.
        incarnation: Incarnation,
    },
    /// It was removed by a verdict and is back: put it back into the groups that it was taken from. Or it was
    /// started again before it was missed.
    Rejoined {
        /// The peer.
        peer: P,
        /// Its incarnation.
        incarnation: Incarnation,
    },
    /// Others know a life of this node's own address that is not this node's: either it was started earlier with a
    /// clock that was ahead, or another process states the same address.
    AddressTaken {
        /// The other life.
        incarnation: Incarnation,
    },
    /// This node's cluster was merged into another.
    Merged {
        /// The former id.
        from: ClusterId,
        /// The id that both have now.
        into: ClusterId,
    },
}
