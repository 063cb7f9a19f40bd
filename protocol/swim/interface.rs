//! The inputs and outputs of the machine.

use std::time::Duration;

use super::standing::{Incarnation, Update};
use super::statement::{ClusterId, Statement};
use super::sync::Sync;

/// Identifies a request, from the [`Output`] that asks for it to the [`Input::Outcome`] that reports on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub(crate) u64);

/// An input of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input<P> {
    /// Start. Before this, and after [`Leave`](Self::Leave), the machine sends nothing and sets no timer, but remembers
    /// its inputs. A start after a leave begins a new incarnation.
    Start,
    /// Say farewell and stop.
    Leave,
    /// This peer is a member at this incarnation, and has answered this node. Use this for nodes that start with known
    /// members. It is not news to others.
    Know(P, Incarnation),
    /// An operator put this peer in a group. If it is unknown or was removed, it is now pending.
    Add(P),
    /// An operator removed this peer. It stays removed.
    Remove(P),
    /// A timer of [`Output::Timer`] is due. Late and repeated timers do no harm, but missing ones do.
    Timer(Timer<P>),
    /// A request has ended. Give this exactly once for each [`Output::Probe`] and [`Output::Relay`], at the latest at
    /// its timeout.
    Outcome {
        /// The token of the request.
        token: Token,
        /// The outcome.
        outcome: Outcome,
    },
    /// Any request from this peer has arrived here. The peer is not a stranger ([`Swim::relate`](super::Swim::relate)).
    Heard {
        /// The sender.
        peer: P,
        /// The statement of the sender.
        stated: Statement,
    },
    /// This peer has answered any call of this node, without a statement.
    Answered(P),
    /// A connection that this peer kept to this node has closed.
    Closed(P),
    /// News that gossip brought. Gossip brings it to all members, so it is not passed on.
    Update(Update<P>),
    /// News that a peer sent to this node alone, with [`Output::Tell`] or with a probe.
    Told(Update<P>),
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// An answer came, which can be an error. For a relay, the peer behind it answered. The statement is that of the
    /// node that answered *this* node, which is the relay if there is one.
    Answered(Statement),
    /// The relay answers that it could not reach the peer, with its statement. For a direct probe, this is the same as
    /// [`Lost`](Self::Lost).
    Unreachable(Statement),
    /// The connection was refused: the host is up, but nobody listens at the port. For a relay, the port is the
    /// relay's.
    Refused,
    /// There was no answer: the request was reset or timed out, or there was no connection for a reason that says
    /// nothing about the peer.
    Lost,
}

/// An output of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output<P> {
    /// Make a call that the peer answers. Report an [`Outcome`] with the token.
    Probe {
        /// The token of the request.
        token: Token,
        /// The peer to call.
        peer: P,
        /// The timeout.
        timeout: Duration,
        /// Whether to use the kept connection to this peer, and to tell the peer that it is kept.
        kept: bool,
        /// The life of the peer for which to ask for a merge of two clusters, or 0 for any life.
        merge: Option<u64>,
        /// Whether to tell the peer, which was restarted, that it is a member and can join through this node. Every
        /// probe does so until one is answered. Members that hear of the restart from others do the same with their
        /// regular probes, so that the peer learns of it even if some probes fail.
        welcome: bool,
        /// News for the peer: that this node suspects it, or considers it removed.
        about: Option<Update<P>>,
    },
    /// Ask `via` to make a call that the peer answers. Report an [`Outcome`] with the token.
    Relay {
        /// The token of the request.
        token: Token,
        /// The relay.
        via: P,
        /// The peer that `via` is to call.
        peer: P,
        /// The timeout for `via`.
        timeout: Duration,
        /// The time that `via` has for its own call. It is less than `timeout`, so that an answer "unreachable" still
        /// arrives.
        budget: Duration,
    },
    /// Send this peer a piece of news, almost always about itself. Report its statement as [`Input::Heard`]. The peer
    /// is never passive.
    Tell {
        /// The peer to tell.
        peer: P,
        /// The news.
        update: Update<P>,
        /// The timeout.
        timeout: Duration,
    },
    /// Send this peer a comparison. Pass the [`Page`](super::Page) of the answer to
    /// [`Swim::take_page`](super::Swim::take_page). Afterwards, or if the request fails, call
    /// [`Swim::end_sync`](super::Swim::end_sync). The peer is never passive.
    Sync {
        /// The peer to compare with.
        peer: P,
        /// The request.
        sync: Sync<P>,
        /// The timeout.
        timeout: Duration,
    },
    /// Ask this member about another peer, which does not answer this node. The member answers with
    /// [`Swim::known_of`](super::Swim::known_of); report that as [`Input::Told`]. The member is never passive.
    Inquire {
        /// The member to ask.
        via: P,
        /// The peer in question.
        peer: P,
        /// The timeout.
        timeout: Duration,
    },
    /// Spread this to all members by gossip.
    Broadcast(Update<P>),
    /// Give [`Input::Timer`] at this time since the node's start, or as soon after as possible.
    Timer {
        /// The time since the node's start.
        at: Duration,
        /// The timer to give back.
        timer: Timer<P>,
    },
    /// This timer is no longer needed, and is ignored if it is given.
    Cancel {
        /// The time at which it would be due.
        at: Duration,
        /// The timer.
        timer: Timer<P>,
    },
    /// An event for the application.
    Event(MemberEvent<P>),
}

