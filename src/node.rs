//! A node that runs in this program, with an HTTP interface.

use std::{fmt, future::Future, net::SocketAddr, time::Duration};

use chinwag_actors::{
    handle::{Group, Lasting, LocalComm, LocalGroups, LocalMembership, LocalRoutes, LocalStatus, NodeHandle},
    local::membership::Events,
    script::Script,
    service::AnyService,
};
use chinwag_protocol::{
    call::{Call, CallError, IntoArguments, Reply},
    identity::{Gid, Nid, NodeAddr, Sid},
    value::{Function, Value},
};
use tokio::sync::{mpsc, watch};

/// A running node: its actors, and the socket through which other nodes reach them.
///
/// The methods that call services are those of the node's [`handle`](Node::handle), which describes them in full. `Node`
/// adds the socket and waits for the node's end. Dropping a `Node` does not stop the node.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let node = chinwag::Node::builder().port(0).start().await?;
/// let sids = node.group("all").status().get("sid").await?;
/// # let _ = sids;
/// node.stop().await;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Node {
    handle: NodeHandle,
    server: ServerHandle,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}

impl AsRef<NodeHandle> for Node {
    fn as_ref(&self) -> &NodeHandle {
        &self.handle
    }
}

impl Node {
    pub(crate) fn new(handle: NodeHandle, server: ServerHandle) -> Node {
        Node { handle, server }
    }

