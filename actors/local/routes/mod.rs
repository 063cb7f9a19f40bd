//! `local.routes`: names to services, and the door through which every call enters the node.
//!
//! ```text
//! HTTP, a handle, another service -> Request -> Routes -> the actor that answers, the callback, the shipped function
//! ```
//!
//! | method | answers | error |
//! |---|---|---|
//! | `get(name or {service[, gid]})` | the service: an object of functions | unknown service |
//! | `put(service, name)` | the name | a name that is built in, a service that is none |
//! | `rem(name)` | the service removed, `undefined` where there is none | a name that is built in |
//!
//! A service written in Rust is shown as stubs that call it here. A node that takes no code takes a service only if its
//! functions are stubs of ours, which need no engine. Admission and deadlines are kept at this door and
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
        AddCallback, Admitted, Apply, CallbackFuture, Evaluate, Lasting, NameAndChance, Reconcile, ScriptsIdle,
        StartService,
    },
    request::{Origin, ReplyFuture, Request, Response, crashed, ready, unknown_method, value},
    scripts::Host,
    state::NodeState,
    stub,
};

/// How long a callback that answers once waits to be called. A guess: longer than any deadline.
pub const UNCLAIMED: Duration = Duration::from_secs(900);

/// Finds who answers.
pub(crate) struct Routes {
    state: Rc<NodeState>,
    caller: Caller,
    table: Rc<RefCell<Table>>,
    /// The timer runs that forgets callbacks.
    forgetting: bool,
}

impl Routes {
    pub(crate) fn new(state: Rc<NodeState>, caller: Caller, table: Rc<RefCell<Table>>) -> Routes {
        Routes { state, caller, table, forgetting: false }
    }

    /// Sends a call on to the actor that answers it, which is what becomes of most; gives any other call back.
    fn forward(&self, request: Request) -> Way {
        let call = &request.call;
        if let Some(id) = &call.context.request {
            log::debug!(target: "chinwag::routes", "{id}: {call}");
        }
        // what is this actor's own it answers itself
        if call.gid.is_local() && call.service == "routes" {
            return Way::Here(request);
        }
        let mut table = self.table.borrow();
        let mut found = table.find(&call.gid, &call.service);
        if let Ok(Target::Asleep { begin, .. }) = found {
            let begin = begin.clone();
            drop(table);
            begin();
            table = self.table.borrow();
            found = table.find(&call.gid, &call.service);
        }
        let Ok(Target::Actor { recipient, name, methods, .. }) = found else {
            return Way::Here(request);
        };
        let Some(method) = methods.iter().position(|method| *method == call.method) else { return Way::Here(request) };
        Way::Actor(Forwarded {
            gid: call.gid.clone(),
            service: name.clone(),
            methods: methods.clone(),
            method,
            deadline: request.deadline,
            // only puts it into the actor's mailbox
            reply: recipient.send(request),
        })
    }

    /// The group that a call is about, where the node knows it and nobody has needed its services so far.
    fn asleep(&self, call: &Call) -> Option<Gid> {
        let asleep = |gid: &Gid| !self.table.borrow().runs(gid) && self.state.groups.borrow().entry(gid).is_ok();
        if !call.gid.is_local() {
            return asleep(&call.gid).then(|| call.gid.clone());
        }
        if call.service != "routes" || call.method != "get" {
            return None;
        }
        let (gid, _) = service_name("get", 1, call.arguments.first()?).ok()?;
        (!gid.is_local() && asleep(&gid)).then_some(gid)
    }

    /// Has a group's services started, then routes.
    fn wake(&self, gid: Gid, request: Request) -> ReplyFuture {
        let doors = self.caller.doors().clone();
        Box::pin(async move {
            doors.lifecycle.deliver(Reconcile(gid)).await?;
            doors.routes.deliver(Admitted(request)).await?
        })
    }

