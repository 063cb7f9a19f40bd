//! What the name of a call's method says about the call: whether it belongs to the protocols, and whether it may be
//! sent again when its answer was lost.
//!
//! | service | methods | protocol | repeatable |
//! |---|---|---|---|
//! | `local.gossip` | `compare`, `enter`, `offer`, `pull`, `recv` (gossip) | yes | yes |
//! | `local.gossip` | `listing`, `news`, `ping`, `relay`, `sync` (membership) | yes | yes |
//! | `status`, `groups`, `routes`, of the node or of a group | `get` | no | yes |
//! | `local.membership` | `list` | no | yes |
//! | everything else | | no | no |
//!
//! A method is repeatable if performing it twice in a row leaves the node as performing it once does, and the second
//! answer is as good as the first. `recv` is repeatable because a node performs each message id once. `comm.send` is
//! not, because it performs whatever its arguments name, and neither is any service that is not built in.

use super::Call;

/// The methods of `local.gossip` by which nodes keep gossip and membership going.
pub const PROTOCOL_METHODS: [&str; 10] =
    ["compare", "enter", "listing", "news", "offer", "ping", "pull", "recv", "relay", "sync"];

impl Call {
    /// Whether nodes make this call on each other's behalf to keep gossip and membership going. A node that is stopping
    /// still answers these calls, because the peers that it told of its farewell ask it for the rumor.
    ///
    /// ```
    /// use chinwag_protocol::{call::Call, identity::Gid};
    /// assert!(Call::new(Gid::local(), "gossip", "pull", vec![]).is_protocol());
    /// assert!(!Call::new(Gid::all(), "gossip", "send", vec![]).is_protocol());
    /// ```
    pub fn is_protocol(&self) -> bool {
        self.gid.is_local() && self.service == "gossip" && PROTOCOL_METHODS.contains(&self.method.as_str())
    }

    /// Whether a transport may send this call a second time if the connection ended before any of the answer arrived.
    ///
    /// ```
    /// use chinwag_protocol::{call::Call, identity::Gid};
    /// assert!(Call::new(Gid::all(), "status", "get", vec![]).is_repeatable());
    /// assert!(!Call::new(Gid::local(), "groups", "put", vec![]).is_repeatable());
    /// ```
    pub fn is_repeatable(&self) -> bool {
        match (self.service.as_str(), self.method.as_str()) {
            ("status" | "groups" | "routes", "get") => true,
            ("membership", "list") => self.gid.is_local(),
            _ => self.is_protocol(),
        }
    }
}
