//! Many nodes in one process, in virtual time, on a network that a seed decides.
//!
//! The nodes are the real ones, every actor of them; only the way out is another. Time is tokio's, stopped: it moves to
//! the next timer when nobody has anything to do, so an hour takes as long as what happens in it. A simulation is one
//! thread, and all chance comes from its seed, so the same seed gives the same run, message for message.
//!
//! A story of a failure, and what came of it:
//!
//! ```
//! use std::time::Duration;
//! use chinwag_simulation::{Latency, Overlay, Simulation};
//!
//! let story = Simulation::new(7).nodes(20).overlay(Overlay::Clique).latency(Latency::Constant(10)).loss(0.1);
//! let heard = story.run(|net| async move {
//!     net.partition([0..10]);                                     // 0 to 9 on one side, the others on another
//!     net.crash(3);
//!     net.tell(0, "the bridge is out");
//!     net.advance(Duration::from_secs(1)).await;
//!     let sum = net.node(15).group("town").status().counts().await;  // ask any node anything
//!     assert!(!sum.unwrap().errors.is_empty(), "half of the town is out of its reach");
//!     net.heal();
//!     net.reach("the bridge is out").nodes
//! })?;
//! assert!((1..10).contains(&heard));
//! # Ok::<(), chinwag_simulation::SimulationError>(())
//! ```
//!
//! Stories can be data ([`scenario`]), drawn from a seed and checked ([`swarm`]), or one of the two that are measured: a
//! rumor to everyone ([`spread`]), and nodes that watch each other while some are killed ([`membership`]). The program's
//! `chinwag simulate` runs all four.
//!
//! What is absent. There is no bandwidth: a large message is as fast as a small one. A disk cannot fail, since a node
//! has none. A clock is wrong by a rate and an offset, but it does not jump while a node runs.

mod address;
pub mod checks;
mod error;
mod exchange;
pub mod kinds;
pub mod latency;
mod ledger;
pub mod membership;
mod net;
mod network;
mod process;
pub mod run;
pub mod scenario;
mod sent;
pub mod skew;
pub mod spread;
mod story;
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
pub use ledger::{Counts, Hearing, Reach};
pub use net::Net;
pub use skew::Skew;

use address::address;
use error::check_share;
use ledger::Ledger;
use net::{Inner, Views, seed_of};
use network::{Network, Weather};

/// The group that every node of a simulation is in, unless told otherwise.
pub const GROUP: &str = "town";

/// How often shipped code is interrupted before a call of it is ended: some ten million steps, which take less than the
/// second of processor time that a real node grants. A guess.
const SHIPPED: u64 = 1_000;

/// Purposes of chance other than a node's own, whose number is its purpose.
const NETWORK: u64 = u64::MAX;
const OVERLAY: u64 = u64::MAX - 1;
const STORY: u64 = u64::MAX - 2;

/// A simulation before it runs.
#[derive(Clone)]
pub struct Simulation {
    seed: u64,
    nodes: usize,
    beside: Vec<usize>,
    overlay: Overlay,
    weather: Weather,
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
            .field("weather", &self.weather)
            .finish_non_exhaustive()
    }
}

impl Simulation {
    /// Two nodes that know each other, on a network that takes 1 ms for a message and loses none.
    pub fn new(seed: u64) -> Simulation {
        Simulation {
            seed,
            nodes: 2,
            beside: Vec::new(),
            overlay: Overlay::Clique,
            weather: Weather { latency: Latency::Constant(1), loss: 0.0, duplication: 0.0 },
            group: Arc::new(GroupConfig::new(named(GROUP))),
            // every node would hold a standing of every other: asked for where it is the matter
            settings: Settings { membership: Membership::off(), ..Settings::default() },
            services: Vec::new(),
            clocks: BTreeMap::new(),
            acquainted: false,
            traced: false,
        }
    }

    /// How many nodes. From 1.
    #[must_use]
    pub fn nodes(mut self, nodes: usize) -> Simulation {
        self.nodes = nodes;
        self
    }

    /// Further nodes, numbered after those of the overlay: one clique of each of these sizes, whose nodes know each other
    /// and nobody else. A clique of one is a node alone, which [`Net::join`] can bring in. Sizes from 1.
    #[must_use]
    pub fn beside(mut self, sizes: impl IntoIterator<Item = usize>) -> Simulation {
        self.beside = sizes.into_iter().collect();
        self
    }

    /// Who knows whom.
    #[must_use]
    pub fn overlay(mut self, overlay: Overlay) -> Simulation {
        self.overlay = overlay;
        self
    }

    /// How long each message takes.
    #[must_use]
    pub fn latency(mut self, latency: Latency) -> Simulation {
        self.weather.latency = latency;
        self
    }

    /// The share of one-way messages, calls and answers each for itself, that is lost. From 0 to less than 1.
    #[must_use]
    pub fn loss(mut self, share: f64) -> Simulation {
        self.weather.loss = share;
        self
    }

