//! [`Groups`]: a node's map from names to groups.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::config::GroupConfig;
use super::members::{Group, MAX_MEMBERS, is_sid_of};
use super::sharing::{Change, Sharing};
use crate::call::{CallError, ErrorKind};
use crate::identity::{Gid, Nid, NodeAddr, SID_DIGITS, Sid};

/// Most groups a node keeps. Unit: groups. A guess: enough for one per user, small enough to hold.
pub const MAX_GROUPS: usize = 4_096;

/// One group of a node.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its members.
    pub members: Arc<Group>,
    /// What it was put with. Each put makes another, also where it says the same.
    pub config: Arc<GroupConfig>,
}

/// A node's map from names to groups.
///
/// ```
/// use chinwag_protocol::{group::{GroupConfig, Groups}, identity::{Gid, NodeAddr}};
/// let me = NodeAddr::new("127.0.0.1", 8080);
/// let mut groups = Groups::new(me.clone());
/// let browncs = Gid::new("browncs").unwrap();
/// groups.put(GroupConfig::new(browncs.clone()), [me, NodeAddr::new("127.0.0.1", 8081)].into_iter().collect()).unwrap();
/// assert_eq!(groups.get(&browncs).unwrap().len(), 2);
/// assert_eq!(groups.get(&Gid::all()).unwrap().len(), 2);
/// ```
#[derive(Debug)]
pub struct Groups {
    me: NodeAddr,
    local: Arc<Group>,
    entries: BTreeMap<Gid, Entry>,
    sharing: Option<Sharing>,
}

impl Groups {
    /// The map of a node that has met nobody.
    pub fn new(me: NodeAddr) -> Groups {
        let local: Arc<Group> = Arc::new([me.clone()].into_iter().collect());
        let all = Entry { members: local.clone(), config: Arc::new(GroupConfig::new(Gid::all())) };
        Groups { me, local, entries: BTreeMap::from([(Gid::all(), all)]), sharing: None }
    }

    /// The same map, which shares its sets with those of other nodes of this program.
    #[must_use]
    pub fn sharing(mut self, sharing: Sharing) -> Groups {
        self.sharing = Some(sharing);
        self
    }

