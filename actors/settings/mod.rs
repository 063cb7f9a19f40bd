//! The settings of a node.

mod membership;

pub use self::membership::{MembershipSettings, Seed};
use crate::scripts::ScriptSettings;

/// The bounds of one node, and how it runs shipped functions and takes part in membership. Past a bound the node refuses with
/// `Busy`, so that no queue grows without limit.
///
/// ```
/// use chinwag_actors::settings::{MembershipSettings, Settings};
/// let mut settings = Settings::default();
/// settings.calls_in_flight = 64;
/// assert_eq!(settings.calls_to_a_peer, 256);
/// let alone = Settings::from(MembershipSettings::off());
/// assert!(!alone.membership.on);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// The number of calls under way that came from outside or from this program. Range: from 1. Default: 1,024, a guess. Each
    /// call holds the memory of a body, for up to 5 s by default.
    pub calls_in_flight: usize,
    /// The number of calls under way that other calls made. They are counted separately, so that two full nodes that relay calls
    /// to each other do not deadlock. Range: from 1. Default: 4,096, because a call of a group makes one call for each member.
    pub relayed_calls_in_flight: usize,
    /// The number of calls under way to one peer. Each holds a connection. Default: 256.
    pub calls_to_a_peer: usize,
    /// The number of calls that wait, within their deadlines, until fewer calls to the same peer are under way. Default: 4,096.
    pub calls_waiting_for_a_peer: usize,
    /// The memory that one service may take that was put with `routes.put`, in bytes. Functions count as their text. Default:
    /// 8 MiB, the longest message. A service within it can consist of any number of values.
    pub bytes_of_a_service: usize,
    /// The memory that all such services may take together, in bytes. Default: 64 MiB, a guess: eight of the largest services,
    /// or the 4,096 services that a node keeps with 16 KiB each.
    pub bytes_of_services: usize,
    /// Whether the node runs shipped functions, and within which bounds.
    pub scripts: ScriptSettings,
    /// How the node takes part in membership. The bounds above do not apply to its requests.
    pub membership: MembershipSettings,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            calls_in_flight: 1_024,
            relayed_calls_in_flight: 4_096,
            calls_to_a_peer: 256,
            calls_waiting_for_a_peer: 4_096,
            bytes_of_a_service: 8 << 20,
            bytes_of_services: 64 << 20,
            scripts: ScriptSettings::default(),
            membership: MembershipSettings::default(),
        }
    }
}

/// The defaults, except for how the node takes part in membership.
impl From<MembershipSettings> for Settings {
    fn from(membership: MembershipSettings) -> Settings {
        Settings { membership, ..Settings::default() }
    }
}
