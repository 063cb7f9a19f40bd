//! What nodes ask of each other on behalf of gossip and membership, and the answers: the messages themselves, and their
//! form on the wire, where each is a call on a method of `local.gossip`.
//!
//! ```text
//! Request { from, stated, body }  ->  Reply = Result<Answer, CallError>
//!
//! over HTTP       Request -> Call -> … -> Call -> Request, Answer -> call::Answer -> … -> Answer
//! in a simulation Request ----------------------> Request, Answer ----------------------> Answer
//! ```
//!
//! The methods are on a service that nodes of the JavaScript reference have, as such a node ends its process on a
//! service that it does not have, and says "Method … not found" of a method. A node that takes no part in membership
//! says the same.
//!
//! What cannot be read is refused as a bad argument, or is left out where nodes can do without it: each field says
//! which. Payloads stay values ([`Message`], the options of groups), and so do the news, which are the payload of a
//! rumor.

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
