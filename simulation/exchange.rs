//! Calls under way, each with its answer.
//!
//! ```text
//! open ──> the call is on its way ──enter──> in the node's hands ──answer──> the answer is on its way ──deliver──┐
//!              │ lost                                                            │ lost                          │
//!              └───────────────────────────> over: the caller waits, until it expires <──────────────────────────┘
//! ```
//!
//! There can be a million at once, each for a moment, so they have their places in one table: a place that is left is
//! taken by the next, and what is on the agenda for an exchange that is over finds nothing.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{self, Poll, Waker},
};

use chinwag_protocol::peer::Reply;
use slotmap::{SlotMap, new_key_type};

use super::sent::Sent;

new_key_type! {
    /// An exchange's place, which no later one has.
    pub(super) struct Key;
}

/// Those that are not over.
#[derive(Default)]
pub(super) struct Exchanges(RefCell<SlotMap<Key, Exchange>>);

/// A call from one node to another, with its answer.
struct Exchange {
    about: About,
    cargo: Cargo,
    caller: Caller,
    name: Option<Box<str>>,
}

/// What is known of an exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct About {
    pub from: usize,
    pub to: usize,
    /// Whether it is what a network at rest is busy with.
    pub compares: bool,
    /// Whether what is on its way has the payload in it.
    pub carried: bool,
}

/// What is presently on its way.
enum Cargo {
    Sent(Sent),
    /// It is in the node's hands.
    Held,
    /// To a call, what it answered is [performed](chinwag_protocol::peer::Answer::Performed).
    Reply(Box<Reply>),
    /// The answer has come, or something was lost.
    Nothing,
}

/// The one who waits for an answer.
enum Caller {
    Waits(Option<Waker>),
    Has(Box<Reply>),
    Gone,
}

impl Exchanges {
    /// A call leaves. Its name is kept where somebody reads it.
    pub(super) fn open(self: &Rc<Self>, about: About, name: Option<Box<str>>, sent: Sent) -> (Key, Waiting) {
        let (cargo, caller) = (Cargo::Sent(sent), Caller::Waits(None));
        let key = self.0.borrow_mut().insert(Exchange { about, cargo, caller, name });
        (key, Waiting { exchanges: self.clone(), key })
    }

    /// Changes an exchange that is not over. What is to be dropped is to be answered: dropping a waker can drop a task,
    /// and with it others that wait here.
    fn change<T>(&self, key: Key, change: impl FnOnce(&mut Exchange) -> T) -> Option<T> {
        let mut exchanges = self.0.borrow_mut();
        let exchange = exchanges.get_mut(key)?;
        let changed = change(exchange);
        let over = matches!((&exchange.cargo, &exchange.caller), (Cargo::Nothing, Caller::Gone));
        let removed = if over { exchanges.remove(key) } else { None };
        drop(exchanges);
        drop(removed);
        Some(changed)
    }

    pub(super) fn about(&self, key: Key) -> Option<About> {
        self.0.borrow().get(key).map(|exchange| exchange.about)
    }

    /// What it was called when it was opened.
    pub(super) fn name(&self, key: Key) -> String {
        let exchanges = self.0.borrow();
        exchanges.get(key).and_then(|exchange| exchange.name.as_deref()).unwrap_or_default().to_owned()
    }

    /// The call goes over into the node's hands. None where it was lost.
    pub(super) fn enter(&self, key: Key) -> Option<Sent> {
        self.change(key, |exchange| match std::mem::replace(&mut exchange.cargo, Cargo::Held) {
            Cargo::Sent(sent) => Some(sent),
            other => {
                exchange.cargo = other;
                None
            }
        })?
    }

    /// The answer leaves.
    pub(super) fn answer(&self, key: Key, reply: Reply, carried: bool) {
        let reply = Cargo::Reply(Box::new(reply));
        let before = self.change(key, |exchange| {
            exchange.about.carried = carried;
            std::mem::replace(&mut exchange.cargo, reply)
        });
        drop(before);
    }

    /// Nothing is on its way any more.
    pub(super) fn end(&self, key: Key) {
        let lost = self.change(key, |exchange| std::mem::replace(&mut exchange.cargo, Cargo::Nothing));
        drop(lost);
    }

