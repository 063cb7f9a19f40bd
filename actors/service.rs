//! A service written in Rust: named methods over a state that an actor holds.
//!
//! ```
//! use chinwag_actors::service::Service;
//!
//! let counter = Service::new("counter", |_| 0_u64)
//!     .method("count", |n: &mut u64, ()| { *n += 1; *n })
//!     .method("add", |n: &mut u64, (by,): (u64,)| { *n += by; *n });
//! assert_eq!(counter.name(), "counter");
//! ```
//!
//! Arguments arrive in order in a tuple, read with serde; one that is missing or of another type is refused with the
//! method, the position and what was expected. Further arguments than the method takes are ignored, as JavaScript
//! does. Methods of one service run one at a time, so the state needs no lock; an asynchronous method lets others run
//! while it waits, and so works on a copy of what it needs. A service that panics loses its state and starts over.
//!
//! Given to a node as *distributed*, the same definition is instantiated for every group, and `scope.gid()` says
//! which. The group services of this crate are written no other way.

use std::{collections::BTreeMap, fmt, future::Future, sync::Arc};

use actix::{Actor, Context, Handler};
use chinwag_protocol::{
    call::{Answer, CallError, FromArguments},
    identity::Gid,
    value::Value,
};
use serde::Serialize;

use crate::{
    caller::Caller,
    handle::{Group, NodeHandle},
    messages::{Install, OnStart},
    request::{ReplyFuture, Request, Response, ready, unknown_method},
    supervise::Supervised,
};

/// Where a method runs: its node and group, and the call it answers. Calls made through it inherit that call's
/// deadline.
#[derive(Clone, Debug)]
pub struct Scope {
    node: NodeHandle,
    gid: Gid,
}

impl Scope {
    pub(crate) fn new(node: NodeHandle, gid: Gid) -> Scope {
        Scope { node, gid }
    }

    fn answering(&self, request: &Request) -> Scope {
        Scope { node: self.node.on_behalf_of(request.origin()), gid: self.gid.clone() }
    }

    /// The node this runs on.
    pub fn node(&self) -> &NodeHandle {
        &self.node
    }

    /// The group this service belongs to; `local` for a service of the node itself.
    pub fn gid(&self) -> &Gid {
        &self.gid
    }

    /// Makes calls on behalf of the call that is answered.
    pub(crate) fn caller(&self) -> &Caller {
        self.node.caller()
    }

    /// That group.
    pub fn group(&self) -> Group {
        self.node.group_of(self.gid.clone())
    }
}

type Method<S> = Arc<dyn Fn(&mut S, Scope, Vec<Value>, &str) -> Response + Send + Sync>;

/// The definition of a service: how its state starts, and its methods.
pub struct Service<S> {
    name: Arc<str>,
    make: Arc<dyn Fn(&Scope) -> S + Send + Sync>,
    methods: Arc<BTreeMap<String, Method<S>>>,
}

impl<S> Clone for Service<S> {
    fn clone(&self) -> Service<S> {
        Service { name: self.name.clone(), make: self.make.clone(), methods: self.methods.clone() }
    }
}

impl<S> fmt::Debug for Service<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.name).field("methods", &self.methods.keys()).finish()
    }
}

impl<S: 'static> Service<S> {
    /// A service without methods, whose state starts as `make` says: when it is installed, and again should it panic.
    pub fn new(name: impl Into<Arc<str>>, make: impl Fn(&Scope) -> S + Send + Sync + 'static) -> Service<S> {
        Service { name: name.into(), make: Arc::new(make), methods: Arc::default() }
    }

    /// The name under which it is found.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A method that cannot fail.
    #[must_use]
    pub fn method<A, R>(
        self,
        name: impl Into<String>,
        method: impl Fn(&mut S, A) -> R + Send + Sync + 'static,
    ) -> Service<S>
    where
        A: FromArguments,
        R: Serialize,
    {
        self.try_method(name, move |state, arguments| Ok::<R, CallError>(method(state, arguments)))
    }

    /// A method that can fail. Text becomes an error of the service's own; a [`CallError`] stays what it is.
    #[must_use]
    pub fn try_method<A, R, E>(
        self,
        name: impl Into<String>,
        method: impl Fn(&mut S, A) -> Result<R, E> + Send + Sync + 'static,
    ) -> Service<S>
    where
        A: FromArguments,
        R: Serialize,
        E: Into<CallError>,
    {
        self.insert(name, move |state, _, arguments, name| {
            Response::Now(A::from_arguments(name, arguments).and_then(|arguments| {
                let result = method(state, arguments).map_err(Into::into)?;
                Ok(Answer::Value(Value::from_serialize(&result)?))
            }))
        })
    }

    /// A method that waits for something: other services, timers. What it needs of the state it takes before it waits.
    #[must_use]
    pub fn async_method<A, R, E, F>(
        self,
        name: impl Into<String>,
        method: impl Fn(&mut S, Scope, A) -> F + Send + Sync + 'static,
    ) -> Service<S>
    where
        A: FromArguments,
        R: Serialize,
        E: Into<CallError>,
        F: Future<Output = Result<R, E>> + 'static,
    {
        self.raw(name, move |state, scope, arguments, name| match A::from_arguments(name, arguments) {
            Err(error) => ready(Err(error)),
            Ok(arguments) => {
                let future = method(state, scope, arguments);
                Box::pin(async move {
                    let result = future.await.map_err(Into::into)?;
                    Ok(Answer::Value(Value::from_serialize(&result)?))
                })
            }
        })
    }

    /// A method over values as they came, whose answer may be a group's. It is told its own name last.
    #[must_use]
    pub(crate) fn raw(
        self,
        name: impl Into<String>,
        method: impl Fn(&mut S, Scope, Vec<Value>, &str) -> ReplyFuture + Send + Sync + 'static,
    ) -> Service<S> {
        self.insert(name, move |state, scope, arguments, name| Response::Later(method(state, scope, arguments, name)))
    }

    fn insert(
        mut self,
        name: impl Into<String>,
        method: impl Fn(&mut S, Scope, Vec<Value>, &str) -> Response + Send + Sync + 'static,
    ) -> Service<S> {
        Arc::make_mut(&mut self.methods).insert(name.into(), Arc::new(method));
        self
    }
}

