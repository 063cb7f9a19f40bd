//! `chinwag repl` and `chinwag run`: JavaScript on a node of one's own, or through one that runs elsewhere.
//!
//! ```text
//! repl    a line -> Node::evaluate -> what it comes to; console.log shows between the lines
//! run     a file -> Node::evaluate -> until nothing is pending, or the node is stopped
//! ```
//!
//! Both see what shipped code sees, and the bare names `local`, `gossip`, `id` and `createRPC`. With `--connect` the
//! code runs here, on a node that listens for callbacks alone, and every service it names is the other node's.

mod names;
mod prompt;

use std::{io::Write, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use chinwag::{CallError, Config, ErrorKind, Node, NodeAddr, Value, protocol::call::MAX_DEADLINE};
use clap::Args;

use super::{Ending, NodeArgs, fail, node, raise_file_limit};

/// Processor time of what is typed or run: it is one's own, on one's own machine.
const PROCESSOR_TIME: Duration = Duration::from_secs(60);

/// What a prompt is told.
#[derive(Debug, Args)]
pub(super) struct ReplArgs {
    /// Use the services of a running node
    #[arg(long, value_name = "HOST:PORT")]
    connect: Option<NodeAddr>,
    #[command(flatten)]
    node: NodeArgs,
}

/// What to run, and on which node.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The script
    file: PathBuf,
    /// Use the services of a running node
    #[arg(long, value_name = "HOST:PORT")]
    connect: Option<NodeAddr>,
    #[command(flatten)]
    node: NodeArgs,
}

/// Starts a node whose scripts print to `console`, and binds the bare names.
async fn start(
    args: NodeArgs,
    connect: Option<&NodeAddr>,
    console: impl Fn(log::Level, &str) + Send + Sync + 'static,
) -> Result<Node, String> {
    let mut config: Config = node::configuration(args).map_err(|why| why.to_string())?;
    if !config.settings.scripts.enabled {
        return Err("a node that takes no code has no prompt: leave out --scripts off".to_owned());
    }
    config.settings.scripts.console = Arc::new(console);
    config.settings.scripts.processor_time = PROCESSOR_TIME;
    if connect.is_some() {
        // nobody calls it but with the answers to what is asked here
        config.port = config.port.or(Some(0));
    }
    let node = node::start(config).await.map_err(|why| why.to_string())?;
    let bound = match connect {
        None => patient(&node).evaluate(names::BARE).await,
        Some(other) => {
            let sid = node.comm().send(("sid",), &chinwag::Remote::new("status", "get").on(other.clone())).await;
            match sid {
                Ok(_) => patient(&node).evaluate(names::through(other)).await,
                Err(why) => Err(why),
            }
        }
    };
    match bound {
        Ok(_) => Ok(node),
        Err(why) => {
            node.stop().await;
            Err(why.to_string())
        }
    }
}

/// A handle whose calls may take long.
fn patient(node: &Node) -> chinwag::actors::handle::Node {
    node.with_deadline(MAX_DEADLINE)
}

/// An error as JavaScript shows one.
fn uncaught(why: &CallError) -> String {
    match &why.cause {
        Value::Undefined | Value::Null => format!("{}: {why}", why.kind.name()),
        cause => {
            let cause = cause.to_json().map_or_else(|_| String::new(), |cause| format!(" (cause: {cause})"));
            format!("{}: {why}{cause}", why.kind.name())
        }
    }
}

/// Writes a line; whoever reads may have gone.
fn print(mut to: impl Write, line: &str) {
    let _ = writeln!(to, "{line}").and_then(|()| to.flush());
}

/// Runs a script until nothing is pending any more, or its node is stopped.
pub(super) async fn run(args: RunArgs) -> ExitCode {
    raise_file_limit();
    let mut ending = Ending::listen();
    let source = match std::fs::read_to_string(&args.file) {
        Ok(source) => source,
        Err(why) => return fail(&format!("{}: {why}", args.file.display())),
    };
    let console = |level: log::Level, line: &str| match level {
        log::Level::Error | log::Level::Warn => print(std::io::stderr(), line),
        _ => print(std::io::stdout(), line),
    };
    let node = match start(args.node, args.connect.as_ref(), console).await {
        Ok(node) => node,
        Err(why) => return fail(&why),
    };
    let whole = async {
        patient(&node).evaluate(source).await?;
        match node.scripts_idle().await? {
            None => Ok(()),
            Some(uncaught) => Err(uncaught),
        }
    };
    let outcome = tokio::select! {
        biased;
        outcome = whole => outcome,
        // a script may stop its own node, which is one way to end
        () = node.stopped() => Ok(()),
        () = ending.wanted() => Ok(()),
    };
    node.stop().await;
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) if why.kind == ErrorKind::Stopping => ExitCode::SUCCESS,
        Err(why) => {
            print(std::io::stderr(), &format!("Uncaught {}", uncaught(&why)));
            ExitCode::FAILURE
        }
    }
}

/// Reads lines until there are no more, or the node is stopped.
pub(super) async fn repl(args: ReplArgs) -> ExitCode {
    raise_file_limit();
    let lines = match prompt::Lines::open() {
        Ok(lines) => lines,
        Err(why) => return fail(&why),
    };
    let node = match start(args.node, args.connect.as_ref(), lines.console()).await {
        Ok(node) => node,
        Err(why) => return fail(&why),
    };
    let sid = args.connect.as_ref().map_or_else(|| node.sid(), NodeAddr::sid);
    let typed = async {
        lines.serve(&patient(&node), &format!("{sid}> ")).await;
        if !lines.by_hand() {
            // what was piped in is done when its callbacks are; an error of one of them is shown like any other
            if let Ok(Some(why)) = node.scripts_idle().await {
                print(std::io::stderr(), &format!("Uncaught {}", uncaught(&why)));
            }
        }
    };
    tokio::select! {
        biased;
        () = typed => {}
        () = node.stopped() => {}
    }
    node.stop().await;
    ExitCode::SUCCESS
}
