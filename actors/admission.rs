//! How requests enter a node: each is classified, and then admitted or refused.
//!
//! | request | answered by | admitted |
//! |---|---|---|
//! | gossip's own, membership's own | their actors, past the route table | always: the state machines have bounds of their own, and a busy node is not dead |
//! | `status.get`, `status.stop` of the node | the route table | always, so that a full node can be inspected and stopped |
//! | any other call | the route table | within the node's bounds, and not while the node stops |
//!
//! Calls from outside and calls made by calls are counted separately, so that two full nodes that relay calls to each
//! other do not deadlock.

use std::{sync::Arc, time::Duration};

use chinwag_protocol::{
    call::{Call, CallError, ErrorKind, Reply},
    peer,
};
use send_wrapper::SendWrapper;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc::error::TrySendError};

use crate::{
    doors::{Doors, stopping},
    messages::{Incoming, MAX_INCOMING},
    request::{FromPeer, Request, Response, unknown_method},
};

/// What a call is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nodes make it to spread rumors.
    Gossip,
    /// Nodes make it to know who is alive.
    Membership,
    /// An operator makes it to inspect or to stop the node.
    Operator,
    /// Anything else.
    Call,
}

/// Classifies a call.
pub(crate) fn classify(call: &Call) -> Kind {
    if call.is_protocol() {
        return match peer::Method::of_name(&call.method) {
            Some(method) if method.is_gossip() => Kind::Gossip,
            // `news` is membership's, and gossip performs it
            Some(_) | None => Kind::Membership,
        };
    }
    match (call.gid.is_local(), call.service.as_str(), call.method.as_str()) {
        (true, "status", "get" | "stop") => Kind::Operator,
        _ => Kind::Call,
    }
}

impl Doors {
    /// Answers a call from outside, with the context that it came with.
    ///
    /// # Errors
    /// [`ErrorKind::Stopping`] on a node that has been told to stop, and whatever the call is answered with.
    pub(crate) async fn dispatch(&self, call: Call) -> Reply {
        self.check_admits(&call)?;
        self.perform(call).await
    }

    /// Performs a call that has been admitted, or that such a call makes.
    pub(crate) async fn perform(&self, call: Call) -> Reply {
        let kind = classify(&call);
        let request = Request::new(call, self.clock);
        match (kind, &self.membership) {
            (Kind::Gossip, _) => self.gossip.deliver(request).await?,
            (Kind::Membership, Some(membership)) => membership.deliver(request).await?,
            // without membership, the route table says that the method does not exist
            (Kind::Membership | Kind::Operator | Kind::Call, _) => self.routes.deliver(request).await?,
        }
    }

    /// Answers a request of a peer's gossip or membership. A node that stops answers it too.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownMethod`] if the node does not take part in membership, and whatever gossip and membership refuse.
    pub(crate) async fn answer(&self, request: peer::Request, time_left: Duration) -> peer::Reply {
        let method = request.method();
        let request = FromPeer::new(request, time_left, self.clock);
        match &self.membership {
            _ if method.is_gossip() => self.gossip.deliver(request).await?,
            Some(membership) => membership.deliver(request).await?,
            None => Err(unknown_method("gossip", method.name())),
        }
    }

    /// Does what [`answer`](Self::answer) does, for a caller on the node's own thread, which takes the response. A response that is
    /// there at once, as gossip's are, needs no task and no channel. A node that ends first drops `take`.
    pub(crate) fn enter(
        self: &Arc<Doors>,
        request: peer::Request,
        time_left: Duration,
        take: impl FnOnce(Response<peer::Answer>) + 'static,
    ) {
        if request.method().is_gossip() {
            let request = FromPeer::new(request, time_left, self.clock);
            let incoming = Incoming { request, take: SendWrapper::new(Box::new(take)) };
            return self.incoming.try_send(Box::new(incoming)).unwrap_or_else(refuse);
        }
        let doors = self.clone();
        take(Response::Later(Box::pin(async move { doors.answer(request, time_left).await })));
    }
}

