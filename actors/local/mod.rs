//! A node's own services, which are found under the group `local`.

pub mod comm;
pub mod gossip;
pub mod groups;
pub(crate) mod load_sources;
pub mod membership;
pub mod routes;
pub mod status;
