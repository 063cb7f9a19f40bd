//! Observes gossip's requests and answers for signs of life: a request states its sender's incarnation, and an answer shows
//! that a peer is alive.
//!
//! Requests and answers are frequent and rarely change anything. They are checked against the shared state first, and the
//! membership actor gets a message only if something changes.

use std::sync::Arc;

use chinwag_protocol::{
    call::CallError,
    identity::Nid,
    peer,
    swim::{Input, Statement},
};

use super::{state::SharedMembership, wire};
use crate::{doors::Doors, messages::Inputs, state::NodeState};

/// Reports signs of life to the membership actor. Does nothing if membership is off.
#[derive(Clone)]
pub(crate) struct LivenessObserver {
    membership: Option<SharedMembership>,
    doors: Arc<Doors>,
}

impl LivenessObserver {
    pub(crate) fn new(membership: Option<SharedMembership>, doors: Arc<Doors>) -> LivenessObserver {
        LivenessObserver { membership, doors }
    }

    /// Returns what this node states about itself.
    pub(crate) fn statement(&self) -> Statement {
        let membership = self.membership.as_ref().and_then(|membership| membership.try_borrow().ok());
        membership.map(|membership| Statement { view: 0, ..membership.swim.statement() }).unwrap_or_default()
    }

    /// Checks that a request does not come from another cluster, as far as its sender states one.
    ///
    /// # Errors
    /// The error for the sender if it belongs to another cluster.
    pub(crate) fn check_sender(&self, state: &NodeState, stated: &Statement, name: &str) -> Result<(), CallError> {
        let Some(mut membership) = self.membership.as_ref().and_then(|membership| membership.try_borrow_mut().ok())
        else {
            return Ok(());
        };
        membership.check_sender(state, stated, name, false)
    }

    /// Reports that a peer has sent a request with this statement.
    pub(crate) fn request_received(&self, peer: Nid, stated: Statement) {
        let incarnation = (!stated.is_passive()).then_some(stated.incarnation);
        let minds = |membership: &SharedMembership| Some(membership.try_borrow().ok()?.swim.minds(&peer, incarnation));
        if self.membership.as_ref().and_then(minds) != Some(true) {
            return;
        }
        let input = match incarnation {
            Some(_) => Input::Heard { peer, stated },
            None => Input::Answered(peer),
        };
        let doors = self.doors.clone();
        actix::spawn(async move {
            // Delivery fails if the node has ended.
            let _ = doors.ask_membership(Inputs::of([input])).await;
        });
    }

    /// Reports the reply of a peer, unless no node answered or a node of another cluster did.
    pub(crate) fn reply_received(&self, peer: Nid, reply: &peer::Reply) {
        let unanswered = |error: &CallError| !error.kind.is_answer() || wire::is_named(error, wire::STRANGER);
        if !reply.as_ref().is_err_and(unanswered) {
            self.request_received(peer, Statement::default());
        }
    }
}