/// Answers a request for which there is no room in the queue.
fn refuse(refused: TrySendError<Box<Incoming>>) {
    let (incoming, error) = match refused {
        TrySendError::Full(incoming) => {
            let message = format!("{MAX_INCOMING} requests of peers wait already");
            (incoming, CallError::new(ErrorKind::Busy, message))
        }
        TrySendError::Closed(incoming) => (incoming, stopping(&"requests of peers")),
    };
    incoming.take.take()(Response::Now(Err(error)));
}

/// The calls under way, which the node's settings bound.
#[derive(Debug)]
pub(crate) struct Admission {
    outside: Bound,
    relayed: Bound,
}

#[derive(Debug)]
struct Bound {
    places: Arc<Semaphore>,
    most: usize,
}

/// The place of a call among those under way. Dropping it gives the place back.
pub(crate) type Permit = OwnedSemaphorePermit;

impl Admission {
    /// Admits so many calls from outside at a time, and so many calls that other calls make.
    pub(crate) fn new(outside: usize, relayed: usize) -> Admission {
        let bound = |most: usize| {
            let most = most.min(Semaphore::MAX_PERMITS);
            Bound { places: Arc::new(Semaphore::new(most)), most }
        };
        Admission { outside: bound(outside), relayed: bound(relayed) }
    }

    /// Admits a call of this depth.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if there are too many already.
    pub(crate) fn admit(&self, depth: u16) -> Result<Permit, CallError> {
        let Bound { places, most } = if depth == 0 { &self.outside } else { &self.relayed };
        let busy = |_| CallError::new(ErrorKind::Busy, format!("this node has {most} calls under way"));
        places.clone().try_acquire_owned().map_err(busy)
    }

    /// The calls under way: those from outside, and those that other calls made.
    pub(crate) fn under_way(&self) -> (usize, usize) {
        let under_way = |bound: &Bound| bound.most - bound.places.available_permits();
        (under_way(&self.outside), under_way(&self.relayed))
    }
}

#[cfg(test)]
mod tests {
    use chinwag_protocol::identity::Gid;

    use super::*;

    #[test]
    fn each_call_has_the_kind_that_its_name_says() {
        let kind = |gid: Gid, service: &str, method: &str| classify(&Call::new(gid, service, method, Vec::new()));
        assert_eq!(kind(Gid::local(), "gossip", "recv"), Kind::Gossip);
        assert_eq!(kind(Gid::local(), "gossip", "enter"), Kind::Gossip);
        assert_eq!(kind(Gid::local(), "gossip", "ping"), Kind::Membership);
        assert_eq!(kind(Gid::local(), "gossip", "news"), Kind::Membership);
        assert_eq!(kind(Gid::local(), "status", "get"), Kind::Operator);
        assert_eq!(kind(Gid::local(), "status", "stop"), Kind::Operator);
        assert_eq!(kind(Gid::local(), "status", "spawn"), Kind::Call);
        assert_eq!(kind(Gid::local(), "gossip", "send"), Kind::Call);
        // a group's services are no protocol's
        for (service, method) in [("gossip", "recv"), ("gossip", "ping"), ("status", "get"), ("status", "stop")] {
            assert_eq!(kind(Gid::all(), service, method), Kind::Call, "all.{service}.{method}");
        }
    }

    #[test]
    fn calls_from_outside_and_calls_made_by_calls_are_bounded_separately() {
        let admission = Admission::new(1, 2);
        let first = admission.admit(0).unwrap();
        assert_eq!(admission.admit(0).err().map(|error| error.kind), Some(ErrorKind::Busy));
        let relayed = [admission.admit(1).unwrap(), admission.admit(7).unwrap()];
        assert!(admission.admit(1).is_err());
        assert_eq!(admission.under_way(), (1, 2));
        drop((first, relayed));
        assert_eq!(admission.under_way(), (0, 0));
        assert!(admission.admit(0).is_ok());
    }
}