    /// The group's members.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    pub fn get(&self, gid: &Gid) -> Result<Arc<Group>, CallError> {
        if gid.is_local() {
            return Ok(self.local.clone());
        }
        Ok(self.entry(gid)?.members.clone())
    }

    /// The group with its configuration.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`]; `local` has none.
    pub fn entry(&self, gid: &Gid) -> Result<&Entry, CallError> {
        self.entries.get(gid).ok_or_else(|| unknown(gid))
    }

    /// The names of all groups but `local`.
    pub fn names(&self) -> impl Iterator<Item = &Gid> {
        self.entries.keys()
    }

    /// The same in turn: those after `last`, then those up to it, each once.
    pub fn names_after(&self, last: &Gid) -> impl Iterator<Item = &Gid> {
        let after = self.entries.range::<Gid, _>((Bound::Excluded(last), Bound::Unbounded));
        after.chain(self.entries.range::<Gid, _>(..=last)).map(|(gid, _)| gid)
    }

    /// The groups that a node is in, named by its [`key`](NodeAddr::key), `all` among them.
    pub fn listing(&self, nid: &Nid) -> impl Iterator<Item = (&Gid, &Entry)> {
        self.entries.iter().filter(|(_, entry)| entry.members.contains(nid))
    }

    /// Names a set of nodes, in place of what the name stood for before. Its nodes join `all`. `all` itself keeps this
    /// node whatever it is set to.
    ///
    /// # Errors
    /// [`ErrorKind::Reserved`] for `local`, [`ErrorKind::Busy`] past [`MAX_GROUPS`]; nothing has changed then.
    pub fn put(&mut self, config: GroupConfig, mut members: Group) -> Result<Arc<Group>, CallError> {
        let gid = config.gid.clone();
        self.writable(&gid)?;
        if !self.entries.contains_key(&gid) && self.entries.len() >= MAX_GROUPS {
            return Err(CallError::new(ErrorKind::Busy, format!("a node keeps at most {MAX_GROUPS} groups")));
        }
        if gid.is_all() {
            members.add(self.me.clone());
        } else {
            self.meet(members.iter().map(|(_, member)| member.node.clone()));
        }
        let members = Arc::new(members);
        self.entries.insert(gid, Entry { members: members.clone(), config: Arc::new(config) });
        Ok(members)
    }

    /// As [`put`](Groups::put), but the group remains the one that it was if its configuration is the same: for a set
    /// that holds all members which the group has.
    ///
    /// # Errors
    /// As there.
    pub fn widen(&mut self, config: GroupConfig, members: Group) -> Result<Arc<Group>, CallError> {
        let gid = config.gid.clone();
        let before = self.entries.get(&gid).map(|entry| entry.config.clone()).filter(|before| **before == config);
        let put = self.put(config, members)?;
        if let (Some(before), Some(entry)) = (before, self.entries.get_mut(&gid)) {
            entry.config = before;
        }
        Ok(put)
    }

    /// Names a set that others hold too, without copying it: many nodes of one program can have one view. Where this
    /// node has met nobody and is in the set, the set also becomes its `all`.
    ///
    /// # Errors
    /// As [`put`](Groups::put).
    pub fn share(&mut self, config: Arc<GroupConfig>, members: Arc<Group>) -> Result<(), CallError> {
        if config.gid.is_all() {
            return self.put((*config).clone(), (*members).clone()).map(drop);
        }
        self.writable(&config.gid)?;
        let whole = self.entries.get("all").is_some_and(|all| all.members.len() <= 1);
        match self.entries.get_mut("all") {
            Some(all) if whole && members.contains(&self.me.key()) => all.members = members.clone(),
            _ => self.meet(members.iter().map(|(_, member)| member.node.clone())),
        }
        self.entries.insert(config.gid.clone(), Entry { members, config });
        Ok(())
    }

    /// Adds a node to a group, and to `all`. One that is in the group under a key that a caller chose is added under
    /// its SID too. Answers the set after.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`], [`ErrorKind::Reserved`] for `local`, [`ErrorKind::Busy`] past [`MAX_MEMBERS`];
    /// nothing has changed then.
    pub fn add(&mut self, gid: &Gid, node: NodeAddr) -> Result<Arc<Group>, CallError> {
        self.add_with(gid, node, |_, members, node| {
            let nid = node.nid();
            let here = members.sid_of(&nid).is_some_and(|sid| is_sid_of(sid, &nid));
            if !here || members.by_nid(&nid).is_none_or(|held| held.node != node) {
                Arc::make_mut(members).add_under_sid(node);
            }
        })
    }

    /// As [`add`](Groups::add), but a node that is in the group under any key stays as it is.
    ///
    /// # Errors
    /// As there.
    pub fn enroll(&mut self, gid: &Gid, node: NodeAddr) -> Result<Arc<Group>, CallError> {
        self.add_with(gid, node, insert)
    }

    fn add_with(
        &mut self,
        gid: &Gid,
        node: NodeAddr,
        insert: impl FnOnce(Option<&Sharing>, &mut Arc<Group>, NodeAddr),
    ) -> Result<Arc<Group>, CallError> {
        self.writable(gid)?;
        let entry = self.entries.get_mut(gid).ok_or_else(|| unknown(gid))?;
        if entry.members.len() >= MAX_MEMBERS {
            return Err(CallError::new(ErrorKind::Busy, format!("a group has at most {MAX_MEMBERS} members")));
        }
        insert(self.sharing.as_ref(), &mut entry.members, node.clone());
        self.meet([node]);
        self.get(gid)
    }

    /// Removes a node from a group, and from no other. Answers the set after, also where the node was not in it. This
    /// node cannot leave its own `all`.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`], [`ErrorKind::Reserved`] for `local`.
    pub fn rem(&mut self, gid: &Gid, sid: &str) -> Result<Arc<Group>, CallError> {
        self.writable(gid)?;
        let mine = self.me.key();
        let entry = self.entries.get_mut(gid).ok_or_else(|| unknown(gid))?;
        let held = entry.members.get(sid).map(|member| member.nid);
        if held.is_some_and(|nid| !(gid.is_all() && nid == mine)) {
            Arc::make_mut(&mut entry.members).remove(sid);
        }
        Ok(entry.members.clone())
    }

    /// Forgets a group. Answers the set it was.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`], [`ErrorKind::Reserved`] for `local` and `all`.
    pub fn del(&mut self, gid: &Gid) -> Result<Arc<Group>, CallError> {
        self.writable(gid)?;
        if gid.is_all() {
            return Err(reserved(gid));
        }
        Ok(self.entries.remove(gid).ok_or_else(|| unknown(gid))?.members)
    }

    /// Adds nodes to `all`.
    pub fn meet(&mut self, nodes: impl IntoIterator<Item = NodeAddr>) {
        if let Some(all) = self.entries.get_mut("all") {
            for node in nodes {
                if all.members.len() < MAX_MEMBERS {
                    insert(self.sharing.as_ref(), &mut all.members, node);
                }
            }
        }
    }

    /// A node has said where it is, so that this spelling of its address is its own. `all` takes it over, under the SID
    /// that follows from it, unless somebody chose the SID that the node has there. Other groups stay as they were put.
    /// Answers whether `all` has changed.
    pub fn stated(&mut self, node: &NodeAddr) -> bool {
        let Some(all) = self.entries.get_mut("all") else { return false };
        let key = node.key();
        let Some((sid, held)) = all.members.sid_of(&key).and_then(|sid| Some((sid, all.members.get(sid.as_str())?)))
        else {
            return false;
        };
        if held.node.is_spelled_like(node) || key == self.me.key() {
            return false;
        }
        let digits = sid.as_str().len();
        if digits < SID_DIGITS || *sid != held.node.nid().sid_of(digits) {
            return false;
        }
        let (sid, node) = (sid.clone(), held.node.spelled_like(node));
        let members = Arc::make_mut(&mut all.members);
        members.remove(sid.as_str());
        members.add(node);
        true
    }

    /// Removes a node, named by its [`key`](NodeAddr::key), from every group it is in, under all its SIDs. Answers
    /// which those were, and under which SIDs it was found.
    pub fn forget(&mut self, nid: &Nid) -> Vec<(Gid, Sid)> {
        let mut left = Vec::new();
        if *nid == self.me.key() {
            return left;
        }
        for (gid, entry) in &mut self.entries {
            if let Some(sid) = entry.members.sid_of(nid).cloned() {
                edit(self.sharing.as_ref(), &mut entry.members, Change::Forget(*nid), |members| {
                    while let Some(key) = members.sid_of(nid).cloned() {
                        members.remove(key.as_str());
                    }
                });
                left.push((gid.clone(), sid));
            }
        }
        left
    }

    /// Puts a node back into a group that it was taken from, under its old SID unless another holds that now. Answers
    /// whether it was missing there; of a group that is gone nothing comes back.
    pub fn restore(&mut self, gid: &Gid, sid: &Sid, node: &NodeAddr) -> bool {
        let Some(entry) = self.entries.get_mut(gid) else { return false };
        let key = node.key();
        if entry.members.contains(&key) || entry.members.len() >= MAX_MEMBERS {
            return false;
        }
        edit(self.sharing.as_ref(), &mut entry.members, Change::Restore(sid.clone(), node.clone()), |members| {
            let sid = if members.get(sid.as_str()).is_none() { sid.clone() } else { members.sid_for(&node.nid()) };
            members.hold(sid, key, node.clone());
        });
        true
    }

    fn writable(&self, gid: &Gid) -> Result<(), CallError> {
        if gid.is_local() { Err(reserved(gid)) } else { Ok(()) }
    }
}

/// Adds without copying a shared set where that would change nothing.
fn insert(sharing: Option<&Sharing>, members: &mut Arc<Group>, node: NodeAddr) {
    if members.by_nid(&node.key()).is_none_or(|held| held.node.is_spelled_like(&node) && held.node != node) {
        edit(sharing, members, Change::Add(node.clone()), |members| {
            members.add(node);
        });
    }
}

/// Changes a set: once for all nodes that share it, if they share their changes, too.
fn edit(sharing: Option<&Sharing>, members: &mut Arc<Group>, change: Change, make: impl FnOnce(&mut Group)) {
    match sharing {
        Some(sharing) => sharing.change(members, change, make),
        None => make(Arc::make_mut(members)),
    }
}

fn unknown(gid: &Gid) -> CallError {
    CallError::new(ErrorKind::UnknownGroup, format!("this node knows no group {gid}"))
}

fn reserved(gid: &Gid) -> CallError {
    CallError::new(ErrorKind::Reserved, format!("the group {gid} is built in"))
}
