//! `local.membership`: who is alive, as this node sees it. The protocol is [`chinwag_protocol::swim`]; this actor
//! carries it, at the level of the group `all`.
//!
//! | method | answers |
//! |---|---|
//! | `list()` | everybody known, SID to `{ip, port, status, life, turn[, since]}`, this node and those removed included |
//! | `subscribe(function)` | an id; from then on the function is called with each [`Event`], one at a time, in order |
//! | `unsubscribe(id)` | the id |
//! | `leave()` | null, once the first peers know; the node takes no further part |
//!
//! What goes between nodes are methods of `local.gossip`, see [`peer`](chinwag_protocol::peer).
//!
//! ```text
//! groups.put, add, rem, del, a node met -> GroupChanged -> the machine: those new in `all` are asked, those gone expelled
//! gossip's requests and answers         -> Signs -> the machine, if it would change anything
//! a peer's kept connection closes       -> Inputs -> the machine, which probes the peer at once
//! ping, relay, sync, news               -> the machine -> what it says, done at once, or a call whose outcome comes back
//! its events                            -> the groups -> the subscribers
//! --join                                -> compares views with each seed in turn, until one answers
//! Node::stop, status.stop, Ctrl-C       -> Farewell: told to the first peers, within half a second, before the door closes
//! ```
//!
//! # What it does to groups
//!
//! - *joined*: the peer comes into `all`, and into the groups that it was started in, where this node knows them.
//! - *failed*: it is taken from every group of this node's. If the verdict is this node's own, mute members (nodes of the
//!   reference, or with membership off) are told by the `groups.rem` that they understand.
//! - *rejoined* (or joined, after an operator had put it somewhere): it comes back into the groups that it was taken from,
//!   under its old SIDs, except where an operator removed it meanwhile, or deleted the group, or put another set in its place.
//! - *left*: it is taken from every group, for good.
//! - *unreachable*: it stays where it was put. Group calls give it a short time only.
//!
//! A peer that an operator removes from `all` stays removed, whatever others say of it, until somebody adds it here.
//!
//! # Its way out
//!
//! Probes and their answers do not queue behind calls: they go straight to the transport, past the lanes of `comm`,
//! and are let in past the bounds on calls under way. They are not counted among the calls served. They have their own
//! time limits, given by the machine. The news, which need to reach everyone but not at once, go by gossip: those of a
//! short time together, so that a hundred nodes that come at once cost a few rumors. A farewell does not wait.
//!
//! # What it costs
//!
//! Off: nothing. Alone: one timer a second, and no request. Otherwise a probe sent and one answered a period, whatever
//! the size of the group, seven of eight over connections that are kept, and gossip when something happens.
//!
//! # What is not here
//!
//! No decision: those are the machine's. No wall clock: a node's life is numbered by whoever starts it.

mod actor;
mod answering;
mod comparing;
mod heard;
mod join;
mod listing;
mod roster;
mod signs;
mod subscribing;
mod telling;
pub(crate) mod wire;

pub use self::{actor::FAREWELL, listing::Standing, roster::MAX_SUBSCRIBERS};
pub(crate) use self::{
    actor::{METHODS, Membership, roster},
    roster::Shared,
    signs::Signs,
};
pub use crate::{
    events::{Event, Events, Peer},
    settings::{MembershipSettings as Settings, Seed},
};
