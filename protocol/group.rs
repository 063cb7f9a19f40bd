//! Groups: one node's view of sets of nodes.
//!
//! The map from group names to sets is a node's own. Another node may hold another set under the same name, which is
//! how a group becomes a ring or a tree rather than a clique. Two names are built in: `local` is the node itself, and
//! `all` is every node it has met, itself included; neither can be deleted. Nodes met through [`Groups::put`] and
//! [`Groups::add`] join `all`; removing a node from one group leaves it in the others.
//!
//! A group holds a node once, however its address is spelled: `localhost:8080` and `127.0.0.1:8080` are one member (see
//! [`NodeAddr::key`]). The spelling and the SID that came first stay, as they are somebody's choice. Only `all`, whose
//! members nobody chose the spelling of, takes over how a node spells [its own address](Groups::stated).
//!
//! What is not here: who is alive (see [`swim`](crate::swim)), and any wish that two views agree.

mod sharing;

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use indexmap::IndexMap;

use self::sharing::Change;
pub use self::sharing::Sharing;
use crate::{
    call::{CallError, ErrorKind},
    identity::{Gid, NameError, Nid, NodeAddr, SID_DIGITS, Sid},
    value::{Object, Segment, Value, object::array_index},
};

/// Most groups a node keeps. Unit: groups. A guess: enough for one per user, small enough to hold.
pub const MAX_GROUPS: usize = 4_096;

/// Most members of a group. Unit: nodes. Ten times what the simulator is asked to hold.
pub const MAX_MEMBERS: usize = 1_000_000;

/// A node in a group, with the identifier that the protocols use.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The node's [`key`](NodeAddr::key), by which the protocols know it, kept since every message needs it. It is the
    /// node's NID unless its address is written in another than its canonical form.
    pub nid: Nid,
    /// Where it is reached, as it was written.
    pub node: NodeAddr,
}

impl From<NodeAddr> for Member {
    fn from(node: NodeAddr) -> Member {
        Member { nid: node.key(), node }
    }
}

/// A set of nodes by SID, in the order they were added. Cheap to share behind an [`Arc`].
#[derive(Clone, Debug, Default)]
pub struct Group {
    members: IndexMap<Sid, Member>,
    /// By key, and also by NID where that is another. In order, which is the same on all nodes that hold the set.
    sids: BTreeMap<Nid, Sid>,
}

/// An entry of a set of nodes that is a value, unread: its key, its place in the value, and the node.
type Unread<'a> = (Result<Sid, NameError>, Segment, &'a Value);

/// Two groups are equal when they hold the same nodes under the same SIDs.
impl PartialEq for Group {
    fn eq(&self, other: &Group) -> bool {
        self.members == other.members
    }
}

impl Group {
    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The member under this SID.
    pub fn get(&self, sid: &str) -> Option<&Member> {
        self.members.get(sid)
    }

    /// The `index`th member and its SID.
    pub fn member(&self, index: usize) -> Option<(&Sid, &Member)> {
        self.members.get_index(index)
    }

    /// The SID under which a node is held, by its [`key`](NodeAddr::key), which finds it however its address is written
    /// here, or by the NID of the address as it is written here.
    pub fn sid_of(&self, nid: &Nid) -> Option<&Sid> {
        self.sids.get(nid)
    }

    /// The member with this key or NID, as in [`sid_of`](Group::sid_of).
    pub fn by_nid(&self, nid: &Nid) -> Option<&Member> {
        self.members.get(self.sids.get(nid)?)
    }

    /// Whether a node with this key or NID is a member, as in [`sid_of`](Group::sid_of).
    pub fn contains(&self, nid: &Nid) -> bool {
        self.sids.contains_key(nid)
    }

    /// The members before and after this one in the order of their keys, which is a ring: the last comes before the first.
    /// The node itself need not be a member. They are the same member where there is only one other; `None` where there
    /// is no other.
    pub fn around(&self, nid: &Nid) -> Option<[Nid; 2]> {
        // a member whose address is not written in its canonical form is here twice, and counts where its key is
        let is_other = |(name, sid): &(&Nid, &Sid)| {
            *name != nid && self.members.get(*sid).is_some_and(|member| member.nid == **name)
        };
        let below = self.sids.range(..nid).rev().find(is_other);
        let above = self.sids.range(nid..).find(is_other);
        let first = || self.sids.iter().find(is_other);
        let last = || self.sids.iter().rev().find(is_other);
        Some([*below.or_else(last)?.0, *above.or_else(first)?.0])
    }

