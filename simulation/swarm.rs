//! Scenarios that are drawn from seeds, and small scenarios that are made from those that fail.
//!
//! A seed draws an overlay, a network and some failures. Many seeds find combinations that nobody has thought of. A
//! scenario that fails can be replayed by its seed, and is shrunk: events, nodes and faults are removed as long as it
//! still fails.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use chinwag_protocol::overlay::Overlay;
use rand::{RngExt as _, seq::index};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng as _};
use serde::Serialize;

use super::{
    Latency, SCENARIO, SimulationError, Skew,
    checks::Violation,
    kinds::{KINDS, Kind, WITHIN, usual},
    net::seed_of,
    run::Outcome,
    scenario::{Action, Event, Link, Scenario},
};

/// The largest number of nodes: enough for every code path, and few enough for thousands of seeds in minutes.
const MOST_NODES: usize = 40;

/// The largest number of nodes with membership, whose cost grows with the square of the number.
const MOST_WATCHED: usize = 24;

/// The largest number of events.
const MOST_EVENTS: usize = 24;

/// The longest message in bytes: several times the size up to which messages are pushed to nodes that may have them.
const LONGEST: usize = 8_192;

/// The largest number of runs to shrink one failure.
const MOST_RUNS: u32 = 400;

/// The largest number of failures that are shrunk, because each takes many runs.
const MOST_SHOWN: usize = 3;

impl Scenario {
    /// The scenario of a seed, with the [`usual`] kinds.
    pub fn drawn(seed: u64) -> Scenario {
        Scenario::drawn_with(seed, &usual())
    }

    /// The scenario of a seed, with these kinds.
    pub fn drawn_with(seed: u64, kinds: &BTreeSet<Kind>) -> Scenario {
        let mut scenario = Scenario::plain(seed);
        KINDS.into_iter().filter(|kind| kinds.contains(kind)).for_each(|kind| kind.draw(&mut scenario));
        scenario
    }

    /// A scenario with a network, partitions and single failures.
    fn plain(seed: u64) -> Scenario {
        let mut rng = ChaCha8Rng::from_seed(seed_of(seed, SCENARIO, 1));
        let latency = Latency::drawn(&mut rng);
        let any = rng.random_range(2..=MOST_NODES);
        let (nodes, overlay) = match rng.random_range(0..9) {
            0 if any >= 3 => (any, Overlay::Ring),
            1 if any >= 6 => (any, Overlay::RandomRegular(4)),
            2 => (any, Overlay::Line),
            3 => (any, Overlay::Star),
            // numbers of nodes that form a torus are rare, and are drawn on purpose
            4 => (rng.random_range(3..=6) * rng.random_range(3..=6), Overlay::Torus),
            5 => (1 << rng.random_range(1..=5), Overlay::Hypercube),
            _ => (any, Overlay::Clique),
        };
        // most smaller networks have membership, with a period that the network can follow
        let watched = nodes <= MOST_WATCHED && rng.random_range(0..3) > 0;
        let watch = watched.then_some(((20.0 * latency.mean()) as u64).clamp(200, 1_000));
        // one in eight networks drops rumors early
        let retained = (rng.random_range(0..8) == 0).then(|| rng.random_range(1..=4));
        // in a third of the networks, one to three clocks are wrong
        let wrong = if rng.random_range(0..3) == 0 { rng.random_range(1..=nodes.min(3)) } else { 0 };
        let mut clocks = index::sample(&mut rng, nodes, wrong).into_vec();
        clocks.sort_unstable();
        let clocks = clocks.into_iter().map(|node| Skew::drawn(node, &mut rng)).collect();
        // half of the networks lose nothing, and half repeat nothing
        let mut share = |most: f64| if rng.random() { rng.random_range(0.0..most) } else { 0.0 };
        let (loss, duplication) = (share(0.4), share(0.3));
        // in a quarter of the networks, some links differ from the others
        let odd = if rng.random_range(0..4) == 0 { rng.random_range(1..=4) } else { 0 };
        let links = (0..odd).map(|_| Link::drawn(nodes, &mut rng)).collect();
        let count = rng.random_range(1..=MOST_EVENTS);
        let mut events: Vec<Event> = (0..count)
            .map(|_| Event { at: rng.random_range(0..WITHIN), what: Action::drawn(nodes, &mut rng) })
            .collect();
        events.sort_by_key(|event| event.at);
        let (beside, early, demands) = (Vec::new(), false, BTreeSet::new());
        Scenario {
            seed,
            nodes,
            overlay,
            beside,
            latency,
            loss,
            duplication,
            watch,
            early,
            demands,
            retained,
            links,
            clocks,
            events,
        }
    }
}

