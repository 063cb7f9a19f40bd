//! Many nodes in one process, in virtual time, on a simulated network.
//!
//! Every simulated node runs the real actors. Only its transport differs: messages go through the simulated network.
//! The clock is tokio's paused clock, which jumps to the next timer when no task can run, so an idle hour of virtual
//! time costs nothing. A simulation runs on one thread and draws every random number from its seed, so the same seed
//! repeats a run message for message.
//!
//! An example of a failure and its effect:
//!
//! ```
//! use std::time::Duration;
//! use chinwag_simulation::{Latency, Overlay, Simulation};
//!
//! let simulation = Simulation::new(7).nodes(20).overlay(Overlay::Clique).latency(Latency::Constant(10)).loss(0.1);
//! let heard = simulation.run(|net| async move {
//!     net.partition([0..10]);                                     // 0 to 9 on one side, the others on another
//!     net.crash(3);
//!     net.tell(0, "the bridge is out");
//!     net.advance(Duration::from_secs(1)).await;
//!     let sum = net.node(15).group("town").status().counts().await;  // ask any node anything
//!     assert!(!sum.unwrap().errors.is_empty(), "half of the group is out of reach");
//!     net.heal();
//!     net.reach("the bridge is out").nodes
//! })?;
//! assert!((1..10).contains(&heard));
//! # Ok::<(), chinwag_simulation::SimulationError>(())
//! ```
//!
//! A test can also be data ([`scenario`]) or drawn from a seed and checked ([`swarm`]). Two experiments take
//! measurements: the spread of one rumor ([`spread`]), and failure detection while nodes are killed ([`membership`]).
//! The command `chinwag simulate` runs all four.
//!
//! The simulation has limits. It models no bandwidth, so that a large message is as fast as a small one. Nodes have no
//! disks that could fail. A clock can have a wrong rate and a wrong offset, but it does not jump while its node runs.

mod address;
pub mod checks;
mod connections;
mod error;
mod history;
pub mod kinds;
pub mod latency;
pub mod membership;
mod net;
mod network;
mod outbound;
mod pending_calls;
mod percentiles;
mod process;
mod recorder;
pub mod run;
pub mod scenario;
mod schedule;
pub mod skew;
pub mod spread;
pub mod swarm;
pub mod theory;
mod trace;

use std::{cell::RefCell, collections::BTreeMap, fmt, future::Future, rc::Rc, sync::Arc};

use chinwag_actors::{local::membership::Settings as Membership, service::AnyService, settings::Settings};
use chinwag_protocol::{
    group::{Group, GroupConfig, Sharing},
    identity::{Gid, NodeAddr},
    overlay::Neighbours,
};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng as _};
use tokio::task::LocalSet;

pub use chinwag_protocol::overlay::Overlay;
pub use error::{MAX_NODES, SimulationError};
pub use latency::{Latency, LatencyError};
pub use net::Net;
pub use recorder::{Counts, Delivery, Reach};
pub use skew::Skew;

use address::address;
use error::check_share;
use net::{Inner, Views, seed_of};
use network::{Conditions, Network};
use recorder::Recorder;

/// The default name of the group that every node of a simulation is in.
pub const GROUP: &str = "town";

/// How many interrupts of shipped code end its call: about ten million steps, which take less than the second of
/// processor time that a real node grants. The number is a guess.
const SHIPPED: u64 = 1_000;

/// Purposes of random generators. A node's own generator has the node's number as its purpose.
const NETWORK: u64 = u64::MAX;
const OVERLAY: u64 = u64::MAX - 1;
const SCENARIO: u64 = u64::MAX - 2;

/// The settings of a simulation that has not started.
#[derive(Clone)]
pub struct Simulation {
    seed: u64,
    nodes: usize,
    beside: Vec<usize>,
    overlay: Overlay,
    conditions: Conditions,
    group: Arc<GroupConfig>,
    settings: Settings,
    services: Vec<AnyService>,
    clocks: BTreeMap<usize, Skew>,
    acquainted: bool,
    traced: bool,
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("seed", &self.seed)
            .field("nodes", &self.nodes)
            .field("overlay", &self.overlay)
            .field("conditions", &self.conditions)
            .finish_non_exhaustive()
    }
}