    /// The members, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Sid, &Member)> {
        self.members.iter()
    }

    /// The SID that a node has in this group, or would get: the first five digits of its NID, and more while those
    /// are held by another node, as git lengthens an abbreviated hash.
    pub fn sid_for(&self, nid: &Nid) -> Sid {
        if let Some(sid) = self.sids.get(nid) {
            return sid.clone();
        }
        self.own_sid(nid)
    }

    /// The same, whatever other keys the node is held under.
    fn own_sid(&self, nid: &Nid) -> Sid {
        let mut digits = SID_DIGITS;
        loop {
            let sid = nid.sid_of(digits);
            // all 64 digits can be taken only by a key that a caller chose
            if digits >= 64 || self.members.get(&sid).is_none_or(|member| member.node.nid() == *nid) {
                return sid;
            }
            digits += 1;
        }
    }

    /// Adds a node under [`sid_for`](Group::sid_for) it, or refreshes what is known of one that is here. A node that is
    /// here under another spelling of its address stays as it is. Answers its SID.
    pub fn add(&mut self, node: NodeAddr) -> Sid {
        let key = node.key();
        if let Some(sid) = self.sids.get(&key).cloned() {
            if let Some(held) = self.members.get_mut(&sid).filter(|held| held.node.is_spelled_like(&node)) {
                held.node = node;
            }
            return sid;
        }
        let sid = self.sid_for(&node.nid());
        self.hold(sid.clone(), key, node);
        sid
    }

    /// Holds a node under a key, and finds it by this key from now on.
    fn hold(&mut self, sid: Sid, key: Nid, node: NodeAddr) {
        self.sids.insert(key, sid.clone());
        if !node.is_canonical() {
            self.sids.insert(node.nid(), sid.clone());
        }
        self.members.insert(sid, Member { nid: key, node });
    }

    /// Adds a node under its SID, also where it is held under a key that a caller chose: then it is held under both, and
    /// is found by its SID. A node that is here under another spelling of its address stays as it is.
    pub fn add_under_sid(&mut self, node: NodeAddr) -> Sid {
        let key = node.key();
        let chosen = self.sids.get(&key).and_then(|sid| self.members.get(sid).map(|held| (sid, held)));
        match chosen {
            Some((sid, held)) if held.node.is_spelled_like(&node) && !is_sid_of(sid, &node.nid()) => {
                let sid = self.own_sid(&node.nid());
                self.hold(sid.clone(), key, node);
                sid
            }
            _ => self.add(node),
        }
    }

    /// Removes what is under this SID. The node stays where it is held under another key.
    pub fn remove(&mut self, sid: &str) -> Option<Member> {
        let member = self.members.shift_remove(sid)?;
        let other = self.members.iter().find(|(_, other)| other.nid == member.nid).map(|(sid, _)| sid.clone());
        let written = (!member.node.is_canonical()).then(|| member.node.nid());
        for name in std::iter::once(member.nid).chain(written) {
            if self.sids.get(&name).is_none_or(|held| held.as_str() != sid) {
                continue;
            }
            match &other {
                Some(other) => drop(self.sids.insert(name, other.clone())),
                None => drop(self.sids.remove(&name)),
            }
        }
        Some(member)
    }

    /// The same set in the order in which it is read off the wire: SIDs that JavaScript takes for indices, which are of
    /// digits alone, come first. A set that is handed over without being written is the same set then.
    #[must_use]
    pub fn in_written_order(mut self) -> Group {
        self.members.sort_by_cached_key(|sid, _| array_index(sid.as_str()).map_or((1, 0), |index| (0, index)));
        self
    }

    /// As the wire has it: SID to node.
    pub fn to_value(&self) -> Value {
        Value::Object(self.members.iter().map(|(sid, member)| (sid.as_str(), member.node.to_value())).collect())
    }

    /// Reads a set of nodes, an object from SID to node, or an array, whose indices are the keys; nothing at all is the
    /// empty set. A node may be held under several keys.
    ///
    /// # Errors
    /// [`ErrorKind::BadArgument`] naming the entry that is no node or is named by no SID, or two that are one node under
    /// two spellings of its address.
    pub fn from_value(value: &Value) -> Result<Group, CallError> {
        let bad = |why: String| CallError::new(ErrorKind::BadArgument, why);
        let mut group = Group::default();
        for (sid, place, entry) in Group::entries(value)? {
            let sid = sid.map_err(|why| bad(why.to_string()))?;
            let node = match entry {
                // the same object as under another key
                Value::Reference(_) => NodeAddr::from_value(&value.extract(&[place])?),
                entry => NodeAddr::from_value(entry),
            };
            let node = node.map_err(|why| bad(format!("node {sid}: {why}")))?;
            let key = node.key();
            if let Some(twice) = group.sids.get(&key) {
                let held = group.members.get(twice).map(|member| member.node.clone());
                if let Some(held) = held.filter(|held| !held.is_spelled_like(&node)) {
                    return Err(bad(format!("{twice} ({held}) and {sid} ({node}) are the same node")));
                }
                if !is_sid_of(&sid, &node.nid()) {
                    group.members.insert(sid, Member { nid: key, node });
                    continue;
                }
            }
            group.hold(sid, key, node);
        }
        Ok(group)
    }

    /// Reads a set of nodes that another node holds, by rules that need not be this node's: entries that this node would
    /// refuse are left out, and of two that are one node the first is kept.
    ///
    /// # Errors
    /// [`ErrorKind::BadArgument`] where it is no set at all or too large a one.
    pub fn from_peer(value: &Value) -> Result<Group, CallError> {
        let mut group = Group::default();
        for (sid, _, entry) in Group::entries(value)? {
            if let (Ok(sid), Ok(node)) = (sid, NodeAddr::from_value(entry))
                && !group.sids.contains_key(&node.key())
            {
                group.hold(sid, node.key(), node);
            }
        }
        Ok(group)
    }

    /// The entries of a set of nodes that is a value, unread: the key, its place in the value, and the node.
    fn entries(value: &Value) -> Result<Vec<Unread<'_>>, CallError> {
        let bad = |why: String| CallError::new(ErrorKind::BadArgument, why);
        let entries: Vec<_> = match value {
            value if value.is_nullish() => Vec::new(),
            Value::Object(object) => object.iter().map(|(key, value)| (Sid::new(key), key.into(), value)).collect(),
            Value::Array(array) => {
                let entries = (0_u32..).zip(array.iter());
                let entries = entries.filter_map(|(index, value)| Some((index, value?)));
                entries.map(|(index, value)| (Sid::new(index.to_string()), index.into(), value)).collect()
            }
            other => {
                return Err(bad(format!("a set of nodes is an object from SID to node, not {}", other.type_name())));
            }
        };
        if entries.len() > MAX_MEMBERS {
            return Err(bad(format!("a group has at most {MAX_MEMBERS} members, not {}", entries.len())));
        }
        Ok(entries)
    }
}

