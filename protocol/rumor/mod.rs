//! Spreading: a node sends a message to a group, and every member performs it once.
//!
//! # The exchange
//!
//! ```text
//! A has a rumor that B may lack        A ── Push(rumor) ──────────▶ B    A ◀── Fresh | Had | Stale | Busy ── B
//!   the same, later in its life        A ── Offer(ids) ───────────▶ B    A ◀── Noted ─────────────── B
//! B lacks one that A offered           B ── Pull(ids) ────────────▶ A    B ◀── Rumors(some, more) ── A
//! once per tick, A meets a random B    A ── Compare(hash) ────────▶ B    A ◀── Same | Differs(page) ─ B
//! A is new in the group                A ── Enter ────────────────▶ B    A ◀── Seen(history) ──────── B
//! ```
//!
//! *Young rumors are pushed, older ones offered.* An origin pushes to F random peers, where F is the group's fan-out. A
//! node that receives the rumor for the first time pushes it to as many, as long as the payload has been passed on
//! fewer than A = ceil(ln n / ln F) - 1 times: few of these pushes reach a node that has the rumor. Later most would,
//! so from then on nodes send the id alone, to few peers ([`GossipConfig::offers`]), which ask for the rumor if they
//! lack it. A payload is therefore sent little more than once per node. A payload no larger than the ids
//! ([`GossipConfig::eager_bytes`]) is always pushed.
//!
//! *Every relay sends to both of its neighbours and to some random peers.* The members, in the order of their ids, form
//! a ring ([`View::around`]). Random peers alone would miss one of n nodes unless each node sent to ln n + 3 of them,
//! most in vain. With the ring they need not reach every node: without loss, a node that they miss receives the rumor
//! from a neighbour, and a stretch of such nodes is short. With loss, or if views differ, comparison brings what both
//! miss. An origin sends to random peers only; the ring is complete without it.
//!
//! *A node that lacks an offered rumor pulls it*, instead of the offering node pushing it after an answer "want".
//! Without loss both take two requests and three latencies. With loss, the node that lacks the rumor notices, and knows
//! the other nodes that offered it: it asks one at a time, and the next if one fails.
//!
//! *Calm rumors are sent together.* A rumor that [can wait](Urgency::Calm) is passed on at once after a silence. Those
//! that come soon after it wait for [`GossipConfig::calm_interval`], and are then offered together. A node therefore
//! sends no more than a few requests a second for calm rumors, however many there are.
//!
//! *Comparison heals the rest*: rumors that pushes and pulls missed, and the sides of a partition. It begins with a
//! hash of the ids that a node holds, and ends there if nothing differs: eight bytes per node and tick. Otherwise the
//! answer lists what the peer holds, as stretches of sequences per origin and in pages, and the node pulls what it
//! lacks and offers what the peer lacks. Nodes compare the rumors that they *hold* with those that they have *seen*:
//! held rumors can be sent, and nodes that have forgotten at different times still agree on them.
//!
//! *A node performs a rumor once per life*, because of the seen set: per origin and life a watermark and stretches
//! above it, marked before the rumor is performed. The seen set forgets in order to stay bounded, and rejects a rumor
//! if it cannot tell whether it has been seen. A push that is rejected for lack of room is answered `Busy`, changes
//! nothing, and comparison brings the rumor again.
//!
//! *Comparisons become rare while they find nothing.* Two in a row without a difference double the interval, up to
//! [`GossipConfig::idle_ticks`] ticks. Anything new (a rumor sent or received that is not calm, a pull that failed, a
//! difference that a comparison found or that was [reported](Input::Differs)) resets it to one tick at once, even if a
//! long timer is running. If peers exchange their hashes with other requests, such as the probes of a failure detector
//! ([`Gossip::same`]), a node at rest makes no comparisons of its own.
//!
//! *A newcomer performs rumors that are started after it has entered.* Before it compares, a node that may be new in
//! the group asks up to eight members, the next ones on the ring, for the history: the highest sequence per origin and
//! life, and the opaque ids. These rumors are older than the entry. The node still obtains and holds them for others,
//! but performs them only if the rumor or the group asks for [replay](Manner::replay). The history of one member that
//! has entered is enough; if all are new, so is the group. This is decided by numbers and not by clocks: an origin
//! numbers its rumors in the order in which it starts them. While a node enters, it performs what is pushed, because
//! only young rumors are pushed. An entry is bounded in time ([`GossipConfig::entry_time`]), so a node without answers
//! enters with what it knows.
//!
//! *An origin whose life is too old starts a later one.* A node whose clock was set back begins a life that peers take
//! for an earlier one, which they have forgotten. They answer `Stale` with the latest life that they know, and the
//! origin continues in a later life. It sends the rejected rumors again under new ids, which state the former ids: a
//! node that has performed a rumor under the former id does not perform it again. A newcomer learns of such lives when
//! it enters, before it has sent anything.
//!
//! *Reference nodes* ([`View::is_reference`]) accept whole messages alone. Otherwise they are equal members: they are
//! drawn like others, and receive pushes in place of offers, each rumor at most once from each node. They cannot
//! compare, so a tick that draws one sends it the youngest rumors that it has not received from here, if it cannot have
//! forgotten them, so that it does not perform them again.
//!
//! # How to drive it
//!
//! [`Gossip`] is the state of one node in one group. It has no clock, socket or generator of its own: each call passes
//! the time since the node started, the group's members, the fan-out, and a generator ([`Context`]). There are three
//! entry points: [`broadcast`](Gossip::broadcast) starts a rumor, [`respond`](Gossip::respond) returns the answer to a
//! request, and [`handle`](Gossip::handle) takes an [`Input`]. Each appends [`Output`]s.
//!
//! Every [`Output::Send`] carries a [`Token`]. Report the answer or the failure with the token, once, in any order and
//! after any time. There are no timeouts here: the transport has them. Begin with [`Input::Start`], after which the
//! tick continues by itself, and then give [`Input::Enter`], unless the node is in the group from its beginning
//! ([`Gossip::new`] instead of [`Gossip::newcomer`]).
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use chinwag_protocol::fanout::Fanout;
//! use chinwag_protocol::rumor::{Answer, GossipConfig, Context, Gossip, Input, Output};
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//!
//! let members = [1u32, 2];
//! let mut chance = ChaCha8Rng::seed_from_u64(7);
//! let fanout = Fanout::Log.count(members.len());
//! let mut context = Context { now: Duration::ZERO, view: &members[..], fanout, chance: &mut chance };
//! let config = Arc::new(GossipConfig::default());
//! let mut one = Gossip::new(1u32, 1, config.clone());
//! let mut two = Gossip::new(2u32, 1, config);
//!
//! let mut out = Vec::new();
//! one.broadcast(&mut context, "news", 4, &mut out)?;
//! let Some(Output::Send { token, to: 2, request }) = out.pop() else { panic!("nothing sent") };
//!
//! let mut performed = Vec::new();
//! let answer = two.respond(&mut context, Some(1), request, &mut performed);
//! assert_eq!(answer, Answer::Fresh);
//! assert!(matches!(performed[0], Output::Perform { message: "news", .. }));
//!
//! one.handle(&mut context, Input::Answer { token, from: 2, answer }, &mut out);
//! assert!(matches!(out[0], Output::Settled { .. }));
//! # Ok::<(), chinwag_protocol::rumor::BroadcastError>(())
//! ```
//!
//! # What is not here
//!
//! There is no order between rumors, not even between those of one origin. There is no acknowledgement by all members:
//! `Settled` reports on the first peers. There are no trees; Plumtree's are cheaper while nothing fails, but here every
//! send draws new peers, so there is nothing to repair. There is no membership: each call passes the members of the
//! group. There are no counters that end a rumor, as in Karp's protocol: stopping the pushes in time results in n +
//! o(n) payloads.
//!
//! # Papers
//!
//! - Demers et al. 1987, "Epidemic algorithms for replicated database maintenance": rumors, and anti-entropy behind
//!   them.
//! - Karp, Schindelhauer, Shenker and Vöcking 2000, "Randomized rumor spreading": push while few know, pull afterwards.
//! - Mercier, Hayez and Matos 2017, "Optimal epidemic dissemination": n + o(n) payloads by pushing young rumors and
//!   announcing older ones; where A comes from.
//! - Voulgaris and van Steen 2007, "Hybrid dissemination": random peers for speed, and a ring so that nobody is missed.
//! - Leitão, Pereira and Rodrigues 2007, "Epidemic broadcast trees" (Plumtree): lazy push, and asking one announcer at
//!   a time.

