//! News that go out together: what a node has to say within a short time becomes one message.
//!
//! ```text
//! quiet so far        the first piece waits `linger` for company, then goes
//! said something      what comes meanwhile is collected until `interval` after that, then goes
//! slow to reach       the same for as long as the last message took to reach its first peers, and as long again
//! others said it      what they said before this node could is dropped
//! full, or a hurry    all there is goes at once
//! ```
//!
//! A rumor costs every node several requests, whatever it says. When a hundred nodes join at once through one seed, the
//! seed so starts a handful of rumors instead of a hundred.

use std::time::Duration;

use crate::pause;

/// How long the first piece of news waits, as a share of the interval: one twentieth.
///
/// What belongs together is said within one turn of a busy node or two (a newcomer, and the groups that it is added
/// to). A guess.
const LINGER: u32 = 20;

/// Most pieces of news in one message. A guess: some 400 bytes each, so that a message of them is in the order of
/// [`MOST_BYTES`].
pub const MOST_NEWS: usize = 128;

/// Most bytes of news in one message, but for a single piece that is larger. A guess, well below what any node takes.
pub const MOST_BYTES: usize = 64 << 10;

/// What waits to be said, and when it is.
#[derive(Clone, Debug)]
pub struct Bulletin<T> {
    interval: Duration,
    waiting: Vec<(T, usize)>,
    bytes: usize,
    /// When what waits goes out; at rest, when the next piece may.
    due: Duration,
    /// When the last message was taken, until it has reached its first peers.
    began: Option<Duration>,
}

impl<T> Bulletin<T> {
    /// Nothing to say yet. An `interval` of zero keeps nothing waiting.
    pub fn new(interval: Duration) -> Self {
        Self { interval, waiting: Vec::new(), bytes: 0, due: Duration::ZERO, began: None }
    }

    /// Takes one more piece, of so many bytes. Follow it by [`take`](Self::take), so that no more than one message's
    /// worth waits.
    pub fn add(&mut self, now: Duration, piece: T, bytes: usize) {
        if self.waiting.is_empty() {
            self.due = self.due.max(now + self.interval / LINGER);
        }
        self.bytes += bytes;
        self.waiting.push((piece, bytes));
    }

    /// Drops the pieces that need not be said any more.
    pub fn drop_if(&mut self, mut is_said: impl FnMut(&T) -> bool) {
        let bytes = &mut self.bytes;
        self.waiting.retain(|(piece, size)| {
            let said = is_said(piece);
            *bytes -= if said { *size } else { 0 };
            !said
        });
    }

    /// The last message has reached its first peers. The longer that took, the busier they are, and the longer the next
    /// one waits.
    pub fn said(&mut self, now: Duration) {
        if let Some(began) = self.began.take() {
            self.due = self.due.min(pause::due(began, now, self.interval));
        }
    }

    /// When there will be something to take, if nothing is added.
    pub fn due(&self) -> Option<Duration> {
        (!self.waiting.is_empty()).then_some(self.due)
    }

