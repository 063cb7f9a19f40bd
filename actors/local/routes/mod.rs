//! `local.routes`: maps names to services. Every call enters the node here.
//!
//! ```text
//! HTTP, a handle, another service -> Request -> Routes -> an actor, a callback or a shipped function
//! ```
//!
//! | method | answers | error |
//! |---|---|---|
//! | `get(name or {service[, gid]})` | the service, as an object of functions | unknown service |
//! | `put(service, name)` | the name | the name is built in, or the service is not an object of functions or takes too much memory |
//! | `rem(name)` | the removed service, or `undefined` if there was none | the name is built in |
//!
//! `get` returns a service written in Rust as stubs that call it here. A node that runs no shipped code accepts a service only
//! if all its functions are stubs, which need no script engine. Admission and deadlines are enforced here and
//! nowhere else.

mod table;

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler, ResponseFuture};
use chinwag_protocol::{
    call::{Answer, Call, CallError, ErrorKind, Reply},
    identity::{Gid, is_path_segment},
    value::{EcoString, Function, Object, Value},
};
use futures_util::future::LocalBoxFuture;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, timeout_at};

pub use self::table::{MAX_CALLBACKS, MAX_SERVICES};
pub(crate) use self::table::{Table, Target};
use crate::{
    admission::{self, Kind, Permit},
    caller::Caller,
    messages::{
        AddCallback, Admitted, Apply, CallbackFuture, Evaluate, InterruptScripts, Lasting, NameAndChance, Reconcile,
        ScriptsIdle, StartService,
    },
    request::{Origin, ReplyFuture, Request, Response, crashed, ready, unknown_method, value},
    scripts::{Change, Host},
    state::NodeState,
    stub,
};

/// How long an unused callback that can be called once is kept. A guess: longer than any deadline.
pub const UNCLAIMED: Duration = Duration::from_secs(900);

/// The actor that routes calls to services.
pub(crate) struct Routes {
    state: Rc<NodeState>,
    caller: Caller,
    table: Rc<RefCell<Table>>,
    /// Whether the timer that expires callbacks is running.
    expiry_scheduled: bool,
}

impl Routes {
    pub(crate) fn new(state: Rc<NodeState>, caller: Caller, table: Rc<RefCell<Table>>) -> Routes {
        Routes { state, caller, table, expiry_scheduled: false }
    }

    /// Forwards a call to the actor that answers it. Returns the call unhandled if no actor does.
    fn forward(&self, request: Request) -> Dispatch {
        let call = &request.call;
        if let Some(id) = &call.context.request {
            log::debug!(target: "chinwag::routes", "{id}: {call}");
        }
        // This actor cannot wait for itself, so it answers its own methods directly.
        if call.gid.is_local() && call.service == "routes" {
            return Dispatch::Unhandled(request);
        }
        let mut table = self.table.borrow();
        let mut found = table.find(&call.gid, &call.service);
        if let Ok(Target::OnDemand { start, .. }) = found {
            let start = start.clone();
            drop(table);
            start();
            table = self.table.borrow();
            found = table.find(&call.gid, &call.service);
        }
        let Ok(Target::Actor { recipient, name, methods, .. }) = found else {
            return Dispatch::Unhandled(request);
        };
        let Some(method) = methods.iter().position(|method| *method == call.method) else {
            return Dispatch::Unhandled(request);
        };
        Dispatch::Forwarded(ForwardedCall {
            gid: call.gid.clone(),
            service: name.clone(),
            methods: methods.clone(),
            method,
            deadline: request.deadline,
            // This only puts the call into the actor's mailbox.
            reply: recipient.send(request),
        })
    }

    /// Returns the group whose services the call needs, if this node knows the group and has not started its services yet.
    fn unstarted_group(&self, call: &Call) -> Option<Gid> {
        let is_unstarted =
            |gid: &Gid| !self.table.borrow().is_running(gid) && self.state.groups.borrow().entry(gid).is_ok();
        if !call.gid.is_local() {
            return is_unstarted(&call.gid).then(|| call.gid.clone());
        }
        if call.service != "routes" || call.method != "get" {
            return None;
        }
        let (gid, _) = service_name("get", 1, call.arguments.first()?).ok()?;
        (!gid.is_local() && is_unstarted(&gid)).then_some(gid)
    }

    /// Starts a group's services and then routes the call.
    fn start_group(&self, gid: Gid, request: Request) -> ReplyFuture {
        let doors = self.caller.doors().clone();
        Box::pin(async move {
            doors.lifecycle.deliver(Reconcile(gid)).await?;
            doors.routes.deliver(Admitted(request)).await?
        })
    }

