//! [`Group`]: a set of nodes.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use crate::call::{CallError, ErrorKind};
use crate::identity::{NameError, Nid, NodeAddr, SID_DIGITS, Sid};
use crate::value::number::array_index;
use crate::value::{Segment, Value};

/// The most members of a group: ten times the size of the largest simulation.
pub const MAX_MEMBERS: usize = 1_000_000;

/// A member of a group, with the identifier that the protocols use.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The node's [`key`](NodeAddr::key), which every message needs. It is the node's NID if the address is written in
    /// its canonical form.
    pub nid: Nid,
    /// The address of the node as it was written.
    pub node: NodeAddr,
}

impl From<NodeAddr> for Member {
    fn from(node: NodeAddr) -> Member {
        Member { nid: node.key(), node }
    }
}

/// A set of nodes by SID, in the order in which they were added. Share it behind an [`Arc`](std::sync::Arc).
///
/// ```
/// use chinwag_protocol::{group::Group, identity::NodeAddr};
///
/// let [first, second] = [8080, 8081].map(|port| NodeAddr::new("127.0.0.1", port));
/// let mut group = Group::from([first.clone()]);
/// let sid = group.add(second.clone());
/// assert_eq!(group.get(sid.as_str()).unwrap().node, second);
/// assert!(group.contains(&first.key()));
/// group.remove(sid.as_str());
/// assert_eq!(group.len(), 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Group {
    members: IndexMap<Sid, Member>,
    /// The SID of each member, by key and also by NID if that differs. The order is the same on all nodes that hold the
    /// set.
    sids: BTreeMap<Nid, Sid>,
    /// The memory that the further keys of the members take, in bytes.
    extra_bytes: usize,
}

/// An entry of a set of nodes that has not been read: its key, its position in the value, and the node.
type Unread<'a> = (Result<Sid, NameError>, Segment, &'a Value);

/// Two groups are equal if they hold the same nodes under the same SIDs.
impl PartialEq for Group {
    fn eq(&self, other: &Group) -> bool {
        self.members == other.members
    }
}

impl Group {
    /// Returns the number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns about how many bytes of memory the members' keys other than `ip` and `port` take.
    pub const fn extra_bytes(&self) -> usize {
        self.extra_bytes
    }

    /// Returns whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns the member under this SID.
    pub fn get(&self, sid: &str) -> Option<&Member> {
        self.members.get(sid)
    }

    /// Returns the member at `index`, counted from 0, and its SID.
    pub fn member(&self, index: usize) -> Option<(&Sid, &Member)> {
        self.members.get_index(index)
    }

    /// Returns the SID of a node, by its [`key`](NodeAddr::key) or by the NID of the address as it is written here.
    pub fn sid_of(&self, nid: &Nid) -> Option<&Sid> {
        self.sids.get(nid)
    }

    /// Returns the member with this key or NID, as in [`sid_of`](Group::sid_of).
    pub fn by_nid(&self, nid: &Nid) -> Option<&Member> {
        self.members.get(self.sids.get(nid)?)
    }

    /// Returns whether a node with this key or NID is a member, as in [`sid_of`](Group::sid_of).
    pub fn contains(&self, nid: &Nid) -> bool {
        self.sids.contains_key(nid)
    }

    /// Returns the members before and after a node on the ring of all members in the order of their keys. The node
    /// itself need not be a member. With one other member, both are that member; with none, the result is `None`.
    pub fn around(&self, nid: &Nid) -> Option<[Nid; 2]> {
        // a member whose address is not in its canonical form is in the map twice, and counts at the position of its
        // key
        let is_other = |(name, sid): &(&Nid, &Sid)| {
            *name != nid && self.members.get(*sid).is_some_and(|member| member.nid == **name)
        };
        let below = self.sids.range(..nid).rev().find(is_other);
        let above = self.sids.range(nid..).find(is_other);
        let first = || self.sids.iter().find(is_other);
        let last = || self.sids.iter().rev().find(is_other);
        Some([*below.or_else(last)?.0, *above.or_else(first)?.0])
    }

