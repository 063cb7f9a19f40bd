//! How full a node is: how much it holds of everything that it bounds, as `status.get("load")` answers it.
//!
//! | name | what is counted | bounded by |
//! |---|---|---|
//! | `calls`, `relayedCalls` | calls under way, from outside and made by calls | [`Settings`](crate::settings::Settings) |
//! | `services`, `callbacks` | services that were put, and functions that others may call | [`routes`](crate::local::routes) |
//! | `groups` | groups that the node knows | [`MAX_GROUPS`](chinwag_protocol::group::MAX_GROUPS) |
//! | `gossip.retained` … `gossip.strangers` | the fullest group's | [`rumor::GossipConfig`](chinwag_protocol::rumor::GossipConfig) |
//! | `gossip.deletedGroupBytes`, `gossip.outcomes`, `gossip.outcomeBytes` | those of all groups together | [`gossip`](crate::local::gossip) |
//! | `membership.members` … `membership.subscribers` | this node's view | [`swim::SwimConfig`](chinwag_protocol::swim::SwimConfig) |
//!
//! An operator sees in it which queue refuses with `Busy`, and that a node's memory is accounted for. A simulation checks
//! that no bound is ever exceeded, and that whatever is under way comes to an end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How much a node holds of something, and how much it may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// How much it holds.
    pub held: u64,
    /// How much it may hold.
    pub most: u64,
}

impl Fill {
    pub(crate) fn new(held: usize, most: usize) -> Fill {
        Fill { held: held as u64, most: most as u64 }
    }

    /// The share of the bound that is used: 0 to 1, or more if the bound is exceeded.
    pub fn share(self) -> f64 {
        self.held as f64 / self.most.max(1) as f64
    }
}

/// The fills of one node, by name.
pub type Load = BTreeMap<String, Fill>;
