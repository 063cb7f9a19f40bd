//! Who is alive: failure detection by probing, suspicion and refutation.
//!
//! ```text
//! probe      A -- ping ----------------------------------> B    one member a period; any answer shows that B lives
//!            A -- relay(B) ---> R -- ping ---------------> B    no answer in time: k relays try, and A once more
//!            R answers with B's answer, or with "I cannot reach it either", or (if R too is cut off) not at all
//! refused    A -- ping -->| B's port refuses, again after `restart_time`, and no relay reaches B
//!            A -- dead(B, i, by A) -----------------> all       a refused connection is evidence: the verdict
//! accuse     A -- suspect(B, i, by A) --> all, and to B itself  silence is not: news by gossip
//! witness    C, D, E: about `witnesses` of those who hear it probe B at once, and accuse it too if they fail
//! refute     B -- alive(B, i+1, by B) ---> all    B hears of it. A mute B cannot: a node that reaches it does it instead
//! verdict    A -- dead(B, i, by A) ------> all    suspicion time over, A failed again, enough others accuse
//! leave      B -- left(B, i, by B) ------> all    voluntarily; not a failure
//! reconnect  A -- ping ------------------> B      now and then to a peer that a verdict removed; it answers, and
//!            A -- tell(dead(B, i)) ------> B      learns that it was removed: B takes incarnation i+1 and says so
//! ask        A -- ping ------------------> P      P was put by an operator, and nobody has heard from it
//!            A -- alive(P, i, by A) -----> all    it answers: what one member has heard is news to all
//! inquire    A -- ping(inquire P) -------> B      P does not answer: what does B know of it?
//! compare    A -- sync(hashes, news) ----> B      their views differ (every ping and its answer state a hash of the
//!            A <-- page(entries) -------- B       view): the parts that differ, page by page, see `view.rs`
//! welcome    A -- ping(welcome) ---------> B      B was restarted and knows nobody: it joins through A
//! ```
//!
//! Transport is request and reply. A relay can be any node that passes calls on, and any answer is a sign of life, so
//! peers which know nothing of membership (*mute*: they state no incarnation) can be watched and can serve. A node that
//! does take part makes a [`Statement`] in all it sends and answers: its [`Incarnation`], its cluster, and the hash of its
//! view.
//!
//! # What holds
//!
//! - Every member is watched by a few others over connections that they keep, and is probed by every other member in turn,
//!   in an order drawn afresh for each pass (SWIM, 4.3). The load on a node does not grow with the group.
//! - News names (peer, incarnation). A later incarnation beats all that was said of an earlier one, so a late verdict
//!   cannot remove a node that is back ([`supersedes`] is the whole precedence).
//! - A node declares a peer dead only on evidence of its own: its connection was refused, twice, at least
//!   [`Config::restart_time`] apart, with no success in between and no relay that got through; or it has failed to reach the
//!   peer, twice, with nothing but failure since, and enough others confirm that. *Enough* counts those who could: members that have
//!   answered this node, take part, and are not under suspicion. A lone pair, or one node among mute ones, decides alone.
//! - A member that is known only by what others say can be probed, accused and removed. It has no vote here until it has
//!   answered this node.
//! - A peer that was put in a group and that nobody has heard from is [`Status::Pending`] or [`Status::Unreachable`]: no
//!   failure removes it. It is asked soon, and what one node hears all nodes learn, so a node that dies soon after it was
//!   put is removed like any other.
//! - A peer that an operator removed stays removed until one adds it. A peer that a verdict removed is
//!   probed for as long as this node lives, and readmitted at its next incarnation. Healed partitions so merge.
//! - Two clusters stay apart until one is asked to merge with the other (`cluster.rs`).
//! - Two nodes at rest with different views notice within a period, and compare.
//! - A node slow to run is not dead: it refutes when it wakes, if it wakes within the suspicion time. When its own
//!   process stood still, it notices (its timers are late), drops its accusations and accuses nobody on that evidence.
//!
//! # The papers
//!
//! *SWIM: Scalable Weakly-consistent Infection-style Process Group Membership Protocol* (Das, Gupta & Motivala, DSN 2002)
//! has the probe, the relays, suspicion, incarnations and the shuffled round-robin. *Lifeguard: Local Health Awareness for More Accurate
//! Failure Detection* (Dadgar, Phillips & Currey, DSN-W 2018) has the local health counter (a node that keeps failing
//! looks for the fault in itself first), the suspicion time that falls with independent confirmations, and the "buddy
//! system" (the suspect is told directly). Neighbours, refusals as evidence, witnesses, shared asking, mute peers and
//! clusters are our own.
//!
//! # What is not here
//!
//! Dissemination: news goes out as [`Output::Broadcast`] and the gossip layer brings it to everyone. The actor puts what is
//! said in a short time into one message ([`Bulletin`]). Addresses: a peer is an opaque id. Groups: this machine knows who
//! is there, the actor knows which groups that concerns. Finding the first member: the caller compares views with a seed
//! ([`Swim::begin_joining`]). Byzantine peers: one that lies can have others removed, until they refute.
//!
//! # Driving it
//!
//! [`Swim::handle`] takes the time since the node's start, one [`Input`] and a generator, and gives what to do. It has no clock,
//! does no I/O, and the same inputs with the same generator give the same outputs.
//!
//! ```
//! use chinwag_protocol::swim::{Config, Event, Input, Outcome, Output, Statement, Status, Swim};
//! use rand::SeedableRng;
//! use std::time::Duration;
//!
//! let (me, peer) = (1_u16, 2_u16);
//! let mut chance = rand_chacha::ChaCha8Rng::seed_from_u64(7);
//! let mut swim = Swim::new(me, 1_700_000_000_000, Config::default())?;
//! let mut due = Vec::new();
//! for input in [Input::Start, Input::Add(peer)] {
//!     for output in swim.handle(Duration::ZERO, input, &mut chance) {
//!         if let Output::Timer { at, timer } = output {
//!             due.push((at, timer));
//!         }
//!     }
//! }
//! assert_eq!(swim.status(&peer), Some(Status::Pending));
//!
//! // Nobody has heard from the peer, so it is asked soon. It answers.
//! let (mut now, mut probe) = (Duration::ZERO, None);
//! while probe.is_none() {
//!     due.sort();
//!     let timer;
//!     (now, timer) = due.remove(0);
//!     for output in swim.handle(now, Input::Timer(timer), &mut chance) {
//!         match output {
//!             Output::Timer { at, timer } => due.push((at, timer)),
//!             Output::Probe { peer: 2, token, .. } => probe = Some(token),
//!             _ => {}
//!         }
//!     }
//! }
//! let outcome = Outcome::Answered(Statement::default());
//! let answer = Input::Outcome { token: probe.ok_or("no probe")?, outcome };
//! let outputs = swim.handle(now, answer, &mut chance);
//! assert!(outputs.iter().any(|output| matches!(output, Output::Event(Event::Joined { peer: 2, .. }))));
//! assert!(outputs.iter().any(|output| matches!(output, Output::Broadcast(_))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod asking;
mod bulletin;
mod cluster;
mod config;
mod machine;
mod probe;
mod rejoin;
mod standing;
mod suspicion;
mod view;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::time::Duration;