    /// Answers a call that no actor answers.
    fn route(&mut self, request: Request) -> Response {
        let call = &request.call;
        if call.gid.is_local() && call.service == "routes" {
            return Response::Now(self.answer(&request.call));
        }
        let found = self.table.borrow().find(&call.gid, &call.service).cloned();
        match found {
            Err(error) => Response::Now(Err(self.state.scripts.take_lost(&call.service).unwrap_or(error))),
            // `forward` handles every method that the actor has.
            Ok(Target::Actor { .. } | Target::OnDemand { .. }) => {
                Response::Now(Err(unknown_method(&call.service, &call.method)))
            }
            Ok(Target::Callback { lasting, callback }) => {
                if call.method != "call" {
                    return Response::Now(Err(unknown_method(&call.service, &call.method)));
                }
                if lasting == Lasting::Once {
                    self.table.borrow_mut().remove(&call.service);
                }
                let answer = callback(request.call.arguments);
                Response::Later(Box::pin(async move { answer.await.map(Answer::Value) }))
            }
            Ok(Target::Shipped { service, .. }) => {
                let origin = request.origin();
                match service.get(&call.method) {
                    Some(Value::Function(function)) if stub::remote(function).is_some() => {
                        Response::Later(self.apply(function, request.call.arguments, origin))
                    }
                    Some(Value::Function(_) | Value::Native(_)) => {
                        let Call { method, arguments, .. } = request.call;
                        self.publish_groups();
                        Response::Later(self.state.scripts.call_method(service, &method, arguments, origin))
                    }
                    _ => Response::Now(Err(unknown_method(&call.service, &call.method))),
                }
            }
            Ok(Target::ScriptCallback) => {
                if call.method != "call" {
                    return Response::Now(Err(unknown_method(&call.service, &call.method)));
                }
                let origin = request.origin();
                self.publish_groups();
                Response::Later(self.state.scripts.call_registered(
                    &request.call.service,
                    request.call.arguments,
                    origin,
                ))
            }
        }
    }

    /// Makes the groups whose services have not been started yet visible to shipped code.
    fn publish_groups(&self) {
        let groups = self.state.groups.borrow();
        let directory = self.state.scripts.directory();
        // Groups with running services are in the directory already. Checking first keeps this cheap for each shipped call.
        let unknown: Vec<&Gid> = groups.names().filter(|gid| !directory.knows(gid.as_str())).collect();
        if unknown.is_empty() {
            return;
        }
        for gid in unknown {
            for (service, methods) in &self.state.group_services {
                let (gid, service, methods) = (gid.to_string(), service.clone(), methods.clone());
                directory.change(Change::SetService { gid, service, methods });
            }
        }
    }

    /// Calls a function that arrived as text.
    fn apply(&self, function: &Function, arguments: Vec<Value>, origin: Origin) -> ReplyFuture {
        let Some(remote) = stub::remote(function) else {
            self.publish_groups();
            return self.state.scripts.call_function(function, arguments, origin);
        };
        let Some(to) = remote.node else {
            return ready(Err(CallError::new(ErrorKind::BadArgument, "the stub names no node")));
        };
        let caller = self.caller.on_behalf_of(origin);
        let call = Call::new(remote.gid, remote.service, remote.method, arguments);
        Box::pin(async move { caller.call_on(&to, call).await })
    }

    fn answer(&mut self, call: &Call) -> Reply {
        let argument = |index: usize| call.arguments.get(index).unwrap_or(&Value::Undefined);
        match call.method.as_str() {
            "get" => {
                let (gid, name) = service_name("get", 1, argument(0))?;
                self.describe(&gid, &name, self.table.borrow().find(&gid, &name)?)
            }
            "put" => {
                let (_, name) = service_name("put", 2, argument(1))?;
                self.put(argument(0), &name)
            }
            "rem" => {
                let (gid, name) = service_name("rem", 1, argument(0))?;
                let mut table = self.table.borrow_mut();
                // A group's services are removed only with the group.
                if !gid.is_local() {
                    return value(Value::Undefined);
                }
                table.check_free(&name)?;
                match table.remove(&name) {
                    Some(removed) => self.describe(&gid, &name, &removed),
                    None => value(Value::Undefined),
                }
            }
            other => Err(unknown_method("routes", other)),
        }
    }