/// A service's definition without its type, as a node keeps it.
#[derive(Clone)]
pub struct AnyService(Arc<dyn Definition>);

impl fmt::Debug for AnyService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service {}", self.0.name())
    }
}

trait Definition: Send + Sync {
    fn name(&self) -> &str;
    fn methods(&self) -> Vec<String>;
    fn start(&self, scope: Scope, on_start: OnStart) -> Box<dyn Fn()>;
}

impl AnyService {
    /// The name under which it is found.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// The names of its methods.
    pub fn methods(&self) -> Vec<String> {
        self.0.methods()
    }

    /// A message that starts an instance in this scope.
    pub(crate) fn prepare(self, scope: Scope) -> Install {
        let (name, methods) = (self.name().to_owned(), self.methods());
        Install { name, methods, start: Box::new(move |on_start| self.start(scope, on_start)) }
    }

    /// Starts an instance. `on_start` is called with its address, and with that of each replacement. The result ends it.
    pub(crate) fn start(&self, scope: Scope, on_start: OnStart) -> Box<dyn Fn()> {
        self.0.start(scope, on_start)
    }
}

impl<S: 'static> From<Service<S>> for AnyService {
    fn from(service: Service<S>) -> AnyService {
        AnyService(Arc::new(service))
    }
}

impl<S: 'static> Definition for Service<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn methods(&self) -> Vec<String> {
        self.methods.keys().cloned().collect()
    }

    fn start(&self, scope: Scope, on_start: OnStart) -> Box<dyn Fn()> {
        let definition = self.clone();
        let name = format!("{}.{}", scope.gid, self.name);
        let make = move || {
            let state = Box::new((definition.make)(&scope));
            ServiceActor { definition: definition.clone(), scope: scope.clone(), state }
        };
        let actor: Supervised<ServiceActor<S>> = Supervised::new(name);
        actor.start(make, move |addr| on_start(addr.clone().recipient()));
        Box::new(move || actor.close())
    }
}

impl NodeHandle {
    /// Adds a service of one's own, found under its name by every node.
    ///
    /// # Errors
    /// [`ErrorKind::Reserved`](chinwag_protocol::call::ErrorKind::Reserved) where a built-in service has the name.
    pub async fn install(&self, service: impl Into<AnyService>) -> Result<(), CallError> {
        let service: AnyService = service.into();
        let scope = Scope::new(NodeHandle::new(self.caller().doors().clone()), Gid::local());
        self.install_instance(service.prepare(scope)).await
    }
}

/// One instance of a service.
struct ServiceActor<S: 'static> {
    definition: Service<S>,
    scope: Scope,
    state: Box<S>,
}

impl<S: 'static> Actor for ServiceActor<S> {
    type Context = Context<ServiceActor<S>>;
}

impl<S: 'static> Handler<Request> for ServiceActor<S> {
    type Result = Response;

    fn handle(&mut self, request: Request, _: &mut Context<ServiceActor<S>>) -> Response {
        match self.definition.methods.get(request.call.method.as_str()) {
            Some(method) => {
                let scope = self.scope.answering(&request);
                method(&mut self.state, scope, request.call.arguments, &request.call.method)
            }
            None => Response::Now(Err(unknown_method(&request.call.service, &request.call.method))),
        }
    }
}
