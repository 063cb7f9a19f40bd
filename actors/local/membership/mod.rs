//! `local.membership`: which nodes are alive, as this node sees it. The protocol is [`chinwag_protocol::swim`]; the actor
//! here drives it for the group `all`.
//!
//! | method | answers |
//! |---|---|
//! | `list()` | all known nodes, SID to `{ip, port, status, life, turn[, since]}`, including this node and removed ones |
//! | `subscribe(function)` | an id; the function is then called with each [`Event`], one at a time, in order |
//! | `unsubscribe(id)` | the id |
//! | `leave()` | null, once the first peers have the farewell; the node then takes no further part |
//!
//! The requests between nodes are methods of `local.gossip`, see [`peer`](chinwag_protocol::peer).
//!
//! ```text
//! groups.put, add, rem, del, a node met  -> GroupChanged -> the state machine asks new nodes, and expels removed ones
//! gossip's requests and answers          -> LivenessObserver -> the state machine, if they change anything
//! a peer's kept connection closes        -> Inputs -> the state machine probes the peer at once
//! ping, relay, sync, news                -> the state machine -> outputs: requests to peers, timers, events
//! events of the state machine            -> the groups -> the subscribers
//! --join                                 -> compares views with each seed in turn, until one answers
//! Node::stop, status.stop, Ctrl-C        -> Farewell: sent to the first peers, within half a second, before the server closes
//! ```
//!
//! # How it changes groups
//!
//! - *joined*: the peer is added to `all`, and to the groups that it was started in, if this node knows them.
//! - *failed*: the peer is removed from every group of this node. If the verdict is this node's own, passive members
//!   (reference nodes, and nodes with membership off) are called with the `groups.rem` that they understand.
//! - *rejoined* (or joined, if an operator had put the peer in a group): the peer returns to the groups that it was removed
//!   from, under its former SIDs. Groups that an operator has deleted or put again meanwhile are excluded, and so are groups
//!   that an operator removed the peer from.
//! - *left*: the peer is removed from every group and does not return by itself.
//! - *unreachable*: the peer stays in its groups. Group calls give it only a short time.
//!
//! A peer that an operator removes from `all` stays removed, whatever other nodes report, until an operator of this node
//! adds it again.
//!
//! # Requests bypass the queues of calls
//!
//! Probes and their answers go straight to the transport, past the lanes of `comm`, and bypass admission. They do not count
//! as calls served. The state machine sets their timeouts. News has to reach every node, but not at once, so gossip
//! broadcasts all news of a short interval as one rumor: a hundred nodes that join at once cost a few rumors. A farewell is
//! broadcast immediately.
//!
//! # What it costs
//!
//! Nothing if membership is off. A node that is alone has one timer a second and sends no request. Otherwise a node sends
//! and answers one probe per protocol period, whatever the size of the group, seven of eight over kept connections, and
//! gossips when something happens.
//!
//! # What is not here
//!
//! The actor decides nothing: the decisions are in the state machine. It reads no wall clock: the caller that starts a
//! node numbers the node's life.

mod actor;
mod answering;
mod comparing;
mod gossip_hashes;
mod join;
mod listing;
mod liveness;
mod member_events;
mod news;
mod passive;
mod state;
mod subscribing;
pub(crate) mod wire;

pub use self::{actor::FAREWELL, listing::Standing, state::MAX_SUBSCRIBERS};
pub(crate) use self::{
    actor::{METHODS, Membership, create_state},
    liveness::LivenessObserver,
    state::SharedMembership,
};
pub use crate::{
    events::{Event, Events, Peer},
    settings::{MembershipSettings as Settings, Seed},
};
