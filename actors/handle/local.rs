//! The services of the node itself, typed.

use std::collections::BTreeMap;

#[cfg(doc)]
use chinwag_protocol::call::ErrorKind;
use chinwag_protocol::{
    call::{Call, CallError, IntoArguments, Remote},
    group::{self, GroupConfig},
    identity::{NodeAddr, Sid},
    value::{Function, Value},
};

#[cfg(doc)]
use super::NodeHandle;
use crate::{caller::Caller, load::Load, local::membership::Standing};

/// The service `groups` of a node: its map of groups. Returned by [`NodeHandle::groups`].
///
/// ```
/// use chinwag_protocol::identity::NodeAddr;
/// # use chinwag_actors::{environment::Environment, node};
/// # actix::System::new().block_on(async {
/// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
/// let other = NodeAddr::new("127.0.0.1", 8081);
/// node.groups().put("pair", [node.addr().clone()]).await?;
/// assert_eq!(node.groups().add("pair", other).await?.len(), 2);
/// node.groups().del("pair").await?;
/// assert!(node.groups().get("pair").await.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct LocalGroups<'a>(&'a Caller);

impl<'a> LocalGroups<'a> {
    pub(super) fn new(caller: &'a Caller) -> LocalGroups<'a> {
        LocalGroups(caller)
    }

    /// The members of a group.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// assert!(node.groups().get("all").await?.contains(&node.nid()));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn get(&self, gid: &str) -> Result<group::Group, CallError> {
        self.set("get", vec![Value::from(gid)]).await
    }

    /// Names a set of nodes on this node, and starts the group's services here. Returns the set.
    ///
    /// # Errors
    /// [`ErrorKind::Reserved`] for `local`, `node` and `util`, and [`ErrorKind::BadArgument`] for a name or an option that
    /// is not valid.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// node.groups().put("pair", [node.addr().clone()]).await?;
    /// assert_eq!(node.group("pair").members().await?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn put<C>(&self, config: C, nodes: impl Into<group::Group>) -> Result<group::Group, CallError>
    where
        C: TryInto<GroupConfig>,
        CallError: From<C::Error>,
    {
        let config = config.try_into()?;
        self.set("put", vec![config.to_value(), nodes.into().to_value()]).await
    }

    /// Adds a node to a group on this node. Returns the members.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    ///
    /// ```
    /// use chinwag_protocol::identity::NodeAddr;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let members = node.groups().add("all", NodeAddr::new("127.0.0.1", 8081)).await?;
    /// assert_eq!(members.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn add(&self, gid: &str, node: NodeAddr) -> Result<group::Group, CallError> {
        self.set("add", vec![Value::from(gid), node.to_value()]).await
    }

    /// Removes a node from a group on this node. Returns the members.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// node.groups().put("pair", [node.addr().clone()]).await?;
    /// assert!(node.groups().rem("pair", node.sid().as_str()).await?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn rem(&self, gid: &str, sid: &str) -> Result<group::Group, CallError> {
        self.set("rem", vec![Value::from(gid), Value::from(sid)]).await
    }

    /// Deletes a group on this node, and ends its services here. Returns the former members.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`], and [`ErrorKind::Reserved`] for `all` and `local`.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// node.groups().put("pair", [node.addr().clone()]).await?;
    /// assert_eq!(node.groups().del("pair").await?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn del(&self, gid: &str) -> Result<group::Group, CallError> {
        self.set("del", vec![Value::from(gid)]).await
    }

    async fn set(&self, method: &str, arguments: Vec<Value>) -> Result<group::Group, CallError> {
        group::Group::from_value(&self.0.call_local("groups", method, arguments).await?)
    }
}

/// The service `routes` of a node: its route table. Returned by [`NodeHandle::routes`].
///
/// ```
/// use chinwag_protocol::value::{Function, Value};
/// # use chinwag_actors::{environment::Environment, node};
/// # actix::System::new().block_on(async {
/// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
/// let greeter = Value::Object([("greet", Function::new("() => 'hello'"))].into_iter().collect());
/// node.routes().put(greeter, "greeter").await?;
/// assert!(node.routes().get("greeter").await?.as_object().is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct LocalRoutes<'a>(&'a Caller);

impl<'a> LocalRoutes<'a> {
    pub(super) fn new(caller: &'a Caller) -> LocalRoutes<'a> {
        LocalRoutes(caller)
    }

    /// A service, as an object of functions. The functions of a service written in Rust are stubs that call it here.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownService`].
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let comm = node.routes().get("comm").await?;
    /// assert!(comm.as_object().is_some_and(|service| service.get("send").is_some()));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn get(&self, name: &str) -> Result<Value, CallError> {
        self.0.call_local("routes", "get", vec![Value::from(name)]).await
    }

