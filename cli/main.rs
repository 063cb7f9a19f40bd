//! The `chinwag` program: a node of its own process, and ways to call one.
//!
//! | command | does |
//! |---|---|
//! | `chinwag` | runs a node |
//! | `chinwag up N` | runs N of them as one group, and counts a rumor through it |
//! | `chinwag call GID SERVICE METHOD [ARGS…]` | calls a service of a running node |
//! | `chinwag repl` | a JavaScript prompt on a node |
//! | `chinwag run FILE.js` | runs a JavaScript file on a node |
//! | `chinwag simulate` | many nodes in this process, in virtual time |
//!
//! Whatever is refused is one line on stderr; the exit code is 2 for a command line that cannot be, 1 for anything that
//! failed.

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
mod simulate;
mod typed;
mod up;
mod usage;

use std::{io::Write, process::ExitCode};

use chinwag::Output;
use clap::{Parser, Subcommand};

use self::{
    args::NodeArgs,
    ending::{Ended, fail},
    outputs::Outputs,
};

/// Node groups and gossip on actors. Without a command: runs a node.
#[derive(Debug, Parser)]
#[command(name = "chinwag", version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    node: NodeArgs,
    /// Stop when standard input ends, so that the node does not outlive whoever holds the other end; nodes that it spawns
    /// then end with it
    #[arg(long)]
    end_with_stdin: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts N nodes on this machine as one group, counts a rumor through them, and runs until Ctrl-C
    Up(up::UpArgs),
    /// Calls a service of a running node and prints its answer
    Call(call::CallArgs),
    /// Starts a node and a JavaScript prompt on it
    Repl(console::ReplArgs),
    /// Starts a node and runs a JavaScript file on it, until nothing is pending any more
    Run(console::RunArgs),
    /// Simulates many nodes in this process: a rumor to everyone, membership while nodes die, or random failures
    Simulate(simulate::SimulateArgs),
}

/// Runs what the command line says.
fn main() -> ExitCode {
    #[cfg(unix)]
    if let Some(code) = first::reap() {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let outputs = Outputs { out: Output::stdout(), err: Output::stderr() };
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

/// Runs everything that takes a runtime.
fn run(cli: Cli, outputs: &Outputs) -> Ended {
    memory::one_heap();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => return fail(&format!("no runtime: {why}")).into(),
    };
    let local = tokio::task::LocalSet::new();
    let ended = local.block_on(&runtime, async {
        match cli.command {
            None => node::run(cli.node, cli.end_with_stdin, outputs).await,
            Some(Command::Up(args)) => up::run(args, outputs).await,
            Some(Command::Call(args)) => call::run(args).await.into(),
            Some(Command::Repl(args)) => console::repl(args, outputs).await,
            Some(Command::Run(args)) => console::run(args, outputs).await,
            // it has runtimes of its own, and has returned
            Some(Command::Simulate(_)) => ExitCode::SUCCESS.into(),
        }
    });
    // a blocking read that nobody waits for any more must not keep the program
    runtime.shutdown_background();
    ended
}

/// Help goes to stdout whole; a refusal is one line, with the tips that there are.
fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        _ => {
            let text = error.to_string();
            // what is wrong, the tips, the usage, and where to find help: a paragraph each
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
