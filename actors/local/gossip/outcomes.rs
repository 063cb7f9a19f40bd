//! What came of messages that a relay brought before their own sender did.
//!
//! A node of the JavaScript reference waits for what its first peers answer. Relays of this project are faster than its
//! loop over them, so that half of them have the message already when its own request arrives. Such a request is answered with
//! what came of the message here, once: the next one is a duplicate.

use std::{
    cell::Cell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use chinwag_protocol::{
    call::{Reply, reply_to_pair},
    identity::Gid,
    wire,
};
use tokio::sync::oneshot;

use crate::load::Fill;

/// How long an outcome waits for the request of its sender. A guess: twice the default deadline of a call.
const LASTS: Duration = Duration::from_secs(10);

/// Most outcomes that wait, those that are still being computed included. A guess.
const MAX_COUNT: usize = 4_096;

/// Most bytes of outcomes that wait, as they are on the wire. A guess. One that does not fit is not kept.
const MAX_BYTES: usize = 4 << 20;

/// The outcomes of one node.
#[derive(Default)]
pub(crate) struct Outcomes {
    /// With a number that tells an entry from a later one of the same name.
    by_id: BTreeMap<(Gid, Arc<str>), (u64, oneshot::Receiver<Outcome>)>,
    by_age: VecDeque<(Duration, u64, (Gid, Arc<str>))>,
    number: u64,
    bytes: Rc<Cell<usize>>,
}

/// An outcome and its share of the bytes, given back when it is dropped.
pub(crate) struct Outcome {
    reply: Reply,
    bytes: usize,
    held: Rc<Cell<usize>>,
}

impl Outcome {
    /// What performing the message came to.
    pub(crate) fn reply(&self) -> Reply {
        self.reply.clone()
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        self.held.set(self.held.get() - self.bytes);
    }
}

impl Outcomes {
    /// Keeps what is to come of a message for the request of its sender.
    pub(crate) fn keep(&mut self, gid: &Gid, id: &Arc<str>, performing: oneshot::Receiver<Reply>, now: Duration) {
        self.expire(now);
        while self.by_age.len() >= MAX_COUNT {
            self.forget_first();
        }
        let (tell, told) = oneshot::channel();
        let held = self.bytes.clone();
        actix::spawn(async move {
            let Ok(reply) = performing.await else { return };
            let bytes = size(&reply);
            if tell.is_closed() || held.get() + bytes > MAX_BYTES {
                return;
            }
            held.set(held.get() + bytes);
            // it may have been forgotten, which gives its share back
            let _ = tell.send(Outcome { reply, bytes, held });
        });
        self.number += 1;
        let name = (gid.clone(), id.clone());
        self.by_age.push_back((now, self.number, name.clone()));
        self.by_id.insert(name, (self.number, told));
    }

    /// Hands out what is to come of a message, for the first who asks.
    pub(crate) fn take(&mut self, gid: &Gid, id: &Arc<str>, now: Duration) -> Option<oneshot::Receiver<Outcome>> {
        self.expire(now);
        Some(self.by_id.remove(&(gid.clone(), id.clone()))?.1)
    }

    /// Forgets those of a group that is gone.
    pub(crate) fn forget_group(&mut self, gid: &Gid) {
        self.by_id.retain(|(of, _), _| of != gid);
        self.by_age.retain(|(_, _, (of, _))| of != gid);
    }

    /// Forgets those whose senders have not asked in time.
    pub(crate) fn expire(&mut self, now: Duration) {
        while self.by_age.front().is_some_and(|(since, _, _)| *since + LASTS <= now) {
            self.forget_first();
        }
    }

    /// How many wait, and how many bytes they hold.
    pub(crate) fn load(&self) -> [(&'static str, Fill); 2] {
        [
            ("gossip.outcomes", Fill::new(self.by_age.len(), MAX_COUNT)),
            ("gossip.outcomeBytes", Fill::new(self.bytes.get(), MAX_BYTES)),
        ]
    }

    fn forget_first(&mut self) {
        if let Some((_, number, name)) = self.by_age.pop_front()
            && self.by_id.get(&name).is_some_and(|(of, _)| *of == number)
        {
            self.by_id.remove(&name);
        }
    }
}

/// The size of a reply on the wire, in bytes.
fn size(reply: &Reply) -> usize {
    let (error, value) = reply_to_pair(reply.clone());
    wire::encode(&error).len() + wire::encode(&value).len()
}

#[cfg(test)]
mod tests {
    use chinwag_protocol::{call::Answer, value::Value};

    use super::*;

    fn text(bytes: usize) -> Reply {
        Ok(Answer::Value(Value::from("x".repeat(bytes))))
    }

    /// Keeps an outcome that is there already.
    fn keep(outcomes: &mut Outcomes, id: &str, reply: Reply, now: Duration) {
        let (tell, told) = oneshot::channel();
        tell.send(reply).unwrap();
        outcomes.keep(&Gid::all(), &id.into(), told, now);
    }

    #[actix::test]
    async fn an_outcome_is_handed_out_once_and_gives_its_bytes_back() {
        let mut outcomes = Outcomes::default();
        keep(&mut outcomes, "a", text(1_000), Duration::ZERO);
        let told = outcomes.take(&Gid::all(), &"a".into(), Duration::ZERO).unwrap();
        assert!(outcomes.take(&Gid::all(), &"a".into(), Duration::ZERO).is_none());
        let outcome = told.await.unwrap();
        assert_eq!(outcome.reply(), text(1_000));
        assert!(outcomes.bytes.get() > 1_000);
        drop(outcome);
        assert_eq!(outcomes.bytes.get(), 0);
    }

    #[actix::test]
    async fn outcomes_are_bounded_in_number_bytes_and_time() {
        let mut outcomes = Outcomes::default();
        for number in 0..2 * MAX_COUNT {
            keep(&mut outcomes, &number.to_string(), text(1), Duration::ZERO);
            assert!(outcomes.by_age.len() <= MAX_COUNT && outcomes.by_id.len() <= MAX_COUNT);
        }
        assert!(outcomes.take(&Gid::all(), &"0".into(), Duration::ZERO).is_none());
        let last = (2 * MAX_COUNT - 1).to_string();
        assert!(outcomes.take(&Gid::all(), &last.as_str().into(), LASTS).is_none(), "too late");
        assert!(outcomes.by_id.is_empty() && outcomes.by_age.is_empty());

        keep(&mut outcomes, "fits", text(MAX_BYTES / 2), LASTS);
        keep(&mut outcomes, "too much", text(MAX_BYTES / 2), LASTS);
        let fits = outcomes.take(&Gid::all(), &"fits".into(), LASTS).unwrap();
        let too_much = outcomes.take(&Gid::all(), &"too much".into(), LASTS).unwrap();
        assert!(too_much.await.is_err());
        assert_eq!(fits.await.unwrap().reply(), text(MAX_BYTES / 2));

        keep(&mut outcomes, "of a group", text(1), LASTS);
        outcomes.forget_group(&Gid::all());
        assert!(outcomes.by_id.is_empty() && outcomes.by_age.is_empty());
    }
}
