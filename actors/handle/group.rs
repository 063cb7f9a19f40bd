//! The services of a group, typed.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

#[cfg(doc)]
use chinwag_protocol::call::ErrorKind;
use chinwag_protocol::{
    call::{Aggregate, Answer, CallError, GroupReply, IntoArguments, Remote, Reply},
    group::{self, GroupConfig},
    identity::{Gid, NodeAddr},
    value::{Function, Value},
};

use crate::{caller::Caller, messages::Enter};

/// A group of nodes, addressed as one. Returned by [`NodeHandle::group`](super::NodeHandle::group).
///
/// ```
/// use chinwag_protocol::call::Remote;
/// # use chinwag_actors::{environment::Environment, node};
/// # actix::System::new().block_on(async {
/// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
/// node.groups().put("pair", [node.addr().clone()]).await?;
/// let pair = node.group("pair");
/// let ports = pair.comm().send(("port",), &Remote::new("status", "get")).await?;
/// assert!(ports.errors.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Group {
    caller: Caller,
    gid: Result<Gid, CallError>,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("gid", &self.gid).finish_non_exhaustive()
    }
}

impl Group {
    pub(crate) fn new(caller: Caller, gid: Result<Gid, CallError>) -> Group {
        Group { caller, gid }
    }

    /// The group's name.
    ///
    /// # Errors
    /// [`ErrorKind::BadArgument`] if the text that the group was asked for is not a valid name.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// assert_eq!(node.group("all").gid()?.as_str(), "all");
    /// assert!(node.group("no/name").gid().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn gid(&self) -> Result<&Gid, CallError> {
        self.gid.as_ref().map_err(Clone::clone)
    }

    /// The members, as this node sees them.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// assert!(node.group("all").members().await?.contains(&node.nid()));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn members(&self) -> Result<Arc<group::Group>, CallError> {
        self.caller.members(self.gid()?).await
    }

    /// Calls a service of the group.
    ///
    /// # Errors
    /// The errors of [`NodeHandle::call`](super::NodeHandle::call).
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let served = node.group("all").call("status", "get", ("counts",)).await?;
    /// assert!(served.into_value().as_f64().is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn call(&self, service: &str, method: &str, arguments: impl IntoArguments) -> Reply {
        self.caller.call(self.gid()?.clone(), service, method, arguments).await
    }

    /// The service `comm` of the group, which calls every member.
    ///
    /// ```
    /// use chinwag_protocol::call::Remote;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let sids = node.group("all").comm().send(("sid",), &Remote::new("status", "get")).await?;
    /// assert_eq!(sids.values.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn comm(&self) -> GroupComm<'_> {
        GroupComm(self)
    }

    /// The service `groups` of the group: the members' maps of groups.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// assert_eq!(node.group("all").groups().get("all").await?.values.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn groups(&self) -> GroupGroups<'_> {
        GroupGroups(self)
    }

    /// The service `routes` of the group: the members' route tables.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let removed = node.group("all").routes().rem("greeter").await?;
    /// assert!(removed.errors.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn routes(&self) -> GroupRoutes<'_> {
        GroupRoutes(self)
    }

    /// The service `status` of the group: what its members are, how much they do and hold.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// assert!(node.group("all").status().counts().await?.errors.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn status(&self) -> GroupStatus<'_> {
        GroupStatus(self)
    }

    /// The service `gossip` of the group, which spreads messages among the members.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// node.group("all").gossip().entered().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn gossip(&self) -> GroupGossip<'_> {
        GroupGossip(self)
    }

    async fn each(&self, service: &str, method: &str, arguments: Vec<Value>) -> Result<GroupReply, CallError> {
        self.call(service, method, arguments).await?.try_into()
    }
}

/// The service `comm` of a group, which calls every member. Returned by [`Group::comm`].
///
/// ```
/// use chinwag_protocol::call::Remote;
/// # use chinwag_actors::{environment::Environment, node};
/// # actix::System::new().block_on(async {
/// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
/// let ports = node.group("all").comm().send(("port",), &Remote::new("status", "get")).await?;
/// assert_eq!(ports.values.values().next(), Some(&8080.into()));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct GroupComm<'a>(&'a Group);

