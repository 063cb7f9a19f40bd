//! Groups: one node's view of sets of nodes.
//!
//! The map from group names to sets is a node's own. Another node may hold another set under the same name, which is
//! how a group becomes a ring or a tree rather than a clique. Two names are built in: `local` is the node itself, and
//! `all` is every node it has met, itself included; neither can be deleted. Nodes met through [`Groups::put`] and
//! [`Groups::add`] join `all`; removing a node from one group leaves it in the others.
//!
//! A group holds a node once, however its address is spelled: `localhost:8080` and `127.0.0.1:8080` are one member (see
//! [`NodeAddr::key`]). The spelling and the SID that came first stay, as they are somebody's choice. Only `all`, whose
//! members nobody chose the spelling of, takes over how a node spells [its own address](Groups::stated).
//!
//! What is not here: who is alive (see [`swim`](crate::swim)), and any wish that two views agree.

mod config;
mod map;
mod members;
mod sharing;

#[cfg(test)]
mod spelling;
#[cfg(test)]
mod tests;

pub use config::GroupConfig;
pub use map::{Entry, Groups, MAX_GROUPS};
pub use members::{Group, MAX_MEMBERS, Member};
pub use sharing::Sharing;
