//! How rumors spread among many nodes: figures here, at sizes that suit a test, and arbitrary orders of events in
//! `schedules`. The example `spreading` measures the figures at other sizes.

use chinwag_protocol::fanout::Fanout;
use chinwag_protocol::rumor::GossipConfig;

mod figures;
mod network;
mod schedules;

use figures::{Scenario, Summary, spread, summarize};

fn scenario(members: u32, loss: f64, bytes: usize) -> Scenario {
    Scenario { members, loss, fanout: Fanout::Log, bytes, config: GossipConfig::default() }
}

/// A row of the targets: the most that the figures of a summary may be.
struct Most {
    payloads: f64,
    requests: f64,
    median: f64,
    ninetieth: f64,
    ticks: f64,
}

const NO_BOUND: f64 = f64::INFINITY;

fn hold(scenario: &Scenario, runs: u64, most: &Most) {
    let summary = summarize(scenario, 1, runs);
    let Summary { incomplete, repeated, coverage, payloads, requests, median, ninetieth, ticks, last_hop } = summary;
    let shown = format!("{summary:?}");
    assert_eq!((incomplete, repeated), (0, 0), "{shown}");
    assert_eq!(coverage, 1.0, "{shown}");
    assert!(payloads <= most.payloads, "{shown}");
    assert!(requests <= most.requests, "{shown}");
    assert!(median <= most.median && ninetieth <= most.ninetieth, "{shown}");
    assert!(ticks <= most.ticks, "{shown}");
    // A hop takes at least one latency.
    assert!(last_hop <= ticks * 200.0 + 1e-6, "{shown}");
}

#[test]
fn a_hundred_nodes_converge_without_loss() {
    let most = Most { payloads: 1.1, requests: 7.0, median: 10.0, ninetieth: 12.0, ticks: NO_BOUND };
    hold(&scenario(100, 0.0, 4096), 100, &most);
}

#[test]
fn a_hundred_nodes_converge_under_loss() {
    let most = Most { payloads: 1.5, requests: NO_BOUND, median: NO_BOUND, ninetieth: NO_BOUND, ticks: 5.0 };
    hold(&scenario(100, 0.1, 4096), 50, &most);
    hold(&scenario(100, 0.3, 4096), 100, &most);
}

#[test]
fn a_hundred_nodes_converge_with_a_small_payload() {
    let most = Most { payloads: NO_BOUND, requests: 3.5, median: 6.0, ninetieth: 7.0, ticks: NO_BOUND };
    hold(&scenario(100, 0.0, 100), 100, &most);
}

#[test]
fn a_thousand_nodes_converge() {
    let most = Most { payloads: 1.1, requests: 7.0, median: 12.0, ninetieth: 14.0, ticks: NO_BOUND };
    hold(&scenario(1_000, 0.0, 4096), 10, &most);
    let most = Most { payloads: 1.5, requests: NO_BOUND, median: NO_BOUND, ninetieth: NO_BOUND, ticks: 6.5 };
    hold(&scenario(1_000, 0.1, 4096), 4, &most);
    hold(&scenario(1_000, 0.3, 4096), 8, &most);
}

#[test]
fn no_node_waits_for_a_comparison_without_loss() {
    for (members, bytes, runs) in [(100, 4096, 300), (100, 100, 300), (1_000, 4096, 20), (1_000, 100, 20)] {
        for seed in 1..=runs {
            let run = spread(&scenario(members, 0.0, bytes), seed);
            // a comparison is worth 200 latencies; ticks are spread over that time, so one may come by chance at any
            // moment
            assert!(
                run.reached == members && run.latencies <= 30.0,
                "{members} of {bytes} bytes, seed {seed}: {run:?}"
            );
        }
    }
}

#[test]
fn every_fanout_reaches_all_nodes() {
    for text in ["1", "2", "log+2", "sqrt", "all"] {
        let fanout = text.parse().unwrap();
        for loss in [0.0, 0.3] {
            let summary = summarize(&Scenario { fanout, ..scenario(60, loss, 4096) }, 1, 10);
            assert_eq!((summary.incomplete, summary.repeated), (0, 0), "{text} at {loss}: {summary:?}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let scenario = scenario(200, 0.2, 4096);
    let runs: Vec<_> = (1..6).map(|seed| spread(&scenario, seed)).collect();
    let again: Vec<_> = (1..6).map(|seed| spread(&scenario, seed)).collect();
    assert_eq!(runs, again);
    assert!(runs.windows(2).any(|pair| pair[0] != pair[1]), "seeds make no difference: {runs:?}");
}
