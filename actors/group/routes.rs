//! A group's `routes`: calls the same method of `local.routes` on every member.

use crate::service::AnyService;

/// Returns the definition of the service.
pub(crate) fn service() -> AnyService {
    super::comm::call_every_member("routes", &crate::local::routes::METHODS)
}
