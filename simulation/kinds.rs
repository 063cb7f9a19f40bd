//! The kinds of failures and operations that a swarm draws beyond the network, partitions and single failures.
//!
//! Each kind has a random generator of its own, so that adding or removing one kind changes nothing else in the
//! scenario of a seed. The kind whose scenarios take minutes is drawn only on request.

use std::{collections::BTreeSet, fmt, str::FromStr};

use chinwag_protocol::overlay::Overlay;
use rand::{RngExt as _, seq::index};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng as _};

use super::{
    Latency, SCENARIO, SimulationError, Skew,
    net::seed_of,
    scenario::{Action, Demand, Event, SETTLED, Scenario},
};

/// Events happen within this many milliseconds.
pub(super) const WITHIN: u64 = 5_000;

/// A kind of failure or operation that a swarm draws in some of its scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Hosts that disappear without refusing connections.
    Silent,
    /// Nodes that restart at once on their addresses.
    Restarts,
    /// Restarts with a clock that is set back by up to ten years, or ahead by less than an hour.
    Clocks,
    /// Groups that operators put on nodes, some with a member that dies soon after. With membership, the groups are put
    /// before anything else happens, and only where all nodes know each other.
    Puts,
    /// Groups that operators put at any moment and on any overlay, also with members that a verdict has removed, and
    /// with strangers.
    LatePuts,
    /// Events from the first moment on, before nodes have heard of each other, among them a group of strangers that an
    /// operator puts.
    Early,
    /// Checks that restarted nodes learn the groups that list them, and that newcomers learn all members of their
    /// group.
    Returns,
    /// Newcomers that join through a random node.
    Joins,
    /// Newcomers to a cluster with more members than any limit inside a node.
    LargeJoins,
    /// A second cluster, which does not know the first.
    Clusters,
    /// A node of the second cluster at the address of a dead member of the first.
    Takeovers,
    /// An operator that puts nodes of both clusters into one group.
    Merges,
}

/// Every kind, in the order in which they are drawn.
pub const KINDS: [Kind; 12] = [
    Kind::Silent,
    Kind::Restarts,
    Kind::Clocks,
    Kind::LargeJoins,
    Kind::Clusters,
    Kind::Joins,
    Kind::Puts,
    Kind::LatePuts,
    Kind::Early,
    Kind::Returns,
    Kind::Takeovers,
    Kind::Merges,
];

/// The kinds that are drawn by default: all whose scenarios do not take minutes.
pub fn usual() -> BTreeSet<Kind> {
    KINDS.into_iter().filter(|kind| *kind != Kind::LargeJoins).collect()
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Silent => "silent",
            Kind::Restarts => "restarts",
            Kind::Clocks => "clocks",
            Kind::Puts => "puts",
            Kind::LatePuts => "late-puts",
            Kind::Early => "early",
            Kind::Returns => "returns",
            Kind::Joins => "joins",
            Kind::LargeJoins => "large-joins",
            Kind::Clusters => "clusters",
            Kind::Takeovers => "takeovers",
            Kind::Merges => "merges",
        }
    }

    /// The kind is drawn in one of this many scenarios that can have it.
    fn one_in(self) -> u32 {
        match self {
            // a hundred times as much work as any other kind
            Kind::LargeJoins => 100,
            Kind::Silent | Kind::Restarts | Kind::Clocks | Kind::Puts | Kind::LatePuts | Kind::Early => 3,
            Kind::Joins | Kind::Clusters => 4,
            Kind::Takeovers | Kind::Merges => 2,
            Kind::Returns => 1,
        }
    }

    /// Adds the kind to a scenario if the scenario's seed draws it.
    pub(super) fn draw(self, scenario: &mut Scenario) {
        let mut rng = ChaCha8Rng::from_seed(seed_of(scenario.seed, SCENARIO, 16 + self as u32));
        if rng.random_range(0..self.one_in()) != 0 {
            return;
        }
        match self {
            Kind::Silent => silent(scenario, &mut rng),
            Kind::Restarts => restarts(scenario, &mut rng),
            Kind::Clocks => clocks(scenario, &mut rng),
            Kind::Puts => {
                let first = scenario.events.first().map_or(WITHIN, |event| event.at);
                match (scenario.watch, scenario.overlay) {
                    (None, _) => puts(scenario, WITHIN, &mut rng),
                    (Some(_), Overlay::Clique) => puts(scenario, first, &mut rng),
                    (Some(_), _) => {}
                }
            }
            Kind::LatePuts => puts(scenario, WITHIN, &mut rng),
            Kind::Early => early(scenario, &mut rng),
            Kind::Returns => scenario.demands.extend([Demand::Groups]),
            Kind::Joins => joins(scenario, &mut rng),
            Kind::LargeJoins => large_joins(scenario, &mut rng),
            Kind::Clusters => clusters(scenario, &mut rng),
            Kind::Takeovers => takeovers(scenario, &mut rng),
            Kind::Merges => merges(scenario, &mut rng),
        }
        scenario.events.sort_by_key(|event| event.at);
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = SimulationError;

    /// Parses the form that [`Display`](fmt::Display) writes.
    ///
    /// # Errors
    /// [`SimulationError::Argument`] with the names of all kinds.
    fn from_str(text: &str) -> Result<Kind, SimulationError> {
        KINDS.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let (shown, names) = (text.chars().take(64).collect::<String>(), KINDS.map(Kind::name).join(", "));
            SimulationError::Argument(format!("unknown kind {shown:?}: expected one of {names}"))
        })
    }
}

