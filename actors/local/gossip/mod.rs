//! `local.gossip`: news that spreads by itself. The protocol is [`chinwag_protocol::rumor`]; this actor carries it.
//!
//! | method | answers | error |
//! |---|---|---|
//! | `recv({message, remote, mid, gid, …})` | what the method performed answered | already received |
//! | `offer`, `pull`, `compare`, `enter` | between nodes of this project, see [`peer`] | |
//!
//! ```text
//! group gossip.send -> Broadcast -> the group's machine -> requests, each a peer::Request to a peer
//! a request arrives -> the group's machine -> its answer, and what is to be performed here
//! an answer arrives -> Returned -> the group's machine
//! ```
//!
//! A group's machine is made when the group is put, when it first has something to say, or else soon after this node has
//! company in it: in some overlays it is for the node that lacks a rumor to ask, as those who have it draw others. It lives outside the
//! actor, and so do the requests under way, so that a panic forgets no rumor. A peer that does not know `offer` is a node of the reference: it is
//! sent whole messages from then on, until it speaks for itself. With a group goes its machine; what must outlive it is in
//! `memories.rs`.
//!
//! # Its way out, and in
//!
//! Requests between nodes do not queue behind calls. They go straight to the transport, past the lanes of `comm`, and
//! come straight here, past the bounds on calls under way: the machine bounds both what it has under way and what it
//! takes in, and an answer that is only the machine's is there at once. What a rumor performs is a call like any other.
//!
//! # Entering
//!
//! A node that comes into a group asks a few members what was said in it, and performs none of that. `groups.put` and
//! joining wait for it (`Enter`), within a second: whatever is sent after they are answered is performed. A node that
//! was started with a group, as the nodes of a simulation are, is in it from its beginning. A group that was deleted
//! and is put again is entered anew.

mod actor;
mod memories;
mod options;
mod outcomes;
mod room;
mod width;
mod writer;

pub(crate) use self::actor::Gossip;
pub(crate) use self::{actor::METHODS, options::Options, room::Rooms, width::ask_width};
