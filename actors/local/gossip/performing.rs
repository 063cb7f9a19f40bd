//! Performs messages on this node.

use std::time::Duration;

use chinwag_protocol::{
    call::{Call, CallError, ErrorKind, Reply},
    identity::Gid,
    peer::{Message, Shared},
    rumor,
};
use tokio::{sync::oneshot, time::Instant};

use super::{actor::Gossip, outcomes::PendingOutcome};
use crate::{arguments, doors::Doors};

/// How long a message is tried again while the node is too busy to perform it.
const RETRY_TIME: Duration = Duration::from_secs(60);

/// The pause before a message is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

impl Gossip {
    /// Performs a message on this node, in a task of its own.
    pub(super) fn perform(&self, message: &Shared) -> oneshot::Receiver<Reply> {
        let doors = self.caller.doors().clone();
        // Admission is checked now, because a message that arrived before the node was told to stop is still performed.
        let call = to_call(message).and_then(|call| doors.check_admits(&call).map(|()| call));
        let (sender, receiver) = oneshot::channel();
        actix::spawn(async move {
            let outcome = match call {
                Ok(call) => perform(&doors, call).await,
                Err(error) => Err(error),
            };
            if let Err(why) = &outcome {
                log::debug!(target: "chinwag::gossip", "a message was performed and failed: {why}");
            }
            // Most receivers are dropped, because only the message's sender waits for the outcome.
            let _ = sender.send(outcome);
        });
        receiver
    }

    /// Keeps the outcomes of messages from reference nodes, until the sender's own request asks for them.
    pub(super) fn keep_outcomes(&self, gid: &Gid, performed: Vec<PendingOutcome>) {
        for PendingOutcome { id, outcome } in performed {
            if let rumor::Id::Opaque(text) = &id {
                self.shared.outcomes.borrow_mut().keep(gid, text, outcome, self.state.now());
            }
        }
    }
}

/// Performs a call. Tries again while the node is `Busy`, which promises that the call was not performed.
async fn perform(doors: &Doors, call: Call) -> Reply {
    let (began, clock) = (Instant::now(), doors.clock);
    loop {
        let outcome = doors.perform(call.clone()).await;
        match outcome {
            Err(busy) if busy.kind == ErrorKind::Busy && clock.since(began) < RETRY_TIME => {
                clock.sleep(RETRY_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// Returns the call that performs a message on this node.
pub(super) fn to_call(message: &Message) -> Result<Call, CallError> {
    let arguments = arguments::elements("gossip.send", &message.arguments)?;
    Ok(Call::new(message.remote.gid.clone(), &*message.remote.service, &*message.remote.method, arguments))
}
