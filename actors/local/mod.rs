//! A node's own services, found under `local`.

pub mod comm;
pub mod gossip;
pub mod groups;
pub mod routes;
pub mod status;
