//! [`SwimConfig`]: all settings, and the times that are computed from them.

use std::time::Duration;

/// The settings of failure detection. [`SwimConfig::default`] is meant for a data centre or a single machine.
///
/// ```
/// use chinwag_protocol::swim::SwimConfig;
/// use std::time::Duration;
///
/// let mut wide_area = SwimConfig::default();
/// wide_area.probe_timeout = Duration::from_millis(800);
/// assert!(wide_area.check().is_err(), "a probe must end within its period");
/// wide_area.probe_interval = Duration::from_secs(2);
/// assert!(wide_area.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SwimConfig {
    /// The protocol period: one member is probed in each. Time, 10 ms to 1 h, default 1 s.
    ///
    /// Shorter finds failures sooner and costs more; each node sends and answers one probe a period, however
    /// large the group. 1 s is memberlist's LAN default and SWIM's order of magnitude (its section 5 uses 2 s).
    pub probe_interval: Duration,
    /// How long a direct probe may remain unanswered before relays are asked. Time, at least 1 ms, default 300 ms.
    ///
    /// SWIM recommends a high percentile of the round trip. A shorter time is safe, because late answers still count,
    /// but asks relays more often. memberlist has 500 ms; 300 ms is a guess that leaves room for
    /// [`relay_timeout`](Self::relay_timeout) in a period of 1 s.
    pub probe_timeout: Duration,
    /// How long the second stage may last: the relays, and one more direct try. Time, at least 1 ms, default
    /// 500 ms (a guess). `probe_timeout + relay_timeout <= probe_interval`, so that at most one scheduled probe
    /// is under way.
    pub relay_timeout: Duration,
    /// SWIM's k: how many others are asked to probe for us. Count, 0 to 64, default 3 (memberlist's).
    ///
    /// Each halves, roughly, the chance that bad luck between two nodes becomes a suspicion: at 30% loss a probe of a
    /// live node fails with probability 0.26, 0.20, 0.15, 0.11 for k = 0, 1, 2, 3. Relays that a small group does not
    /// have are replaced by as many further direct tries.
    pub relays: u32,
    /// How many *others* must have failed to reach a peer, besides oneself, before one may declare it dead. Count, 0 to
    /// 64, default 3 (Lifeguard's K).
    ///
    /// A group with fewer members that could confirm asks all of them, down to a lone pair, where one node decides by
    /// itself. More confirmations remove fewer live nodes, and lengthen the wait when many die at once.
    pub confirmations: u32,
    /// How many nodes, on average, check for themselves as soon as they hear of a suspicion. Count, 0 to 64, default 5
    /// (a guess: with Poisson(5) all but 12% of groups find three at once, and those that do spread the word to five
    /// more).
    ///
    /// Not in the papers, which wait for the regular probes to confirm. It trades a few probes per suspicion for a
    /// confirmation within one probe time. 0 switches it off.
    pub witnesses: u32,
    /// The least suspicion time, from the first word of it to the verdict. Time, default 2.2 s.
    ///
    /// The least is in truth the greater of this and `log10(n)` periods, as in Lifeguard, which takes 5 `log10(n)`: it
    /// has to outlast the spreading of the suspicion to its victim and of the refutation back. By gossip in the order
    /// of 200 ms a tick that is well under a second at 30% loss, hence the smaller factor. A process that is stopped
    /// for less than this is never removed, so it is the price of "slow is not dead".
    pub suspicion_min: Duration,
    /// How long a process may take to start again at its address. Time, default 1 s.
    ///
    /// A connection that is refused is evidence, so a peer whose port refuses is removed without the suspicion time,
    /// but only once it has been refused again after this time. A restart within it is no failure.
    pub restart_time: Duration,
    /// How many times the least suspicion time to wait while nobody has confirmed. Factor, 1 to 100, default 3.
    ///
    /// Lifeguard has 6. 3 is a guess: it is how long one node waits whose suspicion nobody else shares.
    pub suspicion_max_factor: u32,
    /// Lifeguard's S: the most by which the local health counter can slow this node down. Count, 0 to 64, default 8
    /// (the paper's and memberlist's).
    ///
    /// Period and timeouts are multiplied by `1 + health`. 0 switches it off.
    pub health_max: u32,
    /// How late one of its own timers or requests may be before the node concludes that *it* was stopped. Time, default
    /// 500 ms (a guess: above any scheduling delay of a healthy process, below the least suspicion time).
    ///
    /// Smaller distrusts itself sooner, and accuses nobody for a while. A timer that is late by a fifth of this worsens
    /// the node's local health.
    pub stall_tolerance: Duration,
    /// The time between two probes of peers that a verdict removed. Time, at least 10 ms, default 5 s (a guess; Serf
    /// reconnects every 30 s).
    ///
    /// A healed partition of n nodes is one group again after about `ln(n) / 2` of these.
    pub reconnect_interval: Duration,
    /// How many members this node keeps a connection to and probes in turn. Count, 1 to 64, default 3.
    ///
    /// Each member is watched by as many. More notice a closed connection, fewer cost less memory; a failure of one
    /// node and all that watch it is found by the probes of any member in turn. 3 is a guess.
    pub neighbours: u32,
    /// How many peers that were put and never heard from a node asks in one period, at most. Count, 1 to 1,024, default
    /// 64 (a guess: a group of a hundred is asked within two periods by two nodes).
    pub asks: u32,
    /// How many peers are kept, removed ones included. Count, 1 to 1,000,000, default 65,536 (a guess; some 64 bytes
    /// each with a 32-byte id).
    ///
    /// Past it nobody new is taken in, whoever says so.
    pub members: u32,
    /// Least time between two messages of news, which take along what has come up meanwhile. Time, 0 to 1 h, default
    /// 200 ms; 0 for a message each.
    ///
    /// Longer makes fewer rumors when many join or fail at once, and news late by as much; the first after a quiet time
    /// waits for a twentieth of it only. Default: gossip's tick, which is what it takes a rumor to reach those that
    /// spreading missed.
    pub news_interval: Duration,
    /// How many removed peers are remembered. Count, default 1,024 (a guess; about 56 bytes each with a 32-byte id).
    ///
    /// Past it those are forgotten first that left, then those that a verdict removed, then those that an operator did;
    /// the longest gone first. One that is forgotten is no longer tried, and old news can bring it back for a while.
    pub remembered: u32,
}

