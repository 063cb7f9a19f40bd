//! The services of a group.
//!
//! Each is a [`Service`](crate::service::Service) definition. The supervisor of each group starts its own instances.

pub(crate) mod comm;
pub(crate) mod gossip;
pub(crate) mod groups;
pub(crate) mod routes;
pub(crate) mod status;

use crate::service::AnyService;

/// Returns the definitions of the services that every group has.
pub(crate) fn services() -> [AnyService; 5] {
    [comm::service(), gossip::service(), groups::service(), routes::service(), status::service()]
}
