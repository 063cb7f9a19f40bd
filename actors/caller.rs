//! Calls on one node, made by the program or on behalf of another call.

use std::{collections::BTreeSet, future::Future, net::SocketAddr, sync::Arc, sync::atomic::Ordering, time::Duration};

use chinwag_protocol::{
    call::{Call, CallContext, CallError, DEFAULT_DEADLINE, IntoArguments, MAX_DEADLINE, Reply},
    group::Group,
    identity::{Gid, Nid, NodeAddr},
    value::{Function, Value},
};

use crate::{
    doors::{Doors, stopping},
    messages::{AddCallback, Apply, CallbackFuture, Lasting, Members, SendCall, Unreachable},
    request::Origin,
    stub,
};

/// Makes calls on a node. The call on whose behalf it makes them, if there is one, bounds their time and their depth.
#[derive(Clone)]
pub(crate) struct Caller {
    doors: Arc<Doors>,
    origin: Option<Origin>,
    /// Where what the calls serve came from, if they have no origin.
    peer: Option<SocketAddr>,
    deadline: Duration,
}

impl Caller {
    /// Makes calls on behalf of no other call.
    pub(crate) fn new(doors: Arc<Doors>) -> Caller {
        Caller { doors, origin: None, peer: None, deadline: DEFAULT_DEADLINE }
    }

    /// The node's doors.
    pub(crate) fn doors(&self) -> &Arc<Doors> {
        &self.doors
    }

    /// Returns a caller on the same node whose calls are made on behalf of another call.
    pub(crate) fn on_behalf_of(&self, origin: Origin) -> Caller {
        Caller { origin: Some(origin), ..self.clone() }
    }

    /// Returns a caller on the same node whose calls are made on behalf of no other call. They still count as those of
    /// the peer that asked for them.
    pub(crate) fn on_its_own(&self) -> Caller {
        let peer = self.origin.as_ref().and_then(Origin::peer);
        Caller { origin: None, peer, ..self.clone() }
    }

    /// Returns a caller on the same node whose calls have this much time.
    pub(crate) fn with_deadline(&self, deadline: Duration) -> Caller {
        Caller { deadline: deadline.min(MAX_DEADLINE), ..self.clone() }
    }

    /// How much time calls have.
    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Calls a service of this node, or of a group that it knows.
    pub(crate) async fn call(&self, gid: Gid, service: &str, method: &str, arguments: impl IntoArguments) -> Reply {
        let call = Call::new(gid, service, method, arguments.into_arguments()?);
        let call = call.within(self.context()?);
        match self.origin {
            None => self.doors.dispatch(call).await,
            // the call that makes it has been admitted
            Some(_) => self.doors.perform(call).await,
        }
    }

    /// Calls one of the node's own services.
    pub(crate) async fn call_local(
        &self,
        service: &str,
        method: &str,
        arguments: Vec<Value>,
    ) -> Result<Value, CallError> {
        Ok(self.call(Gid::local(), service, method, arguments).await?.into_value())
    }

    /// Calls a service of another node.
    pub(crate) async fn call_on(&self, to: &NodeAddr, call: Call) -> Reply {
        self.refuse_new_work()?;
        let call = call.within(self.context()?);
        self.doors.comm.deliver(SendCall { to: to.clone(), call }).await?
    }

    /// Calls a function that arrived as text: the stub of a callback, or shipped code.
    pub(crate) async fn apply(&self, function: Function, arguments: Vec<Value>) -> Reply {
        self.refuse_new_work()?;
        self.run(function, arguments).await
    }

    /// Calls a function on the node's own initiative, which a node does until it has ended.
    pub(crate) async fn run(&self, function: Function, arguments: Vec<Value>) -> Reply {
        let message = Apply { function, arguments, origin: self.origin() };
        self.doors.routes.deliver(message).await?
    }

    /// Registers a closure as a function that other nodes can call.
    pub(crate) async fn create_rpc<F, Fut>(&self, lasting: Lasting, callback: F) -> Result<Function, CallError>
    where
        F: Fn(Vec<Value>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Value, CallError>> + Send + 'static,
    {
        let callback = move |arguments| -> CallbackFuture { Box::pin(callback(arguments)) };
        let message = AddCallback { lasting, callback: Box::new(callback) };
        let name = self.doors.routes.deliver(message).await??;
        Ok(stub::function(&self.doors.me, &name, "call"))
    }

    /// The members of a group, as this node sees it.
    pub(crate) async fn members(&self, gid: &Gid) -> Result<Arc<Group>, CallError> {
        self.doors.groups.deliver(Members(gid.clone())).await?
    }

    /// The members that have never answered anybody, although they were asked.
    pub(crate) async fn unreachable(&self) -> BTreeSet<Nid> {
        match self.doors.unheard.load(Ordering::Relaxed) {
            true => self.doors.ask_membership(Unreachable).await.unwrap_or_default(),
            false => BTreeSet::new(),
        }
    }

    /// Refuses work that no call under way has asked for, on a node that has been told to stop.
    pub(crate) fn refuse_new_work(&self) -> Result<(), CallError> {
        if self.doors.is_stopping() && self.origin.is_none() { Err(stopping(&"this call")) } else { Ok(()) }
    }

    /// The call on whose behalf calls are made, or one that begins now.
    pub(crate) fn origin(&self) -> Origin {
        self.origin.clone().unwrap_or_else(|| Origin::starting(self.deadline, self.doors.clock).of(self.peer))
    }

    fn context(&self) -> Result<CallContext, CallError> {
        match &self.origin {
            None => {
                let mut context = CallContext::new(self.deadline);
                context.peer = self.peer;
                Ok(context)
            }
            Some(origin) => {
                let mut context = origin.nested()?;
                context.time_left = context.time_left.min(self.deadline);
                Ok(context)
            }
        }
    }
}
