//! `local.status`: reports on this node, stops it, and spawns other nodes.
//!
//! | method | answers | error |
//! |---|---|---|
//! | `get(key)` | `nid`, `sid`, `ip`, `port`, `counts`, `heapTotal`, `heapUsed`, `load` | unknown key |
//! | `stop()` | the node's configuration; then it stops | |
//! | `spawn(config)` | the new node's configuration, once it is up | no ip or port, port 0 from outside, or the new node did not start |
//!
//! ```text
//! spawn(config)
//!   registers a callback under a unique name
//!   the launcher starts a node whose onStart calls it      (after the caller's own onStart, if there is one)
//!   the new node listens -> PUT /local/NAME/call [null, configuration] -> the answer
//!   it fails to start    -> PUT /local/NAME/call [error]               -> an error
//!   it dies before that  -> the launcher reports it                    -> an error with the end of its stderr
//! ```

use std::{cell::RefCell, rc::Rc, time::Duration};

use actix::{Actor, Context, Handler};
use chinwag_protocol::{
    call::{CallError, ErrorKind, Reply},
    identity::NodeAddr,
    value::{Function, Object, Value},
};
use tokio::{sync::oneshot, time::timeout};

use super::load_sources::LoadSources;
use crate::{
    caller::Caller,
    launcher::{Heap, Launched},
    messages::{AddCallback, CallbackFuture, Lasting, Meet, Stop},
    request::{ReplyFuture, Request, Response, unknown_method, value},
    state::NodeState,
    stub,
};

/// How long a node that failed to start may take to exit, so that its standard error output is complete.
const STDERR_TIMEOUT: Duration = Duration::from_secs(1);

/// The actor that answers for the node as a whole.
pub(crate) struct Status {
    state: Rc<NodeState>,
    caller: Caller,
    load_sources: LoadSources,
}

impl Status {
    pub(crate) fn new(state: Rc<NodeState>, caller: Caller, load_sources: LoadSources) -> Status {
        Status { state, caller, load_sources }
    }

    fn get(&self, key: &Value) -> Reply {
        let state = &self.state;
        let heap = |pick: fn(Heap) -> u64| {
            let unknown =
                || CallError::new(ErrorKind::Unsupported, "this platform does not report the size of the heap");
            value((state.heap)().map(pick).ok_or_else(unknown)?)
        };
        match key.as_str() {
            Some("nid") => value(state.me.nid().to_string()),
            Some("sid") => value(state.me.sid().as_str()),
            Some("ip") => value(state.me.ip()),
            Some("port") => value(state.me.port()),
            Some("counts") => value(state.counts.get()),
            Some("load") => value(self.load_sources.to_value(state)),
            Some("heapTotal") => heap(|heap| heap.total),
            Some("heapUsed") => heap(|heap| heap.used.min(heap.total)),
            Some(other) => match state.me.extra(other) {
                Some(extra) => value(extra.clone()),
                None => {
                    let shown: String = other.chars().take(64).collect();
                    Err(CallError::new(ErrorKind::NotFound, format!("status has no key {shown:?}")))
                }
            },
            None => {
                let why = format!("expected a string, got {}", key.type_name());
                Err(CallError::argument("status.get", 1, "key", why))
            }
        }
    }

    fn spawn(&self, request: Request) -> ReplyFuture {
        let (state, caller) = (self.state.clone(), self.caller.clone());
        Box::pin(async move {
            let config = request.call.arguments.first().unwrap_or(&Value::Undefined);
            let rejected = |why: &dyn std::fmt::Display| CallError::argument("status.spawn", 1, "config", why);
            let address = NodeAddr::from_config(config).map_err(|why| rejected(&why))?;
            // This program itself may let the system choose the port, because it gets the resulting address.
            if address.port() == 0 && request.call.context.outside {
                return Err(rejected(&"the port is 0; state the port that the new node is to listen on"));
            }
            let config = config.as_object().cloned().unwrap_or_default();
            let left = request.origin().time_left();
            // The time is a sixteenth shorter than the caller waits, so that the caller gets the error.
            let booted = timeout(state.clock.to_real(left - left / 16), boot(&state, &caller, config)).await;
            let late =
                |_| CallError::new(ErrorKind::DeadlineExceeded, "the new node did not start within the deadline");
            let booted = booted.map_err(late)??;
            let met = Meet(NodeAddr::from_value(&booted)?);
            caller.doors().groups.deliver(met).await?;
            value(booted)
        })
    }
}

