//! Applies the events of the state machine to this node's groups, and notifies the subscribers.

use std::cell::RefMut;

use chinwag_protocol::{
    group::Groups,
    identity::Nid,
    member_list::{Removal, Removed},
    swim::{Incarnation, MemberEvent},
    value::Value,
};

use super::{actor::Membership, state::MembershipState};
use crate::events::Event;

impl Membership {
    pub(super) fn event(&self, membership: &mut MembershipState, event: MemberEvent<Nid>) {
        let mut groups = self.state.groups.borrow_mut();
        let named = |nid, incarnation| membership.peer(nid, incarnation);
        match event {
            MemberEvent::Joined { peer, incarnation } => {
                let Some(named) = named(peer, incarnation) else { return };
                self.admit(membership, groups, &peer, Event::Joined(named));
            }
            MemberEvent::Rejoined { peer, incarnation } => {
                let Some(named) = named(peer, incarnation) else { return };
                self.admit(membership, groups, &peer, Event::Rejoined(named));
            }
            MemberEvent::Unreachable { peer } => {
                let Some(named) = named(peer, Incarnation::default()) else { return };
                log::warn!(
                    target: "chinwag::membership",
                    "{} was put in a group, does not answer, and was never heard from; it stays in the group",
                    named.node
                );
                membership.notify(Event::Unreachable(named));
            }
            MemberEvent::AddressTaken { incarnation } => {
                drop(groups);
                log::error!(
                    target: "chinwag::membership",
                    "peers know a later start ({}) of a node at {}, the address of this node; if another node runs there, \
                     give each node its own --advertise",
                    incarnation.life,
                    self.state.me
                );
                membership.notify(Event::AddressTaken { life: incarnation.life });
            }
            MemberEvent::Merged { from, into } => {
                log::info!(target: "chinwag::membership", "this node's cluster was merged with another, as requested");
                membership.notify(Event::Merged { from, into });
            }
            MemberEvent::Suspected { peer, incarnation, by } => {
                if let Some(peer) = named(peer, incarnation) {
                    let by = self.find(membership, &by).map_or(by, |known| known.node.nid());
                    membership.notify(Event::Suspected { peer, by });
                }
            }
            MemberEvent::Refuted { peer, incarnation } => {
                if let Some(peer) = named(peer, incarnation) {
                    membership.notify(Event::Refuted(peer));
                }
            }
            MemberEvent::Failed { peer, incarnation, by } => {
                if let Some(peer) = named(peer, incarnation) {
                    let by = self.find(membership, &by).map_or(by, |known| known.node.nid());
                    membership.notify(Event::Failed { peer, by });
                }
                let own_verdict = by == self.state.nid;
                let left = membership.dismiss(&peer, &mut groups, Removal::Verdict { told: own_verdict });
                drop(groups);
                if own_verdict {
                    self.update_passive_members(membership, left, |sid| ("rem", Value::from(sid.as_str())));
                }
            }
            MemberEvent::Left { peer, incarnation } => {
                if let Some(peer) = named(peer, incarnation) {
                    membership.notify(Event::Left(peer));
                }
                membership.dismiss(&peer, &mut groups, Removal::Left);
            }
        }
    }

    /// Notifies the subscribers of a peer that has joined or returned, and adds the peer to this node's groups.
    fn admit(&self, membership: &mut MembershipState, mut groups: RefMut<'_, Groups>, peer: &Nid, event: Event) {
        membership.notify(event);
        let returned = membership.admit(peer, &mut groups);
        drop(groups);
        self.announce_return(membership, returned);
    }

    /// Adds a returned peer again on the passive members, if this node had them remove it.
    fn announce_return(&self, membership: &MembershipState, returned: Option<Removed>) {
        if let Some(returned) = returned.filter(|returned| returned.told) {
            let node = returned.node.to_value();
            let groups = returned.groups.into_iter().map(|(gid, sid, _)| (gid, sid)).collect();
            self.update_passive_members(membership, groups, |_| ("add", node.clone()));
        }
    }
}