    /// The handle of the node's actors. It makes calls without a socket, and is what a service gets from its
    /// [`Scope`](crate::Scope).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let node = chinwag::Node::builder().port(0).start().await?;
    /// let handle = node.handle().clone();
    /// let served = tokio::spawn(async move { handle.status().counts().await }).await??;
    /// assert_eq!(served, 1);
    /// # node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn handle(&self) -> &NodeHandle {
        &self.handle
    }

    /// The node's socket.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let node = chinwag::Node::builder().port(0).start().await?;
    /// assert!(node.server().address().ip().is_loopback());
    /// # node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn server(&self) -> &ServerHandle {
        &self.server
    }

    /// Stops the node, and waits until it is gone.
    ///
    /// The node performs no call that arrives from now on. It says farewell to the other members, finishes the calls under
    /// way, closes its socket, and ends its actors. Calls that take longer than 1.5 s are abandoned.
    ///
    /// The service method `status.stop` and `begin_stop`, of the [server](ServerHandle::begin_stop) or of the
    /// [handle](NodeHandle::begin_stop), begin to stop the node in the same way and do not wait. [`stopped`](Node::stopped)
    /// waits for the end of a stop that anyone began.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let node = chinwag::Node::builder().port(0).start().await?;
    /// node.stop().await;
    /// assert!(node.status().counts().await.is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn stop(&self) {
        self.server.begin_stop();
        self.stopped().await;
    }

    /// Waits until the node is gone, whether this program, another node or the end of its runtime stops it.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let node = chinwag::Node::builder().port(0).start().await?;
    /// node.status().get("sid").await?;
    /// node.handle().begin_stop().await?;
    /// node.stopped().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn stopped(&self) {
        let mut gone = self.server.gone.clone();
        // an error means that the node's last task is gone too
        let _ = gone.wait_for(|gone| *gone).await;
    }

    /// The node's address, which is its identity. See [`NodeHandle::addr`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let node = chinwag::Node::builder().port(0).start().await?;
    /// assert_eq!(node.addr().ip(), "127.0.0.1");
    /// # node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn addr(&self) -> &NodeAddr {
        self.handle.addr()
    }

    /// The node's identifier. See [`NodeHandle::nid`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let node = chinwag::Node::builder().port(0).start().await?;
    /// assert!(node.group("all").members().await?.contains(&node.nid()));
    /// # node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn nid(&self) -> Nid {
        self.handle.nid()
    }

    /// The first digits of the node's identifier. See [`NodeHandle::sid`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let node = chinwag::Node::builder().port(0).start().await?;
    /// assert!(node.nid().to_string().starts_with(node.sid().as_str()));
    /// # node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn sid(&self) -> Sid {
        self.handle.sid()
    }

    /// Returns a handle of the same node whose calls have this much time. See [`NodeHandle::with_deadline`].
    ///
    /// ```
    /// use std::time::Duration;
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let node = chinwag::Node::builder().port(0).start().await?;
    /// let patient = node.with_deadline(Duration::from_secs(60));
    /// patient.group("all").status().counts().await?;
    /// # node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> NodeHandle {
        self.handle.with_deadline(deadline)
    }

    /// Calls a service of this node, or of a group that it knows. See [`NodeHandle::call`].
    ///
    /// # Errors
    /// As [`NodeHandle::call`].
    ///
    /// ```
    /// use chinwag::Gid;
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let node = chinwag::Node::builder().port(0).start().await?;
    /// let sid = node.call(Gid::local(), "status", "get", ("sid",)).await?.into_value();
    /// assert_eq!(sid.as_str(), Some(node.sid().as_str()));
    /// # node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn call(&self, gid: Gid, service: &str, method: &str, arguments: impl IntoArguments) -> Reply {
        self.handle.call(gid, service, method, arguments).await
    }

    /// Calls a service of another node. See [`NodeHandle::call_on`].
    ///
    /// # Errors
    /// As [`NodeHandle::call_on`].
    ///
    /// ```
    /// use chinwag::{Call, Gid, Node};
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let node = chinwag::Node::builder().port(0).start().await?;
    /// let other = Node::builder().port(0).start().await?;
    /// let sid = node.call_on(other.addr(), Call::new(Gid::local(), "status", "get", vec!["sid".into()])).await?;
    /// assert_eq!(sid.into_value().as_str(), Some(other.sid().as_str()));
    /// other.stop().await;
    /// # node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn call_on(&self, to: &NodeAddr, call: Call) -> Reply {
        self.handle.call_on(to, call).await
    }

    /// A group, as this node sees it. See [`NodeHandle::group`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let node = chinwag::Node::builder().port(0).start().await?;
    /// assert_eq!(node.group("all").members().await?.len(), 1);
    /// # node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn group(&self, gid: &str) -> Group {
        self.handle.group(gid)
    }

    /// The service `groups` of this node. See [`NodeHandle::groups`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let node = chinwag::Node::builder().port(0).start().await?;
    /// node.groups().put("pair", [node.addr().clone()]).await?;
    /// assert_eq!(node.group("pair").members().await?.len(), 1);
    /// # node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn groups(&self) -> LocalGroups<'_> {
        self.handle.groups()
    }

    /// The service `routes` of this node. See [`NodeHandle::routes`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let node = chinwag::Node::builder().port(0).start().await?;
    /// assert!(node.routes().get("status").await?.as_object().is_some());
    /// # node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn routes(&self) -> LocalRoutes<'_> {
        self.handle.routes()
    }

    /// The service `status` of this node. See [`NodeHandle::status`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let node = chinwag::Node::builder().port(0).start().await?;
    /// assert_eq!(node.status().get("port").await?, node.addr().port().into());
    /// # node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn status(&self) -> LocalStatus<'_> {
        self.handle.status()
    }

    /// The service `membership` of this node. See [`NodeHandle::membership`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let node = chinwag::Node::builder().port(0).start().await?;
    /// assert!(node.membership().list().await?.contains_key(&node.sid()));
    /// # node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn membership(&self) -> LocalMembership<'_> {
        self.handle.membership()
    }

    /// The service `comm` of this node. See [`NodeHandle::comm`].
    ///
    /// ```
    /// use chinwag::Remote;
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let node = chinwag::Node::builder().port(0).start().await?;
    /// let remote = Remote::new("status", "get").on(node.addr().clone());
    /// assert_eq!(node.comm().send(("sid",), &remote).await?.as_str(), Some(node.sid().as_str()));
    /// # node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn comm(&self) -> LocalComm<'_> {
        self.handle.comm()
    }

    /// Subscribes to what happens to the members and to this node's groups. See [`NodeHandle::events`].
    ///
    /// # Errors
    /// As [`NodeHandle::events`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let node = chinwag::Node::builder().port(0).start().await?;
    /// let mut events = node.events().await?;
    /// node.groups().put("pair", [node.addr().clone()]).await?;
    /// assert_eq!(events.next().await.map(|event| event.name()), Some("groupChanged"));
    /// # node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn events(&self) -> Result<Events, CallError> {
        self.handle.events().await
    }

    /// Starts another node in a process of its own. See [`NodeHandle::spawn`], and [`Builder::program`](crate::Builder::program)
    /// for the program that it runs.
    ///
    /// # Errors
    /// As [`NodeHandle::spawn`].
    ///
    /// ```
    /// use chinwag::{ErrorKind, Node, NodeAddr};
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let node = Node::builder().port(0).program("/no/such/program").start().await?;
    /// let failed = node.spawn(NodeAddr::new("127.0.0.1", 0)).await.unwrap_err();
    /// assert_eq!(failed.kind, ErrorKind::SpawnFailed);
    /// # node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn spawn(&self, config: NodeAddr) -> Result<NodeAddr, CallError> {
        self.handle.spawn(config).await
    }

    /// Adds a service to the running node. See [`NodeHandle::install`].
    ///
    /// # Errors
    /// As [`NodeHandle::install`].
    ///
    /// ```
    /// use chinwag::{Gid, Service};
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let node = chinwag::Node::builder().port(0).start().await?;
    /// node.install(Service::new("counter", |_| 0_u64).method("count", |n: &mut u64, ()| { *n += 1; *n })).await?;
    /// assert_eq!(node.call(Gid::local(), "counter", "count", ()).await?.into_value(), 1.into());
    /// # node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn install(&self, service: impl Into<AnyService>) -> Result<(), CallError> {
        self.handle.install(service).await
    }

    /// Makes a closure a function that other nodes can call. See [`NodeHandle::create_rpc`].
    ///
    /// # Errors
    /// As [`NodeHandle::create_rpc`].
    ///
    /// ```
    /// use chinwag::Lasting;
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let node = chinwag::Node::builder().port(0).start().await?;
    /// let greet = node.create_rpc(Lasting::Once, async |_| Ok("hello".into())).await?;
    /// assert_eq!(node.apply(greet, Vec::new()).await?.into_value().as_str(), Some("hello"));
    /// # node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn create_rpc<F, Fut>(&self, lasting: Lasting, callback: F) -> Result<Function, CallError>
    where
        F: Fn(Vec<Value>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Value, CallError>> + Send + 'static,
    {
        self.handle.create_rpc(lasting, callback).await
    }

    /// Calls a function that arrived as text. See [`NodeHandle::apply`].
    ///
    /// # Errors
    /// As [`NodeHandle::apply`].
    ///
    /// ```
    /// use chinwag::Lasting;
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let node = chinwag::Node::builder().port(0).start().await?;
    /// let echo = node.create_rpc(Lasting::Always, async |mut arguments| Ok(arguments.remove(0))).await?;
    /// assert_eq!(node.apply(echo, vec!["hello".into()]).await?.into_value().as_str(), Some("hello"));
    /// # node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn apply(&self, function: Function, arguments: Vec<Value>) -> Reply {
        self.handle.apply(function, arguments).await
    }

    /// Runs a script at top level. See [`NodeHandle::evaluate`].
    ///
    /// # Errors
    /// As [`NodeHandle::evaluate`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let node = chinwag::Node::builder().port(0).start().await?;
    /// # if cfg!(feature = "scripts") {
    /// assert_eq!(node.evaluate("[1, 2].length").await?, "2");
    /// # }
    /// # node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn evaluate(&self, script: impl Into<Script>) -> Result<String, CallError> {
        self.handle.evaluate(script).await
    }
}

