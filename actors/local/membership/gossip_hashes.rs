//! The hashes of gossip that probes carry. A node that missed rumors learns it from the next probe that it sends or
//! answers, even when comparisons are rare because there is little news.

use chinwag_protocol::{
    identity::{Gid, Nid},
    peer::MAX_HEARD,
};

use super::actor::Membership;
use crate::messages::Differs;

/// The most groups that are checked for one probe. The next probe continues after them, so the cost of a probe does not
/// depend on the number of groups.
const MAX_CHECKED_GROUPS: usize = 64;

/// A group, and the hash of the rumors that a node holds in it.
pub(super) type GroupHash = (Gid, u64);

impl Membership {
    /// Returns the hashes for a probe of a peer: always that of `all`, and those of other groups with both nodes in turn.
    pub(super) fn gossip_hashes(&self, peer: &Nid) -> Vec<GroupHash> {
        let groups = self.state.groups.borrow();
        let both = |gid: &Gid| {
            let members = groups.entry(gid).map(|entry| &entry.members);
            members.is_ok_and(|members| members.contains(peer) && members.contains(&self.state.nid))
        };
        let mut listed: Vec<Gid> = vec![Gid::all()];
        let last = self.last_hashed_group.borrow().clone();
        let mut last_checked = last.clone();
        for gid in groups.names_after(&last).take(MAX_CHECKED_GROUPS).filter(|gid| !gid.is_all()) {
            last_checked.clone_from(gid);
            if both(gid) {
                listed.push(gid.clone());
                if listed.len() == MAX_HEARD {
                    break;
                }
            }
        }
        self.last_hashed_group.replace(last_checked);
        let now = self.state.now();
        listed.into_iter().map(|gid| (gid.clone(), self.gossip.hash(&gid, now))).collect()
    }

    /// Compares gossip with a peer in each group where the hash in its probe differs.
    pub(super) fn compare_gossip_hashes(&self, nid: Nid, hashes: Vec<GroupHash>) {
        let now = self.state.now();
        let mut differing = Vec::new();
        for (gid, hash) in hashes {
            if !self.state.groups.borrow().entry(&gid).is_ok_and(|entry| entry.members.contains(&nid)) {
                continue;
            }
            if self.gossip.hash(&gid, now) == hash {
                self.gossip.note_equal_hash(&gid);
            } else {
                differing.push(gid);
            }
        }
        if differing.is_empty() {
            return;
        }
        let doors = self.handle.caller.doors().clone();
        actix::spawn(async move {
            for gid in differing {
                // Delivery fails if the node has ended.
                let _ = doors.gossip.deliver(Differs { gid, peer: nid }).await;
            }
        });
    }
}
