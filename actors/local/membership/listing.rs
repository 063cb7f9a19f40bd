//! Everybody known, as people and programs read it.

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
        let roster = self.roster.borrow();
        let all = self.state.groups.borrow().get(&Gid::all()).unwrap_or_default();
        let mine = (self.state.nid, swim::Status::Alive, roster.swim.incarnation());
        let mut list = Object::new();
        // those of `all` first, so that nobody else takes their SIDs
        for there in [true, false] {
            for (nid, status, incarnation) in std::iter::once(mine).chain(roster.swim.peers()) {
                if all.contains(&nid) != there {
                    continue;
                }
                let Some(node) = self.find(&roster, &nid).map(|known| known.node) else { continue };
                let Value::Object(mut entry) = NodeAddr::new(node.ip(), node.port()).to_value() else { continue };
                entry.insert("status", status_name(status));
                entry.insert("life", incarnation.life as f64);
                entry.insert("turn", incarnation.turn);
                if let Some(since) = roster.swim.since(&nid) {
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

/// One member as `membership.list` has it, read back.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Standing {
    /// Where it is reached.
    pub node: NodeAddr,
    /// How this node regards it.
    pub status: swim::Status,
    /// Its latest incarnation that is known here; of life 0 for one that states none.
    pub incarnation: swim::Incarnation,
    /// Since when it has been unreachable, failed, left or expelled, in milliseconds since 1970 by this node's clock.
    pub since: Option<f64>,
}

impl Standing {
    /// Reads an entry of the list.
    ///
    /// # Errors
    /// [`ErrorKind::BadAnswer`] where it is none.
    pub(crate) fn from_value(entry: &Value) -> Result<Standing, CallError> {
        let bad = || CallError::new(ErrorKind::BadAnswer, "not an entry of a list of members");
        let node = NodeAddr::from_value(entry)?;
        let status = entry.get("status").and_then(Value::as_str).and_then(wire::status_of_name).ok_or_else(bad)?;
        let incarnation = entry.clone().deserialize::<Stated>()?.statement.incarnation;
        let since = entry.get("since").and_then(Value::as_f64);
        Ok(Standing { node: NodeAddr::new(node.ip(), node.port()), status, incarnation, since })
    }
}
