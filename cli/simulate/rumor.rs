//! `chinwag simulate`: measures how a rumor spreads, over many seeds.

use std::{
    cell::Cell,
    process::ExitCode,
    time::{Duration, Instant},
};

use chinwag_simulation::{
    SimulationError,
    spread::{Progress, Run, Spread},
};

use super::{
    args::SimulateArgs,
    output::{SimulateError, json, print},
    parallel::each,
    plot, table,
};

/// Measures how a rumor spreads.
pub(super) fn measure(args: &SimulateArgs) -> Result<ExitCode, SimulateError> {
    if args.runs == 0 {
        return Err(SimulateError::Invalid("at least one run is needed".to_owned()));
    }
    let mut spread = Spread::new(args.nodes);
    spread.overlay = args.overlay;
    spread.fanout = args.fanout;
    spread.payload_bytes = args.payload_bytes;
    spread.loss = args.loss;
    spread.latency = args.latency;
    spread.seed = args.seed;
    spread.check()?;
    let (trace, plot) = args.open_files()?;
    let began = Instant::now();
    let one = |run| {
        let (sending, spreading) = (Cell::new(began), Cell::new(Duration::ZERO));
        let done = spread.run_with_progress(run, run == 0 && args.trace.is_some(), |progress| match progress {
            Progress::Sending => sending.set(Instant::now()),
            Progress::Over => spreading.set(sending.get().elapsed()),
        })?;
        Ok((done, spreading.get()))
    };
    let runs = each(args.runs, "runs", one, Result::is_err);
    let (runs, spreading): (Vec<Run>, Vec<Duration>) =
        runs.into_iter().collect::<Result<Vec<_>, SimulationError>>()?.into_iter().unzip();
    let mut report = spread.report(&runs, began.elapsed());
    report.spreading_seconds = Some(spreading.iter().sum::<Duration>().as_secs_f64() / runs.len() as f64);
    // the figures are printed first, even if a file then cannot be written
    print(&if args.json { json(&report)? } else { table::report(&report) })?;
    if let (Some(trace), Some(first)) = (trace, runs.first()) {
        trace.write(&first.trace)?;
    }
    if let Some(plot) = plot {
        plot.write(&plot::draw(&spread, &runs, &report).map_err(SimulateError::Failed)?)?;
    }
    Ok(ExitCode::SUCCESS)
}
