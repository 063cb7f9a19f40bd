//! The protocols of chinwag as pure state machines and values: what nodes say to each other, and what each makes of it.
//!
//! | what nodes exchange | where |
//! |---|---|
//! | *who*: an address, the identifiers made of it, a group's name | [`identity`] |
//! | *a call* on a service and its reply, of one node or of a group by member | [`call`] |
//! | *values*: what a call carries, with the sharing and the cycles that JavaScript allows | [`value`] |
//! | *bytes*: the form in which nodes write values, and the plain one of people | [`wire`] |
//! | *a rumor*, which everybody is to perform once | [`rumor`] |
//! | *probes and verdicts*: who is alive | [`swim`] |
//! | *requests* of both protocols, from node to node | [`peer`] |
//!
//! | what a node decides by itself | where |
//! |---|---|
//! | which set of nodes a group's name stands for, here | [`group`] |
//! | how many peers a round contacts | [`fanout`] |
//! | who knows whom, when not everybody knows everybody | [`overlay`] |
//!
//! # The contract
//!
//! Nothing in here does anything: no socket, no thread, no timer, no file. A machine is a value that one node holds,
//! and whoever drives it
//!
//! ```text
//!   hands in   what happened, what time it is, a generator        handle(now, Input, chance)
//!   is given   what is to be done, in order                       -> [Output]
//!   does it, and hands in what came of it                         Input, with the request's token
//! ```
//!
//! - *Time* is told, as the time since the node started by its own clock. A machine that needs waking says when
//!   (`Output::Timer`), and bears being woken late.
//! - *Chance* is lent with each call. The machines draw in an order that their inputs alone decide, and nothing that
//!   iterates in hash order reaches an output; logarithms that decide anything come from one library. So the same
//!   inputs and the same seed give the same outputs on every machine, which is what lets the simulator replay a run.
//! - *Requests* go out with a token; its answer or its failure comes back with it, once, in any order and after any
//!   time. There are no timeouts in here: the transport has them, and a timeout is a failure like another.
//! - *Bounds* are part of a machine's configuration, each with its unit, its range and where its default comes from.
//!   What is past one is refused in so many words and changes nothing.
//! - *What comes from outside* can be anything. It is read into values within [`wire::Limits`] or refused with
//!   the place and the reason, and no input makes a machine panic.
//!
//! # How the two protocols lean on each other
//!
//! Membership has news to spread and no means of its own: what it decides goes out as a rumor, and comes in as one.
//! Gossip needs peers that live and does not look for them: it draws from the group's view, which a verdict has
//! changed. A rumor's request that is answered is a sign of life as good as a probe. Neither needs the other to be
//! right: gossip to a dead peer is a failed request among many, made up for by comparison; a verdict that is late or
//! lost is found out when views are exchanged.
//!
//! # What is absent
//!
//! Agreement. There is no leader, no order between messages of different nodes, and no view that all share at one
//! moment; what is promised is that news of live nodes reaches live nodes, once each, and that views become equal
//! when failures stop. For the promise and its limits: Demers et al. 1987, "Epidemic algorithms for replicated
//! database maintenance"; Birman 2007, "The promise, and limitations, of gossip protocols". The papers behind each
//! protocol stand in its module.
//!
//! # A call on its way
//!
//! ```
//! use chinwag_protocol::call::{Answer, Call, reply_from_pair, reply_to_pair};
//! use chinwag_protocol::identity::Gid;
//! use chinwag_protocol::value::Value;
//! use chinwag_protocol::wire::{self, Form, Limits};
//!
//! // the caller: names in the path, arguments in the body
//! let call = Call::new(Gid::local(), "status", "get", vec![Value::from("port")]);
//! let body = wire::encode_arguments(&call.arguments);
//!
//! // the node that is called: reads them, in whichever form they came, and answers in it
//! let read = wire::decode_arguments(&body, &Limits::default())?;
//! assert_eq!((read.form, &read.values), (Form::Typed, &call.arguments));
//! let (error, value) = reply_to_pair(Ok(Answer::Value(Value::from(8080))));
//! let body = wire::encode_pair(&error, &value, read.form);
//!
//! // the caller again
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
