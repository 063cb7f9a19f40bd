//! Calls that are under way, each with its answer.
//!
//! ```text
//! open ──> the call is under way ──enter──> the node performs it ──answer──> the answer is under way ──deliver──┐
//!              │ lost                                                            │ lost                          │
//!              └───────────────────────────> over: the caller waits until it expires <──────────────────────────┘
//! ```
//!
//! A million calls can be under way at once, each for a moment, so they share one table, in which a new call takes the
//! slot of one that is over. The schedule may still hold an event for a call that is over; its key then finds nothing.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{self, Poll, Waker},
};

use chinwag_protocol::peer::Reply;
use slotmap::{SlotMap, new_key_type};

use super::outbound::Outbound;

new_key_type! {
    /// The key of a call. It is never used again.
    pub(super) struct Key;
}

/// The calls that are not over.
#[derive(Default)]
pub(super) struct PendingCalls(RefCell<SlotMap<Key, PendingCall>>);

/// A call from one node to another, with its answer.
struct PendingCall {
    info: CallInfo,
    in_flight: InFlight,
    caller: Caller,
    name: Option<Box<str>>,
}

/// What is known of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallInfo {
    pub from: usize,
    pub to: usize,
    /// Whether it is a comparison, which nodes make while nothing happens.
    pub is_comparison: bool,
    /// Whether the message that is under way carries the watched payload.
    pub has_payload: bool,
}

/// The part of a call that is under way.
enum InFlight {
    Call(Outbound),
    /// The node performs the call.
    WithNode,
    /// The answer. The answer to a call is [performed](chinwag_protocol::peer::Answer::Performed).
    Reply(Box<Reply>),
    /// The answer has arrived, or a message was lost.
    Nothing,
}

/// The state of the caller.
enum Caller {
    Waiting(Option<Waker>),
    Answered(Box<Reply>),
    Gone,
}

impl PendingCalls {
    /// Adds a call that leaves its node. `name` is for the trace.
    pub(super) fn open(
        self: &Rc<Self>,
        info: CallInfo,
        name: Option<Box<str>>,
        outbound: Outbound,
    ) -> (Key, ReplyFuture) {
        let (in_flight, caller) = (InFlight::Call(outbound), Caller::Waiting(None));
        let key = self.0.borrow_mut().insert(PendingCall { info, in_flight, caller, name });
        (key, ReplyFuture { calls: self.clone(), key })
    }

    /// Changes a call that is not over. The caller drops what this returns: dropping a waker can drop a task, and that
    /// task may wait for a call in this table.
    fn change<T>(&self, key: Key, change: impl FnOnce(&mut PendingCall) -> T) -> Option<T> {
        let mut calls = self.0.borrow_mut();
        let call = calls.get_mut(key)?;
        let changed = change(call);
        let over = matches!((&call.in_flight, &call.caller), (InFlight::Nothing, Caller::Gone));
        let removed = if over { calls.remove(key) } else { None };
        drop(calls);
        drop(removed);
        Some(changed)
    }

    pub(super) fn info(&self, key: Key) -> Option<CallInfo> {
        self.0.borrow().get(key).map(|call| call.info)
    }

    /// The name of the call, for the trace.
    pub(super) fn name(&self, key: Key) -> String {
        let calls = self.0.borrow();
        calls.get(key).and_then(|call| call.name.as_deref()).unwrap_or_default().to_owned()
    }

    /// Takes the call, which the node now performs. Returns `None` if it was lost.
    pub(super) fn enter(&self, key: Key) -> Option<Outbound> {
        self.change(key, |call| match std::mem::replace(&mut call.in_flight, InFlight::WithNode) {
            InFlight::Call(outbound) => Some(outbound),
            other => {
                call.in_flight = other;
                None
            }
        })?
    }

    /// Stores the answer, which leaves the node.
    pub(super) fn answer(&self, key: Key, reply: Reply, has_payload: bool) {
        let reply = InFlight::Reply(Box::new(reply));
        let before = self.change(key, |call| {
            call.info.has_payload = has_payload;
            std::mem::replace(&mut call.in_flight, reply)
        });
        drop(before);
    }

    /// Records that no message of the call is under way any more.
    pub(super) fn end(&self, key: Key) {
        let lost = self.change(key, |call| std::mem::replace(&mut call.in_flight, InFlight::Nothing));
        drop(lost);
    }

