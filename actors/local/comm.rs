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
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use actix::{Actor, Context, Handler, Message};
use chinwag_protocol::{
    call::{Call, CallError, ErrorKind, Remote, Reply},
    host,
    identity::NodeAddr,
    value::{EcoString, Value},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use crate::{
    clock::Clock,
    home::{Home, PEER_IDLE},
    local::membership,
    request::{ReplyFuture, Request, ready},
    service::unknown_method,
};

/// Sends calls.
pub struct Comm {
    home: Rc<Home>,
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
    places: Semaphore,
    waiting: AtomicUsize,
}

impl Comm {
    pub(crate) fn new(home: Rc<Home>) -> Comm {
        Comm { home, lanes: BTreeMap::new(), swept: Instant::now() }
    }

    fn send(&mut self, to: &NodeAddr, call: Call) -> ReplyFuture {
        if let Err(error) = call.check_names() {
            return ready(Err(error));
        }
        if to.is_same_node(&self.home.me) {
            return match self.home.node().cloned() {
                Ok(node) => Box::pin(async move { node.perform(call).await }),
                Err(error) => ready(Err(error)),
            };
        }
        self.sweep();
        let places = self.home.settings.calls_to_a_peer;
        let fresh = || Rc::new(Lane { places: Semaphore::new(places), waiting: AtomicUsize::new(0) });
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
        if lane.waiting.load(Ordering::Relaxed) >= self.home.settings.calls_waiting_for_a_peer {
            let message = format!("{} calls wait for {to} already", self.home.settings.calls_waiting_for_a_peer);
            return ready(Err(CallError::new(ErrorKind::Busy, message)));
        }
        let (to, home) = (to.clone(), self.home.clone());
        Box::pin(async move {
            let reply = lane.pass(&to, call, home.clock, |to, call| home.transport.call(to, call)).await;
            if home.unheard.load(Ordering::Relaxed) {
                membership::answered(&home, &to, &reply).await;
            }
            reply
        })
    }

    /// Forgets the lanes that nobody is on, now and then.
    fn sweep(&mut self) {
        if self.swept.elapsed() > PEER_IDLE {
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
        let _place = match self.places.try_acquire() {
            Ok(place) => place,
            Err(_) => {
                let deadline = clock.after(call.context.time_left);
                self.waiting.fetch_add(1, Ordering::Relaxed);
                let place = timeout_at(deadline, self.places.acquire()).await;
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                call.context.time_left = clock.until(deadline);
                match place {
                    Ok(Ok(place)) if call.context.time_left > Duration::ZERO => place,
                    _ => {
                        let message = format!("no place on the way to {to} within the deadline");
                        return Err(CallError::new(ErrorKind::Busy, message));
                    }
                }
            }
        };
        go(to, call).await
    }
}

impl Actor for Comm {
    type Context = Context<Comm>;
}

/// Makes a call on a node, with the context it bears.
#[derive(Debug, Message)]
#[rtype(result = "Reply")]
pub(crate) struct Send {
    pub to: NodeAddr,
    pub call: Call,
}

impl Handler<Send> for Comm {
    type Result = ReplyFuture;

    fn handle(&mut self, message: Send, _: &mut Context<Comm>) -> ReplyFuture {
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

/// The two arguments of every `send`; errors name the method that was called.
pub(crate) fn message_and_remote(method: &str, arguments: &[Value]) -> Result<(Vec<Value>, Remote), CallError> {
    let message = arguments.first().unwrap_or(&Value::Undefined);
    let remote = arguments.get(1).unwrap_or(&Value::Undefined);
    let remote = Remote::from_value(remote).map_err(|why| CallError::argument(method, 2, "remote", why))?;
    Ok((elements(method, message)?, remote))
}

/// The elements of an array of arguments.
pub(crate) fn elements(method: &str, message: &Value) -> Result<Vec<Value>, CallError> {
    let array = message.as_array().ok_or_else(|| {
        let why = format!("expected an array of arguments, got {}", message.type_name());
        CallError::argument(method, 1, "args", why)
    })?;
    // each is made to stand alone, in case they share structure
    (0..array.len()).map(|index| Ok(message.extract(&[(index as u32).into()])?)).collect()
}
