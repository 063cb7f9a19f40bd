//! chinwag: node groups and gossip on actors.
//!
//! A *node* is an actor system with an HTTP interface. A *group* names a set of nodes and the services that run across them.
//! A call on a group reaches every member and returns one answer. *Gossip* carries messages to all members, from peer to peer.
//!
//! ```
//! use chinwag::{Node, Remote, Service};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! // a service: named methods over a state that an actor holds
//! let counter = Service::new("counter", |_| 0_u64)
//!     .method("count", |n: &mut u64, ()| { *n += 1; *n });
//!
//! // two nodes in this program, each on a free port
//! let one = Node::builder().port(0).service(counter.clone()).start().await?;
//! let two = Node::builder().port(0).service(counter).start().await?;
//!
//! // a group of both, and one call on each of its members
//! one.groups().put("pair", [one.addr().clone(), two.addr().clone()]).await?;
//! let pair = one.group("pair");
//! let counts = pair.comm().send((), &Remote::new("counter", "count")).await?;
//! assert_eq!(counts.values.len(), 2);
//!
//! // the memory that both hold together, and the view that each has of a group
//! let heap = pair.status().heap_total().await?;
//! let views = pair.groups().get("all").await?;
//! assert!(heap.errors.is_empty() && views.errors.is_empty());
//!
//! pair.status().stop().await?;
//! # Ok(()) })
//! # }
//! ```
//!
//! [`Node`] is a running node, [`NodeHandle`] the part of it that makes calls, and [`Builder`] configures and starts one.
//!
//! [`protocol`] decides: it has pure state machines and values. [`actors`] translates: it has one actor for each service. This
//! crate adds HTTP and child processes. Two more crates build on these: `chinwag-simulation` runs many nodes in one process,
//! in virtual time, for the tests of an application; `chinwag-cli` is the program `chinwag`.
//!
//! The feature `scripts`, on by default, lets a node run functions that other nodes ship. Without it a node takes no code, and
//! no JavaScript engine is compiled.

mod builder;
mod config;
mod engine;
mod heap;
mod http;
mod launcher;
mod node;
mod output;
mod program;
mod serve;

pub use builder::Builder;
pub use chinwag_actors as actors;
pub use chinwag_actors::{
    handle::{Group, Lasting, NodeHandle},
    local::membership,
    script::Script,
    service::{Scope, Service},
    settings::Settings,
};
pub use chinwag_protocol as protocol;
pub use chinwag_protocol::{
    call::{Aggregate, Answer, Call, CallError, ErrorKind, GroupReply, Remote},
    group::GroupConfig,
    identity::{Gid, Nid, NodeAddr, Sid},
    value::Value,
    wire::Limits,
};
pub use config::{Config, ConfigError};
pub use engine::init;
pub use http::HttpTransport;
pub use launcher::ChildExit;
pub use node::{Node, ServerHandle};
pub use output::Output;
pub use serve::StartError;

/// The README's example, run with the other examples.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