pub use bulletin::{Bulletin, MOST_BYTES, MOST_NEWS};
pub use cluster::{ClusterId, FORMER_IDS, Relation, Statement};
pub use config::{Config, ConfigError};
pub use machine::{LIFE_AHEAD, Swim};
pub use standing::{Claim, Incarnation, Status, Update, supersedes};
pub use view::{MAX_ENTRIES, MAX_PARTS, PAGE, Page, Sync, SyncError};

use crate::identity::Nid;

/// The id of a peer, in whose terms the machine thinks.
pub trait Peer: Copy + Ord + Debug {
    /// 64 bits of it that are spread evenly and that are the same on every node. Views are divided by the first of them.
    fn bits(&self) -> u64;
}

/// A hash already: its first 64 bits.
impl Peer for Nid {
    fn bits(&self) -> u64 {
        self.as_bytes().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }
}

macro_rules! numbered {
    ($($number:ty),*) => {$(
        /// For simulations of the machine alone.
        impl Peer for $number {
            fn bits(&self) -> u64 {
                view::mix(u64::from(*self) + 1)
            }
        }
    )*};
}
numbered!(u8, u16, u32);

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
        /// Tell the peer, which was restarted, that it is a member and can join through this node. Every probe does so until
        /// one is answered. Members that hear of the restart from others do the same with their regular probes, so that the
        /// peer learns of it even if some of them fail.
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
    /// Tell this peer a piece of news, almost always about itself. Reply: its statement, as [`Input::Heard`]. Never sent to
    /// mute peers.
    Tell {
        /// The peer to tell.
        peer: P,
        /// The news.
        update: Update<P>,
        /// When to give up.
        timeout: Duration,
    },
    /// Send this peer a comparison. Reply: a [`Page`] for [`Swim::take_page`]; then, or if it fails,
    /// [`Swim::end_sync`]. Never sent to mute peers.
    Sync {
        /// The peer to compare with.
        peer: P,
        /// The request.
        sync: Sync<P>,
        /// When to give up.
        timeout: Duration,
    },
    /// Ask this member what it knows of another peer, which does not answer this node. Reply: [`Swim::known_of`] there, as
    /// [`Input::Told`]. Never sent to mute peers.
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
    Event(Event<P>),
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

/// What happened to a peer, or to this node. For each peer in order: `Joined`, any number of `Suspected` each followed by one of
/// the others, at last `Failed` or `Left`, after which `Rejoined` or `Joined` begins anew. A peer that this node only ever
/// knew as removed begins with `Rejoined`. `Unreachable` comes at most once before `Joined`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event<P> {
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
    /// A verdict removed it: take it out of its groups, remember which, and tell mute members, if `by` is this node.
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
    /// Others know a life of this node's own address that is not this node's: either it was started earlier with a clock that was
    /// ahead, or another process states the same address.
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
