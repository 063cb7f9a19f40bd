//! The kinds of things that a swarm draws beyond weather, partitions and single failures.
//!
//! Each kind draws from a generator of its own, so that with one kind more or less a seed's scenario is otherwise the same.
//! One takes minutes: it is drawn only where somebody asks for it.

use std::{collections::BTreeSet, fmt, str::FromStr};

use chinwag_protocol::overlay::Overlay;
use rand::{RngExt as _, seq::index};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng as _};

use super::{
    Latency, STORY, SimulationError, Skew,
    net::seed_of,
    scenario::{Action, Demand, Event, SETTLED, Scenario},
};

/// Within so many milliseconds.
pub(super) const WITHIN: u64 = 5_000;

/// Something that a swarm draws in some of its scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Hosts that go without a word.
    Silent,
    /// Nodes that start anew at once on their addresses.
    Restarts,
    /// The same, with clocks that were put back by up to ten years, or ahead by less than an hour.
    Clocks,
    /// Groups that operators put on nodes, some with a member that dies soon after. Where nodes watch each other they are
    /// put before anything else happens, and everybody knows everybody.
    Puts,
    /// The same at any moment and on any overlay, so that an operator also puts members that a verdict has removed, and
    /// strangers.
    LatePuts,
    /// Deaths and everything else from the first moment on, before nodes have heard of each other; strangers among them that
    /// an operator puts into one group.
    Early,
    /// Restarted nodes have to know the groups that list them, and newcomers all members of their group.
    Returns,
    /// Newcomers that join through one node or another.
    Joins,
    /// Newcomers to more members than any constant within a node.
    LargeJoins,
    /// A second cluster, which knows nothing of the first.
    Clusters,
    /// A node of the second cluster on the address of a dead member of the first.
    Takeovers,
    /// An operator who puts nodes of both clusters into one group.
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

/// The kinds that are drawn unless told otherwise: all but those whose scenarios take minutes.
pub const USUAL: [Kind; 11] = [
    Kind::Silent,
    Kind::Restarts,
    Kind::Clocks,
    Kind::Clusters,
    Kind::Joins,
    Kind::Puts,
    Kind::LatePuts,
    Kind::Early,
    Kind::Returns,
    Kind::Takeovers,
    Kind::Merges,
];

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

    /// In how many scenarios it is drawn, one in so many, of those in which it can be.
    fn one_in(self) -> u32 {
        match self {
            // some hundred times as much work as any other
            Kind::LargeJoins => 100,
            Kind::Silent | Kind::Restarts | Kind::Clocks | Kind::Puts | Kind::LatePuts | Kind::Early => 3,
            Kind::Joins | Kind::Clusters => 4,
            Kind::Takeovers | Kind::Merges => 2,
            Kind::Returns => 1,
        }
    }

    /// Adds it to a scenario, or not, as its seed says.
    pub(super) fn draw(self, scenario: &mut Scenario) {
        let mut chance = ChaCha8Rng::from_seed(seed_of(scenario.seed, STORY, 16 + self as u32));
        if chance.random_range(0..self.one_in()) != 0 {
            return;
        }
        match self {
            Kind::Silent => silent(scenario, &mut chance),
            Kind::Restarts => restarts(scenario, &mut chance),
            Kind::Clocks => clocks(scenario, &mut chance),
            Kind::Puts => {
                let first = scenario.events.first().map_or(WITHIN, |event| event.at);
                match (scenario.watch, scenario.overlay) {
                    (None, _) => puts(scenario, WITHIN, &mut chance),
                    (Some(_), Overlay::Clique) => puts(scenario, first, &mut chance),
                    (Some(_), _) => {}
                }
            }
            Kind::LatePuts => puts(scenario, WITHIN, &mut chance),
            Kind::Early => early(scenario, &mut chance),
            Kind::Returns => scenario.demands.extend([Demand::Groups]),
            Kind::Joins => joins(scenario, &mut chance),
            Kind::LargeJoins => large_joins(scenario, &mut chance),
            Kind::Clusters => clusters(scenario, &mut chance),
            Kind::Takeovers => takeovers(scenario, &mut chance),
            Kind::Merges => merges(scenario, &mut chance),
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

    /// Reads what [`Display`](fmt::Display) writes.
    ///
    /// # Errors
    /// [`SimulationError::Argument`], naming all kinds.
    fn from_str(text: &str) -> Result<Kind, SimulationError> {
        KINDS.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let (shown, names) = (text.chars().take(64).collect::<String>(), KINDS.map(Kind::name).join(", "));
            SimulationError::Argument(format!("unknown kind {shown:?}: expected one of {names}"))
        })
    }
}

