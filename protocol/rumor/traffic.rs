//! The rumors that wait at a node, and the requests under way from it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::Output;
use super::message::{Id, Size};
use super::wants::Wants;

/// The rumors that wait and the requests under way.
#[derive(Clone, Debug)]
pub(super) struct Traffic<P> {
    pub(super) wants: Wants<P>,
    pub(super) queue: VecDeque<QueuedRumor<P>>,
    /// The calm rumors of others, which wait to be spread together.
    pub(super) calm: VecDeque<QueuedRumor<P>>,
    /// The memory that the messages in both queues take.
    pub(super) queue_bytes: usize,
    /// Whether the timer for the calm rumors is running.
    pub(super) calm_timer: bool,
    /// The requests that last sent calm rumors, while none of them has been answered, and the time at which they were
    /// sent.
    pub(super) calm_turn: Option<(RangeInclusive<u64>, Duration)>,
    /// The requests under way. There are at most about [`GossipConfig::requests`](super::GossipConfig::requests), so
    /// that a search through them is short.
    pub(super) sent: Vec<(u64, Sent<P>)>,
    /// The number of pushes without an answer for each own rumor that has not settled, by life and sequence. It is 0
    /// while the rumor waits in the queue.
    pub(super) own: BTreeMap<(u64, u64), usize>,
}

/// Which of the two queues a rumor waits in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Queue {
    /// The queue of the rumors that are spread one by one, this node's own calm ones among them.
    Main,
    /// The queue of other nodes' calm rumors, which are spread together.
    Calm,
}

/// A rumor that waits to be spread.
#[derive(Clone, Debug)]
pub(super) struct QueuedRumor<P> {
    pub(super) id: Id<P>,
    pub(super) size: Size,
    /// The node from which the rumor came, which does not lack it.
    pub(super) from: Option<P>,
}

#[derive(Clone, Debug)]
pub(super) struct Sent<P> {
    pub(super) to: P,
    pub(super) what: Sending<P>,
}

#[derive(Clone, Debug)]
pub(super) enum Sending<P> {
    /// A push. `first` means that it sends an own rumor to one of its first peers, on which its settling depends. The
    /// id is boxed, because offers are far more frequent.
    Push {
        id: Box<Id<P>>,
        first: bool,
    },
    Offer {
        ids: Arc<[Id<P>]>,
        replacements: u8,
    },
    Pull(Arc<[Id<P>]>),
}

impl<P> Default for Traffic<P> {
    fn default() -> Self {
        Traffic {
            wants: Wants::default(),
            queue: VecDeque::new(),
            calm: VecDeque::new(),
            queue_bytes: 0,
            calm_timer: false,
            calm_turn: None,
            sent: Vec::new(),
            own: BTreeMap::new(),
        }
    }
}

impl<P: Copy + Ord> Traffic<P> {
    pub(super) fn is_empty(&self) -> bool {
        self.wants.is_empty() && self.queued() == 0 && self.sent.is_empty() && self.own.is_empty()
    }

    /// Returns the number of rumors that wait to be spread.
    pub(super) fn queued(&self) -> usize {
        self.queue.len() + self.calm.len()
    }

    pub(super) fn next_calm(&mut self) -> Option<QueuedRumor<P>> {
        let waiting = self.calm.pop_front()?;
        self.queue_bytes -= waiting.size.memory;
        Some(waiting)
    }

    pub(super) fn pulls(&self) -> usize {
        self.sent.iter().filter(|(_, sent)| matches!(sent.what, Sending::Pull(_))).count()
    }

    pub(super) fn next_waiting(&mut self) -> Option<QueuedRumor<P>> {
        let waiting = self.queue.pop_front()?;
        self.queue_bytes -= waiting.size.memory;
        Some(waiting)
    }

    /// Notes that a push of an own rumor has ended.
    pub(super) fn settle<M>(&mut self, id: &Id<P>, out: &mut Vec<Output<P, M>>) {
        if let Id::Numbered { incarnation, sequence, .. } = id
            && let Some(pushes) = self.own.get_mut(&(*incarnation, *sequence))
        {
            *pushes = pushes.saturating_sub(1);
            if *pushes == 0 {
                self.own.remove(&(*incarnation, *sequence));
                out.push(Output::Settled { id: id.clone() });
            }
        }
    }
}
