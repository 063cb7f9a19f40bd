//! The services of a group, one set of instances per GID.
//!
//! Each is a [`Service`](crate::service::Service) definition, written once and bound by a supervisor to every group.

pub(crate) mod comm;
pub(crate) mod gossip;
pub(crate) mod groups;
pub(crate) mod routes;
pub(crate) mod status;

use crate::service::AnyService;

/// The definitions every group gets.
pub(crate) fn services() -> [AnyService; 5] {
    [comm::service(), gossip::service(), groups::service(), routes::service(), status::service()]
}
