//! What shipped code can do outside of the engine.

use chinwag_protocol::call::{Call, CallError, Reply};
use futures_util::future::LocalBoxFuture;

use crate::request::Origin;

/// What shipped code can do outside of the engine.
#[cfg_attr(not(feature = "scripts"), allow(dead_code))]
pub(crate) trait Host {
    /// Makes a call on behalf of another.
    fn call(&self, origin: Origin, call: Call) -> LocalBoxFuture<'static, Reply>;

    /// Makes a function callable by name: calls on it go to `Scripts::call_registered`.
    ///
    /// # Errors
    /// Where there are too many.
    fn register(&self, name: &str) -> Result<(), CallError>;
}
