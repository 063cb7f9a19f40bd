//! What the platform does for a node: it starts other nodes and script engines, and knows the figures of the allocator.

use std::{fmt, pin::Pin};

use chinwag_protocol::{call::CallError, identity::NodeAddr, value::Value};
use tokio::sync::mpsc::{Receiver, UnboundedSender};

/// Starts nodes.
pub trait Launcher {
    /// Starts a node with this configuration (`ip`, `port`, `onStart`). The node is up when it has called its `onStart`.
    ///
    /// # Errors
    /// [`ErrorKind::SpawnFailed`](chinwag_protocol::call::ErrorKind::SpawnFailed) if no node could be started.
    fn launch(&self, config: &Value) -> Result<Launched, CallError>;
}

/// A node that is booting.
#[non_exhaustive]
pub struct Launched {
    /// Resolves when the node has ended, to the last lines that it wrote to standard error.
    pub died: Pin<Box<dyn Future<Output = String>>>,
    /// Ends the node.
    pub kill: Box<dyn FnOnce()>,
    /// Called with the node's address once the node is up.
    pub born: Box<dyn FnOnce(NodeAddr)>,
}

impl Launched {
    /// Creates what a [`Launcher`] answers, from the fields with these names.
    pub fn new(
        died: impl Future<Output = String> + 'static,
        kill: impl FnOnce() + 'static,
        born: impl FnOnce(NodeAddr) + 'static,
    ) -> Launched {
        Launched { died: Box::pin(died), kill: Box::new(kill), born: Box::new(born) }
    }
}

impl fmt::Debug for Launched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Launched")
    }
}

/// The longest frame between a node and the process of an engine, in bytes. What enters and leaves an engine has smaller
/// limits of its own.
pub const LONGEST_FRAME: usize = 128 << 20;

/// Starts processes for script engines. Each must call `chinwag_actors::scripts::run_engine` with its pipes.
pub trait EngineStarter {
    /// Starts a process.
    ///
    /// # Errors
    /// If the operating system cannot start it.
    fn start(&self) -> std::io::Result<EngineProcess>;
}

/// A process that runs an engine.
pub struct EngineProcess {
    /// What is sent here is written to the input of the engine. Dropping it ends the input, and with it the process.
    pub input: UnboundedSender<Vec<u8>>,
    /// The frames that the engine writes, each without the four bytes of its length. It ends with the process. As many
    /// frames wait here as it has room for; then the engine waits.
    pub output: Receiver<Vec<u8>>,
    /// Ends the process at once.
    pub kill: Box<dyn FnOnce()>,
}

impl fmt::Debug for EngineProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EngineProcess")
    }
}

/// The figures of the allocator, in bytes.
///
/// ```
/// use chinwag_actors::launcher::Heap;
/// let heap = Heap::new(4096, 1024);
/// assert!(heap.used <= heap.total);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Heap {
    /// Memory that the allocator holds from the operating system.
    pub total: u64,
    /// Memory that is in use. Never more than `total`.
    pub used: u64,
}

impl Heap {
    /// Creates the figures of an allocator that holds `total` bytes. If it says that more are in use, all of them are.
    pub fn new(total: u64, used: u64) -> Heap {
        Heap { total, used: used.min(total) }
    }
}
