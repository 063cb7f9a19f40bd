//! Tests as data: a network, the events on it, and demands that must be met afterwards.
//!
//! ```
//! use chinwag_simulation::scenario::Scenario;
//! let text = r#"{
//!     "seed": 1, "nodes": 12, "overlay": "ring", "latency": "uniform:1..5", "loss": 0.1,
//!     "links": [{"from": 0, "to": 1, "latency": "constant:80"}],
//!     "events": [
//!         {"at": 100, "do": "partition", "sides": [[0, 1, 2, 3]]},
//!         {"at": 150, "do": "tell", "node": 2, "bytes": 4096},
//!         {"at": 200, "do": "crash", "node": 9}
//!     ]
//! }"#;
//! let outcome = serde_json::from_str::<Scenario>(text)?.run(false)?;
//! assert_eq!((outcome.violations, outcome.told), (vec![], 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! After the last event the network heals: partitions and cuts end, paused nodes resume, and nothing is lost any more.
//! Nodes that have crashed and were not restarted stay down. Then all [`CHECKS`](super::checks::CHECKS) must hold
//! within a time limit.

use std::{collections::BTreeSet, time::Duration};

use chinwag_actors::{local::membership, settings::Settings};
use chinwag_protocol::{group::GroupConfig, identity::Gid, overlay::Overlay};
use serde::{Deserialize, Serialize, de::Error as _};

use super::{GROUP, Latency, Simulation, SimulationError, Skew, check_share, gid, latency, spread::MAX_PAYLOAD};

/// Milliseconds between comparisons in a scenario.
pub(super) const TICK: u64 = 200;

/// The number of periods after which every member of a cluster knows the cluster's id. It is a guess.
pub(super) const SETTLED: u64 = 40;

/// The latest time of an event in milliseconds: an hour. Idle nodes cost real time, too.
pub const LATEST: u64 = 3_600_000;

/// The timeout of a request in latencies. It is long, so that slow answers do not count as lost.
const TIMEOUT: f64 = 10.0;

/// A network and the events on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Scenario {
    /// The seed of all random numbers.
    pub seed: u64,
    /// The number of nodes, from 1.
    pub nodes: usize,
    /// Which nodes know each other, in the form that [`Overlay`] parses.
    #[serde(default, with = "overlay")]
    pub overlay: Overlay,
    /// The sizes of further cliques, whose nodes are numbered after the others. The nodes of a clique know only each
    /// other. A clique of one is a single node, which may join others later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<usize>,
    /// The latency of messages.
    pub latency: Latency,
    /// The share of one-way messages that are lost until the network heals.
    #[serde(default)]
    pub loss: f64,
    /// The share of calls that arrive twice, also after the network has healed.
    #[serde(default)]
    pub duplication: f64,
    /// The protocol period of membership in milliseconds, or `None` for nodes without membership. With membership,
    /// losses and events begin after the nodes have had time to hear from each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<u64>,
    /// Whether losses and events begin at once, before nodes with membership can have heard from each other.
    #[serde(default, skip_serializing_if = "is_false")]
    pub early: bool,
    /// Demands beyond the checks that apply to every scenario.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub demands: BTreeSet<Demand>,
    /// The number of rumors that a node keeps for others, if it is lower than the default. A rumor that all nodes have
    /// dropped cannot reach everyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retained: Option<u32>,
    /// The links that differ from the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// The clocks that are wrong from the start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clocks: Vec<Skew>,
    /// The events.
    pub events: Vec<Event>,
}

/// A demand that a scenario makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Demand {
    /// A dead node that one member has heard from is removed by all members, also by those that have not heard from it.
    Liveness,
    /// A node that restarts on its address learns the groups that list it, and a node that joins learns all members of
    /// the group that it joins.
    Groups,
}

/// The link from one node to another. The opposite direction is another link.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The sender.
    pub from: usize,
    /// The receiver.
    pub to: usize,
    /// The latency of the link, if it differs from that of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// The share of messages that are lost on the link until the network heals, if it differs from that of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
}

/// An event. Events happen in the order of time, and those of the same time in the order of the list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Virtual time in milliseconds since the events began, at most [`LATEST`].
    pub at: u64,
    /// The action.
    #[serde(flatten)]
    pub what: Action,
}

impl<'de> Deserialize<'de> for Event {
    /// Deserializes in two steps, because a flattened enum would accept unknown keys.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Event, D::Error> {
        let mut fields = serde_json::Map::deserialize(deserializer)?;
        let at = fields.remove("at").ok_or_else(|| D::Error::missing_field("at"))?;
        let at = u64::deserialize(at).map_err(|why| D::Error::custom(format!("at: {why}")))?;
        let what = Action::deserialize(serde_json::Value::Object(fields))
            .map_err(|why| D::Error::custom(format!("the event at {at} ms: {why}")))?;
        Ok(Event { at, what })
    }
}

