//! An experiment: how soon a dead node is removed from every view, and how many live nodes are removed by mistake.
//!
//! ```text
//! start    all nodes know and have heard each other; nothing is lost; it lasts until they have agreed on a cluster
//! idle     protocol periods in which no node is killed
//! kills    one after another: a random node is killed at a random moment of a period; it is observed until every
//!          living node has removed it; it restarts at its address and joins through another node; the next kill
//!          follows when the others have added it again
//! ```
//!
//! The nodes are real actors on the simulated network. All times are virtual, and the same seed gives the same figures.
//! Loss and pauses begin after the start, which no figure includes.
//!
//! The figures count the events that the nodes' subscribers receive ([`Event`](chinwag_actors::local::membership::Event)). After each kill, the views are
//! compared too: a node that has reported the removal of the victim and still lists it counts as one that has not
//! removed it.

mod death;
mod figures;
mod observer;

use std::{rc::Rc, time::Duration};

use chinwag_actors::{local::membership, settings::Settings};
use chinwag_protocol::swim::Status;
use rand::{RngExt as _, seq::index};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng as _};
use tokio::time::timeout;

pub use death::Death;
pub use figures::{Figures, IdleFigures, PausesFigures, Removal, Report, Run, Times};

use crate::{Latency, Net, SCENARIO, Simulation, SimulationError, check_share, net::seed_of, percentiles::Percentiles};
use observer::{Observations, Observer};

/// The largest number of kills. The report keeps two times for each.
pub const MAX_KILLS: u32 = 100_000;

/// The longest observation, in virtual time.
pub const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// The minimum length of the start in periods. It is a guess.
const LEAST_START: u32 = 10;

/// The number of periods after which a kill is unfinished: the victim is not removed, or has not returned. It is a
/// guess, several times what was observed.
const PATIENCE: u32 = 120;

/// How many nodes are asked at the start whether they have heard from all others. Each answer lists all nodes.
const MOST_ASKED: usize = 100;

/// The length of a subscriber's queue: as many events as one message of news can cause. The subscriber takes each event
/// at once. Every node reserves this memory.
const EVENTS: usize = chinwag_protocol::swim::MOST_NEWS;

/// Purposes of random generators in this experiment.
const KILLS: u32 = 2;
const PAUSES: u32 = 3;

/// The settings of the experiment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Experiment {
    /// The number of nodes, from 2.
    pub nodes: usize,
    /// The share of one-way messages that are lost after the start.
    pub loss: f64,
    /// The latency of messages.
    pub latency: Latency,
    /// The seed of all random numbers.
    pub seed: u64,
    /// The protocol period of membership. All of its times are in proportion to it.
    pub period: Duration,
    /// The number of idle periods before the kills.
    pub periods: u64,
    /// The number of nodes that are killed, one after another. At most [`MAX_KILLS`].
    pub kills: u32,
    /// How the nodes die.
    pub death: Death,
    /// Pauses of nodes after the start.
    pub pauses: Option<Pauses>,
}

/// Pauses of nodes, like those of suspended processes. In every cycle a new random share of the nodes pauses at the
/// start of the cycle.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pauses {
    /// The length of a pause.
    pub length: Duration,
    /// The length of a cycle, which is longer than the pause.
    pub every: Duration,
    /// The share of nodes that pause, at least one node and not all.
    pub share: f64,
}

/// The progress of a run. The simulation has no real clock; a caller that has one can measure the phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The start is over.
    Started,
    /// One more idle period is over.
    Period,
    /// All idle periods are over.
    Idle,
    /// One more kill is over, except for the return of the victim.
    Killed,
    /// Everything is over. The nodes have not been ended yet.
    Over,
}

impl Pauses {
    /// Pauses of this length for this share of the nodes, once in every cycle.
    pub fn new(length: Duration, every: Duration, share: f64) -> Pauses {
        Pauses { length, every, share }
    }
}

impl Experiment {
    /// Nodes for ten idle periods of 1 s, without kills and pauses, on a network with a latency of 1 ms and without
    /// loss, with the seed 1.
    pub fn new(nodes: usize) -> Experiment {
        Experiment {
            nodes,
            loss: 0.0,
            latency: Latency::Constant(1),
            seed: 1,
            period: Duration::from_secs(1),
            periods: 10,
            kills: 0,
            death: Death::default(),
            pauses: None,
        }
    }