/// A timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer<P> {
    /// A protocol period begins.
    Period {
        /// The number of the period. The timer of another period is stale.
        number: u64,
    },
    /// A direct probe has not been answered in time, so relays are asked.
    Relays {
        /// The probe.
        token: Token,
    },
    /// A peer that this node accuses is probed again.
    Retry {
        /// The accused peer.
        peer: P,
    },
    /// The suspicion time of a peer that this node accuses may be over.
    Verdict {
        /// The accused peer.
        peer: P,
    },
    /// One of the peers that verdicts removed is probed.
    Reconnect,
    /// Peers that no member has heard from are asked.
    Ask,
}

/// What happened to a peer or to this node. The events of a peer come in order: `Joined`, then any number of
/// `Suspected`, each followed by one of the others, and at last `Failed` or `Left`, after which `Rejoined` or `Joined`
/// begins again. A peer that this node has never known as a member begins with `Rejoined`. `Unreachable` comes at most
/// once before `Joined`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberEvent<P> {
    /// A member has heard from the peer for the first time, or the peer has returned after it left.
    Joined {
        /// The peer.
        peer: P,
        /// The incarnation of the peer.
        incarnation: Incarnation,
    },
    /// An operator put the peer in a group, it does not answer, and no member has ever heard from it.
    Unreachable {
        /// The peer.
        peer: P,
    },
    /// A member could not reach the peer.
    Suspected {
        /// The peer.
        peer: P,
        /// The incarnation of the peer.
        incarnation: Incarnation,
        /// The member that could not reach it.
        by: P,
    },
    /// The peer contradicts the suspicion.
    Refuted {
        /// The peer.
        peer: P,
        /// The incarnation of the peer.
        incarnation: Incarnation,
    },
    /// A verdict removed the peer. Remove it from its groups, remember which, and tell passive members if `by` is this
    /// node.
    Failed {
        /// The peer.
        peer: P,
        /// The incarnation of the peer.
        incarnation: Incarnation,
        /// The node that gave the verdict.
        by: P,
    },
    /// The peer left voluntarily.
    Left {
        /// The peer.
        peer: P,
        /// The incarnation of the peer.
        incarnation: Incarnation,
    },
    /// The peer has returned after a verdict removed it: add it to the groups that it was removed from. Or it restarted
    /// before its failure was noticed.
    Rejoined {
        /// The peer.
        peer: P,
        /// The incarnation of the peer.
        incarnation: Incarnation,
    },
    /// Other nodes know a life at this node's address that is not this node's: either this node was started earlier
    /// with a clock that was ahead, or another process states the same address.
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
