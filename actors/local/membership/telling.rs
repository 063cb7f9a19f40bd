//! What this node tells: gossip to everyone, the events and what they do to its groups, and words for those that take
//! no part.

use std::time::Duration;

use chinwag_protocol::{
    call::{Call, ErrorKind, Remote, Reply},
    identity::{Gid, Nid, NodeAddr, Sid},
    member_list::{Removal, Removed},
    rumor::Urgency,
    swim::{self, Claim, Update},
    value::Value,
};
use futures_util::{
    StreamExt as _,
    future::{LocalBoxFuture, join_all},
};
use tokio::sync::oneshot;

use super::{
    actor::{FAREWELL, Membership},
    roster::Roster,
};
use crate::{
    events::Event,
    messages::{Broadcast, Inputs},
    request::Origin,
};

/// How long the news may take to reach the first peers.
const NEWS: Duration = Duration::from_secs(2);

/// How long gossip that is busy is left alone before it is given the same news again, and how often.
const BUSY: (Duration, usize) = (Duration::from_millis(100), 20);

/// How long those that take no part are given to take a `groups.rem` or `groups.add`.
const WORD: Duration = Duration::from_secs(2);

/// How many of them are told of additions at once. A guess.
const WORDS: usize = 32;

impl Membership {
    /// Puts a piece of news with those that gossip is to bring to everyone. A farewell goes out at once.
    pub(super) fn say(&self, roster: &mut Roster, update: Update<Nid>) {
        let farewell = update.claim == Claim::Left && update.peer == self.state.nid;
        let Some(news) = self.entry(roster, &update) else { return };
        if !self.note_news(roster, update, news.to_value()) || !farewell {
            return;
        }
        let everywhere = self.state.groups.borrow().names().cloned().collect::<Vec<Gid>>();
        let everywhere = everywhere.into_iter().filter_map(|gid| {
            let sid = self.state.groups.borrow().get(&gid).ok()?.sid_of(&self.state.nid)?.clone();
            Some((gid, sid))
        });
        let mute = self.words(roster, everywhere.collect(), |sid| ("rem", Value::from(sid.as_str())));
        let mut spreading = Vec::new();
        while let Some(news) = roster.news.take(self.state.now(), true) {
            spreading.push(self.spread(news, FAREWELL));
        }
        let (told, tell) = oneshot::channel();
        roster.farewell = Some(tell);
        actix::spawn(async move {
            futures_util::join!(join_all(spreading), join_all(mute));
            // whoever waited for it may have lost patience
            let _ = told.send(());
        });
    }

    /// Tells mute members of nodes that have come into a group, by the `groups.add` that they understand.
    pub(super) fn announce(&self, roster: &Roster, gid: &Gid, nodes: &[NodeAddr]) {
        let group = self.state.groups.borrow().get(gid).unwrap_or_default();
        let mute = group.iter().map(|(_, member)| member.nid).filter(|nid| roster.swim.is_passive(nid));
        let mute: Vec<NodeAddr> = mute.filter_map(|nid| roster.address(&nid).cloned()).collect();
        if mute.is_empty() {
            return;
        }
        let (state, gid, nodes) = (self.state.clone(), gid.clone(), nodes.to_vec());
        actix::spawn(async move {
            let told = mute
                .iter()
                .flat_map(|to| nodes.iter().filter(move |node| !node.is_same_node(to)).map(move |node| (to, node)));
            let words = futures_util::stream::iter(told).map(|(to, node)| {
                let arguments = vec![Value::from(gid.as_str()), node.to_value()];
                state.call(to, Call::new(Gid::local(), "groups", "add", arguments), WORD)
            });
            words.buffer_unordered(WORDS).for_each(|_| std::future::ready(())).await;
        });
    }

    /// Whether there is anyone to tell.
    fn note_news(&self, roster: &mut Roster, update: Update<Nid>, news: Value) -> bool {
        let alone = self.state.groups.borrow().get(&Gid::all()).is_ok_and(|all| all.len() < 2);
        if !alone {
            let (now, bytes) = (self.state.now(), chinwag_protocol::wire::encode(&news).len());
            roster.news.add(now, (update, news), bytes);
        }
        !alone
    }

    /// Has gossip bring to everyone what is due.
    pub(super) fn publish(&self, roster: &mut Roster) {
        while let Some(news) = roster.news.take(self.state.now(), false) {
            let spreading = self.spread(news, NEWS);
            let (state, shared) = (self.state.clone(), self.roster.clone());
            self.report(async move {
                spreading.await;
                shared.borrow_mut().news.said(state.now());
                Some(Inputs::of([]))
            });
        }
    }

