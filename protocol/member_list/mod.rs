//! The member list of one node: where its members are, and which groups they belong to.
//!
//! [`Swim`] decides who is alive. This module decides what that means for the node's groups:
//!
//! | event | in the groups of this node |
//! |---|---|
//! | a peer joins | it comes into `all` |
//! | a verdict removes a peer | it is taken out of every group, which the list remembers |
//! | the peer returns | it comes back into those groups under its former SIDs |
//! | an operator removed it from one meanwhile, deleted that group, or put another set | it does not come back into that one |
//! | a peer leaves | it is taken out of every group, and does not come back into them |
//! | an operator changes `all` | the machine is told to ask new members, and to forget removed ones |
//!
//! The list keeps an address for exactly the members that the machine knows: a member without an address could not be
//! asked. What is absent: time and messages, which are the machine's.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    group::{Group, GroupConfig, Groups},
    identity::{Gid, Nid, NodeAddr, Sid},
    peer::Entry,
    swim::{Input, PAGE, Status, Swim},
};

/// How many addresses of peers that the machine has forgotten are kept before the list looks for them. A guess.
const SLACK: usize = 64;

/// The most removed peers that a node takes note of only because a member told it of them. A guess: as many as the machine
/// remembers.
const MAX_REMOVED: usize = 1_024;

/// What is known of a peer beside its status.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// The key by which the protocols know the peer.
    pub nid: Nid,
    /// The peer's address.
    pub node: NodeAddr,
    /// The life of the peer that `groups` belong to.
    pub life: u64,
    /// The groups that the peer was started in, or `None` if that was not said.
    pub groups: Option<Vec<Gid>>,
}

impl Known {
    /// A peer of which only the address is known.
    pub fn at(node: NodeAddr) -> Known {
        Known { nid: node.key(), node, life: 0, groups: None }
    }
}

impl From<Entry> for Known {
    fn from(Entry { update, node, groups }: Entry) -> Known {
        Known { nid: update.peer, node, life: update.incarnation.life, groups }
    }
}

/// A peer that a verdict has removed, and where it belongs.
#[derive(Clone, Debug)]
pub struct Removed {
    /// The peer's address.
    pub node: NodeAddr,
    /// The groups that the peer comes back into, its SID there, and each group as it was put at the time.
    pub groups: Vec<(Gid, Sid, Arc<GroupConfig>)>,
    /// Whether this node told the members that know nothing of membership.
    pub told: bool,
    /// Whether the verdict is older than what this node knows of the peer: a member told it of the group and said that the peer
    /// had been removed.
    pub heard: bool,
}

/// Why a peer is taken out of its groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// A verdict, after which the peer may return. Holds whether this node tells the members that know nothing of membership.
    Verdict {
        /// Whether this node tells them.
        told: bool,
    },
    /// The peer has left.
    Left,
}

/// A peer that has come into the groups.
#[derive(Debug, Default)]
pub struct Arrival {
    /// What a verdict had removed the peer from, if one had.
    pub returned: Option<Removed>,
    /// The groups that have other members than before.
    pub changed: Vec<Gid>,
}

/// The member list of one node.
#[derive(Debug, Default)]
pub struct MemberList {
    /// The addresses of the machine's members that are not in `all`, and of those that the message in hand names.
    addresses: BTreeMap<Nid, NodeAddr>,
    /// Peers whose address was noted, and which the machine may not have taken in.
    noted: Vec<Nid>,
    /// The groups that peers were started in, with the life that stated them.
    declared: BTreeMap<Nid, (u64, Vec<Gid>)>,
    /// The group `all`, as the machine knows it.
    all: Option<Arc<Group>>,
    removed: BTreeMap<Nid, Removed>,
}

impl MemberList {
    /// Where a peer is.
    pub fn address(&self, nid: &Nid) -> Option<&NodeAddr> {
        let member = self.all.as_ref().and_then(|all| all.by_nid(nid));
        member.map(|member| &member.node).or_else(|| self.addresses.get(nid))
    }

    /// What is known of a peer beside its status.
    pub fn known(&self, nid: &Nid) -> Option<Known> {
        let node = self.address(nid)?.clone();
        let declared = self.declared.get(nid);
        let (life, groups) = declared.map_or((0, None), |(life, groups)| (*life, Some(groups.clone())));
        Some(Known { nid: *nid, node, life, groups })
    }

