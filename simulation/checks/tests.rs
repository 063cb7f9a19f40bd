use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chinwag_protocol::swim::Status;

use super::{
    groups::{Statuses, joins, mixed_clusters, puts, unknown_groups_after_restart},
    load::{MUST_EMPTY, load_of},
    messages::unperformed_own_messages,
};
use crate::{
    Simulation,
    history::{History, Told},
    scenario::Demand,
};

#[test]
fn nodes_report_every_part_of_the_load_that_must_empty() {
    let settings = chinwag_actors::settings::Settings::default();
    let loads = Simulation::new(1).settings(settings).run(|net| async move {
        net.tell(0, "news");
        net.advance(Duration::from_millis(2_000)).await;
        load_of(&net, 0).await.unwrap()
    });
    let load = loads.unwrap();
    for name in MUST_EMPTY.iter().chain(&["gossip.requests"]) {
        assert!(load.contains_key(*name), "{name}: {:?}", load.keys());
    }
}

#[test]
fn a_message_that_its_sender_never_performed_is_found() {
    let found = Simulation::new(1).run(|net| async move {
        let told = |message: &str, node, life| {
            let mut history = History::new(2, &[], false, BTreeSet::new());
            history.told.push(Told { message: message.to_owned(), node, life, at: Duration::ZERO });
            history
        };
        net.tell(0, "news");
        net.advance(Duration::from_millis(100)).await;
        let performed = unperformed_own_messages(&net, &told("news", 0, 0)).await;
        let check = async |what| unperformed_own_messages(&net, &what).await;
        // messages of another node or of a later life are not checked
        (performed, check(told("nothing~~~", 0, 0)).await, check(told("nothing", 1, 3)).await)
    });
    let never = "node 0 was to start \"nothing\" and has not heard it".to_owned();
    assert_eq!(found.unwrap(), (None, Some(never), None));
}

#[test]
fn missing_effects_of_joins_and_puts_are_found() {
    let watched = chinwag_actors::settings::Settings::default();
    let found = Simulation::new(1).nodes(3).beside([1]).settings(watched).run(|net| async move {
        net.advance(Duration::from_millis(3_000)).await;
        let mut history = History::new(3, &[1], true, BTreeSet::new());
        let before = (puts(&net, &history).await, joins(&net, &history).await, mixed_clusters(&net, &history).await);
        // the put was not performed
        history.put(&net, "g", 1, &[1, 2]);
        history.join(&net, 3, &[2], false);
        let missing = (puts(&net, &history).await, joins(&net, &history).await);
        net.node(1).groups().put("g", [net.addr(1), net.addr(3)]).await.unwrap();
        let other = puts(&net, &history).await;
        let history = History::new(3, &[1], true, BTreeSet::new());
        (before, missing, other, mixed_clusters(&net, &history).await)
    });
    let (before, missing, other, mixed_clusters) = found.unwrap();
    assert_eq!(before, (None, None, None));
    assert_eq!(missing.0.unwrap(), "node 1 does not know the group g, which was put there");
    assert_eq!(missing.1.unwrap(), "in all, node 3 misses node 0; node 3 joined through node 2");
    assert_eq!(other.unwrap(), "in g, node 1 misses node 2, which is alive");
    assert_eq!(mixed_clusters.unwrap(), "in all, node 1 has node 3, which is in another cluster");
}

#[test]
fn a_group_unknown_after_a_restart_is_found_if_a_member_noticed_the_restart() {
    let watched = chinwag_actors::settings::Settings::default();
    let found = Simulation::new(1).nodes(3).settings(watched).run(|net| async move {
        net.advance(Duration::from_millis(3_000)).await;
        let history = || {
            let mut history = History::new(3, &[], true, BTreeSet::new());
            // the put was not performed
            history.put(&net, "g", 1, &[1, 2]);
            history
        };
        let (unnoticed, mut noticed) = (history(), history());
        noticed.will_restart(&net, 2).await;
        let before = unknown_groups_after_restart(&net, &noticed).await;
        net.restart(2);
        (
            before,
            unknown_groups_after_restart(&net, &unnoticed).await,
            unknown_groups_after_restart(&net, &noticed).await,
        )
    });
    let (before, unnoticed, noticed) = found.unwrap();
    assert_eq!((before, unnoticed), (None, None));
    assert_eq!(noticed.unwrap(), "node 2 was restarted and does not know g as node 1 does");
}

#[test]
fn a_node_whose_seed_is_dead_may_be_in_either_cluster() {
    let watched = chinwag_actors::settings::Settings::default();
    let found = Simulation::new(1).nodes(3).beside([2]).settings(watched).run(|net| async move {
        let mut history = History::new(3, &[2], true, BTreeSet::new());
        net.join(2, &[3], &[]);
        history.join(&net, 2, &[3], false);
        let before = (
            history.may_be_in_either_cluster(&net, 2),
            history.same_cluster(&net, 2, 4),
            history.same_cluster(&net, 2, 0),
        );
        net.crash(3);
        let after = (
            history.may_be_in_either_cluster(&net, 2),
            history.same_cluster(&net, 2, 4),
            history.same_cluster(&net, 2, 0),
        );
        (before, after)
    });
    assert_eq!(found.unwrap(), ((false, true, false), (true, false, false)));
}

#[test]
fn clusters_are_merged_if_the_merging_node_lived_long_enough() {
    let watched = chinwag_actors::settings::Settings::default();
    let found = Simulation::new(1).nodes(2).beside([1, 1]).settings(watched).run(|net| async move {
        let mut history = History::new(2, &[1, 1], true, BTreeSet::new());
        history.put(&net, "g", 0, &[0, 2]);
        history.put(&net, "g", 1, &[1, 3]);
        let same_cluster = |history: &History| [history.same_cluster(&net, 1, 2), history.same_cluster(&net, 0, 3)];
        let mut later = history.clone();
        let before = same_cluster(&history);
        history.end(&net, 0);
        net.advance(Duration::from_secs(10)).await;
        later.end(&net, 0);
        (before, same_cluster(&history), same_cluster(&later))
    });
    assert_eq!(found.unwrap(), ([true, true], [false, true], [true, true]));
}

#[test]
fn a_listed_dead_member_is_excused_unless_liveness_is_demanded() {
    let dead = Simulation::new(1).run(|net| async move { net.addr(1).nid() }).unwrap();
    let of = |status| BTreeMap::from([(dead, status)]);
    let excused = Simulation::new(1).nodes(3).beside([1]).run(|net| async move {
        use Status::{Alive, Failed, Pending, Unreachable};
        let excuses = |one: Status, two: Status, demands: &[Demand]| {
            let history = History::new(3, &[1], true, demands.iter().copied().collect());
            // what a node of another cluster knows is ignored
            let statuses = Statuses([(0, of(one)), (2, of(two)), (3, of(Failed))].into());
            statuses.excuses(&net, &history, 0, &dead)
        };
        [
            excuses(Alive, Failed, &[]),
            excuses(Pending, Failed, &[]),
            excuses(Pending, Failed, &[Demand::Liveness]),
            excuses(Pending, Pending, &[Demand::Liveness]),
            excuses(Unreachable, Failed, &[]),
            excuses(Unreachable, Pending, &[Demand::Liveness]),
        ]
    });
    assert_eq!(excused.unwrap(), [false, true, false, true, true, true]);
}
