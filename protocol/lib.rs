//! The protocols of chinwag as pure state machines and values: the messages between nodes, and what each node does with
//! them.
//!
//! | what nodes exchange | where |
//! |---|---|
//! | *addresses* and the identifiers of nodes and groups | [`identity`] |
//! | *calls* on services and their replies, of one node or of each member of a group | [`call`] |
//! | *values*, which calls carry, with the sharing and the cycles that JavaScript allows | [`value`] |
//! | *bytes*: the form in which nodes write values, and the plain form for people | [`wire`] |
//! | *rumors*, which every node performs once | [`rumor`] |
//! | *probes and verdicts*: who is alive | [`swim`] |
//! | *requests* of both protocols from node to node | [`peer`] |
//!
//! | what each node decides on its own | where |
//! |---|---|
//! | which nodes are in a group | [`group`] |
//! | how many peers a round contacts | [`fanout`] |
//! | which nodes know which others | [`overlay`] |
//!
//! # The contract
//!
//! This crate has no sockets, threads, timers or files. A machine is a value that a node holds, and its driver
//!
//! ```text
//!   passes      what happened, the time, a random generator         handle(now, Input, chance)
//!   receives    what has to be done, in order                       -> [Output]
//!   does that, and passes the results                               Input, with the request's token
//! ```
//!
//! - *Time* is a parameter: the time since the node started, by its own clock. A machine that needs to be woken says
//!   when (`Output::Timer`), and tolerates late timers.
//! - *Randomness* comes from a generator that each call lends. The order in which a machine draws depends on its inputs
//!   alone, nothing that iterates in hash order reaches an output, and logarithms that affect a decision come from one
//!   library. So the same inputs and the same seed give the same outputs on every machine, and the simulator can replay
//!   a run.
//! - *Requests* have tokens. The answer or the failure comes back with the token, once, in any order and after any
//!   time. There are no timeouts here: the transport has them, and reports a timeout as a failure.
//! - *Bounds* are part of a machine's configuration, each with its unit, its range and the origin of its default. Input
//!   that exceeds a bound is rejected with an explicit error and changes nothing.
//! - *Input from outside* can be anything. It is either read into values within [`wire::Limits`] or rejected with the
//!   position and the reason, and no input makes a machine panic.
//!
//! # How the two protocols use each other
//!
//! Membership spreads its news as rumors. Gossip draws its peers from the group's view, from which membership removes
//! dead nodes. An answered request of gossip is a sign of life like an answered probe. Both tolerate errors of the
//! other: a request of gossip to a dead peer fails, and comparison makes up for it; a verdict that is late or lost is
//! noticed when views are compared.
//!
//! # What is absent
//!
//! There is no agreement: no leader, no order between messages of different nodes, and no view that all nodes share at
//! the same time. The protocols promise that news of live nodes reaches live nodes, once each, and that views become
//! equal when failures stop. On this promise and its limits, see Demers et al. 1987, "Epidemic algorithms for
//! replicated database maintenance", and Birman 2007, "The promise, and limitations, of gossip protocols". Each module
//! names the papers behind its protocol.
//!
//! # Example: a call
//!
//! ```
//! use chinwag_protocol::call::{Answer, Call, reply_from_pair, reply_to_pair};
//! use chinwag_protocol::identity::Gid;
//! use chinwag_protocol::value::Value;
//! use chinwag_protocol::wire::{self, Form, Limits};
//!
//! // The caller puts the names into the path and the arguments into the body.
//! let call = Call::new(Gid::local(), "status", "get", vec![Value::from("port")]);
//! let body = wire::encode_arguments(&call.arguments, &Limits::default())?;
//!
//! // The node that is called reads the arguments in either form, and answers in the same form.
//! let read = wire::decode_arguments(&body, &Limits::default())?;
//! assert_eq!((read.form, &read.values), (Form::Typed, &call.arguments));
//! let (error, value) = reply_to_pair(Ok(Answer::Value(Value::from(8080))));
//! let body = wire::encode_pair(&error, &value, read.form, &Limits::default())?;
//!
//! // The caller reads the answer.
//! let (error, value) = wire::decode_pair(&body, &Limits::default())?;
//! assert_eq!(reply_from_pair(error, value)?.into_value(), Value::from(8080));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(unreachable_pub)]

mod bridge;
pub mod call;
pub mod fanout;
pub mod group;
pub mod host;
pub mod identity;
pub mod member_list;
pub mod overlay;
mod pause;
pub mod peer;
mod peer_id;
pub mod rumor;
mod stringify;
pub mod swim;
pub mod value;
pub mod wire;

pub use peer_id::PeerId;
