//! Who is alive: failure detection by probing, suspicion and refutation.
//!
//! ```text
//! probe      A -- any call ------------------------------> B    every period, one member; it answers: it lives
//!            A -- comm.send(any call, to B) -> R -- call -> B    no answer in time: k relays try, and A once more
//!            R answers with B's answer, or with "I cannot reach it either", or (R too is cut off) not at all
//! accuse     A -- suspect(B, i, by A) ----> all, and to B itself    neither way: news by gossip, no reply
//! witness    C, D, E: about `witnesses` of those who hear it probe B at once, and accuse it too if they fail
//! refute     B -- alive(B, i+1, by B) ----> all    B hears of it. A mute B cannot: whoever reaches it says this for it
//! verdict    A -- dead(B, i, by A) -------> all    suspicion time over, A failed again, enough others accuse
//! leave      B -- left(B, i, by B) -------> all    by its own word; not a failure
//! reconnect  A -- any call ---------------> B    now and then to one that a verdict removed; it answers:
//! exchange   A -- my view -> B, its view -> A    A's view says dead(B, i): B takes i+1 and says so in its answer
//! ```
//!
//! Transport is request and reply, so a probe is *any* call that answers, and a relay is any node that passes calls on:
//! peers which know nothing of membership (*mute*: they state no incarnation) can be watched and can serve. A node that
//! does take part states its [`Incarnation`] in all it sends and answers.
//!
//! # What holds
//!
//! - Every member is probed at least once in two passes over the membership, in an order drawn afresh for
//!   each pass (SWIM, 4.3). The load on a node does not grow with the group.
//! - News names (peer, incarnation). A later incarnation beats all that was said of an earlier one, so a late verdict
//!   cannot remove a node that is back ([`supersedes`] is the whole precedence).
//! - Nobody declares a peer dead who has not failed to reach it himself, twice, with nothing but failure since; whose
//!   own clock jumped in that time; or whom too few others confirm. *Too few* counts those who could: members that are not under
//!   suspicion and take part. A lone pair, or one node among mute ones, decides alone, after a longer time.
//! - A peer that was put in a group and never heard from is [`Status::Pending`]: no verdict removes it.
//! - A peer that an operator removed stays removed until one adds it. A peer that a verdict removed is
//!   tried for as long as this node lives, and taken back at its next incarnation. Healed partitions so merge.
//! - A node slow to run is not dead: it refutes when it wakes, if it wakes within the suspicion time. When it was its own
//!   process that stood still, it notices (its timers are late), drops its accusations and accuses nobody on that evidence.
//!
//! # The papers
//!
//! *SWIM: Scalable Weakly-consistent Infection-style Process Group Membership Protocol* (Das, Gupta & Motivala, DSN 2002)
//! has the probe, the relays, suspicion, incarnations and the shuffled round-robin. *Lifeguard: Local Health Awareness for More Accurate
//! Failure Detection* (Dadgar, Phillips & Currey, DSN-W 2018) has the local health counter (a node that keeps failing
//! looks for the fault in itself first), the suspicion time that falls with independent confirmations, and the "buddy
//! system" (the suspect is told directly). Ours: witnesses, accusers deciding only for themselves, mute peers, pending ones.
//!
//! # Figures
//!
//! `examples/membership.rs`, default settings, simulated: at n = 100 a killed node is out of the last view after a median of
//! 4.1 s (1,000 kills, seed 1, no loss; 90th percentile 5.8 s), of 5.1 s at 30% loss; at n = 2, 8.8 s. No live node was removed at
//! n = 100 and 30% loss in 3,700,000 node-periods of one second (seeds 1 to 3). At that loss local health stretches a node's own
//! period to 2.7 s on average, so these are 1,370,000 periods as the nodes count them; the price is 62 requests a node
//! and second, gossip of the suspicions included. Without loss it is one.
//!
//! # What is not here
//!
//! Dissemination: news goes out as [`Output::Broadcast`] and the gossip layer brings it to everyone; so nothing is piggybacked
//! on probes. What is said in a short time the actor puts into one message ([`Bulletin`]). Addresses: a peer is an opaque id. Groups: this machine knows who is there, the actor knows which groups
//! that concerns. Finding the first member: the caller exchanges views with a seed, and hands in [`Input::Exchanged`].
//! Byzantine peers: one that lies can have others removed, until they refute.
//!
//! # Driving it
//!
//! [`Swim::handle`] takes the time since the node's start, one [`Input`] and a generator, and gives what to do. It has no clock,
//! does no I/O, and the same inputs with the same generator give the same outputs.
//!
//! ```
//! use chinwag_protocol::swim::{Config, Event, Input, Outcome, Output, Status, Swim};
//! use rand::SeedableRng;
//! use std::time::Duration;
//!
//! let mut chance = rand_chacha::ChaCha8Rng::seed_from_u64(7);
//! let mut swim = Swim::new("me", 1_700_000_000_000, Config::default())?;
//! let mut due = Vec::new();
//! for input in [Input::Start, Input::Add("peer")] {
//!     for output in swim.handle(Duration::ZERO, input, &mut chance) {
//!         if let Output::Timer { at, timer } = output {
//!             due.push((at, timer));
//!         }
//!     }
//! }
//! assert_eq!(swim.status(&"peer"), Some(Status::Pending));
//!
//! // The first period begins: the only member is probed, and answers.
//! let (now, timer) = due[0];
//! let outputs = swim.handle(now, Input::Timer(timer), &mut chance);
//! let token = outputs.iter().find_map(|output| match output {
//!     Output::Probe { peer: "peer", token, .. } => Some(*token),
//!     _ => None,
//! });
//! let answer = Input::Outcome { token: token.ok_or("no probe")?, outcome: Outcome::Answered(None) };
//! let outputs = swim.handle(now, answer, &mut chance);
//! assert!(matches!(outputs[..], [Output::Event(Event::Joined { peer: "peer", .. })]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bulletin;
mod config;
mod machine;
mod probe;
mod rejoin;
mod standing;
mod suspicion;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use bulletin::{Bulletin, MOST_BYTES, MOST_NEWS};
pub use config::{Config, ConfigError};
pub use machine::Swim;
pub use standing::{Claim, Incarnation, Status, Update, supersedes};

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
    /// An operator put this peer in a group. Unknown, or removed before, it is now pending.
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
    /// A call from this peer has arrived here, whatever it was about.
    Heard {
        /// The caller.
        peer: P,
        /// What it states of itself, `None` for one that states nothing.
        incarnation: Option<Incarnation>,
    },
    /// This peer has answered a call of this node's, whatever it was about, without stating an incarnation.
    Answered(P),
    /// News that gossip brought. It reaches everyone by itself and is not passed on.
    Update(Update<P>),
    /// News that a peer told this node only: the other end of [`Output::Tell`].
    Told(Update<P>),
    /// A peer's view: the other end of [`Output::Exchange`], or the answer to it, or to the one made with a seed. At
    /// the other end the answer is [`Swim::view`], taken *after* this input.
    Exchanged {
        /// Whose view.
        from: P,
        /// The view.
        view: Vec<Update<P>>,
    },
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// An answer came, be it an error: for a relay, the answer of the peer behind it. With the incarnation that the node
    /// answering *this* node states (the relay's, if by relay), `None` if it states none.
    Answered(Option<Incarnation>),
    /// The relay answers that it could not reach the peer. With the relay's incarnation. For a direct probe the
    /// same as [`Lost`](Self::Lost).
    Unreachable(Option<Incarnation>),
    /// No answer: refused, reset or timed out.
    Lost,
}

