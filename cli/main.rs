//! The `chinwag` program: runs nodes and calls them.
//!
//! | command | does |
//! |---|---|
//! | `chinwag` | runs a node |
//! | `chinwag up N` | runs N nodes as one group, and counts a rumor through it |
//! | `chinwag call GID SERVICE METHOD [ARGS…]` | calls a service of a running node |
//! | `chinwag repl` | runs a node with a JavaScript prompt |
//! | `chinwag run FILE.js` | runs a JavaScript file on a node |
//! | `chinwag simulate` | simulates many nodes in this process, in virtual time |
//!
//! Every error is one line on stderr. The exit code is 2 for an invalid command line, and 1 for any other failure.

mod args;
mod call;
mod console;
mod ending;
mod files;
mod first;
mod logging;
mod memory;
mod node;
mod outputs;
mod screen;
mod simulate;
mod typed;
mod up;
mod usage;

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};

use self::{
    args::NodeArgs,
    ending::{Ended, fail},
    outputs::Outputs,
};

/// Node groups and gossip on actors. Runs a node if no command is given.
#[derive(Debug, Parser)]
#[command(name = "chinwag", version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    node: NodeArgs,
    /// Stop when standard input ends, so that the node ends with its parent; nodes that it spawns end with it
    #[arg(long)]
    end_with_stdin: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start N nodes on this machine as one group, count a rumor through them, and run until Ctrl-C
    Up(up::UpArgs),
    /// Call a service of a running node and print its answer
    Call(call::CallArgs),
    /// Start a node with a JavaScript prompt
    Repl(console::ReplArgs),
    /// Start a node, and run a JavaScript file on it until nothing is pending
    Run(console::RunArgs),
    /// Simulate many nodes in this process: the spread of a rumor, membership while nodes die, or random failures
    Simulate(simulate::SimulateArgs),
}

fn main() -> ExitCode {
    chinwag::init();
    #[cfg(unix)]
    if let Some(code) = first::reap() {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let outputs = Outputs::open();
    if let Some(Command::Simulate(args)) = &cli.command {
        logging::start(outputs.err.clone(), logging::SIMULATION);
        memory::large_steps();
        return simulate::run(args);
    }
    logging::start(outputs.err.clone(), logging::NODE);
    let ended = run(cli, &outputs);
    drop(outputs);
    ended.finish()
}

/// Runs every command that needs a runtime.
fn run(cli: Cli, outputs: &Outputs) -> Ended {
    memory::one_heap();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => return fail(&format!("cannot start a runtime: {why}")).into(),
    };
    let local = tokio::task::LocalSet::new();
    let ended = local.block_on(&runtime, async {
        match cli.command {
            None => node::run(cli.node, cli.end_with_stdin, outputs).await,
            Some(Command::Up(args)) => up::run(args, outputs).await,
            Some(Command::Call(args)) => call::run(args).await.into(),
            Some(Command::Repl(args)) => console::repl(args, outputs).await,
            Some(Command::Run(args)) => console::run(args, outputs).await,
            // simulations have their own runtimes, and `main` has run them
            Some(Command::Simulate(_)) => ExitCode::SUCCESS.into(),
        }
    });
    // a blocking read that nobody waits for must not keep the program alive
    runtime.shutdown_background();
    ended
}

/// Prints help on stdout, and an error as one line on stderr with its tips.
fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        _ => {
            let text = error.to_string();
            // the text has a paragraph each for the error, the tips, the usage and the help
            let mut paragraphs = text.split("\n\n").map(|paragraph| {
                let lines: Vec<&str> = paragraph.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
                lines.join(" ")
            });
            let wrong = paragraphs.next().unwrap_or_default();
            let tips: Vec<String> = paragraphs.filter(|paragraph| paragraph.starts_with("tip: ")).collect();
            let line = if tips.is_empty() { wrong } else { format!("{wrong} ({})", tips.join("; ")) };
            let _ = writeln!(std::io::stderr(), "{line}");
            ExitCode::from(2)
        }
    }
}
