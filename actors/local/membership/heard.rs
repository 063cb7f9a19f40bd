//! The hashes of what this node has heard by gossip, which probes carry: a node that missed everything finds out by the
//! next probe that it sends or answers, although comparisons become rare while nothing is new.

use chinwag_protocol::{
    identity::{Gid, Nid},
    peer::MAX_HEARD,
};

use super::actor::Membership;
use crate::messages::Differs;

/// Most groups that are looked at for one probe. The next probe goes on from there, so that the cost of a probe does not
/// depend on how many groups there are.
const MAX_LOOKED_AT: usize = 64;

/// A group, and the hash of what a node holds of its gossip.
pub(super) type Heard = (Gid, u64);

impl Membership {
    /// What a probe of a peer says of the groups that both are in: always of `all`, and of others in turn.
    pub(super) fn heard(&self, peer: &Nid) -> Vec<Heard> {
        let groups = self.state.groups.borrow();
        let both = |gid: &Gid| {
            let members = groups.entry(gid).map(|entry| &entry.members);
            members.is_ok_and(|members| members.contains(peer) && members.contains(&self.state.nid))
        };
        let mut listed: Vec<Gid> = vec![Gid::all()];
        let last = self.last_heard.borrow().clone();
        let mut looked_at = last.clone();
        for gid in groups.names_after(&last).take(MAX_LOOKED_AT).filter(|gid| !gid.is_all()) {
            looked_at.clone_from(gid);
            if both(gid) {
                listed.push(gid.clone());
                if listed.len() == MAX_HEARD {
                    break;
                }
            }
        }
        self.last_heard.replace(looked_at);
        let now = self.state.now();
        listed.into_iter().map(|gid| (gid.clone(), self.rooms.hash(&gid, now))).collect()
    }

    /// Looks at what a peer's probe says that it has heard.
    pub(super) fn compare_heard(&self, nid: Nid, heard: Vec<Heard>) {
        let now = self.state.now();
        let mut differing = Vec::new();
        for (gid, hash) in heard {
            if !self.state.groups.borrow().entry(&gid).is_ok_and(|entry| entry.members.contains(&nid)) {
                continue;
            }
            if self.rooms.hash(&gid, now) == hash {
                self.rooms.same(&gid);
            } else {
                differing.push(gid);
            }
        }
        if differing.is_empty() {
            return;
        }
        let doors = self.link.caller.doors().clone();
        actix::spawn(async move {
            for gid in differing {
                // a node that has ended asks for nothing any more
                let _ = doors.gossip.deliver(Differs { gid, peer: nid }).await;
            }
        });
    }
}
