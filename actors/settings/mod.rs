//! The settings of a node.

mod membership;

pub use self::membership::{MembershipSettings, Seed};
use crate::scripts::ScriptSettings;

/// The bounds of one node. Each refuses with `Busy` rather than let a queue grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Calls under way that came from outside or from this program. Range: from 1. Default 1,024, a guess: at 5 s a
    /// call that is what a slow group call of every client costs, and holds the memory of as many bodies.
    pub calls_in_flight: usize,
    /// Calls under way that other calls made. They have room of their own, so that two full nodes that relay to each
    /// other do not lock. Default 4,096: a call fans out.
    pub relayed_calls_in_flight: usize,
    /// Calls under way to one peer. Default 256: each holds a connection.
    pub calls_to_a_peer: usize,
    /// Calls that wait for a place on the way to one peer, within their deadlines. Default 4,096.
    pub calls_waiting_for_a_peer: usize,
    /// Whether shipped functions run, and within which bounds.
    pub scripts: ScriptSettings,
    /// How the node takes part in membership. Its probes are bound by none of the above.
    pub membership: MembershipSettings,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            calls_in_flight: 1_024,
            relayed_calls_in_flight: 4_096,
            calls_to_a_peer: 256,
            calls_waiting_for_a_peer: 4_096,
            scripts: ScriptSettings::default(),
            membership: MembershipSettings::default(),
        }
    }
}
