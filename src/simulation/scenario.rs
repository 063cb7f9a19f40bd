//! Stories as data: a network, and what happens on it at what time; and what must hold afterwards.
//!
//! ```
//! use chinwag::simulation::scenario::Scenario;
//! let story = r#"{
//!     "seed": 1, "nodes": 12, "overlay": "ring", "latency": "uniform:1..5", "loss": 0.1,
//!     "events": [
//!         {"at": 100, "do": "partition", "sides": [[0, 1, 2, 3]]},
//!         {"at": 150, "do": "tell", "node": 2},
//!         {"at": 200, "do": "crash", "node": 9}
//!     ]
//! }"#;
//! let outcome = serde_json::from_str::<Scenario>(story)?.run(false)?;
//! assert_eq!(outcome.violations, []);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! After the last event the network heals: partitions and cuts end, paused nodes go on, nothing is lost any more. What
//! has crashed and was not restarted stays away. Then the [`CHECKS`] have to come to hold, within a bound.

use std::{collections::BTreeSet, future::Future, pin::Pin, time::Duration};

use chinwag_protocol::{group::GroupConfig, overlay::Overlay};
use serde::{Deserialize, Serialize, de::Error as _};

use super::{GROUP, Impossible, Latency, Net, Simulation, named};

/// Milliseconds between comparisons in a scenario.
const TICK: u64 = 200;

/// Ticks after healing within which every check has to hold, and as many again for each node that a message may have to
/// pass on a line. A guess, several times what was seen.
const TICKS: u64 = 100;
const TICKS_PER_NODE: u64 = 10;

/// A network and what happens on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many nodes. From 1.
    pub nodes: usize,
    /// Who knows whom, as [`Overlay`] reads it.
    #[serde(default, with = "overlay")]
    pub overlay: Overlay,
    /// How long messages take.
    pub latency: Latency,
    /// Share of one-way messages lost until the network heals.
    #[serde(default)]
    pub loss: f64,
    /// Share of calls that arrive twice, for good.
    #[serde(default)]
    pub duplication: f64,
    /// What happens.
    pub events: Vec<Event>,
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds of virtual time since the start.
    pub at: u64,
    /// What.
    #[serde(flatten)]
    pub what: Action,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum Action {
    /// A node starts a rumor, if it is up.
    Tell {
        /// Which.
        node: usize,
    },
    /// A node ends at once.
    Crash {
        /// Which.
        node: usize,
    },
    /// A node starts anew at its address.
    Restart {
        /// Which.
        node: usize,
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
    /// Partitions and cuts end.
    Heal,
}

impl Action {
    /// The nodes that it names.
    pub fn nodes(&self) -> Vec<usize> {
        match self {
            Action::Tell { node }
            | Action::Crash { node }
            | Action::Restart { node }
            | Action::Pause { node }
            | Action::Resume { node } => vec![*node],
            Action::Partition { sides } => sides.concat(),
            Action::Cut { from, to } => vec![*from, *to],
            Action::Heal => Vec::new(),
        }
    }

    fn happen(&self, net: &Net, told: &mut Vec<String>) {
        match self {
            Action::Tell { node } if net.is_up(*node) => {
                let message = format!("message {}", told.len());
                net.tell(*node, &message);
                told.push(message);
            }
            Action::Tell { .. } => {}
            Action::Crash { node } => net.crash(*node),
            Action::Restart { node } => net.restart(*node),
            Action::Pause { node } => net.pause(*node),
            Action::Resume { node } => net.resume(*node),
            Action::Partition { sides } => net.partition(sides.iter().map(|side| side.iter().copied())),
            Action::Cut { from, to } => net.cut(*from, *to),
            Action::Heal => net.heal(),
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

/// A check that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which check.
    pub check: &'static str,
    /// What was found.
    pub what: String,
}

/// What came of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What does not hold; empty where all is well.
    pub violations: Vec<Violation>,
    /// How many checks were made.
    pub checked: u64,
    /// Virtual time from the healing until all held; none where that did not come.
    pub healed_after: Option<Duration>,
    /// Every message, where it was asked for.
    pub trace: String,
}

type Found<'a> = Pin<Box<dyn Future<Output = Option<String>> + 'a>>;

/// Something that must hold.
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// Whether it is made. Those that need what nodes do not do yet are written down and wait.
    pub on: bool,
    /// Once broken, broken for good: waiting does not help.
    pub for_good: bool,
    find: for<'a> fn(&'a Net, &'a [String]) -> Found<'a>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Check({}, {})", self.name, if self.on { "on" } else { "off" })
    }
}

/// What must hold once a network has healed.
pub const CHECKS: [Check; 3] = [
    Check { name: "nobody hears a message twice in one life", on: true, for_good: true, find: heard_twice },
    Check { name: "whoever is connected has heard the same", on: true, for_good: false, find: unheard },
    // waits for membership in the actors
    Check { name: "each view is whom one knew, but for the dead", on: false, for_good: false, find: views },
];