    /// The answer is there, to be handed over. None where there was none under way.
    pub(super) fn arrived(&self, key: Key) -> Option<Box<Reply>> {
        match self.change(key, |exchange| std::mem::replace(&mut exchange.cargo, Cargo::Held))? {
            Cargo::Reply(reply) => Some(reply),
            _ => None,
        }
    }

    /// Whether the caller still waits.
    pub(super) fn awaited(&self, key: Key) -> bool {
        self.0.borrow().get(key).is_some_and(|exchange| matches!(exchange.caller, Caller::Waits(_)))
    }

    /// Hands the caller its answer, if it waits.
    pub(super) fn settle(&self, key: Key, reply: Box<Reply>) {
        let before = self.change(key, |exchange| match exchange.caller {
            Caller::Waits(_) => std::mem::replace(&mut exchange.caller, Caller::Has(reply)),
            // not needed, and dropped below
            Caller::Has(_) | Caller::Gone => Caller::Has(reply),
        });
        if let Some(Caller::Waits(Some(waker))) = before {
            waker.wake();
        }
    }
}

/// The caller's end of an exchange.
pub(super) struct Waiting {
    exchanges: Rc<Exchanges>,
    key: Key,
}

impl Future for Waiting {
    type Output = Reply;

    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Reply> {
        let polled =
            self.exchanges.change(self.key, |exchange| match std::mem::replace(&mut exchange.caller, Caller::Gone) {
                Caller::Has(reply) => (Poll::Ready(*reply), None),
                before => {
                    exchange.caller = Caller::Waits(Some(task.waker().clone()));
                    (Poll::Pending, Some(before))
                }
            });
        // one that is over was polled to its end
        polled.map_or(Poll::Pending, |(polled, _)| polled)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let before = self.exchanges.change(self.key, |exchange| std::mem::replace(&mut exchange.caller, Caller::Gone));
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

    fn opened(exchanges: &Rc<Exchanges>) -> (Key, Waiting) {
        let about = About { from: 0, to: 1, compares: false, carried: false };
        let call = Call::new(Gid::local(), "status", "get", Vec::new());
        exchanges.open(about, None, Sent::Call(Box::new(call)))
    }

    fn left(exchanges: &Exchanges) -> usize {
        exchanges.0.borrow().len()
    }

    #[test]
    fn an_exchange_is_over_when_its_answer_was_taken() {
        let exchanges = Rc::default();
        let (key, mut waiting) = opened(&exchanges);
        assert!((&mut waiting).now_or_never().is_none());
        assert!(exchanges.enter(key).is_some() && exchanges.enter(key).is_none());
        let answer = Answer::Performed(call::Answer::Value(Value::Null));
        exchanges.answer(key, Ok(answer.clone()), false);
        let reply = exchanges.arrived(key).unwrap();
        exchanges.settle(key, reply);
        exchanges.end(key);
        assert_eq!(left(&exchanges), 1);
        assert_eq!(waiting.now_or_never(), Some(Ok(answer)));
        assert_eq!(left(&exchanges), 0);
        assert!(exchanges.about(key).is_none());
    }

    #[test]
    fn an_exchange_lasts_until_both_its_message_and_its_caller_are_gone() {
        let exchanges = Rc::default();
        for message_first in [true, false] {
            let (key, waiting) = opened(&exchanges);
            if message_first {
                exchanges.end(key);
                assert!(exchanges.awaited(key));
                drop(waiting);
            } else {
                drop(waiting);
                assert!(!exchanges.awaited(key) && exchanges.about(key).is_some());
                exchanges.end(key);
            }
            assert_eq!(left(&exchanges), 0);
        }
    }

    #[test]
    fn a_place_used_again_has_another_key() {
        let exchanges = Rc::default();
        let (first, waiting) = opened(&exchanges);
        exchanges.end(first);
        drop(waiting);
        let (second, _waiting) = opened(&exchanges);
        assert_ne!(first, second);
        assert!(exchanges.about(first).is_none() && exchanges.about(second).is_some());
    }
}