    fn put(&self, service: &Value, name: &str) -> Reply {
        let rejected = |why: String| CallError::argument("routes.put", 1, "service", why);
        let methods = service
            .as_object()
            .ok_or_else(|| rejected(format!("expected an object of functions, got {}", service.type_name())))?;
        if methods.len() > MAX_SERVICES {
            return Err(rejected(format!("a service has at most {MAX_SERVICES} keys")));
        }
        if !self.state.scripts.enabled() && methods.values().any(needs_engine) {
            let message = format!("routes.put: this node runs no shipped functions, and {name} contains some");
            return Err(CallError::new(ErrorKind::Unsupported, message));
        }
        let callable = |(key, value): (&str, &Value)| {
            matches!(value, Value::Function(_) | Value::Native(_)).then(|| key.to_owned())
        };
        let methods = methods.iter().filter_map(callable).collect();
        self.table.borrow_mut().put(name, Arc::new(service.clone()), methods)?;
        value(name)
    }

    /// Returns a service as other nodes see it.
    fn describe(&self, gid: &Gid, name: &str, target: &Target) -> Reply {
        let stub = |method: &str| Value::Function(stub::function_of(&self.state.me, gid, name, method));
        match target {
            Target::Shipped { service, .. } => value((**service).clone()),
            Target::Callback { .. } | Target::ScriptCallback => {
                value([("call", stub("call"))].into_iter().collect::<Object>())
            }
            Target::Actor { methods, .. } | Target::OnDemand { methods, .. } => {
                value(methods.iter().map(|method| (method.as_str(), stub(method))).collect::<Object>())
            }
        }
    }
}

/// Whether a value is a function that needs the script engine, because it is not a stub.
fn needs_engine(value: &Value) -> bool {
    match value {
        Value::Function(function) => stub::remote(function).is_none(),
        Value::Native(_) => true,
        _ => false,
    }
}

/// What `forward` did with a call.
enum Dispatch {
    Forwarded(ForwardedCall),
    /// No actor answers the call: it is for a callback, a shipped function or this actor itself, or it is an error.
    Unhandled(Request),
}

/// A call in an actor's mailbox. Holds the parts of its name, which is only needed for an error.
struct ForwardedCall {
    gid: Gid,
    service: Rc<str>,
    methods: Rc<[EcoString]>,
    method: usize,
    deadline: Instant,
    reply: actix::prelude::RecipientRequest<Request>,
}

impl ForwardedCall {
    fn response(self, permit: Option<Permit>) -> Response {
        Response::Later(Box::pin(async move {
            let _permit = permit;
            let ForwardedCall { gid, service, methods, method, deadline, reply } = self;
            let name = || format!("{gid}.{service}.{}", methods[method]);
            match timeout_at(deadline, reply).await {
                Ok(Ok(reply)) => reply,
                Ok(Err(_)) => Err(crashed(&name())),
                Err(_) => Err(deadline_exceeded(&name())),
            }
        }))
    }
}

fn deadline_exceeded(name: &str) -> CallError {
    CallError::new(ErrorKind::DeadlineExceeded, format!("{name} did not answer in time"))
}

/// Reads the name of a service from a string or from `{service[, gid]}`.
fn service_name(method: &str, position: usize, argument: &Value) -> Result<(Gid, String), CallError> {
    let rejected = |why: String| CallError::argument(&format!("routes.{method}"), position, "name", why);
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let (gid, name) = match argument {
        Value::Object(object) => {
            let gid = text(object.get("gid")).map_or_else(|| Ok(Gid::local()), Gid::new);
            (gid.map_err(|why| rejected(why.to_string()))?, text(object.get("service")))
        }
        other => (Gid::local(), text(Some(other))),
    };
    let name = name.ok_or_else(|| rejected(format!("expected a name, got {}", argument.type_name())))?;
    if !is_path_segment(&name) {
        let shown: String = name.chars().take(64).collect();
        return Err(rejected(format!("{shown:?} is not the name of a service")));
    }
    Ok((gid, name))
}

impl Routes {
    /// Expires callbacks that were not called in time. One timer serves all callbacks.
    fn expire_callbacks(&mut self, context: &mut Context<Routes>) {
        let now = Instant::now();
        let next = self.table.borrow_mut().expire_callbacks(now);
        self.expiry_scheduled = next.is_some();
        if let Some(next) = next {
            context.run_later(next.saturating_duration_since(now), Routes::expire_callbacks);
        }
    }
}

impl Actor for Routes {
    type Context = Context<Routes>;

    /// Restarts the timer, which does not survive a panic. The callbacks do.
    fn started(&mut self, context: &mut Context<Routes>) {
        self.expire_callbacks(context);
    }
}

/// The methods that peers can call.
pub(crate) const METHODS: [&str; 3] = ["get", "put", "rem"];

impl Handler<Request> for Routes {
    type Result = Response;

