//! [`GossipConfig`]: all settings. The nodes of a group should have the same; nothing breaks if they do not.

use std::time::Duration;

use super::message::Urgency;

/// How a group gossips. All nodes of a process can share one `Arc` of it.
///
/// Each field states its unit, range, default and the origin of the default. "Simulated" refers to
/// `examples/spreading.rs` of this crate.
///
/// ```
/// use chinwag_protocol::rumor::GossipConfig;
/// use std::time::Duration;
///
/// let mut config = GossipConfig::default();
/// config.tick = Duration::from_millis(500);
/// config.hop_limit = Some(6);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GossipConfig {
    /// The time between two comparisons with a random peer. From 1 ms; default 200 ms.
    ///
    /// A node that spreading missed waits for about one tick. Each tick costs one small request per node, even when
    /// nothing happens. Every interval is drawn from 90% to 110% of it, so that nodes do not synchronize. Default:
    /// memberlist's LAN gossip interval.
    pub tick: Duration,
    /// The most ticks between two comparisons while they find no difference. From 1; default 16.
    ///
    /// Two comparisons without a difference double the interval, and anything new resets it to one tick. A node that
    /// spreading missed and no peer compares with waits this long at worst. A node with fewer than four peers waits at
    /// most four ticks for each: in a star, the hub draws one of all leaves, so the leaves have to ask. Default: at 200
    /// ms, one request in three seconds.
    pub idle_ticks: u32,
    /// The number of random peers to which each node offers a rumor, besides its two neighbours. From 0; default 4.
    ///
    /// Each further peer costs one request per node. Default: simulated without loss, the last node has a rumor after 8
    /// and 12 latencies at the median with 3, after 8 and 9 with 4 (n = 100 and 1,000).
    pub offers: usize,
    /// The number of random peers for a payload that is always pushed, which saves the pull and two of three latencies.
    /// From 0; default 1.
    ///
    /// Default: simulated at n = 100, the last node has a rumor after 5 latencies at the median and 6 at the 90th
    /// percentile; with 2, after 5 and 5, for a third more requests. At 10% loss they are 6 and 45, with 2 they are 5
    /// and 10.
    pub pushes: usize,
    /// Payloads of at most this many bytes on the wire are always pushed. From 0; default 1,024.
    ///
    /// A request with its headers and two ids has several hundred bytes anyway, and a push saves the pull. Guessed.
    pub eager_bytes: usize,
    /// The most times that a rumor is passed on. From 1; default `None`, no limit.
    ///
    /// A rumor that has come this far is performed but not held, so that it is neither offered nor found by comparison.
    pub hop_limit: Option<u32>,
    /// The number of rumors held for nodes that lack them. From 1; default 4,096. The oldest are dropped first.
    /// Guessed.
    pub retained_count: usize,
    /// The bytes of memory that they may take. From 0; default 32 MiB. One rumor of any size is always held, and a rumor
    /// that still has to be spread is not dropped. Guessed.
    pub retained_bytes: usize,
    /// How long a rumor is available after its start. From one tick; default 10 minutes.
    ///
    /// Afterwards all nodes reject it, so that none performs again what its seen set has forgotten. A partition can
    /// last as long without loss, if counts and bytes permit. Guessed.
    pub retained_age: Duration,
    /// The most peers to which each node sends a calm rumor, including the two neighbours. From 1; default 3.
    ///
    /// Each further peer costs one request per node, usually over a new connection, as random peers rarely repeat.
    /// Default: the fewest with which all nodes receive the rumor without a comparison if no request is lost.
    pub calm_fanout: usize,
    /// The least time between two turns in which a node spreads the calm rumors of others together. From 0; default 100
    /// ms.
    ///
    /// It bounds the cost of a burst: each node sends [`calm_fanout`](GossipConfig::calm_fanout) offers in this time,
    /// however many rumors there are. A rumor that comes after a longer silence does not wait. While peers are slow to
    /// answer, the time grows to twice the time of the first answer, at most to ten times this setting. Default: half a
    /// tick.
    pub calm_interval: Duration,
    /// How long a calm rumor is available after its start, if that is less than `retained_age`. Default 60 s.
    ///
    /// Nodes that join later do not ask for it. Guessed: twice the interval at which membership exchanges views.
    pub calm_age: Duration,
    /// How much a rumor's age can be too low: the longest time that a request is under way. Default 5 s, the default
    /// deadline of a call.
    pub transit: Duration,
    /// The number of (origin, incarnation) pairs remembered. From 1; default 16,384, about 2.5 MB at most.
    ///
    /// If there are more, those whose last rumor is oldest are forgotten, and rumors of that age from unknown origins
    /// are rejected. It should be several times `retained_count`, so that no peer holds such old rumors.
    pub origins: usize,
    /// The number of lives remembered of one origin. From 1; default 4. If that many are known, rumors of an earlier
    /// life count as seen. Guessed.
    pub lives: usize,
    /// The number of stretches of sequences remembered above the lowest gap, per origin and life. From 1; default
    /// 1,024.
    ///
    /// If n rumors are sent at once and arrive in random order, there are n/4 stretches on average at the worst moment.
    /// Beyond the limit the lowest gap is closed if it is older than `transit`; otherwise the rumor is
    /// rejected as `Busy`.
    pub gaps: usize,
    /// The number of opaque ids remembered. From 1; default 16,384, four times `retained_count` for the same reason.
    pub opaque_ids: usize,
    /// The number of this node's own rumors that may be under way to their first peers. From 1; default 1,024.
    ///
    /// Beyond it, [`broadcast`](super::Gossip::broadcast) fails with `Busy`. Default: enough for a burst of a thousand.
    pub own_in_flight: usize,
    /// The number of rumors that may wait to be spread. From 1; default 4,096. Beyond it pushes are answered `Busy`,
    /// and nothing is pulled. Guessed.
    pub queue_count: usize,
    /// The bytes of memory that these may take. From 0; default 32 MiB. One rumor of any size may always wait. Guessed.
    pub queue_bytes: usize,
    /// The number of requests under way from this node in this group, without comparisons. From 1; default 256.
    ///
    /// While that many are under way, rumors wait, and those to be offered are combined into one offer. A rumor is sent
    /// to all its peers as soon as fewer are under way, so the limit can be exceeded by the peers of one rumor.
    /// Guessed: the requests of seventeen rumors at n = 100,000.
    pub requests: usize,
    /// The number of pulls among those requests. From 1; default 16. Further rumors wait, and those that one peer
    /// offered are combined into one pull. Times `transfer_bytes`, this bounds the bytes under way to a node. Guessed.
    pub pulls: usize,
    /// The number of ids in one offer or pull. From 1; default 128. Guessed.
    pub batch: usize,
    /// The bytes of payload in the answer to one pull, on the wire. From 0; default 1 MiB. One rumor of any size always fits.
    /// Guessed.
    pub transfer_bytes: usize,
    /// The number of stretches in one page of a comparison. From 1; default 512. Guessed.
    pub page: usize,
    /// The number of offered rumors that are remembered until they are received. From 1; default 8,192, two pages of
    /// everything. Comparison finds further ones again. Guessed.
    pub wanted: usize,
    /// Whether newcomers perform every rumor that is still held, and not only those started after they entered. Default
    /// `false`.
    pub replay: bool,
    /// The time that a node may take to learn the history before it enters. From 1 ms; default 1 s.
    ///
    /// Afterwards the node enters with what it knows: it misses nothing that is started later, but may perform an older
    /// rumor. An operator waits for the entry. Guessed.
    pub entry_time: Duration,
    /// The time for an entry while no peer has answered or is known to be alive. From 1 ms; default 300 ms.
    ///
    /// A new group whose other members do not exist takes this long. Silent peers are asked twice more in it, in case
    /// requests were lost. Guessed.
    pub entry_silence: Duration,
}

