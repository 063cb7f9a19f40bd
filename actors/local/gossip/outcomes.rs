//! The outcomes of messages that a relay delivered before their own sender did.
//!
//! A reference node sends a message to its first peers one after the other and waits for their answers. The relays of
//! chinwag are faster, so about half of those peers already have the message when the sender's own request arrives. That
//! request is answered with the kept outcome, once: a second request is a duplicate.

use std::{
    cell::Cell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use chinwag_protocol::{
    call::{Answer, CallError, ErrorKind, Reply},
    identity::{Gid, Nid, Sid},
    rumor,
};
use tokio::sync::oneshot;

use crate::load::Fill;

/// How long an outcome is kept. A guess: twice the default deadline of a call.
const MAX_AGE: Duration = Duration::from_secs(10);

/// The most outcomes that are kept, including those of messages that are still being performed. A guess.
const MAX_COUNT: usize = 4_096;

/// The most bytes of memory that kept outcomes take. A larger outcome is dropped. A guess.
const MAX_BYTES: usize = 4 << 20;

/// A message that this node performs, and the receiver of its outcome.
pub(super) struct PendingOutcome {
    pub id: rumor::Id<Nid>,
    pub outcome: oneshot::Receiver<Reply>,
}

/// The error of a message that is not finished when its sender stops waiting.
pub(super) fn not_finished() -> CallError {
    CallError::new(ErrorKind::DeadlineExceeded, "the message is still being performed")
}

/// The kept outcomes of one node.
#[derive(Default)]
pub(crate) struct Outcomes {
    /// Each entry has a number, which distinguishes it from a later entry with the same key.
    by_id: BTreeMap<(Gid, Arc<str>), (u64, oneshot::Receiver<Outcome>)>,
    by_age: VecDeque<(Duration, u64, (Gid, Arc<str>))>,
    number: u64,
    bytes: Rc<Cell<usize>>,
}

/// A kept outcome. Dropping it frees its share of [`MAX_BYTES`].
pub(super) struct Outcome {
    reply: Reply,
    bytes: usize,
    held: Rc<Cell<usize>>,
}

impl Outcome {
    pub(super) fn reply(&self) -> Reply {
        self.reply.clone()
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        self.held.set(self.held.get() - self.bytes);
    }
}

impl Outcomes {
    /// Keeps the outcome of a message for the request of the message's sender.
    pub(super) fn keep(&mut self, gid: &Gid, id: &Arc<str>, outcome: oneshot::Receiver<Reply>, now: Duration) {
        self.expire(now);
        while self.by_age.len() >= MAX_COUNT {
            self.remove_oldest();
        }
        let (sender, receiver) = oneshot::channel();
        let held = self.bytes.clone();
        actix::spawn(async move {
            let Ok(reply) = outcome.await else { return };
            let bytes = memory_bytes(&reply);
            if sender.is_closed() || held.get() + bytes > MAX_BYTES {
                return;
            }
            held.set(held.get() + bytes);
            // If the entry has been removed meanwhile, the outcome is dropped here and frees its bytes.
            let _ = sender.send(Outcome { reply, bytes, held });
        });
        self.number += 1;
        let key = (gid.clone(), id.clone());
        self.by_age.push_back((now, self.number, key.clone()));
        self.by_id.insert(key, (self.number, receiver));
    }

    /// Takes the outcome of a message. Only the first caller gets it.
    pub(super) fn take(&mut self, gid: &Gid, id: &Arc<str>, now: Duration) -> Option<oneshot::Receiver<Outcome>> {
        self.expire(now);
        Some(self.by_id.remove(&(gid.clone(), id.clone()))?.1)
    }

    /// Removes the outcomes of a deleted group.
    pub(super) fn remove_group(&mut self, gid: &Gid) {
        self.by_id.retain(|(of, _), _| of != gid);
        self.by_age.retain(|(_, _, (of, _))| of != gid);
    }

    /// Removes outcomes older than [`MAX_AGE`].
    pub(super) fn expire(&mut self, now: Duration) {
        while self.by_age.front().is_some_and(|(since, _, _)| *since + MAX_AGE <= now) {
            self.remove_oldest();
        }
    }

    /// Returns how full the two bounds are.
    pub(crate) fn load(&self) -> [(&'static str, Fill); 2] {
        [
            ("gossip.outcomes", Fill::new(self.by_age.len(), MAX_COUNT)),
            ("gossip.outcomeBytes", Fill::new(self.bytes.get(), MAX_BYTES)),
        ]
    }

    fn remove_oldest(&mut self) {
        if let Some((_, number, key)) = self.by_age.pop_front()
            && self.by_id.get(&key).is_some_and(|(of, _)| *of == number)
        {
            self.by_id.remove(&key);
        }
    }
}

/// Returns about how many bytes of memory a reply takes.
fn memory_bytes(reply: &Reply) -> usize {
    let of_error = |error: &CallError| size_of::<CallError>() + error.message.capacity() + error.cause.memory_bytes();
    match reply {
        Ok(Answer::Value(value)) => value.memory_bytes(),
        Ok(Answer::Group { errors, value }) => {
            let errors = errors.iter().map(|(sid, error)| size_of::<Sid>() + sid.as_str().len() + of_error(error));
            value.memory_bytes() + errors.sum::<usize>()
        }
        Err(error) => of_error(error),
    }
}

#[cfg(test)]
mod tests {
    use chinwag_protocol::value::{Object, Value};

    use super::*;

    fn text(bytes: usize) -> Reply {
        Ok(Answer::Value(Value::from("x".repeat(bytes))))
    }

    /// Keeps an outcome that is available at once.
    fn keep(outcomes: &mut Outcomes, id: &str, reply: Reply, now: Duration) {
        let (sender, receiver) = oneshot::channel();
        sender.send(reply).unwrap();
        outcomes.keep(&Gid::all(), &id.into(), receiver, now);
    }

    #[actix::test]
    async fn an_outcome_is_taken_once_and_frees_its_bytes_when_dropped() {
        let mut outcomes = Outcomes::default();
        keep(&mut outcomes, "a", text(1_000), Duration::ZERO);
        let receiver = outcomes.take(&Gid::all(), &"a".into(), Duration::ZERO).unwrap();
        assert!(outcomes.take(&Gid::all(), &"a".into(), Duration::ZERO).is_none());
        let outcome = receiver.await.unwrap();
        assert_eq!(outcome.reply(), text(1_000));
        assert!(outcomes.bytes.get() > 1_000);
        drop(outcome);
        assert_eq!(outcomes.bytes.get(), 0);
    }

    #[actix::test]
    async fn kept_outcomes_are_bounded_in_count_bytes_and_age() {
        let mut outcomes = Outcomes::default();
        for number in 0..2 * MAX_COUNT {
            keep(&mut outcomes, &number.to_string(), text(1), Duration::ZERO);
            assert!(outcomes.by_age.len() <= MAX_COUNT && outcomes.by_id.len() <= MAX_COUNT);
        }
        assert!(outcomes.take(&Gid::all(), &"0".into(), Duration::ZERO).is_none());
        let last = (2 * MAX_COUNT - 1).to_string();
        assert!(outcomes.take(&Gid::all(), &last.as_str().into(), MAX_AGE).is_none(), "too late");
        assert!(outcomes.by_id.is_empty() && outcomes.by_age.is_empty());

        keep(&mut outcomes, "fits", text(MAX_BYTES / 2), MAX_AGE);
        keep(&mut outcomes, "too much", text(MAX_BYTES / 2), MAX_AGE);
        let fits = outcomes.take(&Gid::all(), &"fits".into(), MAX_AGE).unwrap();
        let too_much = outcomes.take(&Gid::all(), &"too much".into(), MAX_AGE).unwrap();
        assert!(too_much.await.is_err());
        assert_eq!(fits.await.unwrap().reply(), text(MAX_BYTES / 2));

        // what counts is the memory: the text of these objects would fit
        let objects = Value::from(vec![Value::from(Object::new()); MAX_BYTES / 100]);
        keep(&mut outcomes, "objects", Ok(Answer::Value(objects)), MAX_AGE);
        assert!(outcomes.take(&Gid::all(), &"objects".into(), MAX_AGE).unwrap().await.is_err());

        keep(&mut outcomes, "of a group", text(1), MAX_AGE);
        outcomes.remove_group(&Gid::all());
        assert!(outcomes.by_id.is_empty() && outcomes.by_age.is_empty());
    }
}
