//! Calls subscribed functions with each event.

use std::rc::Rc;

use chinwag_protocol::{
    call::{CallError, Reply},
    value::{Function, Value},
};

use super::{actor::Membership, state::Task};
use crate::{caller::Caller, events::Events, request::value};

/// After how many consecutive failures a subscribed function is dropped, because its subscriber may be gone.
const MAX_FAILURES: u32 = 16;

/// The length of the longest function that can subscribe, in bytes of text. A node keeps the texts of all subscribers, so
/// this times their number is at most 64 MiB. The text of a stub has about 300 bytes.
const MAX_FUNCTION_BYTES: usize = 64 << 10;

impl Membership {
    pub(super) fn subscribe(&self, argument: &Value) -> Reply {
        let Value::Function(function) = argument else {
            let why = format!("expected a function, got {}", argument.type_name());
            return Err(CallError::argument("membership.subscribe", 1, "function", why));
        };
        let length = function.source().len();
        if length > MAX_FUNCTION_BYTES {
            let why = format!("its text has {length} bytes, and at most {MAX_FUNCTION_BYTES} can subscribe");
            return Err(CallError::argument("membership.subscribe", 1, "function", why));
        }
        let (mut membership, caller) = (self.membership.borrow_mut(), self.handle.caller.clone());
        let events = membership.subscribe()?;
        let id = self.state.uuid().to_string();
        let (shared, name, function) = (Rc::downgrade(&self.membership), id.clone(), function.clone());
        let calling = async move {
            call_with_each(caller, function, events).await;
            let ended = shared.upgrade().and_then(|membership| membership.borrow_mut().subscriptions.remove(&name));
            // Dropping the entry aborts this task, so it comes last.
            drop(ended);
        };
        let task = actix::spawn(calling);
        membership.subscriptions.insert(id.clone(), Task(task.abort_handle()));
        value(id)
    }
}

/// Calls a function with each event, one at a time.
async fn call_with_each(caller: Caller, function: Function, mut events: Events) {
    let mut failures = 0;
    while let Some(event) = events.next().await {
        match caller.run(function.clone(), vec![event.to_value()]).await {
            Ok(_) => failures = 0,
            Err(why) => {
                failures += 1;
                log::warn!(target: "chinwag::membership", "a subscribed function failed: {why}");
                if failures == MAX_FAILURES {
                    log::warn!(target: "chinwag::membership", "the function failed {failures} times in a row and is dropped");
                    return;
                }
            }
        }
    }
}
