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

use chinwag_actors::{home::Settings, load::Load, local::membership};
use chinwag_protocol::{group::GroupConfig, identity::Nid, overlay::Overlay, swim::Status};
use serde::{Deserialize, Serialize, de::Error as _};

use super::{GROUP, Impossible, Latency, Net, Simulation, Skew, check_share, named};

/// Milliseconds between comparisons in a scenario.
const TICK: u64 = 200;

/// Ticks after healing within which every check has to hold, and as many again for each node that a message may have to
/// pass on a line. A guess, several times what was seen.
const TICKS: u64 = 100;
const TICKS_PER_NODE: u64 = 10;

/// As many of membership's periods besides, where nodes watch each other: what was removed is tried again every five of
/// them, one at a time. A guess.
const PERIODS: u64 = 500;

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
    /// Milliseconds of membership's protocol period: nodes watch each other and take the dead out of their groups. None:
    /// they do not. What is lost, and what happens, begins once they have had the time to hear of each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<u64>,
    /// How many rumors a node holds for others, where that is less than usual. What has been forgotten cannot come to
    /// everyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retained: Option<u32>,
    /// Clocks that are wrong from the start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clocks: Vec<Skew>,
    /// What happens.
    pub events: Vec<Event>,
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds of virtual time since the start, or since nodes that watch each other could hear of each other.
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
    /// What one node sends another is lost for good: healing does not mend it. What is connected by nothing else fails
    /// the checks, which shows that they can fail.
    Break {
        /// The sender.
        from: usize,
        /// The receiver.
        to: usize,
    },
    /// Partitions and cuts end.
    Heal,
    /// A node's clock is put wrong, or right, for its next life.
    Clock(Skew),
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
            Action::Cut { from, to } | Action::Break { from, to } => vec![*from, *to],
            Action::Heal => Vec::new(),
            Action::Clock(skew) => vec![skew.node],
        }
    }

    fn clock(&self) -> Option<Skew> {
        match self {
            Action::Clock(skew) => Some(*skew),
            _ => None,
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
            // a link may lose everything
            Action::Break { from, to } => drop(net.set_link_loss(*from, *to, 1.0)),
            Action::Heal => net.heal(),
            // it was checked
            Action::Clock(skew) => drop(net.set_clock(*skew)),
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
    /// Whether it is to hold in such a scenario.
    pub applies: fn(&Scenario) -> bool,
    /// Once broken, broken for good: waiting does not help.
    pub for_good: bool,
    find: for<'a> fn(&'a Net, &'a [String]) -> Found<'a>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Check({})", self.name)
    }
}

/// What must hold once a network has healed.
pub const CHECKS: [Check; 5] = [
    Check { name: "nobody hears a message twice in one life", applies: |_| true, for_good: true, find: heard_twice },
    Check { name: "nothing is held beyond its bound", applies: |_| true, for_good: true, find: overfull },
    Check {
        name: "whoever is connected has heard the same",
        applies: |scenario| scenario.retained.is_none(),
        for_good: false,
        find: unheard,
    },
    Check {
        name: "each view is whom one knew, but for the dead",
        applies: |scenario| scenario.watch.is_some(),
        for_good: false,
        find: views,
    },
    Check { name: "what was under way has come to an end", applies: |_| true, for_good: false, find: unfinished },
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

/// A dead peer that a node never heard from stays where it was put: it may never have been there.
fn views<'a>(net: &'a Net, _: &'a [String]) -> Found<'a> {
    Box::pin(async move {
        let everyone: Vec<(usize, Nid)> = (0..net.len()).map(|node| (node, net.addr(node).nid())).collect();
        for node in (0..net.len()).filter(|&node| net.is_up(node)) {
            let Ok(standings) = net.node(node).membership().list().await else {
                return Some(format!("node {node} takes no part in membership any more"));
            };
            let pending = standings.into_values().filter(|standing| standing.status == Status::Pending);
            let pending: BTreeSet<Nid> = pending.map(|standing| standing.node.nid()).collect();
            let known: BTreeSet<usize> = net.neighbours().of(node as u32).map(|other| other as usize).collect();
            for gid in [net.group(), "all"] {
                let Ok(view) = net.node(node).groups().get(gid).await else {
                    return Some(format!("node {node} does not know its group {gid} any more"));
                };
                for (other, nid) in &everyone {
                    let (held, up) = (view.contains(nid), net.is_up(*other));
                    let missed = up && !held && (known.contains(other) || *other == node);
                    if missed || (held && !up && !pending.contains(nid)) {
                        let (has, is) = if up { ("misses", "alive") } else { ("holds", "dead") };
                        return Some(format!("in {gid}, node {node} {has} node {other}, which is {is}"));
                    }
                }
            }
        }
        None
    })
}

/// Each node's load, of those that are up.
async fn load_of(net: &Net, node: usize) -> Result<Load, String> {
    net.node(node).status().load().await.map_err(|why| format!("node {node} does not say how full it is: {why}"))
}

fn overfull<'a>(net: &'a Net, _: &'a [String]) -> Found<'a> {
    Box::pin(async move {
        for node in (0..net.len()).filter(|&node| net.is_up(node)) {
            let load = match load_of(net, node).await {
                Ok(load) => load,
                Err(why) => return Some(why),
            };
            if let Some((name, fill)) = load.iter().find(|(_, fill)| fill.held > fill.most) {
                return Some(format!("node {node} has {} {name}, of at most {}", fill.held, fill.most));
            }
        }
        None
    })
}

/// What empties once nothing happens any more, and how much of it remains: the call that asks is under way itself.
const EMPTIES: [(&str, u64); 8] = [
    ("calls", 1),
    ("relayedCalls", 0),
    ("gossip.ownInFlight", 0),
    ("gossip.queued", 0),
    ("gossip.requests", 0),
    ("gossip.waiting", 0),
    ("gossip.wanted", 0),
    ("membership.relays", 0),
];

fn unfinished<'a>(net: &'a Net, _: &'a [String]) -> Found<'a> {
    Box::pin(async move {
        for node in (0..net.len()).filter(|&node| net.is_up(node)) {
            let load = match load_of(net, node).await {
                Ok(load) => load,
                Err(why) => return Some(why),
            };
            let held = |name: &str| load.get(name).map_or(0, |fill| fill.held);
            if let Some((name, rest)) = EMPTIES.iter().find(|(name, rest)| held(name) > *rest) {
                return Some(format!("node {node} has {} {name}, where {rest} would be left", held(name)));
            }
        }
        None
    })
}

/// What came of checks.
#[derive(Default)]
struct Tried {
    checked: u64,
    violations: Vec<Violation>,
    /// One is broken for good.
    hopeless: bool,
}

impl Tried {
    async fn one(&mut self, check: &Check, net: &Net, told: &[String]) -> Option<Violation> {
        self.checked += 1;
        let what = (check.find)(net, told).await?;
        self.hopeless |= check.for_good;
        Some(Violation { check: check.name, what })
    }

    /// Whether all hold; those after one that does not are not made.
    async fn holds(&mut self, checks: &[&Check], net: &Net, told: &[String]) -> bool {
        for check in checks {
            if self.one(check, net, told).await.is_some() {
                return false;
            }
        }
        true
    }

    /// Keeps what does not hold.
    async fn all<'a>(&mut self, checks: impl Iterator<Item = &'a &'a Check>, net: &Net, told: &[String]) {
        for check in checks {
            let violation = self.one(check, net, told).await;
            self.violations.extend(violation);
        }
    }
}