impl Default for SwimConfig {
    fn default() -> Self {
        Self {
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(300),
            relay_timeout: Duration::from_millis(500),
            relays: 3,
            confirmations: 3,
            witnesses: 5,
            suspicion_min: Duration::from_millis(2_200),
            restart_time: Duration::from_secs(1),
            suspicion_max_factor: 3,
            health_max: 8,
            stall_tolerance: Duration::from_millis(500),
            reconnect_interval: Duration::from_secs(5),
            neighbours: 3,
            asks: 64,
            members: 65_536,
            news_interval: Duration::from_millis(200),
            remembered: 1_024,
        }
    }
}

/// Why a [`SwimConfig`] is invalid. Nothing has been started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SwimConfigError {
    /// A time is outside its range.
    #[error("{knob} is {value:?}, it must lie between {least:?} and {most:?}")]
    Time {
        /// The name of the field.
        knob: &'static str,
        /// The value.
        value: Duration,
        /// The least valid value.
        least: Duration,
        /// The greatest valid value.
        most: Duration,
    },
    /// A count is outside its range.
    #[error("{knob} is {value}, it must lie between {least} and {most}")]
    Count {
        /// The name of the field.
        knob: &'static str,
        /// The value.
        value: u32,
        /// The least valid value.
        least: u32,
        /// The greatest valid value.
        most: u32,
    },
    /// The two stages of a probe take longer than a period.
    #[error("a probe takes {probe:?}, more than its period of {interval:?}")]
    ProbeOutlastsPeriod {
        /// `probe_timeout + relay_timeout`.
        probe: Duration,
        /// `probe_interval`.
        interval: Duration,
    },
}

/// The least that a node with [`paced`](SwimConfig::paced) times waits before it concludes that it stood still itself.
/// A guess: the delay that the scheduler of a loaded machine causes.
const LEAST_STALL: Duration = Duration::from_millis(100);

