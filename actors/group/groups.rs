//! A group's `groups`: calls the same method of `local.groups` on every member.

use crate::service::AnyService;

/// Returns the definition of the service.
pub(crate) fn service() -> AnyService {
    super::comm::call_every_member("groups", &crate::local::groups::METHODS)
}
