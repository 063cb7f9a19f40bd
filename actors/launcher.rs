//! What the platform does for a node: it starts other nodes, and knows the figures of the allocator.

use std::fmt;

use chinwag_protocol::{call::CallError, identity::NodeAddr, value::Value};
use futures_util::future::LocalBoxFuture;

/// Starts nodes.
pub trait Launcher {
    /// Starts a node with this configuration (`ip`, `port`, `onStart`). The node is up when it has called its `onStart`.
    ///
    /// # Errors
    /// [`ErrorKind::SpawnFailed`](chinwag_protocol::call::ErrorKind::SpawnFailed) if no node could be started.
    fn launch(&self, config: &Value) -> Result<Launched, CallError>;
}

/// A node that is booting.
pub struct Launched {
    /// Resolves when the node has ended, to the last lines that it wrote to standard error.
    pub died: LocalBoxFuture<'static, String>,
    /// Ends the node.
    pub kill: Box<dyn FnOnce()>,
    /// Called with the node's address once the node is up.
    pub born: Box<dyn FnOnce(NodeAddr)>,
}

impl fmt::Debug for Launched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Launched")
    }
}

/// The figures of the allocator, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heap {
    /// Memory that the allocator holds from the operating system.
    pub total: u64,
    /// Memory that is in use. Never more than `total`.
    pub used: u64,
}
