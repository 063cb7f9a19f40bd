//! `local.comm`: calls on other nodes, and the way out for all but what gossip and membership say to each other.
//!
//! | method | answers |
//! |---|---|
//! | `send(args, {node, service, method[, gid]})` | what the far method answered |
//!
//! A call on this very node goes to its route table and takes no socket. On the way to each peer a bounded number of
//! calls is under way and a bounded number waits, in turn; past that the caller is told `Busy`, so one slow peer
//! holds up nobody else.

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

/// How long a lane is kept after its last call.
const LANE_IDLE: Duration = Duration::from_secs(60);

/// Sends calls.
pub(crate) struct Comm {
    state: Rc<NodeState>,
    caller: Caller,
    lanes: BTreeMap<Peer, Rc<Lane>>,
    swept: Instant,
}

/// A node by the canonical form of its address, which says as much as the key made of it and takes no hashing.
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

/// The way to one peer.
struct Lane {
    /// The places of calls under way.
    under_way: Semaphore,
    /// The places of calls that wait for one of those.
    waiting: Semaphore,
}

impl Comm {
    pub(crate) fn new(state: Rc<NodeState>, caller: Caller) -> Comm {
        Comm { state, caller, lanes: BTreeMap::new(), swept: Instant::now() }
    }

    fn send(&mut self, to: &NodeAddr, call: Call) -> ReplyFuture {
        if let Err(error) = call.check_names() {
            return ready(Err(error));
        }
        if to.is_same_node(&self.state.me) {
            let doors = self.caller.doors().clone();
            return Box::pin(async move { doors.perform(call).await });
        }
        self.sweep();
        let settings = &self.state.settings;
        let semaphore = |places: usize| Semaphore::new(places.min(Semaphore::MAX_PERMITS));
        let fresh = || {
            let (under_way, waiting) = (settings.calls_to_a_peer, settings.calls_waiting_for_a_peer);
            Rc::new(Lane { under_way: semaphore(under_way), waiting: semaphore(waiting) })
        };
        let lane = match self.lanes.entry(Peer::from(to)) {
            btree_map::Entry::Occupied(lane) => lane.get().clone(),
            btree_map::Entry::Vacant(place) => {
                // an address that came over the wire has been checked, one from this program has not
                if let Err(why) = to.check() {
                    return ready(Err(CallError::argument("comm.send", 2, "remote", why)));
                }
                place.insert(fresh()).clone()
            }
        };
        let (to, state, doors) = (to.clone(), self.state.clone(), self.caller.doors().clone());
        Box::pin(async move {
            let reply = lane.pass(&to, call, state.clock, |to, call| state.transport.call(to, call)).await;
            // an answer is a sign of life of a node that nobody has heard from yet
            let answered = reply.as_ref().err().is_none_or(|error| error.kind.is_answer());
            if answered && state.unheard.load(Ordering::Relaxed) {
                // a node that does not take part in membership has no use for it
                let _ = doors.ask_membership(Inputs::of([Input::Answered(to.key())])).await;
            }
            reply
        })
    }

    /// Forgets the lanes that nobody is on, now and then.
    fn sweep(&mut self) {
        if self.swept.elapsed() > LANE_IDLE {
            self.swept = Instant::now();
            self.lanes.retain(|_, lane| Rc::strong_count(lane) > 1);
        }
    }
}

impl Lane {
    /// Waits for a place within the call's time, and makes the call with what is left of it.
    async fn pass<F>(&self, to: &NodeAddr, mut call: Call, clock: Clock, go: impl FnOnce(&NodeAddr, Call) -> F) -> Reply
    where
        F: Future<Output = Reply>,
    {
        let busy = |why: String| Err(CallError::new(ErrorKind::Busy, why));
        let _under_way = match self.under_way.try_acquire() {
            Ok(place) => place,
            Err(_) => {
                let Ok(_waiting) = self.waiting.try_acquire() else {
                    return busy(format!("too many calls wait for {to} already"));
                };
                let deadline = clock.after(call.context.time_left);
                let place = timeout_at(deadline, self.under_way.acquire()).await;
                call.context.time_left = clock.until(deadline);
                match place {
                    Ok(Ok(place)) if call.context.time_left > Duration::ZERO => place,
                    _ => return busy(format!("the calls under way to {to} left no place within the deadline")),
                }
            }
        };
        go(to, call).await
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

/// The wire's methods.
pub(crate) const METHODS: [&str; 1] = ["send"];

impl Handler<Request> for Comm {
    type Result = ReplyFuture;

    fn handle(&mut self, request: Request, _: &mut Context<Comm>) -> ReplyFuture {
        if request.call.method != "send" {
            return ready(Err(unknown_method("comm", &request.call.method)));
        }
        let prepared = sending(&request).and_then(|(to, call)| Ok((to, call.within(request.origin().nested()?))));
        match prepared {
            Ok((to, call)) => self.send(&to, call),
            Err(error) => ready(Err(error)),
        }
    }
}

/// What `comm.send(args, remote)` asks for.
fn sending(request: &Request) -> Result<(NodeAddr, Call), CallError> {
    let (arguments, remote) = message_and_remote("comm.send", &request.call.arguments)?;
    let missing = || CallError::argument("comm.send", 2, "remote", "the remote has no node");
    let node = remote.node.ok_or_else(missing)?;
    Ok((node, Call::new(remote.gid, remote.service, remote.method, arguments)))
}
