//! Runs a scenario: its events happen, the network heals, and the [`CHECKS`] must then hold.

use std::time::Duration;

use chinwag_protocol::group::Group;
use serde::Serialize;

use super::{
    Net, SimulationError,
    checks::{CHECKS, Check, CheckResults, PADDING, Violation},
    gid,
    history::{History, Told},
    scenario::{Action, Link, SETTLED, Scenario, TICK},
};

/// The number of ticks after healing within which every check must hold, and the further ticks for each node of a line
/// that a message may have to pass. They are guesses, several times what was observed.
const TICKS: u64 = 100;
const TICKS_PER_NODE: u64 = 10;

/// The further time with membership, in periods. A removed node is retried every five periods, one node at a time. It
/// is a guess.
const PERIODS: u64 = 500;

/// The further time in the slowest latencies, of which each node of a line may take several. They are guesses.
const LATENCIES: f64 = 40.0;
const LATENCIES_PER_NODE: f64 = 8.0;

/// The number of nodes above which the checks run only at every tenth tick, because they cost the square of the number.
const LARGE: usize = 64;

/// The result of a scenario.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Outcome {
    /// The checks that failed.
    pub violations: Vec<Violation>,
    /// The number of checks made.
    pub checked: u64,
    /// The number of messages that were started.
    pub told: u64,
    /// The number of messages that were not started, because their node was not up.
    pub untold: u64,
    /// The virtual time from healing until all checks held, or `None` if they did not. It is serialized in
    /// milliseconds.
    #[serde(serialize_with = "milliseconds", rename = "healed_after_ms")]
    pub healed_after: Option<Duration>,
    /// Every message, if the run was traced. It is not serialized.
    #[serde(skip)]
    pub trace: String,
}

fn milliseconds<S: serde::Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_millis() as u64).serialize(serializer)
}

impl Scenario {
    /// Sets the links that differ from the network. Without `lossy` they lose nothing, as after healing.
    fn set_links(&self, net: &Net, lossy: bool) {
        for Link { from, to, latency, loss } in &self.links {
            if let Some(latency) = latency {
                net.set_link_latency(*from, *to, *latency);
            }
            let broken = Action::Break { from: *from, to: *to };
            if let Some(share) = loss.filter(|_| lossy || !self.events.iter().any(|event| event.what == broken)) {
                // the share was checked
                let _ = net.set_link_loss(*from, *to, if lossy { share } else { 0.0 });
            }
        }
    }

    /// Runs the events, heals the network, and makes the checks.
    ///
    /// # Errors
    /// As [`check`](Scenario::check). Nothing has run then.
    pub fn run(&self, traced: bool) -> Result<Outcome, SimulationError> {
        self.check()?;
        let mut events = self.events.clone();
        events.sort_by_key(|event| event.at);
        let checks: Vec<&Check> = CHECKS.iter().filter(|check| (check.applies)(self)).collect();
        self.simulation(traced).run(|net| async move {
            let mut history = History::new(self.nodes, &self.beside, self.watch.is_some(), self.demands.clone());
            history.settled = Duration::from_millis(SETTLED * self.watch.unwrap_or_default());
            let mut results = CheckResults::default();
            net.advance(self.warm_up()).await;
            // the share was checked
            let _ = net.set_loss(self.loss);
            self.set_links(&net, true);
            let begun = net.now();
            for event in events {
                net.advance((begun + Duration::from_millis(event.at)).saturating_sub(net.now())).await;
                if let Action::Restart { node } | Action::Join { node, .. } = event.what {
                    history.will_restart(&net, node).await;
                }
                perform(&event.what, &net, &mut history);
                results.all(checks.iter().filter(|check| check.is_final), &net, &history).await;
                if !results.violations.is_empty() {
                    break;
                }
            }
            net.heal();
            // 0 is a valid share
            let _ = net.set_loss(0.0);
            self.set_links(&net, false);
            (0..net.len()).for_each(|node| net.resume(node));
            let healed = net.now();
            let step = Duration::from_millis(if net.len() > LARGE { 10 * TICK } else { TICK });
            // messages under way arrive, and the last rumors are sent
            net.advance(Duration::from_millis(2 * TICK)).await;
            while results.violations.is_empty() {
                if results.holds(&checks, &net, &history).await {
                    break;
                }
                let late = net.now() - healed >= self.time_limit();
                if late || results.failed_finally {
                    results.all(checks.iter(), &net, &history).await;
                } else {
                    net.advance(step).await;
                }
            }
            let CheckResults { checked, violations, .. } = results;
            let told = history.told.len() as u64;
            let healed_after = violations.is_empty().then(|| net.now() - healed);
            Outcome { violations, checked, told, untold: history.untold, healed_after, trace: net.trace() }
        })
    }

