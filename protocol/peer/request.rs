//! [`Request`] and [`Answer`], and the calls that carry them.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::fields;
use super::gossip::{self, Gossip, Shared};
use super::membership::{Compared, Listed, Listing, Ping, Pong, Relay, Relayed, Sync};
use super::method::Method;
use super::parts::{object, part, part_of_object};
use super::stated::{Stated, stated, stating};
use crate::call::{self, Call, CallError};
use crate::group::Member;
use crate::identity::{Gid, Nid, NodeAddr};
use crate::rumor;
use crate::value::{ConversionError, Object, Value};

/// A request of one node to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The sender, with its address alone. A reference node does not state it.
    pub from: Option<Member>,
    /// The statement of the sender.
    pub stated: Stated,
    /// The content of the request.
    pub body: Body,
}

/// The content of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A request of gossip.
    Gossip(Gossip),
    /// Asks whether the node is alive.
    Ping(Ping),
    /// Asks whether another node is alive.
    Relay(Relay),
    /// Compares views.
    Sync(Sync),
    /// Asks which groups contain the sender.
    Listing(Listing),
}

/// The outcome of a request.
pub type Reply = Result<Answer, CallError>;

/// The answer to a request that did not fail.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The answer of gossip, except those that [`failed`](super::failed) turns into errors.
    Gossip(rumor::Answer<Nid, Shared>),
    /// The answer to a push, which is that of the call that the message made.
    Performed(call::Answer),
    /// The answer to a ping.
    Pong(Pong),
    /// The answer to a relay.
    Relayed(Relayed),
    /// The answer to a comparison of views.
    Compared(Compared),
    /// The answer to a listing.
    Listed(Listed),
}

impl Answer {
    /// Returns the answer of the node `me` as the answer to a call. `gid` is the group of a request of gossip.
    pub fn to_call_answer(self, gid: &Gid, me: &NodeAddr) -> call::Answer {
        call::Answer::Value(match self {
            Answer::Performed(answer) => return answer,
            Answer::Gossip(answer) => gossip::answer_to_value(gid, me, &answer),
            Answer::Pong(pong) => stating(&pong.stated, &pong),
            Answer::Relayed(relayed) => stating(&relayed.stated, &relayed),
            Answer::Compared(compared) => stating(&compared.stated, &compared),
            Answer::Listed(listed) => listed.to_value(),
        })
    }
}

impl Request {
    /// Returns the method that carries the request.
    pub fn method(&self) -> Method {
        match &self.body {
            Body::Gossip(gossip) => gossip.method(),
            Body::Ping(_) => Method::Ping,
            Body::Relay(_) => Method::Relay,
            Body::Sync(_) => Method::Sync,
            Body::Listing(_) => Method::Listing,
        }
    }

    /// Returns the group of the request, which is `all` for membership.
    pub fn gid(&self) -> Gid {
        match &self.body {
            Body::Gossip(gossip) => gossip.gid.clone(),
            _ => Gid::all(),
        }
    }

    /// Returns whether the sender keeps the connection of this request open.
    pub const fn keeps_connection(&self) -> bool {
        matches!(&self.body, Body::Ping(Ping { kept: true, .. }))
    }

    /// Returns the call that carries the request.
    fn to_call(&self) -> Call {
        let argument = match &self.body {
            Body::Gossip(gossip) => gossip.to_object(self.from.as_ref().map(|from| &from.node), &self.stated),
            body => {
                let mut object = Object::new();
                if let Some(from) = &self.from {
                    object.insert("from", from.node.to_value());
                }
                object.extend(self::object(&self.stated));
                object.extend(match body {
                    Body::Ping(ping) => self::object(ping),
                    Body::Relay(relay) => self::object(relay),
                    Body::Sync(sync) => self::object(sync),
                    Body::Listing(listing) => self::object(listing),
                    Body::Gossip(_) => Object::new(),
                });
                object
            }
        };
        Call::new(Gid::local(), "gossip", self.method().name(), vec![Value::Object(argument)])
    }

