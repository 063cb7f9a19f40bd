//! `chinwag simulate`: measures the spread of a rumor or the removal of dead nodes, or checks random failures.
//!
//! Runs use all cores, each run with a thread and a runtime of its own. A run depends only on its seed, so the figures
//! do not depend on the number of cores.

mod args;
mod frame;
mod membership;
mod output;
mod parallel;
mod plot;
mod rumor;
mod scenarios;
mod table;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

pub(super) use self::args::SimulateArgs;
use self::output::SimulateError;
use crate::ending::fail;

/// Runs the command. The exit code is 2 for invalid arguments, and 1 for failures.
pub(super) fn run(args: &SimulateArgs) -> ExitCode {
    let done = match (&args.scenario, args.swarm) {
        _ if args.membership.membership => membership::measure(args),
        (Some(file), _) => scenarios::replay(args, file),
        (None, Some(seeds)) => scenarios::swarm(args, seeds),
        (None, None) => rumor::measure(args),
    };
    done.unwrap_or_else(|refusal| match refusal {
        SimulateError::Invalid(why) => {
            let _ = writeln!(io::stderr(), "error: {why}");
            ExitCode::from(2)
        }
        SimulateError::Failed(why) => fail(&why),
    })
}
