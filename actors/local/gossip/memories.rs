//! What a node remembers of groups that it has deleted, so that one that is put again performs no message twice and
//! reuses no sequence number.
//!
//! It is remembered until peers hold nothing of it any more, in bounded space. If there is more than fits, the groups that were
//! deleted first are forgotten; from then on a group of which nothing is remembered refuses rumors that were born before the
//! last of these was deleted, since it may be one of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chinwag_protocol::{
    identity::{Gid, Nid},
    peer::Shared,
    rumor::{Gossip, Memory},
};

use crate::load::Fill;

/// Most memory that deleted groups take, in bytes. A guess: 10,000 groups in which one node spoke.
const MAX_BYTES: usize = 4 << 20;

/// What an entry takes beside its [`Memory`], in bytes: its places in the map and the set.
const ENTRY_BYTES: usize = 240;

/// The deleted groups of one node.
#[derive(Default)]
pub(crate) struct Memories {
    by_group: BTreeMap<Gid, Remembered>,
    by_age: BTreeSet<(Duration, Gid)>,
    bytes: usize,
    /// The highest sequence that a machine which has ended gave to a rumor.
    sequence: u64,
    /// When the last group of those that were forgotten too early was deleted.
    forgotten: Option<Duration>,
}

struct Remembered {
    deleted: Duration,
    until: Duration,
    bytes: usize,
    memory: Memory<Nid>,
}

impl Memories {
    /// Remembers what the machine of a deleted group has seen.
    pub(crate) fn keep(&mut self, gid: Gid, machine: Gossip<Nid, Shared>, now: Duration) {
        self.sequence = self.sequence.max(machine.last_sequence());
        let until = now + machine.memory_lasts();
        let memory = machine.into_memory();
        if memory.is_empty() {
            return;
        }
        let bytes = memory.bytes() + gid.as_str().len() + ENTRY_BYTES;
        self.remove(&gid);
        // one is kept whatever its size, which its machine bounds
        while !self.by_group.is_empty() && self.bytes + bytes > MAX_BYTES {
            let Some((deleted, first)) = self.by_age.first().cloned() else { break };
            self.forgotten = self.forgotten.max(Some(deleted));
            self.remove(&first);
        }
        self.bytes += bytes;
        self.by_age.insert((now, gid.clone()));
        self.by_group.insert(gid, Remembered { deleted: now, until, bytes, memory });
    }

    /// The machine of a group that is put, with what is remembered of an earlier group of that name.
    pub(crate) fn recall(&mut self, gid: &Gid, machine: Gossip<Nid, Shared>) -> Gossip<Nid, Shared> {
        let machine = machine.numbering_above(self.sequence);
        match (self.remove(gid), self.forgotten) {
            (Some(memory), _) => machine.recalling(memory),
            (None, Some(forgotten)) => machine.refusing_before(forgotten),
            (None, None) => machine,
        }
    }

    /// Forgets what peers have forgotten too.
    pub(crate) fn expire(&mut self, now: Duration) {
        let expired = self.by_group.iter().filter(|(_, kept)| kept.until <= now);
        let expired: Vec<Gid> = expired.map(|(gid, _)| gid.clone()).collect();
        for gid in expired {
            self.remove(&gid);
        }
    }

    /// How full it is, in bytes.
    pub(crate) fn load(&self) -> Fill {
        let largest = self.by_group.values().map(|kept| kept.bytes).max().unwrap_or(0);
        Fill::new(self.bytes, MAX_BYTES.max(largest))
    }

