//! The face: a running node as a Rust program holds it, and the groups it sees.
//!
//! Every method here is a [`Call`] on a service, sent to the node's own actors without a socket; nothing can be done
//! through the face that a call from elsewhere could not do. A handle is cheap to clone and can cross threads.

use std::{collections::BTreeMap, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use actix::{MailboxError, Message};
use chinwag_protocol::{
    call::{
        Aggregate, Answer, Call, CallContext, CallError, ErrorKind, GroupReply, IntoArguments, MAX_DEADLINE, Remote,
        Reply,
    },
    group::{self, GroupConfig},
    identity::{Gid, Nid, NodeAddr, Sid},
    value::{Function, Value},
};

use crate::{
    local::{comm, gossip, groups, membership, routes},
    node::{Close, Lifecycle, Stop},
    request::{Origin, Request, crashed},
    seat::Seat,
    service::AnyService,
    stub,
};

/// A node of one's own, running.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
    origin: Option<Origin>,
    deadline: Duration,
}

pub(crate) struct Inner {
    pub me: NodeAddr,
    pub nid: Nid,
    pub routes: Seat<routes::Routes>,
    pub groups: Seat<groups::Groups>,
    pub comm: Seat<comm::Comm>,
    pub gossip: Seat<gossip::Gossip>,
    pub lifecycle: Seat<Lifecycle>,
    /// None on a node that takes no part.
    pub membership: Option<Seat<membership::Membership>>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} {})", self.sid(), self.addr())
    }
}

impl Node {
    pub(crate) fn new(inner: Inner) -> Node {
        Node { inner: Arc::new(inner), origin: None, deadline: chinwag_protocol::call::DEFAULT_DEADLINE }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// The same node, its calls made on behalf of another call.
    pub(crate) fn on_behalf_of(&self, origin: Origin) -> Node {
        Node { origin: Some(origin), ..self.clone() }
    }

    /// The same node, its calls given so much time (5 s where nothing is said, 600 s at the most). A call made while
    /// another is answered never gets more time than that one has left.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Node {
        Node { deadline: deadline.min(MAX_DEADLINE), ..self.clone() }
    }

    /// Where it is reached.
    pub fn addr(&self) -> &NodeAddr {
        &self.inner.me
    }

    /// Its identifier.
    pub fn nid(&self) -> Nid {
        self.inner.nid
    }

    /// The first digits of its identifier.
    pub fn sid(&self) -> Sid {
        self.inner.nid.sid()
    }

    /// Calls a service of this node, or of a group it knows.
    ///
    /// # Errors
    /// Whatever the service answers; [`ErrorKind::UnknownGroup`], [`ErrorKind::UnknownService`] and
    /// [`ErrorKind::UnknownMethod`] where there is none; [`ErrorKind::DeadlineExceeded`], [`ErrorKind::Busy`].
    pub async fn call(&self, gid: Gid, service: &str, method: &str, arguments: impl IntoArguments) -> Reply {
        let call = Call::new(gid, service, method, arguments.into_arguments()?);
        self.dispatch(call.within(self.context()?)).await
    }

    /// Calls a service of another node.
    ///
    /// # Errors
    /// As [`call`](Node::call), and [`ErrorKind::Unreachable`] or [`ErrorKind::Interrupted`].
    pub async fn call_on(&self, to: &NodeAddr, call: Call) -> Reply {
        let call = call.within(self.context()?);
        let message = comm::Send { to: to.clone(), call };
        self.inner.comm.addr().send(message).await.map_err(crashed(&"comm"))?
    }

    /// A call that came with its own context, over the wire for example.
    ///
    /// # Errors
    /// As [`call`](Node::call).
    pub async fn dispatch(&self, call: Call) -> Reply {
        let request = Request::new(call);
        self.inner.routes.addr().send(request).await.map_err(crashed(&"the route table"))?
    }

    /// What the node's present call allows the next one.
    fn context(&self) -> Result<CallContext, CallError> {
        match &self.origin {
            None => Ok(CallContext { time_left: self.deadline, ..CallContext::default() }),
            Some(origin) => {
                let mut context = origin.nested()?;
                context.time_left = context.time_left.min(self.deadline);
                Ok(context)
            }
        }
    }