impl Action {
    fn drawn(nodes: usize, rng: &mut ChaCha8Rng) -> Action {
        let kind = rng.random_range(0..23);
        let node = rng.random_range(0..nodes);
        match kind {
            0..8 => Action::Tell { node, bytes: if rng.random() { 0 } else { rng.random_range(0..=LONGEST) } },
            8..10 => Action::Crash { node },
            10..12 => Action::Restart { node },
            12..14 => Action::Pause { node },
            14..16 => Action::Resume { node },
            16..18 => {
                let away = rng.random_range(1..=nodes);
                let away = index::sample(rng, nodes, away).into_vec();
                // one side or two, and that of the remaining nodes
                let (one, two) = away.split_at(rng.random_range(1..=away.len()));
                let mut sides = vec![one.to_vec(), two.to_vec()];
                sides.retain(|side| !side.is_empty());
                sides.iter_mut().for_each(|side| side.sort_unstable());
                Action::Partition { sides }
            }
            18 => Action::Cut { from: node, to: other(node, nodes, rng) },
            19 => Action::Clock(Skew::drawn(node, rng)),
            20 => Action::Loss { share: f64::from(rng.random_range(0..50)) / 100.0 },
            21 => Action::Latency { latency: Latency::drawn(rng) },
            _ => Action::Heal {},
        }
    }
}

/// A node other than this one.
fn other(node: usize, nodes: usize, rng: &mut ChaCha8Rng) -> usize {
    (node + rng.random_range(1..nodes)) % nodes
}

impl Link {
    fn drawn(nodes: usize, rng: &mut ChaCha8Rng) -> Link {
        let from = rng.random_range(0..nodes);
        let latency = rng.random::<bool>().then(|| Latency::drawn(rng));
        let loss = rng.random::<bool>().then(|| f64::from(rng.random_range(0..90)) / 100.0);
        Link { from, to: other(from, nodes, rng), latency, loss }
    }
}

impl Latency {
    fn drawn(rng: &mut ChaCha8Rng) -> Latency {
        match rng.random_range(0..3) {
            0 => Latency::Constant(rng.random_range(1..=20)),
            1 => Latency::Uniform(1, rng.random_range(2..=50)),
            _ => Latency::LogNormal { median: rng.random_range(1..=20), sigma: 0.5 },
        }
    }
}

impl Skew {
    fn drawn(node: usize, rng: &mut ChaCha8Rng) -> Skew {
        let rate = f64::from(rng.random_range(80..=125)) / 100.0;
        Skew { node, rate, offset: rng.random_range(-10_000..=10_000) }
    }
}

/// The result of a swarm.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The number of seeds.
    pub seeds: u64,
    /// The first seed.
    pub seed: u64,
    /// The number of checks.
    pub checked: u64,
    /// The number of messages that were started.
    pub told: u64,
    /// The number of seeds that failed.
    pub failed: usize,
    /// The seeds that failed.
    pub failures: Vec<u64>,
    /// The first failures, shrunk.
    pub shown: Vec<Failure>,
    /// The real time of all seeds together.
    pub wall_seconds: f64,
}

impl Report {
    /// Summarizes the results of scenarios that were drawn with these kinds, and shrinks the first failures.
    ///
    /// # Errors
    /// A [`SimulationError`] if a scenario is invalid.
    pub fn of(
        seed: u64,
        kinds: &BTreeSet<Kind>,
        tried: Vec<(Scenario, Outcome)>,
        wall: Duration,
    ) -> Result<Report, SimulationError> {
        let sum = |of: fn(&Outcome) -> u64| tried.iter().map(|(_, outcome)| of(outcome)).sum();
        let (seeds, checked, told) = (tried.len() as u64, sum(|outcome| outcome.checked), sum(|outcome| outcome.told));
        let failed: Vec<_> = tried.into_iter().filter(|(_, outcome)| !outcome.violations.is_empty()).collect();
        let failures: Vec<u64> = failed.iter().map(|(scenario, _)| scenario.seed).collect();
        let shown = failed.into_iter().take(MOST_SHOWN).map(|(scenario, outcome)| {
            let replay = Failure::replay_of(scenario.seed, kinds);
            Failure::of(scenario, outcome.violations, replay)
        });
        Ok(Report {
            seeds,
            seed,
            checked,
            told,
            failed: failures.len(),
            failures,
            shown: shown.collect::<Result<_, _>>()?,
            wall_seconds: wall.as_secs_f64(),
        })
    }
}

