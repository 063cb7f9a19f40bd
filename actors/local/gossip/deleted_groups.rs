//! What a node remembers of deleted groups, so that a group that is put again performs no message twice and reuses no
//! sequence number.
//!
//! A deleted group is remembered until its peers hold no rumors of it any more. The memory is bounded: past the bound, the
//! groups that were deleted first are forgotten early. After that, a new group without a memory refuses rumors that started
//! before the last forgotten group was deleted, because it may have performed them already.

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

/// The most memory for deleted groups, in bytes. A guess: enough for 10,000 groups with rumors of one node.
const MAX_BYTES: usize = 4 << 20;

/// The size of an entry without its [`Memory`], in bytes: the nodes in the map and in the set.
const ENTRY_BYTES: usize = 240;

/// The deleted groups of one node.
#[derive(Default)]
pub(crate) struct DeletedGroups {
    by_group: BTreeMap<Gid, DeletedGroup>,
    by_age: BTreeSet<(Duration, Gid)>,
    bytes: usize,
    /// The highest sequence that a deleted group's state machine gave to a rumor.
    sequence: u64,
    /// The latest deletion time of a group that was forgotten early.
    forgotten: Option<Duration>,
}

struct DeletedGroup {
    deleted_at: Duration,
    remember_until: Duration,
    bytes: usize,
    memory: Memory<Nid>,
}

impl DeletedGroups {
    /// Remembers what the state machine of a deleted group has seen.
    pub(crate) fn remember(&mut self, gid: Gid, machine: Gossip<Nid, Shared>, now: Duration) {
        self.sequence = self.sequence.max(machine.last_sequence());
        let remember_until = now + machine.memory_lasts();
        let memory = machine.into_memory();
        if memory.is_empty() {
            return;
        }
        let bytes = memory.bytes() + gid.as_str().len() + ENTRY_BYTES;
        self.remove(&gid);
        // The newest group is kept whatever its size, which its state machine bounds.
        while !self.by_group.is_empty() && self.bytes + bytes > MAX_BYTES {
            let Some((deleted, first)) = self.by_age.first().cloned() else { break };
            self.forgotten = self.forgotten.max(Some(deleted));
            self.remove(&first);
        }
        self.bytes += bytes;
        self.by_age.insert((now, gid.clone()));
        self.by_group.insert(gid, DeletedGroup { deleted_at: now, remember_until, bytes, memory });
    }

    /// Returns the state machine of a new group, with the memory of the deleted group of the same name.
    pub(crate) fn restore(&mut self, gid: &Gid, machine: Gossip<Nid, Shared>) -> Gossip<Nid, Shared> {
        let machine = machine.numbering_above(self.sequence);
        match (self.remove(gid), self.forgotten) {
            (Some(memory), _) => machine.recalling(memory),
            (None, Some(forgotten)) => machine.refusing_before(forgotten),
            (None, None) => machine,
        }
    }

    /// Forgets groups whose peers hold no rumors of them any more.
    pub(crate) fn expire(&mut self, now: Duration) {
        let expired = self.by_group.iter().filter(|(_, group)| group.remember_until <= now);
        let expired: Vec<Gid> = expired.map(|(gid, _)| gid.clone()).collect();
        for gid in expired {
            self.remove(&gid);
        }
    }

    /// Returns how many bytes are in use.
    pub(crate) fn load(&self) -> Fill {
        let largest = self.by_group.values().map(|group| group.bytes).max().unwrap_or(0);
        Fill::new(self.bytes, MAX_BYTES.max(largest))
    }

    fn remove(&mut self, gid: &Gid) -> Option<Memory<Nid>> {
        let removed = self.by_group.remove(gid)?;
        self.bytes -= removed.bytes;
        self.by_age.remove(&(removed.deleted_at, gid.clone()));
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

    /// Returns a machine's answer to a rumor of node 2 that started at `born`.
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
            size: 10.into(),
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
    fn a_group_that_is_put_again_continues_its_sequence_and_performs_nothing_twice() {
        let mut deleted = DeletedGroups::default();
        let mut first = deleted.restore(&gid(1), fresh());
        assert!(matches!(speak(&mut first), Id::Numbered { sequence: 1, .. }));
        assert!(matches!(speak(&mut first), Id::Numbered { sequence: 2, .. }));
        assert_eq!(hear(&mut first, 7, SECOND, 2 * SECOND), Answer::Fresh);
        deleted.remember(gid(1), first, 3 * SECOND);
        let mut again = deleted.restore(&gid(1), fresh());
        assert!(matches!(speak(&mut again), Id::Numbered { sequence: 3, .. }));
        assert_eq!(hear(&mut again, 7, SECOND, 4 * SECOND), Answer::Had);
        assert_eq!(hear(&mut again, 8, SECOND, 4 * SECOND), Answer::Fresh);
        assert_eq!(deleted.bytes, 0);
    }

    #[test]
    fn the_memory_of_deleted_groups_is_bounded_in_bytes_and_age() {
        let mut deleted = DeletedGroups::default();
        let count = 12_000;
        for number in 0..count {
            let mut machine = deleted.restore(&gid(number), fresh());
            let now = Duration::from_millis(number as u64);
            assert_eq!(hear(&mut machine, 1, now, now), Answer::Fresh, "{number}");
            deleted.remember(gid(number), machine, now);
            assert!(deleted.bytes <= MAX_BYTES, "{} bytes after {number} groups", deleted.bytes);
        }
        let now = Duration::from_millis(count as u64);
        assert!(deleted.by_group.len() < count && deleted.by_group.len() > 9_000, "{}", deleted.by_group.len());
        // Group 0 is forgotten, so rumors that it may have performed are refused.
        let mut first = deleted.restore(&gid(0), fresh());
        assert_eq!(hear(&mut first, 1, Duration::ZERO, now), Answer::Had);
        assert_eq!(hear(&mut first, 2, now, now), Answer::Fresh);
        deleted.expire(now + Duration::from_secs(3_600));
        assert_eq!((deleted.by_group.len(), deleted.by_age.len(), deleted.bytes), (0, 0, 0));
    }
}
