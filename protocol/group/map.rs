//! [`Groups`]: a node's map from names to groups.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::config::GroupConfig;
use super::members::{Group, MAX_MEMBERS, is_sid_of};
use super::sharing::{Change, Sharing};
use crate::call::{CallError, ErrorKind};
use crate::identity::{Gid, Nid, NodeAddr, SID_DIGITS, Sid};
use crate::value::Object;

/// The most groups of a node. A guess: enough for one group per user, and few enough to hold.
pub const MAX_GROUPS: usize = 4_096;

/// The most memory that the options of one group take together with the further keys of its nodes, in bytes. A guess:
/// a message of the largest size, or a key with a short function for each of twenty thousand nodes.
pub const MAX_OPTION_BYTES: usize = 8 << 20;

/// The most memory that the options and further keys of all groups take together, in bytes. A guess. The nodes of a group
/// are also in `all`, so their keys count twice.
pub const MAX_TOTAL_OPTION_BYTES: usize = 64 << 20;

/// A group of a node.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The members.
    pub members: Arc<Group>,
    /// The configuration that the group was put with. Each put creates a new one, even if it is equal.
    pub config: Arc<GroupConfig>,
}

impl Entry {
    fn option_bytes(&self) -> usize {
        option_bytes(&self.config) + self.members.extra_bytes()
    }
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
    /// Creates the map of a node that has not met any other.
    pub fn new(me: NodeAddr) -> Groups {
        let local: Arc<Group> = Arc::new([me.clone()].into_iter().collect());
        let all = Entry { members: local.clone(), config: Arc::new(GroupConfig::new(Gid::all())) };
        Groups { me, local, entries: BTreeMap::from([(Gid::all(), all)]), sharing: None }
    }

    /// Returns the map, which from now on shares its sets with the maps of other nodes of this program.
    #[must_use]
    pub fn sharing(mut self, sharing: Sharing) -> Groups {
        self.sharing = Some(sharing);
        self
    }

