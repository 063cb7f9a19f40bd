//! The command `simulate`: what it prints, what it refuses, and that the same seed gives the same results.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::PathBuf;

use serde_json::Value;
use support::process::{run, text};

/// Runs the command, and returns its exit code, standard output and standard error.
fn simulate(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run(&[&["simulate"], arguments].concat());
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn the_same_seed_prints_the_same_figures_as_json() {
    let ask = || {
        let (code, out, error) = simulate(&["--nodes", "20", "--runs", "6", "--loss", "0.2", "--seed", "9", "--json"]);
        assert_eq!((code, error.as_str()), (Some(0), ""));
        let mut figures: Value = serde_json::from_str(&out).unwrap();
        let [wall, spreading] = ["wall_seconds", "spreading_seconds"].map(|key| figures[key].take().as_f64().unwrap());
        assert!(0.0 < spreading && spreading <= wall, "{spreading} {wall}");
        figures
    };
    let figures = ask();
    for (key, value) in [("nodes", 20), ("runs", 6), ("seed", 9), ("incomplete_runs", 0), ("payload_bytes", 4096)] {
        assert_eq!(figures[key], value, "{key}");
    }
    for key in ["loss", "coverage", "payloads_per_node", "requests_per_node", "rmr", "ldh", "convergence_ticks"] {
        assert!(figures[key].is_number(), "{key}: {}", figures[key]);
    }
    for key in ["p50", "p90", "p99", "max"] {
        assert!(figures["convergence_latencies"][key].as_f64().unwrap() >= 1.0, "{key}");
    }
    assert_eq!(figures["coverage"], 1.0);
    assert_eq!(ask(), figures);
}

#[test]
fn a_trace_and_a_plot_are_written_to_files() {
    let (trace, again, picture) = (file("trace.txt"), file("again.txt"), file("picture.svg"));
    for trace in [&trace, &again] {
        let (code, out, _) = simulate(&[
            "--nodes",
            "30",
            "--runs",
            "3",
            "--overlay",
            "regular:4",
            "--latency",
            "uniform:1..5",
            "--trace",
            trace.to_str().unwrap(),
            "--plot",
            picture.to_str().unwrap(),
        ]);
        assert_eq!(code, Some(0));
        assert!(out.contains("100.0000%") && out.contains("regular:4"), "{out}");
    }
    let trace = std::fs::read(trace).unwrap();
    assert!(trace.len() > 1_000);
    assert_eq!(trace, std::fs::read(again).unwrap());
    let picture = std::fs::read_to_string(picture).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("limit") && picture.contains("theory"));
}