fn moment(chance: &mut ChaCha8Rng) -> u64 {
    chance.random_range(0..WITHIN)
}

/// The nodes of the second cluster, where there is one.
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

fn any(of: &[usize], chance: &mut ChaCha8Rng) -> usize {
    of.get(chance.random_range(0..of.len().max(1))).copied().unwrap_or_default()
}

fn some(of: &[usize], chance: &mut ChaCha8Rng) -> Vec<usize> {
    let count = chance.random_range(1..=of.len().max(1)).min(of.len());
    let mut drawn: Vec<usize> =
        index::sample(chance, of.len(), count).into_iter().filter_map(|at| of.get(at).copied()).collect();
    drawn.sort_unstable();
    drawn
}

fn silent(scenario: &mut Scenario, chance: &mut ChaCha8Rng) {
    for event in &mut scenario.events {
        if let Action::Crash { node } = event.what
            && chance.random()
        {
            event.what = Action::Vanish { node };
        }
    }
    let node = chance.random_range(0..scenario.nodes);
    scenario.events.push(Event { at: moment(chance), what: Action::Vanish { node } });
}

fn restarts(scenario: &mut Scenario, chance: &mut ChaCha8Rng) {
    for _ in 0..chance.random_range(1..=2) {
        let node = chance.random_range(0..scenario.nodes);
        scenario.events.push(Event { at: moment(chance), what: Action::Restart { node } });
    }
}

fn clocks(scenario: &mut Scenario, chance: &mut ChaCha8Rng) {
    for _ in 0..chance.random_range(1..=2) {
        let (node, at) = (chance.random_range(0..scenario.nodes), moment(chance));
        let offset = match chance.random_range(0..3) {
            0 => chance.random_range(0..3_600_000),
            1 => -chance.random_range(0..3_600_000),
            _ => -chance.random_range(0..315_360_000_000),
        };
        scenario.events.push(Event { at, what: Action::Clock(Skew { node, rate: 1.0, offset }) });
        scenario.events.push(Event { at, what: Action::Restart { node } });
        let after = at + chance.random_range(1..2_000);
        scenario.events.push(Event { at: after, what: Action::Tell { node, bytes: 0 } });
    }
}

/// Puts until a moment, that one included.
fn puts(scenario: &mut Scenario, until: u64, chance: &mut ChaCha8Rng) {
    let network: Vec<usize> = (0..scenario.nodes).collect();
    let second = second_cluster(scenario);
    for _ in 0..chance.random_range(1..=3) {
        let second = second.as_ref().filter(|_| chance.random_range(0..3) == 0);
        let among = second.unwrap_or(&network);
        let members = some(among, chance);
        let on = if chance.random_range(0..3) == 0 { some(among, chance) } else { members.clone() };
        let (at, victim) = (chance.random_range(0..=until), any(&members, chance));
        let group = format!("hand{}", chance.random_range(0..3));
        // before what else happens at that moment
        scenario.events.insert(0, Event { at, what: Action::Put { group, on, members } });
        if chance.random() {
            let at = at + chance.random_range(0..2_000);
            scenario.events.push(Event { at, what: Action::Crash { node: victim } });
        }
    }
}

