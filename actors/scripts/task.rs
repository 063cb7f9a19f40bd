//! An invocation while it runs.

use std::{cell::Cell, rc::Rc};

use chinwag_protocol::call::DEFAULT_DEADLINE;
use tokio::time::Instant;

use crate::{clock::Clock, request::Origin};

/// An invocation, together with every timer and callback that results from it. They share its limits.
#[derive(Debug)]
pub(super) struct Task {
    /// The id of the invocation.
    pub id: u64,
    origin: Origin,
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
    pub(super) fn new(id: u64, origin: Origin) -> Rc<Task> {
        Rc::new(Task {
            id,
            origin,
            unanswered: Cell::new(true),
            answered_by_code: Cell::new(false),
            ended: Cell::new(false),
            used: Cell::new(0),
            started: Instant::now(),
        })
    }

    /// Returns whether the caller still waits for an answer.
    pub(super) fn has_caller(&self) -> bool {
        self.unanswered.get() && !self.origin.time_left().is_zero()
    }

    /// Returns the origin of a call that the code makes now. This is the origin of the invocation, so that the code can
    /// make no call after its deadline. Code that has answered and continues gets a new deadline for each call, but a
    /// node still counts these calls as nested: code that never stops takes no capacity from callers outside.
    pub(super) fn origin(&self, clock: Clock) -> Origin {
        if self.answered_by_code.get() { Origin::starting(DEFAULT_DEADLINE, clock) } else { self.origin.clone() }
    }
}
