//! News about members, which gossip brings to every node.

use std::time::Duration;

use chinwag_protocol::{
    call::{ErrorKind, Remote},
    identity::{Gid, Nid},
    rumor::Urgency,
    swim::{Claim, Update},
    value::Value,
};
use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::{
    actor::{FAREWELL, Membership},
    state::MembershipState,
};
use crate::{
    messages::{Broadcast, Inputs},
    request::Origin,
};

/// How long the news may take to reach the first peers.
const NEWS_TIMEOUT: Duration = Duration::from_secs(2);

/// The pause before busy gossip is given the same news again.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// How often busy gossip is given the same news.
const MAX_BUSY_ATTEMPTS: usize = 20;

impl Membership {
    /// Queues an update that gossip brings to every node. This node's own farewell is sent at once.
    pub(super) fn queue_news(&self, membership: &mut MembershipState, update: Update<Nid>) {
        let farewell = update.claim == Claim::Left && update.peer == self.state.nid;
        let Some(news) = self.entry(membership, &update) else { return };
        if !self.add_news(membership, update, news.to_value()) || !farewell {
            return;
        }
        let groups = self.state.groups.borrow().names().cloned().collect::<Vec<Gid>>();
        let groups = groups.into_iter().filter_map(|gid| {
            let sid = self.state.groups.borrow().get(&gid).ok()?.sid_of(&self.state.nid)?.clone();
            Some((gid, sid))
        });
        let passive = self.passive_calls(membership, groups.collect(), |sid| ("rem", Value::from(sid.as_str())));
        let mut broadcasts = Vec::new();
        while let Some(news) = membership.news.take(self.state.now(), true) {
            broadcasts.push(self.broadcast_news(news, FAREWELL));
        }
        let (sender, receiver) = oneshot::channel();
        membership.farewell = Some(receiver);
        actix::spawn(async move {
            futures_util::join!(join_all(broadcasts), join_all(passive));
            // `leave` may have timed out and dropped the receiver.
            let _ = sender.send(());
        });
    }

    /// Adds an update to the news unless this node is alone. Returns whether it did.
    fn add_news(&self, membership: &mut MembershipState, update: Update<Nid>, news: Value) -> bool {
        let alone = self.state.groups.borrow().get(&Gid::all()).is_ok_and(|all| all.len() < 2);
        if !alone {
            let (now, bytes) = (self.state.now(), chinwag_protocol::wire::encoded_len(&news));
            membership.news.add(now, (update, news), bytes);
        }
        !alone
    }

    /// Broadcasts the news that is due.
    pub(super) fn publish(&self, membership: &mut MembershipState) {
        while let Some(news) = membership.news.take(self.state.now(), false) {
            let broadcast = self.broadcast_news(news, NEWS_TIMEOUT);
            let (state, shared) = (self.state.clone(), self.membership.clone());
            self.spawn_reporting(async move {
                broadcast.await;
                shared.borrow_mut().news.said(state.now());
                Some(Inputs::of([]))
            });
        }
    }

    /// Broadcasts news in `all`. Completes when the first peers have it.
    fn broadcast_news(&self, news: Vec<(Update<Nid>, Value)>, timeout: Duration) -> impl Future<Output = ()> + use<> {
        let (doors, clock) = (self.handle.caller.doors().clone(), self.state.clock);
        let news: Vec<Value> = news.into_iter().map(|(_, news)| news).collect();
        let arguments = Value::from(vec![Value::from(news)]);
        async move {
            for _ in 0..MAX_BUSY_ATTEMPTS {
                let message = Broadcast {
                    gid: Gid::all(),
                    arguments: arguments.clone(),
                    remote: Remote::new("gossip", "news"),
                    origin: Origin::starting(timeout, clock),
                    urgency: Urgency::Calm,
                    replay: true,
                };
                match doors.gossip.deliver(message).await {
                    Ok(Err(busy)) if busy.kind == ErrorKind::Busy => clock.sleep(BUSY_PAUSE).await,
                    Ok(Err(why)) => {
                        // A later comparison of views spreads what this broadcast did not.
                        log::warn!(target: "chinwag::membership", "news about members was not broadcast: {why}");
                        break;
                    }
                    // Delivery fails if the node has ended.
                    Ok(Ok(_)) | Err(_) => break,
                }
            }
        }
    }
}