impl GroupComm<'_> {
    /// Calls a service on every member at once. The reply has the value or the error of each member.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`], and an error if the group has no members.
    ///
    /// ```
    /// use chinwag_protocol::call::Remote;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let reply = node.group("all").comm().send(("sid",), &Remote::new("status", "get")).await?;
    /// assert!(reply.values.contains_key(&node.sid()) && reply.errors.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn send(&self, arguments: impl IntoArguments, remote: &Remote) -> Result<GroupReply, CallError> {
        let arguments = Value::from(arguments.into_arguments()?);
        self.0.each("comm", "send", vec![arguments, remote.to_value()]).await
    }
}

/// The service `groups` of a group: the members' maps of groups. Returned by [`Group::groups`].
///
/// ```
/// # use chinwag_actors::{environment::Environment, node};
/// # actix::System::new().block_on(async {
/// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
/// let all = node.group("all");
/// all.groups().put("pair", [node.addr().clone()]).await?;
/// assert!(all.groups().del("pair").await?.errors.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct GroupGroups<'a>(&'a Group);

impl GroupGroups<'_> {
    /// Each member's view of the group `gid`.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`] if this node does not know the group that is asked.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let views = node.group("all").groups().get("all").await?;
    /// assert!(views.values[&node.sid()].as_object().is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn get(&self, gid: &str) -> Result<GroupReply, CallError> {
        self.0.each("groups", "get", vec![Value::from(gid)]).await
    }

    /// Names a set of nodes on each member.
    ///
    /// # Errors
    /// The errors of [`get`](GroupGroups::get).
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let all = node.group("all");
    /// assert_eq!(all.groups().put("pair", [node.addr().clone()]).await?.values.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn put<C>(&self, config: C, nodes: impl Into<group::Group>) -> Result<GroupReply, CallError>
    where
        C: TryInto<GroupConfig>,
        CallError: From<C::Error>,
    {
        let config = config.try_into()?;
        self.0.each("groups", "put", vec![config.to_value(), nodes.into().to_value()]).await
    }

    /// Adds a node to the group `gid` on each member.
    ///
    /// # Errors
    /// The errors of [`get`](GroupGroups::get).
    ///
    /// ```
    /// use chinwag_protocol::identity::NodeAddr;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// node.groups().put("pair", [node.addr().clone()]).await?;
    /// node.group("all").groups().add("pair", NodeAddr::new("127.0.0.1", 8081)).await?;
    /// assert_eq!(node.groups().get("pair").await?.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn add(&self, gid: &str, node: NodeAddr) -> Result<GroupReply, CallError> {
        self.0.each("groups", "add", vec![Value::from(gid), node.to_value()]).await
    }

    /// Removes a node from the group `gid` on each member.
    ///
    /// # Errors
    /// The errors of [`get`](GroupGroups::get).
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// node.groups().put("pair", [node.addr().clone()]).await?;
    /// node.group("all").groups().rem("pair", node.sid().as_str()).await?;
    /// assert!(node.groups().get("pair").await?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn rem(&self, gid: &str, sid: &str) -> Result<GroupReply, CallError> {
        self.0.each("groups", "rem", vec![Value::from(gid), Value::from(sid)]).await
    }

    /// Deletes the group `gid` on each member.
    ///
    /// # Errors
    /// The errors of [`get`](GroupGroups::get).
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// node.groups().put("pair", [node.addr().clone()]).await?;
    /// node.group("all").groups().del("pair").await?;
    /// assert!(node.groups().get("pair").await.is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn del(&self, gid: &str) -> Result<GroupReply, CallError> {
        self.0.each("groups", "del", vec![Value::from(gid)]).await
    }
}