impl Simulation {
    /// Two nodes that know each other, on a network with a latency of 1 ms and without loss.
    pub fn new(seed: u64) -> Simulation {
        Simulation {
            seed,
            nodes: 2,
            beside: Vec::new(),
            overlay: Overlay::Clique,
            conditions: Conditions { latency: Latency::Constant(1), loss: 0.0, duplication: 0.0 },
            group: Arc::new(GroupConfig::new(gid(GROUP))),
            // off by default, because every node would keep the status of every other node
            settings: Membership::off().into(),
            services: Vec::new(),
            clocks: BTreeMap::new(),
            acquainted: false,
            traced: false,
        }
    }

    /// Sets the number of nodes, from 1.
    #[must_use]
    pub fn nodes(mut self, nodes: usize) -> Simulation {
        self.nodes = nodes;
        self
    }

    /// Adds further nodes, numbered after those of the overlay: one clique of each of these sizes, from 1. The nodes of
    /// a clique know each other and nobody else. A clique of one is a single node, which [`Net::join`] can bring in.
    #[must_use]
    pub fn beside(mut self, sizes: impl IntoIterator<Item = usize>) -> Simulation {
        self.beside = sizes.into_iter().collect();
        self
    }

    /// Sets which nodes know each other at the start.
    #[must_use]
    pub fn overlay(mut self, overlay: Overlay) -> Simulation {
        self.overlay = overlay;
        self
    }

    /// Sets the latency of messages.
    #[must_use]
    pub fn latency(mut self, latency: Latency) -> Simulation {
        self.conditions.latency = latency;
        self
    }

    /// Sets the share of one-way messages that are lost, from 0 to less than 1. Calls and answers are lost
    /// independently.
    #[must_use]
    pub fn loss(mut self, share: f64) -> Simulation {
        self.conditions.loss = share;
        self
    }

    /// Sets the share of calls that arrive and are performed twice, from 0 to less than 1. The transports of this
    /// project perform a call at most once; a network with a proxy that repeats requests does not.
    #[must_use]
    pub fn duplication(mut self, share: f64) -> Simulation {
        self.conditions.duplication = share;
        self
    }

    /// Gives a node a wrong clock.
    #[must_use]
    pub fn clock(mut self, skew: Skew) -> Simulation {
        self.clocks.insert(skew.node, skew);
        self
    }

    /// Sets the name and options of the group that all nodes are in. The default is [`GROUP`] without options.
    #[must_use]
    pub fn group(mut self, group: GroupConfig) -> Simulation {
        self.group = Arc::new(group);
        self
    }