use std::time::Duration;

mod choice;
mod comparing;
mod config;
mod entering;
mod gossip;
mod message;
mod names;
mod pace;
mod receiving;
mod seen;
mod spreading;
mod stage;
mod store;
#[cfg(test)]
mod tests;
mod traffic;
mod turn;
mod wants;

pub use config::GossipConfig;
pub use gossip::{Gossip, Memory};
pub use message::{Answer, History, Id, Page, Request, Rumor, Size, Stretch, Urgency};
pub use receiving::MAX_OPAQUE_ID;

/// The members of a group in the view of a node. Nodes with equal views can share one: the machine keeps no copy.
pub trait View<P> {
    /// Returns the number of members. The node itself can be one of them.
    fn len(&self) -> usize;

    /// Returns whether there are no members.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the member at an index from 0 to `len() - 1`. The order must be deterministic.
    fn peer(&self, place: usize) -> P;

    /// Returns the members before and after a peer on a ring of all members, which is the same in equal views. With one
    /// other member, both are that member; with none, the result is `None`.
    fn around(&self, peer: P) -> Option<[P; 2]>;

    /// Returns whether this peer is a node of the JavaScript reference, which understands no request but `Push`.
    fn is_reference(&self, _peer: P) -> bool {
        false
    }
}

impl<P: Copy + Ord> View<P> for [P] {
    fn len(&self) -> usize {
        <[P]>::len(self)
    }
    fn peer(&self, place: usize) -> P {
        self[place]
    }
    fn around(&self, peer: P) -> Option<[P; 2]> {
        let others = || self.iter().copied().filter(|other| *other != peer);
        let before = others().filter(|other| *other < peer).max().or_else(|| others().max())?;
        let after = others().filter(|other| *other > peer).min().or_else(|| others().min())?;
        Some([before, after])
    }
}

