//! The handle of a running node.

use std::{fmt, future::Future, sync::Arc, time::Duration};

#[cfg(doc)]
use chinwag_protocol::call::ErrorKind;
use chinwag_protocol::{
    call::{Call, CallError, IntoArguments, Reply},
    identity::{Gid, Nid, NodeAddr, Sid},
    peer,
    swim::Input,
    value::{Function, Value},
};

use super::{
    group::Group,
    local::{LocalComm, LocalGroups, LocalMembership, LocalRoutes, LocalStatus},
};
use crate::{
    caller::Caller,
    doors::Doors,
    events::Events,
    messages::{Close, Evaluate, Farewell, Inputs, Install, InterruptScripts, Lasting, ScriptsIdle, Stop, Subscribe},
    request::{Origin, Response},
    script::Script,
};

/// The handle of a running node of this program. Dropping it does not stop the node.
///
/// ```
/// # use chinwag_actors::{environment::Environment, node};
/// # actix::System::new().block_on(async {
/// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
/// let counts = node.status().counts().await?;
/// let members = node.group("all").members().await?;
/// assert_eq!((counts, members.len()), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct NodeHandle {
    caller: Caller,
}

impl fmt::Debug for NodeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} {})", self.sid(), self.addr())
    }
}

impl AsRef<NodeHandle> for NodeHandle {
    fn as_ref(&self) -> &NodeHandle {
        self
    }
}

impl NodeHandle {
    pub(crate) fn new(doors: Arc<Doors>) -> NodeHandle {
        NodeHandle { caller: Caller::new(doors) }
    }

    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    fn doors(&self) -> &Arc<Doors> {
        self.caller.doors()
    }

    /// Returns a handle of the same node that makes its calls on behalf of another call.
    pub(crate) fn on_behalf_of(&self, origin: Origin) -> NodeHandle {
        NodeHandle { caller: self.caller.on_behalf_of(origin) }
    }