/// Starts a node, and waits until it has called back or died. Dropping the future before that kills the node.
async fn boot(state: &NodeState, caller: &Caller, mut config: Object) -> Result<Value, CallError> {
    let unsupported = || CallError::new(ErrorKind::Unsupported, "this node cannot start other nodes");
    let launcher = state.launcher.as_ref().ok_or_else(unsupported)?;
    let (sender, receiver) = oneshot::channel();
    let sender = RefCell::new(Some(sender));
    let callback = move |arguments: Vec<Value>| -> CallbackFuture {
        if let Some(sender) = sender.borrow_mut().take() {
            // The receiver may have been dropped.
            let _ = sender.send(arguments);
        }
        Box::pin(async { Ok(Value::Null) })
    };
    let message = AddCallback { lasting: Lasting::Once, callback: Box::new(callback) };
    let name = caller.doors().routes.deliver(message).await??;
    let callback = stub::function(&state.me, &name, "call");
    let on_start = compose_on_start(config.get("onStart"), callback);
    config.insert("onStart", Value::Function(on_start));

    let Launched { died, kill, born } = launcher.launch(&Value::Object(config))?;
    let mut guard = KillOnDrop(Some(kill));
    tokio::pin!(died);
    let spawn_failed = |message: String, stderr: String| {
        CallError::new(ErrorKind::SpawnFailed, message).caused_by(Value::from(stderr))
    };
    tokio::select! {
        biased;
        called = receiver => {
            let mut arguments = called.unwrap_or_default().into_iter();
            match (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default()) {
                (error, config) if error.is_nullish() => {
                    guard.0 = None;
                    if let Ok(node) = NodeAddr::from_value(&config) {
                        born(node);
                    }
                    Ok(config)
                }
                (error, _) => {
                    let why = CallError::from_value(error);
                    let stderr = timeout(state.clock.to_real(STDERR_TIMEOUT), died).await.unwrap_or_default();
                    Err(spawn_failed(format!("the new node could not start: {why}"), stderr))
                }
            }
        }
        stderr = &mut died => {
            let last = stderr.lines().last().unwrap_or("it printed no error").to_owned();
            Err(spawn_failed(format!("the new node died before it was up: {last}"), stderr))
        }
    }
}

/// Kills a new node unless it has started.
struct KillOnDrop(Option<Box<dyn FnOnce()>>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(kill) = self.0.take() {
            kill();
        }
    }
}

/// Composes the `onStart` of a spawned node: the caller's own part, which runs on the new node, and then the callback, which
/// runs on this node. An error is passed to the callback.
fn compose_on_start(own: Option<&Value>, callback: Function) -> Function {
    let (own, given) = match own {
        Some(Value::Function(own)) => (own.source(), ""),
        // A string was written by a person, who expects the server as the argument.
        Some(Value::String(own)) => (own.as_str(), "global.distribution.node.server"),
        _ => return callback,
    };
    let callback = callback.source();
    Function::new(format!(
        "(error) => {{ const own = ({own}); const callback = ({callback}); \
         if (error) {{ callback(error, null, () => {{}}); return; }} \
         try {{ own({given}); }} catch (thrown) {{ callback(thrown, null, () => {{}}); return; }} \
         callback(null, global.distribution.node.config, () => {{}}); }}"
    ))
}

impl Actor for Status {
    type Context = Context<Status>;
}

/// The methods that peers can call.
pub(crate) const METHODS: [&str; 3] = ["get", "spawn", "stop"];

impl Handler<Request> for Status {
    type Result = Response;

    fn handle(&mut self, request: Request, _: &mut Context<Status>) -> Response {
        match request.call.method.as_str() {
            "get" => Response::Now(self.get(request.call.arguments.first().unwrap_or(&Value::Undefined))),
            "spawn" => Response::Later(self.spawn(request)),
            "stop" => {
                let me = self.state.me.to_value();
                let doors = self.caller.doors().clone();
                Response::Later(Box::pin(async move {
                    doors.lifecycle.deliver(Stop).await?;
                    value(me)
                }))
            }
            other => Response::Now(Err(unknown_method("status", other))),
        }
    }
}