/// Runs a scenario, and reports a panic of the simulation as a violation, so that a swarm continues and names the seed.
/// (An actor that panics is replaced, as on any node.)
///
/// # Errors
/// As [`Scenario::run`].
pub fn run(scenario: &Scenario, traced: bool) -> Result<Outcome, SimulationError> {
    // the state that a panic left inconsistent is dropped with the simulation
    catch_unwind(AssertUnwindSafe(|| scenario.run(traced))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let what = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("with no words").to_owned();
        let violations = vec![Violation { check: "nothing panics", what }];
        Ok(Outcome { violations, checked: 1, told: 0, untold: 0, healed_after: None, trace: String::new() })
    })
}

/// A scenario that failed.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// The command that replays it.
    pub replay: String,
    /// The checks that failed.
    pub violations: Vec<Violation>,
    /// The smallest scenario found that also fails.
    pub shrunk: Scenario,
    /// The number of runs that it took to find it.
    pub runs: u32,
}

impl Failure {
    /// Shrinks a scenario that failed to one that fails one of the same checks.
    ///
    /// # Errors
    /// A [`SimulationError`] if the scenario is invalid.
    pub fn of(scenario: Scenario, violations: Vec<Violation>, replay: String) -> Result<Failure, SimulationError> {
        let broken: BTreeSet<&str> = violations.iter().map(|violation| violation.check).collect();
        let fails = |scenario: &Scenario| {
            let found = run(scenario, false)?.violations;
            Ok(found.iter().any(|violation| broken.contains(violation.check)))
        };
        let seed = scenario.seed;
        let (shrunk, runs) = shrink(scenario, fails)?;
        Ok(Failure { seed, replay, violations, shrunk, runs })
    }

    /// The command that replays a seed of a swarm with these kinds.
    pub fn replay_of(seed: u64, kinds: &BTreeSet<Kind>) -> String {
        let mut command = format!("chinwag simulate --swarm 1 --seed {seed}");
        if *kinds != usual() {
            let names: Vec<String> = kinds.iter().map(Kind::to_string).collect();
            command += &format!(" --kinds {}", if names.is_empty() { "none".to_owned() } else { names.join(",") });
        }
        command
    }
}

/// Removes what a failure does not need. Returns the smaller scenario, and the number of runs.
///
/// # Errors
/// The error of `fails`. A smaller scenario that is invalid is skipped.
pub fn shrink(
    scenario: Scenario,
    fails: impl Fn(&Scenario) -> Result<bool, SimulationError>,
) -> Result<(Scenario, u32), SimulationError> {
    let (mut smallest, mut runs) = (scenario, 0);
    'again: loop {
        for smaller in smaller(&smallest) {
            if runs >= MOST_RUNS {
                break 'again;
            }
            runs += 1;
            match fails(&smaller) {
                Ok(true) => {
                    smallest = smaller;
                    continue 'again;
                }
                Ok(false)
                | Err(SimulationError::Overlay(_) | SimulationError::Nodes(_) | SimulationError::Argument(_)) => {}
                Err(why) => return Err(why),
            }
        }
        break;
    }
    Ok((smallest, runs))
}

/// Smaller scenarios to try, the smallest first.
fn smaller(scenario: &Scenario) -> Vec<Scenario> {
    let mut tried = Vec::new();
    let mut with = |change: &dyn Fn(&mut Scenario)| {
        let mut smaller = scenario.clone();
        change(&mut smaller);
        if smaller != *scenario {
            tried.push(smaller);
        }
    };
    let count = scenario.events.len();
    let mut size = count / 2;
    while size > 0 {
        for start in (0..count).step_by(size) {
            with(&|smaller| drop(smaller.events.drain(start..(start + size).min(count))));
        }
        size /= 2;
    }
    for nodes in [scenario.nodes / 2, scenario.nodes.saturating_sub(1)] {
        if nodes > 0 {
            with(&|smaller| keep(smaller, |node| node < nodes || node >= scenario.nodes));
        }
    }
    let mut first = scenario.nodes;
    for size in &scenario.beside {
        let clique = first..first + size;
        with(&|smaller| keep(smaller, |node| !clique.contains(&node)));
        with(&|smaller| keep(smaller, |node| !clique.contains(&node) || node < clique.start + size / 2));
        first += size;
    }
    with(&only_named);
    with(&|smaller| smaller.events.iter_mut().for_each(|event| event.at /= 2));
    with(&|smaller| smaller.links.clear());
    for at in 0..scenario.links.len() {
        with(&|smaller| {
            smaller.links.remove(at);
        });
    }
    with(&|smaller| {
        for event in &mut smaller.events {
            if let Action::Tell { bytes, .. } = &mut event.what {
                *bytes = 0;
            }
        }
    });
    with(&|smaller| smaller.loss = 0.0);
    with(&|smaller| smaller.duplication = 0.0);
    with(&|smaller| smaller.clocks.clear());
    with(&|smaller| smaller.watch = None);
    with(&|smaller| smaller.early = false);
    for demand in &scenario.demands {
        with(&|smaller| smaller.demands.retain(|other| other != demand));
    }
    with(&|smaller| smaller.retained = None);
    with(&|smaller| smaller.overlay = Overlay::Clique);
    with(&|smaller| smaller.latency = Latency::Constant(1));
    tried
}