    /// Notes what a message says of peers beside their status. The machine is then given what the message says of their
    /// status, and after that [`settle`](Self::settle) is called. An address that is known already stays, because it may have come
    /// with more than an address. Returns the groups that peers are said to be in and were not before.
    pub fn note(&mut self, peers: Vec<Known>) -> Vec<(Gid, NodeAddr)> {
        let mut fresh = Vec::new();
        for Known { nid, node, life, groups } in peers {
            if self.address(&nid).is_none() {
                self.addresses.insert(nid, node.clone());
            }
            self.noted.push(nid);
            let Some(groups) = groups else { continue };
            let before = self.declared.get(&nid);
            if before.is_none_or(|(of, said)| *of < life || (*of == life && *said != groups)) {
                let said = |gid: &Gid| before.is_some_and(|(of, said)| *of == life && said.contains(gid));
                fresh.extend(groups.iter().filter(|gid| !said(gid)).map(|gid| (gid.clone(), node.clone())));
                self.declared.insert(nid, (life, groups));
            }
        }
        fresh
    }

    /// Forgets what was noted of peers that the machine has not taken in.
    pub fn settle(&mut self, swim: &Swim<Nid>) {
        for nid in std::mem::take(&mut self.noted) {
            if swim.status(&nid).is_none() {
                self.addresses.remove(&nid);
                self.declared.remove(&nid);
            }
        }
        if self.addresses.len().max(self.declared.len()) > swim.size() + SLACK {
            // the machine forgets removed members from time to time
            self.addresses.retain(|nid, _| swim.status(nid).is_some());
            self.declared.retain(|nid, _| swim.status(nid).is_some());
        }
    }

    /// The number of addresses that are kept beside those in `all`, and the most that there may be.
    pub fn addresses(&self, swim: &Swim<Nid>) -> (usize, usize) {
        (self.addresses.len(), swim.size() + SLACK)
    }

    /// Whether `all` has been looked at before.
    pub fn has_begun(&self) -> bool {
        self.all.is_some()
    }

    /// Begins with members that the machine knows already.
    pub fn begin_with(&mut self, all: Arc<Group>) {
        self.all = Some(all);
    }

    /// What an operator has done to `all` since it was last looked at, as inputs of the machine.
    pub fn differences(&mut self, me: &Nid, all: &Arc<Group>) -> Vec<Input<Nid>> {
        if self.all.as_ref().is_some_and(|known| Arc::ptr_eq(known, all)) {
            return Vec::new();
        }
        let before = self.all.replace(all.clone()).unwrap_or_default();
        let mut inputs = Vec::new();
        for (_, member) in all.iter().filter(|(_, member)| member.nid != *me) {
            if !before.contains(&member.nid) {
                inputs.push((member.nid, Input::Add(member.nid)));
            }
        }
        for (_, member) in before.iter().filter(|(_, member)| !all.contains(&member.nid)) {
            self.addresses.insert(member.nid, member.node.clone());
            inputs.push((member.nid, Input::Remove(member.nid)));
        }
        // the machine keeps its members in this order
        inputs.sort_by_key(|(nid, _)| *nid);
        inputs.into_iter().map(|(_, input)| input).collect()
    }

    /// Changes the groups on membership's own account, so that the change is not taken for an operator's.
    fn change<T>(&mut self, groups: &mut Groups, act: impl FnOnce(&mut Groups) -> T) -> T {
        // a set that nobody else holds is changed in place
        self.all = None;
        let done = act(groups);
        self.all = groups.get(&Gid::all()).ok();
        done
    }

    /// Takes a peer into `all`, and back into the groups that a verdict removed it from.
    pub fn admit(&mut self, nid: &Nid, groups: &mut Groups) -> Arrival {
        let mut returned = self.removed.remove(nid);
        if let Some(returned) = &mut returned {
            // an operator may have put another set in the place of one since
            returned.groups.retain(|(gid, _, of)| groups.entry(gid).is_ok_and(|entry| Arc::ptr_eq(&entry.config, of)));
        }
        let node = returned.as_ref().map(|returned| returned.node.clone()).or_else(|| self.address(nid).cloned());
        let Some(node) = node else { return Arrival::default() };
        let mut changed = Vec::new();
        self.change(groups, |groups| {
            let restore = returned.iter().flat_map(|returned| &returned.groups);
            let restored = restore.filter(|(gid, sid, _)| groups.restore(gid, sid, &node));
            changed.extend(restored.map(|(gid, ..)| gid.clone()));
            // if it is there already, more than its address may be known there
            if groups.get(&Gid::all()).is_ok_and(|all| !all.contains(nid)) {
                groups.meet([node]);
                changed.push(Gid::all());
            }
        });
        Arrival { returned, changed }
    }

