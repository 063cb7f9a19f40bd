//! The knobs. A group's nodes should agree on them; nothing breaks when they do not.

use std::time::Duration;

use super::message::Urgency;

/// How a group gossips. One `Arc` of it serves all nodes of a process.
///
/// Each field states its unit, range, default and where the default comes from. The simulator meant is
/// `examples/spreading.rs` of this crate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GossipConfig {
    /// Time between two comparisons with a random peer. From 1 ms; default 200 ms.
    ///
    /// A node that spreading missed waits for about one of these. Each costs one small request per node, also
    /// when nothing is going on. Every interval is drawn from 90% to 110% of it, so that nodes do not fall
    /// into step. Default: memberlist's LAN gossip interval.
    pub tick: Duration,
    /// How many ticks pass, at most, between two comparisons while they find no difference. From 1; default 16.
    ///
    /// Each pair of comparisons without one doubles the interval, and whatever is new brings it back to one tick. A
    /// node that spreading missed and nobody compares with waits for so long at the worst. A node with fewer than four
    /// peers waits four ticks for each at most: over a star, the hub draws one leaf of all, so the leaves have to ask.
    /// Default: at 200 ms, one request in three seconds.
    pub idle_ticks: u32,
    /// How many random peers each node offers a rumor to, besides its two neighbours. From 0; default 4.
    ///
    /// Each step is one request per node. Default: simulated without loss, the last node has a rumor after 8 and 12
    /// latencies at the median with 3, after 8 and 9 with 4 (n = 100 and 1,000).
    pub offers: usize,
    /// The same for a payload that is pushed to the end, which spares the pull and so two of three latencies. From 0;
    /// default 1.
    ///
    /// Default: simulated at n = 100, the last node has a rumor after 5 latencies at the median and 6 at the 90th
    /// percentile; with 2, after 5 and 5, for a third more requests. At 10% loss they are 6 and 45, with 2 they are 5
    /// and 10.
    pub pushes: usize,
    /// Payloads of at most this many bytes are pushed where larger ones are offered. From 0; default 1,024.
    ///
    /// A request costs its headers and two ids anyhow, several hundred bytes, and a push spares the pull. Guessed.
    pub eager_bytes: usize,
    /// Rumors are handed on at most this many times. From 1; default `None`, no limit.
    ///
    /// What has come this far is performed and not held: it is neither offered nor found by comparison.
    pub hop_limit: Option<u32>,
    /// Rumors held for those who still lack them. From 1; default 4,096. The oldest go first. Guessed.
    pub retained_count: usize,
    /// Bytes held for the same purpose. From 0; default 32 MiB. One rumor is held whatever its size, and
    /// one that is still to be spread is not dropped. Guessed.
    pub retained_bytes: usize,
    /// How long after its birth a rumor can be had. From one tick; default 10 minutes.
    ///
    /// Afterwards it is refused everywhere, so that nobody performs again what the seen set has folded. It is
    /// also how long a partition may last without losing anything, counts and bytes permitting. Guessed.
    pub retained_age: Duration,
    /// How many peers a calm rumor goes to from each node, at most, the two neighbours among them. From 1; default 3.
    ///
    /// Each step is one request per node, over a new connection as a rule, as random peers are seldom met twice.
    /// Default: the fewest with which everybody has it without a comparison, as long as no request is lost.
    pub calm_fanout: usize,
    /// How often, at most, a node spreads the calm rumors of others: all that came meanwhile go together. From 0;
    /// default 100 ms.
    ///
    /// It bounds what a burst of them costs: each node sends [`calm_fanout`](GossipConfig::calm_fanout) offers in so
    /// much time, however many there are. One that comes after a longer silence does not wait. While peers are slow to
    /// answer the time is longer: twice as long as the first answer takes, up to ten times as long in all. Default:
    /// half a tick.
    pub calm_interval: Duration,
    /// How long after its birth a calm rumor can be had, if that is less than `retained_age`. Default 60 s.
    ///
    /// Whoever comes later does not ask for it. Guessed: twice the interval at which membership exchanges views.
    pub calm_age: Duration,
    /// How far a rumor's age may be behind the truth: the longest a request may be under way. Default 5 s, the
    /// default deadline of a call.
    pub transit: Duration,
    /// (Origin, incarnation) pairs remembered. From 1; default 16,384, about 2.5 MB at most.
    ///
    /// When more have spoken, those whose last rumor is oldest are forgotten, and unknown origins are refused
    /// rumors of that age. Should be several times `retained_count`: then no peer holds anything so old.
    pub origins: usize,
    /// Lives remembered of one origin. From 1; default 4. With as many known, rumors of an older one are
    /// taken for seen. Guessed.
    pub lives: usize,
    /// Stretches of sequences remembered above the lowest gap, per origin and life. From 1; default 1,024.
    ///
    /// n rumors sent at once and arriving in any order make n/4 at the worst moment on average. Beyond it the
    /// lowest gap is closed for good if it is older than `transit`, else the newcomer is refused as `Busy`.
    pub gaps: usize,
    /// Opaque ids remembered. From 1; default 16,384, four times `retained_count` and for the same reason.
    pub opaque_ids: usize,
    /// Rumors of this node's own that may be on their way to their first peers. From 1; default 1,024.
    ///
    /// Beyond it [`broadcast`](super::Gossip::broadcast) says `Busy`. Default: a burst of a thousand is to pass.
    pub own_in_flight: usize,
    /// Rumors that may wait to be spread, own and others'. From 1; default 4,096. Beyond it pushes are answered
    /// `Busy`, and nothing is pulled. Guessed.
    pub queue_count: usize,
    /// Bytes that may wait to be spread. From 0; default 32 MiB. One rumor may wait whatever its size. Guessed.
    pub queue_bytes: usize,
    /// Requests under way at once from this node in this group, comparisons apart. From 1; default 256.
    ///
    /// While they are used up, rumors wait, and those to be offered gather into one offer. A rumor's turn comes while
    /// fewer are under way and goes to all its peers, so there may be one rumor's peers more, less one. Guessed:
    /// seventeen rumors' worth at n = 100,000.
    pub requests: usize,
    /// Pulls among those. From 1; default 16. More rumors wait, and those that one peer offered gather into one pull;
    /// times `transfer_bytes`, this bounds what is under way to one node. Guessed.
    pub pulls: usize,
    /// Ids in one offer or pull. From 1; default 128. Guessed.
    pub batch: usize,
    /// Bytes of payload in the answer to one pull. From 0; default 1 MiB. One rumor fits whatever its size. Guessed.
    pub transfer_bytes: usize,
    /// Stretches in one page of a comparison. From 1; default 512. Guessed.
    pub page: usize,
    /// Rumors known by offer and not yet received. From 1; default 8,192, two pages of everything. More are
    /// not noted: comparison finds them again. Guessed.
    pub wanted: usize,
    /// Newcomers perform every rumor that is still held, not only those started after they entered. Default `false`.
    pub replay: bool,
    /// How long a node may take to learn what was said before it entered. From 1 ms; default 1 s.
    ///
    /// When it is over the node has entered with what it knows by then: nothing that is started afterwards is missed,
    /// and an older rumor may be performed. An operator waits for it. Guessed.
    pub entry_time: Duration,
    /// The same while nobody has answered at all, and no peer is known to be alive. From 1 ms; default 300 ms.
    ///
    /// It is what a new group costs whose other members do not exist. Those that are silent are asked again twice in
    /// it, as requests are lost. Guessed.
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
    /// How old a rumor may be and still be taken.
    pub(super) fn age_limit(&self, urgency: Urgency) -> Duration {
        match urgency {
            Urgency::Normal => self.retained_age,
            Urgency::Calm => self.calm_age.min(self.retained_age),
        }
    }
}