/// Removes the nodes that nothing names.
fn only_named(scenario: &mut Scenario) {
    let of_events = scenario.events.iter().flat_map(|event| event.what.nodes());
    let of_links = scenario.links.iter().flat_map(|link| [link.from, link.to]);
    let named: BTreeSet<usize> =
        of_events.chain(of_links).chain(scenario.clocks.iter().map(|skew| skew.node)).collect();
    keep(scenario, |node| named.contains(&node));
}

/// Keeps some of the nodes, renumbered from 0, and everything that names only these.
fn keep(scenario: &mut Scenario, wanted: impl Fn(usize) -> bool) {
    // a network has at least one node
    let first = if (0..scenario.nodes).any(&wanted) { None } else { Some(0) };
    let kept: BTreeSet<usize> = (0..scenario.total()).filter(|node| wanted(*node)).chain(first).collect();
    let number = |node: &mut usize| *node = kept.range(..*node).count();
    let all_kept = |nodes: &[usize]| nodes.iter().all(|node| kept.contains(node));
    scenario.events.retain_mut(|event| {
        match &mut event.what {
            Action::Partition { sides } => {
                sides.iter_mut().for_each(|side| side.retain(|node| kept.contains(node)));
                sides.retain(|side| !side.is_empty());
                sides.iter_mut().flatten().for_each(number);
                return !sides.is_empty();
            }
            Action::Put { on, members, .. } => {
                for nodes in [&mut *on, members] {
                    nodes.retain(|node| kept.contains(node));
                    nodes.iter_mut().for_each(number);
                }
                return !on.is_empty();
            }
            what if !all_kept(&what.nodes()) => return false,
            Action::Tell { node, .. }
            | Action::Crash { node }
            | Action::Vanish { node }
            | Action::Restart { node }
            | Action::Pause { node }
            | Action::Resume { node } => number(node),
            Action::Join { node, through, .. } => {
                number(node);
                through.iter_mut().for_each(number);
            }
            Action::Cut { from, to } | Action::Break { from, to } => {
                number(from);
                number(to);
            }
            Action::Clock(skew) => number(&mut skew.node),
            Action::Heal {} | Action::Loss { .. } | Action::Latency { .. } => {}
        }
        true
    });
    scenario.links.retain(|link| all_kept(&[link.from, link.to]));
    for link in &mut scenario.links {
        number(&mut link.from);
        number(&mut link.to);
    }
    scenario.clocks.retain(|skew| kept.contains(&skew.node));
    scenario.clocks.iter_mut().for_each(|skew| number(&mut skew.node));
    let mut first = scenario.nodes;
    for size in &mut scenario.beside {
        let clique = first..first + *size;
        first = clique.end;
        *size = kept.range(clique).count();
    }
    scenario.beside.retain(|size| *size > 0);
    scenario.nodes = kept.range(..scenario.nodes).count();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_one_valid_scenario_that_survives_serialization() {
        for seed in 0..200 {
            let scenario = Scenario::drawn(seed);
            assert_eq!(scenario, Scenario::drawn(seed));
            assert_eq!(serde_json::from_str::<Scenario>(&scenario.to_json()).unwrap(), scenario);
            scenario.check().unwrap();
        }
    }

    #[test]
    fn a_permanently_broken_link_is_found_and_shrunk_to() {
        let tell = |at, node| Event { at, what: Action::Tell { node, bytes: 0 } };
        let scenario = Scenario {
            nodes: 8,
            overlay: Overlay::Line,
            loss: 0.1,
            duplication: 0.1,
            clocks: vec![Skew { rate: 1.1, ..Skew::none(6) }],
            events: vec![
                tell(10, 1),
                Event { at: 50, what: Action::Crash { node: 7 } },
                Event { at: 60, what: Action::Pause { node: 2 } },
                Event { at: 90, what: Action::Break { from: 3, to: 4 } },
                Event { at: 300, what: Action::Partition { sides: vec![vec![0, 1, 2], vec![3, 4]] } },
                tell(320, 3),
                Event { at: 400, what: Action::Restart { node: 7 } },
            ],
            latency: Latency::Uniform(1, 9),
            seed: 11,
            beside: Vec::new(),
            early: false,
            demands: BTreeSet::new(),
            watch: None,
            retained: None,
            links: vec![Link { from: 1, to: 0, latency: Some(Latency::Constant(90)), loss: Some(0.5) }],
        };
        let found = scenario.run(false).unwrap().violations;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].what.contains("and node 4 has not"), "{found:?}");
        let failure = Failure::of(scenario, found.clone(), Failure::replay_of(11, &usual())).unwrap();
        assert_eq!((failure.seed, failure.replay.as_str()), (11, "chinwag simulate --swarm 1 --seed 11"));
        assert_eq!(failure.violations, found);
        let left = &failure.shrunk;
        let what: Vec<&Action> = left.events.iter().map(|event| &event.what).collect();
        assert!(matches!(what[..], [Action::Break { from: 0, to: 1 }, Action::Tell { bytes: 0, .. }]), "{what:?}");
        assert_eq!((left.nodes, left.loss, left.duplication), (2, 0.0, 0.0));
        assert_eq!((left.clocks.len(), left.links.len()), (0, 0));
        assert_eq!(left.run(false).unwrap().violations[0].check, found[0].check);
    }

    #[test]
    fn shrinking_removes_what_a_failure_does_not_need() {
        let scenario = (0..).map(Scenario::drawn).find(|scenario| {
            scenario.events.len() > 10 && scenario.events.iter().any(|e| matches!(e.what, Action::Crash { node: 3.. }))
        });
        let needed = |what: &Action| matches!(what, Action::Crash { .. });
        let fails = |scenario: &Scenario| Ok(scenario.events.iter().any(|event| needed(&event.what)));
        let (shrunk, runs) = shrink(scenario.unwrap(), fails).unwrap();
        assert_eq!(shrunk.events.len(), 1, "{shrunk:?}");
        assert!(needed(&shrunk.events[0].what) && shrunk.nodes == shrunk.events[0].what.nodes()[0] + 1, "{shrunk:?}");
        assert_eq!((shrunk.loss, shrunk.latency, shrunk.overlay), (0.0, Latency::Constant(1), Overlay::Clique));
        assert!(runs < MOST_RUNS);
    }

    #[test]
    fn removing_nodes_renumbers_the_others_everywhere() {
        let event = |what| Event { at: 1, what };
        let mut scenario = Scenario {
            nodes: 4,
            beside: vec![3, 1],
            links: vec![Link { from: 3, to: 6, latency: None, loss: Some(0.5) }],
            clocks: vec![Skew::none(1), Skew::none(7)],
            events: vec![
                event(Action::Join { node: 7, through: vec![3], ungrouped: false }),
                event(Action::Join { node: 5, through: vec![3], ungrouped: false }),
                event(Action::Put { group: "g".to_owned(), on: vec![1, 3], members: vec![1, 3, 5, 6] }),
                event(Action::Put { group: "h".to_owned(), on: vec![1], members: vec![6] }),
                event(Action::Vanish { node: 6 }),
                event(Action::Partition { sides: vec![vec![1], vec![0, 7]] }),
            ],
            overlay: Overlay::Clique,
            ..Scenario::plain(1)
        };
        keep(&mut scenario, |node| ![1, 5].contains(&node));
        assert_eq!((scenario.nodes, &scenario.beside[..]), (3, &[2, 1][..]));
        assert_eq!((scenario.links[0].from, scenario.links[0].to), (2, 4));
        assert_eq!(scenario.clocks, [Skew::none(5)]);
        let left: Vec<Action> = scenario.events.iter().map(|event| event.what.clone()).collect();
        let wanted = [
            Action::Join { node: 5, through: vec![2], ungrouped: false },
            Action::Put { group: "g".to_owned(), on: vec![2], members: vec![2, 4] },
            Action::Vanish { node: 4 },
            Action::Partition { sides: vec![vec![0, 5]] },
        ];
        assert_eq!(left, wanted);
        keep(&mut scenario, |node| node == 5);
        assert_eq!((scenario.nodes, &scenario.beside[..]), (1, &[1][..]), "node 0 stays");
        scenario.check().unwrap();
    }
}