    /// A group as this node sees it. A name that cannot be one, or that the node does not know, fails each call on it.
    pub fn group(&self, gid: &str) -> Group {
        Group { node: self.clone(), gid: Gid::new(gid).map_err(CallError::from) }
    }

    pub(crate) fn group_of(&self, gid: Gid) -> Group {
        Group { node: self.clone(), gid: Ok(gid) }
    }

    /// This node's own map of groups.
    pub fn groups(&self) -> LocalGroups<'_> {
        LocalGroups(self)
    }

    /// This node's own route table.
    pub fn routes(&self) -> LocalRoutes<'_> {
        LocalRoutes(self)
    }

    /// This node's own figures.
    pub fn status(&self) -> LocalStatus<'_> {
        LocalStatus(self)
    }

    /// Who is alive, as this node sees it.
    pub fn membership(&self) -> LocalMembership<'_> {
        LocalMembership(self)
    }

    /// What happens to the members and to this node's groups, from now on: each event once, in order. A subscriber that
    /// falls behind is told how many events it missed.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] on a node that takes no part in membership, [`ErrorKind::Busy`] past
    /// [`membership::MAX_SUBSCRIBERS`], [`ErrorKind::Stopping`].
    pub async fn events(&self) -> Result<membership::Events, CallError> {
        membership::send(self, membership::Subscribe).await?
    }

    /// Calls on single nodes.
    pub fn comm(&self) -> LocalComm<'_> {
        LocalComm(self)
    }

    /// Starts a new node and answers with its address once it has booted. Port 0 takes a free one.
    ///
    /// # Errors
    /// [`ErrorKind::SpawnFailed`], with the end of what it wrote to stderr.
    pub async fn spawn(&self, config: NodeAddr) -> Result<NodeAddr, CallError> {
        self.status().spawn(config).await
    }

    /// Adds a service of one's own, found under its name by every node.
    ///
    /// # Errors
    /// [`ErrorKind::Reserved`] where a built-in service has the name.
    pub async fn install(&self, service: impl Into<AnyService>) -> Result<(), CallError> {
        let message = crate::node::Install(service.into());
        self.lifecycle(message).await?
    }

    /// A function that other nodes call as they would one of their own: passed as an argument, stored in a service,
    /// called from an `onStart`. It answers once, or for good; one that is never called is forgotten after
    /// [`routes::UNCLAIMED`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] with too many of them pending.
    pub async fn create_rpc<F, Fut>(&self, lasting: Lasting, callback: F) -> Result<Function, CallError>
    where
        F: Fn(Vec<Value>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Value, CallError>> + Send + 'static,
    {
        let callback = move |arguments| -> CallbackFuture { Box::pin(callback(arguments)) };
        let message = routes::AddCallback { lasting, callback: Box::new(callback) };
        let name = self.inner.routes.addr().send(message).await.map_err(crashed(&"the route table"))??;
        Ok(stub::function(self.addr(), &name, "call"))
    }

    /// Answers what is asked, then stops the node: its actors end, and a node of its own process exits.
    ///
    /// # Errors
    /// Where it is stopping already.
    pub async fn stop(&self) -> Result<(), CallError> {
        self.lifecycle(Stop).await
    }

    /// Says farewell, if the node takes part in membership: what a node does first when it stops. Ends within
    /// [`membership::FAREWELL`]; afterwards the streams of events have ended.
    pub async fn farewell(&self) {
        // a node that takes no part, or has ended, has nothing to say
        let _ = membership::send(self, membership::Farewell).await;
    }

    /// Ends all of the node's actors at once, with nobody told: what a crash would do.
    pub async fn close(&self) {
        // one that is closed already has no actor left to answer
        let _ = self.lifecycle(Close).await;
    }

    /// The same node, its calls made on nobody's behalf.
    pub(crate) fn on_its_own(&self) -> Node {
        Node { origin: None, ..self.clone() }
    }

    /// Where calls made through this handle now come from.
    pub(crate) fn origin(&self) -> Result<Origin, CallError> {
        Ok(self.origin.clone().unwrap_or_else(|| Origin::starting(self.deadline)))
    }

    /// Calls a function that came as text: the stub of a callback, or shipped code.
    ///
    /// # Errors
    /// As [`call`](Node::call), and [`ErrorKind::Unsupported`] on a node that takes no code.
    pub async fn apply(&self, function: Function, arguments: Vec<Value>) -> Reply {
        let message = routes::Apply { function, arguments, origin: self.origin()? };
        self.inner.routes.addr().send(message).await.map_err(crashed(&"the route table"))?
    }

    /// Runs JavaScript source at top level, as a prompt does; `await` is allowed there. Answers the text by which a
    /// prompt shows what it comes to.
    ///
    /// # Errors
    /// What the source throws; [`ErrorKind::Unsupported`] on a node that takes no code.
    pub async fn evaluate(&self, source: impl Into<String>) -> Result<String, CallError> {
        let message = routes::Evaluate { source: source.into(), origin: self.origin()? };
        let shown = self.inner.routes.addr().send(message).await.map_err(crashed(&"the route table"))??;
        Ok(shown.into_value().deserialize()?)
    }

    /// Waits until shipped code has no call, timer or unanswered function under way on this node. Answers an error that
    /// it threw and nobody caught, if there was one since this was last asked.
    ///
    /// # Errors
    /// Where the node has stopped.
    pub async fn scripts_idle(&self) -> Result<Option<CallError>, CallError> {
        self.inner.routes.addr().send(routes::Idle).await.map_err(crashed(&"the route table"))
    }

    /// A name that nobody else has, and a generator of its own.
    pub(crate) async fn name_and_chance(&self) -> Result<(String, rand_chacha::ChaCha8Rng), CallError> {
        self.inner.routes.addr().send(routes::NameAndChance).await.map_err(crashed(&"the route table"))
    }

    async fn lifecycle<M>(&self, message: M) -> Result<M::Result, CallError>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Lifecycle: actix::Handler<M>,
        actix::Context<Lifecycle>: actix::dev::ToEnvelope<Lifecycle, M>,
    {
        let stopping = |_: MailboxError| CallError::new(ErrorKind::Stopping, "the node has stopped");
        self.inner.lifecycle.addr().send(message).await.map_err(stopping)
    }

    async fn local(&self, service: &str, method: &str, arguments: Vec<Value>) -> Result<Value, CallError> {
        Ok(self.call(Gid::local(), service, method, arguments).await?.into_value())
    }
}

