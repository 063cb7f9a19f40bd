//! `local.comm`: calls on other nodes. All outgoing calls pass through it; the requests of gossip and membership do not.
//!
//! | method | answers |
//! |---|---|
//! | `send(args, {node, service, method[, gid]})` | the answer of the called method |
//!
//! A call on this node itself goes to its route table and uses no socket. Each peer has a *lane*: a bounded number of calls
//! under way, and a bounded queue of calls that wait. Past both bounds the caller gets `Busy`, so a slow peer delays no calls
//! on other peers.

use std::{
    collections::{BTreeMap, btree_map},
    rc::Rc,
    sync::atomic::Ordering,
    time::Duration,
};

use actix::{Actor, Context, Handler};
use chinwag_protocol::{
    call::{Call, CallError, ErrorKind, Reply},
    host,
    identity::NodeAddr,
    swim::Input,
    value::EcoString,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use crate::{
    arguments::message_and_remote,
    caller::Caller,
    clock::Clock,
    messages::{Inputs, SendCall},
    request::{ReplyFuture, Request, ready, unknown_method},
    state::NodeState,
};

/// How long an unused lane is kept.
const LANE_IDLE: Duration = Duration::from_secs(60);

/// The actor that makes calls on other nodes.
pub(crate) struct Comm {
    state: Rc<NodeState>,
    caller: Caller,
    lanes: BTreeMap<Peer, Rc<Lane>>,
    last_sweep: Instant,
}

/// A node, identified by the canonical form of its address. Unlike the node's key, this needs no hashing.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Peer {
    port: u16,
    host: EcoString,
}

impl From<&NodeAddr> for Peer {
    fn from(node: &NodeAddr) -> Peer {
        Peer { port: node.port(), host: host::canonical(node.ip()).into() }
    }
}

/// The calls on one peer.
struct Lane {
    /// A permit for each call under way.
    under_way: Semaphore,
    /// A permit for each call that waits for a permit of `under_way`.
    waiting: Semaphore,
}

impl Comm {
    pub(crate) fn new(state: Rc<NodeState>, caller: Caller) -> Comm {
        Comm { state, caller, lanes: BTreeMap::new(), last_sweep: Instant::now() }
    }

    fn send(&mut self, to: &NodeAddr, call: Call) -> ReplyFuture {
        if let Err(error) = call.check_names() {
            return ready(Err(error));
        }
        if to.is_same_node(&self.state.me) {
            let doors = self.caller.doors().clone();
            return Box::pin(async move { doors.perform(call).await });
        }
        self.drop_unused_lanes();
        let settings = &self.state.settings;
        let semaphore = |permits: usize| Semaphore::new(permits.min(Semaphore::MAX_PERMITS));
        let new_lane = || {
            let (under_way, waiting) = (settings.calls_to_a_peer, settings.calls_waiting_for_a_peer);
            Rc::new(Lane { under_way: semaphore(under_way), waiting: semaphore(waiting) })
        };
        let lane = match self.lanes.entry(Peer::from(to)) {
            btree_map::Entry::Occupied(lane) => lane.get().clone(),
            btree_map::Entry::Vacant(vacant) => {
                // An address from the wire has been checked already, but one from this program has not.
                if let Err(why) = to.check() {
                    return ready(Err(CallError::argument("comm.send", 2, "remote", why)));
                }
                vacant.insert(new_lane()).clone()
            }
        };
        let (to, state, doors) = (to.clone(), self.state.clone(), self.caller.doors().clone());
        Box::pin(async move {
            let reply = lane.make_call(&to, call, state.clock, |to, call| state.transport.call(to, call)).await;
            // An answer is a sign of life of a node that no member has heard from yet.
            let answered = reply.as_ref().err().is_none_or(|error| error.kind.is_answer());
            if answered && state.unheard.load(Ordering::Relaxed) {
                // A node with membership off returns an error, which is ignored.
                let _ = doors.ask_membership(Inputs::of([Input::Answered(to.key())])).await;
            }
            reply
        })
    }

    /// Drops unused lanes from time to time.
    fn drop_unused_lanes(&mut self) {
        if self.last_sweep.elapsed() > LANE_IDLE {
            self.last_sweep = Instant::now();
            self.lanes.retain(|_, lane| Rc::strong_count(lane) > 1);
        }
    }
}

impl Lane {
    /// Waits for a permit within the call's deadline, and makes the call in the time that is left.
    async fn make_call<F>(
        &self,
        to: &NodeAddr,
        mut call: Call,
        clock: Clock,
        send: impl FnOnce(&NodeAddr, Call) -> F,
    ) -> Reply
    where
        F: Future<Output = Reply>,
    {
        let busy = |why: String| Err(CallError::new(ErrorKind::Busy, why));
        let _under_way = match self.under_way.try_acquire() {
            Ok(permit) => permit,
            Err(_) => {
                let Ok(_waiting) = self.waiting.try_acquire() else {
                    return busy(format!("too many calls to {to} are waiting"));
                };
                let deadline = clock.after(call.context.time_left);
                let permit = timeout_at(deadline, self.under_way.acquire()).await;
                call.context.time_left = clock.until(deadline);
                match permit {
                    Ok(Ok(permit)) if call.context.time_left > Duration::ZERO => permit,
                    _ => {
                        return busy(format!("no call to {to} finished within the deadline to make room for this one"));
                    }
                }
            }
        };
        send(to, call).await
    }
}

impl Actor for Comm {
    type Context = Context<Comm>;
}

impl Handler<SendCall> for Comm {
    type Result = ReplyFuture;

    fn handle(&mut self, message: SendCall, _: &mut Context<Comm>) -> ReplyFuture {
        self.send(&message.to, message.call)
    }
}

/// The methods that peers can call.
pub(crate) const METHODS: [&str; 1] = ["send"];

impl Handler<Request> for Comm {
    type Result = ReplyFuture;

    fn handle(&mut self, request: Request, _: &mut Context<Comm>) -> ReplyFuture {
        if request.call.method != "send" {
            return ready(Err(unknown_method("comm", &request.call.method)));
        }
        let prepared = read_send(&request).and_then(|(to, call)| Ok((to, call.within(request.origin().nested()?))));
        match prepared {
            Ok((to, call)) => self.send(&to, call),
            Err(error) => ready(Err(error)),
        }
    }
}

/// Reads the arguments of `comm.send(args, remote)`.
fn read_send(request: &Request) -> Result<(NodeAddr, Call), CallError> {
    let (arguments, remote) = message_and_remote("comm.send", &request.call.arguments)?;
    let missing = || CallError::argument("comm.send", 2, "remote", "the remote has no node");
    let node = remote.node.ok_or_else(missing)?;
    Ok((node, Call::new(remote.gid, remote.service, remote.method, arguments)))
}
