//! The connections that nodes keep open to each other, as far as their end has an effect.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

/// How long a connection is kept open after the last message on it: the idle timeout of an HTTP client.
const KEPT_OPEN: Duration = Duration::from_secs(10);

/// When each node last used a connection that it keeps open, and to which node. The latest is last.
#[derive(Default)]
pub(super) struct Connections(RefCell<BTreeMap<usize, VecDeque<(Instant, usize)>>>);

impl Connections {
    /// Records that `from` has used its open connection to `to`.
    pub(super) fn keep(&self, from: usize, to: usize) {
        let now = Instant::now();
        let mut kept = self.0.borrow_mut();
        let open = kept.entry(from).or_default();
        open.retain(|(at, peer)| *peer != to && now - *at <= KEPT_OPEN);
        open.push_back((now, to));
    }

    /// The nodes to which `from` has an open connection, in ascending order.
    pub(super) fn open_from(&self, from: usize) -> Vec<usize> {
        let now = Instant::now();
        let kept = self.0.borrow();
        let open = kept.get(&from).into_iter().flatten().filter(|(at, _)| now - *at <= KEPT_OPEN);
        let mut peers: Vec<usize> = open.map(|(_, peer)| *peer).collect();
        peers.sort_unstable();
        peers
    }

    /// Removes the connections of a node.
    pub(super) fn remove(&self, from: usize) {
        self.0.borrow_mut().remove(&from);
    }
}
