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

mod call;
mod console;
mod ending;
mod first;
mod logging;
mod memory;
mod node;
mod simulate;
mod typed;
mod up;
mod usage;

use std::{io::Write, process::ExitCode, time::Duration};

use chinwag::Output;
use clap::{Args, Parser, Subcommand};

use self::ending::{Ended, Ending};

/// How long the program waits at its end for what it has printed and logged to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);

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

/// What a node is told on the command line. Flags win over the configuration.
#[derive(Debug, Args)]
struct NodeArgs {
    /// IP address or host name to bind; 0.0.0.0 and :: need --advertise [default: 127.0.0.1]
    #[arg(long)]
    ip: Option<String>,
    /// Port to bind, 0 for a free one [default: 8080]
    #[arg(long, allow_negative_numbers = true)]
    port: Option<u16>,
    /// Configuration as a serialized object or JSON: {ip, port, advertise, onStart, membership, join, groups, cluster}; -
    /// reads it from standard input
    #[arg(long, value_name = "TEXT")]
    config: Option<String>,
    /// Where others reach this node, if not where it is bound
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<chinwag::NodeAddr>,
    /// Join the nodes that this one knows; may be given several times, each is tried until one answers
    #[arg(long, value_name = "HOST:PORT")]
    join: Vec<String>,
    /// Be in this group from the start; may be given several times
    #[arg(long, value_name = "GID")]
    group: Vec<String>,
    /// Name of the cluster; nodes of clusters with different names never mix [default: empty]
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Whether to watch who is alive [default: on]
    #[arg(long, value_name = "on|off", value_parser = ["on", "off"])]
    membership: Option<String>,
    /// Milliseconds between two probes; everything about failure detection scales with it [default: 1000]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    probe_interval: Option<u64>,
    /// Allow an address that others can reach, with nothing to keep strangers out
    #[arg(long)]
    insecure: bool,
    /// Run functions that other nodes ship here
    #[arg(long, value_name = "on|off", default_value = "on", action = clap::ArgAction::Set, value_parser = on_or_off)]
    scripts: bool,
    /// Print the line that says the node is up as JSON
    #[arg(long)]
    json: bool,
}

/// Reads a switch.
fn on_or_off(text: &str) -> Result<bool, &'static str> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("it is on or off"),
    }
}

/// This program's standard output and standard error, which make nobody wait.
#[derive(Clone, Debug)]
struct Outputs {
    out: Output,
    err: Output,
}

impl Drop for Outputs {
    fn drop(&mut self) {
        self.err.flush_within(LAST_WORDS);
        self.out.flush_within(LAST_WORDS);
    }
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

/// One line on stderr, and the exit code of a failure.
fn fail(why: &dyn std::fmt::Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {why}");
    ExitCode::FAILURE
}

/// Many peers mean many connections: as many files as the system allows.
fn raise_file_limit() {
    #[cfg(unix)]
    if let Err(why) = rlimit::increase_nofile_limit(u64::MAX) {
        log::debug!(target: "chinwag::node", "the limit on open files stays: {why}");
    }
}
