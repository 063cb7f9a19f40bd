//! The measured story of membership: how soon a dead node is out of every view, and how many live ones are removed.
//!
//! ```text
//! start    all nodes know and have heard each other; nothing is lost; it lasts until they have agreed on a cluster
//! idle     so many protocol periods, in which nobody dies
//! kills    one after another: a random node dies at a random moment of a period; it is watched until every living node
//!          has removed it; it starts again at its address and joins through another; the next one follows when the
//!          others have it back
//! ```
//!
//! The nodes are real actors on the simulated network. All times are virtual, and a seed decides everything, so the same
//! seed gives the same figures. Loss and pauses begin after the start, and the start is no part of any figure.
//!
//! What the nodes' subscribers are told is counted ([`Event`]). After each kill the views themselves are looked at, too: a
//! node that lists the victim although it has said that it removed it counts as one that has not.

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
    Latency, Net, STORY, Simulation, SimulationError, address, check_share, net::seed_of, spread::Percentiles,
};

/// Most kills: two times are held for each.
pub const MAX_KILLS: u32 = 100_000;

/// The longest that may be observed, in virtual time.
pub const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Periods for which nodes are left alone at the start, at the least. A guess.
const LEAST_START: u32 = 10;

/// Periods after which what has not happened is waited for no longer: that a victim is removed, or is back. A guess,
/// several times what was seen.
const PATIENCE: u32 = 120;

/// How many nodes are asked at the start whether they have heard everybody: each answers with a list of all.
const MOST_ASKED: usize = 100;

/// Events that are kept for a subscriber, who takes them at the moment at which they are told: as many as one message of
/// news can cause. Every node holds that many places.
const EVENTS: usize = chinwag_protocol::swim::MOST_NEWS;

/// Purposes of this story's chance.
const KILLS: u32 = 2;
const PAUSES: u32 = 3;

/// What is to be measured.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Watching {
    /// How many nodes. From 2.
    pub nodes: usize,
    /// Share of one-way messages lost, after the start.
    pub loss: f64,
    /// How long a message takes.
    pub latency: Latency,
    /// Where all chance comes from.
    pub seed: u64,
    /// Membership's protocol period. All of its times are in proportion to it.
    pub period: Duration,
    /// For how many periods nobody is killed. Kills follow after these.
    pub periods: u64,
    /// How many are killed, one after another. At most [`MAX_KILLS`].
    pub kills: u32,
    /// How they die.
    pub death: Death,
    /// Nodes that stand still now and then, after the start.
    pub pauses: Option<Pauses>,
}

/// How a node dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Death {
    /// The process is killed: its host refuses connections at once. Text: `refused`.
    #[default]
    Refused,
    /// The host is gone: nothing answers. Text: `silent`.
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

    /// Reads what [`Display`](fmt::Display) writes.
    ///
    /// # Errors
    /// [`SimulationError::Argument`], quoting the text.
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

/// Nodes that stand still now and then, as suspended processes do: in every cycle a share of the nodes, drawn afresh, all
/// from the cycle's first moment on.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pauses {
    /// For how long.
    pub length: Duration,
    /// The length of a cycle. Longer than the pause.
    pub every: Duration,
    /// The share of all nodes, at least one node and not all of them.
    pub share: f64,
}

/// Where a run has got to, for those who have a clock: the simulation has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The start is over.
    Started,
    /// One more idle period is over.
    Period,
    /// All idle periods are over.
    Idle,
    /// One more kill is over, but for the return of the victim.
    Killed,
    /// All is over. The nodes are still to be ended.
    Over,
}

/// What one run came to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Run {
    /// The figures.
    pub figures: Figures,
    /// Each kill, in order.
    pub removals: Vec<Removal>,
    /// Every message, where it was asked for.
    pub trace: String,
}

/// What became of one kill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removal {
    /// From the kill until a first node had removed the victim; none where nobody did.
    pub first: Option<Duration>,
    /// Until the last living node had; none where one did not.
    pub last: Option<Duration>,
}