    fn handle(&mut self, request: Request, _: &mut Context<Routes>) -> Response {
        let permit = match admission::classify(&request.call) {
            Kind::Operator => None,
            // On a node without membership, calls of its methods arrive here and are rejected below.
            Kind::Gossip | Kind::Membership | Kind::Call => {
                match self.state.admission.admit(request.call.context.depth) {
                    Ok(permit) => Some(permit),
                    Err(error) => return Response::Now(Err(error)),
                }
            }
        };
        self.state.counts.set(self.state.counts.get() + 1);
        let request = match self.forward(request) {
            Dispatch::Forwarded(forwarded) => return forwarded.response(permit),
            Dispatch::Unhandled(request) => request,
        };
        let deadline = request.deadline;
        let name = request.call.to_string();
        let answer = match self.unstarted_group(&request.call) {
            None => self.route(request),
            Some(gid) => Response::Later(self.start_group(gid, request)),
        };
        match answer {
            Response::Now(reply) => Response::Now(reply),
            Response::Later(answer) => Response::Later(Box::pin(async move {
                let _permit = permit;
                timeout_at(deadline, answer).await.unwrap_or_else(|_| Err(deadline_exceeded(&name)))
            })),
        }
    }
}

impl Handler<Admitted> for Routes {
    type Result = Response;

    fn handle(&mut self, Admitted(request): Admitted, _: &mut Context<Routes>) -> Response {
        match self.forward(request) {
            // The permit is held by the first handler of the call.
            Dispatch::Forwarded(forwarded) => forwarded.response(None),
            Dispatch::Unhandled(request) => self.route(request),
        }
    }
}

impl Handler<StartService> for Routes {
    type Result = ();

    fn handle(&mut self, StartService(name): StartService, _: &mut Context<Routes>) {
        let start = match self.table.borrow().find(&Gid::local(), name) {
            Ok(Target::OnDemand { start, .. }) => start.clone(),
            _ => return,
        };
        start();
    }
}

impl Handler<Apply> for Routes {
    type Result = ReplyFuture;

    fn handle(&mut self, message: Apply, _: &mut Context<Routes>) -> ReplyFuture {
        self.apply(&message.function, message.arguments, message.origin)
    }
}

impl Handler<NameAndChance> for Routes {
    type Result = actix::MessageResult<NameAndChance>;

    fn handle(&mut self, _: NameAndChance, _: &mut Context<Routes>) -> Self::Result {
        let name = self.state.uuid().to_string();
        actix::MessageResult((name, self.state.chance(ChaCha8Rng::from_rng)))
    }
}

impl Handler<AddCallback> for Routes {
    type Result = Result<String, CallError>;

    fn handle(&mut self, message: AddCallback, context: &mut Context<Routes>) -> Self::Result {
        let name = self.state.uuid().to_string();
        let callback = Rc::from(message.callback as Box<dyn Fn(Vec<Value>) -> CallbackFuture>);
        let until = self.state.clock.after(UNCLAIMED);
        self.table.borrow_mut().add_callback(&name, message.lasting, callback, until)?;
        if !self.expiry_scheduled {
            self.expire_callbacks(context);
        }
        Ok(name)
    }
}

/// The [`Host`] of the script engine on a node.
#[cfg_attr(not(feature = "scripts"), allow(dead_code))]
pub(crate) struct ScriptHost {
    pub caller: Caller,
    pub table: Rc<RefCell<Table>>,
}

impl Host for ScriptHost {
    fn call(&self, origin: Origin, call: Call) -> LocalBoxFuture<'static, Reply> {
        let caller = self.caller.on_behalf_of(origin);
        Box::pin(async move { caller.call(call.gid, &call.service, &call.method, call.arguments).await })
    }

    fn register(&self, name: &str) -> Result<(), CallError> {
        self.table.borrow_mut().add_script_callback(name)
    }

    fn unregister(&self, names: &[String]) {
        let mut table = self.table.borrow_mut();
        names.iter().for_each(|name| drop(table.remove(name)));
    }
}

impl Handler<Evaluate> for Routes {
    type Result = ReplyFuture;

    fn handle(&mut self, Evaluate { script, origin }: Evaluate, _: &mut Context<Routes>) -> ReplyFuture {
        self.publish_groups();
        self.state.scripts.evaluate(script, origin)
    }
}

impl Handler<InterruptScripts> for Routes {
    type Result = ();

    fn handle(&mut self, _: InterruptScripts, _: &mut Context<Routes>) {
        self.state.scripts.interrupt();
    }
}

impl Handler<ScriptsIdle> for Routes {
    type Result = ResponseFuture<Option<CallError>>;

    fn handle(&mut self, _: ScriptsIdle, _: &mut Context<Routes>) -> Self::Result {
        let scripts = self.state.scripts.clone();
        Box::pin(async move { scripts.idle().await })
    }
}
