//! Stories as data: a network, and what happens on it at what time; and what must hold afterwards.
//!
//! ```
//! use chinwag_simulation::scenario::Scenario;
//! let story = r#"{
//!     "seed": 1, "nodes": 12, "overlay": "ring", "latency": "uniform:1..5", "loss": 0.1,
//!     "links": [{"from": 0, "to": 1, "latency": "constant:80"}],
//!     "events": [
//!         {"at": 100, "do": "partition", "sides": [[0, 1, 2, 3]]},
//!         {"at": 150, "do": "tell", "node": 2, "bytes": 4096},
//!         {"at": 200, "do": "crash", "node": 9}
//!     ]
//! }"#;
//! let outcome = serde_json::from_str::<Scenario>(story)?.run(false)?;
//! assert_eq!((outcome.violations, outcome.told), (vec![], 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! After the last event the network heals: partitions and cuts end, paused nodes go on, nothing is lost any more. What
//! has crashed and was not restarted stays away. Then the [`CHECKS`](super::checks::CHECKS) have to come to hold, within a
//! bound.

use std::{collections::BTreeSet, time::Duration};

use chinwag_actors::{local::membership, settings::Settings};
use chinwag_protocol::{group::GroupConfig, identity::Gid, overlay::Overlay};
use serde::{Deserialize, Serialize, de::Error as _};

use super::{GROUP, Latency, Simulation, SimulationError, Skew, check_share, latency, named, spread::MAX_PAYLOAD};

/// Milliseconds between comparisons in a scenario.
pub(super) const TICK: u64 = 200;

/// The number of periods after which every member of a cluster knows the cluster's id. A guess.
pub(super) const SETTLED: u64 = 40;

/// The last moment at which something may happen, in milliseconds: an hour, in which idle nodes have enough to do.
pub const LATEST: u64 = 3_600_000;

/// How many latencies a request waits for its answer: what is slow is not to look lost, or nothing would be learned of it.
const TIMEOUT: f64 = 10.0;

/// A network and what happens on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Scenario {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many nodes. From 1.
    pub nodes: usize,
    /// Who knows whom, as [`Overlay`] reads it.
    #[serde(default, with = "overlay")]
    pub overlay: Overlay,
    /// Cliques beside these nodes, by size, numbered after them: nobody in one knows anybody outside of it. A clique of one
    /// is a node alone, which may join others later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<usize>,
    /// How long messages take.
    pub latency: Latency,
    /// Share of one-way messages lost until the network heals.
    #[serde(default)]
    pub loss: f64,
    /// Share of calls that arrive twice, for good.
    #[serde(default)]
    pub duplication: f64,
    /// Milliseconds of membership's protocol period: nodes watch each other and take the dead out of their groups. None:
    /// they do not. What is lost, and what happens, begins once they have had the time to hear of each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<u64>,
    /// Whether it all begins with the first moment, before nodes that watch each other can have heard of each other.
    #[serde(default, skip_serializing_if = "is_false")]
    pub early: bool,
    /// What the checks demand beyond what always has to hold.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub demands: BTreeSet<Demand>,
    /// How many rumors a node holds for others, where that is less than usual. What has been forgotten cannot come to
    /// everyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retained: Option<u32>,
    /// Ways from one node to another that differ from the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// Clocks that are wrong from the start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clocks: Vec<Skew>,
    /// What happens.
    pub events: Vec<Event>,
}

/// What checks may demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Demand {
    /// A node that one member has heard, and that is dead, is removed by all, also by those that have not heard it.
    Liveness,
    /// A node that is restarted on its address comes to know the groups that list it, and a node that joins comes to know
    /// all members of the group that it joined.
    Groups,
}

/// The way from one node to another; the way back is another link.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The sender.
    pub from: usize,
    /// The receiver.
    pub to: usize,
    /// How long messages take on it, if not as long as elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Share of messages lost on it until the network heals, if not the same as elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
}

/// Something that happens. In a list of them time decides the order, and of those at one moment the list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Milliseconds of virtual time since the start, or since nodes that watch each other could hear of each other. At
    /// most [`LATEST`].
    pub at: u64,
    /// What.
    #[serde(flatten)]
    pub what: Action,
}

