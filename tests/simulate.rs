//! The program's `simulate`: what it prints, what it refuses, and that a seed says the same however it is run.

use std::{path::PathBuf, process::Command};

use serde_json::Value;

#[allow(clippy::unwrap_used)] // a helper of tests
fn simulate(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_chinwag")).arg("simulate").args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn figures_are_json_and_the_same_each_time() {
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
fn a_trace_and_a_picture_are_written() {
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
fn what_cannot_be_is_refused_in_one_line() {
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
        (&["--overlay", "torus", "--nodes", "11"], "11 nodes make none"),
        (&["--overlay", "hypercube"], "power of two"),
        (&["--swarm", "0"], "at least one seed"),
        (&["--swarm", "1", "--plot", "x.svg"], "--plot"),
        (&["--swarm", "1", "--loss", "0.2"], "--loss"),
        (&["--scenario", "x.json", "--seed", "2"], "--seed"),
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
fn a_swarm_of_seeds_holds() {
    let (code, out, error) = simulate(&["--swarm", "200", "--seed", "1", "--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, Some(0), "{report:#} {error}");
    assert_eq!((&report["seeds"], &report["failed"]), (&200.into(), &0.into()));
    assert!(report["checked"].as_u64().unwrap() >= 5_000 && report["told"].as_u64().unwrap() >= 600, "{report:#}");
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
    // broken for good between the two: it is found, and what is left of it when shrunk fails in the same way
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
    assert_eq!(lines[2], "whoever is connected has heard the same: node 0 has heard \"message 0\" and node 1 has not");
    assert!(lines[3].starts_with("shrunk to 2 nodes and 2 events"), "{out}");
    write(lines[4]);
    let (code, again, _) = simulate(&["--scenario", path]);
    assert_eq!((code, again.lines().nth(2)), (Some(1), lines.get(2).copied()), "{again}");
    write(r#"{"seed": 3, "nodes": 2, "latency": "constant:2", "events": [{"at": 10, "do": "crash", "node": 2}]}"#);
    let (code, _, error) = simulate(&["--scenario", path]);
    assert_eq!(code, Some(2));
    assert!(error.contains("names node 2; the last is 1"), "{error}");
    write("{}");
    assert_eq!(simulate(&["--scenario", path]).0, Some(2));
    let head = r#"{"seed": 3, "nodes": 3, "latency": "constant:2", "events": ["#;
    for (event, says) in [
        (r#"{"at": 10, "do": "tell", "node": 0, "extra": 1}"#, "unknown field `extra`"),
        (r#"{"at": 10, "do": "heal", "node": 0}"#, "unknown field `node`"),
        (r#"{"at": 10, "do": "partition", "side": [0]}"#, "unknown field `side`"),
        (r#"{"do": "heal"}"#, "missing field `at`"),
        (r#"{"at": 10, "do": "sing"}"#, "unknown variant `sing`"),
        (r#"{"at": 18446744073709551615, "do": "heal"}"#, "the last moment is 3600000"),
        (r#"{"at": 10, "do": "partition", "sides": [[0, 1], [1, 2]]}"#, "node 1 stands on two sides"),
        (r#"{"at": 10, "do": "cut", "from": 1, "to": 1}"#, "no way to itself"),
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
fn what_nobody_was_there_to_tell_is_said() {
    let scenario = file("untold.json");
    let path = scenario.to_str().unwrap();
    let text = r#"{"seed": 1, "nodes": 2, "latency": "constant:2", "events": [
        {"at": 1, "do": "crash", "node": 0}, {"at": 2, "do": "tell", "node": 0}]}"#;
    std::fs::write(&scenario, text).unwrap();
    let (code, out, _) = simulate(&["--scenario", path]);
    assert_eq!(code, Some(0));
    assert!(out.contains("0 messages told") && out.contains("1 message not told"), "{out}");
}