    /// Returns a handle of the same node whose calls have this much time. Default: 5 s. Maximum: 600 s. A call that is made
    /// to answer another call never has more time than that call has left.
    ///
    /// ```
    /// use std::time::Duration;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let patient = node.with_deadline(Duration::from_secs(60));
    /// assert_eq!(patient.status().get("port").await?, 8080.into());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> NodeHandle {
        NodeHandle { caller: self.caller.with_deadline(deadline) }
    }

    /// The address at which other nodes reach this node. It is the node's identity.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// assert_eq!(node.addr().to_string(), "127.0.0.1:8080");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn addr(&self) -> &NodeAddr {
        &self.doors().me
    }

    /// The node's identifier.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// assert!(node.group("all").members().await?.contains(&node.nid()));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn nid(&self) -> Nid {
        self.doors().nid
    }

    /// The first digits of the node's identifier.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// assert!(node.nid().to_string().starts_with(node.sid().as_str()));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn sid(&self) -> Sid {
        self.doors().nid.sid()
    }

    /// Calls a service of this node, or of a group that it knows.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`], [`ErrorKind::UnknownService`] and [`ErrorKind::UnknownMethod`] if one of these does not
    /// exist, [`ErrorKind::DeadlineExceeded`], [`ErrorKind::Busy`] if the node has too many calls under way, and any error
    /// that the service returns.
    ///
    /// ```
    /// use chinwag_protocol::identity::Gid;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let sid = node.call(Gid::local(), "status", "get", ("sid",)).await?;
    /// assert_eq!(sid.into_value().as_str(), Some(node.sid().as_str()));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn call(&self, gid: Gid, service: &str, method: &str, arguments: impl IntoArguments) -> Reply {
        self.caller.call(gid, service, method, arguments).await
    }

    /// Calls a service of another node.
    ///
    /// # Errors
    /// The errors of [`call`](NodeHandle::call), [`ErrorKind::Unreachable`] if the other node cannot be reached, and
    /// [`ErrorKind::Interrupted`] if the connection ends before the answer.
    ///
    /// ```
    /// use chinwag_protocol::{call::{Call, ErrorKind}, identity::{Gid, NodeAddr}};
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// // nothing listens at this address
    /// let absent = NodeAddr::new("127.0.0.1", 8081);
    /// let call = Call::new(Gid::local(), "status", "get", vec!["sid".into()]);
    /// assert_eq!(node.call_on(&absent, call).await.unwrap_err().kind, ErrorKind::Unreachable);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn call_on(&self, to: &NodeAddr, call: Call) -> Reply {
        self.caller.call_on(to, call).await
    }

    /// Answers a call that has a context of its own: one that arrived over the wire, for example.
    ///
    /// # Errors
    /// The errors of [`call`](NodeHandle::call).
    ///
    /// ```
    /// use chinwag_protocol::{call::Call, identity::Gid};
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let call = Call::new(Gid::local(), "status", "get", vec!["port".into()]);
    /// assert_eq!(node.dispatch(call).await?.into_value(), 8080.into());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn dispatch(&self, call: Call) -> Reply {
        self.doors().dispatch(call).await
    }

    /// Answers a request of a peer's gossip or membership. Such requests are answered even while the node refuses calls.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownMethod`] if the node does not take part in membership, and any error of gossip and membership.
    pub async fn answer(&self, request: peer::Request, time_left: Duration) -> peer::Reply {
        self.doors().answer(request, time_left).await
    }

    /// Does what [`answer`](NodeHandle::answer) does, for a caller on the node's own thread. `take` gets the response. A
    /// response that is there at once, as those of gossip are, needs no task and no channel. If the node ends first, `take`
    /// is dropped.
    pub fn enter(
        &self,
        request: peer::Request,
        time_left: Duration,
        take: impl FnOnce(Response<peer::Answer>) + 'static,
    ) {
        self.doors().enter(request, time_left, take);
    }

    /// Whether the node has been told to stop. From then on it performs no call that arrives. The calls under way finish, with
    /// the calls that they make, and the requests of gossip and membership are answered until the node is gone.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// assert!(!node.is_stopping());
    /// node.begin_stop().await?;
    /// assert!(node.is_stopping());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn is_stopping(&self) -> bool {
        self.doors().is_stopping()
    }

    /// Makes the node refuse every further call, as [`is_stopping`](NodeHandle::is_stopping) describes. This does not end
    /// the node. A second call has no effect.
    ///
    /// ```
    /// use chinwag_protocol::call::ErrorKind;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// node.refuse_calls();
    /// assert_eq!(node.status().counts().await.unwrap_err().kind, ErrorKind::Stopping);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn refuse_calls(&self) {
        self.doors().refuse_calls();
    }

    /// Checks whether a call that arrives now is admitted.
    ///
    /// # Errors
    /// [`ErrorKind::Stopping`] on a node that has been told to stop, unless the call belongs to gossip or membership.
    ///
    /// ```
    /// use chinwag_protocol::{call::Call, identity::Gid};
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let call = Call::new(Gid::local(), "status", "get", vec!["sid".into()]);
    /// assert!(node.check_admits(&call).is_ok());
    /// node.refuse_calls();
    /// assert!(node.check_admits(&call).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn check_admits(&self, call: &Call) -> Result<(), CallError> {
        self.doors().check_admits(call)
    }

    /// Tells the node that a connection has closed that a peer kept open to it. The node probes the peer at once, because a
    /// process that ends closes its connections.
    pub fn connection_closed(&self, peer: NodeAddr) {
        if let Some(membership) = &self.doors().membership {
            let closed = membership.deliver(Inputs::of([Input::Closed(peer.key())]));
            actix::spawn(async move {
                // an error means that the node has ended
                let _ = closed.await;
            });
        }
    }

    /// A group, as this node sees it. If `gid` is not a valid name, or the node does not know the group, each call on the
    /// group fails.
    ///
    /// ```
    /// use chinwag_protocol::call::ErrorKind;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// assert_eq!(node.group("all").members().await?.len(), 1);
    /// assert_eq!(node.group("unknown").members().await.unwrap_err().kind, ErrorKind::UnknownGroup);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn group(&self, gid: &str) -> Group {
        Group::new(self.caller.clone(), Gid::new(gid).map_err(CallError::from))
    }

    pub(crate) fn group_of(&self, gid: Gid) -> Group {
        Group::new(self.caller.clone(), Ok(gid))
    }

    /// The service `groups` of this node: its map of groups.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let members = node.groups().put("pair", [node.addr().clone()]).await?;
    /// assert_eq!(members.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn groups(&self) -> LocalGroups<'_> {
        LocalGroups::new(&self.caller)
    }

    /// The service `routes` of this node: its route table.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let status = node.routes().get("status").await?;
    /// assert!(status.as_object().is_some_and(|service| service.get("spawn").is_some()));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn routes(&self) -> LocalRoutes<'_> {
        LocalRoutes::new(&self.caller)
    }

    /// The service `status` of this node: what it is, how much it does and holds.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// assert_eq!(node.status().get("ip").await?.as_str(), Some("127.0.0.1"));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn status(&self) -> LocalStatus<'_> {
        LocalStatus::new(&self.caller)
    }

    /// The service `membership` of this node: who is alive, as this node sees it.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// assert!(node.membership().list().await?.contains_key(&node.sid()));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn membership(&self) -> LocalMembership<'_> {
        LocalMembership::new(&self.caller)
    }

    /// Subscribes to what happens to the members and to this node's groups from now on. Each event comes once, in order. A
    /// subscriber that falls behind gets an event that says how many it missed.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] on a node that does not take part in membership, [`ErrorKind::Busy`] if there are
    /// [`MAX_SUBSCRIBERS`](crate::local::membership::MAX_SUBSCRIBERS) already, and [`ErrorKind::Stopping`].
    ///
    /// ```
    /// use chinwag_actors::local::membership::Event;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let mut events = node.events().await?;
    /// node.groups().put("pair", [node.addr().clone()]).await?;
    /// assert!(matches!(events.next().await, Some(Event::GroupChanged { gid }) if gid.as_str() == "pair"));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn events(&self) -> Result<Events, CallError> {
        self.doors().ask_membership(Subscribe).await?
    }

    /// The service `comm` of this node, which calls other nodes.
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
    pub fn comm(&self) -> LocalComm<'_> {
        LocalComm::new(&self.caller)
    }

    /// Starts a new node with this address, and returns its address once it has booted. Port 0 takes a free port.
    ///
    /// # Errors
    /// [`ErrorKind::SpawnFailed`] with the end of what the new node wrote to standard error, and [`ErrorKind::Unsupported`] if
    /// the node starts no others.
    ///
    /// ```
    /// use chinwag_protocol::{call::ErrorKind, identity::NodeAddr};
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// // this node was started without a launcher
    /// let refused = node.spawn(NodeAddr::new("127.0.0.1", 0)).await;
    /// assert_eq!(refused.unwrap_err().kind, ErrorKind::Unsupported);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn spawn(&self, config: NodeAddr) -> Result<NodeAddr, CallError> {
        self.status().spawn(config).await
    }

    /// Runs an instance of a service under its name.
    pub(crate) async fn install_instance(&self, install: Install) -> Result<(), CallError> {
        self.caller.refuse_new_work()?;
        self.doors().lifecycle.deliver(install).await?
    }

    /// Makes a closure a function that other nodes can call like one of their own, when they get it as an argument, in a
    /// service or in an `onStart`. `lasting` says how often it can be called. A function that is never called is forgotten
    /// after [`UNCLAIMED`](crate::local::routes::UNCLAIMED).
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if too many functions are pending.
    ///
    /// ```
    /// use chinwag_actors::handle::Lasting;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let greet = node.create_rpc(Lasting::Once, async |_| Ok("hello".into())).await?;
    /// assert_eq!(node.apply(greet, Vec::new()).await?.into_value().as_str(), Some("hello"));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn create_rpc<F, Fut>(&self, lasting: Lasting, callback: F) -> Result<Function, CallError>
    where
        F: Fn(Vec<Value>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Value, CallError>> + Send + 'static,
    {
        self.caller.refuse_new_work()?;
        self.caller.create_rpc(lasting, callback).await
    }

    /// Begins to stop the node. The node performs no call that arrives after this returns. The program that started the
    /// node then lets the calls under way finish and ends its actors. `status.stop` does the same.
    ///
    /// A node with an HTTP interface has two more ways to stop: `ServerHandle::begin_stop` does the same without a message to
    /// an actor, and `Node::stop` also waits until the node is gone.
    ///
    /// # Errors
    /// [`ErrorKind::Crashed`] or [`ErrorKind::Stopping`] if the node has ended.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// node.begin_stop().await?;
    /// assert!(node.is_stopping());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn begin_stop(&self) -> Result<(), CallError> {
        self.doors().lifecycle.deliver(Stop).await
    }

    /// Says farewell to the other members, if the node takes part in membership. A node that stops does this first. Returns
    /// within [`FAREWELL`](crate::local::membership::FAREWELL); afterwards the subscribers' events have ended.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let mut events = node.events().await?;
    /// node.farewell().await;
    /// while events.next().await.is_some() {}
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn farewell(&self) {
        // a node that takes no part, or has ended, has nothing to say
        let _ = self.doors().ask_membership(Farewell).await;
    }

    /// Ends all of the node's actors at once and tells nobody, as a crash would.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// node.close().await;
    /// assert!(node.status().counts().await.is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn close(&self) {
        // a node that is closed already has no actor left to answer
        let _ = self.doors().lifecycle.deliver(Close).await;
    }

    /// Calls a function that arrived as text: the stub of a callback, or shipped code.
    ///
    /// # Errors
    /// The errors of [`call`](NodeHandle::call), and [`ErrorKind::Unsupported`] for shipped code on a node that takes none.
    ///
    /// ```
    /// use chinwag_actors::handle::Lasting;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let echo = node.create_rpc(Lasting::Always, async |mut arguments| Ok(arguments.remove(0))).await?;
    /// for n in [1, 2] {
    ///     assert_eq!(node.apply(echo.clone(), vec![n.into()]).await?.into_value(), n.into());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn apply(&self, function: Function, arguments: Vec<Value>) -> Reply {
        self.caller.apply(function, arguments).await
    }

    /// Runs a script at top level, where `await` is allowed. Returns the text by which a prompt shows the result.
    ///
    /// # Errors
    /// The error that the script throws, and [`ErrorKind::Unsupported`] on a node that takes no code.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// # if cfg!(feature = "scripts") {
    /// assert_eq!(node.evaluate("[1, 2].length").await?, "2");
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn evaluate(&self, script: impl Into<Script>) -> Result<String, CallError> {
        self.caller.refuse_new_work()?;
        let message = Evaluate { script: script.into(), origin: self.caller.origin() };
        let shown = self.doors().routes.deliver(message).await??;
        Ok(shown.into_value().deserialize()?)
    }

    /// Ends the scripts whose results are awaited with an error, and the code that runs now, whosever it is. This is what
    /// Ctrl-C does at a prompt.
    ///
    /// # Errors
    /// [`ErrorKind::Crashed`] or [`ErrorKind::Stopping`] if the node has stopped.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// # if cfg!(feature = "scripts") {
    /// let ended = tokio::join!(node.evaluate("await new Promise(() => {})"), node.interrupt_scripts());
    /// assert!(ended.0.is_err());
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn interrupt_scripts(&self) -> Result<(), CallError> {
        self.doors().routes.deliver(InterruptScripts).await
    }

    /// Waits until shipped code has no call, timer or unanswered function under way on this node. Returns an error that the
    /// code threw and nobody caught since the last call of this method, if there was one.
    ///
    /// # Errors
    /// [`ErrorKind::Crashed`] or [`ErrorKind::Stopping`] if the node has stopped.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// assert_eq!(node.scripts_idle().await?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn scripts_idle(&self) -> Result<Option<CallError>, CallError> {
        self.doors().routes.deliver(ScriptsIdle).await
    }
}