/// What a callback answers with.
pub type CallbackFuture = Pin<Box<dyn Future<Output = Result<Value, CallError>> + Send>>;

/// How often a callback may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// Once; then its name is free.
    Once,
    /// For as long as the node lives.
    Always,
}

/// A group of nodes, addressed as one.
#[derive(Clone, Debug)]
pub struct Group {
    node: Node,
    gid: Result<Gid, CallError>,
}

impl Group {
    /// Its name.
    ///
    /// # Errors
    /// Where the text it was asked for by cannot be one.
    pub fn gid(&self) -> Result<&Gid, CallError> {
        self.gid.as_ref().map_err(Clone::clone)
    }

    /// The members, as this node sees them.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    pub async fn members(&self) -> Result<Arc<group::Group>, CallError> {
        let message = groups::Members(self.gid()?.clone());
        self.node.inner.groups.addr().send(message).await.map_err(crashed(&"groups"))?
    }

    /// Calls any of the group's services.
    ///
    /// # Errors
    /// As [`Node::call`].
    pub async fn call(&self, service: &str, method: &str, arguments: impl IntoArguments) -> Reply {
        self.node.call(self.gid()?.clone(), service, method, arguments).await
    }

    /// Messages to every member.
    pub fn comm(&self) -> GroupComm<'_> {
        GroupComm(self)
    }

    /// The members' maps of groups.
    pub fn groups(&self) -> GroupGroups<'_> {
        GroupGroups(self)
    }

    /// The members' route tables.
    pub fn routes(&self) -> GroupRoutes<'_> {
        GroupRoutes(self)
    }

    /// The members' figures.
    pub fn status(&self) -> GroupStatus<'_> {
        GroupStatus(self)
    }

    /// Messages that spread by themselves.
    pub fn gossip(&self) -> GroupGossip<'_> {
        GroupGossip(self)
    }

    async fn each(&self, service: &str, method: &str, arguments: Vec<Value>) -> Result<GroupReply, CallError> {
        self.call(service, method, arguments).await?.try_into()
    }
}

/// [`Node::groups`].
#[derive(Debug)]
pub struct LocalGroups<'a>(&'a Node);

