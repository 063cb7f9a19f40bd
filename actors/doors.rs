//! Which actor handles which messages, and the addresses of a node's actors.
//!
//! A door names messages and no actor type, so a sender depends on [`crate::messages`] alone.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use actix::Message;
use chinwag_protocol::{
    call::{Call, CallError, ErrorKind},
    identity::{Nid, NodeAddr},
};

use tokio::sync::mpsc;

use crate::{
    clock::Clock,
    messages::{
        AddCallback, Admitted, Apply, Broadcast, Close, Configuration, Deleted, Differs, Enroll, Enter, Evaluate,
        Farewell, GroupChanged, Incoming, Inputs, Install, InterruptScripts, Meet, Members, Merge, NameAndChance,
        Reconcile, ScriptsIdle, SendCall, SetFanout, StartService, Stop, Subscribe, Unreachable,
    },
    request::{FromPeer, Request},
    supervise::Deliver,
};

/// Declares a trait for whatever handles all of these messages.
macro_rules! door {
    ($(#[$doc:meta])* $name:ident: $first:ty $(, $message:ty)*) => {
        $(#[$doc])*
        pub(crate) trait $name: Deliver<$first> $(+ Deliver<$message>)* {}
        impl<T: Deliver<$first> $(+ Deliver<$message>)*> $name for T {}
    };
}

door! {
    /// The route table: every call enters the node through it.
    RoutesDoor: Request, Admitted, StartService, Apply, NameAndChance, AddCallback, Evaluate, InterruptScripts, ScriptsIdle
}
door! {
    /// The service `comm`, which calls other nodes.
    CommDoor: SendCall
}
door! {
    /// The map of groups.
    GroupsDoor: Members, Configuration, Merge, Enroll, Meet
}
door! {
    /// The gossip of all groups.
    GossipDoor: Request, FromPeer, Broadcast, Enter, Differs, Deleted, SetFanout
}
door! {
    /// The membership: which nodes are alive.
    MembershipDoor: Request, FromPeer, Inputs, Unreachable, GroupChanged, Subscribe, Farewell
}
door! {
    /// The actor that starts and ends what the node runs.
    LifecycleDoor: Reconcile, Install, Stop, Close
}

/// A node's doors, and what does not change while it lives.
pub(crate) struct Doors {
    pub me: NodeAddr,
    pub nid: Nid,
    pub clock: Clock,
    pub routes: Arc<dyn RoutesDoor>,
    pub comm: Arc<dyn CommDoor>,
    pub groups: Arc<dyn GroupsDoor>,
    pub gossip: Arc<dyn GossipDoor>,
    /// Requests of peers on the way to gossip.
    pub incoming: mpsc::Sender<Box<Incoming>>,
    /// `None` on a node that does not take part in membership.
    pub membership: Option<Arc<dyn MembershipDoor>>,
    pub lifecycle: Arc<dyn LifecycleDoor>,
    /// Whether there are members that no member has heard from.
    pub unheard: Arc<AtomicBool>,
    /// Set when the node is told to stop, and never cleared.
    pub stopping: AtomicBool,
}

impl Doors {
    /// Whether the node has been told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Makes the node refuse every further call.
    pub(crate) fn refuse_calls(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether a call that arrives now is admitted.
    ///
    /// # Errors
    /// [`ErrorKind::Stopping`] on a node that has been told to stop, unless the call belongs to gossip or membership.
    pub(crate) fn check_admits(&self, call: &Call) -> Result<(), CallError> {
        if self.is_stopping() && !call.is_protocol() {
            return Err(stopping(&format_args!("{call}")));
        }
        Ok(())
    }

    /// Sends a message to the membership.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] on a node that does not take part in membership.
    pub(crate) async fn ask_membership<M>(&self, message: M) -> Result<M::Result, CallError>
    where
        M: Message,
        dyn MembershipDoor: Deliver<M>,
    {
        let off = || CallError::new(ErrorKind::Unsupported, "this node takes no part in membership");
        self.membership.as_ref().ok_or_else(off)?.deliver(message).await
    }
}

/// The error of a node that has been told to stop.
pub(crate) fn stopping(refused: &dyn fmt::Display) -> CallError {
    CallError::new(ErrorKind::Stopping, format!("the node is stopping and does not perform {refused}"))
}
