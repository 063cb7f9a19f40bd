//! Collects how full the bounded parts of a node are.

use std::{cell::RefCell, rc::Rc};

use chinwag_protocol::{
    group::{MAX_GROUPS, MAX_TOTAL_OPTION_BYTES},
    value::Value,
};

use super::{gossip::GossipState, membership::SharedMembership, routes::Table};
use crate::{
    load::{Fill, Load},
    state::NodeState,
};

/// The parts of a node that hold something bounded.
#[derive(Clone)]
pub(crate) struct LoadSources {
    pub table: Rc<RefCell<Table>>,
    pub gossip: Rc<GossipState>,
    pub membership: Option<SharedMembership>,
}

impl LoadSources {
    /// Reads the load. Of a figure that every group has, the fullest group counts.
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
        put("groupOptionBytes", Fill::new(state.groups.borrow().option_bytes(), MAX_TOTAL_OPTION_BYTES));
        for (name, fill) in self.table.borrow().load() {
            put(name, fill);
        }
        for (gid, group) in self.gossip.groups.borrow().iter() {
            let members = state.groups.borrow().get(gid).map_or(0, |members| members.len());
            for (name, fill) in group.load(members) {
                put(name, fill);
            }
        }
        put("gossip.deletedGroupBytes", self.gossip.deleted_groups.borrow().load());
        for (name, fill) in self.gossip.outcomes.borrow().load() {
            put(name, fill);
        }
        if let Some(membership) = &self.membership {
            for (name, fill) in membership.borrow().load(&state.settings.membership.detection) {
                put(name, fill);
            }
        }
        load
    }

    /// Reads the load as the answer of `status.get("load")`.
    pub(crate) fn to_value(&self, state: &NodeState) -> Value {
        let fill = |fill: Fill| Value::Object([("held", fill.held), ("most", fill.most)].into_iter().collect());
        Value::Object(self.read(state).iter().map(|(name, of)| (name.as_str(), fill(*of))).collect())
    }
}
