//! What is waiting at one node, and what is under way from it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::Output;
use super::message::Id;
use super::wants::Wants;

/// What is waiting and what is under way.
#[derive(Clone, Debug)]
pub(super) struct Traffic<P> {
    pub(super) wants: Wants<P>,
    pub(super) queue: VecDeque<QueuedRumor<P>>,
    /// Calm rumors of others, which wait for their common turn.
    pub(super) calm: VecDeque<QueuedRumor<P>>,
    /// The bytes of both.
    pub(super) queue_bytes: usize,
    /// Whether the timer for their turn runs.
    pub(super) calm_timer: bool,
    /// The requests of their last turn, while none of them has been answered, and when it began.
    pub(super) calm_turn: Option<(RangeInclusive<u64>, Duration)>,
    /// Requests under way. At most [`GossipConfig::requests`], so a search through them is short.
    pub(super) sent: Vec<(u64, Sent<P>)>,
    /// Own rumors being sent, by life and sequence: pushes without an answer. 0 is one that waits in the queue.
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

/// A rumor to be spread.
#[derive(Clone, Debug)]
pub(super) struct QueuedRumor<P> {
    pub(super) id: Id<P>,
    pub(super) bytes: usize,
    /// Where it came from: nobody there lacks it.
    pub(super) from: Option<P>,
}

#[derive(Clone, Debug)]
pub(super) struct Sent<P> {
    pub(super) to: P,
    pub(super) what: Sending<P>,
}

#[derive(Clone, Debug)]
pub(super) enum Sending<P> {
    /// `first`: of an own rumor to its first peers, so that its settling depends on it.
    /// Boxed: offers are many more.
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

    /// How many rumors wait to be spread.
    pub(super) fn queued(&self) -> usize {
        self.queue.len() + self.calm.len()
    }

    pub(super) fn next_calm(&mut self) -> Option<QueuedRumor<P>> {
        let waiting = self.calm.pop_front()?;
        self.queue_bytes -= waiting.bytes;
        Some(waiting)
    }

    pub(super) fn pulls(&self) -> usize {
        self.sent.iter().filter(|(_, sent)| matches!(sent.what, Sending::Pull(_))).count()
    }

    pub(super) fn next_waiting(&mut self) -> Option<QueuedRumor<P>> {
        let waiting = self.queue.pop_front()?;
        self.queue_bytes -= waiting.bytes;
        Some(waiting)
    }

    /// Notes that there is one push less to wait for of this own rumor.
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
