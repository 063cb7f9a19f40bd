//! What the method of a call decides: whether the call belongs to the protocols, and whether it may be sent again if
//! its answer was lost.
//!
//! | service | methods | protocol | repeatable |
//! |---|---|---|---|
//! | `local.gossip` | `compare`, `enter`, `offer`, `pull`, `recv` (gossip) | yes | yes |
//! | `local.gossip` | `listing`, `news`, `ping`, `relay`, `sync` (membership) | yes | yes |
//! | `status`, `groups`, `routes`, of the node or of a group | `get` | no | yes |
//! | `local.membership` | `list` | no | yes |
//! | everything else | | no | no |
//!
//! A method is repeatable if performing it twice in a row has the same effect as performing it once, and the second
//! answer is as good as the first. `recv` is repeatable because a node performs each message id once. `comm.send` is
//! not, because it performs whatever its arguments name; nor is any service that is not built in.

use super::Call;

/// The methods of `local.gossip` that gossip and membership use.
pub const PROTOCOL_METHODS: [&str; 10] =
    ["compare", "enter", "listing", "news", "offer", "ping", "pull", "recv", "relay", "sync"];

impl Call {
    /// Returns whether this is a call of gossip or membership. A node that is stopping still answers these calls,
    /// because the peers that it told of its farewell ask it for the rumor.
    ///
    /// ```
    /// use chinwag_protocol::{call::Call, identity::Gid};
    /// assert!(Call::new(Gid::local(), "gossip", "pull", vec![]).is_protocol());
    /// assert!(!Call::new(Gid::all(), "gossip", "send", vec![]).is_protocol());
    /// ```
    pub fn is_protocol(&self) -> bool {
        self.gid.is_local() && self.service == "gossip" && PROTOCOL_METHODS.contains(&self.method.as_str())
    }

    /// Returns whether a transport may send this call a second time if the connection ended before any of the answer
    /// arrived.
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
