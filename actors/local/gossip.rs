//! `local.gossip`: news that spreads by itself.
//!
//! | method | answers | error |
//! |---|---|---|
//! | `recv({message, remote, mid, gid, …})` | what the method performed answered | already received |

use std::{cell::RefCell, collections::BTreeSet, collections::VecDeque, rc::Rc};

use actix::{Actor, Context, Handler, Message};
use chinwag_protocol::{
    call::{Call, CallError, ErrorKind, GroupReply, Remote, Reply},
    identity::{Gid, NodeAddr, Sid},
    value::{Object, Value},
};
use futures_util::future::join_all;
use rand::seq::index;

use crate::{
    handle::Node,
    home::Home,
    local::comm,
    request::{Origin, ReplyFuture, Request, ready},
    service::unknown_method,
};

/// Message ids that are remembered.
const REMEMBERED: usize = 65_536;

/// What has been received. Outlives the actor.
#[derive(Clone, Default)]
pub(crate) struct Memory(Rc<RefCell<Seen>>);

#[derive(Default)]
struct Seen {
    ids: BTreeSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    fn insert(&mut self, id: &str) -> bool {
        let fresh = self.ids.insert(id.to_owned());
        if fresh {
            self.order.push_back(id.to_owned());
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.ids.remove(&oldest);
            }
        }
        fresh
    }
}

/// Receives and passes on.
pub struct Gossip {
    home: Rc<Home>,
    memory: Memory,
}

impl Gossip {
    pub(crate) fn new(home: Rc<Home>, memory: Memory) -> Gossip {
        Gossip { home, memory }
    }

    /// As many members, other than this node, as the logarithm of their number; drawn afresh.
    fn peers(&self, gid: &Gid) -> Result<Vec<(Sid, NodeAddr)>, CallError> {
        let group = self.home.groups.borrow().get(gid)?;
        let others = group.iter().filter(|(_, member)| member.nid != self.home.nid);
        let others: Vec<_> = others.map(|(sid, member)| (sid.clone(), member.node.clone())).collect();
        let fanout = ((group.len() as f64).ln().ceil() as usize).clamp(1, others.len().max(1)).min(others.len());
        let drawn = self.home.chance(|chance| index::sample(chance, others.len(), fanout));
        Ok(drawn.into_iter().map(|index| others[index].clone()).collect())
    }

    fn spread(&self, message: Value, gid: &Gid, origin: Origin) -> Result<Spreading, CallError> {
        let node = self.home.node()?.on_behalf_of(origin);
        Ok(Spreading { node, peers: self.peers(gid)?, message })
    }

    fn receive(&mut self, request: Request) -> ReplyFuture {
        let prepared = self.prepare(&request);
        match prepared {
            Err(error) => ready(Err(error)),
            Ok((node, spreading, call)) => {
                actix::spawn(spreading.run());
                Box::pin(async move { node.call(call.gid, &call.service, &call.method, call.arguments).await })
            }
        }
    }

    fn prepare(&mut self, request: &Request) -> Result<(Node, Spreading, Call), CallError> {
        let refused = |why: &dyn std::fmt::Display| CallError::argument("gossip.recv", 1, "message", why);
        let argument = request.call.arguments.first().unwrap_or(&Value::Undefined);
        let object = argument.as_object().ok_or_else(|| refused(&format!("not {}", argument.type_name())))?;
        let text =
            |key: &str| object.get(key).and_then(Value::as_str).ok_or_else(|| refused(&format!("it has no {key}")));
        let (mid, gid) = (text("mid")?, Gid::new(text("gid")?)?);
        let remote = object.get("remote").unwrap_or(&Value::Undefined);
        let remote = Remote::from_value(remote).map_err(|why| refused(&why))?;
        let message = argument.extract(&["message".into()])?;
        let arguments = comm::elements("gossip.recv", &message)?;
        let spreading = self.spread(argument.clone(), &gid, request.origin())?;
        if !self.memory.0.borrow_mut().insert(mid) {
            return Err(CallError::new(ErrorKind::AlreadyReceived, "this message has been received already"));
        }
        let node = self.home.node()?.on_behalf_of(request.origin());
        Ok((node, spreading, Call::new(remote.gid, remote.service, remote.method, arguments)))
    }
}

/// A message on its way to some peers.
struct Spreading {
    node: Node,
    peers: Vec<(Sid, NodeAddr)>,
    message: Value,
}

impl Spreading {
    async fn run(self) -> GroupReply {
        let send = |(sid, peer): (Sid, NodeAddr)| {
            let call = Call::new(Gid::local(), "gossip", "recv", vec![self.message.clone()]);
            let node = &self.node;
            async move { (sid, node.call_on(&peer, call).await) }
        };
        let mut replies = GroupReply::default();
        for (sid, reply) in join_all(self.peers.into_iter().map(send)).await {
            match reply {
                // it has the message, which is all that was wanted
                Err(error) if error.kind == ErrorKind::AlreadyReceived => {
                    replies.values.insert(sid, Value::Null);
                }
                reply => replies.record(sid, reply),
            }
        }
        replies
    }
}

impl Actor for Gossip {
    type Context = Context<Gossip>;
}

/// The wire's methods.
pub(crate) const METHODS: [&str; 1] = ["recv"];

impl Handler<Request> for Gossip {
    type Result = ReplyFuture;

    fn handle(&mut self, request: Request, _: &mut Context<Gossip>) -> ReplyFuture {
        match request.call.method.as_str() {
            "recv" => self.receive(request),
            other => ready(Err(unknown_method("gossip", other))),
        }
    }
}

/// Starts a message of this node's own.
#[derive(Debug, Message)]
#[rtype(result = "Reply")]
pub(crate) struct Broadcast {
    pub gid: Gid,
    pub arguments: Value,
    pub remote: Remote,
    pub origin: Origin,
}

impl Handler<Broadcast> for Gossip {
    type Result = ReplyFuture;

    fn handle(&mut self, message: Broadcast, _: &mut Context<Gossip>) -> ReplyFuture {
        let mid = self.home.uuid().to_string();
        let mut object = Object::new();
        object.insert("message", message.arguments.clone());
        object.insert("remote", message.remote.to_value());
        object.insert("mid", mid.as_str());
        object.insert("gid", message.gid.as_str());
        let spreading = match self.spread(Value::Object(object), &message.gid, message.origin.clone()) {
            Ok(spreading) => spreading,
            Err(error) => return ready(Err(error)),
        };
        self.memory.0.borrow_mut().insert(&mid);
        let own = self.home.groups.borrow().get(&message.gid).ok();
        let own = own.and_then(|group| group.sid_of(&self.home.nid).cloned());
        let node = spreading.node.clone();
        Box::pin(async move {
            let perform = async {
                let sid = own?;
                let arguments = match comm::elements("gossip.send", &message.arguments) {
                    Ok(arguments) => arguments,
                    Err(error) => return Some((sid, Err(error))),
                };
                let remote = message.remote;
                Some((sid, node.call(remote.gid, &remote.service, &remote.method, arguments).await))
            };
            let (performed, mut replies) = futures_util::join!(perform, spreading.run());
            if let Some((sid, reply)) = performed {
                replies.record(sid, reply);
            }
            Ok(replies.into())
        })
    }
}
