//! An invocation while it runs.

use std::{cell::Cell, rc::Rc};

use tokio::time::Instant;

use super::{account::Account, realm::RealmName};
use crate::clock::Clock;

/// An invocation, together with every timer and callback that results from it. They share its limits.
#[derive(Debug)]
pub(super) struct Task {
    /// The id of the invocation.
    pub id: u64,
    pub account: Account,
    /// Where its code runs.
    pub realm: RealmName,
    /// The caller stops waiting at this time.
    deadline: Instant,
    clock: Clock,
    /// Whether nobody has answered the caller yet.
    pub unanswered: Cell<bool>,
    /// Whether its own code answered the caller in time. The code may continue after that.
    pub answered_by_code: Cell<bool>,
    /// Whether it exceeded a limit, so that its code must not run again.
    pub ended: Cell<bool>,
    /// What it has used of the limit, in the unit of the [`Meter`](super::meter::Meter).
    pub used: Cell<u64>,
    pub started: Instant,
}

impl Task {
    pub(super) fn new(id: u64, account: Account, realm: RealmName, deadline: Instant, clock: Clock) -> Rc<Task> {
        Rc::new(Task {
            id,
            account,
            realm,
            deadline,
            clock,
            unanswered: Cell::new(true),
            answered_by_code: Cell::new(false),
            ended: Cell::new(false),
            used: Cell::new(0),
            started: Instant::now(),
        })
    }

    /// Returns whether the caller still waits for an answer.
    pub(super) fn has_caller(&self) -> bool {
        self.unanswered.get() && !self.clock.until(self.deadline).is_zero()
    }
}
