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
//! The figures count the events that the nodes' subscribers receive ([`Event`]). After each kill, the views are
//! compared too: a node that has reported the removal of the victim and still lists it counts as one that has not
//! removed it.

use std::{cell::RefCell, collections::BTreeSet, fmt, rc::Rc, str::FromStr, time::Duration};

use chinwag_actors::{
    local::membership::{self, Event},
    settings::Settings,
};
use chinwag_protocol::swim::Status;
use futures_util::StreamExt as _;
use rand::{RngExt as _, seq::index};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng as _};
use serde::Serialize;
use tokio::{sync::Notify, time::timeout};

use super::{
    Latency, Net, SCENARIO, Simulation, SimulationError, address, check_share, net::seed_of, spread::Percentiles,
};

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

/// How a node dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Death {
    /// The process is killed, and its host refuses connections. Text form: `refused`.
    #[default]
    Refused,
    /// The host is gone, and nothing answers. Text form: `silent`.
    Silent,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Death::Refused => "refused",
            Death::Silent => "silent",
        })
    }
}

impl FromStr for Death {
    type Err = SimulationError;

    /// Parses the form that [`Display`](fmt::Display) writes.
    ///
    /// # Errors
    /// [`SimulationError::Argument`] with the text.
    fn from_str(text: &str) -> Result<Death, SimulationError> {
        match text {
            "refused" => Ok(Death::Refused),
            "silent" => Ok(Death::Silent),
            other => {
                let shown: String = other.chars().take(64).collect();
                Err(SimulationError::Argument(format!("unknown death {shown:?}: expected \"refused\" or \"silent\"")))
            }
        }
    }
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

/// The result of one run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Run {
    /// The figures.
    pub figures: Figures,
    /// The removal of each victim, in order.
    pub removals: Vec<Removal>,
    /// Every message, if the run was traced.
    pub trace: String,
}

/// The removal of one victim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removal {
    /// The time from the kill until the first node had removed the victim, or `None` if no node did.
    pub first: Option<Duration>,
    /// The time from the kill until the last living node had removed the victim, or `None` if a node did not.
    pub last: Option<Duration>,
}

/// The figures of a run. All except `idle` cover everything after the start.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Figures {
    /// The number of nodes.
    pub nodes: usize,
    /// The seed of all random numbers.
    pub seed: u64,
    /// The share of one-way messages that were lost.
    pub loss: f64,
    /// The latency of messages.
    pub latency: String,
    /// The protocol period of membership.
    pub protocol_period_seconds: f64,
    /// The pauses, or `None` if there were none.
    pub pauses: Option<PausesFigures>,
    /// The length of the start in virtual time.
    pub start_seconds: f64,
    /// The number of kills.
    pub kills: u32,
    /// How the nodes died, or `None` if none was killed.
    pub death: Option<Death>,
    /// The number of kills whose victim was still in the view of a living node after 120 periods. `last_seconds` does
    /// not include them.
    pub unfinished_kills: u32,
    /// The virtual time from a kill until the first node had removed the victim, or `None` if no node did.
    pub first_seconds: Option<Percentiles>,
    /// The virtual time from a kill until the last living node had removed the victim, or `None` if that never
    /// happened.
    pub last_seconds: Option<Percentiles>,
    /// The number of removals of running nodes. Each node that removes another one counts.
    pub false_removals: u64,
    /// The number of removals of nodes that were paused at that moment. Each node that removes another one counts.
    pub paused_removals: u64,
    /// The number of suspicions of living nodes. Each node that hears of a suspicion counts.
    pub suspicions: u64,
    /// The number of all requests, those of gossip included, per node and period.
    pub requests_per_node_period: f64,
    /// The number of observed protocol periods, times the number of living nodes.
    pub node_periods: u64,
    /// The number of events that arrived faster than the experiment took them. If it is not 0, other counts may be too
    /// low.
    pub missed_events: u64,
    /// The figures of the idle periods alone, or `None` if there were none.
    pub idle: Option<IdleFigures>,
}

/// The figures of the idle periods.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct IdleFigures {
    /// The number of periods.
    pub periods: u64,
    /// The number of periods times the number of nodes.
    pub node_periods: u64,
    /// As [`Figures::false_removals`].
    pub false_removals: u64,
    /// As [`Figures::paused_removals`].
    pub paused_removals: u64,
    /// As [`Figures::suspicions`].
    pub suspicions: u64,
    /// As [`Figures::requests_per_node_period`].
    pub requests_per_node_period: f64,
}

