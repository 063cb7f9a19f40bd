//! `chinwag simulate`: a rumor to everyone over many seeds, or membership while nodes die, measured; or random failures,
//! checked.
//!
//! Runs are spread over the cores, a thread and a runtime each at a time; a run knows nothing but its seed, so the
//! figures do not depend on how many cores there are.

mod args;
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
use self::output::Refusal;
use crate::ending::fail;

/// Runs it. What cannot be is refused with 2, what failed is 1.
pub(super) fn run(args: &SimulateArgs) -> ExitCode {
    let done = match (&args.scenario, args.swarm) {
        _ if args.membership.membership => membership::measure(args),
        (Some(file), _) => scenarios::replay(args, file),
        (None, Some(seeds)) => scenarios::swarm(args, seeds),
        (None, None) => rumor::measure(args),
    };
    done.unwrap_or_else(|refusal| match refusal {
        Refusal::Invalid(why) => {
            let _ = writeln!(io::stderr(), "error: {why}");
            ExitCode::from(2)
        }
        Refusal::Failed(why) => fail(&why),
    })
}
