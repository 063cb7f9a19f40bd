//! Measures membership with the real actors over the real gossip, in virtual time: how soon a killed node is out of
//! everyone's view, and how many live ones are removed.
//!
//! ```text
//! cargo run --release -p chinwag --example membership -- [n] [loss %] [periods] [seed] [kills]
//! cargo run --release -p chinwag --example membership -- 100 0 0 1 100         # detection time over seeds 1 to 100
//! cargo run --release -p chinwag --example membership -- 100 30 1000 1 0       # 100,000 node-periods
//! ```
//!
//! A simulation for each kill, with a seed of its own: twenty periods and a random part of one, then the kill. Default
//! settings; latency 1 ms. `protocol/examples/membership.rs` measures the machine alone over a simplified gossip, a hundred
//! times as fast.
#![allow(clippy::print_stdout, reason = "it says what it measures")]

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration, time::Instant};

use chinwag::{actors::settings::Settings, membership::Event};
use chinwag_simulation::{Latency, Net, Simulation, SimulationError};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// What the nodes' subscribers have been told: when, on which node, what.
type Told = Rc<RefCell<Vec<(Duration, usize, Event)>>>;

/// How long a killed node is watched for.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut given = std::env::args().skip(1);
    let mut argument = |default: u64| given.next().map_or(Ok(default), |text| text.parse());
    let nodes = usize::try_from(argument(100)?)?;
    let loss = argument(0)? as f64 / 100.0;
    let (periods, seed, kills) = (argument(0)?, argument(1)?, argument(100)?);
    let town = |seed: u64| {
        let settings = Settings::default();
        Simulation::new(seed).nodes(nodes).latency(Latency::Constant(1)).loss(loss).settings(settings)
    };
    let began = Instant::now();
    if periods > 0 {
        town(seed).run(|net| quiet(net, seed, loss, periods))?;
        println!("{:.1} s of real time", began.elapsed().as_secs_f64());
    }
    if kills > 0 {
        let taken = (seed..seed + kills).map(|seed| town(seed).run(|net| kill(net, seed)));
        show(nodes, loss, seed, &taken.collect::<Result<Vec<_>, SimulationError>>()?);
        println!("{:.1} s of real time", began.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Has every node tell what it hears.
async fn told(net: &Net) -> Told {
    let told = Told::default();
    for index in 0..net.len() {
        let Ok(mut events) = net.node(index).events().await else { continue };
        let (told, net) = (told.clone(), net.clone());
        tokio::task::spawn_local(async move {
            while let Some(event) = events.next().await {
                told.borrow_mut().push((net.now(), index, event));
            }
        });
    }
    told
}

/// Nobody fails.
async fn quiet(net: Net, seed: u64, loss: f64, periods: u64) {
    let told = told(&net).await;
    net.advance(Duration::from_secs(20)).await;
    let before = net.counts().requests;
    let (mut suspected, mut refuted, mut failed) = (0_u64, 0_u64, 0_u64);
    for period in 0..periods {
        net.advance(Duration::from_secs(1)).await;
        for (at, index, event) in told.take() {
            match event {
                Event::Suspected { .. } => suspected += 1,
                Event::Refuted(_) => refuted += 1,
                Event::Failed { peer, by } => {
                    failed += 1;
                    println!("period {period}: node {index} removes {} at {at:?}, by {}", peer.node, by.sid());
                }
                _ => {}
            }
        }
    }
    let node_periods = net.len() as u64 * periods;
    let each = |count: u64| count as f64 / node_periods as f64;
    println!(
        "n = {}, loss {loss}, seed {seed}: {failed} removals of live nodes seen in {node_periods} node-periods; per node \
         and period: {:.3} suspected, {:.3} refuted (each as one node sees it), {:.1} requests",
        net.len(),
        each(suspected),
        each(refuted),
        each(net.counts().requests - before),
    );
}

/// When each of the others removed the one that was killed; and how many live ones were removed.
async fn kill(net: Net, seed: u64) -> (BTreeMap<usize, Duration>, usize) {
    let told = told(&net).await;
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    net.advance(Duration::from_millis(20_000 + chance.random_range(0..1_000))).await;
    let victim = chance.random_range(0..net.len());
    let (nid, since) = (net.addr(victim).nid(), net.now());
    net.crash(victim);
    let mut removed = BTreeMap::new();
    let mut wrong = 0;
    while removed.len() < net.len() - 1 && net.now() < since + PATIENCE {
        net.advance(Duration::from_millis(10)).await;
        for (at, index, event) in told.take() {
            match event {
                Event::Failed { peer, .. } if peer.nid == nid && at >= since => {
                    removed.entry(index).or_insert(at - since);
                }
                Event::Failed { .. } => wrong += 1,
                _ => {}
            }
        }
    }
    (removed, wrong)
}

fn show(nodes: usize, loss: f64, seed: u64, taken: &[(BTreeMap<usize, Duration>, usize)]) {
    let wrong: usize = taken.iter().map(|(_, wrong)| wrong).sum();
    let (mut first, mut half, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for (removed, _) in taken {
        let mut times: Vec<Duration> = removed.values().copied().collect();
        times.sort_unstable();
        if times.len() == nodes - 1 {
            first.extend(times.first());
            half.extend(times.get(times.len() / 2));
            last.extend(times.last());
        }
    }
    println!(
        "n = {nodes}, loss {loss}, seeds from {seed}: {} killed, {} not gone everywhere in {PATIENCE:?}, {wrong} removals of \
         live nodes seen; seconds from the kill:",
        taken.len(),
        taken.len() - last.len(),
    );
    println!("                        10th  median   90th    max");
    for (name, times) in
        [("first to remove it", &mut first), ("half of the group", &mut half), ("the last one", &mut last)]
    {
        times.sort_unstable();
        let at = |share: f64| {
            let index = (times.len() as f64 * share) as usize;
            times.get(index.min(times.len().saturating_sub(1))).map_or(f64::NAN, Duration::as_secs_f64)
        };
        println!("{name:<20} {:>7.2} {:>7.2} {:>6.2} {:>6.2}", at(0.1), at(0.5), at(0.9), at(1.0));
    }
}
