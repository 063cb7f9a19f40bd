//! The message every service actor takes: a call, and by when it must be answered.

use std::{fmt, time::Duration};

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
pub struct Request {
    /// What is asked.
    pub call: Call,
    /// When the caller stops waiting.
    pub deadline: Instant,
    clock: Clock,
}

impl Message for Request {
    type Result = Reply;
}

/// An answer that is yet to come.
pub type ReplyFuture = ResponseFuture<Reply>;

/// A request of a peer's gossip or membership, on its way to the actor that answers it.
#[derive(Debug)]
pub(crate) struct FromPeer {
    pub request: peer::Request,
    /// Where calls made on its behalf come from.
    pub origin: Origin,
}

impl Message for FromPeer {
    type Result = peer::Reply;
}

impl FromPeer {
    /// A request that was made on nobody's behalf, and whose time starts now.
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

/// What an actor's handler returns, so that it takes the next call while this one is answered. An answer that is there
/// already takes no task of its own to send.
pub enum Response<T = Answer> {
    /// It is there.
    Now(Result<T, CallError>),
    /// It is yet to come.
    Later(ResponseFuture<Result<T, CallError>>),
}

impl<T: 'static> Response<T> {
    /// The same with the answer made into another.
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
                // the caller may have stopped waiting
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
    pub fn new(call: Call, clock: Clock) -> Request {
        let deadline = clock.after(call.context.time_left.min(MAX_DEADLINE));
        Request { call, deadline, clock }
    }

    /// Where calls made on behalf of this one come from.
    pub fn origin(&self) -> Origin {
        Origin { context: self.call.context.clone(), deadline: self.deadline, clock: self.clock }
    }
}

/// The call on whose behalf others are made: they inherit its identity, its depth and what is left of its time.
#[derive(Clone, Debug)]
pub struct Origin {
    context: CallContext,
    deadline: Instant,
    clock: Clock,
}

impl Origin {
    /// Where nothing else comes before.
    pub(crate) fn starting(time_left: Duration, clock: Clock) -> Origin {
        let context = CallContext { time_left, ..CallContext::default() };
        Origin { context, deadline: clock.after(time_left), clock }
    }

    /// The context of a call made now. It gets an eighth less than the time that is left (at least 10 ms less), so
    /// that its failure can still be told within the deadline, by a machine that is busy.
    ///
    /// # Errors
    /// Where calls are nested too deep, or the deadline has passed.
    pub fn nested(&self) -> Result<CallContext, CallError> {
        let left = self.time_left();
        let margin = (left / 8).max(Duration::from_millis(10));
        match left.checked_sub(margin) {
            Some(left) if !left.is_zero() => self.context.nested(left),
            _ => Err(CallError::new(ErrorKind::DeadlineExceeded, "the deadline passed before the call was made")),
        }
    }

    /// When the caller stops waiting.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What is left of the time, by the node's clock.
    pub fn time_left(&self) -> Duration {
        self.clock.until(self.deadline)
    }
}

/// What it means that an actor did not answer: it panicked while it worked on the call, or has been stopped.
pub(crate) fn crashed(what: &dyn fmt::Display) -> CallError {
    CallError::new(ErrorKind::Crashed, format!("{what} failed while it answered"))
}

/// An answer that is there at once.
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