impl SwimConfig {
    /// The defaults with a protocol period of `interval` instead of a second, and every other time in proportion.
    ///
    /// ```
    /// use chinwag_protocol::swim::SwimConfig;
    /// use std::time::Duration;
    ///
    /// let quick = SwimConfig::paced(Duration::from_millis(200));
    /// assert_eq!(quick.suspicion_min, Duration::from_millis(440));
    /// assert!(quick.check().is_ok());
    /// ```
    pub fn paced(interval: Duration) -> Self {
        let whole = Self::default();
        let pace = interval.as_secs_f64() / whole.probe_interval.as_secs_f64();
        let scaled = |time: Duration| time.mul_f64(pace).max(Duration::from_millis(1));
        Self {
            probe_interval: interval,
            probe_timeout: scaled(whole.probe_timeout),
            relay_timeout: scaled(whole.relay_timeout),
            suspicion_min: scaled(whole.suspicion_min),
            restart_time: scaled(whole.restart_time),
            stall_tolerance: scaled(whole.stall_tolerance).max(LEAST_STALL),
            reconnect_interval: scaled(whole.reconnect_interval).max(Duration::from_millis(10)),
            news_interval: scaled(whole.news_interval),
            ..whole
        }
    }

    /// Checks every setting against its range.
    ///
    /// # Errors
    /// The first setting that is out of range, with its value.
    pub fn check(&self) -> Result<(), SwimConfigError> {
        const MILLISECOND: Duration = Duration::from_millis(1);
        const TICK: Duration = Duration::from_millis(10);
        const HOUR: Duration = Duration::from_secs(3_600);
        const DAY: Duration = Duration::from_secs(86_400);
        for (knob, value, least, most) in [
            ("probe_interval", self.probe_interval, TICK, HOUR),
            ("probe_timeout", self.probe_timeout, MILLISECOND, HOUR),
            ("relay_timeout", self.relay_timeout, MILLISECOND, HOUR),
            ("suspicion_min", self.suspicion_min, Duration::ZERO, DAY),
            ("stall_tolerance", self.stall_tolerance, MILLISECOND, DAY),
            ("reconnect_interval", self.reconnect_interval, TICK, DAY),
            ("restart_time", self.restart_time, Duration::ZERO, DAY),
            ("news_interval", self.news_interval, Duration::ZERO, HOUR),
        ] {
            if !(least..=most).contains(&value) {
                return Err(SwimConfigError::Time { knob, value, least, most });
            }
        }
        for (knob, value, least, most) in [
            ("relays", self.relays, 0, 64),
            ("confirmations", self.confirmations, 0, 64),
            ("witnesses", self.witnesses, 0, 64),
            ("suspicion_max_factor", self.suspicion_max_factor, 1, 100),
            ("health_max", self.health_max, 0, 64),
            ("remembered", self.remembered, 1, 1_000_000),
            ("neighbours", self.neighbours, 1, 64),
            ("asks", self.asks, 1, 1_024),
            ("members", self.members, 1, 1_000_000),
        ] {
            if !(least..=most).contains(&value) {
                return Err(SwimConfigError::Count { knob, value, least, most });
            }
        }
        let probe = self.probe_timeout + self.relay_timeout;
        if probe > self.probe_interval {
            return Err(SwimConfigError::ProbeOutlastsPeriod { probe, interval: self.probe_interval });
        }
        Ok(())
    }

    /// Returns the suspicion time in a group of `members` (including this node) if `confirmed` others agree, of the
    /// `possible` that could.
    ///
    /// Lifeguard, section IV-B: it falls from the most to the least with the logarithm of the confirmations, so that
    /// the first counts most. It is also the least if all nodes confirm that could: a group that is too small for
    /// [`confirmations`](Self::confirmations), down to a lone pair, need not wait for more.
    pub fn suspicion_time(&self, members: usize, confirmed: usize, possible: usize) -> Duration {
        let periods = libm::log10(members.max(1) as f64);
        let least = self.suspicion_min.max(self.probe_interval.mul_f64(periods.max(0.0)));
        let most = least * self.suspicion_max_factor;
        let wanted = possible.min(self.confirmations as usize);
        if confirmed >= wanted {
            return least;
        }
        let share = libm::log(confirmed as f64 + 1.0) / libm::log(wanted as f64 + 1.0);
        most.saturating_sub((most - least).mul_f64(share.clamp(0.0, 1.0))).max(least)
    }

    /// Returns how long a view must have been at rest before a difference to another view means that something was
    /// missed. Until then the news that makes the difference may be under way.
    pub(super) fn settle_time(&self) -> Duration {
        2 * self.news_interval + self.probe_timeout / 4
    }
}
