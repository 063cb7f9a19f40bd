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
mod memory;
mod node;
mod simulate;
mod up;
mod usage;

use std::{io::Write, process::ExitCode};

use clap::{Args, Parser, Subcommand};

/// Node groups and gossip on actors. Without a command: runs a node.
#[derive(Debug, Parser)]
#[command(name = "chinwag", version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    node: NodeArgs,
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
    /// IP address or host name to bind [default: 127.0.0.1]
    #[arg(long)]
    ip: Option<String>,
    /// Port to bind, 0 for a free one [default: 8080]
    #[arg(long, allow_negative_numbers = true)]
    port: Option<u16>,
    /// Configuration as a serialized object or JSON: {ip, port, onStart, …}
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

/// Runs what the command line says.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    log_to_stderr();
    if let Some(Command::Simulate(args)) = &cli.command {
        memory::large_steps();
        return simulate::run(args);
    }
    memory::one_heap();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => return fail(&format!("no runtime: {why}")),
    };
    let local = tokio::task::LocalSet::new();
    let code = local.block_on(&runtime, async {
        match cli.command {
            None => node::run(cli.node).await,
            Some(Command::Up(args)) => up::run(args).await,
            Some(Command::Call(args)) => call::run(args).await,
            Some(Command::Repl(args)) => console::repl(args).await,
            Some(Command::Run(args)) => console::run(args).await,
            // it has runtimes of its own, and has returned
            Some(Command::Simulate(_)) => ExitCode::SUCCESS,
        }
    });
    // a blocking read that nobody waits for any more must not keep the program
    runtime.shutdown_background();
    code
}

/// Help goes to stdout whole; a refusal is one line.
fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        _ => {
            let text = error.to_string();
            let first = text.split("\n\n").next().unwrap_or_default();
            let line: Vec<&str> = first.lines().map(str::trim).collect();
            let _ = writeln!(std::io::stderr(), "{}", line.join(" "));
            ExitCode::from(2)
        }
    }
}

/// One line on stderr, and the exit code of a failure.
fn fail(why: &dyn std::fmt::Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {why}");
    ExitCode::FAILURE
}

/// Warnings and errors, unless `RUST_LOG` says otherwise; each line names the part of the node it is from.
fn log_to_stderr() {
    let environment = env_logger::Env::default().default_filter_or("warn");
    env_logger::Builder::from_env(environment)
        .format(|out, record| {
            let part = record.target().rsplit("::").next().unwrap_or_default();
            writeln!(out, "{} {} [{part}] {}", out.timestamp_millis(), record.level(), record.args())
        })
        .init();
}

/// Hears when someone wants the program to end: Ctrl-C, or SIGTERM. From the moment it is made, neither ends the program
/// by itself.
struct Ending {
    #[cfg(unix)]
    signals: Option<(tokio::signal::unix::Signal, tokio::signal::unix::Signal)>,
}

impl Ending {
    fn listen() -> Ending {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let signals = signal(SignalKind::interrupt()).and_then(|int| Ok((int, signal(SignalKind::terminate())?)));
            if let Err(why) = &signals {
                log::warn!(target: "chinwag::node", "signals end this program at once: {why}");
            }
            Ending { signals: signals.ok() }
        }
        #[cfg(not(unix))]
        Ending {}
    }

    async fn wanted(&mut self) {
        #[cfg(unix)]
        match &mut self.signals {
            Some((interrupt, terminate)) => {
                tokio::select! {
                    biased;
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            None => std::future::pending().await,
        }
        // without a handler the program ends by itself
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// Many peers mean many connections: as many files as the system allows.
fn raise_file_limit() {
    #[cfg(unix)]
    if let Err(why) = rlimit::increase_nofile_limit(u64::MAX) {
        log::debug!(target: "chinwag::node", "the limit on open files stays: {why}");
    }
}