/// The service `routes` of a group: the members' route tables. Returned by [`Group::routes`].
///
/// ```
/// use chinwag_protocol::value::{Function, Value};
/// # use chinwag_actors::{environment::Environment, node};
/// # actix::System::new().block_on(async {
/// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
/// let greeter = Value::Object([("greet", Function::new("() => 'hello'"))].into_iter().collect());
/// node.group("all").routes().put(greeter, "greeter").await?;
/// assert!(node.routes().get("greeter").await?.as_object().is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct GroupRoutes<'a>(&'a Group);

impl GroupRoutes<'_> {
    /// Installs a service on each member.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    ///
    /// ```
    /// use chinwag_protocol::value::{Function, Value};
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let greeter = Value::Object([("greet", Function::new("() => 'hello'"))].into_iter().collect());
    /// assert!(node.group("all").routes().put(greeter, "greeter").await?.errors.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn put(&self, service: Value, name: &str) -> Result<GroupReply, CallError> {
        self.0.each("routes", "put", vec![service, Value::from(name)]).await
    }

    /// Removes a service from each member.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// assert!(node.group("all").routes().rem("greeter").await?.errors.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn rem(&self, name: &str) -> Result<GroupReply, CallError> {
        self.0.each("routes", "rem", vec![Value::from(name)]).await
    }
}

/// The service `status` of a group: what its members are, how much they do and hold. Returned by [`Group::status`].
///
/// ```
/// # use chinwag_actors::{environment::Environment, node};
/// # actix::System::new().block_on(async {
/// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
/// let counts = node.group("all").status().counts().await?;
/// assert!(counts.errors.is_empty() && counts.value > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct GroupStatus<'a>(&'a Group);

impl GroupStatus<'_> {
    /// A fact of each member, or for `counts`, `heapTotal` and `heapUsed` the sum of all members' figures.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let sids = node.group("all").status().get("sid").await?.into_value();
    /// assert!(sids.get(node.sid().as_str()).is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn get(&self, key: &str) -> Reply {
        self.0.call("status", "get", (key,)).await
    }

    /// The number of calls that all members together have served.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// assert!(node.group("all").status().counts().await?.value > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn counts(&self) -> Result<Aggregate<u64>, CallError> {
        self.sum("counts").await
    }

    /// The memory that the members' allocators hold from their operating systems, in bytes.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// // a member on a platform that does not know the figure answers an error
    /// assert_eq!(node.group("all").status().heap_total().await?.errors.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn heap_total(&self) -> Result<Aggregate<u64>, CallError> {
        self.sum("heapTotal").await
    }

    /// The part of [`heap_total`](GroupStatus::heap_total) that is in use, in bytes.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// // a member on a platform that does not know the figure answers an error
    /// assert_eq!(node.group("all").status().heap_used().await?.errors.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
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

    /// Starts a node, adds it to this group on every member, and puts the group on the new node.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`], and the errors of [`NodeHandle::spawn`](super::NodeHandle::spawn).
    ///
    /// ```
    /// use chinwag_protocol::identity::NodeAddr;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// // this node was started without a launcher
    /// assert!(node.group("all").status().spawn(NodeAddr::new("127.0.0.1", 0)).await.is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn spawn(&self, config: NodeAddr) -> Result<NodeAddr, CallError> {
        let answer = self.0.call("status", "spawn", vec![config.to_value()]).await?;
        Ok(NodeAddr::from_value(&answer.into_value())?)
    }

    /// Stops every member, and then this node.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`]. In this case no node stops.
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// node.group("all").status().stop().await?;
    /// assert!(node.is_stopping());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn stop(&self) -> Result<GroupReply, CallError> {
        self.0.each("status", "stop", Vec::new()).await
    }
}

/// The service `gossip` of a group, which spreads messages among the members. Returned by [`Group::gossip`].
///
/// ```
/// use chinwag_actors::service::Service;
/// use chinwag_protocol::call::Remote;
/// # use chinwag_actors::{environment::Environment, node};
/// # actix::System::new().block_on(async {
/// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
/// let board = Service::new("board", |_| Vec::new()).method("post", |notes: &mut Vec<String>, (note,): (String,)| notes.push(note));
/// node.install(board).await?;
/// node.group("all").gossip().send(("lunch at noon",), &Remote::new("board", "post")).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct GroupGossip<'a>(&'a Group);