impl From<Vec<NodeAddr>> for Group {
    fn from(nodes: Vec<NodeAddr>) -> Group {
        nodes.into_iter().collect()
    }
}

impl<const N: usize> From<[NodeAddr; N]> for Group {
    fn from(nodes: [NodeAddr; N]) -> Group {
        nodes.into_iter().collect()
    }
}

impl FromIterator<NodeAddr> for Group {
    fn from_iter<I: IntoIterator<Item = NodeAddr>>(nodes: I) -> Group {
        let mut group = Group::default();
        for node in nodes {
            group.add(node);
        }
        group
    }
}

/// What a group was put with: its name, and what its services are to know (fan-out and the like).
#[derive(Clone, Debug, PartialEq)]
pub struct GroupConfig {
    /// The name.
    pub gid: Gid,
    /// Every other key, as given.
    pub options: Object,
}

impl GroupConfig {
    /// A group by name alone.
    pub fn new(gid: Gid) -> GroupConfig {
        GroupConfig { gid, options: Object::new() }
    }

    /// The same with an option, such as `subset`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> GroupConfig {
        self.options.insert(key, value.into());
        self
    }

    /// As the wire has it: the name alone, or an object where there is more to say.
    pub fn to_value(&self) -> Value {
        if self.options.is_empty() {
            return Value::from(self.gid.as_str());
        }
        let mut object = self.options.clone();
        object.insert("gid", Value::from(self.gid.as_str()));
        Value::Object(object)
    }

    /// Reads a name, or `{gid, …}`.
    ///
    /// # Errors
    /// [`ErrorKind::BadArgument`] where there is no name or it cannot be one.
    pub fn from_value(value: &Value) -> Result<GroupConfig, CallError> {
        let bad = |why: String| CallError::new(ErrorKind::BadArgument, why);
        let (name, options) = match value {
            Value::String(name) => (name.as_str(), Object::new()),
            Value::Object(object) => {
                let name = object.get("gid").and_then(Value::as_str);
                let mut options = object.clone();
                options.remove("gid");
                (name.ok_or_else(|| bad("the group's configuration has no gid".to_owned()))?, options)
            }
            other => return Err(bad(format!("a group is named by a string or {{gid, …}}, not {}", other.type_name()))),
        };
        Ok(GroupConfig { gid: Gid::new(name).map_err(|why| bad(why.to_string()))?, options })
    }
}

