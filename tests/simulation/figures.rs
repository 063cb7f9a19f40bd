//! The figures that the simulator measures.

use std::time::Duration;

use chinwag_simulation::{
    Latency, Simulation, SimulationError,
    membership::{Death, Experiment, Pauses},
    spread::Spread,
};

use super::ms;

#[test]
fn the_figures_of_a_rumor_follow_from_its_run() {
    let spread = Spread::new(50);
    let runs: Result<Vec<_>, SimulationError> = (0..5).map(|run| spread.run(run, false)).collect();
    let runs = runs.unwrap();
    assert_eq!(spread.run(3, false).unwrap(), runs[3]);
    for run in &runs {
        assert_eq!(run.reached, 50, "{run:?}");
        assert!(run.payloads >= u64::from(run.reached) - 1, "nobody has it without a message: {run:?}");
        assert!(run.requests >= run.payloads, "{run:?}");
        assert!((1..20).contains(&run.last_hop), "{run:?}");
        assert_eq!(run.curve[0], (ms(0), 1));
    }
    let report = spread.report(&runs, ms(1));
    assert_eq!((report.runs, report.nodes), (5, 50));
    assert_eq!((report.coverage, report.incomplete_runs), (1.0, 0));
    assert!(report.payloads_per_node < 1.3, "{report:?}");
}

#[test]
fn idle_comparisons_are_not_counted_even_if_they_are_lost() {
    let run = Simulation::new(3).nodes(10).loss(0.3).run(|net| async move {
        net.tell(0, "news");
        assert!(net.until(Duration::from_secs(60), |net| net.all_heard("news")).await);
        // messages under way when the last node heard it come to their end
        net.advance(Duration::from_secs(10)).await;
        let before = net.counts();
        net.advance(Duration::from_secs(100)).await;
        net.counts().since(before)
    });
    let rest = run.unwrap();
    // once in sixteen ticks
    assert!((250..400).contains(&rest.comparisons) && rest.lost > 100, "{rest:?}");
    assert_eq!((rest.at_work(), rest.differences, rest.requests), (0, 0, rest.comparisons), "{rest:?}");
}

#[test]
fn the_same_seed_gives_the_same_figures_of_membership() {
    let experiment = |seed| {
        let mut experiment = Experiment::new(6);
        (experiment.loss, experiment.latency, experiment.seed) = (0.1, Latency::Uniform(1, 5), seed);
        (experiment.period, experiment.periods) = (ms(200), 20);
        (experiment.kills, experiment.death) = (2, Death::Silent);
        experiment.pauses = Some(Pauses::new(ms(200), ms(1_000), 0.1));
        experiment
    };
    let (once, again) = (experiment(1).run(true).unwrap(), experiment(1).run(true).unwrap());
    assert_eq!(once.figures, again.figures);
    assert_eq!(once.trace, again.trace);
    assert_ne!(once.trace, experiment(2).run(true).unwrap().trace);
    assert_eq!(once.trace.matches(" - vanish ").count(), 2);
    assert!(once.trace.matches(" - pause ").count() >= 4);
    let figures = once.figures;
    assert_eq!((figures.unfinished_kills, figures.missed_events), (0, 0), "{figures:?}");
    for removal in once.removals {
        let (first, last) = (removal.first.unwrap(), removal.last.unwrap());
        assert!(ms(0) < first && first <= last, "{first:?} {last:?}");
    }
    let idle = figures.idle.unwrap();
    assert_eq!((idle.periods, idle.node_periods), (20, 120));
    assert!(idle.requests_per_node_period > 0.5, "{idle:?}");
    assert!(figures.node_periods > idle.node_periods);
}

#[test]
fn a_false_removal_is_counted() {
    // it pauses for longer than any suspicion lasts
    let mut experiment = Experiment::new(3);
    (experiment.period, experiment.periods) = (ms(100), 200);
    experiment.pauses = Some(Pauses::new(ms(8_000), ms(19_000), 0.3));
    let figures = experiment.run(false).unwrap().figures;
    assert!(figures.paused_removals >= 2, "{figures:?}");
    assert!(figures.suspicions >= 2, "{figures:?}");
    assert_eq!((figures.kills, figures.death, figures.first_seconds), (0, None, None));
}
