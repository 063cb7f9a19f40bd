//! `chinwag`: a node of its own process.
//!
//! ```text
//! the socket is bound, the actors run   one line on stdout: SID and address
//! onStart                               called once: null, or the error before the program exits
//! Ctrl-C, SIGTERM, status.stop          answers what was asked, and exits
//! ```

use std::{io::Write, process::ExitCode, rc::Rc, time::Duration};

use chinwag::{
    Call, CallError, Config, ErrorKind, Node, NodeAddr, StartError, Value,
    actors::{local::membership, scripts, stub, transport::Transport},
    http::client::HttpTransport,
    protocol::call::CallContext,
    protocol::value::{Function, Object},
    protocol::wire::Limits,
};

use super::{Ending, NodeArgs, fail, raise_file_limit};

/// How long the news that a node could not start may take to reach whoever waits for it.
const BAD_NEWS: Duration = Duration::from_secs(2);

/// Runs a node until someone stops it.
pub(super) async fn run(args: NodeArgs) -> ExitCode {
    raise_file_limit();
    let mut ending = Ending::listen();
    let json = args.json;
    let config = match configuration(args) {
        Ok(config) => config,
        Err(why) => return fail(&why),
    };
    let on_start = config.on_start.clone();
    let (settings, asked) = (config.settings.scripts.clone(), asked_address(&config));
    let node = match start(config).await {
        Ok(node) => node,
        Err(why) => {
            if let Some(Value::Function(on_start)) = &on_start {
                tell_parent(on_start, &why, settings, &asked).await;
            }
            return fail(&why);
        }
    };
    announce(&node, json);
    if let Some(on_start) = on_start {
        let node = node.clone();
        tokio::task::spawn_local(async move { call_on_start(&node, on_start).await });
    }
    tokio::select! {
        biased;
        () = node.stopped() => {}
        () = ending.wanted() => node.stop().await,
    }
    ExitCode::SUCCESS
}

/// Starts a node that spawns others by this program.
pub(super) async fn start(config: Config) -> Result<Node, StartError> {
    let builder = Node::builder().config(config);
    let builder = match std::env::current_exe() {
        Ok(program) => builder.program(program),
        Err(_) => builder,
    };
    builder.start().await
}

/// What the configuration says, and the flags over it.
pub(super) fn configuration(args: NodeArgs) -> Result<Config, chinwag::config::ConfigError> {
    let mut config = args.config.as_deref().map_or_else(|| Ok(Config::default()), Config::parse)?;
    config.ip = args.ip.or(config.ip);
    config.port = args.port.or(config.port);
    config.advertise = args.advertise.or(config.advertise);
    config.insecure |= args.insecure;
    config.settings.scripts.enabled &= args.scripts;
    if let Some(interval) = args.probe_interval {
        config.settings.membership.detection = membership::Settings::paced(Duration::from_millis(interval)).detection;
    }
    if let Some(membership) = &args.membership {
        config.settings.membership.on = membership == "on";
    }
    for seed in &args.join {
        config.join(seed)?;
    }
    for gid in &args.group {
        config.group(gid)?;
    }
    Ok(config)
}

/// The one line that says the node is up.
fn announce(node: &Node, json: bool) {
    let (sid, address) = (node.sid(), node.addr());
    let line = if json {
        let (ip, port, nid) = (address.ip(), address.port(), node.nid().to_string());
        serde_json::json!({"sid": sid.as_str(), "nid": nid, "ip": ip, "port": port, "pid": std::process::id()})
            .to_string()
    } else {
        format!("{sid} listens on {address}")
    };
    let mut stdout = std::io::stdout();
    // whoever started the node need not read it
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// Calls what the configuration says to call. A stub of ours is told the configuration at once; any other function is
/// machine-made and asks for it. Source text was written by a person and gets the server's handle.
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

/// What an `onStart` that a person wrote can do with the server.
fn server_handle(node: &Node) -> Value {
    let address = node.server().address();
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let shown = serde_json::json!({"address": address.ip(), "port": address.port(), "family": family});
    let close = "(callback) => { distribution.local.status.stop(() => { if (callback) callback(); }); }";
    let functions = [("address", format!("() => ({shown})")), ("close", close.to_owned())];
    functions.into_iter().map(|(name, source)| (name, Function::new(source))).collect::<Object>().into()
}

/// Where a node that may not start would have been.
fn asked_address(config: &Config) -> NodeAddr {
    let ip = config.ip.as_deref().unwrap_or(chinwag::config::DEFAULT_IP);
    config.advertise.clone().unwrap_or_else(|| NodeAddr::new(ip, config.port.unwrap_or(chinwag::config::DEFAULT_PORT)))
}

/// Tells whoever waits for this node that it will not come. A stub of ours says where; any other function is run, and
/// can do nothing but call out.
async fn tell_parent(on_start: &Function, why: &StartError, settings: scripts::ScriptSettings, me: &NodeAddr) {
    let error = Value::from(CallError::new(ErrorKind::SpawnFailed, why.to_string()));
    let transport = Rc::new(HttpTransport::new(Limits::default()));
    let told = match stub::remote(on_start).and_then(|remote| remote.node.clone().map(|parent| (remote, parent))) {
        Some((remote, parent)) => {
            let context = CallContext { time_left: BAD_NEWS, ..CallContext::default() };
            let call = Call::new(remote.gid, remote.service, remote.method, vec![error]).within(context);
            transport.call(&parent, call).await
        }
        None => scripts::run_alone(me, transport, settings, on_start, vec![error], BAD_NEWS).await,
    };
    if let Err(why) = told {
        log::warn!(target: "chinwag::node", "the parent was not told: {why}");
    }
}
