//! [`Group`]: a set of nodes.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use crate::call::{CallError, ErrorKind};
use crate::identity::{NameError, Nid, NodeAddr, SID_DIGITS, Sid};
use crate::value::number::array_index;
use crate::value::{Segment, Value};

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

    /// The members before and after this one in the order of their keys, which is a ring: the last comes before the
    /// first. The node itself need not be a member. They are the same member where there is only one other; `None`
    /// where there is no other.
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
    pub(super) fn hold(&mut self, sid: Sid, key: Nid, node: NodeAddr) {
        self.sids.insert(key, sid.clone());
        if !node.is_canonical() {
            self.sids.insert(node.nid(), sid.clone());
        }
        self.members.insert(sid, Member { nid: key, node });
    }

    /// Adds a node under its SID, also where it is held under a key that a caller chose: then it is held under both,
    /// and is found by its SID. A node that is here under another spelling of its address stays as it is.
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
    /// [`ErrorKind::BadArgument`] naming the entry that is no node or is named by no SID, or two that are one node
    /// under two spellings of its address.
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

    /// Reads a set of nodes that another node holds, by rules that need not be this node's: entries that this node
    /// would refuse are left out, and of two that are one node the first is kept.
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

/// Whether a key is the one that the node itself gives rise to, and not one that a caller chose.
pub(super) fn is_sid_of(sid: &Sid, nid: &Nid) -> bool {
    sid.as_str().len() >= SID_DIGITS && nid.to_string().starts_with(sid.as_str())
}