/// An action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
#[non_exhaustive]
pub enum Action {
    /// A node starts a rumor, if it is up.
    Tell {
        /// The node.
        node: usize,
        /// The minimum length of the message in bytes.
        #[serde(default, skip_serializing_if = "is_zero")]
        bytes: usize,
    },
    /// A node's process ends at once, and its host refuses connections.
    Crash {
        /// The node.
        node: usize,
    },
    /// A node's host is gone at once, and nothing answers.
    Vanish {
        /// The node.
        node: usize,
    },
    /// A node restarts at its address, whether or not it was up.
    Restart {
        /// The node.
        node: usize,
    },
    /// A node restarts at its address without any members, and joins through others. It needs membership.
    Join {
        /// The node.
        node: usize,
        /// The seeds, of which the first that answers is used. At least one.
        through: Vec<usize>,
        /// Whether the node joins only `all`, and not the group of the other nodes.
        #[serde(default, skip_serializing_if = "is_false")]
        ungrouped: bool,
    },
    /// An operator puts a group on nodes that are up.
    Put {
        /// The group's name.
        group: String,
        /// The nodes on which the group is put. At least one.
        on: Vec<usize>,
        /// The members of the group.
        members: Vec<usize>,
    },
    /// A node pauses, like a suspended process.
    Pause {
        /// The node.
        node: usize,
    },
    /// A paused node resumes.
    Resume {
        /// The node.
        node: usize,
    },
    /// The network divides. The nodes that are not named form one more side.
    Partition {
        /// The sides.
        sides: Vec<Vec<usize>>,
    },
    /// Messages from one node to another are lost from now on.
    Cut {
        /// The sender.
        from: usize,
        /// The receiver.
        to: usize,
    },
    /// Messages from one node to another are lost, and healing does not repair the link. Nodes that nothing else
    /// connects fail the checks, which shows that the checks can fail.
    Break {
        /// The sender.
        from: usize,
        /// The receiver.
        to: usize,
    },
    /// Partitions and cuts end.
    Heal {},
    /// The share of one-way messages that are lost changes until the network heals.
    Loss {
        /// The share, from 0 to less than 1.
        share: f64,
    },
    /// The latency of messages changes.
    Latency {
        /// The latency.
        latency: Latency,
    },
    /// The clock of a node changes for its next life.
    Clock(Skew),
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Action {
    /// The nodes that the action names.
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

    /// Checks that the action is possible with this number of nodes.
    fn check(&self, nodes: usize) -> Result<(), SimulationError> {
        let impossible = |why: String| Err(SimulationError::Argument(why));
        if let Some(node) = self.nodes().into_iter().find(|node| *node >= nodes) {
            return impossible(format!("it names node {node}; the last node is {}", nodes.max(1) - 1));
        }
        match self {
            Action::Tell { bytes, .. } if *bytes > MAX_PAYLOAD => {
                impossible(format!("a message has at most {MAX_PAYLOAD} bytes, not {bytes}"))
            }
            Action::Partition { sides } => {
                let mut named = BTreeSet::new();
                match sides.iter().flatten().find(|node| !named.insert(**node)) {
                    Some(node) => impossible(format!("node {node} is on two sides of a partition, or twice on one")),
                    None => Ok(()),
                }
            }
            Action::Join { node, through, .. } if through.is_empty() || through.contains(node) => {
                impossible(format!("node {node} joins through at least one node, and not through itself"))
            }
            Action::Put { on, .. } if on.is_empty() => impossible("a group is put on at least one node".to_owned()),
            Action::Put { group, .. } => match Gid::new(group) {
                Ok(gid) if gid.is_all() || gid.is_local() || group == GROUP => {
                    impossible(format!("an operator cannot put the group {group:?}"))
                }
                Ok(_) => Ok(()),
                Err(why) => impossible(why.to_string()),
            },
            Action::Cut { from, to } | Action::Break { from, to } if from == to => {
                impossible(format!("node {from} has no link to itself"))
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
    /// Nodes that all know each other, on a network with a latency of 1 ms and without loss, and no events.
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

    /// The number of all nodes, with those of further cliques.
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

    /// The simulation of the network.
    pub(super) fn simulation(&self, traced: bool) -> Simulation {
        let timeout = (TIMEOUT * self.slowest()).max(50.0);
        let mut group = GroupConfig::new(gid(GROUP)).with("tick", TICK as f64).with("requestTimeout", timeout.round());
        if let Some(retained) = self.retained {
            group = group.with("retainedCount", f64::from(retained));
        }
        let mut settings = Settings::from(membership::Settings::off());
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

    /// Checks the scenario without running it.
    ///
    /// # Errors
    /// A [`SimulationError`] that says what is invalid.
    pub fn check(&self) -> Result<(), SimulationError> {
        let impossible = |why: String| Err(SimulationError::Argument(why));
        for Event { at, what } in &self.events {
            if *at > LATEST {
                return impossible(format!("an event at {at} ms is too late; the latest time is {LATEST} ms"));
            }
            what.check(self.total())
                .map_err(|why| SimulationError::Argument(format!("the event at {at} ms: {why}")))?;
            if matches!(what, Action::Join { .. }) && self.watch.is_none() {
                return impossible(format!(
                    "the event at {at} ms: a join needs \"watch\", the protocol period of membership"
                ));
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

    /// The longest mean latency at any time and on any link.
    pub(super) fn slowest(&self) -> f64 {
        let links = self.links.iter().filter_map(|link| link.latency);
        let later = self.events.iter().filter_map(|event| event.what.latency());
        links.chain(later).map(Latency::mean).fold(self.latency.mean(), f64::max)
    }

    /// The scenario as JSON, from which it can be deserialized again.
    pub fn to_json(&self) -> String {
        // serializing numbers and names cannot fail
        serde_json::to_string(self).unwrap_or_default()
    }
}