/// Everything the machine can ask for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output<P> {
    /// Make any call that the peer answers. Reply: an [`Outcome`] under the token.
    Probe {
        /// Names the request.
        token: Token,
        /// Whom to call.
        peer: P,
        /// When to give up.
        timeout: Duration,
    },
    /// Have `via` make a call that the peer answers. Reply: an [`Outcome`] under the token.
    Relay {
        /// Names the request.
        token: Token,
        /// Whom to call.
        via: P,
        /// Whom `via` is to call.
        peer: P,
        /// When to give up on `via`.
        timeout: Duration,
        /// What to tell `via` it has for its own call: less than `timeout`, so that its "unreachable" still arrives.
        budget: Duration,
    },
    /// Tell this peer a piece of news, almost always about itself. Reply: none that matters. Never sent to mute
    /// peers.
    Tell {
        /// Whom to tell.
        peer: P,
        /// The news.
        update: Update<P>,
        /// When to give up.
        timeout: Duration,
    },
    /// Send this peer [`Swim::view`] and take its view in return. Reply: [`Input::Exchanged`], or nothing if it fails.
    /// Never sent to mute peers.
    Exchange {
        /// With whom.
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
    /// Try a peer that this node accuses once more.
    Retry {
        /// The accused.
        peer: P,
    },
    /// The suspicion time of a peer that this node accuses may be over.
    Verdict {
        /// The accused.
        peer: P,
    },
    /// Try one of the peers that verdicts removed.
    Reconnect,
    /// Compare views with a random member.
    Exchange,
}

/// What happened to a peer. Each once, in order: `Joined`, any number of `Suspected` each followed by one of the others,
/// at last `Failed` or `Left`, after which `Rejoined` or `Joined` begins anew. One that this node only ever knew as removed
/// begins with `Rejoined`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event<P> {
    /// It was heard from, or of, for the first time; or it is back after it had left.
    Joined {
        /// Who.
        peer: P,
        /// At which incarnation.
        incarnation: Incarnation,
    },
    /// Somebody could not reach it.
    Suspected {
        /// Who.
        peer: P,
        /// At which incarnation.
        incarnation: Incarnation,
        /// Who could not.
        by: P,
    },
    /// It contradicts the suspicion.
    Refuted {
        /// Who.
        peer: P,
        /// At which incarnation.
        incarnation: Incarnation,
    },
    /// A verdict removed it: take it out of its groups, remember which, and tell mute members, if `by` is this node.
    Failed {
        /// Who.
        peer: P,
        /// At which incarnation.
        incarnation: Incarnation,
        /// Who decided.
        by: P,
    },
    /// It left by its own word.
    Left {
        /// Who.
        peer: P,
        /// At which incarnation.
        incarnation: Incarnation,
    },
    /// It was removed by a verdict and is back: put it back into the groups that it was taken from. Or it was
    /// started again before anyone missed it.
    Rejoined {
        /// Who.
        peer: P,
        /// At which incarnation.
        incarnation: Incarnation,
    },
}