impl GroupGossip<'_> {
    /// Spreads a message by gossip. Every member calls its own `remote` with these arguments, once. Returns the replies of the
    /// first members that the message reached.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    ///
    /// ```
    /// use chinwag_actors::service::Service;
    /// use chinwag_protocol::call::Remote;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let counter = Service::new("counter", |_| 0_u64).method("add", |n: &mut u64, (by,): (u64,)| { *n += by; *n });
    /// node.install(counter).await?;
    /// node.group("all").gossip().send((2,), &Remote::new("counter", "add")).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn send(&self, arguments: impl IntoArguments, remote: &Remote) -> Result<GroupReply, CallError> {
        let message = Value::from(arguments.into_arguments()?);
        self.0.each("gossip", "send", vec![message, remote.to_value()]).await
    }

    /// Does what [`send`](GroupGossip::send) does, and nodes that enter the group later also call their `remote`, for as long
    /// as members hold the message. They hold it for ten minutes, unless the group is configured otherwise.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    ///
    /// ```
    /// use chinwag_actors::service::Service;
    /// use chinwag_protocol::call::Remote;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let counter = Service::new("counter", |_| 0_u64).method("add", |n: &mut u64, (by,): (u64,)| { *n += by; *n });
    /// node.install(counter).await?;
    /// node.group("all").gossip().send_replayed((2,), &Remote::new("counter", "add")).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn send_replayed(&self, arguments: impl IntoArguments, remote: &Remote) -> Result<GroupReply, CallError> {
        let message = Value::from(arguments.into_arguments()?);
        let options = Value::Object([("replay", true)].into_iter().collect());
        self.0.each("gossip", "send", vec![message, remote.to_value(), options]).await
    }

    /// Waits until this node has entered the group, for at most a second. From then on the node performs every message that is
    /// sent to the group. `groups.put` and joining wait for this themselves, so this method is for a node that was
    /// [started](crate::environment::Environment::groups) with the group.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`], [`ErrorKind::Stopping`].
    ///
    /// ```
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// node.group("all").gossip().entered().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn entered(&self) -> Result<(), CallError> {
        let gid = self.0.gid()?.clone();
        self.0.members().await?;
        self.0.caller.doors().gossip.deliver(Enter { gid, through: None }).await
    }

    /// Calls a function every `interval`. Returns the name by which [`del`](GroupGossip::del) ends this.
    ///
    /// # Errors
    /// [`ErrorKind::BadArgument`] for an interval of zero or of more than a year.
    ///
    /// ```
    /// use chinwag_actors::handle::Lasting;
    /// use chinwag_protocol::value::Value;
    /// use std::time::Duration;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let tick = node.create_rpc(Lasting::Always, async |_| Ok(Value::Null)).await?;
    /// let id = node.group("all").gossip().at(Duration::from_secs(1), tick).await?;
    /// node.group("all").gossip().del(&id).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn at(&self, interval: Duration, function: Function) -> Result<String, CallError> {
        let interval = Value::from(interval.as_secs_f64() * 1_000.0);
        let answer = self.0.call("gossip", "at", vec![interval, Value::Function(function)]).await?;
        Ok(answer.into_value().deserialize()?)
    }

    /// Ends the calls that [`at`](GroupGossip::at) began.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if no calls have this name.
    ///
    /// ```
    /// use chinwag_protocol::call::ErrorKind;
    /// # use chinwag_actors::{environment::Environment, node};
    /// # actix::System::new().block_on(async {
    /// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
    /// let unknown = node.group("all").gossip().del("unknown").await;
    /// assert_eq!(unknown.unwrap_err().kind, ErrorKind::NotFound);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn del(&self, id: &str) -> Result<(), CallError> {
        self.0.call("gossip", "del", (id,)).await.map(drop)
    }
}
