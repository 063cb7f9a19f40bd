//! What happened, line by line: the same seed writes the same bytes.
//!
//! ```text
//! 12 3>7 local.gossip.recv lost          at 12 ms a call of node 3's on node 7 was lost
//! 13 4>9 local.gossip.recv arrived
//! 14 4<9 local.gossip.recv answered      node 9's answer came back to node 4
//! 20 - partition 0,1,2|3,4               what the story did
//! ```

use std::{cell::RefCell, fmt::Write as _, time::Duration};

use chinwag_protocol::call::ErrorKind;

/// What became of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A call, or an answer, never arrived.
    Lost,
    /// There is no way between the two.
    Cut,
    /// A call arrived.
    Arrived,
    /// A call arrived a second time.
    Again,
    /// Nobody listens where it went.
    Refused,
    /// The host that it went to is gone.
    Unheard,
    /// The node died with the call in its hands.
    Died,
    /// An answer arrived.
    Answered(Option<ErrorKind>),
    /// The caller waits no more.
    TimedOut,
}

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    There,
    Back,
}

/// The lines, where somebody wants them.
#[derive(Debug)]
pub(super) struct Trace(Option<RefCell<String>>);

impl Trace {
    pub(super) fn new(wanted: bool) -> Trace {
        Trace(wanted.then(RefCell::default))
    }

    pub(super) fn wanted(&self) -> bool {
        self.0.is_some()
    }

    /// One message; `call` and its parts are written out only where somebody reads them.
    pub(super) fn message(&self, at: Duration, ends: (usize, usize), way: Way, call: &str, outcome: &Outcome) {
        let Some(lines) = &self.0 else { return };
        let (from, to) = ends;
        let arrow = match way {
            Way::There => '>',
            Way::Back => '<',
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

    /// Something that the story did.
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
