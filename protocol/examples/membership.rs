//! Measures failure detection: how soon a killed node is removed from all views, and how many live nodes are removed.
//!
//! ```text
//! cargo run --release -p chinwag-protocol --example membership -- [n] [loss %] [periods] [seed] [kill] [pause]
//! cargo run --release -p chinwag-protocol --example membership -- 100 0 0 1 200        # detection time
//! cargo run --release -p chinwag-protocol --example membership -- 100 30 10000 1 0     # 1,000,000 node-periods
//! cargo run --release -p chinwag-protocol --example membership -- 100 0 10000 1 0 1    # the same, with pauses
//! ```
//!
//! The group first runs for `periods` periods without failures. Then, `kill` times, a node is killed, its removal is
//! timed, and it is restarted. With `pause` 1, a tenth of the nodes, drawn in every fifth period, stands still for a
//! second. The settings are the defaults, with a latency of 1 ms and a gossip tick of 200 ms.

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/swim_world/mod.rs"]
mod swim_world;

use std::num::ParseIntError;
use std::time::Duration;

use chinwag_protocol::swim::{MemberEvent, Status, SwimConfig};
use rand::{RngExt, SeedableRng, seq::index};
use swim_world::{Network, World};

fn main() -> Result<(), ParseIntError> {
    let mut given = std::env::args().skip(1);
    let n: u32 = given.next().map_or(Ok(100), |text| text.parse())?;
    let mut argument = |default: u64| given.next().map_or(Ok(default), |text| text.parse());
    let loss = argument(0)? as f64 / 100.0;
    let (periods, seed, kills, pauses) = (argument(0)?, argument(1)?, argument(100)?, argument(0)? > 0);
    let mut chance = rand_chacha::ChaCha8Rng::seed_from_u64(seed);

    let config = SwimConfig::default();
    let period = config.probe_interval;
    let network = Network { loss, ..Network::default() };
    let mut world = World::new(n, 0, config, network, seed);
    world.run(period * 20);

    let (mut removed, mut suspected, mut refuted, mut health) = (0, 0, 0, 0);
    let before = world.requests;
    for passed in 0..periods {
        if pauses && passed % 5 == 0 {
            for peer in index::sample(&mut chance, n as usize, n.div_ceil(10) as usize) {
                world.stop(peer as u32, period);
            }
        }
        world.run(period);
        for (_, peer, by) in world.false_removals() {
            removed += 1;
            println!("period {passed}: {peer} removed {by}, which is up");
        }
        for (_, _, event) in &world.events {
            match event {
                MemberEvent::Suspected { .. } => suspected += 1,
                MemberEvent::Refuted { .. } => refuted += 1,
                _ => {}
            }
        }
        health += (0..n).map(|peer| u64::from(world.swim(peer).health())).sum::<u64>();
        world.events.clear();
    }
    if periods > 0 {
        let node_periods = u64::from(n) * periods;
        let each = |count: u64| count as f64 / node_periods as f64;
        println!("n = {n}, loss {loss}, seed {seed}: {removed} false removals in {node_periods} node-periods");
        println!(
            "per node and period: {:.3} suspected, {:.3} refuted (each as one node sees it), {:.1} requests; \
             mean local health {:.2}",
            each(suspected),
            each(refuted),
            each(world.requests - before),
            each(health),
        );
    }

    let (mut first, mut half, mut last) = (Vec::new(), Vec::new(), Vec::new());
    let mut missed = 0;
    for _ in 0..kills {
        let phase: f64 = world.chance().random();
        world.run(period * 10 + period.mul_f64(phase));
        world.events.clear();
        let victim = world.anyone();
        let since = world.now;
        world.kill(victim);
        let gone = |world: &World| {
            (0..n)
                .filter(|peer| world.is_up(*peer))
                .all(|peer| world.swim(peer).status(&victim).is_none_or(|status| status == Status::Failed))
        };
        while !gone(&world) && world.now - since < period * 120 {
            world.run(Duration::from_millis(10));
        }
        removed += world.false_removals().len();
        let mut times: Vec<Duration> = world.removals(victim, since).into_values().collect();
        times.sort_unstable();
        if times.len() < n as usize - 1 {
            missed += 1;
        } else {
            first.extend(times.first());
            half.extend(times.get(times.len() / 2));
            last.extend(times.last());
        }
        let seed_node = world.anyone();
        world.restart(victim, seed_node);
    }
    if kills > 0 {
        println!(
            "n = {n}, loss {loss}, seed {seed}: {kills} killed one at a time, {missed} not gone everywhere in 120 periods"
        );
        println!("{removed} false removals in all; seconds from the kill, over the kills:");
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
    Ok(())
}
