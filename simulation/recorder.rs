//! The messages that each node has performed and when, and the number of messages that the network has carried.
//!
//! Every simulated node runs a service `record`, whose method `hear(message)` adds to this log. The method has no other
//! effect, so a message that is sent to `record.hear` shows which nodes it has reached.

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

/// Counts of messages on the network since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Calls from one node to another, whether or not they arrived.
    pub requests: u64,
    /// The comparisons among the requests. Nodes make them at every tick.
    pub comparisons: u64,
    /// The comparisons that found a difference, whether or not the answer arrived.
    pub differences: u64,
    /// Messages, calls or answers, that carried the watched payload.
    pub payloads: u64,
    /// Messages that were lost.
    pub lost: u64,
}

impl Counts {
    /// The requests without idle comparisons, which are those that found no difference or were lost.
    pub fn at_work(self) -> u64 {
        (self.requests - self.comparisons) + self.differences
    }

    /// The difference to earlier counts.
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

/// A message that a node has performed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// The virtual time since the start.
    pub at: Duration,
    /// The life of the node in which it performed the message, from 0.
    pub life: u32,
    /// The message. Text is kept as it is, and any other value in its wire form.
    pub message: Arc<str>,
}

/// The nodes that one message has reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reach {
    /// The number of nodes that have performed the message.
    pub nodes: u32,
    /// The number of nodes that had performed the message by each time at which it reached one.
    pub curve: Vec<(Duration, u32)>,
    /// The counts when the message reached the last node, or `None` if it has not reached all nodes.
    pub complete: Option<Counts>,
}

/// The log of one simulation. The services of the nodes and the network write to it, and the test reads it.
pub(super) struct Recorder {
    /// Notified when a message has reached its last node.
    pub completed: Notify,
    started: Instant,
    records: Mutex<Records>,
}

#[derive(Default)]
struct Records {
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

impl Recorder {
    pub(super) fn new(nodes: usize) -> Recorder {
        let nodes = std::iter::repeat_with(Vec::new).take(nodes).collect();
        Recorder {
            completed: Notify::new(),
            started: Instant::now(),
            records: Mutex::new(Records { nodes, ..Records::default() }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The service `record` of a node in this life.
    pub(super) fn service(self: &Arc<Recorder>, life: u32) -> AnyService {
        let recorder = self.clone();
        let record = Service::new("record", |scope| index(scope.node().addr()).unwrap_or(usize::MAX));
        record.method("hear", move |node: &mut usize, heard: Vec<Value>| recorder.hear(*node, life, &heard)).into()
    }

    fn hear(&self, node: usize, life: u32, heard: &[Value]) {
        let at = self.started.elapsed();
        let mut records = self.lock();
        let records = &mut *records;
        let message = match heard.first() {
            Some(Value::String(text)) => records.id(text),
            Some(other) => records.id(&wire::encode(other)),
            None => records.id(""),
        };
        let everyone = records.nodes.len();
        let (Some(entries), Some((_, reach))) = (records.nodes.get_mut(node), records.messages.get_mut(message)) else {
            return;
        };
        if !entries.iter().any(|entry| entry.message == message) {
            reach.nodes += 1;
            match reach.curve.last_mut() {
                Some((time, count)) if *time == at => *count = reach.nodes,
                _ => reach.curve.push((at, reach.nodes)),
            }
            if reach.nodes as usize == everyone {
                reach.complete = Some(records.counts);
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
        let records = self.lock();
        let found = records.names.get(message).and_then(|&id| records.messages.get(id));
        found.map(|(_, reach)| reach.clone()).unwrap_or_default()
    }

    /// Whether every node has performed the message. This is cheaper than `reach`.
    pub(super) fn is_complete(&self, message: &str) -> bool {
        let records = self.lock();
        let found = records.names.get(message).and_then(|&id| records.messages.get(id));
        found.is_some_and(|(_, reach)| reach.complete.is_some())
    }

    pub(super) fn heard(&self, node: usize) -> Vec<Delivery> {
        let records = self.lock();
        let delivery = |entry: &Entry| {
            let (message, _) = records.messages.get(entry.message)?;
            Some(Delivery { at: entry.at, life: entry.life, message: message.clone() })
        };
        records.nodes.get(node).into_iter().flatten().filter_map(delivery).collect()
    }
}

impl Records {
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
