//! The typed Rust API: a running node, and the groups that it knows.
//!
//! Every method makes a [`Call`](chinwag_protocol::call::Call) on a service and sends it to the node's own actors, without
//! a socket. A handle can therefore do nothing that a call from elsewhere cannot do, except for ending the node at once.
//! Handles are cheap to clone and can be sent to other threads.

mod group;
mod local;
mod node;

pub use self::{
    group::{Group, GroupComm, GroupGossip, GroupGroups, GroupRoutes, GroupStatus},
    local::{LocalComm, LocalGroups, LocalMembership, LocalRoutes, LocalStatus},
    node::NodeHandle,
};
pub use crate::messages::{CallbackFuture, Lasting};
