//! Spreading: one node tells a group something, and every node performs it once.
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
//! *Young rumors are pushed, older ones offered.* An origin pushes to F peers, the group's fan-out, picked afresh; who
//! hears of it for the first time pushes it to as many, as long as the payload has been handed on fewer than A =
//! ceil(ln n / ln F) - 1 times: few of those pushes meet a node that has it. Later most would, so from there on only
//! ids are sent, to few peers ([`GossipConfig::offers`]), who ask for what they lack. Hence payloads are sent little
//! more than once per node. A payload no larger than the ids ([`GossipConfig::eager_bytes`]) is pushed to the end.
//!
//! *Every relay sends to both of its neighbours, and to some random peers.* The members, in the order of their ids,
//! form a ring ([`View::around`]). Random peers alone would miss one of n nodes unless each node sent to ln n + 3 of
//! them, most in vain. With the ring they need not reach everybody: without loss, a node that they miss hears of the
//! rumor from the side, and a stretch of such nodes is short. With loss, or where views differ, what both miss is left
//! to comparison. An origin sends to random peers only; the ring is closed without it.
//!
//! *A pull is an answer the offered node asks for itself*, rather than the offerer pushing on an answer that says
//! "want". Without loss both take two requests and three latencies. With loss, the one who lacks the rumor is the one
//! who notices, and who knows other offerers: it asks one at a time, and the next when one fails.
//!
//! *Calm rumors go together.* One that [need not be everywhere at once](Urgency::Calm) is handed on at once after a
//! silence. Those that come soon after it wait for [`GossipConfig::calm_interval`], and are then offered together. So a
//! node sends no more than a few requests a second for them, however many there are.
//!
//! *Comparison heals what is left*: what both lost sight of, the sides of a partition. A
//! hash of the ids held comes first, and is all there is at rest: eight bytes per node and tick. If it differs,
//! the answer lists what is held, as stretches of sequences per origin and page by page, and the asker pulls what
//! it lacks and offers what the other lacks. What is compared is what nodes *hold*, against what they have *seen*:
//! the former is what can be handed over, and nodes that have forgotten at different times still agree on it.
//!
//! *Once per node and life* rests on the seen set: per origin and life a watermark and stretches above
//! it, marked before the rumor is performed. It forgets in bounded space and never lets one pass twice; what it would
//! have to guess about it refuses. A push that is refused for want of room is answered `Busy`, changes nothing,
//! and comparison brings it again.
//!
//! *Comparisons become rare while they find nothing.* Two in a row without a difference double the interval, up to
//! [`GossipConfig::idle_ticks`] ticks. Anything new (a rumor sent or received that is not calm, a pull that failed, a
//! difference that a comparison found or that was [reported](Input::Differs)) brings it back to one tick at once, also
//! while a long timer runs. Where the peers exchange their hashes with other requests, such as a failure detector's
//! probes ([`Gossip::same`]), a node at rest makes no comparison of its own.
//!
//! *A newcomer performs what is started after it has entered.* Before it compares notes, a node that may be new in the
//! group asks up to eight members, the next ones in the ring, what has been said: per origin and life the highest
//! sequence, and the opaque ids. Whatever these cover is older than the entry. The node still obtains and holds it, for
//! others who missed it, but performs it only if the rumor or the group asks for [replay](Manner::replay). The first
//! member that has entered itself is enough; if all are new, so is the group. Numbers decide this and no clock: an
//! origin numbers its rumors in the order in which it starts them. While a node enters, a push is performed, because
//! only young rumors are pushed. An entry is bounded in time ([`GossipConfig::entry_time`]), so a node that nobody
//! answers enters with what it knows.
//!
//! *An origin with an old life starts again.* A node whose clock was put back begins a life that peers take for an old
//! one, of which they remember nothing. They answer `Stale` with the latest life that they know, and the origin goes on
//! in a later one. It sends what was refused again under a new id, which states the former one: who has performed the
//! rumor under that id does not perform it again. A newcomer learns of such lives when it enters, before it has said
//! anything.
//!
//! *Peers that take only whole messages* ([`View::is_reference`]) are equal members otherwise: they are
//! drawn like others and pushed what others are offered, each rumor at most once from each node. As they cannot
//! compare, a tick that draws one sends it the youngest rumors it has not had from here: those only that it
//! cannot have forgotten, so that it does not perform them again.
//!
//! # How to drive it
//!
//! [`Gossip`] is one node's state in one group. It has no clock, no socket and no chance of its own: each call is
//! told the time since the node started, the group's members, the fan-out, and a generator ([`Context`]). There
//! are three doors: [`broadcast`](Gossip::broadcast) starts a rumor, [`respond`](Gossip::respond) returns
//! the answer to a request, and [`handle`](Gossip::handle) takes an [`Input`]. Each appends [`Output`]s.
//!
//! Every [`Output::Send`] carries a [`Token`]; its answer or failure comes back with it, once, in any
//! order and after any time. There are no timeouts in here: the transport has them. Begin with
//! [`Input::Start`], and the tick keeps itself going; then with [`Input::Enter`], unless the node is in the group from
//! its beginning ([`Gossip::new`] rather than [`Gossip::newcomer`]).
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
//! No order between rumors, not even those of one origin. No acknowledgement from everybody: `Settled` speaks of the
//! first peers. No trees (Plumtree's are cheaper while nothing fails; here every send draws afresh, so there is nothing
//! to repair). No membership: who is in the group is told with every call. No counters by which a rumor dies (Karp's):
//! n + o(n) payloads come from stopping the pushes in time instead.
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
pub use message::{Answer, History, Id, Page, Request, Rumor, Stretch, Urgency};
pub use receiving::MAX_OPAQUE_ID;

