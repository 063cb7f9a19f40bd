//! `local.status`: what a node says of itself, and its end and its offspring.
//!
//! | method | answers | error |
//! |---|---|---|
//! | `get(key)` | `nid`, `sid`, `ip`, `port`, `counts`, `heapTotal`, `heapUsed`, `load` | unknown key |
//! | `stop()` | the node's configuration; then it stops | |
//! | `spawn(config)` | the new node's configuration, once it has booted | no ip or port, port 0 from outside, or it did not boot |
//!
//! ```text
//! spawn(config)
//!   a callback is kept under a name of its own
//!   the launcher starts a node whose onStart calls it       (after the caller's own onStart, if there is one)
//!   the new node listens   -> PUT /local/NAME/call [null, configuration]  -> the answer
//!   it cannot              -> PUT /local/NAME/call [error]                -> an error
//!   it dies before it says -> the launcher knows                          -> an error with the end of its stderr
//! ```

use std::{cell::RefCell, rc::Rc, time::Duration};

use actix::{Actor, Context, Handler};
use chinwag_protocol::{
    call::{CallError, ErrorKind, Reply},
    identity::NodeAddr,
    value::{Function, Object, Value},
};
use tokio::{sync::oneshot, time::timeout};

use super::gauges::Gauges;
use crate::{
    caller::Caller,
    launcher::{Heap, Launched},
    messages::{AddCallback, CallbackFuture, Lasting, Meet, Stop},
    request::{ReplyFuture, Request, Response, unknown_method, value},
    state::NodeState,
    stub,
};

/// How long a node that said it could not boot is given to say its last words.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Answers for the node.
pub(crate) struct Status {
    state: Rc<NodeState>,
    caller: Caller,
    gauges: Gauges,
}

impl Status {
    pub(crate) fn new(state: Rc<NodeState>, caller: Caller, gauges: Gauges) -> Status {
        Status { state, caller, gauges }
    }

    fn get(&self, key: &Value) -> Reply {
        let state = &self.state;
        let heap = |pick: fn(Heap) -> u64| {
            let unknown = || CallError::new(ErrorKind::Unsupported, "this platform does not say what its heap holds");
            value((state.heap)().map(pick).ok_or_else(unknown)?)
        };
        match key.as_str() {
            Some("nid") => value(state.me.nid().to_string()),
            Some("sid") => value(state.me.sid().as_str()),
            Some("ip") => value(state.me.ip()),
            Some("port") => value(state.me.port()),
            Some("counts") => value(state.counts.get()),
            Some("load") => value(self.gauges.shown(state)),
            Some("heapTotal") => heap(|heap| heap.total),
            Some("heapUsed") => heap(|heap| heap.used.min(heap.total)),
            Some(other) => match state.me.extra(other) {
                Some(extra) => value(extra.clone()),
                None => {
                    let shown: String = other.chars().take(64).collect();
                    Err(CallError::new(ErrorKind::NotFound, format!("status knows no key {shown:?}")))
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
            let refused = |why: &dyn std::fmt::Display| CallError::argument("status.spawn", 1, "config", why);
            let address = NodeAddr::from_config(config).map_err(|why| refused(&why))?;
            // this program may leave the choice to the system, and is told the port
            if address.port() == 0 && request.call.context.outside {
                return Err(refused(&"the port is 0; name the port that the new node is to listen on"));
            }
            let config = config.as_object().cloned().unwrap_or_default();
            let left = request.origin().time_left();
            // a little less than the caller waits, so that it hears why
            let booted = timeout(state.clock.to_real(left - left / 16), boot(&state, &caller, config)).await;
            let late = |_| CallError::new(ErrorKind::DeadlineExceeded, "the new node did not boot within the deadline");
            let booted = booted.map_err(late)??;
            let met = Meet(NodeAddr::from_value(&booted)?);
            caller.doors().groups.deliver(met).await?;
            value(booted)
        })
    }
}

/// Starts a node and waits until it has called back, or died. Dropped before that, it ends the node.
async fn boot(state: &NodeState, caller: &Caller, mut config: Object) -> Result<Value, CallError> {
    let unsupported = || CallError::new(ErrorKind::Unsupported, "this node starts no others");
    let launcher = state.launcher.as_ref().ok_or_else(unsupported)?;
    let (said, heard) = oneshot::channel();
    let said = RefCell::new(Some(said));
    let callback = move |arguments: Vec<Value>| -> CallbackFuture {
        if let Some(said) = said.borrow_mut().take() {
            // nobody may be listening any more
            let _ = said.send(arguments);
        }
        Box::pin(async { Ok(Value::Null) })
    };
    let message = AddCallback { lasting: Lasting::Once, callback: Box::new(callback) };
    let name = caller.doors().routes.deliver(message).await??;
    let callback = stub::function(&state.me, &name, "call");
    let started = compose(config.get("onStart"), callback);
    config.insert("onStart", Value::Function(started));

    let Launched { died, kill, born } = launcher.launch(&Value::Object(config))?;
    let mut unborn = Unborn(Some(kill));
    tokio::pin!(died);
    let spawn_failed = |message: String, stderr: String| {
        CallError::new(ErrorKind::SpawnFailed, message).caused_by(Value::from(stderr))
    };
    tokio::select! {
        biased;
        heard = heard => {
            let mut arguments = heard.unwrap_or_default().into_iter();
            match (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default()) {
                (error, config) if error.is_nullish() => {
                    unborn.0 = None;
                    if let Ok(node) = NodeAddr::from_value(&config) {
                        born(node);
                    }
                    Ok(config)
                }
                (error, _) => {
                    let why = CallError::from_value(error);
                    let stderr = timeout(state.clock.to_real(LAST_WORDS), died).await.unwrap_or_default();
                    Err(spawn_failed(format!("the new node could not start: {why}"), stderr))
                }
            }
        }
        stderr = &mut died => {
            let last = stderr.lines().last().unwrap_or("it said nothing").to_owned();
            Err(spawn_failed(format!("the new node died before it was up: {last}"), stderr))
        }
    }
}

/// Ends a node whose birth nobody waits for any more.
struct Unborn(Option<Box<dyn FnOnce()>>);

impl Drop for Unborn {
    fn drop(&mut self) {
        if let Some(kill) = self.0.take() {
            kill();
        }
    }
}

/// The `onStart` of a node that is spawned: the caller's own part first, there, then the callback, here. Either is
/// told what went wrong, if something did.
fn compose(own: Option<&Value>, callback: Function) -> Function {
    let (own, given) = match own {
        Some(Value::Function(own)) => (own.source(), ""),
        // written by a person, who expects the server
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

/// The wire's methods.
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