    /// Checks the settings without running anything.
    ///
    /// # Errors
    /// A [`SimulationError`] that says what is invalid.
    pub fn check(&self) -> Result<(), SimulationError> {
        let impossible = |why: String| Err(SimulationError::Argument(why));
        if self.nodes < 2 {
            return impossible(format!("membership needs at least 2 nodes, not {}", self.nodes));
        }
        if self.periods == 0 && self.kills == 0 {
            return impossible("without idle periods and kills there is nothing to measure".to_owned());
        }
        if self.kills > MAX_KILLS {
            return impossible(format!("at most {MAX_KILLS} nodes are killed, not {}", self.kills));
        }
        let detection = membership::Settings::paced(self.period).detection;
        detection.check().map_err(|why| SimulationError::Argument(why.to_string()))?;
        if self.period.as_secs_f64() * self.periods as f64 > LONGEST.as_secs_f64() {
            let days = LONGEST.as_secs() / 86_400;
            return impossible(format!("{} periods of {:?} are more than {days} days", self.periods, self.period));
        }
        if let Some(Pauses { length, every, share }) = self.pauses {
            if length < Duration::from_millis(1) || every <= length || every > LONGEST {
                return impossible(format!(
                    "a pause is at least 1 ms and shorter than its cycle, not {length:?} in {every:?}"
                ));
            }
            check_share("paused", share)?;
            if share == 0.0 {
                return impossible("the share of paused nodes is more than 0".to_owned());
            }
        }
        self.simulation().check()?;
        check_share("loss", self.loss)
    }

    fn simulation(&self) -> Simulation {
        let mut settings = Settings::from(membership::Settings::paced(self.period));
        settings.membership.events = EVENTS;
        Simulation::new(self.seed)
            .nodes(self.nodes)
            .latency(self.latency)
            .settings(settings)
            .without_scripts()
            .acquainted()
    }

    /// Runs once, on this thread.
    ///
    /// # Errors
    /// As [`check`](Experiment::check). Nothing has run then.
    pub fn run(&self, traced: bool) -> Result<Run, SimulationError> {
        self.run_with_progress(traced, |_| {})
    }

    /// Runs once, and reports the progress.
    ///
    /// # Errors
    /// As [`run`](Experiment::run).
    pub fn run_with_progress(&self, traced: bool, progress: impl Fn(Progress)) -> Result<Run, SimulationError> {
        self.check()?;
        let simulation = self.simulation();
        let simulation = if traced { simulation.traced() } else { simulation };
        simulation.run(|net| async move {
            self.start(&net).await;
            let observer = Rc::new(Observer::new(net.clone()));
            for node in 0..net.len() {
                observer.subscribe(node).await;
            }
            let start = net.now();
            let before = net.counts().requests;
            // the share was checked
            let _ = net.set_loss(self.loss);
            if let Some(pauses) = self.pauses {
                let rng = ChaCha8Rng::from_seed(seed_of(self.seed, SCENARIO, PAUSES));
                tokio::task::spawn_local(pauses.keep_up(net.clone(), rng));
            }
            progress(Progress::Started);
            for _ in 0..self.periods {
                net.advance(self.period).await;
                progress(Progress::Period);
            }
            progress(Progress::Idle);
            let tally =
                |observed: &Observations| (observed.false_removals, observed.paused_removals, observed.suspicions);
            let idle = (self.periods > 0).then(|| {
                let (false_removals, paused_removals, suspicions) = tally(&observer.observed.borrow());
                let node_periods = self.periods * self.nodes as u64;
                let requests_per_node_period = (net.counts().requests - before) as f64 / node_periods as f64;
                let periods = self.periods;
                IdleFigures {
                    periods,
                    node_periods,
                    false_removals,
                    paused_removals,
                    suspicions,
                    requests_per_node_period,
                }
            });
            let mut rng = ChaCha8Rng::from_seed(seed_of(self.seed, SCENARIO, KILLS));
            let (mut removals, mut dead) = (Vec::new(), Duration::ZERO);
            for _ in 0..self.kills {
                let (removal, absence) = self.kill(&observer, &mut rng, &progress).await;
                removals.push(removal);
                dead += absence;
            }
            progress(Progress::Over);
            let (false_removals, paused_removals, suspicions) = tally(&observer.observed.borrow());
            let lived = (net.now() - start).as_secs_f64() * self.nodes as f64 - dead.as_secs_f64();
            let node_periods = lived / self.period.as_secs_f64();
            let figures = Figures {
                nodes: self.nodes,
                seed: self.seed,
                loss: self.loss,
                latency: self.latency.to_string(),
                protocol_period_seconds: self.period.as_secs_f64(),
                pauses: self.pauses.map(Pauses::figures),
                start_seconds: start.as_secs_f64(),
                kills: self.kills,
                death: (self.kills > 0).then_some(self.death),
                unfinished_kills: removals.iter().filter(|removal| removal.last.is_none()).count() as u32,
                first_seconds: percentiles(removals.iter().filter_map(|removal| removal.first)),
                last_seconds: percentiles(removals.iter().filter_map(|removal| removal.last)),
                false_removals,
                paused_removals,
                suspicions,
                requests_per_node_period: (net.counts().requests - before) as f64 / node_periods,
                node_periods: node_periods.round() as u64,
                missed_events: observer.observed.borrow().missed_events,
                idle,
            };
            Run { figures, removals, trace: net.trace() }
        })
    }

