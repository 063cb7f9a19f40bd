//! What a node's membership is told.
//!
//! | knob | unit, range | default |
//! |---|---|---|
//! | `on` | yes or no | yes |
//! | `detection` | [`swim::SwimConfig`] | a data centre's; [`MembershipSettings::paced`] scales it |
//! | `seeds` | `HOST:PORT`, any number | none |
//! | `groups` | names, at most 256 | none |
//! | `cluster` | a name | empty |
//! | `events` | events, 1 to 65,536 | 1,024 |
//! | `heartbeat` | time, from 1 ms | 15 s |

use std::{fmt, str::FromStr, time::Duration};

use chinwag_protocol::{
    identity::{AddrError, Gid, NodeAddr},
    swim,
};

/// How a node takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipSettings {
    /// Whether it does. Off it probes nobody, sets no timer and holds nothing; others see that it lives, as they see it
    /// of any node that answers calls.
    pub on: bool,
    /// How failures are detected.
    pub detection: swim::SwimConfig,
    /// Whom to join through: each in turn, again and again, until one answers.
    pub seeds: Vec<Seed>,
    /// Groups that it is to be in: on this node from the start, on the others once a seed has answered.
    pub groups: Vec<Gid>,
    /// The name of the cluster. Nodes of clusters with different names never become members of each other, whoever asks
    /// for it. Default: empty, which is a name like any other.
    pub cluster: String,
    /// How many events are kept for a subscriber that is slow to take them; past that it is told how many it missed.
    /// Range: 1 to 65,536. Default 1,024, a guess: the loss of that many nodes at once.
    pub events: usize,
    /// How often a stream of server-sent events that has none says that it lives. Time, from 1 ms, default 15 s: what proxies
    /// take for dead is a minute, as a rule.
    pub heartbeat: Duration,
}

impl Default for MembershipSettings {
    fn default() -> MembershipSettings {
        MembershipSettings {
            on: true,
            detection: swim::SwimConfig::default(),
            seeds: Vec::new(),
            groups: Vec::new(),
            cluster: String::new(),
            events: 1_024,
            heartbeat: Duration::from_secs(15),
        }
    }
}

impl MembershipSettings {
    /// A node that takes no part.
    pub fn off() -> MembershipSettings {
        MembershipSettings { on: false, ..MembershipSettings::default() }
    }

    /// The defaults with a protocol period of `interval` instead of a second, and every other time in proportion. A
    /// process stopped for less than 2.2 periods then counts as slow, not dead.
    ///
    /// ```
    /// use chinwag_actors::settings::MembershipSettings;
    /// use std::time::Duration;
    /// let quick = MembershipSettings::paced(Duration::from_millis(200));
    /// assert_eq!(quick.detection.suspicion_min, Duration::from_millis(440));
    /// assert!(quick.detection.check().is_ok());
    /// ```
    pub fn paced(interval: Duration) -> MembershipSettings {
        MembershipSettings { detection: swim::SwimConfig::paced(interval), ..MembershipSettings::default() }
    }
}

/// Where a node may be that knows the others. A name may stand for many addresses; each is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    host: String,
    port: u16,
}

impl Seed {
    /// A host name or IP address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        NodeAddr::new(self.host.as_str(), self.port).fmt(f)
    }
}

impl From<&NodeAddr> for Seed {
    fn from(node: &NodeAddr) -> Seed {
        Seed { host: node.ip().to_owned(), port: node.port() }
    }
}

/// Reads `HOST:PORT`, an IPv6 address in brackets.
impl FromStr for Seed {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Seed, AddrError> {
        Ok(Seed::from(&text.parse::<NodeAddr>()?))
    }
}