/// The figures of a run. All but `idle` are over everything after the start.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Figures {
    /// How many nodes.
    pub nodes: usize,
    /// Where all chance came from.
    pub seed: u64,
    /// Share of one-way messages lost.
    pub loss: f64,
    /// How long a message took.
    pub latency: String,
    /// Membership's protocol period.
    pub protocol_period_seconds: f64,
    /// The pauses; none where there were none.
    pub pauses: Option<PausesFigures>,
    /// Virtual time that the start took.
    pub start_seconds: f64,
    /// How many were killed.
    pub kills: u32,
    /// How they died; none where nobody did.
    pub death: Option<Death>,
    /// Kills whose victim was not out of every living node's view within 120 periods. They are no part of
    /// `last_seconds`.
    pub unfinished_kills: u32,
    /// Virtual time from a kill until a first node had removed the victim. None where nobody did.
    pub first_seconds: Option<Percentiles>,
    /// Virtual time from a kill until the last living node had removed the victim. None where that never came.
    pub last_seconds: Option<Percentiles>,
    /// How often a node removed one that was alive and running, each removal as one node sees it.
    pub false_removals: u64,
    /// How often a node removed one that was alive and paused at that moment, each as one node sees it.
    pub paused_removals: u64,
    /// How often a node heard that one was suspected that was alive, each as one node sees it.
    pub suspicions: u64,
    /// Requests of any kind, gossip's among them, by node and period.
    pub requests_per_node_period: f64,
    /// Protocol periods observed, times nodes that were alive.
    pub node_periods: u64,
    /// Events that came faster than the measurement took them; where any did, other counts may be short.
    pub missed_events: u64,
    /// The idle periods by themselves. None where there were none.
    pub idle: Option<IdleFigures>,
}

/// The figures of the idle periods.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct IdleFigures {
    /// How many periods.
    pub periods: u64,
    /// Periods times nodes.
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

/// The pauses, as data.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PausesFigures {
    /// How long each was.
    pub pause_seconds: f64,
    /// The length of a cycle.
    pub every_seconds: f64,
    /// The share of nodes paused in each cycle.
    pub share: f64,
}

impl Pauses {
    /// Pauses of this length, once in every cycle, of this share of the nodes.
    pub fn new(length: Duration, every: Duration, share: f64) -> Pauses {
        Pauses { length, every, share }
    }
}

