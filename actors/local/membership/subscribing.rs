//! Who is told of events.

use std::rc::Rc;

use chinwag_protocol::{
    call::{CallError, ErrorKind, Reply},
    value::{Function, Value},
};
use futures_util::StreamExt;

use super::{Events, Membership, Roster, roster::Task};
use crate::{handle::Node, service::value};

/// Most subscribers of one node, functions and streams together.
pub const MAX_SUBSCRIBERS: usize = 1_024;

/// How often in a row a subscribed function may fail before it is dropped: whoever subscribed may be gone.
const MAX_FAILURES: u32 = 16;

impl Membership {
    pub(super) fn subscribe(&self, argument: &Value) -> Reply {
        let Value::Function(function) = argument else {
            let why = format!("expected a function, got {}", argument.type_name());
            return Err(CallError::argument("membership.subscribe", 1, "function", why));
        };
        let (mut roster, node) = (self.roster.borrow_mut(), self.home.node()?.on_its_own());
        let events = subscribed(&mut roster)?;
        let id = self.home.uuid().to_string();
        let (shared, name, function) = (Rc::downgrade(&self.roster), id.clone(), function.clone());
        let calling = async move {
            call_with_each(node, function, events).await;
            let ended = shared.upgrade().and_then(|roster| roster.borrow_mut().subscriptions.remove(&name));
            // last, as it ends this very task
            drop(ended);
        };
        let task = actix::spawn(calling);
        roster.subscriptions.insert(id.clone(), Task(task.abort_handle()));
        value(id)
    }
}

/// One more subscriber, if there is room.
pub(super) fn subscribed(roster: &mut Roster) -> Result<Events, CallError> {
    if roster.subscribers() >= MAX_SUBSCRIBERS {
        let message = format!("a node tells at most {MAX_SUBSCRIBERS} subscribers");
        return Err(CallError::new(ErrorKind::Busy, message));
    }
    roster.subscribe().ok_or_else(|| CallError::new(ErrorKind::Stopping, "the node is stopping"))
}

/// Calls a function with one event after the other.
async fn call_with_each(node: Node, function: Function, mut events: Events) {
    let mut failures = 0;
    while let Some(event) = events.next().await {
        match node.run(function.clone(), vec![event.to_value()]).await {
            Ok(_) => failures = 0,
            Err(why) => {
                failures += 1;
                log::warn!(target: "chinwag::membership", "a subscribed function failed: {why}");
                if failures == MAX_FAILURES {
                    log::warn!(target: "chinwag::membership", "it has failed {failures} times in a row and is dropped");
                    return;
                }
            }
        }
    }
}