    /// The share of calls that arrive, and are performed, twice. From 0 to less than 1. No transport of this project
    /// does that (a call is performed at most once); a network where a proxy repeats requests would.
    #[must_use]
    pub fn duplication(mut self, share: f64) -> Simulation {
        self.weather.duplication = share;
        self
    }

    /// A node whose clock is wrong.
    #[must_use]
    pub fn clock(mut self, skew: Skew) -> Simulation {
        self.clocks.insert(skew.node, skew);
        self
    }

    /// The name and options of the group that all nodes are in. Default: [`GROUP`] and none.
    #[must_use]
    pub fn group(mut self, group: GroupConfig) -> Simulation {
        self.group = Arc::new(group);
        self
    }

    /// Bounds and intervals of every node. Shipped code runs within the simulation's one thread and its time, and is
    /// bounded by steps, not by processor time, whatever is said here.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Simulation {
        self.settings = settings;
        self
    }

    /// Nodes that run no shipped code, which then need not keep what such code would see: some kilobytes each.
    #[must_use]
    pub fn without_scripts(mut self) -> Simulation {
        self.settings.scripts.enabled = false;
        self
    }

    /// Nodes that begin with having heard from all that they know, where membership is on. Otherwise they know only where
    /// others are, as an operator would have put them, and ask each other first.
    #[must_use]
    pub fn acquainted(mut self) -> Simulation {
        self.acquainted = true;
        self
    }

    /// A service of one's own on every node, beside `record`.
    #[must_use]
    pub fn service(mut self, service: impl Into<AnyService>) -> Simulation {
        self.services.push(service.into());
        self
    }

    /// Keeps a line on every message, for [`Net::trace`].
    #[must_use]
    pub fn traced(mut self) -> Simulation {
        self.traced = true;
        self
    }

    /// Who will know whom, if there is such a network.
    ///
    /// # Errors
    /// [`SimulationError`], saying what cannot be.
    pub fn check(&self) -> Result<Neighbours, SimulationError> {
        let total = self.beside.iter().fold(self.nodes, |total, size| total.saturating_add(*size));
        if self.nodes == 0 || total > MAX_NODES {
            return Err(SimulationError::Nodes(total));
        }
        if self.beside.contains(&0) {
            return Err(SimulationError::Argument("a clique beside the network has at least one node".to_owned()));
        }
        check_share("loss", self.weather.loss)?;
        check_share("duplication", self.weather.duplication)?;
        self.weather.latency.checked()?;
        self.clocks.values().try_for_each(|skew| skew.checked(total).map(drop))?;
        let mut chance = ChaCha8Rng::from_seed(seed_of(self.seed, OVERLAY, 0));
        Ok(beside(self.overlay.neighbours(self.nodes as u32, &mut chance)?, &self.beside))
    }

    /// Starts the nodes, runs the story, and ends with it, whatever is under way. Blocks this thread, which must not
    /// be a runtime's.
    ///
    /// # Errors
    /// [`SimulationError`], where no such network exists; nothing has run then.
    ///
    /// # Panics
    /// Where the story does, or where the thread runs a runtime already.
    pub fn run<F, T>(self, story: impl FnOnce(Net) -> F) -> Result<T, SimulationError>
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
        let wires = Rc::downgrade(&local);
        let told = local.block_on(&runtime, async {
            let ledger = Arc::new(Ledger::new(neighbours.len()));
            let chance = ChaCha8Rng::from_seed(seed_of(self.seed, NETWORK, 0));
            let network = Network::new(ledger.clone(), self.weather, chance, self.traced, wires);
            let net = Net::start(Inner {
                network: Rc::new(network),
                ledger: ledger.clone(),
                neighbours,
                group: self.group,
                views,
                acquainted: self.acquainted,
                sharing: Sharing::default(),
                settings,
                services: self.services,
                record: ledger.service(0),
                clocks: RefCell::new(self.clocks),
                seed: self.seed,
            });
            let told = story(net.clone()).await;
            // nodes hold the network and the network holds nodes
            net.0.network.places.borrow_mut().clear();
            told
        });
        Ok(told)
    }
}

/// The same network with cliques of these sizes beside it.
fn beside(network: Neighbours, sizes: &[usize]) -> Neighbours {
    if sizes.is_empty() {
        return network;
    }
    let mut lists: Vec<Vec<u32>> = (0..network.len() as u32).map(|node| network.of(node).collect()).collect();
    for size in sizes {
        // there are at most a million
        let clique = lists.len() as u32..(lists.len() + size) as u32;
        lists.extend(clique.clone().map(|node| clique.clone().filter(|other| *other != node).collect()));
    }
    Neighbours::Lists(lists)
}

/// Whom each node knows, itself included.
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

/// A name that is known to be one; `all` where it were not.
fn named(name: &str) -> Gid {
    Gid::new(name).unwrap_or_else(|_| Gid::all())
}