impl LocalGroups<'_> {
    /// The nodes of a group.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    pub async fn get(&self, gid: &str) -> Result<group::Group, CallError> {
        self.set("get", vec![Value::from(gid)]).await
    }

    /// Names a set of nodes on this node, and starts the group's services here.
    ///
    /// # Errors
    /// [`ErrorKind::Reserved`] for `local`, [`ErrorKind::BadArgument`] for a name or option that cannot be one.
    pub async fn put<C>(&self, config: C, nodes: impl Into<group::Group>) -> Result<group::Group, CallError>
    where
        C: TryInto<GroupConfig>,
        CallError: From<C::Error>,
    {
        let config = config.try_into()?;
        self.set("put", vec![config.to_value(), nodes.into().to_value()]).await
    }

    /// Adds a node to a group on this node.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    pub async fn add(&self, gid: &str, node: NodeAddr) -> Result<group::Group, CallError> {
        self.set("add", vec![Value::from(gid), node.to_value()]).await
    }

    /// Removes a node from a group on this node.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    pub async fn rem(&self, gid: &str, sid: &str) -> Result<group::Group, CallError> {
        self.set("rem", vec![Value::from(gid), Value::from(sid)]).await
    }

    /// Forgets a group on this node, and stops its services here.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`], [`ErrorKind::Reserved`] for `all` and `local`.
    pub async fn del(&self, gid: &str) -> Result<group::Group, CallError> {
        self.set("del", vec![Value::from(gid)]).await
    }

    async fn set(&self, method: &str, arguments: Vec<Value>) -> Result<group::Group, CallError> {
        group::Group::from_value(&self.0.local("groups", method, arguments).await?)
    }
}

/// [`Node::routes`].
#[derive(Debug)]
pub struct LocalRoutes<'a>(&'a Node);

impl LocalRoutes<'_> {
    /// A service: an object of functions. Those of a service written in Rust are stubs that call it here.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownService`].
    pub async fn get(&self, name: &str) -> Result<Value, CallError> {
        self.0.local("routes", "get", vec![Value::from(name)]).await
    }

    /// Installs an object of functions as a service.
    ///
    /// # Errors
    /// [`ErrorKind::Reserved`] where a built-in service has the name, [`ErrorKind::BadArgument`].
    pub async fn put(&self, service: Value, name: &str) -> Result<(), CallError> {
        self.0.local("routes", "put", vec![service, Value::from(name)]).await.map(drop)
    }

    /// Removes a service that was put or installed.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownService`], [`ErrorKind::Reserved`].
    pub async fn rem(&self, name: &str) -> Result<Value, CallError> {
        self.0.local("routes", "rem", vec![Value::from(name)]).await
    }
}

/// [`Node::status`].
#[derive(Debug)]
pub struct LocalStatus<'a>(&'a Node);

impl LocalStatus<'_> {
    /// One figure or fact by name: `nid`, `sid`, `ip`, `port`, `counts`, `heapTotal`, `heapUsed`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for another name.
    pub async fn get(&self, key: &str) -> Result<Value, CallError> {
        self.0.local("status", "get", vec![Value::from(key)]).await
    }

    /// How many calls the node has served.
    ///
    /// # Errors
    /// As [`Node::call`].
    pub async fn counts(&self) -> Result<u64, CallError> {
        Ok(self.get("counts").await?.deserialize()?)
    }

    /// Bytes that the allocator holds of the operating system.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where the platform does not say.
    pub async fn heap_total(&self) -> Result<u64, CallError> {
        Ok(self.get("heapTotal").await?.deserialize()?)
    }

    /// Bytes of these that are in use.
    ///
    /// # Errors
    /// As [`heap_total`](LocalStatus::heap_total).
    pub async fn heap_used(&self) -> Result<u64, CallError> {
        Ok(self.get("heapUsed").await?.deserialize()?)
    }

    /// [`Node::spawn`].
    ///
    /// # Errors
    /// [`ErrorKind::SpawnFailed`].
    pub async fn spawn(&self, config: NodeAddr) -> Result<NodeAddr, CallError> {
        let config = self.0.local("status", "spawn", vec![config.to_value()]).await?;
        Ok(NodeAddr::from_value(&config)?)
    }
}