    /// Answers what no actor answers.
    fn route(&mut self, request: Request) -> Response {
        let call = &request.call;
        if call.gid.is_local() && call.service == "routes" {
            return Response::Now(self.answer(&request.call));
        }
        let found = self.table.borrow().find(&call.gid, &call.service).cloned();
        match found {
            Err(error) => Response::Now(Err(error)),
            // a method that there is was forwarded
            Ok(Target::Actor { .. } | Target::Asleep { .. }) => {
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
            Ok(Target::Shipped(service)) => {
                let origin = request.origin();
                match service.get(&call.method) {
                    Some(Value::Function(function)) if stub::remote(function).is_some() => {
                        Response::Later(self.apply(function, request.call.arguments, origin))
                    }
                    Some(Value::Function(_) | Value::Native(_)) => {
                        let Call { method, arguments, .. } = request.call;
                        self.show_groups();
                        Response::Later(self.state.scripts.call_method(service, &method, arguments, origin))
                    }
                    _ => Response::Now(Err(unknown_method(&call.service, &call.method))),
                }
            }
            Ok(Target::Remote) => {
                if call.method != "call" {
                    return Response::Now(Err(unknown_method(&call.service, &call.method)));
                }
                let origin = request.origin();
                self.show_groups();
                Response::Later(self.state.scripts.call_registered(
                    &request.call.service,
                    request.call.arguments,
                    origin,
                ))
            }
        }
    }

    /// Shows shipped code the groups whose services have not been needed so far.
    fn show_groups(&self) {
        let groups = self.state.groups.borrow();
        let directory = self.state.scripts.directory();
        // those that run have been put there; this is asked with every shipped call
        let unknown: Vec<&Gid> = groups.names().filter(|gid| !directory.knows(gid.as_str())).collect();
        if unknown.is_empty() {
            return;
        }
        directory.change(|names| {
            for gid in unknown {
                let services = || self.state.group_services.iter().cloned().collect();
                names.entry(gid.to_string()).or_insert_with(services);
            }
        });
    }

    /// Calls a function that came as text.
    fn apply(&self, function: &Function, arguments: Vec<Value>, origin: Origin) -> ReplyFuture {
        let Some(remote) = stub::remote(function) else {
            self.show_groups();
            return self.state.scripts.call_function(function, arguments, origin);
        };
        let Some(to) = remote.node else {
            return ready(Err(CallError::new(ErrorKind::BadArgument, "the function names no node")));
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
                self.show(&gid, &name, self.table.borrow().find(&gid, &name)?)
            }
            "put" => {
                let (_, name) = service_name("put", 2, argument(1))?;
                self.put(argument(0), &name)
            }
            "rem" => {
                let (gid, name) = service_name("rem", 1, argument(0))?;
                let mut table = self.table.borrow_mut();
                // a group's services come and go with the group
                if !gid.is_local() {
                    return value(Value::Undefined);
                }
                table.check_free(&name)?;
                match table.remove(&name) {
                    Some(removed) => self.show(&gid, &name, &removed),
                    None => value(Value::Undefined),
                }
            }
            other => Err(unknown_method("routes", other)),
        }
    }

    fn put(&self, service: &Value, name: &str) -> Reply {
        let why = |why: String| CallError::argument("routes.put", 1, "service", why);
        let methods = service
            .as_object()
            .ok_or_else(|| why(format!("expected an object of functions, got {}", service.type_name())))?;
        if methods.len() > MAX_SERVICES {
            return Err(why(format!("a service has at most {MAX_SERVICES} keys")));
        }
        if !self.state.scripts.enabled() && methods.values().any(needs_engine) {
            let message = format!("routes.put: this node runs no shipped functions, and {name} has some");
            return Err(CallError::new(ErrorKind::Unsupported, message));
        }
        let callable = |(key, value): (&str, &Value)| {
            matches!(value, Value::Function(_) | Value::Native(_)).then(|| key.to_owned())
        };
        let methods = methods.iter().filter_map(callable).collect();
        self.table.borrow_mut().put(name, Arc::new(service.clone()), methods)?;
        value(name)
    }

    /// A service as one that is elsewhere sees it.
    fn show(&self, gid: &Gid, name: &str, target: &Target) -> Reply {
        let stub = |method: &str| Value::Function(stub::function_of(&self.state.me, gid, name, method));
        match target {
            Target::Shipped(service) => value((**service).clone()),
            Target::Callback { .. } | Target::Remote => value([("call", stub("call"))].into_iter().collect::<Object>()),
            Target::Actor { methods, .. } | Target::Asleep { methods, .. } => {
                value(methods.iter().map(|method| (method.as_str(), stub(method))).collect::<Object>())
            }
        }
    }
}

/// Whether a value is a function that no stub stands for.
fn needs_engine(value: &Value) -> bool {
    match value {
        Value::Function(function) => stub::remote(function).is_none(),
        Value::Native(_) => true,
        _ => false,
    }
}

/// Who answers a call.
enum Way {
    Actor(Forwarded),
    /// This actor itself: a callback, a shipped function, its own methods, or a refusal.
    Here(Request),
}

/// A call on its way to an actor, and its name, put together only should it be needed.
struct Forwarded {
    gid: Gid,
    service: Rc<str>,
    methods: Rc<[EcoString]>,
    method: usize,
    deadline: Instant,
    reply: actix::prelude::RecipientRequest<Request>,
}

impl Forwarded {
    fn answered(self, permit: Option<Permit>) -> Response {
        Response::Later(Box::pin(async move {
            let _permit = permit;
            let Forwarded { gid, service, methods, method, deadline, reply } = self;
            let name = || format!("{gid}.{service}.{}", methods[method]);
            match timeout_at(deadline, reply).await {
                Ok(Ok(reply)) => reply,
                Ok(Err(_)) => Err(crashed(&name())),
                Err(_) => Err(late(&name())),
            }
        }))
    }
}

fn late(name: &str) -> CallError {
    CallError::new(ErrorKind::DeadlineExceeded, format!("{name} did not answer in time"))
}

