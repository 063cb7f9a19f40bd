//! How full a node is: what it holds of everything that it bounds.
//!
//! | name | what is counted | bounded by |
//! |---|---|---|
//! | `calls`, `relayedCalls` | calls under way, from outside and made by calls | [`Settings`](crate::home::Settings) |
//! | `services`, `callbacks` | what was put, and functions that others may call | [`routes`](crate::local::routes) |
//! | `groups` | groups known | [`MAX_GROUPS`] |
//! | `gossip.retained` … `gossip.strangers` | of the fullest group | [`rumor::GossipConfig`](chinwag_protocol::rumor::GossipConfig) |
//! | `gossip.deletedGroupBytes`, `gossip.outcomes`, `gossip.outcomeBytes` | of all groups together | [`gossip`](crate::local::gossip) |
//! | `membership.members` … `membership.subscribers` | of this node's view | [`swim::SwimConfig`](chinwag_protocol::swim::SwimConfig) |
//!
//! An operator sees in it which queue it is that refuses with `Busy`, and that a node's memory is accounted for; a
//! simulation checks that none is ever past its bound, and that what was under way comes to an end.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use chinwag_protocol::{group::MAX_GROUPS, value::Value};
use serde::{Deserialize, Serialize};

use crate::{
    home::Home,
    local::{gossip::Rooms, membership, routes::Table},
};

/// How much there is of something, and how much there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// So many there are.
    pub held: u64,
    /// So many there may be.
    pub most: u64,
}

impl Fill {
    pub(crate) fn new(held: usize, most: usize) -> Fill {
        Fill { held: held as u64, most: most as u64 }
    }

    /// The share that is taken. 0 to 1, or more where a bound is broken.
    pub fn share(self) -> f64 {
        self.held as f64 / self.most.max(1) as f64
    }
}

/// A node's, by name.
pub type Load = BTreeMap<String, Fill>;

/// Where it is read.
#[derive(Clone)]
pub(crate) struct Gauges {
    pub table: Rc<RefCell<Table>>,
    pub rooms: Rc<Rooms>,
    pub roster: Option<membership::Shared>,
}

impl Gauges {
    pub(crate) fn read(&self, home: &Home) -> Load {
        let mut load = Load::new();
        let (edge, relayed) = home.under_way();
        let mut put = |name: &str, fill: Fill| {
            let fullest = load.entry(name.to_owned()).or_insert(fill);
            if fill.share() > fullest.share() {
                *fullest = fill;
            }
        };
        put("calls", Fill::new(edge, home.settings.calls_in_flight));
        put("relayedCalls", Fill::new(relayed, home.settings.relayed_calls_in_flight));
        put("groups", Fill::new(home.groups.borrow().names().count(), MAX_GROUPS));
        for (name, fill) in self.table.borrow().load() {
            put(name, fill);
        }
        for (gid, room) in self.rooms.by_group.borrow().iter() {
            let members = home.groups.borrow().get(gid).map_or(0, |members| members.len());
            for (name, fill) in room.load(members) {
                put(name, fill);
            }
        }
        put("gossip.deletedGroupBytes", self.rooms.memories.borrow().load());
        for (name, fill) in self.rooms.outcomes.borrow().load() {
            put(name, fill);
        }
        if let Some(roster) = &self.roster {
            for (name, fill) in roster.borrow().load(&home.settings.membership.detection) {
                put(name, fill);
            }
        }
        load
    }

    pub(crate) fn shown(&self, home: &Home) -> Value {
        let fill = |fill: Fill| Value::Object([("held", fill.held), ("most", fill.most)].into_iter().collect());
        Value::Object(self.read(home).iter().map(|(name, of)| (name.as_str(), fill(*of))).collect())
    }
}
