//! A group's services, typed.

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

/// A group of nodes, addressed as one.
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
        self.caller.members(self.gid()?).await
    }

    /// Calls any of the group's services.
    ///
    /// # Errors
    /// As [`NodeHandle::call`](super::NodeHandle::call).
    pub async fn call(&self, service: &str, method: &str, arguments: impl IntoArguments) -> Reply {
        self.caller.call(self.gid()?.clone(), service, method, arguments).await
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

    /// As [`send`](GroupGossip::send), and nodes that enter the group later call their `remote` too, for as long as
    /// members hold the message (ten minutes, unless the group says otherwise).
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`].
    pub async fn send_replayed(&self, arguments: impl IntoArguments, remote: &Remote) -> Result<GroupReply, CallError> {
        let message = Value::from(arguments.into_arguments()?);
        let options = Value::Object([("replay", true)].into_iter().collect());
        self.0.each("gossip", "send", vec![message, remote.to_value(), options]).await
    }

    /// Waits until this node has entered the group: from then on it performs whatever is sent to it. `groups.put` and
    /// joining wait for that themselves, so this is for a node that was [started](crate::environment::Environment::groups) with
    /// the group. Takes at most a second.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownGroup`], [`ErrorKind::Stopping`].
    pub async fn entered(&self) -> Result<(), CallError> {
        let gid = self.0.gid()?.clone();
        self.0.members().await?;
        self.0.caller.doors().gossip.deliver(Enter { gid, through: None }).await
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