/// A name, or `{service[, gid]}`.
fn service_name(method: &str, position: usize, argument: &Value) -> Result<(Gid, String), CallError> {
    let refused = |why: String| CallError::argument(&format!("routes.{method}"), position, "name", why);
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let (gid, name) = match argument {
        Value::Object(object) => {
            let gid = text(object.get("gid")).map_or_else(|| Ok(Gid::local()), Gid::new);
            (gid.map_err(|why| refused(why.to_string()))?, text(object.get("service")))
        }
        other => (Gid::local(), text(Some(other))),
    };
    let name = name.ok_or_else(|| refused(format!("expected a name, got {}", argument.type_name())))?;
    if !is_path_segment(&name) {
        let shown: String = name.chars().take(64).collect();
        return Err(refused(format!("not the name of a service: {shown:?}")));
    }
    Ok((gid, name))
}

impl Routes {
    /// Forgets callbacks that nobody has called in time, with one timer however many there are.
    fn forget_unclaimed(&mut self, context: &mut Context<Routes>) {
        let now = Instant::now();
        let next = self.table.borrow_mut().forget_unclaimed(now);
        self.forgetting = next.is_some();
        if let Some(next) = next {
            context.run_later(next.saturating_duration_since(now), Routes::forget_unclaimed);
        }
    }
}

impl Actor for Routes {
    type Context = Context<Routes>;

    /// After a panic: the timer went with the actor, the callbacks did not.
    fn started(&mut self, context: &mut Context<Routes>) {
        self.forget_unclaimed(context);
    }
}

/// The wire's methods.
pub(crate) const METHODS: [&str; 3] = ["get", "put", "rem"];

impl Handler<Request> for Routes {
    type Result = Response;

    fn handle(&mut self, request: Request, _: &mut Context<Routes>) -> Response {
        let permit = match admission::classify(&request.call) {
            Kind::Operator => None,
            // without membership, its calls come here too, to be refused
            Kind::Gossip | Kind::Membership | Kind::Call => {
                match self.state.admission.admit(request.call.context.depth) {
                    Ok(permit) => Some(permit),
                    Err(error) => return Response::Now(Err(error)),
                }
            }
        };
        self.state.counts.set(self.state.counts.get() + 1);
        let request = match self.forward(request) {
            Way::Actor(forwarded) => return forwarded.answered(permit),
            Way::Here(request) => request,
        };
        let deadline = request.deadline;
        let name = request.call.to_string();
        let answer = match self.asleep(&request.call) {
            None => self.route(request),
            Some(gid) => Response::Later(self.wake(gid, request)),
        };
        match answer {
            Response::Now(reply) => Response::Now(reply),
            Response::Later(answer) => Response::Later(Box::pin(async move {
                let _permit = permit;
                timeout_at(deadline, answer).await.unwrap_or_else(|_| Err(late(&name)))
            })),
        }
    }
}

impl Handler<Admitted> for Routes {
    type Result = Response;

    fn handle(&mut self, Admitted(request): Admitted, _: &mut Context<Routes>) -> Response {
        match self.forward(request) {
            // its permit is held where it was let in
            Way::Actor(forwarded) => forwarded.answered(None),
            Way::Here(request) => self.route(request),
        }
    }
}

impl Handler<StartService> for Routes {
    type Result = ();

    fn handle(&mut self, StartService(name): StartService, _: &mut Context<Routes>) {
        let begin = match self.table.borrow().find(&Gid::local(), name) {
            Ok(Target::Asleep { begin, .. }) => begin.clone(),
            _ => return,
        };
        begin();
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
        if !self.forgetting {
            self.forget_unclaimed(context);
        }
        Ok(name)
    }
}

/// What shipped code reaches: the node, on behalf of whichever call the code serves.
#[cfg_attr(not(feature = "scripts"), allow(dead_code))]
pub(crate) struct Outside {
    pub caller: Caller,
    pub table: Rc<RefCell<Table>>,
}

impl Host for Outside {
    fn call(&self, origin: Origin, call: Call) -> LocalBoxFuture<'static, Reply> {
        let caller = self.caller.on_behalf_of(origin);
        Box::pin(async move { caller.call(call.gid, &call.service, &call.method, call.arguments).await })
    }

    fn register(&self, name: &str) -> Result<(), CallError> {
        self.table.borrow_mut().add_remote(name)
    }
}

impl Handler<Evaluate> for Routes {
    type Result = ReplyFuture;

    fn handle(&mut self, Evaluate { source, origin }: Evaluate, _: &mut Context<Routes>) -> ReplyFuture {
        self.show_groups();
        self.state.scripts.evaluate(source, origin)
    }
}

impl Handler<ScriptsIdle> for Routes {
    type Result = ResponseFuture<Option<CallError>>;

    fn handle(&mut self, _: ScriptsIdle, _: &mut Context<Routes>) -> Self::Result {
        let scripts = self.state.scripts.clone();
        Box::pin(async move { scripts.idle().await })
    }
}
