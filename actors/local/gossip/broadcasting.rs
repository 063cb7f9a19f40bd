//! Starts the rumors of this node.

use actix::{Context, Handler, ResponseFuture};
use chinwag_protocol::{
    call::{CallError, ErrorKind, GroupReply, Reply},
    identity::{Gid, Sid},
    peer::{self, Shared},
    rumor::Manner,
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{actor::Gossip, outcomes::not_finished, pending::BroadcastReplies, performing::to_call};
use crate::{messages::Broadcast, request::ready};

impl Handler<Broadcast> for Gossip {
    type Result = ResponseFuture<Reply>;

    fn handle(&mut self, message: Broadcast, context: &mut Context<Gossip>) -> ResponseFuture<Reply> {
        match self.broadcast(message, context) {
            Ok(replies) => Box::pin(async move { Ok(replies.await?.into()) }),
            Err(error) => ready(Err(error)),
        }
    }
}

impl Gossip {
    fn broadcast(
        &mut self,
        message: Broadcast,
        context: &mut Context<Gossip>,
    ) -> Result<impl Future<Output = Result<GroupReply, CallError>> + use<>, CallError> {
        let Broadcast { gid, arguments, remote, origin, urgency, replay } = message;
        let message = Shared::new(peer::Message { arguments, remote, mid: None });
        // Otherwise every member would reject an invalid name.
        to_call(&message)?.check_names()?;
        let own_sid = self.state.groups.borrow().get(&gid)?.sid_of(&self.state.nid).cloned();
        let (sent, manner) = (message.clone(), Manner { urgency, replay });
        let (replies, _) =
            self.drive(&gid, context, |group, entry, state, out| group.broadcast(entry, state, sent, manner, out))?;
        let own_outcome = own_sid.map(|sid| (sid, self.perform(&message)));
        // The reply is sent an eighth early, so that the caller gets it before its own deadline.
        let left = origin.time_left();
        Ok(collect_replies(gid, replies, own_outcome, self.state.clock.after(left - left / 8)))
    }
}

/// Waits until `deadline` for the replies of the peers that the rumor was sent to first, and of this node itself. Peers that
/// have not answered by then are missing from the result.
///
/// # Errors
/// [`ErrorKind::UnknownGroup`] if the group was deleted before any peer answered.
async fn collect_replies(
    gid: Gid,
    broadcast: BroadcastReplies,
    own_outcome: Option<(Sid, oneshot::Receiver<Reply>)>,
    deadline: Instant,
) -> Result<GroupReply, CallError> {
    let own = async {
        let (sid, outcome) = own_outcome?;
        let outcome = timeout_at(deadline, outcome).await.ok().and_then(Result::ok);
        Some((sid, outcome.unwrap_or_else(|| Err(not_finished()))))
    };
    let (own, settled) = futures_util::join!(own, timeout_at(deadline, broadcast.settled));
    let mut replies = broadcast.replies.take();
    if matches!(settled, Ok(Err(_))) && replies == GroupReply::default() {
        let message = format!("the group {gid} was deleted before any of its members answered");
        return Err(CallError::new(ErrorKind::UnknownGroup, message));
    }
    if let Some((sid, reply)) = own {
        replies.record(sid, reply);
    }
    Ok(replies)
}
