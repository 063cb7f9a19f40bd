//! Calls to passive members, which do not follow the membership protocol: they learn of removals and returns by the
//! `groups.rem` and `groups.add` that they understand.

use std::time::Duration;

use chinwag_protocol::{
    call::{Call, Reply},
    identity::{Gid, NodeAddr, Sid},
    value::Value,
};
use futures_util::{
    StreamExt as _,
    future::{LocalBoxFuture, join_all},
};

use super::{actor::Membership, state::MembershipState};

/// The timeout of a call to a passive member.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// The most passive members that are called at once about new nodes. A guess.
const MAX_CALLS: usize = 32;

impl Membership {
    /// Calls `groups.add` on the passive members of a group for each of the new nodes.
    pub(super) fn announce(&self, membership: &MembershipState, gid: &Gid, nodes: &[NodeAddr]) {
        let group = self.state.groups.borrow().get(gid).unwrap_or_default();
        let passive = group.iter().map(|(_, member)| member.nid).filter(|nid| membership.swim.is_passive(nid));
        let passive: Vec<NodeAddr> = passive.filter_map(|nid| membership.address(&nid).cloned()).collect();
        if passive.is_empty() {
            return;
        }
        let (state, gid, nodes) = (self.state.clone(), gid.clone(), nodes.to_vec());
        actix::spawn(async move {
            let pairs = passive
                .iter()
                .flat_map(|to| nodes.iter().filter(move |node| !node.is_same_node(to)).map(move |node| (to, node)));
            let calls = futures_util::stream::iter(pairs).map(|(to, node)| {
                let arguments = vec![Value::from(gid.as_str()), node.to_value()];
                state.call(to, Call::new(Gid::local(), "groups", "add", arguments), CALL_TIMEOUT)
            });
            calls.buffer_unordered(MAX_CALLS).for_each(|_| std::future::ready(())).await;
        });
    }

    /// Makes passive members change their groups, in a task of its own.
    pub(super) fn update_passive_members(
        &self,
        membership: &MembershipState,
        groups: Vec<(Gid, Sid)>,
        method: impl Fn(&Sid) -> (&'static str, Value),
    ) {
        actix::spawn(join_all(self.passive_calls(membership, groups, method)));
    }

    /// Returns the calls that make passive members change their groups. `method` returns the method of `groups`, and its
    /// second argument.
    pub(super) fn passive_calls(
        &self,
        membership: &MembershipState,
        groups: Vec<(Gid, Sid)>,
        method: impl Fn(&Sid) -> (&'static str, Value),
    ) -> Vec<LocalBoxFuture<'static, Reply>> {
        let mut calls = Vec::new();
        for to in membership.swim.passive_members().filter_map(|nid| membership.address(&nid)) {
            for (gid, sid) in &groups {
                let (method, argument) = method(sid);
                let arguments = vec![Value::from(gid.as_str()), argument];
                // A member that does not know the group returns an error, which is ignored.
                calls.push(self.state.call(to, Call::new(Gid::local(), "groups", method, arguments), CALL_TIMEOUT));
            }
        }
        calls
    }
}