    /// Waits until the nodes have heard from each other.
    async fn start(&self, net: &Net) {
        net.advance(self.period * LEAST_START).await;
        let last = net.now() + self.period * PATIENCE;
        let step = self.nodes.div_ceil(MOST_ASKED);
        for node in (0..self.nodes).step_by(step) {
            self.until_acquainted(net, node, last).await;
        }
    }

    /// Waits until a node has heard from all nodes that it knows, or until `last`.
    async fn until_acquainted(&self, net: &Net, node: usize, last: Duration) {
        while net.now() < last {
            let list = net.node(node).membership().list().await.unwrap_or_default();
            if list.values().all(|member| member.status != Status::Pending) {
                break;
            }
            drop(list);
            net.advance(self.period).await;
        }
    }

    /// Kills a node, and restarts it once it is removed. Returns the removal, and how long the node was dead.
    async fn kill(
        &self,
        observer: &Rc<Observer>,
        rng: &mut ChaCha8Rng,
        progress: &impl Fn(Progress),
    ) -> (Removal, Duration) {
        let net = &observer.net;
        let phase = rng.random_range(0..self.period.as_millis().max(1) as u64);
        net.advance(self.period + Duration::from_millis(phase)).await;
        let running: Vec<usize> = (0..self.nodes).filter(|node| net.is_up(*node)).collect();
        // at least one node is not paused
        let Some(&victim) = running.get(rng.random_range(0..running.len().max(1))) else {
            return (Removal::default(), Duration::ZERO);
        };
        let killed = net.now();
        observer.expect(victim, killed);
        match self.death {
            Death::Refused => net.crash(victim),
            Death::Silent => net.vanish(victim),
        }
        let patience = self.period * PATIENCE;
        let removed = timeout(patience, observer.until(|observed| observed.waiting.is_empty())).await.is_ok();
        let gone = removed && !observer.anyone_lists(victim).await;
        let removal = observer.removal(gone);
        progress(Progress::Killed);
        let seeds: Vec<usize> = running.into_iter().filter(|node| *node != victim).collect();
        if let Some(&seed) = seeds.get(rng.random_range(0..seeds.len().max(1))) {
            net.join(victim, &[seed], &[crate::gid(net.group())]);
        }
        let absence = net.now() - killed;
        let last = net.now() + patience;
        observer.returned(victim);
        // a victim that does not return is reported with the next kill
        let _ = timeout(patience, observer.until(|observed| !observed.is_gone_somewhere(victim))).await;
        self.until_acquainted(net, victim, last).await;
        observer.subscribe(victim).await;
        (removal, absence)
    }
}

impl Pauses {
    async fn keep_up(self, net: Net, mut rng: ChaCha8Rng) {
        let count = ((self.share * net.len() as f64).round() as usize).clamp(1, net.len() - 1);
        loop {
            let mut paused = index::sample(&mut rng, net.len(), count).into_vec();
            paused.retain(|node| net.is_up(*node));
            paused.iter().for_each(|node| net.pause(*node));
            net.advance(self.length).await;
            paused.iter().for_each(|node| net.resume(*node));
            net.advance(self.every - self.length).await;
        }
    }

    fn figures(self) -> PausesFigures {
        PausesFigures {
            pause_seconds: self.length.as_secs_f64(),
            every_seconds: self.every.as_secs_f64(),
            share: self.share,
        }
    }
}

fn percentiles(times: impl Iterator<Item = Duration>) -> Option<Percentiles> {
    let mut seconds: Vec<f64> = times.map(|time| time.as_secs_f64()).collect();
    seconds.sort_by(f64::total_cmp);
    Percentiles::of(&seconds)
}
