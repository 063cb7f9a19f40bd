//! What the platform does for a node: it starts other nodes, and it knows the heap.

use std::fmt;

use chinwag_protocol::{call::CallError, identity::NodeAddr, value::Value};
use futures_util::future::LocalBoxFuture;

/// Starts nodes.
pub trait Launcher {
    /// Starts a node with this configuration (`ip`, `port`, `onStart`). It is up when it has called its `onStart`.
    ///
    /// # Errors
    /// [`ErrorKind::SpawnFailed`](chinwag_protocol::call::ErrorKind::SpawnFailed) where nothing could be started.
    fn launch(&self, config: &Value) -> Result<Launched, CallError>;
}

/// A node that is booting.
pub struct Launched {
    /// Ends when the node has ended, with the last it said (the end of its stderr).
    pub died: LocalBoxFuture<'static, String>,
    /// Ends it.
    pub kill: Box<dyn FnOnce()>,
    /// Told where it is, once it is up.
    pub born: Box<dyn FnOnce(NodeAddr)>,
}

impl fmt::Debug for Launched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Launched")
    }
}

/// The allocator's figures, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heap {
    /// Held of the operating system.
    pub total: u64,
    /// In use; never more than `total`.
    pub used: u64,
}
