//! Signs of life that come by the way: gossip's requests state who sends them, and its answers show that somebody is
//! there.
//!
//! There are many of them, and hardly one changes anything: it is looked up first, and the actor is asked only then.

use chinwag_protocol::{
    call::{CallError, Reply},
    identity::Nid,
    swim::{Incarnation, Input},
};

use super::{Shared, Take, send, wire};
use crate::home::Home;

/// Where they are seen to. A node that takes no part sees none.
#[derive(Clone)]
pub(crate) struct Signs(Option<Shared>);

impl Signs {
    pub(crate) fn new(roster: Option<Shared>) -> Signs {
        Signs(roster)
    }

    /// What this node states of itself.
    pub(crate) fn stated(&self) -> Option<Incarnation> {
        Some(self.0.as_ref()?.try_borrow().ok()?.swim.incarnation())
    }

    /// A request of a peer has arrived, with what it states of itself.
    pub(crate) fn asked(&self, home: &Home, peer: Nid, stated: Option<Incarnation>) {
        let minded = self.0.as_ref().and_then(|roster| Some(roster.try_borrow().ok()?.swim.minds(&peer, stated)));
        let (Some(true), Ok(node)) = (minded, home.node().cloned()) else { return };
        let sign = match stated {
            Some(_) => Input::Heard { peer, incarnation: stated },
            None => Input::Answered(peer),
        };
        actix::spawn(async move {
            // a node that has ended asks for nothing any more
            let _ = send(&node, Take::of([sign])).await;
        });
    }

    /// A peer has answered a request, or nobody has.
    pub(crate) fn answered(&self, home: &Home, peer: Nid, reply: &Reply) {
        let nobody = |error: &CallError| !wire::answered(error);
        if !reply.as_ref().is_err_and(nobody) {
            self.asked(home, peer, None);
        }
    }
}
