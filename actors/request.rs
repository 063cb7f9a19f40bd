//! The message that every service's actor handles: a call, and the time by which it must be answered.

use std::{fmt, net::SocketAddr, time::Duration};

use actix::{
    Actor, Message, ResponseFuture,
    dev::{MessageResponse, OneshotSender},
};
use chinwag_protocol::{
    call::{Answer, Call, CallContext, CallError, ErrorKind, MAX_DEADLINE, Reply},
    peer,
    value::Value,
};
use tokio::time::Instant;

use crate::clock::Clock;

/// A call on its way to the actor that answers it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub call: Call,
    /// The caller stops waiting at this time.
    pub deadline: Instant,
    clock: Clock,
}

impl Message for Request {
    type Result = Reply;
}

/// A reply that is not there yet.
pub(crate) type ReplyFuture = ResponseFuture<Reply>;

/// A request of a peer's gossip or membership, on its way to the actor that answers it.
#[derive(Debug)]
pub(crate) struct FromPeer {
    pub request: peer::Request,
    /// The origin of the calls that are made to answer it.
    pub origin: Origin,
}

impl Message for FromPeer {
    type Result = peer::Reply;
}

impl FromPeer {
    /// A request that was made on behalf of no call, and whose time starts now.
    pub(crate) fn new(request: peer::Request, time_left: Duration, clock: Clock) -> FromPeer {
        FromPeer { request, origin: Origin::starting(time_left.min(MAX_DEADLINE), clock) }
    }

    /// Reads the request that a call carries.
    ///
    /// # Errors
    /// [`ErrorKind::BadArgument`].
    pub(crate) fn read(method: peer::Method, request: &Request) -> Result<FromPeer, CallError> {
        Ok(FromPeer { request: peer::Request::read(method, &request.call.arguments)?, origin: request.origin() })
    }
}

/// What an actor's handler returns, so that the actor handles the next call while it answers this one. An answer that is
/// there at once needs no task of its own.
pub enum Response<T = Answer> {
    /// The answer is there.
    Now(Result<T, CallError>),
    /// The answer is not there yet.
    Later(ResponseFuture<Result<T, CallError>>),
}

impl<T: 'static> Response<T> {
    /// Converts the answer.
    pub(crate) fn map<U: 'static>(self, make: impl FnOnce(T) -> U + 'static) -> Response<U> {
        match self {
            Response::Now(reply) => Response::Now(reply.map(make)),
            Response::Later(reply) => Response::Later(Box::pin(async move { reply.await.map(make) })),
        }
    }
}

impl<A, M, T> MessageResponse<A, M> for Response<T>
where
    A: Actor,
    M: Message<Result = Result<T, CallError>>,
    T: 'static,
{
    fn handle(self, context: &mut A::Context, caller: Option<OneshotSender<M::Result>>) {
        match (self, caller) {
            (Response::Now(reply), Some(caller)) => {
                // an error means that the caller no longer waits
                let _ = caller.send(reply);
            }
            (Response::Now(_), None) => {}
            (Response::Later(reply), caller) => {
                <ResponseFuture<M::Result> as MessageResponse<A, M>>::handle(reply, context, caller);
            }
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Response<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Response::Now(reply) => f.debug_tuple("Now").field(reply).finish(),
            Response::Later(_) => f.write_str("Later"),
        }
    }
}

impl Request {
    /// A call whose time starts now, by the clock of the node that answers it.
    pub(crate) fn new(call: Call, clock: Clock) -> Request {
        let deadline = clock.after(call.context.time_left.min(MAX_DEADLINE));
        Request { call, deadline, clock }
    }

    /// The origin of the calls that are made to answer this one.
    pub(crate) fn origin(&self) -> Origin {
        Origin { context: self.call.context.clone(), deadline: self.deadline, clock: self.clock }
    }
}

/// The call on whose behalf other calls are made. They inherit its id, its depth, and the time that it has left.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    context: CallContext,
    deadline: Instant,
    clock: Clock,
}

impl Origin {
    /// The origin of calls that are made on behalf of no other call.
    pub(crate) fn starting(time_left: Duration, clock: Clock) -> Origin {
        let context = CallContext::new(time_left);
        Origin { context, deadline: clock.after(time_left), clock }
    }

    /// The same origin, for what came from `peer`.
    pub(crate) fn of(mut self, peer: Option<SocketAddr>) -> Origin {
        self.context.peer = peer;
        self
    }

    /// The address that the call, or the one that it serves, came from.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.context.peer
    }

    /// The context of a call that is made now. The call gets an eighth less than the time that is left, and at least 10 ms
    /// less, so that even a busy machine can report its failure within the deadline.
    ///
    /// # Errors
    /// [`ErrorKind::DeadlineExceeded`] if the deadline has passed, and an error if calls are nested too deep.
    pub(crate) fn nested(&self) -> Result<CallContext, CallError> {
        let left = self.time_left();
        let margin = (left / 8).max(Duration::from_millis(10));
        match left.checked_sub(margin) {
            Some(left) if !left.is_zero() => self.context.nested(left),
            _ => Err(CallError::new(ErrorKind::DeadlineExceeded, "the deadline passed before the call was made")),
        }
    }

    /// The caller stops waiting at this time.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The time that is left, by the node's clock.
    pub(crate) fn time_left(&self) -> Duration {
        self.clock.until(self.deadline)
    }
}

/// The error of an actor that did not answer, because it panicked while it handled the call or has been closed.
pub(crate) fn crashed(what: &dyn fmt::Display) -> CallError {
    CallError::new(ErrorKind::Crashed, format!("{what} failed while it answered"))
}

/// A reply that is there at once.
pub(crate) fn ready(reply: Reply) -> ReplyFuture {
    Box::pin(std::future::ready(reply))
}

/// A reply that is a value.
pub(crate) fn value(value: impl Into<Value>) -> Reply {
    Ok(Answer::Value(value.into()))
}

/// The error of a method that does not exist, in the words that JavaScript nodes look for.
pub(crate) fn unknown_method(service: &str, method: &str) -> CallError {
    CallError::new(ErrorKind::UnknownMethod, format!("Method {method} not found in service {service}"))
}