/// [`Node::membership`].
#[derive(Debug)]
pub struct LocalMembership<'a>(&'a Node);

impl LocalMembership<'_> {
    /// Everybody known, this node and those that are gone included.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownService`] on a node that takes no part.
    pub async fn list(&self) -> Result<BTreeMap<Sid, membership::Standing>, CallError> {
        let list = self.0.local("membership", "list", Vec::new()).await?;
        let entries = list.as_object().into_iter().flat_map(|list| list.iter());
        let read = |(sid, entry): (&str, &Value)| Ok((Sid::new(sid)?, membership::Standing::from_value(entry)?));
        entries.map(read).collect()
    }

    /// Calls a function with each event, one at a time, in order. Answers the name by which
    /// [`unsubscribe`](LocalMembership::unsubscribe) ends it.
    ///
    /// # Errors
    /// As [`list`](LocalMembership::list), and [`ErrorKind::Busy`] with too many subscribers.
    pub async fn subscribe(&self, function: Function) -> Result<String, CallError> {
        let id = self.0.local("membership", "subscribe", vec![Value::Function(function)]).await?;
        Ok(id.deserialize()?)
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn unsubscribe(&self, id: &str) -> Result<(), CallError> {
        self.0.local("membership", "unsubscribe", vec![Value::from(id)]).await.map(drop)
    }

    /// Says farewell: the node is taken from the others' groups, without being called failed, and watches nobody any more.
    /// Ends when the first of them know, at the latest after [`membership::FAREWELL`].
    ///
    /// # Errors
    /// As [`list`](LocalMembership::list).
    pub async fn leave(&self) -> Result<(), CallError> {
        self.0.local("membership", "leave", Vec::new()).await.map(drop)
    }
}

/// [`Node::comm`].
#[derive(Debug)]
pub struct LocalComm<'a>(&'a Node);

impl LocalComm<'_> {
    /// Calls a service of the node that `remote` names.
    ///
    /// # Errors
    /// As [`Node::call_on`].
    pub async fn send(&self, arguments: impl IntoArguments, remote: &Remote) -> Result<Value, CallError> {
        let Some(node) = &remote.node else {
            // refused there, in the words that a call from elsewhere is told
            let arguments = Value::from(arguments.into_arguments()?);
            return self.0.local("comm", "send", vec![arguments, remote.to_value()]).await;
        };
        // what the wire's method does with its arguments, without making values of them and reading those
        let arguments = arguments.into_arguments()?;
        let call = Call::new(remote.gid.clone(), remote.service.as_str(), remote.method.as_str(), arguments);
        Ok(self.0.call_on(node, call).await?.into_value())
    }
}

/// [`Group::comm`].
#[derive(Debug)]
pub struct GroupComm<'a>(&'a Group);

impl GroupComm<'_> {
    /// Calls a service on every member at once. A member that fails costs one error.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`], and for an empty group an error of its own.
    pub async fn send(&self, arguments: impl IntoArguments, remote: &Remote) -> Result<GroupReply, CallError> {
        let arguments = Value::from(arguments.into_arguments()?);
        self.0.each("comm", "send", vec![arguments, remote.to_value()]).await
    }
}

/// [`Group::groups`].
#[derive(Debug)]
pub struct GroupGroups<'a>(&'a Group);

impl GroupGroups<'_> {
    /// Each member's view of a group.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`] where this node does not know the group asked.
    pub async fn get(&self, gid: &str) -> Result<GroupReply, CallError> {
        self.0.each("groups", "get", vec![Value::from(gid)]).await
    }

    /// Names a set of nodes on each member.
    ///
    /// # Errors
    /// As [`get`](GroupGroups::get).
    pub async fn put<C>(&self, config: C, nodes: impl Into<group::Group>) -> Result<GroupReply, CallError>
    where
        C: TryInto<GroupConfig>,
        CallError: From<C::Error>,
    {
        let config = config.try_into()?;
        self.0.each("groups", "put", vec![config.to_value(), nodes.into().to_value()]).await
    }

    /// Adds a node to a group on each member.
    ///
    /// # Errors
    /// As [`get`](GroupGroups::get).
    pub async fn add(&self, gid: &str, node: NodeAddr) -> Result<GroupReply, CallError> {
        self.0.each("groups", "add", vec![Value::from(gid), node.to_value()]).await
    }

    /// Removes a node from a group on each member.
    ///
    /// # Errors
    /// As [`get`](GroupGroups::get).
    pub async fn rem(&self, gid: &str, sid: &str) -> Result<GroupReply, CallError> {
        self.0.each("groups", "rem", vec![Value::from(gid), Value::from(sid)]).await
    }

    /// Forgets a group on each member.
    ///
    /// # Errors
    /// As [`get`](GroupGroups::get).
    pub async fn del(&self, gid: &str) -> Result<GroupReply, CallError> {
        self.0.each("groups", "del", vec![Value::from(gid)]).await
    }
}

