//! What the host of an engine, which is usually a node, does for shipped code.

use chinwag_protocol::call::{Call, CallError, Reply};
use futures_util::future::LocalBoxFuture;

use crate::request::Origin;

/// What the host of an engine, which is usually a node, does for shipped code.
#[cfg_attr(not(feature = "scripts"), allow(dead_code))]
pub(crate) trait Host {
    /// Makes a call on behalf of `origin`.
    fn call(&self, origin: Origin, call: Call) -> LocalBoxFuture<'static, Reply>;

    /// Makes a function that code registered with `createRPC` callable by its name. Calls on the name go to
    /// `Scripts::call_registered`.
    ///
    /// # Errors
    /// If too many functions are registered, or the host takes no calls.
    fn register(&self, name: &str) -> Result<(), CallError>;

    /// Removes functions that [`register`](Host::register) made callable.
    fn unregister(&self, names: &[String]);
}
