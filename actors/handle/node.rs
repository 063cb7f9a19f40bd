//! A running node, as a Rust program holds it.

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
    messages::{Close, Evaluate, Farewell, Inputs, Install, Lasting, ScriptsIdle, Stop, Subscribe},
    request::{Origin, Response},
};

/// A node of one's own, running.
#[derive(Clone)]
pub struct NodeHandle {
    caller: Caller,
}

impl fmt::Debug for NodeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} {})", self.sid(), self.addr())
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

    /// The same node, whose calls are made on behalf of another call.
    pub(crate) fn on_behalf_of(&self, origin: Origin) -> NodeHandle {
        NodeHandle { caller: self.caller.on_behalf_of(origin) }
    }

    /// The same node, its calls given so much time (5 s where nothing is said, 600 s at the most). A call made while
    /// another is answered never gets more time than that one has left.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> NodeHandle {
        NodeHandle { caller: self.caller.with_deadline(deadline) }
    }

    /// Where it is reached.
    pub fn addr(&self) -> &NodeAddr {
        &self.doors().me
    }

    /// Its identifier.
    pub fn nid(&self) -> Nid {
        self.doors().nid
    }

    /// The first digits of its identifier.
    pub fn sid(&self) -> Sid {
        self.doors().nid.sid()
    }

    /// Calls a service of this node, or of a group it knows.
    ///
    /// # Errors
    /// Whatever the service answers; [`ErrorKind::UnknownGroup`], [`ErrorKind::UnknownService`] and
    /// [`ErrorKind::UnknownMethod`] where there is none; [`ErrorKind::DeadlineExceeded`], [`ErrorKind::Busy`].
    pub async fn call(&self, gid: Gid, service: &str, method: &str, arguments: impl IntoArguments) -> Reply {
        self.caller.call(gid, service, method, arguments).await
    }

    /// Calls a service of another node.
    ///
    /// # Errors
    /// As [`call`](NodeHandle::call), and [`ErrorKind::Unreachable`] or [`ErrorKind::Interrupted`].
    pub async fn call_on(&self, to: &NodeAddr, call: Call) -> Reply {
        self.caller.call_on(to, call).await
    }

    /// A call that came with its own context, over the wire for example.
    ///
    /// # Errors
    /// As [`call`](NodeHandle::call).
    pub async fn dispatch(&self, call: Call) -> Reply {
        self.doors().dispatch(call).await
    }

    /// Answers a request that a peer's gossip or membership makes on nobody's behalf. It is let in also where calls are not.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownMethod`] where the node takes no part in membership; what gossip and membership refuse.
    pub async fn answer(&self, request: peer::Request, time_left: Duration) -> peer::Reply {
        self.doors().answer(request, time_left).await
    }

    /// The same for one on the node's own thread who takes what comes of it: an answer that is there at once, as gossip's
    /// are, takes no task and no channel. A node that ends first drops `take`.
    pub fn enter(
        &self,
        request: peer::Request,
        time_left: Duration,
        take: impl FnOnce(Response<peer::Answer>) + 'static,
    ) {
        self.doors().enter(request, time_left, take);
    }

    /// Whether the node has been told to stop. From then on it performs no call that arrives; the calls under way finish,
    /// with the calls that they make, and the protocols' own calls are answered until the node is gone.
    pub fn is_stopping(&self) -> bool {
        self.doors().is_stopping()
    }

    /// Has the node refuse every further call ([`is_stopping`](NodeHandle::is_stopping)). This does not end the node, and calling
    /// it again changes nothing.
    pub fn refuse_calls(&self) {
        self.doors().refuse_calls();
    }

    /// Whether a call that arrives now is let in.
    ///
    /// # Errors
    /// [`ErrorKind::Stopping`] on a node that has been told to stop, unless the call is the protocols' own.
    pub fn check_admits(&self, call: &Call) -> Result<(), CallError> {
        self.doors().check_admits(call)
    }

    /// Tells the node that a connection has closed which a peer kept to it. A process that dies closes its connections,
    /// so the node probes the peer at once.
    pub fn connection_closed(&self, peer: NodeAddr) {
        if let Some(membership) = &self.doors().membership {
            let closed = membership.deliver(Inputs::of([Input::Closed(peer.key())]));
            actix::spawn(async move {
                // a node that has ended asks for nothing any more
                let _ = closed.await;
            });
        }
    }

    /// A group as this node sees it. A name that cannot be one, or that the node does not know, fails each call on it.
    pub fn group(&self, gid: &str) -> Group {
        Group::new(self.caller.clone(), Gid::new(gid).map_err(CallError::from))
    }

    pub(crate) fn group_of(&self, gid: Gid) -> Group {
        Group::new(self.caller.clone(), Ok(gid))
    }

    /// This node's own map of groups.
    pub fn groups(&self) -> LocalGroups<'_> {
        LocalGroups::new(&self.caller)
    }

    /// This node's own route table.
    pub fn routes(&self) -> LocalRoutes<'_> {
        LocalRoutes::new(&self.caller)
    }

    /// This node's own figures.
    pub fn status(&self) -> LocalStatus<'_> {
        LocalStatus::new(&self.caller)
    }

    /// Who is alive, as this node sees it.
    pub fn membership(&self) -> LocalMembership<'_> {
        LocalMembership::new(&self.caller)
    }

    /// What happens to the members and to this node's groups, from now on: each event once, in order. A subscriber that
    /// falls behind is told how many events it missed.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] on a node that takes no part in membership, [`ErrorKind::Busy`] past
    /// [`MAX_SUBSCRIBERS`](crate::local::membership::MAX_SUBSCRIBERS), [`ErrorKind::Stopping`].
    pub async fn events(&self) -> Result<Events, CallError> {
        self.doors().ask_membership(Subscribe).await?
    }

    /// Calls on single nodes.
    pub fn comm(&self) -> LocalComm<'_> {
        LocalComm::new(&self.caller)
    }

    /// Starts a new node and answers with its address once it has booted. Port 0 takes a free one.
    ///
    /// # Errors
    /// [`ErrorKind::SpawnFailed`], with the end of what it wrote to stderr.
    pub async fn spawn(&self, config: NodeAddr) -> Result<NodeAddr, CallError> {
        self.status().spawn(config).await
    }

    /// Runs an instance of a service under its name.
    pub(crate) async fn install_instance(&self, install: Install) -> Result<(), CallError> {
        self.caller.refuse_new_work()?;
        self.doors().lifecycle.deliver(install).await?
    }

    /// A function that other nodes call as they would one of their own: passed as an argument, stored in a service,
    /// called from an `onStart`. It answers once, or for good; one that is never called is forgotten after
    /// [`UNCLAIMED`](crate::local::routes::UNCLAIMED).
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] with too many of them pending.
    pub async fn create_rpc<F, Fut>(&self, lasting: Lasting, callback: F) -> Result<Function, CallError>
    where
        F: Fn(Vec<Value>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Value, CallError>> + Send + 'static,
    {
        self.caller.refuse_new_work()?;
        self.caller.create_rpc(lasting, callback).await
    }

    /// Answers what is asked, then stops the node: its actors end, and a node of its own process exits.
    ///
    /// # Errors
    /// Where it is stopping already.
    pub async fn stop(&self) -> Result<(), CallError> {
        self.doors().lifecycle.deliver(Stop).await
    }

    /// Says farewell, if the node takes part in membership: what a node does first when it stops. Ends within
    /// [`FAREWELL`](crate::local::membership::FAREWELL); afterwards the streams of events have ended.
    pub async fn farewell(&self) {
        // a node that takes no part, or has ended, has nothing to say
        let _ = self.doors().ask_membership(Farewell).await;
    }

    /// Ends all of the node's actors at once, with nobody told: what a crash would do.
    pub async fn close(&self) {
        // one that is closed already has no actor left to answer
        let _ = self.doors().lifecycle.deliver(Close).await;
    }

    /// Calls a function that came as text: the stub of a callback, or shipped code.
    ///
    /// # Errors
    /// As [`call`](NodeHandle::call), and [`ErrorKind::Unsupported`] on a node that takes no code.
    pub async fn apply(&self, function: Function, arguments: Vec<Value>) -> Reply {
        self.caller.apply(function, arguments).await
    }

    /// Runs JavaScript source at top level, as a prompt does; `await` is allowed there. Answers the text by which a
    /// prompt shows what it comes to.
    ///
    /// # Errors
    /// What the source throws; [`ErrorKind::Unsupported`] on a node that takes no code.
    pub async fn evaluate(&self, source: impl Into<String>) -> Result<String, CallError> {
        self.caller.refuse_new_work()?;
        let message = Evaluate { source: source.into(), origin: self.caller.origin() };
        let shown = self.doors().routes.deliver(message).await??;
        Ok(shown.into_value().deserialize()?)
    }

    /// Waits until shipped code has no call, timer or unanswered function under way on this node. Answers an error that
    /// it threw and nobody caught, if there was one since this was last asked.
    ///
    /// # Errors
    /// Where the node has stopped.
    pub async fn scripts_idle(&self) -> Result<Option<CallError>, CallError> {
        self.doors().routes.deliver(ScriptsIdle).await
    }
}
