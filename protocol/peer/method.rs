//! [`Method`]: the methods of `local.gossip` that carry requests.

/// The methods of `local.gossip` that these requests call. (`news`, the payload of a rumor, is not among them.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A push of gossip's.
    Recv,
    /// An offer of gossip's.
    Offer,
    /// A pull of gossip's.
    Pull,
    /// A comparison of gossip's.
    Compare,
    /// A newcomer's question to gossip.
    Enter,
    /// [`Ping`].
    Ping,
    /// [`Relay`].
    Relay,
    /// [`Sync`].
    Sync,
    /// [`Listing`].
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

    /// Its name on the wire.
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

    /// The method of this name.
    pub fn of_name(name: &str) -> Option<Method> {
        Method::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Whether gossip answers it, and not membership.
    pub const fn is_gossip(self) -> bool {
        matches!(self, Method::Recv | Method::Offer | Method::Pull | Method::Compare | Method::Enter)
    }
}
