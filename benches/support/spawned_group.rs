//! Nodes in processes of their own, in one group. The benchmark `launch` times their start, and `processes` gossips to
//! them.

use std::time::{Duration, Instant};

use chinwag::{Call, CallError, Gid, Node, NodeAddr, Service, Value};
use futures_util::future::join_all;
use tokio::sync::mpsc;

use super::{proc, program::PROGRAM};

/// The group's name.
pub const GROUP: &str = "bench";

/// The timeout for the start and the end of nodes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node in this process, and the nodes in other processes that it has spawned, in one group.
pub struct SpawnedGroup {
    /// The node in this process. It knows the group and is not a member.
    pub asking: Node,
    /// The other nodes.
    pub nodes: Vec<NodeAddr>,
    /// The calls of the other nodes on the counter of the node in this process: which message, and when.
    pub counted: mpsc::UnboundedReceiver<(u64, Instant)>,
    /// The time from the first spawn until the last node has called back.
    pub called_back: Duration,
    /// The time from the first spawn until all nodes have the group.
    pub standing: Duration,
}

impl SpawnedGroup {
    /// Starts the nodes at once.
    pub async fn start(nodes: usize) -> Result<SpawnedGroup, CallError> {
        let (say, counted) = mpsc::unbounded_channel();
        let counter = Service::new("counter", |_| ()).method("count", move |(), (message,): (u64,)| {
            let _ = say.send((message, Instant::now()));
        });
        let asking = Node::builder().port(0).program(PROGRAM).service(counter).start().await.expect("a free port");
        let mut group =
            SpawnedGroup { asking, nodes: Vec::new(), counted, called_back: Duration::ZERO, standing: Duration::ZERO };
        match group.fill(nodes).await {
            Ok(()) => Ok(group),
            Err(why) => {
                group.stop().await;
                Err(why)
            }
        }
    }

    async fn fill(&mut self, nodes: usize) -> Result<(), CallError> {
        let began = Instant::now();
        let patient = self.asking.with_deadline(PATIENCE);
        let spawned = join_all((0..nodes).map(|_| patient.spawn(NodeAddr::new("127.0.0.1", 0)))).await;
        self.called_back = began.elapsed();
        let failed = spawned.iter().find_map(|spawned| spawned.as_ref().err().cloned());
        self.nodes = spawned.into_iter().flatten().collect();
        if let Some(why) = failed {
            return Err(why);
        }
        patient.groups().put(GROUP, self.nodes.clone()).await?;
        let told = patient.group(GROUP).groups().put(GROUP, self.nodes.clone()).await?;
        self.standing = began.elapsed();
        match told.errors.into_values().next() {
            None if told.values.len() == nodes => Ok(()),
            None => Err(CallError::other(format!("{} of {nodes} nodes took the group", told.values.len()))),
            Some(why) => Err(why),
        }
    }

    /// The IDs of the other nodes' processes.
    pub fn processes(&self) -> Vec<u32> {
        proc::children("chinwag")
    }

    /// Stops the nodes, and waits until their processes are gone.
    pub async fn stop(self) {
        let stop = || Call::new(Gid::local(), "status", "stop", Vec::<Value>::new());
        join_all(self.nodes.iter().map(|node| self.asking.call_on(node, stop()))).await;
        let going = async {
            while !self.processes().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, going).await.is_err() {
            eprintln!("{} nodes do not stop", self.processes().len());
        }
        self.asking.stop().await;
    }
}
