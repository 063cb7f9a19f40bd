//! The schedule of a simulated network: the events that will happen, in the order of time.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
};

use chinwag_protocol::call::MAX_DEADLINE;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::pending_calls::Key;

/// An entry of the schedule.
#[derive(Clone, Copy)]
pub(super) struct Event {
    pub kind: EventKind,
    /// The node at which the event happens.
    pub node: u32,
    pub key: Key,
}

#[derive(Clone, Copy)]
pub(super) enum EventKind {
    /// The call arrives.
    Arrives,
    /// The answer arrives.
    Returns,
    /// The deadline of the caller passes.
    Expires,
    /// A connection that another node kept open to this one closes. The event belongs to no call.
    Closes { by: u32 },
}

/// The events that have not happened yet.
#[derive(Default)]
pub(super) struct Schedule {
    events: RefCell<BTreeMap<Instant, VecDeque<Event>>>,
    /// The events of the present moment that are not handled yet, sorted by node.
    present: RefCell<VecDeque<Event>>,
    /// When the task that works through the schedule will wake up, while it sleeps.
    sleeping_until: Cell<Option<Instant>>,
    /// Wakes that task before its time.
    rescheduled: Notify,
}

impl Schedule {
    pub(super) fn add(&self, at: Instant, kind: EventKind, node: usize, key: Key) {
        let node = u32::try_from(node).unwrap_or(u32::MAX);
        self.events.borrow_mut().entry(at).or_default().push_back(Event { kind, node, key });
        if self.sleeping_until.get().is_some_and(|until| at < until) {
            self.rescheduled.notify_one();
        }
    }

    /// Takes the next event that is due.
    pub(super) fn take_due(&self) -> Option<Event> {
        let mut present = self.present.borrow_mut();
        loop {
            if let Some(event) = present.pop_front() {
                return Some(event);
            }
            let mut events = self.events.borrow_mut();
            let first = events.first_entry()?;
            if *first.key() > Instant::now() {
                return None;
            }
            *present = first.remove();
            present.make_contiguous().sort_by_key(|event| event.node);
        }
    }

    /// Waits until an event may be due.
    pub(super) async fn wait(&self) {
        let next = self.events.borrow().first_key_value().map(|(at, _)| *at);
        let until = next.unwrap_or_else(|| Instant::now() + MAX_DEADLINE);
        self.sleeping_until.set(Some(until));
        tokio::select! {
            () = sleep_until(until) => {}
            () = self.rescheduled.notified() => {}
        }
        self.sleeping_until.set(None);
    }
}
