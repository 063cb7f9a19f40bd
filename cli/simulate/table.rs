//! Figures as tables for people.

use chinwag_simulation::{checks::Violation, run::Outcome, spread::Report, swarm};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};

/// The width of a table in columns: that of `COLUMNS` or of the terminal, or `None` if neither is known.
pub(super) fn width() -> Option<u16> {
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
    let terminal = || terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| width.0);
    told.or_else(terminal).filter(|width| *width > 0)
}

pub(super) fn two_columns(rows: Vec<(String, String)>, width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    // cells wrap within their columns, because a terminal that wraps lines breaks the table
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    for (name, value) in rows {
        table.add_row([name, value]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

pub(super) fn report(report: &Report) -> String {
    let optional = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
    let mut rows = vec![
        ("nodes".to_owned(), report.nodes.to_string()),
        (format!("runs (seeds from {})", report.seed), report.runs.to_string()),
        ("overlay, fan-out".to_owned(), format!("{}, {}", report.overlay, report.fanout)),
        ("latency, loss".to_owned(), format!("{}, {}%", report.latency, (report.loss * 10_000.0).round() / 100.0)),
        ("payload".to_owned(), format!("{} bytes", report.payload_bytes)),
        ("nodes reached".to_owned(), format!("{:.4}%", report.coverage * 100.0)),
        ("incomplete runs".to_owned(), report.incomplete_runs.to_string()),
        ("payloads per node".to_owned(), format!("{:.3}", report.payloads_per_node)),
        ("requests per node".to_owned(), format!("{:.2}", report.requests_per_node)),
        ("relative message redundancy".to_owned(), optional(report.rmr)),
        ("last delivery hop".to_owned(), format!("{:.1}", report.ldh)),
    ];
    if let Some(times) = &report.convergence_latencies {
        let shown = [times.p50, times.p90, times.p99, times.max].map(|time| format!("{:.1}", time)).join(", ");
        rows.push(("latencies to all: p50, p90, p99, most".to_owned(), shown));
    }
    rows.push(("ticks to all, mean".to_owned(), optional(report.convergence_ticks)));
    rows.push(("wall time".to_owned(), format!("{:.2} s", report.wall_seconds)));
    if let Some(spreading) = report.spreading_seconds {
        rows.push(("real time of a rumor".to_owned(), format!("{spreading:.2} s")));
    }
    two_columns(rows, width())
}

/// A number of things, with the noun in singular or plural.
pub(super) fn number(count: impl TryInto<u64>, what: &str) -> String {
    match count.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

fn violations(violations: &[Violation]) -> String {
    violations.iter().map(|violation| format!("{}: {}", violation.check, violation.what)).collect::<Vec<_>>().join("\n")
}

/// The result of a scenario in which all checks hold.
pub(super) fn holds(outcome: &Outcome) -> String {
    let mut text = format!(
        "everything holds: {} told, {} made",
        number(outcome.told, "message"),
        number(outcome.checked, "check")
    );
    if outcome.untold > 0 {
        text += &format!(", {} not told because the node was not up", number(outcome.untold, "message"));
    }
    if let Some(after) = outcome.healed_after {
        text += &format!(", {:.1} s after the network healed", after.as_secs_f64());
    }
    text
}

pub(super) fn swarm(report: &swarm::Report) -> String {
    let rows = vec![
        (format!("seeds (from {})", report.seed), report.seeds.to_string()),
        ("messages told".to_owned(), report.told.to_string()),
        ("checks".to_owned(), report.checked.to_string()),
        ("seeds that failed".to_owned(), report.failed.to_string()),
        ("wall time".to_owned(), format!("{:.2} s", report.wall_seconds)),
    ];
    let mut text = two_columns(rows, width());
    if !report.failures.is_empty() {
        let seeds: Vec<String> = report.failures.iter().map(u64::to_string).collect();
        text += &format!("\nfailed: {}", seeds.join(", "));
    }
    for failure in &report.shown {
        text += &format!("\n\nseed {} {}", failure.seed, self::failure(failure));
    }
    text
}

pub(super) fn failure(failure: &swarm::Failure) -> String {
    format!(
        "failed. To replay it:\n  {}\n{}\nshrunk to {} and {} ({}), to be run with --scenario:\n{}",
        failure.replay,
        violations(&failure.violations),
        number(failure.shrunk.nodes, "node"),
        number(failure.shrunk.events.len(), "event"),
        number(failure.runs, "run"),
        failure.shrunk.to_json(),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chinwag_simulation::{kinds::usual, scenario::Scenario};

    use super::*;

    #[test]
    fn a_table_fits_its_width() {
        let row = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let rows = || vec![row("latencies to all: p50, p90, p99, most", "12.0, 13.0, 14.0, 15.0"), row("nodes", "100")];
        let widths = |text: &str| text.lines().map(|line| line.chars().count()).collect::<Vec<_>>();
        let whole = two_columns(rows(), None);
        assert!(widths(&whole)[0] > 60, "{whole}");
        for width in [60, 40, 20] {
            let table = two_columns(rows(), Some(width));
            let first = widths(&table)[0];
            assert!(first <= usize::from(width), "{table}");
            assert!(widths(&table).iter().all(|line| *line == first), "{table}");
            assert_eq!(table.matches("15.0").count(), 1, "{table}");
        }
    }

    #[test]
    fn a_failed_swarm_prints_the_seeds_and_how_to_replay_them() {
        let broken = r#"{"seed": 4, "nodes": 3, "overlay": "line", "latency": "constant:2", "events": [
            {"at": 10, "do": "break", "from": 0, "to": 1}, {"at": 20, "do": "tell", "node": 0}]}"#;
        let broken: Scenario = serde_json::from_str(broken).unwrap();
        let tried = (1..=6).map(|seed| {
            let mut scenario = if seed == 2 { Scenario::drawn(seed) } else { broken.clone() };
            scenario.seed = seed;
            let outcome = swarm::run(&scenario, false).unwrap();
            (scenario, outcome)
        });
        let report = swarm::Report::of(1, &usual(), tried.collect(), Duration::ZERO).unwrap();
        assert_eq!((report.seeds, report.failed, &report.failures[..]), (6, 5, &[1, 3, 4, 5, 6][..]));
        let text = swarm(&report);
        assert!(text.contains("\nfailed: 1, 3, 4, 5, 6\n"), "{text}");
        assert_eq!(text.matches("chinwag simulate --swarm 1 --seed ").count(), 3, "{text}");
        assert!(text.contains("seed 3 failed. To replay it:\n  chinwag simulate --swarm 1 --seed 3\n"), "{text}");
        assert!(text.contains("node 0 has heard \"message 0\" and node 1 has not"), "{text}");
        assert!(text.contains("shrunk to 2 nodes and 2 events"), "{text}");
    }
}