    /// Installs an object of functions as a service.
    ///
    /// # Errors
    /// [`ErrorKind::Reserved`] if a built-in service has the name, and [`ErrorKind::BadArgument`] if the service is not an
    /// object.
    ///
    /// ```
    /// use chinwag_protocol::{call::ErrorKind, value::{Function, Value}};
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let service = Value::Object([("greet", Function::new("() => 'hello'"))].into_iter().collect());
    /// node.routes().put(service.clone(), "greeter").await?;
    /// assert_eq!(node.routes().put(service, "status").await.unwrap_err().kind, ErrorKind::Reserved);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn put(&self, service: Value, name: &str) -> Result<(), CallError> {
        self.0.call_local("routes", "put", vec![service, Value::from(name)]).await.map(drop)
    }

    /// Removes a service that was put or installed. Returns the service, or `undefined` if no such service has the name.
    ///
    /// # Errors
    /// [`ErrorKind::Reserved`] if a built-in service has the name.
    ///
    /// ```
    /// use chinwag_protocol::value::Value;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// assert_eq!(node.routes().rem("greeter").await?, Value::Undefined);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn rem(&self, name: &str) -> Result<Value, CallError> {
        self.0.call_local("routes", "rem", vec![Value::from(name)]).await
    }
}

/// The service `status` of a node: what it is, how much it does and holds. Returned by [`NodeHandle::status`].
///
/// ```
/// # use chinwag_actors::{environment::Environment, node};
/// # actix::System::new().block_on(async {
/// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
/// assert_eq!(node.status().get("port").await?, 8080.into());
/// assert_eq!(node.status().counts().await?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct LocalStatus<'a>(&'a Caller);

impl<'a> LocalStatus<'a> {
    pub(super) fn new(caller: &'a Caller) -> LocalStatus<'a> {
        LocalStatus(caller)
    }

    /// A fact or a figure by name: `nid`, `sid`, `ip`, `port`, `counts`, `heapTotal`, `heapUsed`, `load`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for another name.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// assert_eq!(node.status().get("sid").await?.as_str(), Some(node.sid().as_str()));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn get(&self, key: &str) -> Result<Value, CallError> {
        self.0.call_local("status", "get", vec![Value::from(key)]).await
    }

    /// The number of calls that the node has served.
    ///
    /// # Errors
    /// The errors of [`NodeHandle::call`].
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// // the call itself counts
    /// assert_eq!(node.status().counts().await?, 1);
    /// assert_eq!(node.status().counts().await?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn counts(&self) -> Result<u64, CallError> {
        Ok(self.get("counts").await?.deserialize()?)
    }

    /// How full the node is: how much it holds of everything that it bounds.
    ///
    /// # Errors
    /// The errors of [`NodeHandle::call`].
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let load = node.status().load().await?;
    /// assert_eq!(load["calls"].most, 1_024);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn load(&self) -> Result<Load, CallError> {
        Ok(self.get("load").await?.deserialize()?)
    }

    /// The memory that the allocator holds from the operating system, in bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the platform does not say.
    ///
    /// ```
    /// use chinwag_protocol::call::ErrorKind;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// // this node was started without a platform that knows the figure
    /// assert_eq!(node.status().heap_total().await.unwrap_err().kind, ErrorKind::Unsupported);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn heap_total(&self) -> Result<u64, CallError> {
        Ok(self.get("heapTotal").await?.deserialize()?)
    }

    /// The part of [`heap_total`](LocalStatus::heap_total) that is in use, in bytes.
    ///
    /// # Errors
    /// The errors of [`heap_total`](LocalStatus::heap_total).
    ///
    /// ```
    /// use chinwag_protocol::call::ErrorKind;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// // this node was started without a platform that knows the figure
    /// assert_eq!(node.status().heap_used().await.unwrap_err().kind, ErrorKind::Unsupported);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn heap_used(&self) -> Result<u64, CallError> {
        Ok(self.get("heapUsed").await?.deserialize()?)
    }

    /// Starts a new node. See [`NodeHandle::spawn`].
    ///
    /// # Errors
    /// The errors of [`NodeHandle::spawn`].
    ///
    /// ```
    /// use chinwag_protocol::identity::NodeAddr;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// // this node was started without a launcher
    /// assert!(node.status().spawn(NodeAddr::new("127.0.0.1", 0)).await.is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn spawn(&self, config: NodeAddr) -> Result<NodeAddr, CallError> {
        let config = self.0.call_local("status", "spawn", vec![config.to_value()]).await?;
        Ok(NodeAddr::from_value(&config)?)
    }
}

