//! Figures as people read them.

use chinwag::simulation::{scenario::Violation, spread::Report, swarm};
use comfy_table::{CellAlignment, Table, presets::UTF8_BORDERS_ONLY};

fn two_columns(rows: Vec<(String, String)>) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
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
        ("latency, loss".to_owned(), format!("{}, {}%", report.latency, report.loss * 100.0)),
        ("payload".to_owned(), format!("{} bytes", report.payload_bytes)),
        ("nodes reached".to_owned(), format!("{:.4}%", report.coverage * 100.0)),
        ("incomplete runs".to_owned(), report.incomplete_runs.to_string()),
        ("payloads per node".to_owned(), format!("{:.3}", report.payloads_per_node)),
        ("requests per node".to_owned(), format!("{:.2}", report.requests_per_node)),
        ("relative message redundancy".to_owned(), optional(report.rmr)),
        ("last delivery hop".to_owned(), format!("{:.1}", report.ldh)),
    ];
    if let Some(times) = &report.convergence_latencies {
        let shown = format!("{:.0}, {:.0}, {:.0}, {:.0}", times.p50, times.p90, times.p99, times.max);
        rows.push(("latencies to all: p50, p90, p99, most".to_owned(), shown));
    }
    rows.push(("ticks to all, mean".to_owned(), optional(report.convergence_ticks)));
    rows.push(("wall time".to_owned(), format!("{:.2} s", report.wall_seconds)));
    if let Some(spreading) = report.spreading_seconds {
        rows.push(("send to last delivery, a run".to_owned(), format!("{spreading:.2} s")));
    }
    two_columns(rows)
}

pub(super) fn violations(violations: &[Violation]) -> String {
    if violations.is_empty() {
        return "everything holds".to_owned();
    }
    violations.iter().map(|violation| format!("{}: {}", violation.check, violation.what)).collect::<Vec<_>>().join("\n")
}

pub(super) fn swarm(report: &swarm::Report) -> String {
    let rows = vec![
        (format!("seeds (from {})", report.seed), report.seeds.to_string()),
        ("checks".to_owned(), report.checked.to_string()),
        ("seeds that failed".to_owned(), report.failed.to_string()),
        ("wall time".to_owned(), format!("{:.2} s", report.wall_seconds)),
    ];
    let mut text = two_columns(rows);
    for failure in &report.shown {
        text.push_str("\n\n");
        text.push_str(&self::failure(failure));
    }
    text
}

pub(super) fn failure(failure: &swarm::Failure) -> String {
    format!(
        "seed {} failed. To replay it:\n  {}\n{}\nshrunk to {} nodes and {} events ({} runs), to be run with --scenario:\n{}",
        failure.seed,
        failure.replay,
        violations(&failure.violations),
        failure.shrunk.nodes,
        failure.shrunk.events.len(),
        failure.runs,
        failure.shrunk.to_json(),
    )
}