fn moment(rng: &mut ChaCha8Rng) -> u64 {
    rng.random_range(0..WITHIN)
}

/// The nodes of the second cluster, or `None` if there is none.
fn second_cluster(scenario: &Scenario) -> Option<Vec<usize>> {
    let mut first = scenario.nodes;
    for size in &scenario.beside {
        if *size > 1 {
            return Some((first..first + size).collect());
        }
        first += size;
    }
    None
}

fn any(of: &[usize], rng: &mut ChaCha8Rng) -> usize {
    of.get(rng.random_range(0..of.len().max(1))).copied().unwrap_or_default()
}

fn some(of: &[usize], rng: &mut ChaCha8Rng) -> Vec<usize> {
    let count = rng.random_range(1..=of.len().max(1)).min(of.len());
    let mut drawn: Vec<usize> =
        index::sample(rng, of.len(), count).into_iter().filter_map(|at| of.get(at).copied()).collect();
    drawn.sort_unstable();
    drawn
}

fn silent(scenario: &mut Scenario, rng: &mut ChaCha8Rng) {
    for event in &mut scenario.events {
        if let Action::Crash { node } = event.what
            && rng.random()
        {
            event.what = Action::Vanish { node };
        }
    }
    let node = rng.random_range(0..scenario.nodes);
    scenario.events.push(Event { at: moment(rng), what: Action::Vanish { node } });
}

fn restarts(scenario: &mut Scenario, rng: &mut ChaCha8Rng) {
    for _ in 0..rng.random_range(1..=2) {
        let node = rng.random_range(0..scenario.nodes);
        scenario.events.push(Event { at: moment(rng), what: Action::Restart { node } });
    }
}

fn clocks(scenario: &mut Scenario, rng: &mut ChaCha8Rng) {
    for _ in 0..rng.random_range(1..=2) {
        let (node, at) = (rng.random_range(0..scenario.nodes), moment(rng));
        let offset = match rng.random_range(0..3) {
            0 => rng.random_range(0..3_600_000),
            1 => -rng.random_range(0..3_600_000),
            _ => -rng.random_range(0..315_360_000_000),
        };
        scenario.events.push(Event { at, what: Action::Clock(Skew { node, rate: 1.0, offset }) });
        scenario.events.push(Event { at, what: Action::Restart { node } });
        let after = at + rng.random_range(1..2_000);
        scenario.events.push(Event { at: after, what: Action::Tell { node, bytes: 0 } });
    }
}

/// Adds groups that are put up to this moment, inclusive.
fn puts(scenario: &mut Scenario, until: u64, rng: &mut ChaCha8Rng) {
    let network: Vec<usize> = (0..scenario.nodes).collect();
    let second = second_cluster(scenario);
    for _ in 0..rng.random_range(1..=3) {
        let second = second.as_ref().filter(|_| rng.random_range(0..3) == 0);
        let among = second.unwrap_or(&network);
        let members = some(among, rng);
        let on = if rng.random_range(0..3) == 0 { some(among, rng) } else { members.clone() };
        let (at, victim) = (rng.random_range(0..=until), any(&members, rng));
        let group = format!("hand{}", rng.random_range(0..3));
        // inserted before the other events of that moment
        scenario.events.insert(0, Event { at, what: Action::Put { group, on, members } });
        if rng.random() {
            let at = at + rng.random_range(0..2_000);
            scenario.events.push(Event { at, what: Action::Crash { node: victim } });
        }
    }
}

