//! A group's `groups`: every member's map of groups, each answering for itself.

use crate::service::AnyService;

/// The definition.
pub(crate) fn service() -> AnyService {
    super::comm::mirror("groups", &crate::local::groups::METHODS)
}
