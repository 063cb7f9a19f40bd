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
//! refute     B -- alive(B, i+1, by B) ---> all    B hears of it. A passive B cannot: a node that reaches it does it instead
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
//! Transport is request and reply. A relay can be any node that passes calls on, and any answer is a sign of life. A
//! *passive* peer states no incarnation: it is a node of the JavaScript reference, or a node with membership switched
//! off. It can be watched, and can serve as a relay. Every other node makes a [`Statement`] in all its requests and
//! answers: its [`Incarnation`], its cluster, and the hash of its view.
//!
//! # What holds
//!
//! - A few other members watch each member over connections that they keep, and every other member probes it in turn,
//!   in an order that is drawn for each pass (SWIM, 4.3). The load on a node does not grow with the group.
//! - News names (peer, incarnation). A later incarnation supersedes all news of an earlier one, so a late verdict
//!   cannot remove a node that has returned ([`supersedes`] is the whole precedence).
//! - A node declares a peer dead only on evidence of its own. Either the peer's host refused its connections twice, at
//!   least [`SwimConfig::restart_time`] apart, with no success in between and no relay that reached the peer. Or this
//!   node has failed to reach the peer twice, with nothing but failure since, and enough others confirm that. *Enough*
//!   counts those that could: members that have answered this node, are not passive, and are not under suspicion. A
//!   lone pair, or one node among passive ones, decides alone.
//! - A member that this node knows from others alone can be probed, accused and removed. It has no vote here until it
//!   has answered this node.
//! - A peer that was put in a group and that no member has heard from is [`Status::Pending`] or
//!   [`Status::Unreachable`]: no failure removes it. It is asked soon, and all nodes learn what one node hears, so a
//!   node that dies soon after it was put is removed like any other.
//! - A peer that an operator removed stays removed until an operator adds it. A peer that a verdict removed is probed
//!   for as long as this node lives, and readmitted at its next incarnation. Healed partitions therefore merge.
//! - Two clusters stay apart until one is asked to merge with the other (`cluster.rs`).
//! - Two nodes at rest with different views notice within a period, and compare.
//! - A slow node is not dead: it refutes when it wakes, if it wakes within the suspicion time. A node whose own process
//!   stood still notices that its timers are late, drops its accusations, and accuses no peer on that evidence.
//!
//! # The papers
//!
//! *SWIM: Scalable Weakly-consistent Infection-style Process Group Membership Protocol* (Das, Gupta & Motivala, DSN
//! 2002) has the probe, the relays, suspicion, incarnations and the shuffled round-robin. *Lifeguard: Local Health
//! Awareness for More Accurate Failure Detection* (Dadgar, Phillips & Currey, DSN-W 2018) has the local health counter
//! (a node that keeps failing looks for the fault in itself first), the suspicion time that falls with independent
//! confirmations, and the "buddy system" (the suspect is told directly). Neighbours, refusals as evidence, witnesses,
//! shared asking, passive peers and clusters are our own.
//!
//! # What is not here
//!
//! - Dissemination: the gossip layer brings news ([`Output::Broadcast`]) to all members. The actor combines the news of
//!   a short time into one message ([`Bulletin`]).
//! - Addresses: a peer is an opaque id.
//! - Groups: this machine knows which peers are alive, and the actor knows which groups they are in.
//! - Finding the first member: the caller compares views with a seed ([`Swim::begin_joining`]).
//! - Byzantine peers: a peer that lies can have others removed, until they refute.
//!
//! # Driving it
//!
//! [`Swim::handle`] takes the time since the node's start, one [`Input`] and a random generator, and returns what to
//! do. It has no clock and does no I/O, and the same inputs with the same generator give the same outputs.
//!
//! ```
//! use chinwag_protocol::swim::{SwimConfig, MemberEvent, Input, Outcome, Output, Statement, Status, Swim};
//! use rand::SeedableRng;
//! use std::time::Duration;
//!
//! let (me, peer) = (1_u32, 2_u32);
//! let mut chance = rand_chacha::ChaCha8Rng::seed_from_u64(7);
//! let mut swim = Swim::new(me, 1_700_000_000_000, SwimConfig::default())?;
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
//! // No member has heard from the peer, so it is asked soon. It answers.
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
//! assert!(outputs.iter().any(|output| matches!(output, Output::Event(MemberEvent::Joined { peer: 2, .. }))));
//! assert!(outputs.iter().any(|output| matches!(output, Output::Broadcast(_))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod accusation;
mod asking;
mod bulletin;
mod cluster;
mod config;
mod flight;
mod interface;
mod learning;
mod machine;
mod probe;
mod rejoin;
mod standing;
mod statement;
mod suspicion;
mod sync;
mod view;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use bulletin::{Bulletin, MOST_BYTES, MOST_NEWS};
pub use config::{SwimConfig, SwimConfigError};
pub use interface::{Input, MemberEvent, Outcome, Output, Timer, Token};
pub use machine::{LIFE_AHEAD, Swim};
pub use standing::{Claim, Incarnation, Status, Update, supersedes};
pub use statement::{ClusterId, FORMER_IDS, Relation, Statement};
pub use sync::{MAX_ENTRIES, MAX_PARTS, PAGE, Page, Sync, SyncError};