#[test]
fn membership_figures_always_have_the_same_keys_and_follow_from_the_seed() {
    let picture = file("removals.svg");
    let ask = |more: &[&str]| -> Value {
        let few = ["--membership", "--nodes", "5", "--protocol-period", "200ms", "--seed", "4", "--json"];
        let (code, out, error) = simulate(&[&few[..], more].concat());
        assert_eq!((code, error.as_str()), (Some(0), ""));
        serde_json::from_str(&out).unwrap()
    };
    let kills = ["--kills", "2", "--seconds", "1", "--loss", "0.1", "--plot", picture.to_str().unwrap()];
    let machine = [
        "wall_seconds",
        "start_wall_seconds",
        "wall_micros_per_node_period",
        "idle_wall_micros_per_node_period",
        "processor_micros_per_node_period",
        "idle_processor_micros_per_node_period",
        "peak_memory_bytes",
    ];
    let measure = || {
        let mut figures = ask(&kills);
        let taken = machine.map(|key| figures[key].take());
        assert!(taken[..4].iter().all(|value| value.as_f64().unwrap() > 0.0), "{taken:?}");
        figures
    };
    let figures = measure();
    let keys: Vec<&str> = figures.as_object().unwrap().keys().map(String::as_str).collect();
    let virtual_ones = [
        "nodes",
        "seed",
        "loss",
        "latency",
        "protocol_period_seconds",
        "pauses",
        "start_seconds",
        "kills",
        "death",
        "unfinished_kills",
        "first_seconds",
        "last_seconds",
        "false_removals",
        "paused_removals",
        "suspicions",
        "requests_per_node_period",
        "node_periods",
        "missed_events",
        "idle",
    ];
    let mut wanted: Vec<&str> = virtual_ones.iter().chain(&machine).copied().collect();
    wanted.sort_unstable();
    let mut found = keys;
    found.sort_unstable();
    assert_eq!(found, wanted);
    for key in ["first_seconds", "last_seconds"] {
        for share in ["p50", "p90", "max"] {
            assert!(figures[key][share].as_f64().unwrap() > 0.0, "{key} {share}: {figures:#}");
        }
    }
    assert_eq!((&figures["kills"], &figures["unfinished_kills"]), (&2.into(), &0.into()), "{figures:#}");
    assert_eq!((&figures["death"], &figures["idle"]["periods"]), (&"refused".into(), &5.into()));
    assert_eq!(measure(), figures);
    let picture = std::fs::read_to_string(picture).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("the last living node"), "{picture}");
    // without kills the keys are the same, and their values are null
    let idle = ask(&["--periods", "5", "--pause", "200ms", "--pause-every", "1s", "--paused", "0.2"]);
    assert_eq!(idle.as_object().unwrap().len(), wanted.len());
    assert_eq!((&idle["kills"], &idle["first_seconds"], &idle["death"]), (&0.into(), &Value::Null, &Value::Null));
    assert_eq!((&idle["node_periods"], &idle["pauses"]["share"]), (&25.into(), &0.2.into()));
}

