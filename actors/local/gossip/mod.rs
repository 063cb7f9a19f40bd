//! `local.gossip`: messages that spread through groups. The protocol is [`chinwag_protocol::rumor`]; the actor here drives
//! it.
//!
//! | method | answers | error |
//! |---|---|---|
//! | `recv({message, remote, mid, gid, …})` | the answer of the performed method | already received |
//! | `offer`, `pull`, `compare`, `enter` | used between chinwag nodes, see [`peer`](chinwag_protocol::peer) | |
//!
//! ```text
//! group gossip.send     -> Broadcast        -> the group's state machine -> requests to peers
//! a request arrives     -> FromPeer         -> the group's state machine -> an answer, and messages to perform here
//! a peer answers        -> SentRequest, Reply -> the group's state machine
//! ```
//!
//! A group's state machine is created when the group is put, when this node first gossips in it, or soon after this node
//! has company in it. The last case matters in overlays where a node that lacks a rumor has to ask for it, because the
//! nodes that have the rumor draw other peers. The state machines and the pending requests are held outside the actor, so
//! that a panic loses no rumor. A peer that does not know `offer` is treated as a reference node: it gets whole
//! messages until it sends a request of this protocol. Deleting a group deletes its state machine; `deleted_groups.rs`
//! keeps what has to be remembered.
//!
//! # Requests bypass the queues of calls
//!
//! Requests between nodes go straight to the transport, past the lanes of `comm`, and straight to this actor, past the
//! bounds on calls in flight. The state machine bounds both the requests that it has in flight and those that it accepts,
//! and it answers at once. A message that is performed is a call like any other.
//!
//! # Entering
//!
//! A node that comes into a group asks a few members which rumors the group has had, and does not perform those. `groups.put`
//! and joining wait for this (`Enter`) for at most a second. The node performs every message that is sent after that. A node
//! that was started with a group, as in a simulation, counts as in the group from its beginning. A group that was
//! deleted and is put again is entered again.

mod actor;
mod broadcasting;
mod deleted_groups;
mod entering;
mod fanout;
mod group;
mod options;
mod outcomes;
mod pending;
mod performing;
mod receiving;
mod sending;
mod state;
mod writer;

pub(crate) use self::actor::Gossip;
pub(crate) use self::{fanout::compute_fanout, options::Options, receiving::METHODS, state::GossipState};
