//! The requests of gossip and membership between nodes and their answers, and their form on the wire, where each
//! request is a call on a method of `local.gossip`.
//!
//! ```text
//! Request { from, stated, body }  ->  Reply = Result<Answer, CallError>
//!
//! over HTTP       Request -> Call -> … -> Call -> Request, Answer -> call::Answer -> … -> Answer
//! in a simulation Request ----------------------> Request, Answer ----------------------> Answer
//! ```
//!
//! The methods belong to a service that reference nodes have: a reference node ends its process on a call to a service
//! that it does not have, but answers "Method … not found" for a method. A node with membership switched off gives the
//! same answer.
//!
//! A malformed field is rejected as a bad argument, or ignored if nodes can do without it; the documentation of each
//! field says which. Payloads ([`Message`], the options of groups) stay values, and so do news, which are the payload
//! of a rumor.

mod fields;
mod gossip;
mod membership;
mod method;
mod parts;
mod request;
mod stated;

#[cfg(test)]
mod tests;

pub use fields::MAX_HEARD;
pub use gossip::{Gossip, Message, Shared, answer_of_failure, failed};
pub use membership::{
    Compared, Entry, Listed, Listing, MAX_GROUPS, Part, Ping, Place, Pong, Relay, Relayed, Sync, read_news,
};
pub use method::Method;
pub use request::{Answer, Body, Outgoing, Reply, Request};
pub use stated::Stated;
