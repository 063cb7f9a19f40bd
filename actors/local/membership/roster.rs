//! What outlives the actor: the machine, where its peers are, what verdicts took from the groups, and who is told.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use chinwag_protocol::{
    group::{Group, GroupConfig, Groups},
    identity::{Gid, Nid, NodeAddr, Sid},
    swim::{self, Bulletin, Input, PAGE, Status, Swim, Timer, Update},
    value::Value,
};
use tokio::{
    sync::{broadcast, oneshot},
    task::AbortHandle,
};

use super::{
    MAX_SUBSCRIBERS, Settings,
    answering::MAX_RELAYS,
    events::{Event, Events, Peer},
    wire::{Addresses, Known},
};
use crate::{home::Home, load::Fill};

/// Handed to each actor that comes to sit in the seat.
pub(crate) type Shared = Rc<RefCell<Roster>>;

/// How many addresses of forgotten peers are kept before all are gone through. A guess.
const SLACK: usize = 64;

/// Most peers that are gone of which a node only takes note if a member tells it of them. A guess: as many as the machine
/// remembers.
const MAX_GONE: usize = 1_024;

/// A task that ends with whoever holds this.
pub(crate) struct Task(pub AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Where a peer belongs that a verdict removed.
pub(crate) struct Taken {
    pub node: NodeAddr,
    pub groups: Vec<(Gid, Sid, Arc<GroupConfig>)>,
    /// It was this node that told those who take no part.
    pub told: bool,
    /// The verdict came before this node knew the peer: the member that told it of the group said that the peer is gone.
    pub heard: bool,
}

/// One node's membership.
pub(crate) struct Roster {
    pub swim: Swim<Nid>,
    /// The machine was started once.
    pub begun: bool,
    /// What gossip is to bring to everyone.
    pub news: Bulletin<(Update<Nid>, Value)>,
    /// The addresses of the machine's members that are not in `all`, and of those that the message in hand names.
    addresses: BTreeMap<Nid, NodeAddr>,
    /// Members that were noted and that the machine may not have taken in.
    noted: Vec<Nid>,
    /// The groups that members were started in, with the life that they were stated for.
    declared: BTreeMap<Nid, (u64, Vec<Gid>)>,
    /// The machine was once told that it turned nodes away.
    pub warned_full: bool,
    /// Gossip was told to enter `all`.
    pub enters: bool,
    /// The seed that this node has last asked to let it in.
    pub seed: Option<Nid>,
    /// A node has welcomed this one after a restart.
    pub welcomed: bool,
    /// Members that know groups which list this node, and which it does not know: they are to be asked.
    pub hosts: Vec<NodeAddr>,
    /// `all`, as the machine knows it.
    seen: Option<Arc<Group>>,
    taken: BTreeMap<Nid, Taken>,
    /// What is due, and when since the node's start. The number keeps equal times apart.
    due: BTreeMap<(Duration, u64), Timer<Nid>>,
    timers: u64,
    /// None until somebody subscribes, and after the end.
    events: Option<broadcast::Sender<Event>>,
    kept_events: usize,
    ended: bool,
    /// Functions that are called with each event, by the id of the subscription.
    pub subscriptions: BTreeMap<String, Task>,
    pub joining: Option<Task>,
    /// Probes under way for others.
    pub relays: usize,
    /// Told when the farewell has reached the first peers.
    pub farewell: Option<oneshot::Receiver<()>>,
}

impl Roster {
    pub(crate) fn new(mut swim: Swim<Nid>, settings: &Settings) -> Roster {
        // Gossip compares clusters with the sender of each request, even before the membership actor has started.
        swim.expect_to_join(!settings.seeds.is_empty());
        Roster {
            swim,
            begun: false,
            news: Bulletin::new(settings.detection.news_interval),
            addresses: BTreeMap::new(),
            noted: Vec::new(),
            declared: BTreeMap::new(),
            warned_full: false,
            enters: false,
            seed: None,
            welcomed: false,
            hosts: Vec::new(),
            seen: None,
            taken: BTreeMap::new(),
            due: BTreeMap::new(),
            timers: 0,
            events: None,
            kept_events: settings.events.clamp(1, 65_536),
            ended: false,
            subscriptions: BTreeMap::new(),
            joining: None,
            relays: 0,
            farewell: None,
        }
    }

    /// Where a peer is.
    pub(crate) fn address(&self, nid: &Nid) -> Option<&NodeAddr> {
        let member = self.seen.as_ref().and_then(|all| all.by_nid(nid));
        member.map(|member| &member.node).or_else(|| self.addresses.get(nid))
    }

    /// Where a member is, and the groups that it was started in.
    pub(crate) fn known(&self, nid: &Nid) -> Option<Known> {
        let node = self.address(nid)?.clone();
        let declared = self.declared.get(nid);
        let (life, groups) = declared.map_or((0, None), |(life, groups)| (*life, Some(groups.clone())));
        Some(Known { nid: *nid, node, life, groups })
    }

    /// Notes what a message says of members beside their standing: to be followed by what it says of that, and by
    /// [`settle`](Self::settle). An address that is known already stands: it may come with more than an address. Answers
    /// which members are said to be in which groups and were not before.
    pub(crate) fn note(&mut self, addresses: Addresses) -> Vec<(Gid, NodeAddr)> {
        let mut fresh = Vec::new();
        for Known { nid, node, life, groups } in addresses {
            if self.address(&nid).is_none() {
                self.addresses.insert(nid, node.clone());
            }
            self.noted.push(nid);
            let Some(groups) = groups else { continue };
            let before = self.declared.get(&nid);
            if before.is_none_or(|(of, said)| *of < life || (*of == life && *said != groups)) {
                let said = |gid: &Gid| before.is_some_and(|(of, said)| *of == life && said.contains(gid));
                fresh.extend(groups.iter().filter(|gid| !said(gid)).map(|gid| (gid.clone(), node.clone())));
                self.declared.insert(nid, (life, groups));
            }
        }
        fresh
    }

    /// Forgets what was noted of nodes that the machine has not taken in, so that as many addresses are kept as members.
    pub(crate) fn settle(&mut self) {
        let unknown = |swim: &Swim<Nid>, nid: &Nid| swim.status(nid).is_none();
        for nid in std::mem::take(&mut self.noted) {
            if unknown(&self.swim, &nid) {
                self.addresses.remove(&nid);
                self.declared.remove(&nid);
            }
        }
        if self.addresses.len().max(self.declared.len()) > self.swim.size() + SLACK {
            // The machine forgets removed members now and then.
            let swim = &self.swim;
            self.addresses.retain(|nid, _| !unknown(swim, nid));
            self.declared.retain(|nid, _| !unknown(swim, nid));
        }
    }

    /// What an operator has done to `all` since it was last looked at.
    pub(crate) fn differences(&mut self, home: &Home) -> Vec<Input<Nid>> {
        let (me, Ok(all)) = (&home.nid, home.groups.borrow().get(&Gid::all())) else { return Vec::new() };
        if let (None, Some(life)) = (&self.seen, home.acquainted) {
            let mut peers: Vec<Nid> = all.iter().map(|(_, member)| member.nid).filter(|nid| nid != me).collect();
            peers.sort_unstable();
            self.swim.acquaint(peers.into_iter(), swim::Incarnation::of_life(life));
            self.seen = Some(all);
            return Vec::new();
        }
        if self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &all)) {
            return Vec::new();
        }
        let before = self.seen.replace(all.clone()).unwrap_or_default();
        let mut inputs = Vec::new();
        for (_, member) in all.iter().filter(|(_, member)| member.nid != *me) {
            if !before.contains(&member.nid) {
                inputs.push((member.nid, Input::Add(member.nid)));
            }
        }
        let gone = before.iter().filter(|(_, member)| !all.contains(&member.nid));
        for (_, member) in gone {
            self.addresses.insert(member.nid, member.node.clone());
            inputs.push((member.nid, Input::Remove(member.nid)));
        }
        // the machine keeps its members in this order
        inputs.sort_by_key(|(nid, _)| *nid);
        let inputs: Vec<Input<Nid>> = inputs.into_iter().map(|(_, input)| input).collect();
        if !inputs.is_empty() {
            self.tell(Event::GroupChanged { gid: Gid::all() });
        }
        inputs
    }

    /// Changes the groups on membership's own account, so that it is not taken for an operator's word.
    fn change<T>(&mut self, groups: &mut Groups, act: impl FnOnce(&mut Groups) -> T) -> T {
        // held by nobody else, the set is changed in place
        self.seen = None;
        let done = act(groups);
        self.seen = groups.get(&Gid::all()).ok();
        done
    }

    /// Takes a peer into `all`, and back into the groups that a verdict took it from. Answers those.
    pub(crate) fn admit(&mut self, nid: &Nid, groups: &mut Groups) -> Option<Taken> {
        let mut taken = self.taken.remove(nid);
        if let Some(taken) = &mut taken {
            // an operator may have put another set in the place of one since
            taken.groups.retain(|(gid, _, of)| groups.entry(gid).is_ok_and(|entry| Arc::ptr_eq(&entry.config, of)));
        }
        let node = taken.as_ref().map(|taken| taken.node.clone()).or_else(|| self.address(nid).cloned())?;
        let mut changed = Vec::new();
        self.change(groups, |groups| {
            let restore = taken.iter().flat_map(|taken| &taken.groups);
            let restored = restore.filter(|(gid, sid, _)| groups.restore(gid, sid, &node));
            changed.extend(restored.map(|(gid, ..)| gid.clone()));
            // known there, it may be known with more than its address
            if groups.get(&Gid::all()).is_ok_and(|all| !all.contains(nid)) {
                groups.meet([node]);
                changed.push(Gid::all());
            }
        });
        for gid in changed {
            self.tell(Event::GroupChanged { gid });
        }
        taken
    }

    /// Takes a peer out of all groups; remembers which, if it is to come back. Answers them.
    pub(crate) fn dismiss(&mut self, nid: &Nid, groups: &mut Groups, remember: bool, told: bool) -> Vec<(Gid, Sid)> {
        let known = groups.get(&Gid::all()).ok().and_then(|all| all.by_nid(nid).map(|member| member.node.clone()));
        let node = known.or_else(|| self.address(nid).cloned());
        let left = self.change(groups, |groups| groups.forget(nid));
        let before = self.taken.remove(nid).map(|taken| taken.groups).unwrap_or_default();
        if let Some(node) = &node {
            self.addresses.insert(*nid, node.clone());
        }
        if let (true, Some(node)) = (remember, node) {
            let swim = &self.swim;
            // Forgotten by the machine, or removed by an operator since. A member that an operator has put again comes back
            // into its other groups, too, once it answers. One that is alive is about to come back: the message that says so says
            // this, too.
            let gone = |status| !matches!(status, Status::Left | Status::Expelled);
            self.taken.retain(|nid, taken| swim.status(nid).map_or(taken.heard, gone));
            // An operator had put it again meanwhile, and it did not answer: it still belongs where it was before, too.
            let elsewhere = before.into_iter().filter(|(gid, ..)| left.iter().all(|(of, _)| of != gid));
            let here = left.iter().filter_map(|(gid, sid)| {
                let config = groups.entry(gid).ok()?.config.clone();
                Some((gid.clone(), sid.clone(), config))
            });
            let groups = here.chain(elsewhere).collect();
            self.taken.insert(*nid, Taken { node, groups, told, heard: false });
        }
        for (gid, _) in &left {
            self.tell(Event::GroupChanged { gid: gid.clone() });
        }
        left
    }

    /// The peers that a verdict took from a group and that come back into it when they return, as many as a page has.
    pub(crate) fn gone_from(&self, gid: &Gid, config: &Arc<GroupConfig>) -> Group {
        let belongs =
            |taken: &&Taken| taken.groups.iter().any(|(of, _, as_put)| of == gid && Arc::ptr_eq(as_put, config));
        self.taken.values().filter(belongs).take(PAGE).map(|taken| taken.node.clone()).collect()
    }

    /// A member has told this node of a group, and of peers that are gone from it: they come back into it here, too.
    /// One that is back already is put into it. If an operator has put the group meanwhile, that stands.
    pub(crate) fn expect(&mut self, config: &Arc<GroupConfig>, gone: &Group, me: &Nid, groups: &mut Groups) {
        let gid = &config.gid;
        let entry = groups.entry(gid).ok().filter(|entry| Arc::ptr_eq(&entry.config, config));
        let Some(members) = entry.map(|entry| entry.members.clone()) else { return };
        for (sid, member) in gone.iter().filter(|(_, member)| member.nid != *me && !members.contains(&member.nid)) {
            if self.swim.status(&member.nid).is_some_and(Status::is_known) {
                if self.change(groups, |groups| groups.restore(gid, sid, &member.node)) {
                    self.tell(Event::GroupChanged { gid: gid.clone() });
                }
            } else if self.taken.contains_key(&member.nid) || self.taken.len() < MAX_GONE {
                let fresh = || Taken { node: member.node.clone(), groups: Vec::new(), told: false, heard: true };
                let taken = self.taken.entry(member.nid).or_insert_with(fresh);
                if taken.groups.iter().all(|(of, ..)| of != gid) {
                    taken.groups.push((gid.clone(), sid.clone(), config.clone()));
                }
            }
        }
    }

    /// An operator removed a node from a group: one that is gone does not come back into it.
    pub(crate) fn operator_removed(&mut self, gid: &Gid, sid: &str) -> Vec<Input<Nid>> {
        let mut removed = Vec::new();
        for (nid, taken) in &mut self.taken {
            let before = taken.groups.len();
            taken.groups.retain(|(of, held, _)| of != gid || held.as_str() != sid);
            if taken.groups.len() < before {
                removed.push(*nid);
            }
        }
        if !gid.is_all() {
            return Vec::new();
        }
        removed.into_iter().map(Input::Remove).collect()
    }

    /// An operator said what a group is: one that is gone and not named comes back into it no more.
    pub(crate) fn operator_put(&mut self, gid: &Gid, members: Option<&Group>) -> Vec<Input<Nid>> {
        let mut removed = Vec::new();
        for (nid, taken) in &mut self.taken {
            let before = taken.groups.len();
            let named = members.is_some_and(|members| members.contains(nid));
            taken.groups.retain(|(of, ..)| of != gid || named);
            if taken.groups.len() < before {
                removed.push(*nid);
            }
        }
        if !gid.is_all() {
            return Vec::new();
        }
        removed.into_iter().map(Input::Remove).collect()
    }

    /// Keeps a timer.
    pub(crate) fn set_timer(&mut self, at: Duration, timer: Timer<Nid>) {
        self.timers += 1;
        self.due.insert((at, self.timers), timer);
    }

    pub(crate) fn cancel_timer(&mut self, at: Duration, timer: Timer<Nid>) {
        let place = self.due.range((at, 0)..=(at, u64::MAX)).find(|(_, due)| **due == timer).map(|(place, _)| *place);
        if let Some(place) = place {
            self.due.remove(&place);
        }
    }

    /// When the next timer is due, or news are.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let timer = self.due.first_key_value().map(|((at, _), _)| *at);
        timer.into_iter().chain(self.news.due()).min()
    }

    /// Takes a timer that is due.
    pub(crate) fn take_due(&mut self, now: Duration) -> Option<Timer<Nid>> {
        let first = self.due.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// Tells all subscribers.
    pub(crate) fn tell(&self, event: Event) {
        match &event {
            Event::Joined(peer) => log::info!(target: "chinwag::members", "{} at {} joined", peer.nid.sid(), peer.node),
            Event::Rejoined(peer) => {
                log::info!(target: "chinwag::members", "{} at {} is back", peer.nid.sid(), peer.node)
            }
            Event::Left(peer) => log::info!(target: "chinwag::members", "{} at {} left", peer.nid.sid(), peer.node),
            Event::Failed { peer, by } => {
                log::warn!(target: "chinwag::members", "{} at {} failed, says {}", peer.nid.sid(), peer.node, by.sid());
            }
            event => log::debug!(target: "chinwag::members", "{event:?}"),
        }
        if let Some(events) = &self.events {
            // the last of them may have gone
            let _ = events.send(event);
        }
    }

    /// The peer of an event.
    pub(crate) fn peer(&self, nid: Nid, incarnation: swim::Incarnation) -> Option<Peer> {
        let node = self.address(&nid)?.clone();
        Some(Peer { nid: node.nid(), node, incarnation })
    }

    /// Begins to keep events for one more subscriber. None after the end.
    pub(crate) fn subscribe(&mut self) -> Option<Events> {
        if self.ended {
            return None;
        }
        let kept = self.kept_events;
        Some(Events::new(self.events.get_or_insert_with(|| broadcast::channel(kept).0).subscribe()))
    }

    /// How many subscribers there are.
    pub(crate) fn subscribers(&self) -> usize {
        self.events.as_ref().map_or(0, broadcast::Sender::receiver_count)
    }

    /// How much is held of what is bounded.
    pub(crate) fn load(&self, config: &swim::SwimConfig) -> [(&'static str, Fill); 5] {
        let gone = self.swim.peers().filter(|(_, status, _)| !status.is_present()).count();
        [
            ("membership.members", Fill::new(self.swim.size(), config.members as usize)),
            ("membership.gone", Fill::new(gone, config.remembered as usize)),
            ("membership.addresses", Fill::new(self.addresses.len(), self.swim.size() + SLACK)),
            ("membership.relays", Fill::new(self.relays, MAX_RELAYS)),
            ("membership.subscribers", Fill::new(self.subscribers(), MAX_SUBSCRIBERS)),
        ]
    }

    /// Ends all that goes on by itself: subscribers see the end, nobody is sought any more.
    pub(crate) fn end(&mut self) {
        self.ended = true;
        self.events = None;
        self.subscriptions.clear();
        self.joining = None;
        self.due.clear();
        self.news = Bulletin::new(Duration::ZERO);
    }
}