#[test]
fn membership_figures_are_printed_as_a_table() {
    let (code, out, error) =
        simulate(&["--membership", "--nodes", "4", "--kills", "1", "--periods", "1", "--death", "silent"]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    for row in ["1, silent", "seconds to the last removal", "false removals", "real time per node and period"] {
        assert!(out.contains(row), "{row}: {out}");
    }
}

#[test]
fn invalid_arguments_print_one_line() {
    for (arguments, says) in [
        (&["--loss", "1"][..], "loss is a share from 0 to less than 1, not 1"),
        (&["--loss", "-0.1"], "not -0.1"),
        (&["--loss", "NaN"], "not NaN"),
        (&["--nodes", "0"], "1 to 1000000 nodes, not 0"),
        (&["--runs", "0"], "at least one run"),
        (&["--payload-bytes", "0"], "payload"),
        (&["--fanout", "0"], "fan-out"),
        (&["--fanout", "ln"], "\"ln\""),
        (&["--latency", "constant:0"], "not 0"),
        (&["--latency", "5"], "\"5\""),
        (&["--latency", "constant:1001"], "at most 1000 ms on average"),
        (&["--latency", "lognormal:20,3.5"], "not 3.5"),
        (&["--nodes", "-1"], "'-1' for '--nodes"),
        (&["--overlay", "tree"], "\"tree\""),
        (&["--overlay", "regular:3", "--nodes", "11"], "even"),
        (&["--overlay", "torus", "--nodes", "11"], "11 nodes do not form one"),
        (&["--overlay", "hypercube"], "power of two"),
        (&["--swarm", "0"], "at least one seed"),
        (&["--swarm", "1", "--plot", "x.svg"], "--plot"),
        (&["--swarm", "1", "--loss", "0.2"], "--loss"),
        (&["--scenario", "x.json", "--seed", "2"], "--seed"),
        (&["--kinds", "puts"], "--swarm"),
        (&["--swarm", "1", "--kinds", "rain"], "unknown kind \"rain\""),
        (&["--kills", "3"], "--membership"),
        (&["--death", "silent"], "--membership"),
        (&["--periods", "3"], "--membership"),
        (&["--pause", "1s", "--pause-every", "5s", "--paused", "0.1"], "--membership"),
        (&["--membership", "--runs", "3"], "--runs"),
        (&["--membership", "--fanout", "log"], "--fanout"),
        (&["--membership", "--overlay", "ring"], "--overlay"),
        (&["--membership", "--payload-bytes", "9"], "--payload-bytes"),
        (&["--membership", "--swarm", "3"], "--swarm"),
        (&["--membership", "--scenario", "x.json"], "--scenario"),
        (&["--membership", "--nodes", "1"], "at least 2 nodes, not 1"),
        (&["--membership", "--loss", "1"], "not 1"),
        (&["--membership", "--kills", "100001"], "at most 100000 nodes"),
        (&["--membership", "--kills", "0", "--periods", "0"], "nothing to measure"),
        (&["--membership", "--periods", "9", "--death", "silent"], "--death needs kills"),
        (&["--membership", "--periods", "9", "--plot", "x.svg"], "--plot needs kills"),
        (&["--membership", "--periods", "9", "--seconds", "9"], "--seconds"),
        (&["--membership", "--periods", "18446744073709551615"], "366 days"),
        (&["--membership", "--death", "slow"], "unknown death \"slow\""),
        (&["--membership", "--pause", "1s"], "--pause-every"),
        (&["--membership", "--pause", "5s", "--pause-every", "5s", "--paused", "0.1"], "shorter than its cycle"),
        (&["--membership", "--pause", "1s", "--pause-every", "5s", "--paused", "1"], "paused is a share"),
        (&["--membership", "--pause", "1s", "--pause-every", "5s", "--paused", "0"], "is more than 0"),
        (&["--membership", "--protocol-period", "9ms"], "9ms"),
        (&["--membership", "--protocol-period", "-1s"], "not negative"),
        (&["--membership", "--protocol-period", "soon"], "'soon'"),
        (&["--trace", "same.out", "--plot", "same.out"], "a file each"),
        (&["--scenario", "/nowhere/at/all"], "/nowhere/at/all"),
    ] {
        let (code, out, error) = simulate(arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
        assert!(error.contains(says), "{arguments:?}: {error}");
    }
}

#[test]
fn every_seed_of_a_swarm_keeps_the_guarantees() {
    // few seeds, because a debug build takes about thirty times as long as a release build
    let (code, out, error) = simulate(&["--swarm", "50", "--seed", "1", "--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, Some(0), "{report:#} {error}");
    assert_eq!((&report["seeds"], &report["failed"]), (&50.into(), &0.into()));
    assert!(report["checked"].as_u64().unwrap() >= 1_500 && report["told"].as_u64().unwrap() >= 150, "{report:#}");
}

#[test]
fn a_scenario_is_replayed_from_a_file() {
    let scenario = file("scenario.json");
    let write = |text: &str| std::fs::write(&scenario, text).unwrap();
    let path = scenario.to_str().unwrap();
    write(
        r#"{"seed": 3, "nodes": 9, "overlay": "torus", "latency": "constant:2", "loss": 0.2,
        "events": [{"at": 10, "do": "partition", "sides": [[0, 1, 2]]}, {"at": 20, "do": "tell", "node": 1},
        {"at": 30, "do": "crash", "node": 8}, {"at": 900, "do": "restart", "node": 8}]}"#,
    );
    let (code, out, error) = simulate(&["--scenario", path]);
    assert_eq!(code, Some(0), "{error}");
    assert!(out.starts_with("everything holds: 1 message told, "), "{out}");
    let (code, out, error) = simulate(&["--scenario", path, "--json"]);
    assert_eq!(code, Some(0), "{error}");
    let outcome: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&outcome["violations"], &outcome["told"], &outcome["untold"]),
        (&Value::Array(vec![]), &1.into(), &0.into())
    );
    assert!(outcome["healed_after_ms"].as_u64().unwrap() > 0 && outcome["checked"].as_u64().unwrap() > 10, "{outcome}");
    // the link between two nodes stays broken: the run finds the violation, and the shrunk scenario fails in the same
    // way
    write(
        r#"{"seed": 3, "nodes": 9, "overlay": "line", "latency": "constant:2", "loss": 0.2, "events": [
        {"at": 10, "do": "break", "from": 0, "to": 1}, {"at": 20, "do": "tell", "node": 0},
        {"at": 30, "do": "crash", "node": 8}, {"at": 900, "do": "restart", "node": 8},
        {"at": 950, "do": "clock", "node": 3, "rate": 1.1, "offset": -40}]}"#,
    );
    let (code, out, error) = simulate(&["--scenario", path]);
    assert_eq!(code, Some(1), "{error}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[1], format!("  chinwag simulate --scenario {path}"), "{out}");
    assert_eq!(
        lines[2],
        "connected nodes have heard the same messages: node 0 has heard \"message 0\" and node 1 has not"
    );
    assert!(lines[3].starts_with("shrunk to 2 nodes and 2 events"), "{out}");
    write(lines[4]);
    let (code, again, _) = simulate(&["--scenario", path]);
    assert_eq!((code, again.lines().nth(2)), (Some(1), lines.get(2).copied()), "{again}");
    write(r#"{"seed": 3, "nodes": 2, "latency": "constant:2", "events": [{"at": 10, "do": "crash", "node": 2}]}"#);
    let (code, _, error) = simulate(&["--scenario", path]);
    assert_eq!(code, Some(2));
    assert!(error.contains("names node 2; the last node is 1"), "{error}");
    write("{}");
    assert_eq!(simulate(&["--scenario", path]).0, Some(2));
    let head = r#"{"seed": 3, "nodes": 3, "latency": "constant:2", "events": ["#;
    for (event, says) in [
        (r#"{"at": 10, "do": "tell", "node": 0, "extra": 1}"#, "unknown field `extra`"),
        (r#"{"at": 10, "do": "heal", "node": 0}"#, "unknown field `node`"),
        (r#"{"at": 10, "do": "partition", "side": [0]}"#, "unknown field `side`"),
        (r#"{"do": "heal"}"#, "missing field `at`"),
        (r#"{"at": 10, "do": "sing"}"#, "unknown variant `sing`"),
        (r#"{"at": 18446744073709551615, "do": "heal"}"#, "the latest time is 3600000 ms"),
        (r#"{"at": 10, "do": "partition", "sides": [[0, 1], [1, 2]]}"#, "node 1 is on two sides"),
        (r#"{"at": 10, "do": "cut", "from": 1, "to": 1}"#, "no link to itself"),
        (r#"{"at": 10, "do": "join", "node": 1, "through": [0]}"#, "needs \"watch\""),
        (r#"{"at": 10, "do": "join", "node": 1, "through": [1]}"#, "not through itself"),
        (r#"{"at": 10, "do": "put", "group": "g", "on": [], "members": [1]}"#, "on at least one node"),
        (r#"{"at": 10, "do": "put", "group": "all", "on": [1], "members": [1]}"#, "cannot put the group \"all\""),
        (r#"{"at": 10, "do": "loss", "share": 1}"#, "less than 1, not 1"),
        (r#"{"at": 10, "do": "latency", "latency": "constant:600000"}"#, "at most 60000 ms on average"),
        (r#"{"at": 10, "do": "tell", "node": 0, "bytes": 8388609}"#, "at most 8388608 bytes"),
    ] {
        write(&format!("{head}{event}]}}"));
        let (code, _, error) = simulate(&["--scenario", path]);
        assert_eq!((code, error.lines().count()), (Some(2), 1), "{event}: {error}");
        assert!(error.contains(says), "{event}: {error}");
    }
}

#[test]
fn messages_of_a_crashed_node_are_counted_as_not_told() {
    let scenario = file("untold.json");
    let path = scenario.to_str().unwrap();
    let text = r#"{"seed": 1, "nodes": 2, "latency": "constant:2", "events": [
        {"at": 1, "do": "crash", "node": 0}, {"at": 2, "do": "tell", "node": 0}]}"#;
    std::fs::write(&scenario, text).unwrap();
    let (code, out, _) = simulate(&["--scenario", path]);
    assert_eq!(code, Some(0));
    assert!(out.contains("0 messages told") && out.contains("1 message not told"), "{out}");
}