/// Besides, nodes that have never heard of each other are put into one group, and one of them dies soon after.
fn early(scenario: &mut Scenario, chance: &mut ChaCha8Rng) {
    scenario.early = true;
    scenario.demands.insert(Demand::Liveness);
    let (first, count) = (scenario.total(), chance.random_range(3..=8));
    scenario.beside.extend(std::iter::repeat_n(1, count));
    let young: Vec<usize> = (first..first + count).collect();
    let (at, victim) = (moment(chance), any(&young, chance));
    let what = Action::Put { group: "young".to_owned(), on: young.clone(), members: young };
    scenario.events.push(Event { at, what });
    let at = at + chance.random_range(0..3_000);
    scenario.events.push(Event { at, what: Action::Crash { node: victim } });
}

/// Those that join others are numbered last.
fn newcomers(scenario: &mut Scenario, count: usize, ungrouped: bool, chance: &mut ChaCha8Rng) {
    let first = scenario.total();
    scenario.beside.extend(std::iter::repeat_n(1, count));
    for node in first..first + count {
        let through = chance.random_range(0..scenario.nodes);
        let what = Action::Join { node, through: vec![through], ungrouped };
        scenario.events.push(Event { at: moment(chance), what });
    }
}

fn joins(scenario: &mut Scenario, chance: &mut ChaCha8Rng) {
    if scenario.watch.is_none() {
        return;
    }
    // a line would not be what a newcomer finds: it comes to know everyone
    scenario.overlay = Overlay::Clique;
    newcomers(scenario, chance.random_range(1..=4), false, chance);
}

/// Room for 256 addresses beyond those of twice the known members, 128 pieces of news in a message, 64 strangers.
fn large_joins(scenario: &mut Scenario, chance: &mut ChaCha8Rng) {
    *scenario = Scenario {
        seed: scenario.seed,
        nodes: chance.random_range(257..320),
        overlay: Overlay::Clique,
        beside: Vec::new(),
        latency: Latency::Constant(chance.random_range(1..=20)),
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
    // a group that a newcomer is handed would name all members to it
    newcomers(scenario, chance.random_range(1..=3), true, chance);
}

fn clusters(scenario: &mut Scenario, chance: &mut ChaCha8Rng) {
    let first = scenario.total();
    let size = chance.random_range(2..=8);
    scenario.beside.push(size);
    for _ in 0..chance.random_range(1..=4) {
        let node = first + chance.random_range(0..size);
        let what = match chance.random_range(0..4) {
            0 => Action::Crash { node },
            1 => Action::Restart { node },
            _ => Action::Tell { node, bytes: 0 },
        };
        scenario.events.push(Event { at: moment(chance), what });
    }
}

fn takeovers(scenario: &mut Scenario, chance: &mut ChaCha8Rng) {
    let (Some(second), Some(period)) = (second_cluster(scenario), scenario.watch) else { return };
    // before, neither cluster may have an id
    let (node, at) = (chance.random_range(0..scenario.nodes), period * SETTLED + moment(chance));
    scenario.events.push(Event { at, what: Action::Crash { node } });
    let (at, through) = (at + chance.random_range(0..2 * WITHIN), vec![any(&second, chance)]);
    scenario.events.push(Event { at, what: Action::Join { node, through, ungrouped: false } });
}

fn merges(scenario: &mut Scenario, chance: &mut ChaCha8Rng) {
    let Some(second) = second_cluster(scenario) else { return };
    let one = chance.random_range(0..scenario.nodes);
    let members = [&[one], &some(&second, chance)[..]].concat();
    let group = "both".to_owned();
    scenario.events.push(Event { at: moment(chance), what: Action::Put { group, on: vec![one], members } });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_drawn_and_can_be() {
        for kind in KINDS {
            assert_eq!(kind.to_string().parse::<Kind>().unwrap(), kind);
            // some build on a second cluster
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