impl<'de> Deserialize<'de> for Event {
    /// In two steps, as one would have to let keys pass that mean nothing.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Event, D::Error> {
        let mut fields = serde_json::Map::deserialize(deserializer)?;
        let at = fields.remove("at").ok_or_else(|| D::Error::missing_field("at"))?;
        let at = u64::deserialize(at).map_err(|why| D::Error::custom(format!("at: {why}")))?;
        let what = Action::deserialize(serde_json::Value::Object(fields))
            .map_err(|why| D::Error::custom(format!("the event at {at} ms: {why}")))?;
        Ok(Event { at, what })
    }
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
#[non_exhaustive]
pub enum Action {
    /// A node starts a rumor, if it is up.
    Tell {
        /// Which.
        node: usize,
        /// How long the message is at the least.
        #[serde(default, skip_serializing_if = "is_zero")]
        bytes: usize,
    },
    /// A node ends at once.
    Crash {
        /// Which.
        node: usize,
    },
    /// A node ends at once, and its host with it: nothing answers.
    Vanish {
        /// Which.
        node: usize,
    },
    /// A node starts anew at its address, at once where it was up.
    Restart {
        /// Which.
        node: usize,
    },
    /// A node starts anew at its address, knowing nobody, and joins through others. Only where nodes watch each other.
    Join {
        /// Which.
        node: usize,
        /// Through whom, the first that answers. At least one.
        through: Vec<usize>,
        /// Whether it is to be in no group but `all`, rather than in everybody's.
        #[serde(default, skip_serializing_if = "is_false")]
        ungrouped: bool,
    },
    /// An operator puts a group on nodes, on each that is up.
    Put {
        /// The group's name.
        group: String,
        /// The nodes that it is put on. At least one.
        on: Vec<usize>,
        /// Its members.
        members: Vec<usize>,
    },
    /// A node stops where it is.
    Pause {
        /// Which.
        node: usize,
    },
    /// A paused node goes on.
    Resume {
        /// Which.
        node: usize,
    },
    /// The network parts; nodes not named make one side more.
    Partition {
        /// The sides.
        sides: Vec<Vec<usize>>,
    },
    /// What one node sends another is lost from now on.
    Cut {
        /// The sender.
        from: usize,
        /// The receiver.
        to: usize,
    },
    /// What one node sends another is lost for good: healing does not mend it. What is connected by nothing else fails
    /// the checks, which shows that they can fail.
    Break {
        /// The sender.
        from: usize,
        /// The receiver.
        to: usize,
    },
    /// Partitions and cuts end.
    Heal {},
    /// From now on this share of one-way messages is lost, until the network heals.
    Loss {
        /// From 0 to less than 1.
        share: f64,
    },
    /// From now on messages take so long.
    Latency {
        /// How long.
        latency: Latency,
    },
    /// A node's clock is put wrong, or right, for its next life.
    Clock(Skew),
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Action {
    /// The nodes that it names.
    pub fn nodes(&self) -> Vec<usize> {
        match self {
            Action::Tell { node, .. }
            | Action::Crash { node }
            | Action::Vanish { node }
            | Action::Restart { node }
            | Action::Pause { node }
            | Action::Resume { node } => vec![*node],
            Action::Join { node, through, .. } => [&[*node], &through[..]].concat(),
            Action::Put { on, members, .. } => [&on[..], &members[..]].concat(),
            Action::Partition { sides } => sides.concat(),
            Action::Cut { from, to } | Action::Break { from, to } => vec![*from, *to],
            Action::Heal {} | Action::Loss { .. } | Action::Latency { .. } => Vec::new(),
            Action::Clock(skew) => vec![skew.node],
        }
    }

    /// Whether it can happen among so many nodes.
    fn check(&self, nodes: usize) -> Result<(), SimulationError> {
        let impossible = |why: String| Err(SimulationError::Argument(why));
        if let Some(node) = self.nodes().into_iter().find(|node| *node >= nodes) {
            return impossible(format!("it names node {node}; the last is {}", nodes.max(1) - 1));
        }
        match self {
            Action::Tell { bytes, .. } if *bytes > MAX_PAYLOAD => {
                impossible(format!("a message has at most {MAX_PAYLOAD} bytes, not {bytes}"))
            }
            Action::Partition { sides } => {
                let mut named = BTreeSet::new();
                match sides.iter().flatten().find(|node| !named.insert(**node)) {
                    Some(node) => {
                        impossible(format!("node {node} stands on two sides of a partition, or twice on one"))
                    }
                    None => Ok(()),
                }
            }
            Action::Join { node, through, .. } if through.is_empty() || through.contains(node) => {
                impossible(format!("node {node} joins through at least one node, and not through itself"))
            }
            Action::Put { on, .. } if on.is_empty() => impossible("a group is put on at least one node".to_owned()),
            Action::Put { group, .. } => match Gid::new(group) {
                Ok(gid) if gid.is_all() || gid.is_local() || group == GROUP => {
                    impossible(format!("an operator puts a group of its own, not {group:?}"))
                }
                Ok(_) => Ok(()),
                Err(why) => impossible(why.to_string()),
            },
            Action::Cut { from, to } | Action::Break { from, to } if from == to => {
                impossible(format!("node {from} needs no way to itself"))
            }
            Action::Loss { share } => check_share("loss", *share),
            Action::Clock(skew) => skew.checked(nodes).map(drop),
            _ => Ok(()),
        }
    }

    fn latency(&self) -> Option<Latency> {
        match self {
            Action::Latency { latency } => Some(*latency),
            _ => None,
        }
    }
}

mod overlay {
    use super::*;