    /// Reads the arguments of a call on `method`.
    ///
    /// # Errors
    /// [`ErrorKind::BadArgument`](call::ErrorKind::BadArgument), naming what is malformed.
    pub fn read(method: Method, arguments: &[Value]) -> Result<Request, CallError> {
        let argument = arguments.first().unwrap_or(&Value::Undefined);
        let read = if method.is_gossip() {
            let request = Gossip::read(method, argument);
            request.map(|(gossip, from, stated)| Request {
                from: from.map(Member::from),
                stated,
                body: Body::Gossip(gossip),
            })
        } else {
            Request::read_membership(method, argument).map_err(Into::into)
        };
        read.map_err(|why| CallError::argument(&format!("gossip.{}", method.name()), 1, "message", why))
    }

    fn read_membership(method: Method, argument: &Value) -> Result<Request, ConversionError> {
        let body = match method {
            Method::Sync => Body::Sync(part(argument)?),
            Method::Relay => Body::Relay(part(argument)?),
            Method::Listing => Body::Listing(part_of_object(argument)?),
            _ => Body::Ping(part_of_object(argument)?),
        };
        #[derive(Default, serde::Deserialize)]
        #[serde(default)]
        struct Sender {
            #[serde(with = "fields::some_address")]
            from: Option<NodeAddr>,
        }
        let Sender { from } = part(argument).unwrap_or_default();
        Ok(Request { from: from.map(Member::from), stated: stated(argument), body })
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "local.gossip.{}", self.method().name())
    }
}

/// A request that is being sent. It is cheap to clone, so that it can go to many peers, and is converted to a call at
/// most once.
#[derive(Clone, Debug)]
pub struct Outgoing(Arc<Sent>);

#[derive(Debug)]
struct Sent {
    request: Request,
    call: OnceLock<Box<Call>>,
}

impl Outgoing {
    /// Returns the request.
    pub fn request(&self) -> &Request {
        &self.0.request
    }

    /// Returns the call that carries the request.
    pub fn call(&self) -> Call {
        Call::clone(self.0.call.get_or_init(|| Box::new(self.0.request.to_call())))
    }

    /// Returns the request for its receiver.
    pub fn into_request(self) -> Request {
        Arc::try_unwrap(self.0).map_or_else(|shared| shared.request.clone(), |alone| alone.request)
    }
}

impl From<Request> for Outgoing {
    fn from(request: Request) -> Outgoing {
        Outgoing(Arc::new(Sent { request, call: OnceLock::new() }))
    }
}

impl Method {
    /// Reads the reply to a call on this method.
    ///
    /// # Errors
    /// The error of a call that failed. If the answer does not fit the method, the error is one of the peer's own,
    /// because a peer that answers is alive.
    pub fn read_reply(self, reply: call::Reply) -> Reply {
        let answer = reply?;
        let nonsense = |why: &dyn fmt::Display| CallError::other(format!("no answer to {}: {why}", self.name()));
        let refused = |why: ConversionError| nonsense(&why);
        match self {
            Method::Recv => Ok(Answer::Performed(answer)),
            // any answer means that the node is alive
            Method::Ping => {
                let value = value_of(answer).unwrap_or_default();
                let pong: Pong = part_of_object(&value).unwrap_or_default();
                Ok(Answer::Pong(Pong { stated: stated(&value), ..pong }))
            }
            Method::Relay => {
                let value = value_of(answer).unwrap_or_default();
                let relayed: Relayed = part(&value).map_err(refused)?;
                Ok(Answer::Relayed(Relayed { stated: stated(&value), ..relayed }))
            }
            Method::Sync => {
                let value = answer.into_value();
                let compared: Compared = part(&value).map_err(refused)?;
                Ok(Answer::Compared(Compared { stated: stated(&value), ..compared }))
            }
            Method::Listing => {
                let listed = Listed::from_value(&answer.into_value()).map_err(|why| nonsense(&why))?;
                Ok(Answer::Listed(listed))
            }
            Method::Offer | Method::Pull | Method::Compare | Method::Enter => {
                let answer = gossip::read_answer(self, answer.into_value()).map_err(|why| nonsense(&why))?;
                Ok(Answer::Gossip(answer))
            }
        }
    }
}

/// Returns the value that the service of one node answered.
fn value_of(answer: call::Answer) -> Option<Value> {
    match answer {
        call::Answer::Value(value) => Some(value),
        call::Answer::Group { .. } => None,
    }
}
