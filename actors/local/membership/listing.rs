//! The list of all known nodes, as `membership.list` returns it.

use chinwag_protocol::{
    call::{CallError, ErrorKind},
    identity::{Gid, NodeAddr},
    peer::Stated,
    swim,
    value::{Object, Value},
};

use super::{
    actor::Membership,
    wire::{self, status_name},
};

impl Membership {
    pub(super) fn list(&self) -> Value {
        let membership = self.membership.borrow();
        let all = self.state.groups.borrow().get(&Gid::all()).unwrap_or_default();
        let own = (self.state.nid, swim::Status::Alive, membership.swim.incarnation());
        let mut list = Object::new();
        // Nodes in `all` come first, so that no other node takes their SIDs.
        for in_all in [true, false] {
            for (nid, status, incarnation) in std::iter::once(own).chain(membership.swim.peers()) {
                if all.contains(&nid) != in_all {
                    continue;
                }
                let Some(node) = self.find(&membership, &nid).map(|known| known.node) else { continue };
                let Value::Object(mut entry) = NodeAddr::new(node.ip(), node.port()).to_value() else { continue };
                entry.insert("status", status_name(status));
                entry.insert("life", incarnation.life as f64);
                entry.insert("turn", incarnation.turn);
                if let Some(since) = membership.swim.since(&nid) {
                    let began = self.state.incarnation as f64;
                    entry.insert("since", (began + since.as_secs_f64() * 1_000.0).round());
                }
                let written = node.nid();
                let mut sid = all.sid_of(&nid).cloned().unwrap_or_else(|| all.sid_for(&written));
                for digits in sid.as_str().len()..=64 {
                    if !list.contains_key(sid.as_str()) {
                        break;
                    }
                    sid = written.sid_of(digits);
                }
                list.insert(sid.as_str(), Value::Object(entry));
            }
        }
        Value::Object(list)
    }
}

/// One entry of `membership.list`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Standing {
    /// The node's address.
    pub node: NodeAddr,
    /// The node's status, as the listing node sees it.
    pub status: swim::Status,
    /// The node's latest known incarnation. It is of life 0 if the node states none.
    pub incarnation: swim::Incarnation,
    /// When the node became unreachable, failed, left or was expelled, in milliseconds since 1970 by the listing node's clock.
    /// `None` for any other status.
    pub since: Option<f64>,
}

impl Standing {
    /// Reads an entry.
    ///
    /// # Errors
    /// [`ErrorKind::BadAnswer`] if the value is not an entry.
    pub(crate) fn from_value(entry: &Value) -> Result<Standing, CallError> {
        let bad = || CallError::new(ErrorKind::BadAnswer, "not an entry of a member list");
        let node = NodeAddr::from_value(entry)?;
        let status = entry.get("status").and_then(Value::as_str).and_then(wire::status_of_name).ok_or_else(bad)?;
        let incarnation = entry.clone().deserialize::<Stated>()?.statement.incarnation;
        let since = entry.get("since").and_then(Value::as_f64);
        Ok(Standing { node: NodeAddr::new(node.ip(), node.port()), status, incarnation, since })
    }
}
