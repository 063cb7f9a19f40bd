//! The timers that shipped code has set.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use tokio::time::Instant;

use super::{realm::RealmName, task::Task};

/// A timer that has not fired, or that repeats.
pub(super) struct Timer {
    pub due: Instant,
    /// The interval of a timer that repeats.
    pub period: Option<Duration>,
    pub task: Rc<Task>,
    /// The realm whose code set it. Code of one realm can call a function of another.
    pub realm: RealmName,
}

/// The timers that shipped code has set, by number.
#[derive(Default)]
pub(super) struct Timers {
    timers: BTreeMap<u64, Timer>,
    /// The same timers in the order in which they are due.
    schedule: BTreeSet<(Instant, u64)>,
}

impl Timers {
    pub(super) fn len(&self) -> usize {
        self.timers.len()
    }

    /// Adds a timer under a number that no other has.
    pub(super) fn insert(&mut self, number: u64, timer: Timer) {
        self.schedule.insert((timer.due, number));
        self.timers.insert(number, timer);
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Timer> {
        let timer = self.timers.remove(&number)?;
        self.schedule.remove(&(timer.due, number));
        Some(timer)
    }

    /// Removes all timers of a task, and returns their numbers and realms.
    pub(super) fn remove_all_of(&mut self, task: &Rc<Task>) -> Vec<(RealmName, u64)> {
        let of_task = self.timers.iter().filter(|(_, timer)| Rc::ptr_eq(&timer.task, task));
        let timers: Vec<(RealmName, u64)> = of_task.map(|(number, timer)| (timer.realm, *number)).collect();
        for (_, number) in &timers {
            self.remove(*number);
        }
        timers
    }

    /// Removes all timers of a service's code, and returns them with their numbers.
    pub(super) fn remove_all_of_service(&mut self, service: u64) -> Vec<(u64, Timer)> {
        let of_service = self.timers.iter().filter(|(_, timer)| timer.task.account.service == service);
        let numbers: Vec<u64> = of_service.map(|(number, _)| *number).collect();
        numbers.into_iter().filter_map(|number| self.remove(number).map(|timer| (number, timer))).collect()
    }

    /// Returns when the next timer is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.schedule.first().map(|(due, _)| *due)
    }

    /// Returns the first `limit` timers that are due, in order.
    pub(super) fn due(&self, now: Instant, limit: usize) -> Vec<u64> {
        self.schedule.iter().take_while(|(due, _)| *due <= now).take(limit).map(|(_, number)| *number).collect()
    }
}
