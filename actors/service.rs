//! How a service is written in Rust: named methods over a state that an actor holds.
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
//! A method gets its arguments in order, in a tuple that serde reads. A missing or mistyped argument is rejected with the
//! method, its position and the expected type. Surplus arguments are ignored, as JavaScript does.
//!
//! The methods of one service run one at a time, so the state needs no lock. An asynchronous method lets other methods run
//! while it waits, and therefore works on a copy of what it needs. A service that panics loses its state and starts again.
//!
//! If a node gets the definition as a *distributed* service, it runs an instance for every group, and [`Scope::gid`] says
//! for which. The built-in services of groups are written in the same way.

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

/// The context of a method: its node, its group, and the call that it answers. Calls that the method makes through the scope
/// inherit the deadline of that call.
///
/// ```
/// use chinwag_actors::service::{Scope, Service};
/// use chinwag_protocol::call::CallError;
/// let census = Service::new("census", |_| ()).async_method("size", |_: &mut (), scope: Scope, ()| async move {
///     let members = scope.node().group("all").members().await?;
///     Ok::<_, CallError>(members.len() as u64)
/// });
/// # use chinwag_actors::{environment::Environment, node};
/// # actix::System::new().block_on(async {
/// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
/// # node.install(census).await?;
/// # assert_eq!(node.call("local".parse()?, "census", "size", ()).await?.into_value(), 1.into());
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
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

    /// The node that the service runs on.
    ///
    /// ```
    /// use chinwag_actors::service::{Scope, Service};
    /// // the state starts with the node's identifier
    /// let named = Service::new("named", |scope: &Scope| scope.node().sid().to_string());
    /// # let _ = named.method("get", |sid: &mut String, ()| sid.clone());
    /// ```
    pub fn node(&self) -> &NodeHandle {
        &self.node
    }

    /// The name of the group that the instance belongs to, or `local` for a service of the node itself.
    ///
    /// ```
    /// use chinwag_actors::service::{Scope, Service};
    /// let named = Service::new("named", |scope: &Scope| scope.gid().clone());
    /// # let _ = named.method("get", |gid: &mut chinwag_protocol::identity::Gid, ()| gid.to_string());
    /// ```
    pub fn gid(&self) -> &Gid {
        &self.gid
    }

    /// Makes calls on behalf of the call that is answered.
    pub(crate) fn caller(&self) -> &Caller {
        self.node.caller()
    }

    /// The group that the instance belongs to.
    ///
    /// ```
    /// use chinwag_actors::service::{Scope, Service};
    /// use chinwag_protocol::call::CallError;
    /// // as a distributed service, it counts the members of the group that it is called on
    /// let census = Service::new("census", |_| ()).async_method("size", |_: &mut (), scope: Scope, ()| async move {
    ///     Ok::<_, CallError>(scope.group().members().await?.len() as u64)
    /// });
    /// # let _ = census;
    /// ```
    pub fn group(&self) -> Group {
        self.node.group_of(self.gid.clone())
    }
}

type Method<S> = Arc<dyn Fn(&mut S, Scope, Vec<Value>, &str) -> Response + Send + Sync>;

/// The definition of a service: how its state starts, and its methods.
///
/// ```
/// use chinwag_actors::service::Service;
/// let counter = Service::new("counter", |_| 0_u64).method("count", |n: &mut u64, ()| { *n += 1; *n });
/// # use chinwag_actors::{environment::Environment, node};
/// # actix::System::new().block_on(async {
/// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
/// node.install(counter).await?;
/// assert_eq!(node.call("local".parse()?, "counter", "count", ()).await?.into_value(), 1.into());
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[must_use = "a service runs only if a node gets it"]
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
    /// Returns a service without methods. `make` constructs its state: when the service is installed, and again if it panics.
    ///
    /// ```
    /// use chinwag_actors::service::Service;
    /// let counter = Service::new("counter", |_| 0_u64);
    /// assert_eq!(counter.name(), "counter");
    /// ```
    pub fn new(name: impl Into<Arc<str>>, make: impl Fn(&Scope) -> S + Send + Sync + 'static) -> Service<S> {
        Service { name: name.into(), make: Arc::new(make), methods: Arc::default() }
    }

    /// The name by which the service is called.
    ///
    /// ```
    /// # use chinwag_actors::service::Service;
    /// assert_eq!(Service::new("counter", |_| 0_u64).name(), "counter");
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a method that cannot fail.
    ///
    /// ```
    /// use chinwag_actors::service::Service;
    /// let counter = Service::new("counter", |_| 0_u64)
    ///     .method("add", |n: &mut u64, (by,): (u64,)| { *n += by; *n });
    /// # let _ = counter;
    /// ```
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

    /// Adds a method that can fail. An error that is text becomes a [`CallError`] with that message; a [`CallError`] stays as
    /// it is.
    ///
    /// ```
    /// use chinwag_actors::service::Service;
    /// let account = Service::new("account", |_| 10_u64).try_method("pay", |balance: &mut u64, (price,): (u64,)| {
    ///     *balance = balance.checked_sub(price).ok_or("the balance is too low")?;
    ///     Ok::<_, &str>(*balance)
    /// });
    /// # let _ = account;
    /// ```
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

    /// Adds a method that waits for other services or timers. The method takes what it needs of the state before it waits.
    ///
    /// ```
    /// use chinwag_actors::service::{Scope, Service};
    /// use chinwag_protocol::call::CallError;
    /// let proxy = Service::new("proxy", |_| ()).async_method("served", |_: &mut (), scope: Scope, ()| async move {
    ///     let served = scope.node().group("all").status().counts().await?;
    ///     Ok::<_, CallError>(served.value)
    /// });
    /// # let _ = proxy;
    /// ```
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

    /// Adds a method that gets its arguments as values, and then its own name. Its answer may be that of a group.
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

/// The definition of a service without the type of its state, as a node keeps it.
///
/// ```
/// use chinwag_actors::service::{AnyService, Service};
/// let services: Vec<AnyService> = vec![
///     Service::new("counter", |_| 0_u64).into(),
///     Service::new("notes", |_| Vec::<String>::new()).into(),
/// ];
/// # assert_eq!(services.len(), 2);
/// ```
#[must_use = "a service runs only if a node gets it"]
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
    /// The name by which the service is called.
    ///
    /// ```
    /// # use chinwag_actors::service::{AnyService, Service};
    /// assert_eq!(AnyService::from(Service::new("counter", |_| 0_u64)).name(), "counter");
    /// ```
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// The names of the methods.
    ///
    /// ```
    /// use chinwag_actors::service::{AnyService, Service};
    /// let counter = Service::new("counter", |_| 0_u64).method("count", |n: &mut u64, ()| { *n += 1; *n });
    /// assert_eq!(AnyService::from(counter).methods(), ["count"]);
    /// ```
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
    /// Adds a service to the node, in place of a service of the same name that was installed before. Every node can call it
    /// by its name.
    ///
    /// # Errors
    /// [`ErrorKind::Reserved`](chinwag_protocol::call::ErrorKind::Reserved) if a built-in service has the name.
    ///
    /// ```
    /// use chinwag_actors::service::Service;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// node.install(Service::new("echo", |_| ()).method("say", |_: &mut (), (text,): (String,)| text)).await?;
    /// assert_eq!(node.call("local".parse()?, "echo", "say", ("hello",)).await?.into_value().as_str(), Some("hello"));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
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