/// The service `membership` of a node: who is alive, as this node sees it. Returned by [`NodeHandle::membership`].
///
/// ```
/// use chinwag_protocol::swim::Status;
/// # use chinwag_actors::{environment::Environment, node};
/// # actix::System::new().block_on(async {
/// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
/// let members = node.membership().list().await?;
/// assert_eq!(members[&node.sid()].status, Status::Alive);
/// node.membership().leave().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct LocalMembership<'a>(&'a Caller);

impl<'a> LocalMembership<'a> {
    pub(super) fn new(caller: &'a Caller) -> LocalMembership<'a> {
        LocalMembership(caller)
    }

    /// All nodes that this node knows, including itself and the nodes that were removed.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownService`] on a node that does not take part in membership.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// assert_eq!(node.membership().list().await?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn list(&self) -> Result<BTreeMap<Sid, Standing>, CallError> {
        let list = self.0.call_local("membership", "list", Vec::new()).await?;
        let entries = list.as_object().into_iter().flat_map(|list| list.iter());
        let read = |(sid, entry): (&str, &Value)| Ok((Sid::new(sid)?, Standing::from_value(entry)?));
        entries.map(read).collect()
    }

    /// Subscribes a function to events. The node calls it with one event at a time, in order. Returns the name by which
    /// [`unsubscribe`](LocalMembership::unsubscribe) ends the subscription.
    ///
    /// # Errors
    /// The errors of [`list`](LocalMembership::list), and [`ErrorKind::Busy`] if there are too many subscribers.
    ///
    /// ```
    /// use chinwag_actors::handle::Lasting;
    /// use chinwag_protocol::value::Value;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let print = node.create_rpc(Lasting::Always, async |event| {
    ///     println!("{event:?}");
    ///     Ok(Value::Null)
    /// });
    /// let id = node.membership().subscribe(print.await?).await?;
    /// node.membership().unsubscribe(&id).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn subscribe(&self, function: Function) -> Result<String, CallError> {
        let id = self.0.call_local("membership", "subscribe", vec![Value::Function(function)]).await?;
        Ok(id.deserialize()?)
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no subscription of this name.
    ///
    /// ```
    /// use chinwag_protocol::call::ErrorKind;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// assert_eq!(node.membership().unsubscribe("unknown").await.unwrap_err().kind, ErrorKind::NotFound);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn unsubscribe(&self, id: &str) -> Result<(), CallError> {
        self.0.call_local("membership", "unsubscribe", vec![Value::from(id)]).await.map(drop)
    }

    /// Leaves the cluster: the other members remove the node from their groups without an event that it failed, and the node
    /// no longer probes anybody. Returns when the first members know, within
    /// [`FAREWELL`](crate::local::membership::FAREWELL).
    ///
    /// # Errors
    /// The errors of [`list`](LocalMembership::list).
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// node.membership().leave().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn leave(&self) -> Result<(), CallError> {
        self.0.call_local("membership", "leave", Vec::new()).await.map(drop)
    }
}

/// The service `comm` of a node, which calls other nodes. Returned by [`NodeHandle::comm`].
///
/// ```
/// use chinwag_protocol::call::Remote;
/// # use chinwag_actors::{environment::Environment, node};
/// # actix::System::new().block_on(async {
/// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
/// let remote = Remote::new("status", "get").on(node.addr().clone());
/// assert_eq!(node.comm().send(("port",), &remote).await?, 8080.into());
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct LocalComm<'a>(&'a Caller);

impl<'a> LocalComm<'a> {
    pub(super) fn new(caller: &'a Caller) -> LocalComm<'a> {
        LocalComm(caller)
    }

    /// Calls a service of the node that `remote` names.
    ///
    /// # Errors
    /// The errors of [`NodeHandle::call_on`].
    ///
    /// ```
    /// use chinwag_protocol::call::Remote;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// // the group's service on one node
    /// let remote = Remote::new("status", "get").on(node.addr().clone()).of("all".parse()?);
    /// let sids = node.comm().send(("sid",), &remote).await?;
    /// assert!(sids.as_object().is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn send(&self, arguments: impl IntoArguments, remote: &Remote) -> Result<Value, CallError> {
        let Some(node) = &remote.node else {
            // the service refuses a remote without a node, with the error that a call from elsewhere gets
            let arguments = Value::from(arguments.into_arguments()?);
            return self.0.call_local("comm", "send", vec![arguments, remote.to_value()]).await;
        };
        // this does what the service does, without turning the arguments into values and reading them back
        let arguments = arguments.into_arguments()?;
        let call = Call::new(remote.gid.clone(), remote.service.as_str(), remote.method.as_str(), arguments);
        Ok(self.0.call_on(node, call).await?.into_value())
    }
}