    /// Sets the limits and intervals of every node. Shipped code runs on the simulation's thread in any case, bounded
    /// by steps and not by processor time.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Simulation {
        self.settings = settings;
        self
    }

    /// Disables shipped code on all nodes. Each node then needs some kilobytes less.
    #[must_use]
    pub fn without_scripts(mut self) -> Simulation {
        self.settings.scripts.enabled = false;
        self
    }

    /// With membership, starts nodes that have already heard from all nodes they know. By default, nodes know only the
    /// addresses of others, as if an operator had put them, and ask each other first.
    #[must_use]
    pub fn acquainted(mut self) -> Simulation {
        self.acquainted = true;
        self
    }

    /// Adds a service to every node, beside `record`.
    #[must_use]
    pub fn service(mut self, service: impl Into<AnyService>) -> Simulation {
        self.services.push(service.into());
        self
    }

    /// Records a line for every message, for [`Net::trace`].
    #[must_use]
    pub fn traced(mut self) -> Simulation {
        self.traced = true;
        self
    }

    /// Checks the settings, and returns which nodes will know each other.
    ///
    /// # Errors
    /// A [`SimulationError`] if no such network exists.
    pub fn check(&self) -> Result<Neighbours, SimulationError> {
        let total = self.beside.iter().fold(self.nodes, |total, size| total.saturating_add(*size));
        if self.nodes == 0 || total > MAX_NODES {
            return Err(SimulationError::Nodes(total));
        }
        if self.beside.contains(&0) {
            return Err(SimulationError::Argument("a further clique needs at least one node".to_owned()));
        }
        check_share("loss", self.conditions.loss)?;
        check_share("duplication", self.conditions.duplication)?;
        self.conditions.latency.checked()?;
        self.clocks.values().try_for_each(|skew| skew.checked(total).map(drop))?;
        let mut rng = ChaCha8Rng::from_seed(seed_of(self.seed, OVERLAY, 0));
        Ok(beside(self.overlay.neighbours(self.nodes as u32, &mut rng)?, &self.beside))
    }

    /// Starts the nodes and runs `test`. Everything that is still under way ends with it. The call blocks this thread.
    ///
    /// # Errors
    /// A [`SimulationError`] if no such network exists. Nothing has run then.
    ///
    /// # Panics
    /// If `test` panics, or if this thread already runs a runtime.
    pub fn run<F, T>(self, test: impl FnOnce(Net) -> F) -> Result<T, SimulationError>
    where
        F: Future<Output = T>,
    {
        let neighbours = self.check()?;
        let views = views(&neighbours);
        let mut settings = self.settings;
        settings.scripts.inline.get_or_insert(SHIPPED);

        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.map_err(|why| SimulationError::Runtime(why.to_string()))?;
        let local = Rc::new(LocalSet::new());
        let tasks = Rc::downgrade(&local);
        let result = local.block_on(&runtime, async {
            let recorder = Arc::new(Recorder::new(neighbours.len()));
            let rng = ChaCha8Rng::from_seed(seed_of(self.seed, NETWORK, 0));
            let network = Network::new(recorder.clone(), self.conditions, rng, self.traced, tasks);
            let net = Net::start(Inner {
                network: Rc::new(network),
                recorder: recorder.clone(),
                neighbours,
                group: self.group,
                views,
                acquainted: self.acquainted,
                sharing: Sharing::default(),
                settings,
                services: self.services,
                record: recorder.service(0),
                clocks: RefCell::new(self.clocks),
                seed: self.seed,
            });
            let result = test(net.clone()).await;
            // breaks the reference cycle between the nodes and the network
            net.0.network.slots.borrow_mut().clear();
            result
        });
        Ok(result)
    }
}

/// Adds cliques of these sizes to a network.
fn beside(network: Neighbours, sizes: &[usize]) -> Neighbours {
    if sizes.is_empty() {
        return network;
    }
    let mut lists: Vec<Vec<u32>> = (0..network.len() as u32).map(|node| network.of(node).collect()).collect();
    for size in sizes {
        // `check` has limited the number of nodes to a million
        let clique = lists.len() as u32..(lists.len() + size) as u32;
        lists.extend(clique.clone().map(|node| clique.clone().filter(|other| *other != node).collect()));
    }
    Neighbours::Lists(lists)
}

/// The nodes that each node knows, itself included.
fn views(neighbours: &Neighbours) -> Views {
    match neighbours {
        Neighbours::Everyone(count) => Views::Shared(Arc::new((0..*count as usize).map(address).collect())),
        Neighbours::Lists(lists) => {
            let addresses: Vec<NodeAddr> = (0..lists.len()).map(address).collect();
            let view = |(node, others): (usize, &Vec<u32>)| -> Arc<Group> {
                let numbers = [node].into_iter().chain(others.iter().map(|&other| other as usize));
                Arc::new(numbers.filter_map(|number| addresses.get(number).cloned()).collect())
            };
            Views::Own(lists.iter().enumerate().map(view).collect())
        }
    }
}

/// The GID of a name that is known to be valid.
fn gid(name: &str) -> Gid {
    Gid::new(name).unwrap_or_else(|_| Gid::all())
}
