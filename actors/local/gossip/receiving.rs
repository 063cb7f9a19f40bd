//! Answers the requests of peers.

use actix::{Context, Handler};
use chinwag_protocol::{
    call::{CallError, Reply},
    group::Member,
    peer::{self, Method, Stated},
    rumor,
};
use tokio::time::timeout_at;

use super::{
    actor::Gossip,
    outcomes::{PendingOutcome, not_finished},
};
use crate::request::{FromPeer, Request, Response, unknown_method};

/// The methods that peers can call.
pub(crate) const METHODS: [&str; 5] = ["compare", "enter", "offer", "pull", "recv"];

impl Gossip {
    fn receive(
        &mut self,
        FromPeer { request, origin }: FromPeer,
        context: &mut Context<Gossip>,
    ) -> Result<Response<peer::Answer>, CallError> {
        let (method, deadline) = (request.method(), origin.deadline());
        let peer::Request { from, stated: Stated { statement, name }, body } = request;
        let peer::Body::Gossip(peer::Gossip { gid, quiet, direct, request }) = body else {
            return Err(unknown_method("gossip", method.name()));
        };
        self.liveness.check_sender(&self.state, &statement, &name)?;
        let nid = from.as_ref().map(|from| from.nid);
        if let Some(nid) = nid {
            self.liveness.request_received(nid, statement);
        }
        let opaque_id = match &request {
            rumor::Request::Push(rumor::Rumor { id: rumor::Id::Opaque(text), .. }) if direct => Some(text.clone()),
            _ => None,
        };
        let (answer, mut performed) = self.drive(&gid, context, |group, entry, state, out| {
            if let Some(Member { nid, node }) = from {
                group.note_sender(nid, node, method, &entry.members);
            }
            Ok(group.respond(entry, state, nid, request, out))
        })?;
        let now = self.state.now();
        // The second case: a relay brought the message before its own sender did.
        let (own, kept) = match (&answer, opaque_id) {
            (rumor::Answer::Fresh, _) if !quiet => (performed.pop(), None),
            (rumor::Answer::Had, Some(id)) => (None, self.shared.outcomes.borrow_mut().take(&gid, &id, now)),
            _ => (None, None),
        };
        self.keep_outcomes(&gid, performed);
        let answer = peer::failed(answer).map(peer::Answer::Gossip);
        let finished = |outcome: Reply| outcome.map(peer::Answer::Performed);
        Ok(match (own, kept) {
            (Some(PendingOutcome { outcome, .. }), _) => Response::Later(Box::pin(async move {
                let outcome = timeout_at(deadline, outcome).await;
                outcome.map_or_else(|_| Err(not_finished()), |outcome| outcome.map_or(answer, finished))
            })),
            (None, Some(outcome)) => Response::Later(Box::pin(async move {
                let outcome = timeout_at(deadline, outcome).await;
                outcome.map_or_else(
                    |_| Err(not_finished()),
                    |outcome| outcome.map_or(answer, |outcome| finished(outcome.reply())),
                )
            })),
            (None, None) => Response::Now(answer),
        })
    }
}

impl Handler<FromPeer> for Gossip {
    type Result = Response<peer::Answer>;

    fn handle(&mut self, request: FromPeer, context: &mut Context<Gossip>) -> Response<peer::Answer> {
        self.state.counts.set(self.state.counts.get() + 1);
        self.receive(request, context).unwrap_or_else(|error| Response::Now(Err(error)))
    }
}

/// The same requests, made as calls.
impl Handler<Request> for Gossip {
    type Result = Response;

    fn handle(&mut self, request: Request, context: &mut Context<Gossip>) -> Response {
        let Some(method) = Method::of_name(&request.call.method).filter(|method| method.is_gossip()) else {
            return Response::Now(Err(unknown_method("gossip", &request.call.method)));
        };
        self.state.counts.set(self.state.counts.get() + 1);
        let received = FromPeer::read(method, &request).and_then(|request| {
            let (gid, me) = (request.request.gid(), self.state.me.clone());
            let response = self.receive(request, context)?;
            Ok(response.map(move |answer| answer.to_call_answer(&gid, &me)))
        });
        received.unwrap_or_else(|error| Response::Now(Err(error)))
    }
}
