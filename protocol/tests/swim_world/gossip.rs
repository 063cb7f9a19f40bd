//! The rumors under way, and which node holds which.

use std::collections::BTreeMap;
use std::time::Duration;

use chinwag_protocol::swim::Update;

use super::queue::Peer;

struct Rumor {
    update: Update<Peer>,
    /// The number of nodes that do not hold it.
    lacking: usize,
    born: Duration,
}

/// The numbers of the rumors that a node holds, as one bit each from the first rumor that any node lacks.
#[derive(Default)]
struct Held(Vec<u64>);

impl Held {
    /// Notes a rumor. Returns whether it is new.
    fn insert(&mut self, at: usize) -> bool {
        let (word, bit) = (at / 64, 1 << (at % 64));
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    /// Returns the rumors of `other` that are missing here.
    fn lacks<'a>(&'a self, other: &'a Held) -> impl Iterator<Item = usize> + 'a {
        let mine = self.0.iter().copied().chain(std::iter::repeat(0));
        other.0.iter().zip(mine).enumerate().flat_map(|(word, (theirs, mine))| {
            let mut lacking = theirs & !mine;
            std::iter::from_fn(move || {
                let bit = lacking.trailing_zeros() as usize;
                lacking &= lacking.wrapping_sub(1);
                (bit < 64).then_some(word * 64 + bit)
            })
        })
    }
}

/// Rumors are numbered from 1.
#[derive(Default)]
pub(super) struct Rumors {
    under_way: BTreeMap<u64, Rumor>,
    count: u64,
    held: Vec<Held>,
    /// The number of the first rumor for which there are bits, a multiple of 64.
    first_held: u64,
}

impl Rumors {
    /// Adds a node, which is not sent the rumors that are under way.
    pub(super) fn add_node(&mut self) {
        let mut held = Held::default();
        for number in self.under_way.keys() {
            held.insert((number - self.first_held) as usize);
        }
        self.held.push(held);
    }

    /// Starts a rumor, which no node holds. Returns its number.
    pub(super) fn start(&mut self, update: Update<Peer>, now: Duration) -> u64 {
        self.count += 1;
        self.under_way.insert(self.count, Rumor { update, lacking: self.held.len(), born: now });
        self.count
    }

    /// Notes that a node holds a rumor. Returns whether it is new to the node and still useful.
    pub(super) fn hold(&mut self, peer: Peer, number: u64) -> bool {
        let Some(rumor) = self.under_way.get_mut(&number) else {
            return false;
        };
        let new = self.held[peer as usize].insert((number - self.first_held) as usize);
        rumor.lacking -= new as usize;
        new
    }

    /// Notes that a node needs none of the rumors under way.
    pub(super) fn hold_all(&mut self, peer: Peer) {
        for number in self.under_way.keys().copied().collect::<Vec<_>>() {
            self.hold(peer, number);
        }
    }

    pub(super) fn update(&self, number: u64) -> Option<Update<Peer>> {
        self.under_way.get(&number).map(|rumor| rumor.update)
    }

    /// Returns the rumors under way that `other` holds and `me` lacks.
    pub(super) fn lacking(&self, me: Peer, other: Peer) -> Vec<u64> {
        let (mine, theirs) = (&self.held[me as usize], &self.held[other as usize]);
        let lacking = mine.lacks(theirs).map(|at| self.first_held + at as u64);
        lacking.filter(|number| self.under_way.contains_key(number)).collect()
    }

    /// Forgets rumors that all hold, and those that are a minute old.
    pub(super) fn expire(&mut self, now: Duration) {
        let keep = Duration::from_secs(60);
        self.under_way.retain(|_, rumor| rumor.born + keep > now && rumor.lacking > 0);
        let first = self.under_way.first_key_value().map_or(self.count, |(number, _)| *number);
        let words = ((first - self.first_held) / 64) as usize;
        for held in &mut self.held {
            held.0.drain(..words.min(held.0.len()));
        }
        self.first_held += words as u64 * 64;
    }
}
