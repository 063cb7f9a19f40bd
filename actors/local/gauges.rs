//! Reads how full the parts of a node are.

use std::{cell::RefCell, rc::Rc};

use chinwag_protocol::{group::MAX_GROUPS, value::Value};

use super::{gossip::Rooms, membership, routes::Table};
use crate::{
    load::{Fill, Load},
    state::NodeState,
};

/// Whatever holds something that a node bounds.
#[derive(Clone)]
pub(crate) struct Gauges {
    pub table: Rc<RefCell<Table>>,
    pub rooms: Rc<Rooms>,
    pub roster: Option<membership::Shared>,
}

impl Gauges {
    pub(crate) fn read(&self, state: &NodeState) -> Load {
        let mut load = Load::new();
        let (edge, relayed) = state.admission.under_way();
        let mut put = |name: &str, fill: Fill| {
            let fullest = load.entry(name.to_owned()).or_insert(fill);
            if fill.share() > fullest.share() {
                *fullest = fill;
            }
        };
        put("calls", Fill::new(edge, state.settings.calls_in_flight));
        put("relayedCalls", Fill::new(relayed, state.settings.relayed_calls_in_flight));
        put("groups", Fill::new(state.groups.borrow().names().count(), MAX_GROUPS));
        for (name, fill) in self.table.borrow().load() {
            put(name, fill);
        }
        for (gid, room) in self.rooms.by_group.borrow().iter() {
            let members = state.groups.borrow().get(gid).map_or(0, |members| members.len());
            for (name, fill) in room.load(members) {
                put(name, fill);
            }
        }
        put("gossip.deletedGroupBytes", self.rooms.memories.borrow().load());
        for (name, fill) in self.rooms.outcomes.borrow().load() {
            put(name, fill);
        }
        if let Some(roster) = &self.roster {
            for (name, fill) in roster.borrow().load(&state.settings.membership.detection) {
                put(name, fill);
            }
        }
        load
    }

    pub(crate) fn shown(&self, state: &NodeState) -> Value {
        let fill = |fill: Fill| Value::Object([("held", fill.held), ("most", fill.most)].into_iter().collect());
        Value::Object(self.read(state).iter().map(|(name, of)| (name.as_str(), fill(*of))).collect())
    }
}
