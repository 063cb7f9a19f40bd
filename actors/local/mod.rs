//! A node's own services, found under `local`.

pub mod comm;
pub(crate) mod gauges;
pub mod gossip;
pub mod groups;
pub mod membership;
pub mod routes;
pub mod status;