    /// Has gossip bring a message of news to everyone. Ends when the first peers have it.
    fn spread(&self, news: Vec<(Update<Nid>, Value)>, patience: Duration) -> impl Future<Output = ()> + use<> {
        let (doors, clock) = (self.link.caller.doors().clone(), self.state.clock);
        let news: Vec<Value> = news.into_iter().map(|(_, news)| news).collect();
        let arguments = Value::from(vec![Value::from(news)]);
        async move {
            for _ in 0..BUSY.1 {
                let message = Broadcast {
                    gid: Gid::all(),
                    arguments: arguments.clone(),
                    remote: Remote::new("gossip", "news"),
                    origin: Origin::starting(patience, clock),
                    urgency: Urgency::Calm,
                    replay: true,
                };
                match doors.gossip.deliver(message).await {
                    Ok(Err(busy)) if busy.kind == ErrorKind::Busy => clock.sleep(BUSY.0).await,
                    Ok(Err(why)) => {
                        // an exchange of views will bring it
                        log::warn!(target: "chinwag::membership", "the news were not spread: {why}");
                        break;
                    }
                    // said, or the node has ended
                    Ok(Ok(_)) | Err(_) => break,
                }
            }
        }
    }

    pub(super) fn event(&self, roster: &mut Roster, event: swim::MemberEvent<Nid>) {
        let mut groups = self.state.groups.borrow_mut();
        let named = |nid, incarnation| roster.peer(nid, incarnation);
        match event {
            swim::MemberEvent::Joined { peer, incarnation } => {
                let Some(named) = named(peer, incarnation) else { return };
                roster.tell(Event::Joined(named));
                let back = roster.admit(&peer, &mut groups);
                drop(groups);
                self.tell_of_return(roster, back);
            }
            swim::MemberEvent::Rejoined { peer, incarnation } => {
                let Some(named) = named(peer, incarnation) else { return };
                roster.tell(Event::Rejoined(named));
                let back = roster.admit(&peer, &mut groups);
                drop(groups);
                self.tell_of_return(roster, back);
            }
            swim::MemberEvent::Unreachable { peer } => {
                let Some(named) = named(peer, swim::Incarnation::default()) else { return };
                log::warn!(
                    target: "chinwag::membership",
                    "{} was put in a group and does not answer; nobody has heard from it, so it stays there",
                    named.node
                );
                roster.tell(Event::Unreachable(named));
            }
            swim::MemberEvent::AddressTaken { incarnation } => {
                drop(groups);
                log::error!(
                    target: "chinwag::membership",
                    "others know a later start ({}) of a node at {}, the address of this one; if another node runs, give each its \
                     own --advertise",
                    incarnation.life,
                    self.state.me
                );
                roster.tell(Event::AddressTaken { life: incarnation.life });
            }
            swim::MemberEvent::Merged { from, into } => {
                log::info!(target: "chinwag::membership", "this node's cluster was merged with another, as was asked for");
                roster.tell(Event::Merged { from, into });
            }
            swim::MemberEvent::Suspected { peer, incarnation, by } => {
                if let Some(peer) = named(peer, incarnation) {
                    let by = self.find(roster, &by).map_or(by, |known| known.node.nid());
                    roster.tell(Event::Suspected { peer, by });
                }
            }
            swim::MemberEvent::Refuted { peer, incarnation } => {
                if let Some(peer) = named(peer, incarnation) {
                    roster.tell(Event::Refuted(peer));
                }
            }
            swim::MemberEvent::Failed { peer, incarnation, by } => {
                if let Some(peer) = named(peer, incarnation) {
                    let by = self.find(roster, &by).map_or(by, |known| known.node.nid());
                    roster.tell(Event::Failed { peer, by });
                }
                let mine = by == self.state.nid;
                let left = roster.dismiss(&peer, &mut groups, Removal::Verdict { told: mine });
                drop(groups);
                if mine {
                    self.tell_mute(roster, left, |sid| ("rem", Value::from(sid.as_str())));
                }
            }
            swim::MemberEvent::Left { peer, incarnation } => {
                if let Some(peer) = named(peer, incarnation) {
                    roster.tell(Event::Left(peer));
                }
                roster.dismiss(&peer, &mut groups, Removal::Left);
            }
        }
    }

    /// Those that were told of a removal are told of the return.
    fn tell_of_return(&self, roster: &Roster, back: Option<Removed>) {
        if let Some(back) = back.filter(|back| back.told) {
            let node = back.node.to_value();
            let groups = back.groups.into_iter().map(|(gid, sid, _)| (gid, sid)).collect();
            self.tell_mute(roster, groups, |_| ("add", node.clone()));
        }
    }

    /// Has those that take no part change their groups.
    fn tell_mute(&self, roster: &Roster, groups: Vec<(Gid, Sid)>, word: impl Fn(&Sid) -> (&'static str, Value)) {
        actix::spawn(join_all(self.words(roster, groups, word)));
    }

    /// The calls by which those that take no part change their groups.
    fn words(
        &self,
        roster: &Roster,
        groups: Vec<(Gid, Sid)>,
        word: impl Fn(&Sid) -> (&'static str, Value),
    ) -> Vec<LocalBoxFuture<'static, Reply>> {
        let mut words = Vec::new();
        for to in roster.swim.passive_members().filter_map(|nid| roster.address(&nid)) {
            for (gid, sid) in &groups {
                let (method, argument) = word(sid);
                let arguments = vec![Value::from(gid.as_str()), argument];
                // a group that it does not know is none of its business, which it says
                words.push(self.state.call(to, Call::new(Gid::local(), "groups", method, arguments), WORD));
            }
        }
        words
    }
}
