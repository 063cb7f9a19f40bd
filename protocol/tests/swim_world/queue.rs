//! The messages and timers under way, in the order of their times.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use chinwag_protocol::swim::{Outcome, Page, Statement, Sync, Timer, Token, Update};

pub(super) type Peer = u32;

/// What reaches a host.
#[derive(Clone, Debug)]
pub(super) enum Letter {
    Probe {
        asker: Peer,
        life: u64,
        token: Token,
        stated: Statement,
        merge: bool,
        welcome: bool,
        about: Option<Update<Peer>>,
    },
    Relay {
        asker: Peer,
        life: u64,
        token: Token,
        target: Peer,
        budget: Duration,
    },
    Relayed {
        via: Peer,
        asker: Peer,
        life: u64,
        token: Token,
        reply_by: Duration,
    },
    Tell {
        from: Peer,
        stated: Statement,
        update: Update<Peer>,
    },
    Sync {
        from: Peer,
        stated: Statement,
        merge: bool,
        sync: Sync<Peer>,
    },
    Page {
        from: Peer,
        stated: Statement,
        sync: Sync<Peer>,
        page: Page<Peer>,
    },
    Closed {
        peer: Peer,
    },
    Outcome {
        life: u64,
        token: Token,
        outcome: Outcome,
    },
    Timer {
        life: u64,
        timer: Timer<Peer>,
    },
    Rumor {
        rumor: u64,
    },
    Tick {
        life: u64,
    },
}

#[derive(Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<(Duration, u64, Peer, usize)>>,
    /// The letters, in slots, so that the heap moves only their numbers.
    letters: Vec<Option<Letter>>,
    free: Vec<usize>,
    sequence: u64,
}

impl Queue {
    pub(super) fn post(&mut self, at: Duration, to: Peer, letter: Letter) {
        self.sequence += 1;
        self.post_as(self.sequence, at, to, letter);
    }

    /// Posts a letter that keeps its place among letters of the same time.
    pub(super) fn post_as(&mut self, sequence: u64, at: Duration, to: Peer, letter: Letter) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.letters.push(None);
            self.letters.len() - 1
        });
        self.letters[place] = Some(letter);
        self.heap.push(Reverse((at, sequence, to, place)));
    }

    /// Removes the next letter that arrives by `end`. Returns its time, sequence and receiver, too.
    pub(super) fn pop_until(&mut self, end: Duration) -> Option<(Duration, u64, Peer, Letter)> {
        let Reverse((at, ..)) = self.heap.peek()?;
        if *at > end {
            return None;
        }
        let Reverse((at, sequence, to, place)) = self.heap.pop()?;
        self.free.push(place);
        Some((at, sequence, to, self.letters[place].take()?))
    }
}