    /// The time for nodes with membership to hear from each other.
    fn warm_up(&self) -> Duration {
        let periods = if self.early { 0 } else { 10 + self.nodes as u64 / 2 };
        Duration::from_millis(self.watch.map_or(0, |period| period * periods))
    }

    /// The time after healing within which everything must hold.
    fn time_limit(&self) -> Duration {
        let watched = self.watch.map_or(0, |period| period * PERIODS);
        let slow = self.slowest() * (LATENCIES + LATENCIES_PER_NODE * self.nodes as f64);
        Duration::from_millis(TICK * (TICKS + TICKS_PER_NODE * self.total() as u64) + watched + slow as u64)
    }
}

/// Performs an action.
fn perform(action: &Action, net: &Net, history: &mut History) {
    if let Action::Vanish { node } | Action::Join { node, .. } | Action::Crash { node } | Action::Restart { node } =
        action
    {
        history.end(net, *node);
    }
    match action {
        // a node that has just joined does not know the group yet
        Action::Tell { node, bytes } if net.is_up(*node) && history.joined(net, *node).is_none() => {
            let mut message = format!("message {}", history.told.len());
            message.extend(std::iter::repeat_n(PADDING, bytes.saturating_sub(message.len())));
            net.tell(*node, &message);
            history.told.push(Told { message, node: *node, life: net.life(*node), at: net.now() });
        }
        Action::Tell { .. } => history.untold += 1,
        Action::Vanish { node } => net.vanish(*node),
        Action::Join { node, through, ungrouped } => {
            let groups = if *ungrouped { Vec::new() } else { vec![gid(net.group())] };
            net.join(*node, through, &groups);
            history.join(net, *node, through, *ungrouped);
        }
        Action::Put { group, on, members } => put(net, history, group, on, members),
        Action::Crash { node } => net.crash(*node),
        Action::Restart { node } => net.restart(*node),
        Action::Pause { node } => {
            history.pause(net, *node);
            net.pause(*node);
        }
        Action::Resume { node } => net.resume(*node),
        Action::Partition { sides } => net.partition(sides.iter().map(|side| side.iter().copied())),
        Action::Cut { from, to } => net.cut(*from, *to),
        // a link may lose everything
        Action::Break { from, to } => drop(net.set_link_loss(*from, *to, 1.0)),
        Action::Heal {} => net.heal(),
        // the share was checked
        Action::Loss { share } => drop(net.set_loss(*share)),
        Action::Latency { latency } => net.set_latency(*latency),
        // the clock was checked
        Action::Clock(skew) => drop(net.set_clock(*skew)),
    }
}

/// Puts a group of those members that have a process, on those nodes that are up.
fn put(net: &Net, history: &mut History, group: &str, on: &[usize], members: &[usize]) {
    let members: Vec<usize> = members.iter().copied().filter(|member| net.lives(*member)).collect();
    for on in on.iter().copied().filter(|on| net.is_up(*on)) {
        history.put(net, group, on, &members);
        let named: Vec<String> = members.iter().map(usize::to_string).collect();
        net.0.network.event(format_args!("put {group} on {on}: {}", named.join(",")));
        let set: Group = members.iter().map(|member| net.addr(*member)).collect();
        let (node, group) = (net.node(on), group.to_owned());
        tokio::task::spawn_local(async move {
            if let Err(why) = node.groups().put(group.as_str(), set).await {
                // the node may have ended meanwhile
                log::debug!(target: "chinwag::simulation", "{node:?} could not put {group}: {why}");
            }
        });
    }
}