/// The socket of a running node. [`Builder::on_start`](crate::Builder::on_start) gets it.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let node = chinwag::Node::builder().port(0).start().await?;
/// assert_eq!(node.server().address().port(), node.addr().port());
/// node.server().begin_stop();
/// node.stopped().await;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct ServerHandle {
    address: SocketAddr,
    running: NodeHandle,
    stop: mpsc::UnboundedSender<()>,
    gone: watch::Receiver<bool>,
}

impl ServerHandle {
    pub(crate) fn new(
        address: SocketAddr,
        running: NodeHandle,
        stop: mpsc::UnboundedSender<()>,
        gone: watch::Receiver<bool>,
    ) -> ServerHandle {
        ServerHandle { address, running, stop, gone }
    }

    /// The address that the socket is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address that the node tells others.
    pub fn node(&self) -> &NodeAddr {
        self.running.addr()
    }

    /// Begins to stop the node, and returns at once. The node performs no call that arrives after this returns.
    ///
    /// [`Node::stop`] does the same and waits for the end. [`NodeHandle::begin_stop`] does the same through the node's
    /// actors. Once the node is stopping, a further call has no effect.
    pub fn begin_stop(&self) {
        self.running.refuse_calls();
        // a node that is gone no longer receives
        let _ = self.stop.send(());
    }
}
