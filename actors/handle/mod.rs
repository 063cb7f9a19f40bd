//! The typed Rust API: a running node, and the groups that it knows.
//!
//! Every method here is a [`Call`](chinwag_protocol::call::Call) on a service, sent to the node's own actors without a socket. A handle
//! can do nothing that a call from elsewhere could not do, except to end the node at once. It is cheap to clone and can
//! cross threads.

mod group;
mod local;
mod node;

pub use self::{
    group::{Group, GroupComm, GroupGossip, GroupGroups, GroupRoutes, GroupStatus},
    local::{LocalComm, LocalGroups, LocalMembership, LocalRoutes, LocalStatus},
    node::NodeHandle,
};
pub use crate::messages::{CallbackFuture, Lasting};
