//! Groups: a node's view of sets of nodes.
//!
//! Each node has a map of its own from group names to sets. Another node can hold another set under the same name, so
//! that a group can be a ring or a tree instead of a clique. Two groups are built in and cannot be deleted: `local` is
//! the node itself, and `all` is every node that it has met, including itself. Nodes in [`Groups::put`] and
//! [`Groups::add`] join `all`. Removing a node from one group keeps it in the others.
//!
//! A group holds a node once, however its address is spelled: `localhost:8080` and `127.0.0.1:8080` are one member (see
//! [`NodeAddr::key`](crate::identity::NodeAddr::key)). The first spelling and the first SID stay, because a user may
//! have chosen them. In `all`, nobody chooses spellings, so it adopts the spelling in which a node states [its own
//! address](Groups::stated).
//!
//! This module does not know which nodes are alive (see [`swim`](crate::swim)), and does not make views agree.

mod config;
mod map;
mod members;
mod sharing;

#[cfg(test)]
mod spelling;
#[cfg(test)]
mod tests;

pub use config::GroupConfig;
pub use map::{Entry, Groups, MAX_GROUPS, MAX_OPTION_BYTES, MAX_TOTAL_OPTION_BYTES};
pub use members::{Group, MAX_MEMBERS, Member};
pub use sharing::Sharing;
