//! `chinwag`: runs a node in its own process.
//!
//! ```text
//! the socket is bound, the actors run   one line on stdout: SID and address
//! onStart                               called once: with null, or with the error before the program exits
//! Ctrl-C, SIGTERM, SIGHUP               leaves its groups, answers the calls under way, and dies by the signal
//! status.stop, --end-with-stdin         the same, and exits with 0
//! ```

use std::{
    io::{self, BufRead, Read},
    process::ExitCode,
    rc::Rc,
    sync::{Arc, OnceLock},
    time::Duration,
};

use chinwag::{
    Call, CallError, Config, ErrorKind, HttpTransport, Node, NodeAddr, Output, StartError, Value,
    actors::{local::membership, scripts, scripts::Console, scripts::ConsoleLevel, stub, transport::Transport},
    protocol::call::CallContext,
    protocol::value::{Function, Object},
    protocol::wire::Limits,
};

use tokio::sync::oneshot;

use crate::{
    args::NodeArgs,
    ending::{Ended, Ending, fail},
    files::raise_file_limit,
    memory,
    outputs::Outputs,
    typed,
};

/// The timeout for reporting to the parent that a node could not start.
const FAILURE_REPORT: Duration = Duration::from_secs(2);

/// The size limit of a configuration on standard input, in bytes.
const MAX_CONFIG: u64 = 64 << 20;

/// Runs a node until it is stopped.
pub(super) async fn run(mut args: NodeArgs, end_with_stdin: bool, outputs: &Outputs) -> Ended {
    raise_file_limit();
    let mut ending = Ending::listen();
    let json = args.json;
    if let Err(why) = read_config(&mut args, end_with_stdin) {
        return fail(&why).into();
    }
    let mut config = match configuration(args) {
        Ok(config) => config,
        Err(why) => return fail(&typed::explained(&why)).into(),
    };
    let printer = Printer::new(outputs);
    config.settings.scripts.console = printer.console();
    let on_start = config.on_start.clone();
    let (settings, asked) = (config.settings.scripts.clone(), asked_address(&config));
    let mut builder = builder(config, outputs);
    if end_with_stdin {
        builder = builder.children_end_with_it();
    }
    let node = match builder.start().await {
        Ok(node) => node,
        Err(why) => {
            if let Some(Value::Function(on_start)) = &on_start {
                tell_parent(on_start, &why, settings, &asked).await;
            }
            return fail(&typed::explained(&why)).into();
        }
    };
    tokio::task::spawn_local(memory::give_back());
    announce(&node, json, outputs);
    printer.begin(&node);
    if let Some(on_start) = on_start {
        let node = node.clone();
        tokio::task::spawn_local(async move { call_on_start(&node, on_start).await });
    }
    let input_ended = async {
        // an error means that no thread watches standard input
        if !end_with_stdin || stdin_ended().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        () = node.stopped() => ExitCode::SUCCESS.into(),
        cause = ending.wanted() => {
            node.stop().await;
            Ended::By(cause)
        }
        () = input_ended => {
            node.stop().await;
            ExitCode::SUCCESS.into()
        }
    }
}

/// Shows what scripts print: on the node's standard output, or on standard error what they print as a warning or an error.
/// Each line begins with the node's SID, because the nodes that a node has spawned print in the same place.
struct Printer {
    out: Output,
    err: Output,
    prefix: Arc<OnceLock<String>>,
}

impl Printer {
    fn new(outputs: &Outputs) -> Printer {
        Printer { out: outputs.out.clone(), err: outputs.err.clone(), prefix: Arc::default() }
    }

    /// Sets the prefix, once the address of the node is known.
    fn begin(&self, node: &Node) {
        // it is set once
        let _ = self.prefix.set(format!("[{}] ", node.sid()));
    }

    fn console(&self) -> Console {
        let (out, err, prefix) = (self.out.clone(), self.err.clone(), self.prefix.clone());
        Arc::new(move |level, text: &str| {
            let output = if level >= ConsoleLevel::Warn { &err } else { &out };
            // other nodes can ship a function before the node knows that it has started
            let prefix = prefix.get().map_or("[scripts] ", String::as_str);
            for line in text.split('\n') {
                output.line(format_args!("{prefix}{line}"));
            }
        })
    }
}

/// Reads a configuration from standard input: all of it, or its first line if the node then watches it for its end.
pub(super) fn read_config(args: &mut NodeArgs, first_line: bool) -> Result<(), String> {
    if args.config.as_deref() != Some("-") {
        return Ok(());
    }
    let mut text = String::new();
    let mut stdin = io::stdin().lock().take(MAX_CONFIG);
    let read = if first_line { stdin.read_line(&mut text) } else { stdin.read_to_string(&mut text) };
    match read {
        Err(why) => Err(format!("cannot read the configuration from standard input: {why}")),
        Ok(_) if stdin.limit() == 0 => {
            Err(format!("the configuration on standard input is larger than {MAX_CONFIG} bytes"))
        }
        Ok(_) => {
            args.config = Some(text);
            Ok(())
        }
    }
}

