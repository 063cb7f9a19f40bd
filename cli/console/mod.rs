//! `chinwag repl` and `chinwag run`: JavaScript on a node of this program, or on one that runs elsewhere.
//!
//! ```text
//! repl    a line -> Node::evaluate -> its result; the output of console.log appears between the lines
//! run     a file -> Node::evaluate -> until nothing is pending, or the node is stopped
//!
//! keyboard, piped --Ask--> prompt --Script--> the node
//! ```
//!
//! Both provide what shipped code can use, and the bare names `local`, `gossip`, `id` and `createRPC`. With `--connect`
//! the code runs in this program, on a node that only listens for callbacks, and every service that it names is the
//! other node's.

mod asking;
mod commands;
mod errors;
mod keyboard;
mod names;
mod piped;
mod prompt;
mod terminal;

use std::{io::Read as _, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use chinwag::{Config, Node, NodeAddr, Script, actors::scripts::ConsoleLevel, protocol::call::MAX_DEADLINE};
use clap::Args;

use self::{
    errors::{READER_TIMEOUT, ended_with_its_node, uncaught},
    prompt::Prompt,
};
use crate::{
    args::NodeArgs,
    ending::{Ended, Ending, fail},
    files::raise_file_limit,
    memory, node,
    outputs::Outputs,
    typed,
};

/// The processor time for code that the user types or runs on their own machine.
const PROCESSOR_TIME: Duration = Duration::from_secs(60);

/// The arguments of `repl`.
#[derive(Debug, Args)]
pub(super) struct ReplArgs {
    /// Use the services of a running node
    #[arg(long, value_name = "HOST:PORT")]
    connect: Option<NodeAddr>,
    #[command(flatten)]
    node: NodeArgs,
}

/// The arguments of `run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Script to run; - reads it from standard input
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
    outputs: &Outputs,
    console: impl Fn(ConsoleLevel, &str) + Send + Sync + 'static,
) -> Result<Node, String> {
    let mut config: Config = node::configuration(args).map_err(|why| typed::explained(&why))?;
    if !config.settings.scripts.enabled {
        return Err("a prompt needs scripts; leave out --scripts off".to_owned());
    }
    config.settings.scripts.console = Arc::new(console);
    config.settings.scripts.processor_time = PROCESSOR_TIME;
    if connect.is_some() {
        // only the answers to this node's calls arrive at its port
        config.port = config.port.or(Some(0));
    }
    let node = node::builder(config, outputs).start().await.map_err(|why| typed::explained(&why))?;
    tokio::task::spawn_local(memory::give_back());
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

/// A handle with a long deadline.
fn patient(node: &Node) -> chinwag::actors::handle::NodeHandle {
    node.with_deadline(MAX_DEADLINE)
}

/// Reads a file, or standard input under the name that Node.js gives it.
fn read_script(file: &std::path::Path) -> std::io::Result<Script> {
    if file.as_os_str() != "-" {
        return Ok(Script::named(file.display().to_string(), std::fs::read_to_string(file)?));
    }
    let mut source = String::new();
    std::io::stdin().lock().read_to_string(&mut source)?;
    Ok(Script::named("[stdin]", source))
}

/// Runs a script until nothing is pending, or until its node is stopped.
pub(super) async fn run(mut args: RunArgs, outputs: &Outputs) -> Ended {
    raise_file_limit();
    let mut ending = Ending::listen();
    if args.file.as_os_str() == "-" && args.node.config.as_deref() == Some("-") {
        return fail(&"the script is read from standard input; pass --config as text").into();
    }
    let script = match read_script(&args.file) {
        Ok(script) => script,
        Err(why) => return fail(&format!("{}: {why}", args.file.display())).into(),
    };
    if let Err(why) = node::read_config(&mut args.node, false) {
        return fail(&why).into();
    }
    let (out, err) = (outputs.out.clone(), outputs.err.clone());
    // This runs on the engine's thread, which may wait: the output of the script is what the user wants.
    let console = move |level: ConsoleLevel, line: &str| {
        let output = if matches!(level, ConsoleLevel::Error | ConsoleLevel::Warn) { &err } else { &out };
        output.wait_and_push(format!("{line}\n"), READER_TIMEOUT);
    };
    let node = match start(args.node, args.connect.as_ref(), outputs, console).await {
        Ok(node) => node,
        Err(why) => return fail(&why).into(),
    };
    let whole = async {
        patient(&node).evaluate(script).await?;
        match node.handle().scripts_idle().await? {
            None => Ok(()),
            Some(uncaught) => Err(uncaught),
        }
    };
    let (outcome, cause) = tokio::select! {
        biased;
        outcome = whole => (outcome, None),
        // a script may stop its own node to end
        () = node.stopped() => (Ok(()), None),
        cause = ending.wanted() => (Ok(()), Some(cause)),
    };
    let has_ended_with_it = outcome.as_ref().is_err_and(|why| ended_with_its_node(why, node.handle()));
    node.stop().await;
    match (outcome, cause) {
        (_, Some(cause)) => Ended::By(cause),
        (Ok(()), None) => ExitCode::SUCCESS.into(),
        (Err(_), None) if has_ended_with_it => ExitCode::SUCCESS.into(),
        (Err(why), None) => {
            outputs.err.line(format_args!("Uncaught {}", uncaught(&why)));
            ExitCode::FAILURE.into()
        }
    }
}

/// Reads lines until there are no more, the node is stopped, or a signal ends the program.
pub(super) async fn repl(args: ReplArgs, outputs: &Outputs) -> Ended {
    raise_file_limit();
    let mut ending = Ending::listen();
    if args.node.config.as_deref() == Some("-") {
        return fail(&"a prompt reads standard input; pass --config as text").into();
    }
    let prompt = Prompt::new(outputs);
    let node = match start(args.node, args.connect.as_ref(), outputs, prompt.console()).await {
        Ok(node) => node,
        Err(why) => return fail(&why).into(),
    };
    let sid = args.connect.as_ref().map_or_else(|| node.sid(), NodeAddr::sid);
    let mut typed = std::pin::pin!(async {
        let is_finished = match prompt.serve(&patient(&node), format!("{sid}> ")).await {
            Ok(is_finished) => is_finished,
            Err(why) => return fail(&why),
        };
        if !prompt.by_hand() {
            // Piped input is done when its callbacks are done. An error of a callback is shown like any other.
            if let Ok(Some(why)) = node.handle().scripts_idle().await {
                outputs.err.line(format_args!("Uncaught {}", uncaught(&why)));
            }
        }
        if is_finished { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    });
    let ended = loop {
        tokio::select! {
            biased;
            code = &mut typed => break code.into(),
            () = node.stopped() => break ExitCode::SUCCESS.into(),
            cause = ending.wanted() => {
                if !(cause.is_interrupt() && prompt.interrupt()) {
                    break Ended::By(cause);
                }
            }
        }
    };
    prompt.leave();
    node.stop().await;
    ended
}
