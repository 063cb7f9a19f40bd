//! Scenarios of membership among many machines, in virtual time. `examples/membership.rs` measures at full scale.

#[allow(dead_code, reason = "the example uses the rest")]
mod swim_world;

use std::time::Duration;

use chinwag_protocol::swim::{Input, MemberEvent, Status, SwimConfig};
use swim_world::{Network, World};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn world(n: u32, loss: f64, seed: u64) -> World {
    let network = Network { loss, ..Network::default() };
    World::new(n, 0, SwimConfig::default(), network, seed)
}

#[test]
fn the_median_time_to_remove_a_killed_node_everywhere_is_at_most_five_seconds() {
    let mut times: Vec<Duration> = (0..15)
        .map(|seed| {
            let mut world = world(50, 0.0, seed);
            world.run(seconds(10) + Duration::from_millis(137 * seed));
            let since = world.now;
            world.kill(7);
            world.run(seconds(30));
            let removals = world.removals(7, since);
            assert_eq!(removals.len(), 49, "seed {seed}");
            assert_eq!(world.false_removals(), []);
            removals.into_values().max().unwrap_or_default()
        })
        .collect();
    times.sort_unstable();
    assert!(times[7] <= seconds(5), "{times:?}");
}

#[test]
fn no_live_node_is_removed_at_30_percent_loss() {
    for n in [2, 3, 5, 40] {
        let mut world = world(n, 0.3, 5);
        world.run(seconds(150));
        assert_eq!(world.false_removals(), [], "n = {n}");
        let suspected = |event: &MemberEvent<u32>| matches!(event, MemberEvent::Suspected { .. });
        assert!(world.events.iter().any(|(_, _, event)| suspected(event)));
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let trace = |seed| {
        let mut world = world(12, 0.3, seed);
        world.run(seconds(20));
        world.kill(3);
        world.run(seconds(40));
        (world.events, world.requests)
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}

#[test]
fn a_process_stopped_for_less_than_the_suspicion_time_stays_and_accuses_nobody() {
    for seed in 0..10 {
        let mut world = world(20, 0.0, seed);
        world.run(seconds(10));
        world.stop(4, Duration::from_millis(2_400));
        world.run(seconds(60));
        assert_eq!(world.false_removals(), [], "seed {seed}");
        let accused = world.events.iter().any(|(_, _, event)| {
            matches!(event, MemberEvent::Suspected { by: 4, .. } | MemberEvent::Failed { by: 4, .. })
        });
        assert!(!accused, "seed {seed}");
    }
}

#[test]
fn a_process_stopped_for_long_returns_and_no_other_is_removed() {
    let mut world = world(20, 0.1, 3);
    world.run(seconds(10));
    world.stop(4, seconds(60));
    world.run(seconds(50));
    assert_eq!(world.removals(4, Duration::ZERO).len(), 19);
    world.run(seconds(60));
    assert!(world.false_removals().iter().all(|(_, _, peer)| *peer == 4));
    assert_eq!(world.agreement().map(|view| view.len()), Some(20));
}

#[test]
fn a_healed_partition_becomes_one_group_including_new_members() {
    let mut world = world(30, 0.0, 9);
    world.run(seconds(10));
    for peer in 0..12 {
        world.side(peer, 1);
    }
    world.run(seconds(400));
    assert_eq!(world.swim(0).status(&20), Some(Status::Failed));
    assert_eq!(world.swim(20).status(&0), Some(Status::Failed));
    let late = world.join(3, 1);
    world.run(seconds(20));
    for peer in (0..12).chain([late]) {
        world.side(peer, 0);
    }
    world.run(seconds(60));
    assert_eq!(world.agreement().map(|view| view.len()), Some(31));
}

#[test]
fn a_restarted_node_rejoins_before_or_after_its_failure_is_noticed() {
    for pause in [0, 20] {
        let mut world = world(10, 0.1, 4);
        world.run(seconds(10));
        world.kill(6);
        world.run(seconds(pause));
        world.restart(6, 2);
        world.run(seconds(30));
        assert_eq!(world.agreement().map(|view| view.len()), Some(10), "{pause}");
        let back = |event: &MemberEvent<u32>| matches!(event, MemberEvent::Rejoined { peer: 6, .. });
        let told = world.events.iter().filter(|(_, to, event)| *to != 6 && back(event)).count();
        assert_eq!(told, 9, "{pause}: once each");
    }
}

#[test]
fn leaving_is_not_a_failure_and_passive_peers_are_watched() {
    let network = Network::default();
    let mut world = World::new(12, 6, SwimConfig::default(), network, 2);
    world.run(seconds(20));
    world.input(1, Input::Leave);
    world.run(seconds(1));
    world.kill(1);
    world.kill(9);
    world.run(seconds(60));
    for peer in [0, 2, 3, 4, 5] {
        assert_eq!(world.swim(peer).status(&1), Some(Status::Left));
        assert_eq!(world.swim(peer).status(&9), Some(Status::Failed));
        assert_eq!(world.swim(peer).passive_members().count(), 5);
    }
    assert_eq!(world.false_removals(), []);
}