impl Scenario {
    /// The network.
    fn simulation(&self, traced: bool) -> Simulation {
        // slow messages are not to look lost, or nothing would be learned of them
        let timeout = (10.0 * self.latency.mean()).max(50.0);
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
            .overlay(self.overlay)
            .latency(self.latency)
            .loss(loss)
            .duplication(self.duplication)
            .settings(settings)
            .group(group);
        let simulation = self.clocks.iter().fold(simulation, |simulation, skew| simulation.clock(*skew));
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
        for skew in self.events.iter().filter_map(|event| event.what.clock()) {
            skew.checked(self.nodes)?;
        }
        check_share("loss", self.loss)?;
        if let Some(period) = self.watch {
            let detection = membership::Settings::paced(Duration::from_millis(period)).detection;
            detection.check().map_err(|why| Impossible::Argument(why.to_string()))?;
        }
        if self.retained == Some(0) {
            return Err(Impossible::Argument("a node holds at least one rumor".to_owned()));
        }
        let mut events = self.events.clone();
        events.sort_by_key(|event| event.at);
        let checks: Vec<&Check> = CHECKS.iter().filter(|check| (check.applies)(self)).collect();
        self.simulation(traced).run(|net| async move {
            let (mut told, mut tried) = (Vec::new(), Tried::default());
            net.advance(self.acquaintance()).await;
            // it was checked
            let _ = net.set_loss(self.loss);
            let begun = net.now();
            for event in events {
                net.advance((begun + Duration::from_millis(event.at)).saturating_sub(net.now())).await;
                event.what.happen(&net, &mut told);
                tried.all(checks.iter().filter(|check| check.for_good), &net, &told).await;
                if !tried.violations.is_empty() {
                    break;
                }
            }
            net.heal();
            // 0 is a share
            let _ = net.set_loss(0.0);
            (0..net.len()).for_each(|node| net.resume(node));
            let healed = net.now();
            // what is under way arrives, and what is told has been sent
            net.advance(Duration::from_millis(2 * TICK)).await;
            while tried.violations.is_empty() {
                if tried.holds(&checks, &net, &told).await {
                    break;
                }
                let late = net.now() - healed >= self.patience();
                if late || tried.hopeless {
                    tried.all(checks.iter(), &net, &told).await;
                } else {
                    net.advance(Duration::from_millis(TICK)).await;
                }
            }
            let Tried { checked, violations, .. } = tried;
            let healed_after = violations.is_empty().then(|| net.now() - healed);
            Outcome { violations, checked, healed_after, trace: net.trace() }
        })
    }

    /// How long nodes that watch each other are given to hear of each other.
    fn acquaintance(&self) -> Duration {
        Duration::from_millis(self.watch.map_or(0, |period| period * (10 + self.nodes as u64 / 2)))
    }

    /// How long after healing everything has to hold.
    fn patience(&self) -> Duration {
        let watched = self.watch.map_or(0, |period| period * PERIODS);
        Duration::from_millis(TICK * (TICKS + TICKS_PER_NODE * self.nodes as u64) + watched)
    }

    /// As text that [`Scenario`] is read from again.
    pub fn to_json(&self) -> String {
        // plain numbers and names have a form
        serde_json::to_string(self).unwrap_or_default()
    }
}