    /// Iterates over the members in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Sid, &Member)> {
        self.members.iter()
    }

    /// Returns the SID that a node has in this group, or would get: the first five digits of its NID, or more if
    /// another node has those, as git lengthens an abbreviated hash.
    pub fn sid_for(&self, nid: &Nid) -> Sid {
        if let Some(sid) = self.sids.get(nid) {
            return sid.clone();
        }
        self.own_sid(nid)
    }

    /// Returns the SID that a node would get, whatever other keys it has.
    fn own_sid(&self, nid: &Nid) -> Sid {
        let mut digits = SID_DIGITS;
        loop {
            let sid = nid.sid_of(digits);
            // only a key that a caller chose can take all 64 digits
            if digits >= 64 || self.members.get(&sid).is_none_or(|member| member.node.nid() == *nid) {
                return sid;
            }
            digits += 1;
        }
    }

    /// Adds a node under its [`sid_for`](Group::sid_for), or updates the further keys of a member. A member under
    /// another spelling of its address stays as it is. Returns the SID of the node.
    pub fn add(&mut self, node: NodeAddr) -> Sid {
        let key = node.key();
        if let Some(sid) = self.sids.get(&key).cloned() {
            if let Some(held) = self.members.get_mut(&sid).filter(|held| held.node.is_spelled_like(&node)) {
                self.extra_bytes = self.extra_bytes - held.node.extra_bytes() + node.extra_bytes();
                held.node = node;
            }
            return sid;
        }
        let sid = self.sid_for(&node.nid());
        self.hold(sid.clone(), key, node);
        sid
    }

    /// Stores a node under a SID, and makes its key and its NID lead to that SID.
    pub(super) fn hold(&mut self, sid: Sid, key: Nid, node: NodeAddr) {
        self.sids.insert(key, sid.clone());
        if !node.is_canonical() {
            self.sids.insert(node.nid(), sid.clone());
        }
        self.set(sid, Member { nid: key, node });
    }

    fn set(&mut self, sid: Sid, member: Member) {
        self.extra_bytes += member.node.extra_bytes();
        if let Some(replaced) = self.members.insert(sid, member) {
            self.extra_bytes -= replaced.node.extra_bytes();
        }
    }

    /// Adds a node under its own SID even if it has a key that a caller chose. The node then has both keys, and is
    /// found by its SID. A member under another spelling of its address stays as it is.
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

    /// Removes the entry under this SID. The node stays a member if it has another key.
    pub fn remove(&mut self, sid: &str) -> Option<Member> {
        let member = self.members.shift_remove(sid)?;
        self.extra_bytes -= member.node.extra_bytes();
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

    /// Returns the set in the order in which it would be read from the wire: SIDs that JavaScript takes for indices
    /// come first. A set that is passed on without being written is then the same as one that is written and read.
    #[must_use]
    pub fn in_written_order(mut self) -> Group {
        self.members.sort_by_cached_key(|sid, _| array_index(sid.as_str()).map_or((1, 0), |index| (0, index)));
        self
    }

    /// Returns the form on the wire: an object from SID to node.
    pub fn to_value(&self) -> Value {
        Value::Object(self.members.iter().map(|(sid, member)| (sid.as_str(), member.node.to_value())).collect())
    }

    /// Reads a set of nodes: an object from SID to node, or an array, whose indices become the keys. `null` and
    /// `undefined` are the empty set. A node can have several keys.
    ///
    /// # Errors
    /// [`ErrorKind::BadArgument`], naming the entry whose key or node is invalid, or two entries that are one node
    /// under two spellings of its address.
    pub fn from_value(value: &Value) -> Result<Group, CallError> {
        let bad = |why: String| CallError::new(ErrorKind::BadArgument, why);
        let mut group = Group::default();
        for (sid, place, entry) in Group::entries(value)? {
            let sid = sid.map_err(|why| bad(why.to_string()))?;
            let node = match entry {
                // the object is also under another key
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
                    group.set(sid, Member { nid: key, node });
                    continue;
                }
            }
            group.hold(sid, key, node);
        }
        Ok(group)
    }

    /// Reads a set of nodes from a peer, which may have other rules: invalid entries are skipped, and of two entries
    /// that are one node the first is kept.
    ///
    /// # Errors
    /// [`ErrorKind::BadArgument`] if it is not a set or has too many entries.
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

    /// Returns the entries of a set of nodes without reading them.
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

/// Returns whether a key is derived from the NID, and not one that a caller chose.
pub(super) fn is_sid_of(sid: &Sid, nid: &Nid) -> bool {
    sid.as_str().len() >= SID_DIGITS && nid.to_string().starts_with(sid.as_str())
}