    pub(super) fn serialize<S: serde::Serializer>(overlay: &Overlay, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(overlay)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Overlay, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Scenario {
    /// So many nodes that all know each other, over a network that takes 1 ms for a message and loses none, on which nothing
    /// happens. Its fields say otherwise.
    pub fn new(seed: u64, nodes: usize) -> Scenario {
        Scenario {
            seed,
            nodes,
            overlay: Overlay::Clique,
            beside: Vec::new(),
            latency: Latency::Constant(1),
            loss: 0.0,
            duplication: 0.0,
            watch: None,
            early: false,
            demands: BTreeSet::new(),
            retained: None,
            links: Vec::new(),
            clocks: Vec::new(),
            events: Vec::new(),
        }
    }

    /// How many nodes there are, those beside the network included.
    pub fn total(&self) -> usize {
        self.beside.iter().fold(self.nodes, |total, size| total.saturating_add(*size))
    }

    /// Whether an operator puts a group.
    pub(super) fn has_puts(&self) -> bool {
        self.events.iter().any(|event| matches!(event.what, Action::Put { .. }))
    }

    /// Whether a node joins others.
    pub(super) fn has_joins(&self) -> bool {
        self.events.iter().any(|event| matches!(event.what, Action::Join { .. }))
    }

    /// The network.
    pub(super) fn simulation(&self, traced: bool) -> Simulation {
        let timeout = (TIMEOUT * self.slowest()).max(50.0);
        let mut group =
            GroupConfig::new(named(GROUP)).with("tick", TICK as f64).with("requestTimeout", timeout.round());
        if let Some(retained) = self.retained {
            group = group.with("retainedCount", f64::from(retained));
        }
        let mut settings = Settings { membership: membership::Settings::off(), ..Settings::default() };
        if let Some(period) = self.watch {
            settings.membership = membership::Settings::paced(Duration::from_millis(period));
        }
        let loss = if self.watch.is_some() { 0.0 } else { self.loss };
        let simulation = Simulation::new(self.seed)
            .nodes(self.nodes)
            .beside(self.beside.iter().copied())
            .overlay(self.overlay)
            .latency(self.latency)
            .loss(loss)
            .duplication(self.duplication)
            .settings(settings)
            .group(group);
        let simulation = self.clocks.iter().fold(simulation, |simulation, skew| simulation.clock(*skew));
        if traced { simulation.traced() } else { simulation }
    }

    /// Whether there is such a network, and everything can happen on it; nothing runs.
    ///
    /// # Errors
    /// [`SimulationError`], saying what cannot be.
    pub fn check(&self) -> Result<(), SimulationError> {
        let impossible = |why: String| Err(SimulationError::Argument(why));
        for Event { at, what } in &self.events {
            if *at > LATEST {
                return impossible(format!("an event at {at} ms: the last moment is {LATEST}"));
            }
            what.check(self.total())
                .map_err(|why| SimulationError::Argument(format!("the event at {at} ms: {why}")))?;
            if matches!(what, Action::Join { .. }) && self.watch.is_none() {
                return impossible(format!("the event at {at} ms: a node joins only where nodes watch each other"));
            }
        }
        for Link { from, to, latency, loss } in &self.links {
            let way = Action::Cut { from: *from, to: *to };
            way.check(self.total())
                .map_err(|why| SimulationError::Argument(format!("the link {from} to {to}: {why}")))?;
            loss.map_or(Ok(()), |share| check_share("loss", share))?;
            latency.map_or(Ok(self.latency), Latency::checked)?;
        }
        check_share("loss", self.loss)?;
        let slowest = self.slowest();
        if TIMEOUT * slowest > latency::LONGEST.into() {
            let longest = f64::from(latency::LONGEST) / TIMEOUT;
            return impossible(format!("a message takes at most {longest} ms on average in a scenario, not {slowest}"));
        }
        if let Some(period) = self.watch {
            let detection = membership::Settings::paced(Duration::from_millis(period)).detection;
            detection.check().map_err(|why| SimulationError::Argument(why.to_string()))?;
        }
        match self.retained {
            Some(0) => impossible("a node holds at least one rumor".to_owned()),
            _ => self.simulation(false).check().map(drop),
        }
    }

    /// The longest mean latency of all that there are at any time.
    pub(super) fn slowest(&self) -> f64 {
        let links = self.links.iter().filter_map(|link| link.latency);
        let later = self.events.iter().filter_map(|event| event.what.latency());
        links.chain(later).map(Latency::mean).fold(self.latency.mean(), f64::max)
    }

    /// As text that [`Scenario`] is read from again.
    pub fn to_json(&self) -> String {
        // plain numbers and names have a form
        serde_json::to_string(self).unwrap_or_default()
    }
}
