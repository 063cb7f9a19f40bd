//! How full a node is: how much it holds of everything that it bounds, as `status.get("load")` returns it.
//!
//! | name | what is counted | bounded by |
//! |---|---|---|
//! | `calls`, `relayedCalls` | calls under way, from outside and made by calls | [`Settings`](crate::settings::Settings) |
//! | `services`, `callbacks` | services that were put, and functions that others may call | `MAX_SERVICES`, `MAX_CALLBACKS` of [`routes`](crate::local::routes) |
//! | `serviceBytes` | the memory of the services that were put | [`Settings`](crate::settings::Settings) |
//! | `groups` | groups that the node knows | [`MAX_GROUPS`](chinwag_protocol::group::MAX_GROUPS) |
//! | `groupOptionBytes` | the memory of the options of groups, and of nodes' keys beside `ip` and `port` | [`MAX_TOTAL_OPTION_BYTES`](chinwag_protocol::group::MAX_TOTAL_OPTION_BYTES) |
//! | `gossip.retained` … `gossip.strangers` | the fullest group's | [`rumor::GossipConfig`](chinwag_protocol::rumor::GossipConfig) |
//! | `gossip.deletedGroupBytes`, `gossip.outcomes`, `gossip.outcomeBytes` | those of all groups together | constants of the gossip service |
//! | `membership.members` … `membership.subscribers` | this node's view | [`swim::SwimConfig`](chinwag_protocol::swim::SwimConfig) |
//!
//! An operator sees which queue refuses with `Busy`, and what takes a node's memory. A simulation checks that no bound is
//! exceeded, and that everything under way comes to an end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How much a node holds of something, and how much it may hold.
///
/// ```
/// # use chinwag_actors::{environment::Environment, node};
/// # actix::System::new().block_on(async {
/// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
/// let groups = node.status().load().await?["groups"];
/// assert!(groups.held <= groups.most);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// How much the node holds.
    pub held: u64,
    /// How much the node may hold.
    pub most: u64,
}

impl Fill {
    pub(crate) fn new(held: usize, most: usize) -> Fill {
        Fill { held: held as u64, most: most as u64 }
    }

    /// The share of the bound that is used: 0 to 1, or more if the bound is exceeded.
    ///
    /// ```
    /// use chinwag_actors::load::Fill;
    /// assert_eq!(Fill { held: 1, most: 4 }.share(), 0.25);
    /// ```
    pub fn share(self) -> f64 {
        self.held as f64 / self.most.max(1) as f64
    }
}

/// The fills of one node, by name. The [module](self) lists the names.
///
/// ```
/// # use chinwag_actors::{environment::Environment, node};
/// # actix::System::new().block_on(async {
/// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
/// for (name, fill) in node.status().load().await? {
///     println!("{name}: {} of {}", fill.held, fill.most);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub type Load = BTreeMap<String, Fill>;