    /// Takes the answer, which has arrived. Returns `None` if none was under way.
    pub(super) fn arrived(&self, key: Key) -> Option<Box<Reply>> {
        match self.change(key, |call| std::mem::replace(&mut call.in_flight, InFlight::WithNode))? {
            InFlight::Reply(reply) => Some(reply),
            _ => None,
        }
    }

    /// Whether the caller still waits.
    pub(super) fn awaited(&self, key: Key) -> bool {
        self.0.borrow().get(key).is_some_and(|call| matches!(call.caller, Caller::Waiting(_)))
    }

    /// Gives the caller its answer if it still waits.
    pub(super) fn settle(&self, key: Key, reply: Box<Reply>) {
        let before = self.change(key, |call| match call.caller {
            Caller::Waiting(_) => std::mem::replace(&mut call.caller, Caller::Answered(reply)),
            // the previous answer is dropped below
            Caller::Answered(_) | Caller::Gone => Caller::Answered(reply),
        });
        if let Some(Caller::Waiting(Some(waker))) = before {
            waker.wake();
        }
    }
}

/// The caller's wait for the answer.
pub(super) struct ReplyFuture {
    calls: Rc<PendingCalls>,
    key: Key,
}

impl Future for ReplyFuture {
    type Output = Reply;

    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Reply> {
        let polled = self.calls.change(self.key, |call| match std::mem::replace(&mut call.caller, Caller::Gone) {
            Caller::Answered(reply) => (Poll::Ready(*reply), None),
            before => {
                call.caller = Caller::Waiting(Some(task.waker().clone()));
                (Poll::Pending, Some(before))
            }
        });
        // a call that is over has already returned its answer
        polled.map_or(Poll::Pending, |(polled, _)| polled)
    }
}

impl Drop for ReplyFuture {
    fn drop(&mut self) {
        let before = self.calls.change(self.key, |call| std::mem::replace(&mut call.caller, Caller::Gone));
        drop(before);
    }
}

#[cfg(test)]
mod tests {
    use chinwag_protocol::{
        call::{self, Call},
        identity::Gid,
        peer::Answer,
        value::Value,
    };
    use futures_util::FutureExt as _;

    use super::*;

    fn opened(calls: &Rc<PendingCalls>) -> (Key, ReplyFuture) {
        let info = CallInfo { from: 0, to: 1, is_comparison: false, has_payload: false };
        let call = Call::new(Gid::local(), "status", "get", Vec::new());
        calls.open(info, None, Outbound::Call(Box::new(call)))
    }

    fn left(calls: &PendingCalls) -> usize {
        calls.0.borrow().len()
    }

    #[test]
    fn a_call_is_over_when_its_answer_was_taken() {
        let calls = Rc::default();
        let (key, mut waiting) = opened(&calls);
        assert!((&mut waiting).now_or_never().is_none());
        assert!(calls.enter(key).is_some() && calls.enter(key).is_none());
        let answer = Answer::Performed(call::Answer::Value(Value::Null));
        calls.answer(key, Ok(answer.clone()), false);
        let reply = calls.arrived(key).unwrap();
        calls.settle(key, reply);
        calls.end(key);
        assert_eq!(left(&calls), 1);
        assert_eq!(waiting.now_or_never(), Some(Ok(answer)));
        assert_eq!(left(&calls), 0);
        assert!(calls.info(key).is_none());
    }

    #[test]
    fn a_call_lasts_until_both_its_message_and_its_caller_are_gone() {
        let calls = Rc::default();
        for message_first in [true, false] {
            let (key, waiting) = opened(&calls);
            if message_first {
                calls.end(key);
                assert!(calls.awaited(key));
                drop(waiting);
            } else {
                drop(waiting);
                assert!(!calls.awaited(key) && calls.info(key).is_some());
                calls.end(key);
            }
            assert_eq!(left(&calls), 0);
        }
    }

    #[test]
    fn a_reused_slot_has_another_key() {
        let calls = Rc::default();
        let (first, waiting) = opened(&calls);
        calls.end(first);
        drop(waiting);
        let (second, _waiting) = opened(&calls);
        assert_ne!(first, second);
        assert!(calls.info(first).is_none() && calls.info(second).is_some());
    }
}
