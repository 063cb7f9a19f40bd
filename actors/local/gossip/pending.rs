//! Requests to peers that have not been answered yet, and the senders of broadcasts that wait for replies.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{self, Poll},
};

use chinwag_protocol::{
    call::GroupReply,
    identity::{Gid, Nid, Sid},
    peer::{self, Method},
    rumor::{Answer, Token},
    value::Value,
};
use futures_util::future::LocalBoxFuture;
use tokio::sync::oneshot;

/// A request that was sent to a peer.
pub(crate) struct SentRequest {
    pub gid: Gid,
    /// The instance of the group's state machine that sent the request. A later instance uses the same tokens, so it must
    /// not get the answer.
    pub instance: u64,
    pub token: Token,
    pub to: Nid,
    pub method: Method,
    /// Set if the request pushes one of this node's own rumors whose sender waits for replies.
    pub own_push: Option<OwnPush>,
}

/// A request that has not been answered yet. It resolves when the peer answers or the request fails.
pub(crate) struct PendingRequest {
    /// Empty once the request has resolved.
    sent: Option<SentRequest>,
    reply: LocalBoxFuture<'static, peer::Reply>,
}

impl PendingRequest {
    pub(crate) fn new(sent: SentRequest, reply: LocalBoxFuture<'static, peer::Reply>) -> PendingRequest {
        PendingRequest { sent: Some(sent), reply }
    }

    /// Whether an instance of a group's state machine sent the request for which this holds.
    pub(crate) fn is_of(&self, holds: impl Fn(u64) -> bool) -> bool {
        self.sent.as_ref().is_some_and(|sent| holds(sent.instance))
    }
}

impl Future for PendingRequest {
    type Output = (SentRequest, peer::Reply);

    fn poll(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Self::Output> {
        let reply = task::ready!(self.reply.as_mut().poll(task));
        // a request that has resolved is not polled again
        self.sent.take().map_or(Poll::Pending, |sent| Poll::Ready((sent, reply)))
    }
}

/// A broadcast of this node whose sender waits for replies.
#[derive(Clone)]
pub(super) struct PendingBroadcast(Rc<Shared>);

struct Shared {
    replies: Rc<RefCell<GroupReply>>,
    settle: Cell<Option<oneshot::Sender<()>>>,
}

/// The sender's end of a [`PendingBroadcast`].
pub(super) struct BroadcastReplies {
    pub replies: Rc<RefCell<GroupReply>>,
    /// Resolves when all peers that the rumor was sent to first have answered or failed. Fails if the group is deleted
    /// before that.
    pub settled: oneshot::Receiver<()>,
}

impl PendingBroadcast {
    pub(super) fn new() -> (PendingBroadcast, BroadcastReplies) {
        let replies = Rc::new(RefCell::new(GroupReply::default()));
        let (settle, settled) = oneshot::channel();
        let shared = Shared { replies: replies.clone(), settle: Cell::new(Some(settle)) };
        (PendingBroadcast(Rc::new(shared)), BroadcastReplies { replies, settled })
    }

    /// Resolves the sender's `settled`.
    pub(super) fn settle(&self) {
        if let Some(settle) = self.0.settle.take() {
            // The sender may have stopped waiting.
            let _ = settle.send(());
        }
    }

    /// The same broadcast under another rumor id. Replies to the former pushes still count, but only the new id settles it.
    pub(super) fn reissue(&self) -> PendingBroadcast {
        let shared = Shared { replies: self.0.replies.clone(), settle: Cell::new(self.0.settle.take()) };
        PendingBroadcast(Rc::new(shared))
    }

    /// A push of the broadcast's rumor to a peer. `sid` is `None` if the peer is not a member.
    pub(super) fn push_to(&self, sid: Option<Sid>) -> OwnPush {
        OwnPush { broadcast: self.clone(), sid }
    }
}

/// A push of one of this node's own rumors, whose reply is recorded for the sender.
pub(crate) struct OwnPush {
    broadcast: PendingBroadcast,
    sid: Option<Sid>,
}

impl OwnPush {
    /// Records the peer's reply. The answer that the peer already had the rumor counts as success.
    pub(super) fn record(self, reply: &peer::Reply) {
        let Some(sid) = self.sid else { return };
        let reply = match reply {
            Ok(peer::Answer::Performed(performed)) => Ok(performed.clone().into_value()),
            Ok(_) => Ok(Value::Null),
            Err(error) => match peer::answer_of_failure(Method::Recv, error) {
                Some(Answer::Had) => Ok(Value::Null),
                // The rumor is sent again under another id, and the reply to that push counts.
                Some(Answer::Stale { .. }) => return,
                _ => Err(error.clone()),
            },
        };
        self.broadcast.0.replies.borrow_mut().record(sid, reply.map(Into::into));
    }
}
