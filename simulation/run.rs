//! Running a scenario: everything happens, the network heals, and the [`CHECKS`] have to come to hold.

use std::time::Duration;

use chinwag_protocol::group::Group;
use serde::Serialize;

use super::{
    Net, SimulationError,
    checks::{CHECKS, Check, PADDING, Tried, Violation},
    named,
    scenario::{Action, Link, SETTLED, Scenario, TICK},
    story::{Story, Told},
};

/// Ticks after healing within which every check has to hold, and as many again for each node that a message may have to
/// pass on a line. A guess, several times what was seen.
const TICKS: u64 = 100;
const TICKS_PER_NODE: u64 = 10;

/// As many of membership's periods besides, where nodes watch each other: what was removed is tried again every five of
/// them, one at a time. A guess.
const PERIODS: u64 = 500;

/// And as many of the slowest latencies, of which each node that a message passes on a line may take several. A guess.
const LATENCIES: f64 = 40.0;
const LATENCIES_PER_NODE: f64 = 8.0;

/// More nodes than this are looked at every tenth tick only: a look costs the square of their number.
const LARGE: usize = 64;

/// What came of a scenario.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Outcome {
    /// What does not hold; empty where all is well.
    pub violations: Vec<Violation>,
    /// How many checks were made.
    pub checked: u64,
    /// Messages that were started.
    pub told: u64,
    /// Messages that were not, as the node was not up.
    pub untold: u64,
    /// Virtual time from the healing until all held; none where that did not come. As data, in milliseconds.
    #[serde(serialize_with = "milliseconds", rename = "healed_after_ms")]
    pub healed_after: Option<Duration>,
    /// Every message, where it was asked for. No part of its form as data.
    #[serde(skip)]
    pub trace: String,
}

fn milliseconds<S: serde::Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_millis() as u64).serialize(serializer)
}

impl Scenario {
    /// What differs on single ways; with nothing lost, what is left when the network has healed.
    fn set_links(&self, net: &Net, lossy: bool) {
        for Link { from, to, latency, loss } in &self.links {
            if let Some(latency) = latency {
                net.set_link_latency(*from, *to, *latency);
            }
            let broken = Action::Break { from: *from, to: *to };
            if let Some(share) = loss.filter(|_| lossy || !self.events.iter().any(|event| event.what == broken)) {
                // it was checked
                let _ = net.set_link_loss(*from, *to, if lossy { share } else { 0.0 });
            }
        }
    }

    /// Lets everything happen, heals the network, and checks.
    ///
    /// # Errors
    /// As [`check`](Scenario::check). Nothing has run then.
    pub fn run(&self, traced: bool) -> Result<Outcome, SimulationError> {
        self.check()?;
        let mut events = self.events.clone();
        events.sort_by_key(|event| event.at);
        let checks: Vec<&Check> = CHECKS.iter().filter(|check| (check.applies)(self)).collect();
        self.simulation(traced).run(|net| async move {
            let mut story = Story::new(self.nodes, &self.beside, self.watch.is_some(), self.demands.clone());
            story.settled = Duration::from_millis(SETTLED * self.watch.unwrap_or_default());
            let mut tried = Tried::default();
            net.advance(self.acquaintance()).await;
            // it was checked
            let _ = net.set_loss(self.loss);
            self.set_links(&net, true);
            let begun = net.now();
            for event in events {
                net.advance((begun + Duration::from_millis(event.at)).saturating_sub(net.now())).await;
                if let Action::Restart { node } | Action::Join { node, .. } = event.what {
                    story.starts_anew(&net, node).await;
                }
                happen(&event.what, &net, &mut story);
                tried.all(checks.iter().filter(|check| check.for_good), &net, &story).await;
                if !tried.violations.is_empty() {
                    break;
                }
            }
            net.heal();
            // 0 is a share
            let _ = net.set_loss(0.0);
            self.set_links(&net, false);
            (0..net.len()).for_each(|node| net.resume(node));
            let healed = net.now();
            let step = Duration::from_millis(if net.len() > LARGE { 10 * TICK } else { TICK });
            // what is under way arrives, and what is told has been sent
            net.advance(Duration::from_millis(2 * TICK)).await;
            while tried.violations.is_empty() {
                if tried.holds(&checks, &net, &story).await {
                    break;
                }
                let late = net.now() - healed >= self.patience();
                if late || tried.hopeless {
                    tried.all(checks.iter(), &net, &story).await;
                } else {
                    net.advance(step).await;
                }
            }
            let Tried { checked, violations, .. } = tried;
            let told = story.told.len() as u64;
            let healed_after = violations.is_empty().then(|| net.now() - healed);
            Outcome { violations, checked, told, untold: story.untold, healed_after, trace: net.trace() }
        })
    }

