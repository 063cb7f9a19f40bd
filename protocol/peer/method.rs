//! [`Method`]: the methods of `local.gossip` that carry requests.

/// The methods of `local.gossip` that these requests call. (`news` is not one of them, because it is the payload of a
/// rumor.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A push of gossip.
    Recv,
    /// An offer of gossip.
    Offer,
    /// A pull of gossip.
    Pull,
    /// A comparison of gossip.
    Compare,
    /// A newcomer's request for the history of a group.
    Enter,
    /// A [`Ping`](super::Ping).
    Ping,
    /// A [`Relay`](super::Relay).
    Relay,
    /// A [`Sync`](super::Sync).
    Sync,
    /// A [`Listing`](super::Listing).
    Listing,
}

impl Method {
    const ALL: [Method; 9] = [
        Method::Recv,
        Method::Offer,
        Method::Pull,
        Method::Compare,
        Method::Enter,
        Method::Ping,
        Method::Relay,
        Method::Sync,
        Method::Listing,
    ];

    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Recv => "recv",
            Method::Offer => "offer",
            Method::Pull => "pull",
            Method::Compare => "compare",
            Method::Enter => "enter",
            Method::Ping => "ping",
            Method::Relay => "relay",
            Method::Sync => "sync",
            Method::Listing => "listing",
        }
    }

    /// Returns the method of this name.
    pub fn of_name(name: &str) -> Option<Method> {
        Method::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Returns whether gossip answers the method, and not membership.
    pub const fn is_gossip(self) -> bool {
        matches!(self, Method::Recv | Method::Offer | Method::Pull | Method::Compare | Method::Enter)
    }
}
