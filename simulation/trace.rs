//! The trace: a line for every event. The same seed writes the same bytes.
//!
//! ```text
//! 12 3>7 local.gossip.recv lost          at 12 ms, a call from node 3 to node 7 was lost
//! 13 4>9 local.gossip.recv arrived
//! 14 4<9 local.gossip.recv answered      the answer of node 9 arrived at node 4
//! 20 - partition 0,1,2|3,4               an action of the test
//! ```

use std::{cell::RefCell, fmt::Write as _, time::Duration};

use chinwag_protocol::call::ErrorKind;

/// The outcome of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A call or an answer was lost.
    Lost,
    /// The sender and the receiver are not connected.
    Cut,
    /// A call arrived.
    Arrived,
    /// A call arrived a second time.
    Again,
    /// The receiver's process has ended.
    Refused,
    /// The receiver's host is gone.
    Unheard,
    /// The receiver ended while it performed the call.
    Died,
    /// An answer arrived.
    Answered(Option<ErrorKind>),
    /// An answer arrived after the caller's deadline.
    TimedOut,
}

/// The direction of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Request,
    Answer,
}

/// The lines of the trace, or `None` if nobody asked for them.
#[derive(Debug)]
pub(super) struct Trace(Option<RefCell<String>>);

impl Trace {
    pub(super) fn new(wanted: bool) -> Trace {
        Trace(wanted.then(RefCell::default))
    }

    pub(super) fn wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Adds a message. It formats the arguments only if the trace is wanted.
    pub(super) fn message(
        &self,
        at: Duration,
        endpoints: (usize, usize),
        direction: Direction,
        call: &str,
        outcome: &Outcome,
    ) {
        let Some(lines) = &self.0 else { return };
        let (from, to) = endpoints;
        let arrow = match direction {
            Direction::Request => '>',
            Direction::Answer => '<',
        };
        let outcome = match outcome {
            Outcome::Lost => "lost",
            Outcome::Cut => "cut",
            Outcome::Arrived => "arrived",
            Outcome::Again => "arrived again",
            Outcome::Refused => "refused",
            Outcome::Unheard => "unheard",
            Outcome::Died => "died",
            Outcome::Answered(None) => "answered",
            Outcome::Answered(Some(error)) => error.name(),
            Outcome::TimedOut => "timed out",
        };
        // writing to a string cannot fail
        let _ = writeln!(lines.borrow_mut(), "{} {from}{arrow}{to} {call} {outcome}", at.as_millis());
    }

    /// Adds an action of the test.
    pub(super) fn event(&self, at: Duration, event: impl std::fmt::Display) {
        if let Some(lines) = &self.0 {
            // writing to a string cannot fail
            let _ = writeln!(lines.borrow_mut(), "{} - {event}", at.as_millis());
        }
    }

    pub(super) fn text(&self) -> String {
        self.0.as_ref().map(|lines| lines.borrow().clone()).unwrap_or_default()
    }
}