/// The settings of the pauses, as data.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PausesFigures {
    /// The length of a pause.
    pub pause_seconds: f64,
    /// The length of a cycle.
    pub every_seconds: f64,
    /// The share of nodes that pause in each cycle.
    pub share: f64,
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
                return impossible("a pause takes more than a share of 0 of the nodes".to_owned());
            }
        }
        self.simulation().check()?;
        check_share("loss", self.loss)
    }

    fn simulation(&self) -> Simulation {
        let mut settings = Settings { membership: membership::Settings::paced(self.period), ..Settings::default() };
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
            let observer = Rc::new(Observer { net: net.clone(), observed: RefCell::default(), changed: Notify::new() });
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
            net.join(victim, &[seed], &[super::gid(net.group())]);
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

/// Records the events of all nodes.
struct Observer {
    net: Net,
    observed: RefCell<Observations>,
    /// Notified when a node has removed the victim, or has added it again.
    changed: Notify,
}

#[derive(Default)]
struct Observations {
    false_removals: u64,
    paused_removals: u64,
    suspicions: u64,
    missed_events: u64,
    /// The node that was killed, and when.
    victim: Option<(usize, Duration)>,
    /// The living nodes that have not removed the victim yet.
    waiting: BTreeSet<usize>,
    removal: Removal,
    /// The removals that are in effect: of which node, by which node.
    gone: BTreeSet<(usize, usize)>,
}

impl Observations {
    fn is_gone_somewhere(&self, node: usize) -> bool {
        self.gone.range((node, 0)..=(node, usize::MAX)).next().is_some()
    }
}

impl Observer {
    /// Records the events of a node for the rest of its life.
    async fn subscribe(self: &Rc<Self>, node: usize) {
        // a node that has ended has no events
        let Ok(mut events) = self.net.node(node).events().await else { return };
        let observer = self.clone();
        tokio::task::spawn_local(async move {
            while let Some(event) = events.next().await {
                observer.note(node, &event);
            }
        });
    }

    /// Prepares for the kill of a node.
    fn expect(&self, victim: usize, at: Duration) {
        let mut observed = self.observed.borrow_mut();
        let observed = &mut *observed;
        let living = (0..self.net.len()).filter(|node| *node != victim && self.net.lives(*node));
        // a node that has already removed it does not report it again
        observed.waiting = living.filter(|node| !observed.gone.contains(&(victim, *node))).collect();
        observed.victim = Some((victim, at));
        observed.removal = Removal::default();
    }

    /// Records that the victim is up again, and has forgotten which nodes it had removed.
    fn returned(&self, victim: usize) {
        let mut observed = self.observed.borrow_mut();
        observed.victim = None;
        observed.waiting.clear();
        observed.gone.retain(|(_, by)| *by != victim);
    }

    fn removal(&self, everywhere: bool) -> Removal {
        let removal = self.observed.borrow().removal;
        Removal { last: removal.last.filter(|_| everywhere), ..removal }
    }

    /// Whether a running node still has the victim in `all`.
    async fn anyone_lists(&self, victim: usize) -> bool {
        let nid = self.net.addr(victim).nid();
        for node in (0..self.net.len()).filter(|node| self.net.is_up(*node)) {
            let all = self.net.node(node).group("all").members().await;
            if all.is_ok_and(|all| all.contains(&nid)) {
                return true;
            }
        }
        false
    }

    async fn until(&self, holds: impl Fn(&Observations) -> bool) {
        loop {
            let next = self.changed.notified();
            if holds(&self.observed.borrow()) {
                break;
            }
            next.await;
        }
    }

    fn note(&self, node: usize, event: &Event) {
        let mut observed = self.observed.borrow_mut();
        if let Event::Lagged { missed } = event {
            observed.missed_events += missed;
        }
        let Some(peer) = event.peer() else { return };
        let Some(about) = address::index(&peer.node).filter(|about| *about < self.net.len()) else { return };
        // a verdict on an earlier life is not a false removal
        let life = peer.incarnation.life;
        let lives = self.net.lives(about) && (life == 0 || life >= self.net.incarnation(about));
        match event {
            Event::Suspected { .. } if lives => observed.suspicions += 1,
            Event::Failed { .. } => {
                observed.gone.insert((about, node));
                match (lives, self.net.is_up(about)) {
                    (true, true) => observed.false_removals += 1,
                    (true, false) => observed.paused_removals += 1,
                    (false, _) => {}
                }
                if let Some((_, since)) = observed.victim.filter(|(victim, _)| *victim == about && !lives)
                    && observed.waiting.remove(&node)
                {
                    let after = self.net.now() - since;
                    observed.removal.first.get_or_insert(after);
                    observed.removal.last = Some(after);
                    self.changed.notify_waiters();
                }
            }
            Event::Joined(_) | Event::Rejoined(_) => {
                observed.gone.remove(&(about, node));
                self.changed.notify_waiters();
            }
            _ => {}
        }
    }
}

/// The time that a run took, measured by a caller with a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// The start.
    pub start: Duration,
    /// The idle periods.
    pub idle: Duration,
    /// The kills.
    pub kills: Duration,
}

/// The figures of a run, with its real time, processor time and memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// The real time of the run, with the start.
    pub wall_seconds: f64,
    /// The real time of the start.
    pub start_wall_seconds: f64,
    /// The real time per node and period after the start, in microseconds. All nodes are on one thread.
    pub wall_micros_per_node_period: f64,
    /// The real time per node and period over the idle periods, or `None` if there were none.
    pub idle_wall_micros_per_node_period: Option<f64>,
    /// The processor time per node and period after the start, in microseconds, or `None` if the system does not report
    /// it. It is less than the real time on a machine that does other things.
    pub processor_micros_per_node_period: Option<f64>,
    /// The processor time per node and period over the idle periods.
    pub idle_processor_micros_per_node_period: Option<f64>,
    /// The peak memory of the process, or `None` if the system does not report it.
    pub peak_memory_bytes: Option<u64>,
}

impl Report {
    /// Adds what the run took of the machine.
    pub fn of(figures: Figures, wall: Times, processor: Option<Times>, peak_memory_bytes: Option<u64>) -> Report {
        let each = |took: Duration, node_periods: u64| took.as_secs_f64() * 1e6 / node_periods.max(1) as f64;
        let all = |took: Times| each(took.idle + took.kills, figures.node_periods);
        let idle = |took: Times| figures.idle.as_ref().map(|idle| each(took.idle, idle.node_periods));
        Report {
            wall_seconds: (wall.start + wall.idle + wall.kills).as_secs_f64(),
            start_wall_seconds: wall.start.as_secs_f64(),
            wall_micros_per_node_period: all(wall),
            idle_wall_micros_per_node_period: idle(wall),
            processor_micros_per_node_period: processor.map(all),
            idle_processor_micros_per_node_period: processor.and_then(idle),
            peak_memory_bytes,
            figures,
        }
    }
}