/// Lets events happen from the start. It also puts nodes that have never heard of each other into one group, of which
/// one dies soon after.
fn early(scenario: &mut Scenario, rng: &mut ChaCha8Rng) {
    scenario.early = true;
    scenario.demands.insert(Demand::Liveness);
    let (first, count) = (scenario.total(), rng.random_range(3..=8));
    scenario.beside.extend(std::iter::repeat_n(1, count));
    let young: Vec<usize> = (first..first + count).collect();
    let (at, victim) = (moment(rng), any(&young, rng));
    let what = Action::Put { group: "young".to_owned(), on: young.clone(), members: young };
    scenario.events.push(Event { at, what });
    let at = at + rng.random_range(0..3_000);
    scenario.events.push(Event { at, what: Action::Crash { node: victim } });
}

/// Adds newcomers, which are numbered last.
fn newcomers(scenario: &mut Scenario, count: usize, ungrouped: bool, rng: &mut ChaCha8Rng) {
    let first = scenario.total();
    scenario.beside.extend(std::iter::repeat_n(1, count));
    for node in first..first + count {
        let through = rng.random_range(0..scenario.nodes);
        let what = Action::Join { node, through: vec![through], ungrouped };
        scenario.events.push(Event { at: moment(rng), what });
    }
}

fn joins(scenario: &mut Scenario, rng: &mut ChaCha8Rng) {
    if scenario.watch.is_none() {
        return;
    }
    // a newcomer learns all members, whatever the overlay was
    scenario.overlay = Overlay::Clique;
    newcomers(scenario, rng.random_range(1..=4), false, rng);
}

/// The cluster exceeds the limits of a node: 256 addresses beyond twice the known members, 128 news items in a message,
/// and 64 strangers.
fn large_joins(scenario: &mut Scenario, rng: &mut ChaCha8Rng) {
    *scenario = Scenario {
        seed: scenario.seed,
        nodes: rng.random_range(257..320),
        overlay: Overlay::Clique,
        beside: Vec::new(),
        latency: Latency::Constant(rng.random_range(1..=20)),
        loss: 0.0,
        duplication: 0.0,
        watch: Some(1_000),
        early: true,
        demands: BTreeSet::new(),
        retained: None,
        links: Vec::new(),
        clocks: Vec::new(),
        events: Vec::new(),
    };
    // without a group, because its members would be listed to the newcomer
    newcomers(scenario, rng.random_range(1..=3), true, rng);
}

fn clusters(scenario: &mut Scenario, rng: &mut ChaCha8Rng) {
    let first = scenario.total();
    let size = rng.random_range(2..=8);
    scenario.beside.push(size);
    for _ in 0..rng.random_range(1..=4) {
        let node = first + rng.random_range(0..size);
        let what = match rng.random_range(0..4) {
            0 => Action::Crash { node },
            1 => Action::Restart { node },
            _ => Action::Tell { node, bytes: 0 },
        };
        scenario.events.push(Event { at: moment(rng), what });
    }
}

fn takeovers(scenario: &mut Scenario, rng: &mut ChaCha8Rng) {
    let (Some(second), Some(period)) = (second_cluster(scenario), scenario.watch) else { return };
    // a takeover waits until both clusters have an id
    let (node, at) = (rng.random_range(0..scenario.nodes), period * SETTLED + moment(rng));
    scenario.events.push(Event { at, what: Action::Crash { node } });
    let (at, through) = (at + rng.random_range(0..2 * WITHIN), vec![any(&second, rng)]);
    scenario.events.push(Event { at, what: Action::Join { node, through, ungrouped: false } });
}

fn merges(scenario: &mut Scenario, rng: &mut ChaCha8Rng) {
    let Some(second) = second_cluster(scenario) else { return };
    let one = rng.random_range(0..scenario.nodes);
    let members = [&[one], &some(&second, rng)[..]].concat();
    let group = "both".to_owned();
    scenario.events.push(Event { at: moment(rng), what: Action::Put { group, on: vec![one], members } });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_drawn_and_gives_valid_scenarios() {
        for kind in KINDS {
            assert_eq!(kind.to_string().parse::<Kind>().unwrap(), kind);
            // some kinds need a second cluster
            let kinds = [Kind::Clusters, Kind::Joins, kind].into();
            let without = [Kind::Clusters, Kind::Joins].into_iter().filter(|other| *other != kind).collect();
            let drawn = (0..400).filter(|seed| {
                let scenario = Scenario::drawn_with(*seed, &kinds);
                scenario.check().unwrap();
                scenario != Scenario::drawn_with(*seed, &without)
            });
            assert!(drawn.count() > 0, "{kind}");
        }
        assert!("late".parse::<Kind>().unwrap_err().to_string().contains("silent"));
    }
}
