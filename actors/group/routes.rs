//! A group's `routes`: every member's route table.

use crate::service::AnyService;

/// The definition.
pub(crate) fn service() -> AnyService {
    super::comm::mirror("routes", &crate::local::routes::METHODS)
}