    /// How long nodes that watch each other are given to hear of each other.
    fn acquaintance(&self) -> Duration {
        let periods = if self.early { 0 } else { 10 + self.nodes as u64 / 2 };
        Duration::from_millis(self.watch.map_or(0, |period| period * periods))
    }

    /// How long after healing everything has to hold.
    fn patience(&self) -> Duration {
        let watched = self.watch.map_or(0, |period| period * PERIODS);
        let slow = self.slowest() * (LATENCIES + LATENCIES_PER_NODE * self.nodes as f64);
        Duration::from_millis(TICK * (TICKS + TICKS_PER_NODE * self.total() as u64) + watched + slow as u64)
    }
}

/// Has an action happen.
fn happen(action: &Action, net: &Net, story: &mut Story) {
    if let Action::Vanish { node } | Action::Join { node, .. } | Action::Crash { node } | Action::Restart { node } =
        action
    {
        story.end(net, *node);
    }
    match action {
        // a node that has just joined does not know the group yet
        Action::Tell { node, bytes } if net.is_up(*node) && story.joined(net, *node).is_none() => {
            let mut message = format!("message {}", story.told.len());
            message.extend(std::iter::repeat_n(PADDING, bytes.saturating_sub(message.len())));
            net.tell(*node, &message);
            story.told.push(Told { message, node: *node, life: net.life(*node), at: net.now() });
        }
        Action::Tell { .. } => story.untold += 1,
        Action::Vanish { node } => net.vanish(*node),
        Action::Join { node, through, ungrouped } => {
            let groups = if *ungrouped { Vec::new() } else { vec![named(net.group())] };
            net.join(*node, through, &groups);
            story.join(net, *node, through, *ungrouped);
        }
        Action::Put { group, on, members } => put(net, story, group, on, members),
        Action::Crash { node } => net.crash(*node),
        Action::Restart { node } => net.restart(*node),
        Action::Pause { node } => {
            story.pause(net, *node);
            net.pause(*node);
        }
        Action::Resume { node } => net.resume(*node),
        Action::Partition { sides } => net.partition(sides.iter().map(|side| side.iter().copied())),
        Action::Cut { from, to } => net.cut(*from, *to),
        // a link may lose everything
        Action::Break { from, to } => drop(net.set_link_loss(*from, *to, 1.0)),
        Action::Heal {} => net.heal(),
        // it was checked
        Action::Loss { share } => drop(net.set_loss(*share)),
        Action::Latency { latency } => net.set_latency(*latency),
        // it was checked
        Action::Clock(skew) => drop(net.set_clock(*skew)),
    }
}

/// An operator puts a group, of those members that are up, on those nodes that are up.
fn put(net: &Net, story: &mut Story, group: &str, on: &[usize], members: &[usize]) {
    let members: Vec<usize> = members.iter().copied().filter(|member| net.lives(*member)).collect();
    for on in on.iter().copied().filter(|on| net.is_up(*on)) {
        story.put(net, group, on, &members);
        let named: Vec<String> = members.iter().map(usize::to_string).collect();
        net.0.network.event(format_args!("put {group} on {on}: {}", named.join(",")));
        let set: Group = members.iter().map(|member| net.addr(*member)).collect();
        let (node, group) = (net.node(on), group.to_owned());
        tokio::task::spawn_local(async move {
            if let Err(why) = node.groups().put(group.as_str(), set).await {
                // it may have been killed meanwhile
                log::debug!(target: "chinwag::simulation", "{node:?} could not put {group}: {why}");
            }
        });
    }
}