impl<P, V: View<P> + ?Sized> View<P> for &V {
    fn len(&self) -> usize {
        (**self).len()
    }
    fn peer(&self, place: usize) -> P {
        (**self).peer(place)
    }
    fn around(&self, peer: P) -> Option<[P; 2]> {
        (**self).around(peer)
    }
    fn is_reference(&self, peer: P) -> bool {
        (**self).is_reference(peer)
    }
}

/// What the machine needs to know in each call.
#[derive(Debug)]
pub struct Context<'a, V: ?Sized, R: ?Sized> {
    /// The time since the node started.
    pub now: Duration,
    /// The group's members.
    pub view: &'a V,
    /// The number of peers to which a rumor is first sent: [`Fanout::count`](crate::fanout::Fanout::count), or the
    /// result of the group's own function.
    pub fanout: usize,
    /// The random generator.
    pub chance: &'a mut R,
}

/// What can happen to a node, except that it starts a rumor or receives a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<P, M> {
    /// The node has started. Give this input once and first, and again if the timers were lost.
    Start,
    /// The node should enter the group, in which it may be new. [`Output::Entered`] follows, at once if the node has
    /// entered before or is alone in the group.
    Enter {
        /// A peer that is known to be alive and to have entered, if any.
        through: Option<P>,
    },
    /// A peer has stated that it holds other rumors than this node. The node compares with it at once, unless a
    /// comparison began within the last tick.
    Differs {
        /// The peer.
        peer: P,
    },
    /// A request was answered.
    Answer {
        /// The token of the request.
        token: Token,
        /// The peer to which the request was sent.
        from: P,
        /// The answer.
        answer: Answer<P, M>,
    },
    /// A request failed: it was refused, timed out, or not understood. It may have been performed.
    Failure {
        /// The token of the request.
        token: Token,
    },
    /// A timer expired.
    Timer(Timer),
}

