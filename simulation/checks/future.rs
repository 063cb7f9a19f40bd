//! The type that every check returns.

use std::pin::Pin;

/// What a check found, or `None` if the property holds.
pub(super) type CheckFuture<'a> = Pin<Box<dyn Future<Output = Option<String>> + 'a>>;