impl Default for GossipConfig {
    fn default() -> Self {
        GossipConfig {
            tick: Duration::from_millis(200),
            idle_ticks: 16,
            offers: 4,
            pushes: 1,
            eager_bytes: 1024,
            hop_limit: None,
            retained_count: 4096,
            retained_bytes: 32 << 20,
            retained_age: Duration::from_secs(600),
            calm_fanout: 3,
            calm_interval: Duration::from_millis(100),
            calm_age: Duration::from_secs(60),
            transit: Duration::from_secs(5),
            origins: 16_384,
            lives: 4,
            gaps: 1024,
            opaque_ids: 16_384,
            own_in_flight: 1024,
            queue_count: 4096,
            queue_bytes: 32 << 20,
            requests: 256,
            pulls: 16,
            batch: 128,
            transfer_bytes: 1 << 20,
            page: 512,
            wanted: 8192,
            replay: false,
            entry_time: Duration::from_secs(1),
            entry_silence: Duration::from_millis(300),
        }
    }
}

impl GossipConfig {
    /// Returns the age up to which a rumor is accepted.
    pub(super) fn age_limit(&self, urgency: Urgency) -> Duration {
        match urgency {
            Urgency::Normal => self.retained_age,
            Urgency::Calm => self.calm_age.min(self.retained_age),
        }
    }
}
