//! Signs of life that come by the way: gossip's requests state who sends them, and its answers show that somebody is
//! there.
//!
//! There are many of them, and hardly one changes anything: it is looked up first, and the actor is asked only then.

use std::sync::Arc;

use chinwag_protocol::{
    call::CallError,
    identity::Nid,
    peer,
    swim::{Input, Statement},
};

use super::{roster::Shared, wire};
use crate::{doors::Doors, messages::Inputs, state::NodeState};

/// Where they are seen to. A node that takes no part sees none.
#[derive(Clone)]
pub(crate) struct Signs {
    roster: Option<Shared>,
    doors: Arc<Doors>,
}

impl Signs {
    pub(crate) fn new(roster: Option<Shared>, doors: Arc<Doors>) -> Signs {
        Signs { roster, doors }
    }

    /// What this node states of itself.
    pub(crate) fn stated(&self) -> Statement {
        let roster = self.roster.as_ref().and_then(|roster| roster.try_borrow().ok());
        roster.map(|roster| Statement { view: 0, ..roster.swim.statement() }).unwrap_or_default()
    }

    /// Whether a request comes from a member of this cluster, as far as its sender states one.
    ///
    /// # Errors
    /// An error for the sender where it belongs to another.
    pub(crate) fn admit(&self, state: &NodeState, stated: &Statement, name: &str) -> Result<(), CallError> {
        let Some(mut roster) = self.roster.as_ref().and_then(|roster| roster.try_borrow_mut().ok()) else {
            return Ok(());
        };
        roster.admit_sender(state, stated, name, false)
    }

    /// A request of a peer has arrived, with what it states of itself; or an answer, with a mute statement.
    pub(crate) fn asked(&self, peer: Nid, stated: Statement) {
        let incarnation = (!stated.is_passive()).then_some(stated.incarnation);
        let minds = |roster: &Shared| Some(roster.try_borrow().ok()?.swim.minds(&peer, incarnation));
        if self.roster.as_ref().and_then(minds) != Some(true) {
            return;
        }
        let sign = match incarnation {
            Some(_) => Input::Heard { peer, stated },
            None => Input::Answered(peer),
        };
        let doors = self.doors.clone();
        actix::spawn(async move {
            // a node that has ended asks for nothing any more
            let _ = doors.ask_membership(Inputs::of([sign])).await;
        });
    }

    /// A peer has answered a request, or nobody has.
    pub(crate) fn answered(&self, peer: Nid, reply: &peer::Reply) {
        let nobody = |error: &CallError| !error.kind.is_answer() || wire::is_named(error, wire::STRANGER);
        if !reply.as_ref().is_err_and(nobody) {
            self.asked(peer, Statement::default());
        }
    }
}
