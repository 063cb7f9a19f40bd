//! The face: a running node as a Rust program holds it, and the groups it sees.
//!
//! Every method here is a [`Call`] on a service, sent to the node's own actors without a socket; nothing can be done
//! through the face that a call from elsewhere could not do. A handle is cheap to clone and can cross threads.

mod group;
mod local;

use std::{
    collections::BTreeSet,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix::{Actor, Handler, MailboxError, Message, dev::ToEnvelope};
use chinwag_protocol::{
    call::{Call, CallContext, CallError, ErrorKind, IntoArguments, MAX_DEADLINE, Reply},
    identity::{Gid, Nid, NodeAddr, Sid},
    peer,
    value::{Function, Value},
};

use crate::{
    clock::Clock,
    local::{comm, gossip, groups, membership, routes},
    node::{Close, Lifecycle, Stop},
    request::{FromPeer, Origin, Request, Response},
    seat::{LateSeat, Seat},
    service::{AnyService, unknown_method},
    stub,
};

pub use self::{
    group::{Group, GroupComm, GroupGossip, GroupGroups, GroupRoutes, GroupStatus},
    local::{LocalComm, LocalGroups, LocalMembership, LocalRoutes, LocalStatus},
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
    pub clock: Clock,
    pub routes: Seat<routes::Routes>,
    pub groups: LateSeat<groups::Groups>,
    pub comm: LateSeat<comm::Comm>,
    pub gossip: Seat<gossip::Gossip>,
    pub lifecycle: Seat<Lifecycle>,
    /// None on a node that takes no part.
    pub membership: Option<Seat<membership::Membership>>,
    /// Whether there are members that nobody has heard from.
    pub unheard: Arc<AtomicBool>,
    /// Set when the node is told to stop, and never cleared.
    pub stopping: AtomicBool,
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
        let call = call.within(self.context()?);
        match self.origin {
            None => self.dispatch(call).await,
            // made by a call that was let in
            Some(_) => self.perform(call).await,
        }
    }

    /// Calls a service of another node.
    ///
    /// # Errors
    /// As [`call`](Node::call), and [`ErrorKind::Unreachable`] or [`ErrorKind::Interrupted`].
    pub async fn call_on(&self, to: &NodeAddr, call: Call) -> Reply {
        self.refuse_new_work()?;
        let call = call.within(self.context()?);
        let message = comm::Send { to: to.clone(), call };
        self.tell(&self.inner.comm, message).await?
    }

    /// A call that came with its own context, over the wire for example.
    ///
    /// # Errors
    /// As [`call`](Node::call).
    pub async fn dispatch(&self, call: Call) -> Reply {
        self.check_admits(&call)?;
        self.perform(call).await
    }

    /// Performs a call that was let in, or that is made by one that was.
    pub(crate) async fn perform(&self, call: Call) -> Reply {
        let request = Request::new(call, self.inner.clock);
        match &self.inner.membership {
            _ if gossip::is_ours(&request.call) => self.inner.gossip.ask(request).await?,
            Some(membership) if membership::wire::is_ours(&request.call) => membership.ask(request).await?,
            _ => self.inner.routes.ask(request).await?,
        }
    }

    /// Answers a request that a peer's gossip or membership makes on nobody's behalf. It is let in also where calls are not.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownMethod`] where the node takes no part in membership; what gossip and membership refuse.
    pub async fn answer(&self, request: peer::Request, time_left: Duration) -> peer::Reply {
        let method = request.method();
        let request = FromPeer::new(request, time_left, self.inner.clock);
        match &self.inner.membership {
            _ if method.is_gossip() => self.inner.gossip.ask(request).await?,
            Some(membership) => membership.ask(request).await?,
            None => Err(unknown_method("gossip", method.name())),
        }
    }

    /// The same for one on the node's own thread who takes what comes of it: an answer that is there at once, as gossip's
    /// are, takes no task and no channel. A node that ends first drops `take`.
    pub fn enter(
        &self,
        request: peer::Request,
        time_left: Duration,
        take: impl FnOnce(Response<peer::Answer>) + 'static,
    ) {
        if request.method().is_gossip() {
            let request = FromPeer::new(request, time_left, self.inner.clock);
            // each sender's machine bounds what it has under way
            return self.inner.gossip.do_send(gossip::Incoming::new(request, Box::new(take)));
        }
        let node = self.clone();
        take(Response::Later(Box::pin(async move { node.answer(request, time_left).await })));
    }

    /// Whether the node has been told to stop. From then on it performs no call that arrives; the calls under way finish,
    /// with the calls that they make, and the protocols' own calls are answered until the node is gone.
    pub fn is_stopping(&self) -> bool {
        self.inner.stopping.load(Ordering::Acquire)
    }

    /// Has the node refuse every further call ([`is_stopping`](Node::is_stopping)). This does not end the node, and calling
    /// it again changes nothing.
    pub fn refuse_calls(&self) {
        self.inner.stopping.store(true, Ordering::Release);
    }

    /// Whether a call that arrives now is let in.
    ///
    /// # Errors
    /// [`ErrorKind::Stopping`] on a node that has been told to stop, unless the call is the protocols' own.
    pub fn check_admits(&self, call: &Call) -> Result<(), CallError> {
        if self.is_stopping() && !call.is_protocol() {
            return Err(stopping(&format_args!("{call}")));
        }
        Ok(())
    }

    /// Refuses work that no call under way has asked for, on a node that has been told to stop.
    fn refuse_new_work(&self) -> Result<(), CallError> {
        if self.is_stopping() && self.origin.is_none() { Err(stopping(&"this call")) } else { Ok(()) }
    }

    /// The members that nobody has ever heard from, although they were asked.
    pub(crate) async fn unreachable(&self) -> BTreeSet<Nid> {
        match self.inner.unheard.load(Ordering::Relaxed) {
            true => membership::send(self, membership::Unreachable).await.unwrap_or_default(),
            false => BTreeSet::new(),
        }
    }

    /// How much time its calls are given.
    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Tells the node that a connection has closed which a peer kept to it. A process that dies closes its connections,
    /// so the node probes the peer at once.
    pub fn connection_closed(&self, peer: NodeAddr) {
        if let Some(membership) = &self.inner.membership {
            let closed = membership.send(membership::Take::of([membership::Input::Closed(peer.key())]));
            actix::spawn(async move {
                // a node that has ended asks for nothing any more
                let _ = closed.await;
            });
        }
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
        self.refuse_new_work()?;
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
        self.refuse_new_work()?;
        let callback = move |arguments| -> CallbackFuture { Box::pin(callback(arguments)) };
        let message = routes::AddCallback { lasting, callback: Box::new(callback) };
        let name = self.inner.routes.ask(message).await??;
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
        Ok(self.origin.clone().unwrap_or_else(|| Origin::starting(self.deadline, self.inner.clock)))
    }

    /// Calls a function that came as text: the stub of a callback, or shipped code.
    ///
    /// # Errors
    /// As [`call`](Node::call), and [`ErrorKind::Unsupported`] on a node that takes no code.
    pub async fn apply(&self, function: Function, arguments: Vec<Value>) -> Reply {
        self.refuse_new_work()?;
        self.run(function, arguments).await
    }

    /// The same for a function that the node calls of its own accord, which it does until it is gone.
    pub(crate) async fn run(&self, function: Function, arguments: Vec<Value>) -> Reply {
        let message = routes::Apply { function, arguments, origin: self.origin()? };
        self.inner.routes.ask(message).await?
    }

    /// Runs JavaScript source at top level, as a prompt does; `await` is allowed there. Answers the text by which a
    /// prompt shows what it comes to.
    ///
    /// # Errors
    /// What the source throws; [`ErrorKind::Unsupported`] on a node that takes no code.
    pub async fn evaluate(&self, source: impl Into<String>) -> Result<String, CallError> {
        self.refuse_new_work()?;
        let message = routes::Evaluate { source: source.into(), origin: self.origin()? };
        let shown = self.inner.routes.ask(message).await??;
        Ok(shown.into_value().deserialize()?)
    }

    /// Waits until shipped code has no call, timer or unanswered function under way on this node. Answers an error that
    /// it threw and nobody caught, if there was one since this was last asked.
    ///
    /// # Errors
    /// Where the node has stopped.
    pub async fn scripts_idle(&self) -> Result<Option<CallError>, CallError> {
        self.inner.routes.ask(routes::Idle).await
    }

    /// A name that nobody else has, and a generator of its own.
    pub(crate) async fn name_and_chance(&self) -> Result<(String, rand_chacha::ChaCha8Rng), CallError> {
        self.inner.routes.ask(routes::NameAndChance).await
    }

    /// Sends a message to a built-in actor, which starts with the first one.
    ///
    /// # Errors
    /// [`ErrorKind::Crashed`] where it panicked over it or has been closed, [`ErrorKind::Stopping`] where it starts no more.
    pub(crate) async fn tell<A, M>(&self, seat: &LateSeat<A>, message: M) -> Result<M::Result, CallError>
    where
        A: Actor + Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let sitting = match seat.get() {
            Some(sitting) => Some(sitting),
            None => {
                let begin = routes::Begin(seat.name());
                self.inner.routes.ask(begin).await?;
                seat.get()
            }
        };
        let ended = || CallError::new(ErrorKind::Stopping, "the node has stopped");
        sitting.ok_or_else(ended)?.ask(message).await
    }

    /// Sends a message to whoever starts and ends what the node runs.
    ///
    /// # Errors
    /// [`ErrorKind::Stopping`] where the node has ended.
    pub(crate) async fn lifecycle<M>(&self, message: M) -> Result<M::Result, CallError>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Lifecycle: Handler<M>,
        actix::Context<Lifecycle>: ToEnvelope<Lifecycle, M>,
    {
        let stopping = |_: MailboxError| CallError::new(ErrorKind::Stopping, "the node has stopped");
        self.inner.lifecycle.send(message).await.map_err(stopping)
    }

    async fn local(&self, service: &str, method: &str, arguments: Vec<Value>) -> Result<Value, CallError> {
        Ok(self.call(Gid::local(), service, method, arguments).await?.into_value())
    }
}

fn stopping(refused: &dyn fmt::Display) -> CallError {
    CallError::new(ErrorKind::Stopping, format!("the node is stopping and does not perform {refused}"))
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
