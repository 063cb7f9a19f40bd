//! A node's own services, found under `local`.

pub(crate) mod comm;
pub(crate) mod gauges;
pub(crate) mod gossip;
pub(crate) mod groups;
pub mod membership;
pub mod routes;
pub(crate) mod status;