    /// Takes a peer out of all groups, and remembers which if it may return. Returns them.
    pub fn remove(&mut self, nid: &Nid, groups: &mut Groups, swim: &Swim<Nid>, removal: Removal) -> Vec<(Gid, Sid)> {
        let known = groups.get(&Gid::all()).ok().and_then(|all| all.by_nid(nid).map(|member| member.node.clone()));
        let node = known.or_else(|| self.address(nid).cloned());
        let left = self.change(groups, |groups| groups.forget(nid));
        let before = self.removed.remove(nid).map(|removed| removed.groups).unwrap_or_default();
        if let Some(node) = &node {
            self.addresses.insert(*nid, node.clone());
        }
        if let (Removal::Verdict { told }, Some(node)) = (removal, node) {
            // Peers that the machine has forgotten, and those that an operator removed since, do not return. A peer that an
            // operator has put again does come back into its other groups once it answers. A peer that is alive is about to
            // come back: the message that says so says this, too.
            let returns = |status| !matches!(status, Status::Left | Status::Expelled);
            self.removed.retain(|nid, removed| swim.status(nid).map_or(removed.heard, returns));
            // If an operator had put the peer again and it did not answer, it still belongs where it was before.
            let elsewhere = before.into_iter().filter(|(gid, ..)| left.iter().all(|(of, _)| of != gid));
            let here = left.iter().filter_map(|(gid, sid)| {
                let config = groups.entry(gid).ok()?.config.clone();
                Some((gid.clone(), sid.clone(), config))
            });
            let groups = here.chain(elsewhere).collect();
            self.removed.insert(*nid, Removed { node, groups, told, heard: false });
        }
        left
    }

    /// The peers that a verdict removed from a group and that come back into it when they return, at most a page of them.
    pub fn removed_from(&self, gid: &Gid, config: &Arc<GroupConfig>) -> Group {
        let belongs =
            |removed: &&Removed| removed.groups.iter().any(|(of, _, as_put)| of == gid && Arc::ptr_eq(as_put, config));
        self.removed.values().filter(belongs).take(PAGE).map(|removed| removed.node.clone()).collect()
    }

    /// Takes note that a member has told this node of a group, and of peers that were removed from it: they come back
    /// into it here too, and those that are back already are put into it. If an operator has put the group meanwhile,
    /// that stands. Returns whether the group has other members than before.
    pub fn expect(
        &mut self,
        config: &Arc<GroupConfig>,
        gone: &Group,
        me: &Nid,
        groups: &mut Groups,
        swim: &Swim<Nid>,
    ) -> bool {
        let gid = &config.gid;
        let entry = groups.entry(gid).ok().filter(|entry| Arc::ptr_eq(&entry.config, config));
        let Some(members) = entry.map(|entry| entry.members.clone()) else { return false };
        let mut changed = false;
        for (sid, member) in gone.iter().filter(|(_, member)| member.nid != *me && !members.contains(&member.nid)) {
            if swim.status(&member.nid).is_some_and(Status::is_known) {
                changed |= self.change(groups, |groups| groups.restore(gid, sid, &member.node));
            } else if self.removed.contains_key(&member.nid) || self.removed.len() < MAX_REMOVED {
                let fresh = || Removed { node: member.node.clone(), groups: Vec::new(), told: false, heard: true };
                let removed = self.removed.entry(member.nid).or_insert_with(fresh);
                if removed.groups.iter().all(|(of, ..)| of != gid) {
                    removed.groups.push((gid.clone(), sid.clone(), config.clone()));
                }
            }
        }
        changed
    }

    /// Takes note that an operator removed a node from a group: a peer that a verdict had removed does not come back into it.
    /// Returns inputs of the machine.
    pub fn operator_removed(&mut self, gid: &Gid, sid: &str) -> Vec<Input<Nid>> {
        self.forget_belonging(gid, |_, held| held.as_str() == sid)
    }

    /// Takes note that an operator put a group, or deleted it: a peer that a verdict had removed and that the set does
    /// not name does not come back into it. Returns inputs of the machine.
    pub fn operator_put(&mut self, gid: &Gid, members: Option<&Group>) -> Vec<Input<Nid>> {
        self.forget_belonging(gid, |nid, _| members.is_none_or(|members| !members.contains(nid)))
    }

    /// Forgets that removed peers belong to a group. Those that an operator took out of `all` are forgotten by the machine.
    fn forget_belonging(&mut self, gid: &Gid, forgets: impl Fn(&Nid, &Sid) -> bool) -> Vec<Input<Nid>> {
        let mut forgotten = Vec::new();
        for (nid, removed) in &mut self.removed {
            let before = removed.groups.len();
            removed.groups.retain(|(of, sid, _)| of != gid || !forgets(nid, sid));
            if removed.groups.len() < before {
                forgotten.push(Input::Remove(*nid));
            }
        }
        if gid.is_all() { forgotten } else { Vec::new() }
    }
}
