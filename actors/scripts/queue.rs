//! The turns that wait for an engine, in the order in which they get it.
//!
//! The engine takes one turn at a time. The next one is that of the shipper whose code has lately used the least
//! processor time, so a shipper whose code keeps the engine busy waits behind all others. Turns of one shipper keep their
//! order. What a shipper has used counts half after each [`HALF_LIFE`].

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

/// After how long what a shipper has used counts half.
const HALF_LIFE: Duration = Duration::from_secs(1);

/// What a shipper has used is forgotten below this many nanoseconds.
const NEGLIGIBLE: f64 = 10_000.0;

/// The turns that wait, and what shippers have lately used.
#[derive(Debug)]
pub(super) struct TurnQueue<T> {
    waiting: BTreeMap<u64, VecDeque<(u64, T)>>,
    used: BTreeMap<u64, Used>,
    /// The number of the next turn, in order of arrival.
    next: u64,
}

#[derive(Debug)]
struct Used {
    nanoseconds: f64,
    at: Instant,
}

impl Used {
    fn at(&self, now: Instant) -> f64 {
        let half_lives = now.saturating_duration_since(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.nanoseconds * 0.5_f64.powf(half_lives)
    }
}

impl<T> Default for TurnQueue<T> {
    fn default() -> TurnQueue<T> {
        TurnQueue { waiting: BTreeMap::new(), used: BTreeMap::new(), next: 0 }
    }
}

impl<T> TurnQueue<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds a turn after all others of its shipper.
    pub(super) fn push(&mut self, shipper: u64, turn: T) {
        let number = self.next;
        self.next += 1;
        self.waiting.entry(shipper).or_default().push_back((number, turn));
    }

    /// Puts a turn back that the engine has not begun.
    pub(super) fn put_back(&mut self, shipper: u64, turn: T) {
        self.waiting.entry(shipper).or_default().push_front((0, turn));
    }

    /// Takes the next turn.
    pub(super) fn pop(&mut self, now: Instant) -> Option<T> {
        let used = |shipper: &u64| self.used.get(shipper).map_or(0.0, |used| used.at(now));
        let key = |(shipper, turns): (&u64, &VecDeque<(u64, T)>)| {
            (used(shipper), turns.front().map_or(u64::MAX, |(number, _)| *number), *shipper)
        };
        let least = |a: &(f64, u64, u64), b: &(f64, u64, u64)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        let (_, _, shipper) = self.waiting.iter().map(key).min_by(least)?;
        let turns = self.waiting.get_mut(&shipper)?;
        let turn = turns.pop_front();
        if turns.is_empty() {
            self.waiting.remove(&shipper);
        }
        turn.map(|(_, turn)| turn)
    }

    /// Returns whether another shipper than this one waits.
    pub(super) fn has_other(&self, shipper: u64) -> bool {
        self.waiting.keys().any(|other| *other != shipper)
    }

    /// Removes the turns for which `keep` does not hold, and returns them.
    pub(super) fn remove(&mut self, mut keep: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut removed = Vec::new();
        self.waiting.retain(|_, turns| {
            for (number, turn) in std::mem::take(turns) {
                if keep(&turn) { turns.push_back((number, turn)) } else { removed.push(turn) }
            }
            !turns.is_empty()
        });
        removed
    }

    /// Charges a shipper for what its code has used.
    pub(super) fn charge(&mut self, shipper: u64, nanoseconds: u64, now: Instant) {
        self.used.retain(|_, used| used.at(now) > NEGLIGIBLE);
        let used = self.used.entry(shipper).or_insert(Used { nanoseconds: 0.0, at: now });
        *used = Used { nanoseconds: used.at(now) + nanoseconds as f64, at: now };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shipper_that_used_less_goes_first_and_turns_of_one_keep_their_order() {
        let now = Instant::now();
        let mut queue = TurnQueue::default();
        for turn in 0..3 {
            queue.push(1, turn);
        }
        queue.charge(1, 50_000_000, now);
        queue.push(2, 10);
        queue.push(3, 11);
        let order: Vec<i32> = std::iter::from_fn(|| queue.pop(now)).collect();
        assert_eq!(order, [10, 11, 0, 1, 2]);
        assert!(queue.is_empty());
    }

    #[test]
    fn without_a_difference_turns_go_in_the_order_of_their_arrival() {
        let now = Instant::now();
        let mut queue = TurnQueue::default();
        for turn in 0..6 {
            queue.push(turn % 2, turn);
        }
        let order: Vec<u64> = std::iter::from_fn(|| queue.pop(now)).collect();
        assert_eq!(order, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn what_was_used_counts_half_after_each_half_life_and_is_then_forgotten() {
        let now = Instant::now();
        let mut queue = TurnQueue::<()>::default();
        queue.charge(1, 8_000_000, now);
        queue.charge(2, 3_000_000, now + 2 * HALF_LIFE);
        assert!((queue.used[&1].at(now + 2 * HALF_LIFE) - 2_000_000.0).abs() < 1.0);
        queue.charge(3, 1, now + 60 * HALF_LIFE);
        assert_eq!(queue.used.keys().collect::<Vec<_>>(), [&3]);
    }

    #[test]
    fn a_turn_that_is_put_back_is_the_next_of_its_shipper() {
        let now = Instant::now();
        let mut queue = TurnQueue::default();
        queue.push(1, 'a');
        queue.push(1, 'b');
        let first = queue.pop(now).unwrap();
        assert!(!queue.has_other(1) && queue.has_other(2));
        queue.put_back(1, first);
        assert_eq!(queue.remove(|turn| *turn == 'a'), ['b']);
        assert_eq!(queue.pop(now), Some('a'));
    }
}