/// Waits until standard input has ended. A thread reads it, because it may be of any kind.
async fn stdin_ended() -> Result<(), oneshot::error::RecvError> {
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new().name("chinwag-stdin".to_owned()).stack_size(128 << 10);
    let thread = thread.spawn(move || {
        // an input that cannot be read has ended
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        // the node may have ended too
        let _ = tell.send(());
    });
    if let Err(why) = thread {
        log::error!(target: "chinwag::node", "cannot watch standard input: {why}");
    }
    told.await
}

/// A builder of a node that spawns others with this program. If the program cannot find itself, the library looks for
/// `chinwag`.
pub(super) fn builder(config: Config, outputs: &Outputs) -> chinwag::Builder {
    let builder = Node::builder().config(config).child_output(outputs.err.clone());
    match std::env::current_exe() {
        Ok(program) => builder.program(program),
        Err(_) => builder,
    }
}

/// The configuration with the flags, which take precedence.
pub(super) fn configuration(args: NodeArgs) -> Result<Config, StartError> {
    let mut config = args.config.as_deref().map_or_else(|| Ok(Config::default()), typed::configuration)?;
    config.ip = args.ip.or(config.ip);
    config.port = args.port.or(config.port);
    config.advertise = args.advertise.or(config.advertise);
    config.insecure |= args.insecure;
    config.settings.scripts.enabled &= args.scripts;
    config.settings.scripts.realm_per_service |= args.realms == "service";
    if let Some(interval) = args.probe_interval {
        config.settings.membership.detection = membership::Settings::paced(Duration::from_millis(interval)).detection;
    }
    if let Some(membership) = &args.membership {
        config.settings.membership.on = membership == "on";
    }
    if let Some(name) = &args.cluster {
        config.cluster(name)?;
    }
    for seed in &args.join {
        config.join(seed)?;
    }
    for gid in &args.group {
        config.group(gid)?;
    }
    Ok(config)
}

/// Prints the line that says the node is up.
fn announce(node: &Node, json: bool, outputs: &Outputs) {
    let (sid, address) = (node.sid(), node.addr());
    let line = if json {
        let (ip, port, nid) = (address.ip(), address.port(), node.nid().to_string());
        let pid = std::process::id();
        json_text([
            ("sid", sid.as_str().into()),
            ("nid", nid.into()),
            ("ip", ip.into()),
            ("port", port.into()),
            ("pid", pid.into()),
        ])
    } else {
        format!("{sid} listens on {address}")
    };
    outputs.out.line(line);
}

/// An object as JSON text, with its keys in this order.
fn json_text<const N: usize>(members: [(&str, Value); N]) -> String {
    serde_json::to_string(&Value::from(Object::from_iter(members))).unwrap_or_default()
}

/// Calls the function `onStart` of the configuration. A stub of chinwag receives the node's configuration. Any other
/// function was generated and asks for the configuration itself. Source text was written by a person, and receives the
/// server's handle.
async fn call_on_start(node: &Node, on_start: Value) {
    let called = match on_start {
        Value::Function(function) if stub::remote(&function).is_some() => {
            node.apply(function, vec![Value::Null, node.addr().to_value()]).await
        }
        Value::Function(function) => node.apply(function, vec![Value::Null]).await,
        Value::String(source) => node.apply(Function::new(source.as_str()), vec![server_handle(node)]).await,
        other => Err(CallError::new(ErrorKind::BadArgument, format!("onStart is {}", other.type_name()))),
    };
    if let Err(why) = called {
        log::error!(target: "chinwag::node", "onStart failed: {why}");
    }
}

/// The handle that an `onStart` written by a person receives.
fn server_handle(node: &Node) -> Value {
    let address = node.server().address();
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let ip = address.ip().to_string();
    let shown = json_text([("address", ip.into()), ("port", address.port().into()), ("family", family.into())]);
    let close = "(callback) => { distribution.local.status.stop(() => { if (callback) callback(); }); }";
    let functions = [("address", format!("() => ({shown})")), ("close", close.to_owned())];
    functions.into_iter().map(|(name, source)| (name, Function::new(source))).collect::<Object>().into()
}

/// The address that was asked for, of a node that may not start.
fn asked_address(config: &Config) -> NodeAddr {
    let ip = config.ip.as_deref().unwrap_or(Config::DEFAULT_IP);
    config.advertise.clone().unwrap_or_else(|| NodeAddr::new(ip, config.port.unwrap_or(Config::DEFAULT_PORT)))
}

/// Reports a failed start to the parent. A stub of chinwag names the parent; any other function is run without a node,
/// and can only call out.
async fn tell_parent(on_start: &Function, why: &StartError, settings: scripts::ScriptSettings, me: &NodeAddr) {
    let error = Value::from(CallError::new(ErrorKind::SpawnFailed, typed::explained(why)));
    let transport = Rc::new(HttpTransport::new(Limits::default()));
    let told = match stub::remote(on_start).and_then(|remote| remote.node.clone().map(|parent| (remote, parent))) {
        Some((remote, parent)) => {
            let context = CallContext::new(FAILURE_REPORT);
            let call = Call::new(remote.gid, remote.service, remote.method, vec![error]).within(context);
            transport.call(&parent, call).await
        }
        None => scripts::run_without_node(me, transport, settings, None, on_start, vec![error], FAILURE_REPORT).await,
    };
    if let Err(why) = told {
        log::warn!(target: "chinwag::node", "cannot report to the parent: {why}");
    }
}