    /// Returns the members of a group.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    pub fn get(&self, gid: &Gid) -> Result<Arc<Group>, CallError> {
        if gid.is_local() {
            return Ok(self.local.clone());
        }
        Ok(self.entry(gid)?.members.clone())
    }

    /// Returns a group with its configuration.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`], also for `local`, which has no configuration.
    pub fn entry(&self, gid: &Gid) -> Result<&Entry, CallError> {
        self.entries.get(gid).ok_or_else(|| unknown(gid))
    }

    /// Iterates over the names of all groups except `local`.
    pub fn names(&self) -> impl Iterator<Item = &Gid> {
        self.entries.keys()
    }

    /// Iterates over the same names once, starting after `last`.
    pub fn names_after(&self, last: &Gid) -> impl Iterator<Item = &Gid> {
        let after = self.entries.range::<Gid, _>((Bound::Excluded(last), Bound::Unbounded));
        after.chain(self.entries.range::<Gid, _>(..=last)).map(|(gid, _)| gid)
    }

    /// Iterates over the groups, including `all`, that the node with this [`key`](NodeAddr::key) is in.
    pub fn listing(&self, nid: &Nid) -> impl Iterator<Item = (&Gid, &Entry)> {
        self.entries.iter().filter(|(_, entry)| entry.members.contains(nid))
    }

    /// Creates or replaces a group. Its members join `all`. A new set for `all` always keeps this node. Returns the
    /// set.
    ///
    /// # Errors
    /// [`ErrorKind::Reserved`] for `local`, `node` and `util`, [`ErrorKind::BadArgument`] past [`MAX_OPTION_BYTES`], and
    /// [`ErrorKind::Busy`] past [`MAX_GROUPS`] or [`MAX_TOTAL_OPTION_BYTES`]. Nothing has changed then.
    pub fn put(&mut self, config: GroupConfig, mut members: Group) -> Result<Arc<Group>, CallError> {
        let gid = config.gid.clone();
        self.nameable(&gid)?;
        if !self.entries.contains_key(&gid) && self.entries.len() >= MAX_GROUPS {
            return Err(CallError::new(ErrorKind::Busy, format!("a node keeps at most {MAX_GROUPS} groups")));
        }
        let options = option_bytes(&config);
        let bytes = options + members.extra_bytes();
        if bytes > MAX_OPTION_BYTES {
            let message = format!(
                "the options of {gid} and its nodes' keys beside ip and port take {bytes} bytes of memory, and a group may \
                 take {MAX_OPTION_BYTES} at the most"
            );
            return Err(CallError::new(ErrorKind::BadArgument, message));
        }
        let replaced = self.entries.get(&gid).map_or(0, Entry::option_bytes);
        self.check_room(&gid, replaced, options, members.extra_bytes())?;
        if gid.is_all() {
            members.add(self.me.clone());
        } else {
            self.meet(members.iter().map(|(_, member)| member.node.clone()));
        }
        let members = Arc::new(members);
        self.entries.insert(gid, Entry { members: members.clone(), config: Arc::new(config) });
        Ok(members)
    }

    /// Like [`put`](Groups::put), but a group with an equal configuration counts as the same group as before. Use it
    /// for a set that contains all members of the group.
    ///
    /// # Errors
    /// As in [`put`](Groups::put).
    pub fn widen(&mut self, config: GroupConfig, members: Group) -> Result<Arc<Group>, CallError> {
        let gid = config.gid.clone();
        let before = self.entries.get(&gid).map(|entry| entry.config.clone()).filter(|before| **before == config);
        let put = self.put(config, members)?;
        if let (Some(before), Some(entry)) = (before, self.entries.get_mut(&gid)) {
            entry.config = before;
        }
        Ok(put)
    }

    /// Like [`put`](Groups::put), but without copying the set, so that many nodes of one program can share it. If this
    /// node is in the set and has not met any other, the set also becomes its `all`.
    ///
    /// # Errors
    /// As [`put`](Groups::put).
    pub fn share(&mut self, config: Arc<GroupConfig>, members: Arc<Group>) -> Result<(), CallError> {
        if config.gid.is_all() {
            return self.put((*config).clone(), (*members).clone()).map(drop);
        }
        self.nameable(&config.gid)?;
        let whole = self.entries.get("all").is_some_and(|all| all.members.len() <= 1);
        match self.entries.get_mut("all") {
            Some(all) if whole && members.contains(&self.me.key()) => all.members = members.clone(),
            _ => self.meet(members.iter().map(|(_, member)| member.node.clone())),
        }
        self.entries.insert(config.gid.clone(), Entry { members, config });
        Ok(())
    }

    /// Adds a node to a group and to `all`. A member under a key that a caller chose is also added under its SID.
    /// Returns the new set.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`], [`ErrorKind::Reserved`] for `local`, and [`ErrorKind::Busy`] past [`MAX_MEMBERS`].
    /// Nothing has changed then.
    pub fn add(&mut self, gid: &Gid, node: NodeAddr) -> Result<Arc<Group>, CallError> {
        self.add_with(gid, node, |_, members, node| {
            let nid = node.nid();
            let here = members.sid_of(&nid).is_some_and(|sid| is_sid_of(sid, &nid));
            if !here || members.by_nid(&nid).is_none_or(|held| held.node != node) {
                Arc::make_mut(members).add_under_sid(node);
            }
        })
    }

    /// Like [`add`](Groups::add), but a member under any key stays as it is.
    ///
    /// # Errors
    /// As in [`add`](Groups::add).
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
        self.check_room(gid, 0, 0, node.extra_bytes())?;
        let entry = self.entries.get_mut(gid).ok_or_else(|| unknown(gid))?;
        insert(self.sharing.as_ref(), &mut entry.members, node.clone());
        self.meet([node]);
        self.get(gid)
    }

    /// Removes a node from this group alone. Returns the new set, even if the node was not a member. This node stays in
    /// its own `all`.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`], and [`ErrorKind::Reserved`] for `local`.
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

    /// Deletes a group, and returns its set.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`], and [`ErrorKind::Reserved`] for `local` and `all`.
    pub fn del(&mut self, gid: &Gid) -> Result<Arc<Group>, CallError> {
        self.writable(gid)?;
        if gid.is_all() {
            return Err(reserved(gid));
        }
        Ok(self.entries.remove(gid).ok_or_else(|| unknown(gid))?.members)
    }

    /// Adds nodes to `all`. A node whose further keys have no room is added with its address alone.
    pub fn meet(&mut self, nodes: impl IntoIterator<Item = NodeAddr>) {
        let mut room: Option<usize> = None;
        for mut node in nodes {
            let keys = node.extra_bytes();
            if keys > 0 {
                // counting takes a moment, and most nodes have no such keys
                let left = room.unwrap_or_else(|| MAX_TOTAL_OPTION_BYTES.saturating_sub(self.option_bytes()));
                room = Some(left.saturating_sub(keys));
                if keys > left {
                    node = node.with_extra(Object::new());
                }
            }
            if let Some(all) = self.entries.get_mut("all")
                && all.members.len() < MAX_MEMBERS
            {
                insert(self.sharing.as_ref(), &mut all.members, node);
            }
        }
    }

    /// Notes how a node spells its own address. `all` adopts the spelling and the SID that follows from it, unless a
    /// caller chose the node's SID there. Other groups stay as they were put. Returns whether `all` has changed.
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

    /// Removes the node with this [`key`](NodeAddr::key) from every group, under all its SIDs. Returns the groups that
    /// it was in, each with the SID under which it was found.
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

    /// Adds a node again to a group that it was removed from, under its former SID unless another node has that now.
    /// Returns whether the group exists and the node was missing in it.
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

    /// Checks that a group can have this name.
    fn nameable(&self, gid: &Gid) -> Result<(), CallError> {
        if gid.is_entry_of_distribution() {
            let message =
                format!("`distribution.{gid}` is built in, so no group can be named {gid}; choose another name");
            return Err(CallError::new(ErrorKind::Reserved, message));
        }
        self.writable(gid)
    }

    /// Checks that there is room for so many bytes of options and of nodes' further keys once `freed` bytes are free. The
    /// nodes are also added to `all`.
    fn check_room(&self, gid: &Gid, freed: usize, options: usize, keys: usize) -> Result<(), CallError> {
        // most groups have neither
        if options + keys == 0 {
            return Ok(());
        }
        let held = self.option_bytes() - freed;
        if held + options + 2 * keys > MAX_TOTAL_OPTION_BYTES {
            let message = format!(
                "the options of {gid} and its nodes' keys beside ip and port take {} bytes of memory, and those of all groups \
                 take {held} of {MAX_TOTAL_OPTION_BYTES} bytes already",
                options + keys
            );
            return Err(CallError::new(ErrorKind::Busy, message));
        }
        Ok(())
    }

    /// Returns about how many bytes of memory the options of all groups and the further keys of their nodes take.
    pub fn option_bytes(&self) -> usize {
        self.entries.values().map(Entry::option_bytes).sum()
    }

    fn writable(&self, gid: &Gid) -> Result<(), CallError> {
        if gid.is_local() { Err(reserved(gid)) } else { Ok(()) }
    }
}

/// Returns about how many bytes of memory the options of a group take.
fn option_bytes(config: &GroupConfig) -> usize {
    if config.options.is_empty() { 0 } else { config.options.memory_bytes() }
}

/// Adds a node, and copies a shared set only if that changes it.
fn insert(sharing: Option<&Sharing>, members: &mut Arc<Group>, node: NodeAddr) {
    if members.by_nid(&node.key()).is_none_or(|held| held.node.is_spelled_like(&node) && held.node != node) {
        edit(sharing, members, Change::Add(node.clone()), |members| {
            members.add(node);
        });
    }
}

/// Changes a set. Nodes that share their changes make the change once.
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
