//! How a node takes part in membership.
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

/// How a node takes part in membership.
///
/// ```
/// use chinwag_actors::settings::{MembershipSettings, Settings};
/// let mut membership = MembershipSettings::default();
/// membership.seeds.push("127.0.0.1:8080".parse()?);
/// let settings = Settings::from(membership);
/// # assert!(settings.membership.on);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MembershipSettings {
    /// Whether the node takes part. If it does not, it probes no peer, sets no timer and holds no view; other members see that
    /// it is alive, as they see it of any node that answers calls.
    pub on: bool,
    /// How the node detects failures.
    pub detection: swim::SwimConfig,
    /// The nodes to join through. The node tries them in turn, again and again, until one answers.
    pub seeds: Vec<Seed>,
    /// The groups that the node is in: on this node from the start, and on the other members once a seed has answered.
    pub groups: Vec<Gid>,
    /// The name of the cluster. Nodes of clusters with different names never become members of each other, even if an operator
    /// asks for it. Default: the empty name, which is a name like any other.
    pub cluster: String,
    /// How many events are kept for a slow subscriber. A subscriber that falls further behind gets an event that says how many
    /// it missed. Range: 1 to 65,536. Default: 1,024, a guess: the loss of that many nodes at once.
    pub events: usize,
    /// How often a stream of server-sent events without events sends a comment, so that its client knows that the node is
    /// alive. Range: from 1 ms. Default: 15 s, because most proxies close a connection that is silent for a minute.
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
    /// Returns the settings of a node that does not take part.
    ///
    /// ```
    /// use chinwag_actors::settings::MembershipSettings;
    /// assert!(!MembershipSettings::off().on);
    /// ```
    pub fn off() -> MembershipSettings {
        MembershipSettings { on: false, ..MembershipSettings::default() }
    }

    /// Returns the defaults with a protocol period of `interval` instead of a second, and every other time in proportion. A
    /// process that is stopped for less than 2.2 periods counts as slow, not dead.
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

/// The host and port of a node to join through. If a host name has several addresses, the node tries each of them.
///
/// ```
/// use chinwag_actors::settings::Seed;
/// let seed: Seed = "node.example:8080".parse()?;
/// assert_eq!((seed.host(), seed.port()), ("node.example", 8080));
/// assert_eq!(seed.to_string(), "node.example:8080");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    host: String,
    port: u16,
}

impl Seed {
    /// The host name or IP address.
    ///
    /// ```
    /// # use chinwag_actors::settings::Seed;
    /// assert_eq!("node.example:8080".parse::<Seed>()?.host(), "node.example");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    ///
    /// ```
    /// # use chinwag_actors::settings::Seed;
    /// assert_eq!("node.example:8080".parse::<Seed>()?.port(), 8080);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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

/// Reads `HOST:PORT`. An IPv6 address is in brackets.
impl FromStr for Seed {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Seed, AddrError> {
        Ok(Seed::from(&text.parse::<NodeAddr>()?))
    }
}