/// What the driver has to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<P, M> {
    /// Perform this message. It is new here, and already marked as seen.
    Perform {
        /// The id of the rumor.
        id: Id<P>,
        /// The message to perform.
        message: M,
    },
    /// Send a request, and report its answer or failure with the token.
    Send {
        /// The token for the report.
        token: Token,
        /// The receiver.
        to: P,
        /// The request.
        request: Request<P, M>,
    },
    /// The answer to this request is no longer needed. It need not be reported, and is ignored if it is.
    Cancel {
        /// The token of the request.
        token: Token,
    },
    /// Start a timer, replacing one of the same name, and report when it expires.
    Timer {
        /// The duration.
        after: Duration,
        /// The timer.
        timer: Timer,
    },
    /// Every push of an own rumor to its first peers has been answered or has failed.
    Settled {
        /// The id that [`Gossip::broadcast`] returned.
        id: Id<P>,
    },
    /// An own rumor was rejected as [stale](Answer::Stale), and is now sent under another id. Both ids will settle.
    Reissued {
        /// The id that [`Gossip::broadcast`] returned, or under which the rumor was last reissued.
        from: Id<P>,
        /// The id from now on.
        to: Id<P>,
    },
    /// The node has entered the group: every rumor that is started from now on counts as new.
    Entered,
}

/// How a rumor spreads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// How soon it has to be everywhere.
    pub urgency: Urgency,
    /// Whether newcomers perform the rumor, too, for as long as it is held.
    pub replay: bool,
}

/// The timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// It is time to compare with a peer.
    Tick,
    /// It is time to ask again for the history.
    Entry,
    /// It is time to spread the calm rumors that wait.
    Calm,
}

/// Identifies a request of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    number: u64,
}

/// Why a rumor was not started. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BroadcastError {
    /// The caller sends faster than the group accepts.
    #[error("busy: {in_flight} own rumors are on their way; try again when one is settled")]
    Busy {
        /// The number of own rumors that have not settled.
        in_flight: usize,
    },
}

/// How much a node holds, remembers and has under way in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// The number of rumors held for others.
    pub retained: usize,
    /// The bytes of memory that their payloads take.
    pub retained_bytes: usize,
    /// The number of (origin, incarnation) pairs remembered.
    pub lives: usize,
    /// The number of stretches of seen sequences above watermarks.
    pub stretches: usize,
    /// The number of opaque ids remembered.
    pub opaque_ids: usize,
    /// The number of (origin, incarnation) pairs in the history from before this node entered.
    pub earlier_lives: usize,
    /// The number of opaque ids in the history from before this node entered.
    pub earlier_opaque: usize,
    /// The number of rumors that were offered and have not been received.
    pub wanted: usize,
    /// The number of rumors that wait to be spread.
    pub queued: usize,
    /// The number of requests under way.
    pub requests: usize,
    /// The number of own rumors that have not settled.
    pub own_in_flight: usize,
}

/// Converts a time to signed microseconds, because a rumor may be older than this node.
fn micros(duration: Duration) -> i64 {
    // A quarter of the range, 73,000 years, so that sums of a few times do not overflow.
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX).min(i64::MAX / 4)
}
