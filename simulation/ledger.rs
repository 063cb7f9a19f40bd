//! What every node heard and when, and what was sent for it.
//!
//! Every simulated node runs a service `record`, whose `hear(message)` writes here. It has no other effect, so a
//! message sent to `record.hear` by whatever way shows where it got to.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chinwag_actors::service::{AnyService, Service};
use chinwag_protocol::{value::Value, wire};
use serde::Serialize;
use tokio::{sync::Notify, time::Instant};

use super::address::index;

/// Messages counted at the network, from the start on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Calls that left a node for another one, whatever became of them.
    pub requests: u64,
    /// Of these, comparisons, which nodes make every tick whether or not there is anything to do.
    pub comparisons: u64,
    /// Of those, the ones that found a difference, whether or not the answer arrived.
    pub differences: u64,
    /// Messages, calls or answers, that carried the payload being watched.
    pub payloads: u64,
    /// Messages that were lost on the way.
    pub lost: u64,
}

impl Counts {
    /// Requests but for idle ticks: comparisons that found nothing to do, or were lost before they could.
    pub fn at_work(self) -> u64 {
        (self.requests - self.comparisons) + self.differences
    }

    /// What has been added since.
    #[must_use]
    pub fn since(self, before: Counts) -> Counts {
        Counts {
            requests: self.requests - before.requests,
            comparisons: self.comparisons - before.comparisons,
            differences: self.differences - before.differences,
            payloads: self.payloads - before.payloads,
            lost: self.lost - before.lost,
        }
    }
}

/// One message at one node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hearing {
    /// Virtual time since the start.
    pub at: Duration,
    /// Which of the node's lives heard it, from 0.
    pub life: u32,
    /// The message: text as it is, any other value as the wire has it.
    pub message: Arc<str>,
}

/// How far one message got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reach {
    /// Nodes that heard it.
    pub nodes: u32,
    /// How many had heard it at what time; one entry for each time at which somebody did.
    pub curve: Vec<(Duration, u32)>,
    /// What had been sent when the last node heard it; none while one has not.
    pub complete: Option<Counts>,
}

/// Written by the nodes' services and by the network; read by the story. One for each simulation.
pub(super) struct Ledger {
    /// A message has come to its last node.
    pub completed: Notify,
    started: Instant,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    counts: Counts,
    names: BTreeMap<Arc<str>, usize>,
    messages: Vec<(Arc<str>, Reach)>,
    nodes: Vec<Vec<Entry>>,
}

struct Entry {
    at: Duration,
    life: u32,
    message: usize,
}

impl Ledger {
    pub(super) fn new(nodes: usize) -> Ledger {
        let nodes = std::iter::repeat_with(Vec::new).take(nodes).collect();
        Ledger {
            completed: Notify::new(),
            started: Instant::now(),
            written: Mutex::new(Written { nodes, ..Written::default() }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The service `record` of nodes in this of their lives.
    pub(super) fn service(self: &Arc<Ledger>, life: u32) -> AnyService {
        let ledger = self.clone();
        let record = Service::new("record", |scope| index(scope.node().addr()).unwrap_or(usize::MAX));
        record.method("hear", move |node: &mut usize, heard: Vec<Value>| ledger.hear(*node, life, &heard)).into()
    }

    fn hear(&self, node: usize, life: u32, heard: &[Value]) {
        let at = self.started.elapsed();
        let mut written = self.lock();
        let written = &mut *written;
        let message = match heard.first() {
            Some(Value::String(text)) => written.id(text),
            Some(other) => written.id(&wire::encode(other)),
            None => written.id(""),
        };
        let everyone = written.nodes.len();
        let (Some(entries), Some((_, reach))) = (written.nodes.get_mut(node), written.messages.get_mut(message)) else {
            return;
        };
        if !entries.iter().any(|entry| entry.message == message) {
            reach.nodes += 1;
            match reach.curve.last_mut() {
                Some((time, count)) if *time == at => *count = reach.nodes,
                _ => reach.curve.push((at, reach.nodes)),
            }
            if reach.nodes as usize == everyone {
                reach.complete = Some(written.counts);
                self.completed.notify_waiters();
            }
        }
        entries.push(Entry { at, life, message });
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.lock().counts);
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    pub(super) fn reach(&self, message: &str) -> Reach {
        let written = self.lock();
        let found = written.names.get(message).and_then(|&id| written.messages.get(id));
        found.map(|(_, reach)| reach.clone()).unwrap_or_default()
    }

    /// Whether everyone has heard it; cheaper than asking how far it got.
    pub(super) fn is_complete(&self, message: &str) -> bool {
        let written = self.lock();
        let found = written.names.get(message).and_then(|&id| written.messages.get(id));
        found.is_some_and(|(_, reach)| reach.complete.is_some())
    }

    pub(super) fn heard(&self, node: usize) -> Vec<Hearing> {
        let written = self.lock();
        let hearing = |entry: &Entry| {
            let (message, _) = written.messages.get(entry.message)?;
            Some(Hearing { at: entry.at, life: entry.life, message: message.clone() })
        };
        written.nodes.get(node).into_iter().flatten().filter_map(hearing).collect()
    }
}

impl Written {
    fn id(&mut self, text: &str) -> usize {
        if let Some(&id) = self.names.get(text) {
            return id;
        }
        let (id, text) = (self.messages.len(), Arc::<str>::from(text));
        self.names.insert(text.clone(), id);
        self.messages.push((text, Reach::default()));
        id
    }
}