impl Watching {
    /// So many nodes for ten periods of 1 s, of which nobody is killed and none pauses, over a network that takes 1 ms for a
    /// message and loses none, with the seed 1. Its fields say otherwise.
    pub fn new(nodes: usize) -> Watching {
        Watching {
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

    /// Whether this can be measured; nothing runs.
    ///
    /// # Errors
    /// [`SimulationError`], saying what cannot be.
    pub fn check(&self) -> Result<(), SimulationError> {
        let impossible = |why: String| Err(SimulationError::Argument(why));
        if self.nodes < 2 {
            return impossible(format!("nodes watch each other from 2 nodes on, not {}", self.nodes));
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

    /// One run, on this thread.
    ///
    /// # Errors
    /// As [`check`](Watching::check). Nothing has run then.
    pub fn run(&self, traced: bool) -> Result<Run, SimulationError> {
        self.run_in_stages(traced, |_| {})
    }

    /// The same, and tells where it has got to.
    ///
    /// # Errors
    /// As [`run`](Watching::run).
    pub fn run_in_stages(&self, traced: bool, at: impl Fn(Stage)) -> Result<Run, SimulationError> {
        self.check()?;
        let simulation = self.simulation();
        let simulation = if traced { simulation.traced() } else { simulation };
        simulation.run(|net| async move {
            self.start(&net).await;
            let watch = Rc::new(Watch { net: net.clone(), seen: RefCell::default(), changed: Notify::new() });
            for node in 0..net.len() {
                watch.subscribe(node).await;
            }
            let start = net.now();
            let before = net.counts().requests;
            // it was checked
            let _ = net.set_loss(self.loss);
            if let Some(pauses) = self.pauses {
                let chance = ChaCha8Rng::from_seed(seed_of(self.seed, STORY, PAUSES));
                tokio::task::spawn_local(pauses.keep_up(net.clone(), chance));
            }
            at(Stage::Started);
            for _ in 0..self.periods {
                net.advance(self.period).await;
                at(Stage::Period);
            }
            at(Stage::Idle);
            let tally = |seen: &Seen| (seen.false_removals, seen.paused_removals, seen.suspicions);
            let idle = (self.periods > 0).then(|| {
                let (false_removals, paused_removals, suspicions) = tally(&watch.seen.borrow());
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
            let mut chance = ChaCha8Rng::from_seed(seed_of(self.seed, STORY, KILLS));
            let (mut removals, mut dead) = (Vec::new(), Duration::ZERO);
            for _ in 0..self.kills {
                let (removal, absence) = self.kill(&watch, &mut chance, &at).await;
                removals.push(removal);
                dead += absence;
            }
            at(Stage::Over);
            let (false_removals, paused_removals, suspicions) = tally(&watch.seen.borrow());
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
                missed_events: watch.seen.borrow().missed_events,
                idle,
            };
            Run { figures, removals, trace: net.trace() }
        })
    }

    /// Lets the nodes hear each other.
    async fn start(&self, net: &Net) {
        net.advance(self.period * LEAST_START).await;
        let last = net.now() + self.period * PATIENCE;
        let step = self.nodes.div_ceil(MOST_ASKED);
        for node in (0..self.nodes).step_by(step) {
            self.acquainted(net, node, last).await;
        }
    }

    /// Waits until a node has heard everybody that it knows of, but no longer than that.
    async fn acquainted(&self, net: &Net, node: usize, last: Duration) {
        while net.now() < last {
            let list = net.node(node).membership().list().await.unwrap_or_default();
            if list.values().all(|standing| standing.status != Status::Pending) {
                break;
            }
            drop(list);
            net.advance(self.period).await;
        }
    }

    /// Kills a node, and brings it back once it is gone. Answers for how long it was dead, too.
    async fn kill(&self, watch: &Rc<Watch>, chance: &mut ChaCha8Rng, at: &impl Fn(Stage)) -> (Removal, Duration) {
        let net = &watch.net;
        let phase = chance.random_range(0..self.period.as_millis().max(1) as u64);
        net.advance(self.period + Duration::from_millis(phase)).await;
        let running: Vec<usize> = (0..self.nodes).filter(|node| net.is_up(*node)).collect();
        // a share of less than all nodes is paused
        let Some(&victim) = running.get(chance.random_range(0..running.len().max(1))) else {
            return (Removal::default(), Duration::ZERO);
        };
        let killed = net.now();
        watch.expect(victim, killed);
        match self.death {
            Death::Refused => net.crash(victim),
            Death::Silent => net.vanish(victim),
        }
        let patience = self.period * PATIENCE;
        let removed = timeout(patience, watch.until(|seen| seen.waiting.is_empty())).await.is_ok();
        let gone = removed && !watch.anyone_lists(victim).await;
        let removal = watch.removal(gone);
        at(Stage::Killed);
        let seeds: Vec<usize> = running.into_iter().filter(|node| *node != victim).collect();
        if let Some(&seed) = seeds.get(chance.random_range(0..seeds.len().max(1))) {
            net.join(victim, &[seed], &[super::named(net.group())]);
        }
        let absence = net.now() - killed;
        let last = net.now() + patience;
        watch.returned(victim);
        // one that does not take it back is seen in the figures of the next kill
        let _ = timeout(patience, watch.until(|seen| !seen.is_gone_somewhere(victim))).await;
        self.acquainted(net, victim, last).await;
        watch.subscribe(victim).await;
        (removal, absence)
    }
}

impl Pauses {
    async fn keep_up(self, net: Net, mut chance: ChaCha8Rng) {
        let count = ((self.share * net.len() as f64).round() as usize).clamp(1, net.len() - 1);
        loop {
            let mut paused = index::sample(&mut chance, net.len(), count).into_vec();
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

/// Takes in what the nodes' subscribers are told.
struct Watch {
    net: Net,
    seen: RefCell<Seen>,
    /// Told when somebody removed the victim, or took it back.
    changed: Notify,
}

#[derive(Default)]
struct Seen {
    false_removals: u64,
    paused_removals: u64,
    suspicions: u64,
    missed_events: u64,
    /// Who was killed, and when.
    victim: Option<(usize, Duration)>,
    /// Living nodes that have yet to remove the victim.
    waiting: BTreeSet<usize>,
    removal: Removal,
    /// Removals that stand: of whom, by whom.
    gone: BTreeSet<(usize, usize)>,
}

impl Seen {
    fn is_gone_somewhere(&self, node: usize) -> bool {
        self.gone.range((node, 0)..=(node, usize::MAX)).next().is_some()
    }
}

impl Watch {
    /// Takes in what a node tells from now on, for the rest of its life.
    async fn subscribe(self: &Rc<Self>, node: usize) {
        // a node that has ended has nothing to tell
        let Ok(mut events) = self.net.node(node).events().await else { return };
        let watch = self.clone();
        tokio::task::spawn_local(async move {
            while let Some(event) = events.next().await {
                watch.note(node, &event);
            }
        });
    }

    /// A node is about to be killed.
    fn expect(&self, victim: usize, at: Duration) {
        let mut seen = self.seen.borrow_mut();
        let seen = &mut *seen;
        let living = (0..self.net.len()).filter(|node| *node != victim && self.net.lives(*node));
        // one that has removed it already does not do so again
        seen.waiting = living.filter(|node| !seen.gone.contains(&(victim, *node))).collect();
        seen.victim = Some((victim, at));
        seen.removal = Removal::default();
    }

    /// The victim is up again, and has forgotten whom it had removed.
    fn returned(&self, victim: usize) {
        let mut seen = self.seen.borrow_mut();
        seen.victim = None;
        seen.waiting.clear();
        seen.gone.retain(|(_, by)| *by != victim);
    }

    fn removal(&self, everywhere: bool) -> Removal {
        let removal = self.seen.borrow().removal;
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

    async fn until(&self, holds: impl Fn(&Seen) -> bool) {
        loop {
            let next = self.changed.notified();
            if holds(&self.seen.borrow()) {
                break;
            }
            next.await;
        }
    }

    fn note(&self, node: usize, event: &Event) {
        let mut seen = self.seen.borrow_mut();
        if let Event::Lagged { missed } = event {
            seen.missed_events += missed;
        }
        let Some(peer) = event.peer() else { return };
        let Some(about) = address::index(&peer.node).filter(|about| *about < self.net.len()) else { return };
        // a verdict on an earlier life accuses nobody that lives
        let life = peer.incarnation.life;
        let lives = self.net.lives(about) && (life == 0 || life >= self.net.incarnation(about));
        match event {
            Event::Suspected { .. } if lives => seen.suspicions += 1,
            Event::Failed { .. } => {
                seen.gone.insert((about, node));
                match (lives, self.net.is_up(about)) {
                    (true, true) => seen.false_removals += 1,
                    (true, false) => seen.paused_removals += 1,
                    (false, _) => {}
                }
                if let Some((_, since)) = seen.victim.filter(|(victim, _)| *victim == about && !lives)
                    && seen.waiting.remove(&node)
                {
                    let after = self.net.now() - since;
                    seen.removal.first.get_or_insert(after);
                    seen.removal.last = Some(after);
                    self.changed.notify_waiters();
                }
            }
            Event::Joined(_) | Event::Rejoined(_) => {
                seen.gone.remove(&(about, node));
                self.changed.notify_waiters();
            }
            _ => {}
        }
    }
}

/// Time that a run took, by whoever has a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Took {
    /// The start.
    pub start: Duration,
    /// The idle periods.
    pub idle: Duration,
    /// The kills.
    pub kills: Duration,
}

/// A run's figures with what it took of the machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What was measured.
    #[serde(flatten)]
    pub figures: Figures,
    /// Real time that all took, the start included.
    pub wall_seconds: f64,
    /// Real time that the start took.
    pub start_wall_seconds: f64,
    /// Real time that a node took for a period, in microseconds, after the start. All nodes are on one thread.
    pub wall_micros_per_node_period: f64,
    /// The same over the idle periods. None where there were none.
    pub idle_wall_micros_per_node_period: Option<f64>,
    /// Processor time that a node took for a period, in microseconds, after the start: on a machine that does other
    /// things it is less than the real time. None where the system does not say.
    pub processor_micros_per_node_period: Option<f64>,
    /// The same over the idle periods.
    pub idle_processor_micros_per_node_period: Option<f64>,
    /// The most memory that the process has held. None where the system does not say.
    pub peak_memory_bytes: Option<u64>,
}

impl Report {
    /// Adds what the run took of the machine.
    pub fn of(figures: Figures, wall: Took, processor: Option<Took>, peak_memory_bytes: Option<u64>) -> Report {
        let each = |took: Duration, node_periods: u64| took.as_secs_f64() * 1e6 / node_periods.max(1) as f64;
        let all = |took: Took| each(took.idle + took.kills, figures.node_periods);
        let idle = |took: Took| figures.idle.as_ref().map(|idle| each(took.idle, idle.node_periods));
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