/// The members of a group, as one node sees them. Shared by all who see the same: nothing here keeps a copy.
pub trait View<P> {
    /// How many there are. The node itself may be among them or not.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The member at a place from 0 to `len() - 1`. Which is where must not depend on chance.
    fn peer(&self, place: usize) -> P;

    /// The members before and after this peer in an order that is the same for all who see the same members, and that
    /// is a ring: the last one comes before the first. The same member twice if there is only one other; `None` if
    /// there is no other.
    fn around(&self, peer: P) -> Option<[P; 2]>;

    /// Whether this peer understands only `Push`, as nodes of the JavaScript reference do.
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

/// What a call has to know of the world.
#[derive(Debug)]
pub struct Context<'a, V: ?Sized, R: ?Sized> {
    /// Time since the node started.
    pub now: Duration,
    /// The group's members.
    pub view: &'a V,
    /// How many peers a rumor is first sent to: [`Fanout::count`](crate::fanout::Fanout::count), or what the
    /// group's own function says.
    pub fanout: usize,
    /// Where chance comes from.
    pub chance: &'a mut R,
}

/// What can happen to a node, apart from starting a rumor and being asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<P, M> {
    /// The node is up. Once, and first; once more if the timers were lost.
    Start,
    /// The node is to enter the group, in which it may be new. Answered by [`Output::Entered`], at once if the node has
    /// entered before or is alone in the group.
    Enter {
        /// A peer that is known to be alive and to have entered, if there is one.
        through: Option<P>,
    },
    /// A peer holds something else than this node does, as it has said by the way. It is compared with at once, unless
    /// a comparison began within the last tick.
    Differs {
        /// Which peer.
        peer: P,
    },
    /// A request was answered.
    Answer {
        /// As it was sent with.
        token: Token,
        /// To whom it was sent.
        from: P,
        /// What came back.
        answer: Answer<P, M>,
    },
    /// A request was not answered: refused, timed out, or not understood. Whether it was performed is not known.
    Failure {
        /// As it was sent with.
        token: Token,
    },
    /// A timer ran out.
    Timer(Timer),
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<P, M> {
    /// Perform this message: it is new here, and marked as seen already.
    Perform {
        /// Which rumor it is.
        id: Id<P>,
        /// What is to be performed.
        message: M,
    },
    /// Send a request, and report its answer or failure with the token.
    Send {
        /// To report with.
        token: Token,
        /// To whom.
        to: P,
        /// What.
        request: Request<P, M>,
    },
    /// The answer to this request is not needed any more. It need not be reported; if it is, it is ignored.
    Cancel {
        /// As it was sent with.
        token: Token,
    },
    /// Start a timer, in place of the one of this name if that still runs, and report when it runs out.
    Timer {
        /// How long it runs.
        after: Duration,
        /// Which one.
        timer: Timer,
    },
    /// Every push of an own rumor to its first peers has been answered or has failed.
    Settled {
        /// As [`Gossip::broadcast`] returned it.
        id: Id<P>,
    },
    /// An own rumor was refused as [stale](Answer::Stale), and is now sent under another id. Both ids will settle.
    Reissued {
        /// As [`Gossip::broadcast`] returned it, or as it was reissued last.
        from: Id<P>,
        /// Its id from now on.
        to: Id<P>,
    },
    /// The node has entered the group: no rumor that is started from now on is taken for an earlier one.
    Entered,
}

/// How a rumor is to spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// How soon it has to be everywhere.
    pub urgency: Urgency,
    /// Newcomers perform it too, for as long as it is held.
    pub replay: bool,
}

/// The timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Time to compare notes with somebody.
    Tick,
    /// Time to ask again for what was said before this node entered.
    Entry,
    /// Time to spread the calm rumors that wait.
    Calm,
}

/// Names one request of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    number: u64,
}

/// Why a rumor was not started. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BroadcastError {
    /// The caller is faster than the group takes it.
    #[error("busy: {in_flight} own rumors are on their way; try again when one is settled")]
    Busy {
        /// Own rumors not settled yet.
        in_flight: usize,
    },
}

/// How much a node holds, remembers and has under way in one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Rumors held for others.
    pub retained: usize,
    /// Their payloads, in bytes.
    pub retained_bytes: usize,
    /// (Origin, incarnation) pairs remembered.
    pub lives: usize,
    /// Stretches of seen sequences above watermarks.
    pub stretches: usize,
    /// Opaque ids remembered.
    pub opaque_ids: usize,
    /// (Origin, incarnation) pairs that had spoken when this node entered.
    pub earlier_lives: usize,
    /// Opaque ids that were known when this node entered.
    pub earlier_opaque: usize,
    /// Rumors known by offer and not yet received.
    pub wanted: usize,
    /// Rumors that wait to be spread.
    pub queued: usize,
    /// Requests under way.
    pub requests: usize,
    /// Own rumors not settled yet.
    pub own_in_flight: usize,
}

/// Times are compared in signed microseconds, as a rumor may have been born before this node was.
fn micros(duration: Duration) -> i64 {
    // A quarter of the range, 73,000 years, so that sums of a few cannot overflow.
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX).min(i64::MAX / 4)
}