    fn remove(&mut self, gid: &Gid) -> Option<Memory<Nid>> {
        let removed = self.by_group.remove(gid)?;
        self.bytes -= removed.bytes;
        self.by_age.remove(&(removed.deleted, gid.clone()));
        Some(removed.memory)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chinwag_protocol::{
        call::Remote,
        identity::NodeAddr,
        peer::Message,
        rumor::{Answer, Context, GossipConfig, Id, Request, Rumor, Urgency},
        value::Value,
    };
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn nid(port: u16) -> Nid {
        NodeAddr::new("127.0.0.1", port).nid()
    }

    fn gid(number: usize) -> Gid {
        Gid::new(format!("g{number}")).unwrap()
    }

    fn fresh() -> Gossip<Nid, Shared> {
        Gossip::new(nid(1), 1, Arc::new(GossipConfig::default()))
    }

    fn message() -> Shared {
        Arc::new(Message { arguments: Value::from(Vec::<Value>::new()), remote: Remote::new("s", "m"), mid: None })
    }

    /// What a machine says of a rumor of node 2 that was born at `born`.
    fn hear(machine: &mut Gossip<Nid, Shared>, sequence: u64, born: Duration, now: Duration) -> Answer<Nid, Shared> {
        let members = [nid(1), nid(2)];
        let mut chance = ChaCha8Rng::seed_from_u64(1);
        let mut context = Context { now, view: &members[..], fanout: 1, chance: &mut chance };
        let id = Id::Numbered { origin: nid(2), incarnation: 1, sequence };
        let rumor = Rumor {
            id,
            hop: 1,
            age: now - born,
            urgency: Urgency::Normal,
            replay: false,
            former: None,
            bytes: 10,
            message: message(),
        };
        machine.respond(&mut context, Some(nid(2)), Request::Push(rumor), &mut Vec::new())
    }

    fn speak(machine: &mut Gossip<Nid, Shared>) -> Id<Nid> {
        let members = [nid(1), nid(2)];
        let mut chance = ChaCha8Rng::seed_from_u64(1);
        let mut context = Context { now: SECOND, view: &members[..], fanout: 1, chance: &mut chance };
        machine.broadcast(&mut context, message(), 10, &mut Vec::new()).unwrap()
    }

    #[test]
    fn a_group_that_is_put_again_numbers_on_and_performs_nothing_twice() {
        let mut memories = Memories::default();
        let mut first = memories.recall(&gid(1), fresh());
        assert!(matches!(speak(&mut first), Id::Numbered { sequence: 1, .. }));
        assert!(matches!(speak(&mut first), Id::Numbered { sequence: 2, .. }));
        assert_eq!(hear(&mut first, 7, SECOND, 2 * SECOND), Answer::Fresh);
        memories.keep(gid(1), first, 3 * SECOND);
        let mut again = memories.recall(&gid(1), fresh());
        assert!(matches!(speak(&mut again), Id::Numbered { sequence: 3, .. }));
        assert_eq!(hear(&mut again, 7, SECOND, 4 * SECOND), Answer::Had);
        assert_eq!(hear(&mut again, 8, SECOND, 4 * SECOND), Answer::Fresh);
        assert_eq!(memories.bytes, 0);
    }

    #[test]
    fn what_is_remembered_is_bounded_in_bytes_and_in_time() {
        let mut memories = Memories::default();
        let count = 12_000;
        for number in 0..count {
            let mut machine = memories.recall(&gid(number), fresh());
            let now = Duration::from_millis(number as u64);
            assert_eq!(hear(&mut machine, 1, now, now), Answer::Fresh, "{number}");
            memories.keep(gid(number), machine, now);
            assert!(memories.bytes <= MAX_BYTES, "{} bytes after {number} groups", memories.bytes);
        }
        let now = Duration::from_millis(count as u64);
        assert!(memories.by_group.len() < count && memories.by_group.len() > 9_000, "{}", memories.by_group.len());
        // the first is forgotten, so nothing that it may have performed is taken
        let mut first = memories.recall(&gid(0), fresh());
        assert_eq!(hear(&mut first, 1, Duration::ZERO, now), Answer::Had);
        assert_eq!(hear(&mut first, 2, now, now), Answer::Fresh);
        memories.expire(now + Duration::from_secs(3_600));
        assert_eq!((memories.by_group.len(), memories.by_age.len(), memories.bytes), (0, 0, 0));
    }
}