    /// Takes a message's worth that is due, in the order in which it was added; in a hurry everything is. To be asked
    /// again until there is none.
    pub fn take(&mut self, now: Duration, hurry: bool) -> Option<Vec<T>> {
        let full = self.waiting.len() >= MOST_NEWS || self.bytes >= MOST_BYTES;
        if self.waiting.is_empty() || !(full || hurry || now >= self.due) {
            return None;
        }
        let (mut count, mut bytes) = (0, 0);
        for (_, piece) in self.waiting.iter().take(MOST_NEWS) {
            if count > 0 && bytes + piece > MOST_BYTES {
                break;
            }
            (count, bytes) = (count + 1, bytes + piece);
        }
        self.bytes -= bytes;
        self.began = Some(now);
        self.due = now + self.interval * pause::LONGEST;
        Some(self.waiting.drain(..count).map(|(piece, _)| piece).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(200);

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_first_goes_nearly_at_once_and_the_others_together() {
        let mut bulletin = Bulletin::new(INTERVAL);
        assert_eq!((bulletin.due(), bulletin.take(at(0), true)), (None, None));
        bulletin.add(at(1_000), "a", 1);
        bulletin.add(at(1_001), "b", 1);
        assert_eq!(bulletin.due(), Some(at(1_010)));
        assert_eq!(bulletin.take(at(1_009), false), None);
        assert_eq!(bulletin.take(at(1_010), false), Some(vec!["a", "b"]));
        bulletin.said(at(1_012));
        bulletin.add(at(1_011), "c", 1);
        bulletin.add(at(1_100), "d", 1);
        assert_eq!(bulletin.due(), Some(at(1_210)));
        assert_eq!(bulletin.take(at(1_210), false), Some(vec!["c", "d"]));
        assert_eq!((bulletin.due(), bulletin.take(at(9_000), false)), (None, None));
        bulletin.add(at(9_000), "e", 1);
        assert_eq!(bulletin.due(), Some(at(9_010)), "it was quiet for long");
    }

    #[test]
    fn what_comes_after_a_message_waits_for_as_long_as_that_took_and_not_without_end() {
        let mut bulletin = Bulletin::new(INTERVAL);
        for (said, due) in [(1_050, 1_200), (1_150, 1_300), (1_900, 2_800), (2_900, 3_000), (9_000, 3_000)] {
            bulletin.due = at(0);
            bulletin.add(at(990), "a", 1);
            assert_eq!(bulletin.take(at(1_000), false), Some(vec!["a"]));
            bulletin.add(at(1_001), "b", 1);
            assert_eq!(bulletin.due(), Some(at(3_000)));
            bulletin.said(at(said));
            assert_eq!(bulletin.due(), Some(at(due)), "said at {said}");
            bulletin.drop_if(|_| true);
        }
    }

    #[test]
    fn what_others_said_meanwhile_is_dropped() {
        let mut bulletin = Bulletin::new(INTERVAL);
        for (piece, bytes) in [("a", 1), ("b", 2), ("c", 4)] {
            bulletin.add(at(1_000), piece, bytes);
        }
        bulletin.drop_if(|piece| *piece == "b");
        assert_eq!(bulletin.bytes, 5);
        assert_eq!(bulletin.take(at(1_010), false), Some(vec!["a", "c"]));
        bulletin.add(at(1_020), "d", 1);
        bulletin.drop_if(|_| true);
        assert_eq!((bulletin.due(), bulletin.bytes, bulletin.take(at(2_000), true)), (None, 0, None));
    }

    #[test]
    fn nothing_is_lost_or_said_twice_and_no_message_is_too_large() {
        let mut bulletin = Bulletin::new(INTERVAL);
        let sizes = |piece: usize| if piece % 100 == 7 { 2 * MOST_BYTES } else { piece * 7 % 3_000 };
        let mut said = Vec::new();
        for piece in 0..1_000 {
            let now = at(piece as u64);
            bulletin.add(now, piece, sizes(piece));
            while let Some(message) = bulletin.take(now, false) {
                let bytes: usize = message.iter().map(|piece| sizes(*piece)).sum();
                assert!(message.len() <= MOST_NEWS && (bytes <= MOST_BYTES || message.len() == 1), "{bytes}");
                said.extend(message);
            }
            assert!(bulletin.waiting.len() < MOST_NEWS && bulletin.bytes < MOST_BYTES);
        }
        while let Some(message) = bulletin.take(at(1_000), true) {
            said.extend(message);
        }
        assert_eq!(said, (0..1_000).collect::<Vec<_>>());
        assert_eq!(bulletin.bytes, 0);
    }

    #[test]
    fn without_an_interval_nothing_waits() {
        let mut bulletin = Bulletin::new(Duration::ZERO);
        for piece in 0..3 {
            bulletin.add(at(5), piece, 1);
            assert_eq!(bulletin.take(at(5), false), Some(vec![piece]));
        }
    }
}