impl TryFrom<&str> for GroupConfig {
    type Error = NameError;

    fn try_from(name: &str) -> Result<GroupConfig, NameError> {
        Ok(GroupConfig::new(Gid::new(name)?))
    }
}

impl From<Gid> for GroupConfig {
    fn from(gid: Gid) -> GroupConfig {
        GroupConfig::new(gid)
    }
}

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

    /// As [`put`](Groups::put), but the group remains the one that it was if its configuration is the same: for a set that
    /// holds all members which the group has.
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

    /// Adds a node to a group, and to `all`. One that is in the group under a key that a caller chose is added under its
    /// SID too. Answers the set after.
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

    /// Removes a node, named by its [`key`](NodeAddr::key), from every group it is in, under all its SIDs. Answers which
    /// those were, and under which SIDs it was found.
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

/// Whether a key is the one that the node itself gives rise to, and not one that a caller chose.
fn is_sid_of(sid: &Sid, nid: &Nid) -> bool {
    sid.as_str().len() >= SID_DIGITS && nid.to_string().starts_with(sid.as_str())
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

#[cfg(test)]
mod spelling;

#[cfg(test)]
mod tests {
    use super::*;

    fn node(port: u16) -> NodeAddr {
        NodeAddr::new("127.0.0.1", port)
    }

    fn gid(name: &str) -> Gid {
        Gid::new(name).unwrap()
    }

    #[test]
    fn a_set_is_in_written_order_as_it_is_when_it_was_written_and_read() {
        let sids = ["b", "10", "a", "9", "01", "4294967295"].map(|sid| Sid::new(sid).unwrap());
        let mut group = Group::default();
        for (port, sid) in (1..).zip(sids) {
            group.hold(sid, node(port).key(), node(port));
        }
        let order = |group: &Group| group.iter().map(|(sid, _)| sid.to_string()).collect::<Vec<_>>();
        let read = Group::from_peer(&group.to_value()).unwrap();
        assert_ne!(order(&group), order(&read));
        assert_eq!(order(&group.in_written_order()), order(&read));
    }

    fn kind(result: Result<Arc<Group>, CallError>) -> ErrorKind {
        result.unwrap_err().kind
    }

    #[test]
    fn one_that_was_forgotten_comes_back_as_it_was_known() {
        let mut groups = Groups::new(node(1));
        let named = Group::from_value(&Value::Object([("507aa", node(2).to_value())].into_iter().collect())).unwrap();
        groups.put(GroupConfig::new(gid("g")), named.clone()).unwrap();
        let left = groups.forget(&node(2).nid());
        assert_eq!(left.len(), 2);
        let restored = left.iter().filter(|(gid, sid)| groups.restore(gid, sid, &node(2))).count();
        assert_eq!(restored, 2);
        assert_eq!(*groups.get(&gid("g")).unwrap(), named);
        assert!(!groups.restore(&gid("gone"), &node(2).sid(), &node(2)));
    }

    #[test]
    fn the_members_are_a_ring_whose_order_does_not_depend_on_who_came_first() {
        let one: Group = (1..=9).map(node).collect();
        let localhost = NodeAddr::new("localhost", 5);
        assert_ne!(localhost.nid(), localhost.key());
        let other: Group = (1..=9).rev().map(|port| if port == 5 { localhost.clone() } else { node(port) }).collect();
        let first = node(1).nid();
        let (mut met, mut at) = (Vec::new(), first);
        for _ in 0..9 {
            let [before, after] = one.around(&at).unwrap();
            assert_eq!(other.around(&at), Some([before, after]));
            assert_eq!((one.around(&after).unwrap()[0], one.around(&before).unwrap()[1]), (at, at));
            met.push(at);
            at = after;
        }
        assert_eq!(at, first);
        met.sort_unstable();
        met.dedup();
        assert_eq!(met.len(), 9);

        let [before, after] = one.around(&node(10).nid()).unwrap();
        assert_eq!(one.around(&before).unwrap()[1], after, "a node that is no member stands between two");
        let pair: Group = [node(1), node(2)].into();
        assert_eq!(pair.around(&first), Some([node(2).nid(); 2]));
        let alone: Group = [node(1)].into();
        assert_eq!(alone.around(&first), None);
        assert_eq!(Group::default().around(&first), None);
    }

    #[test]
    fn all_holds_this_node_and_whoever_was_met() {
        let mut groups = Groups::new(node(1));
        assert_eq!(groups.get(&Gid::all()).unwrap().len(), 1);
        groups.put(GroupConfig::new(gid("g")), [node(2), node(3)].into_iter().collect()).unwrap();
        groups.add(&gid("g"), node(4)).unwrap();
        assert_eq!(groups.get(&gid("g")).unwrap().len(), 3);
        assert_eq!(groups.get(&Gid::all()).unwrap().len(), 4);
        assert_eq!(groups.get(&Gid::local()).unwrap().len(), 1);
    }

    #[test]
    fn a_shared_view_is_copied_only_by_who_changes_it() {
        let view: Arc<Group> = Arc::new((1..=3).map(node).collect());
        let config = Arc::new(GroupConfig::new(gid("g")));
        let (mut one, mut stranger) = (Groups::new(node(1)), Groups::new(node(9)));
        one.share(config.clone(), view.clone()).unwrap();
        stranger.share(config, view.clone()).unwrap();
        assert!(Arc::ptr_eq(&one.get(&gid("g")).unwrap(), &view));
        assert!(Arc::ptr_eq(&one.get(&Gid::all()).unwrap(), &view));
        assert_eq!(stranger.get(&Gid::all()).unwrap().len(), 4);
        one.rem(&gid("g"), node(2).sid().as_str()).unwrap();
        assert_eq!((one.get(&gid("g")).unwrap().len(), one.get(&Gid::all()).unwrap().len(), view.len()), (2, 3, 3));
    }

    #[test]
    fn removing_from_one_group_leaves_the_others() {
        let mut groups = Groups::new(node(1));
        for name in ["a", "b"] {
            groups.put(GroupConfig::new(gid(name)), [node(2), node(3)].into_iter().collect()).unwrap();
        }
        assert_eq!(groups.rem(&gid("a"), node(2).sid().as_str()).unwrap().len(), 1);
        assert_eq!(groups.rem(&gid("a"), "nobody").unwrap().len(), 1);
        assert_eq!(groups.get(&gid("b")).unwrap().len(), 2);
        assert_eq!(groups.get(&Gid::all()).unwrap().len(), 3);
    }

    #[test]
    fn what_is_built_in_stays() {
        let mut groups = Groups::new(node(1));
        assert_eq!(kind(groups.del(&Gid::all())), ErrorKind::Reserved);
        assert_eq!(kind(groups.del(&Gid::local())), ErrorKind::Reserved);
        assert_eq!(kind(groups.add(&Gid::local(), node(2))), ErrorKind::Reserved);
        assert_eq!(kind(groups.put(GroupConfig::new(Gid::local()), Group::default())), ErrorKind::Reserved);
        assert_eq!(groups.rem(&Gid::all(), node(1).sid().as_str()).unwrap().len(), 1);
        assert_eq!(groups.put(GroupConfig::new(Gid::all()), Group::default()).unwrap().len(), 1);
    }

    #[test]
    fn a_group_that_is_not_there_is_an_error_without_effect() {
        let mut groups = Groups::new(node(1));
        assert_eq!(kind(groups.get(&gid("g"))), ErrorKind::UnknownGroup);
        assert_eq!(kind(groups.add(&gid("g"), node(2))), ErrorKind::UnknownGroup);
        assert_eq!(kind(groups.rem(&gid("g"), "x")), ErrorKind::UnknownGroup);
        assert_eq!(kind(groups.del(&gid("g"))), ErrorKind::UnknownGroup);
        assert_eq!(groups.get(&Gid::all()).unwrap().len(), 1);
    }

    #[test]
    fn keys_that_the_caller_chose_are_kept() {
        let set =
            serde_json::json!({"507aa": {"ip": "127.0.0.1", "port": 8080}, "b": {"ip": "127.0.0.1", "port": 8081}});
        let group = Group::from_value(&Value::from_json(set.clone())).unwrap();
        assert_eq!(group.to_value(), Value::from_json(set));
        assert_eq!(group.sid_of(&node(8080).nid()).unwrap().as_str(), "507aa");
    }

    #[test]
    fn a_malformed_set_is_refused_whole() {
        for json in [
            serde_json::json!([1]),
            serde_json::json!({"a": 3}),
            serde_json::json!({"a": {"ip": "h", "port": 1}, "b": {"ip": "h", "port": 70000}}),
            serde_json::json!({"": {"ip": "h", "port": 1}}),
        ] {
            let error = Group::from_value(&Value::from_json(json)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::BadArgument);
        }
        assert!(Group::from_value(&Value::Undefined).unwrap().is_empty());
    }

    #[test]
    fn a_node_under_another_key_is_added_under_its_sid_too() {
        let (first, second) = (node(1), node(2));
        let set = Value::Object([("507aa", second.to_value())].into_iter().collect());
        let mut groups = Groups::new(first);
        groups.put(GroupConfig::new(gid("g")), Group::from_value(&set).unwrap()).unwrap();
        // news of the node does not add a key, an operator does
        assert_eq!(groups.enroll(&gid("g"), second.clone()).unwrap().len(), 1);
        for _ in 0..2 {
            let after = groups.add(&gid("g"), second.clone()).unwrap();
            assert_eq!(
                after.iter().map(|(sid, _)| sid.clone()).collect::<Vec<_>>(),
                [Sid::new("507aa").unwrap(), second.sid()]
            );
            assert_eq!(after.sid_of(&second.nid()), Some(&second.sid()));
            assert_eq!(Group::from_value(&after.to_value()).unwrap(), *after);
        }
        assert_eq!(groups.get(&Gid::all()).unwrap().len(), 2);
        // under the other key it stays, until that is removed too
        let after = groups.rem(&gid("g"), second.sid().as_str()).unwrap();
        assert_eq!(after.sid_of(&second.nid()).map(Sid::as_str), Some("507aa"));
        groups.add(&gid("g"), second.clone()).unwrap();
        assert_eq!(groups.forget(&second.nid()).len(), 2);
        assert!(groups.get(&gid("g")).unwrap().is_empty());
    }

    #[test]
    fn the_keys_of_an_array_are_its_indices() {
        let array = Value::from(vec![node(1).to_value(), node(2).to_value()]);
        let group = Group::from_value(&array).unwrap();
        assert_eq!(group.iter().map(|(sid, _)| sid.as_str()).collect::<Vec<_>>(), ["0", "1"]);
        // one object under two keys is a reference on the wire
        let shared: Object =
            [("a", node(1).to_value()), ("b", Value::Reference(crate::value::Reference::new(1, ["a"])))]
                .into_iter()
                .collect();
        let group = Group::from_value(&Value::Object(shared)).unwrap();
        assert_eq!(group.get("a"), group.get("b"));
    }

    #[test]
    fn sids_that_collide_lose_nobody() {
        // the first pair of ports of 127.0.0.1 whose NIDs share five digits
        let mut seen = BTreeMap::new();
        let pair = (1..=u16::MAX).find_map(|port| Some((seen.insert(node(port).sid(), port)?, port)));
        let (first, second) = pair.unwrap();
        let group: Group = [node(first), node(second)].into_iter().collect();
        assert_eq!(group.len(), 2);
        let sid = group.sid_of(&node(second).nid()).unwrap();
        assert!(sid.as_str().len() > SID_DIGITS);
        assert!(node(second).nid().to_string().starts_with(sid.as_str()));
        // the same node again is the same member
        let mut again = group.clone();
        assert_eq!(again.add(node(second)), *sid);
        assert_eq!(again.len(), 2);
    }

    #[test]
    fn forgetting_takes_a_node_out_everywhere_but_never_oneself() {
        let mut groups = Groups::new(node(1));
        groups.put(GroupConfig::new(gid("g")), [node(1), node(2)].into_iter().collect()).unwrap();
        let left = groups.forget(&node(2).nid());
        assert_eq!(left.iter().map(|(gid, _)| gid.as_str()).collect::<Vec<_>>(), ["all", "g"]);
        assert!(groups.forget(&node(1).nid()).is_empty());
    }

    #[test]
    fn a_group_is_named_or_configured() {
        let plain = GroupConfig::from_value(&Value::from("g")).unwrap();
        assert_eq!(plain.to_value(), Value::from("g"));
        let config = Value::from_json(serde_json::json!({"gid": "g", "subset": "log"}));
        assert_eq!(GroupConfig::from_value(&config).unwrap().options.get("subset"), Some(&Value::from("log")));
        for json in [serde_json::json!(null), serde_json::json!({}), serde_json::json!(""), serde_json::json!("a/b")] {
            assert!(GroupConfig::from_value(&Value::from_json(json)).is_err());
        }
    }
}