fn heard_twice<'a>(net: &'a Net, _: &'a [String]) -> Found<'a> {
    Box::pin(async move {
        (0..net.len()).find_map(|node| {
            let mut seen = BTreeSet::new();
            let twice = net.heard(node).into_iter().find(|heard| !seen.insert((heard.life, heard.message.clone())))?;
            Some(format!("node {node} heard {:?} again in its life {} at {:?}", twice.message, twice.life, twice.at))
        })
    })
}

/// A message that a node in its present life has heard must come to everyone connected with it through nodes that are
/// up. One that was lost with its only bearer is nobody's.
fn unheard<'a>(net: &'a Net, told: &'a [String]) -> Found<'a> {
    Box::pin(async move {
        let has = |node: usize| -> BTreeSet<_> {
            let life = net.life(node);
            net.heard(node).into_iter().filter(|heard| heard.life == life).map(|heard| heard.message).collect()
        };
        let has: Vec<BTreeSet<_>> = (0..net.len()).map(has).collect();
        let mut done = BTreeSet::new();
        for start in 0..net.len() {
            if !net.is_up(start) || done.contains(&start) {
                continue;
            }
            let together = net.neighbours().reachable(start as u32, |node| net.is_up(node as usize));
            let together: Vec<usize> = together.into_iter().map(|node| node as usize).collect();
            done.extend(together.iter().copied());
            for message in told {
                let (with, without): (Vec<usize>, Vec<usize>) =
                    together.iter().copied().partition(|&node| has[node].contains(message.as_str()));
                if let (Some(with), Some(without)) = (with.first(), without.first()) {
                    return Some(format!("node {with} has heard {message:?} and node {without} has not"));
                }
            }
        }
        None
    })
}

fn views<'a>(net: &'a Net, _: &'a [String]) -> Found<'a> {
    Box::pin(async move {
        for node in (0..net.len()).filter(|&node| net.is_up(node)) {
            let Ok(view) = net.node(node).group(net.group()).members().await else {
                return Some(format!("node {node} does not know its group any more"));
            };
            let known = net.neighbours().of(node as u32).map(|other| other as usize).chain([node]);
            for other in known {
                let (held, up) = (view.contains(&net.addr(other).nid()), net.is_up(other));
                if held != up {
                    let (is, has) = (if up { "alive" } else { "dead" }, if held { "holds" } else { "misses" });
                    return Some(format!("node {node} {has} node {other}, which is {is}"));
                }
            }
        }
        None
    })
}

impl Scenario {
    /// The network.
    fn simulation(&self, traced: bool) -> Simulation {
        // slow messages are not to look lost, or nothing would be learned of them
        let timeout = (10.0 * self.latency.mean()).max(50.0);
        let group = GroupConfig::new(named(GROUP)).with("tick", TICK as f64).with("requestTimeout", timeout.round());
        let simulation = Simulation::new(self.seed)
            .nodes(self.nodes)
            .overlay(self.overlay)
            .latency(self.latency)
            .loss(self.loss)
            .duplication(self.duplication)
            .group(group);
        if traced { simulation.traced() } else { simulation }
    }

    /// Lets everything happen, heals the network, and checks.
    ///
    /// # Errors
    /// [`Impossible`], where there is no such network, or an event names a node that is not there. Nothing has run then.
    pub fn run(&self, traced: bool) -> Result<Outcome, Impossible> {
        for event in &self.events {
            if let Some(node) = event.what.nodes().into_iter().find(|node| *node >= self.nodes) {
                let why =
                    format!("an event at {} ms names node {node}; the last is {}", event.at, self.nodes.max(1) - 1);
                return Err(Impossible::Argument(why));
            }
        }
        let mut events = self.events.clone();
        events.sort_by_key(|event| event.at);
        let bound = Duration::from_millis(TICK * (TICKS + TICKS_PER_NODE * self.nodes as u64));
        self.simulation(traced).run(|net| async move {
            let mut told = Vec::new();
            for event in events {
                net.advance(Duration::from_millis(event.at).saturating_sub(net.now())).await;
                event.what.happen(&net, &mut told);
            }
            net.heal();
            // 0 is a share
            let _ = net.set_loss(0.0);
            (0..net.len()).for_each(|node| net.resume(node));
            let healed = net.now();
            // what is under way arrives, and what is told has been sent
            net.advance(Duration::from_millis(2 * TICK)).await;
            let (mut checked, mut violations) = (0, Vec::new());
            loop {
                let late = net.now() - healed >= bound;
                violations.clear();
                for check in CHECKS.iter().filter(|check| check.on) {
                    checked += 1;
                    let found = (check.find)(&net, &told).await;
                    violations.extend(found.map(|what| Violation { check: check.name, what }));
                }
                let hopeless = CHECKS
                    .iter()
                    .any(|check| check.for_good && violations.iter().any(|violation| violation.check == check.name));
                if violations.is_empty() || late || hopeless {
                    break;
                }
                net.advance(Duration::from_millis(TICK)).await;
            }
            let healed_after = violations.is_empty().then(|| net.now() - healed);
            Outcome { violations, checked, healed_after, trace: net.trace() }
        })
    }

    /// As text that [`Scenario`] is read from again.
    pub fn to_json(&self) -> String {
        // plain numbers and names have a form
        serde_json::to_string(self).unwrap_or_default()
    }
}
