//! A node's own services, typed.

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

/// [`NodeHandle::groups`].
pub struct LocalGroups<'a>(&'a Caller);

impl<'a> LocalGroups<'a> {
    pub(super) fn new(caller: &'a Caller) -> LocalGroups<'a> {
        LocalGroups(caller)
    }

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
        group::Group::from_value(&self.0.call_local("groups", method, arguments).await?)
    }
}

/// [`NodeHandle::routes`].
pub struct LocalRoutes<'a>(&'a Caller);

impl<'a> LocalRoutes<'a> {
    pub(super) fn new(caller: &'a Caller) -> LocalRoutes<'a> {
        LocalRoutes(caller)
    }

    /// A service: an object of functions. Those of a service written in Rust are stubs that call it here.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownService`].
    pub async fn get(&self, name: &str) -> Result<Value, CallError> {
        self.0.call_local("routes", "get", vec![Value::from(name)]).await
    }

    /// Installs an object of functions as a service.
    ///
    /// # Errors
    /// [`ErrorKind::Reserved`] where a built-in service has the name, [`ErrorKind::BadArgument`].
    pub async fn put(&self, service: Value, name: &str) -> Result<(), CallError> {
        self.0.call_local("routes", "put", vec![service, Value::from(name)]).await.map(drop)
    }

    /// Removes a service that was put or installed, and answers it: `undefined` where there is none of that name.
    ///
    /// # Errors
    /// [`ErrorKind::Reserved`].
    pub async fn rem(&self, name: &str) -> Result<Value, CallError> {
        self.0.call_local("routes", "rem", vec![Value::from(name)]).await
    }
}

/// [`NodeHandle::status`].
pub struct LocalStatus<'a>(&'a Caller);

impl<'a> LocalStatus<'a> {
    pub(super) fn new(caller: &'a Caller) -> LocalStatus<'a> {
        LocalStatus(caller)
    }

    /// One figure or fact by name: `nid`, `sid`, `ip`, `port`, `counts`, `heapTotal`, `heapUsed`, `load`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for another name.
    pub async fn get(&self, key: &str) -> Result<Value, CallError> {
        self.0.call_local("status", "get", vec![Value::from(key)]).await
    }

    /// How many calls the node has served.
    ///
    /// # Errors
    /// As [`NodeHandle::call`].
    pub async fn counts(&self) -> Result<u64, CallError> {
        Ok(self.get("counts").await?.deserialize()?)
    }

    /// How full the node is: what it holds of everything that it bounds.
    ///
    /// # Errors
    /// As [`NodeHandle::call`].
    pub async fn load(&self) -> Result<Load, CallError> {
        Ok(self.get("load").await?.deserialize()?)
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

    /// [`NodeHandle::spawn`].
    ///
    /// # Errors
    /// [`ErrorKind::SpawnFailed`].
    pub async fn spawn(&self, config: NodeAddr) -> Result<NodeAddr, CallError> {
        let config = self.0.call_local("status", "spawn", vec![config.to_value()]).await?;
        Ok(NodeAddr::from_value(&config)?)
    }
}

/// [`NodeHandle::membership`].
pub struct LocalMembership<'a>(&'a Caller);

impl<'a> LocalMembership<'a> {
    pub(super) fn new(caller: &'a Caller) -> LocalMembership<'a> {
        LocalMembership(caller)
    }

    /// Everybody known, this node and those that are gone included.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownService`] on a node that takes no part.
    pub async fn list(&self) -> Result<BTreeMap<Sid, Standing>, CallError> {
        let list = self.0.call_local("membership", "list", Vec::new()).await?;
        let entries = list.as_object().into_iter().flat_map(|list| list.iter());
        let read = |(sid, entry): (&str, &Value)| Ok((Sid::new(sid)?, Standing::from_value(entry)?));
        entries.map(read).collect()
    }

    /// Calls a function with each event, one at a time, in order. Answers the name by which
    /// [`unsubscribe`](LocalMembership::unsubscribe) ends it.
    ///
    /// # Errors
    /// As [`list`](LocalMembership::list), and [`ErrorKind::Busy`] with too many subscribers.
    pub async fn subscribe(&self, function: Function) -> Result<String, CallError> {
        let id = self.0.call_local("membership", "subscribe", vec![Value::Function(function)]).await?;
        Ok(id.deserialize()?)
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn unsubscribe(&self, id: &str) -> Result<(), CallError> {
        self.0.call_local("membership", "unsubscribe", vec![Value::from(id)]).await.map(drop)
    }

    /// Says farewell: the node is taken from the others' groups, without being called failed, and watches nobody any more.
    /// Ends when the first of them know, at the latest after [`FAREWELL`](crate::local::membership::FAREWELL).
    ///
    /// # Errors
    /// As [`list`](LocalMembership::list).
    pub async fn leave(&self) -> Result<(), CallError> {
        self.0.call_local("membership", "leave", Vec::new()).await.map(drop)
    }
}

/// [`NodeHandle::comm`].
pub struct LocalComm<'a>(&'a Caller);

impl<'a> LocalComm<'a> {
    pub(super) fn new(caller: &'a Caller) -> LocalComm<'a> {
        LocalComm(caller)
    }

    /// Calls a service of the node that `remote` names.
    ///
    /// # Errors
    /// As [`NodeHandle::call_on`].
    pub async fn send(&self, arguments: impl IntoArguments, remote: &Remote) -> Result<Value, CallError> {
        let Some(node) = &remote.node else {
            // refused there, in the words that a call from elsewhere is told
            let arguments = Value::from(arguments.into_arguments()?);
            return self.0.call_local("comm", "send", vec![arguments, remote.to_value()]).await;
        };
        // what the wire's method does with its arguments, without making values of them and reading those
        let arguments = arguments.into_arguments()?;
        let call = Call::new(remote.gid.clone(), remote.service.as_str(), remote.method.as_str(), arguments);
        Ok(self.0.call_on(node, call).await?.into_value())
    }
}
