//! `chinwag simulate --scenario` and `--swarm`: checks failures from a file, and random ones.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use chinwag_simulation::{SimulationError, scenario::Scenario, swarm};

use super::{
    args::SimulateArgs,
    output::{SimulateError, json, print},
    parallel::each,
    table,
};

/// Runs the scenario of a file.
pub(super) fn replay(args: &SimulateArgs, file: &PathBuf) -> Result<ExitCode, SimulateError> {
    let text = fs::read_to_string(file)
        .map_err(|why| SimulateError::Invalid(format!("cannot read {}: {why}", file.display())))?;
    let scenario: Scenario = serde_json::from_str(&text)
        .map_err(|why| SimulateError::Invalid(format!("{} is not a scenario: {why}", file.display())))?;
    scenario.check()?;
    let (trace, _) = args.open_files()?;
    let outcome = swarm::run(&scenario, trace.is_some())?;
    if let Some(trace) = trace {
        trace.write(&outcome.trace)?;
    }
    if outcome.violations.is_empty() {
        print(&if args.json { json(&outcome)? } else { table::holds(&outcome) })?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = file.to_string_lossy();
    // a path that cannot be quoted for a shell is shown as it is
    let quoted = shlex::try_quote(&path).unwrap_or_else(|_| path.clone());
    let failure = swarm::Failure::of(scenario, outcome.violations, format!("chinwag simulate --scenario {quoted}"))?;
    print(&if args.json { json(&failure)? } else { table::failure(&failure) })?;
    Ok(ExitCode::FAILURE)
}

/// Draws networks with failures, and checks each.
pub(super) fn swarm(args: &SimulateArgs, seeds: u64) -> Result<ExitCode, SimulateError> {
    if seeds == 0 {
        return Err(SimulateError::Invalid("at least one seed is needed".to_owned()));
    }
    let (trace, _) = args.open_files()?;
    let began = Instant::now();
    let try_one = |number: u64| {
        let scenario = Scenario::drawn_with(args.seed.wrapping_add(number), &args.kinds.0);
        let outcome = swarm::run(&scenario, args.trace.is_some() && number == 0);
        outcome.map(|outcome| (scenario, outcome))
    };
    let tried =
        each(seeds, "seeds", try_one, Result::is_err).into_iter().collect::<Result<Vec<_>, SimulationError>>()?;
    if let (Some(trace), Some((_, first))) = (trace, tried.first()) {
        trace.write(&first.trace)?;
    }
    for (scenario, outcome) in &tried {
        // shrinking a failure may take minutes
        if let Some(violation) = outcome.violations.first() {
            let _ = writeln!(io::stderr(), "seed {}: {}: {}", scenario.seed, violation.check, violation.what);
        }
    }
    let report = swarm::Report::of(args.seed, &args.kinds.0, tried, began.elapsed())?;
    print(&if args.json { json(&report)? } else { table::swarm(&report) })?;
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
