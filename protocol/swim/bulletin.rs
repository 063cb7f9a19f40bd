//! Combining the news that a node has within a short time into one message.
//!
//! ```text
//! at rest             the first piece waits a short time for others, then all are sent
//! after a message     pieces are collected until `interval` after that message, then sent
//! peers are slow      pieces are collected for twice the time that the last message took to reach its first peers
//! others were faster  pieces that others have sent meanwhile are dropped
//! full or urgent      all pieces are sent at once
//! ```
//!
//! A rumor costs every node several requests, whatever its content. If a hundred nodes join at once through one seed,
//! the seed starts a handful of rumors instead of a hundred.

use std::time::Duration;

use crate::pause;

/// The part of the interval that the first piece of news waits: one twentieth.
///
/// News that belongs together (a newcomer, and the groups that it is added to) comes within one or two turns of a busy
/// node. A guess.
const LINGER: u32 = 20;

/// The most pieces of news in one message. A guess: each has about 400 bytes, so that a message has about
/// [`MOST_BYTES`].
pub const MOST_NEWS: usize = 128;

/// The most bytes of news in one message, unless a single piece is larger. A guess, well below the limit of any node.
pub const MOST_BYTES: usize = 64 << 10;

/// News that wait to be sent, and the time at which they are.
#[derive(Clone, Debug)]
pub struct Bulletin<T> {
    interval: Duration,
    waiting: Vec<(T, usize)>,
    bytes: usize,
    /// The time at which the waiting news are sent, or at rest, the time from which the next piece may be.
    due: Duration,
    /// The time at which the last message was taken, until it has reached its first peers.
    began: Option<Duration>,
}

impl<T> Bulletin<T> {
    /// Creates an empty bulletin. With an `interval` of zero, no news waits.
    pub fn new(interval: Duration) -> Self {
        Self { interval, waiting: Vec::new(), bytes: 0, due: Duration::ZERO, began: None }
    }

    /// Adds a piece of news with this many bytes. Call [`take`](Self::take) afterwards, so that at most one message
    /// waits.
    pub fn add(&mut self, now: Duration, piece: T, bytes: usize) {
        if self.waiting.is_empty() {
            self.due = self.due.max(now + self.interval / LINGER);
        }
        self.bytes += bytes;
        self.waiting.push((piece, bytes));
    }

    /// Drops the pieces that need not be sent any more.
    pub fn drop_if(&mut self, mut is_said: impl FnMut(&T) -> bool) {
        let bytes = &mut self.bytes;
        self.waiting.retain(|(piece, size)| {
            let said = is_said(piece);
            *bytes -= if said { *size } else { 0 };
            !said
        });
    }

    /// Notes that the last message has reached its first peers. The longer that took, the busier they are, and the
    /// longer the next message waits.
    pub fn said(&mut self, now: Duration) {
        if let Some(began) = self.began.take() {
            self.due = self.due.min(pause::due(began, now, self.interval));
        }
    }

    /// Returns the time at which there will be a message to take, if nothing is added.
    pub fn due(&self) -> Option<Duration> {
        (!self.waiting.is_empty()).then_some(self.due)
    }

    /// Takes the news of one message that is due, in the order in which they were added. If `urgent` is set, all news are due.
    /// Call this again until it returns nothing.
    pub fn take(&mut self, now: Duration, urgent: bool) -> Option<Vec<T>> {
        let full = self.waiting.len() >= MOST_NEWS || self.bytes >= MOST_BYTES;
        if self.waiting.is_empty() || !(full || urgent || now >= self.due) {
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
    fn the_first_news_is_sent_soon_and_later_news_together() {
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
    fn news_after_a_slow_message_waits_longer_but_not_forever() {
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
    fn news_that_others_have_sent_is_dropped() {
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
    fn all_news_is_sent_once_in_messages_within_the_bounds() {
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