/// [`Group::routes`].
#[derive(Debug)]
pub struct GroupRoutes<'a>(&'a Group);

impl GroupRoutes<'_> {
    /// Installs a service on each member.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    pub async fn put(&self, service: Value, name: &str) -> Result<GroupReply, CallError> {
        self.0.each("routes", "put", vec![service, Value::from(name)]).await
    }

    /// Removes a service from each member.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    pub async fn rem(&self, name: &str) -> Result<GroupReply, CallError> {
        self.0.each("routes", "rem", vec![Value::from(name)]).await
    }
}

/// [`Group::status`].
#[derive(Debug)]
pub struct GroupStatus<'a>(&'a Group);

impl GroupStatus<'_> {
    /// A fact of each member; a sum for `counts`, `heapTotal` and `heapUsed`.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    pub async fn get(&self, key: &str) -> Reply {
        self.0.call("status", "get", (key,)).await
    }

    /// Calls served by all members together.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    pub async fn counts(&self) -> Result<Aggregate<u64>, CallError> {
        self.sum("counts").await
    }

    /// Bytes that the members' allocators hold.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    pub async fn heap_total(&self) -> Result<Aggregate<u64>, CallError> {
        self.sum("heapTotal").await
    }

    /// Bytes of these that are in use.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    pub async fn heap_used(&self) -> Result<Aggregate<u64>, CallError> {
        self.sum("heapUsed").await
    }

    async fn sum(&self, key: &str) -> Result<Aggregate<u64>, CallError> {
        let (errors, value) = match self.get(key).await? {
            Answer::Group { errors, value } => (errors, value),
            Answer::Value(value) => (BTreeMap::new(), value),
        };
        Ok(Aggregate { errors, value: value.deserialize()? })
    }

    /// Starts a node, adds it to this group on every member, and gives it the group.
    ///
    /// # Errors
    /// [`ErrorKind::SpawnFailed`], [`ErrorKind::UnknownGroup`].
    pub async fn spawn(&self, config: NodeAddr) -> Result<NodeAddr, CallError> {
        let answer = self.0.call("status", "spawn", vec![config.to_value()]).await?;
        Ok(NodeAddr::from_value(&answer.into_value())?)
    }

    /// Stops every member, and then this node.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`]; nothing stops then.
    pub async fn stop(&self) -> Result<GroupReply, CallError> {
        self.0.each("status", "stop", Vec::new()).await
    }
}

/// [`Group::gossip`].
#[derive(Debug)]
pub struct GroupGossip<'a>(&'a Group);

impl GroupGossip<'_> {
    /// Has every member call its own `remote` with these arguments, told by its peers. Answers what the first of them
    /// said.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    pub async fn send(&self, arguments: impl IntoArguments, remote: &Remote) -> Result<GroupReply, CallError> {
        let message = Value::from(arguments.into_arguments()?);
        self.0.each("gossip", "send", vec![message, remote.to_value()]).await
    }

    /// Runs a function every `interval`. Answers the name by which [`del`](GroupGossip::del) stops it.
    ///
    /// # Errors
    /// [`ErrorKind::BadArgument`] for an interval of nothing, or longer than a year.
    pub async fn at(&self, interval: Duration, function: Function) -> Result<String, CallError> {
        let interval = Value::from(interval.as_secs_f64() * 1_000.0);
        let answer = self.0.call("gossip", "at", vec![interval, Value::Function(function)]).await?;
        Ok(answer.into_value().deserialize()?)
    }

    /// Stops what [`at`](GroupGossip::at) started.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn del(&self, id: &str) -> Result<(), CallError> {
        self.0.call("gossip", "del", (id,)).await.map(drop)
    }
}
