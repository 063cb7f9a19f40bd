//! What outlives the actor: the state machine, the member list, the timers, and the subscribers.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use chinwag_protocol::{
    call::{CallError, ErrorKind},
    group::{Group, GroupConfig, Groups},
    identity::{Gid, Nid, NodeAddr, Sid},
    member_list::{Admission, MemberList, Removal, Removed},
    swim::{self, Bulletin, Input, Relation, Statement, Swim, Timer, Update},
    value::Value,
};
use tokio::{
    sync::{Semaphore, broadcast, oneshot},
    task::AbortHandle,
};

use super::wire;
use crate::{
    events::{Event, Events, Peer},
    load::Fill,
    settings::MembershipSettings,
    state::NodeState,
};

/// The most subscribers of one node, functions and streams together.
pub const MAX_SUBSCRIBERS: usize = 1_024;

/// The most probes under way for others. Beyond it they are told `Busy`, which accuses nobody.
pub(super) const MAX_RELAYS: usize = 1_024;

/// Every instance of the actor is given the same.
pub(crate) type Shared = Rc<RefCell<Roster>>;

/// A task that ends with whoever holds this.
pub(crate) struct Task(pub AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One node's membership.
pub(crate) struct Roster {
    pub swim: Swim<Nid>,
    /// The machine was started once.
    pub begun: bool,
    /// What gossip is to bring to everyone.
    pub news: Bulletin<(Update<Nid>, Value)>,
    /// Where the members are, and which groups they belong to.
    pub list: MemberList,
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
    /// The places of probes under way for others.
    pub relays: Arc<Semaphore>,
    /// Told when the farewell has reached the first peers.
    pub farewell: Option<oneshot::Receiver<()>>,
}

impl Roster {
    pub(crate) fn new(mut swim: Swim<Nid>, settings: &MembershipSettings) -> Roster {
        // Gossip compares clusters with the sender of each request, even before the membership actor has started.
        swim.expect_to_join(!settings.seeds.is_empty());
        Roster {
            swim,
            begun: false,
            news: Bulletin::new(settings.detection.news_interval),
            list: MemberList::default(),
            warned_full: false,
            enters: false,
            seed: None,
            welcomed: false,
            hosts: Vec::new(),
            due: BTreeMap::new(),
            timers: 0,
            events: None,
            kept_events: settings.events.clamp(1, 65_536),
            ended: false,
            subscriptions: BTreeMap::new(),
            joining: None,
            relays: Arc::new(Semaphore::new(MAX_RELAYS)),
            farewell: None,
        }
    }

    /// Whether a request comes from a member of this cluster, or from a node that may become one.
    ///
    /// # Errors
    /// An error for the sender where it belongs to another cluster.
    pub(super) fn admit_sender(
        &mut self,
        state: &NodeState,
        stated: &Statement,
        name: &str,
        merge: bool,
    ) -> Result<(), CallError> {
        let mine = &state.settings.membership.cluster;
        if !stated.is_passive() && name != mine {
            return Err(wire::stranger(format!("{} is in the cluster {mine:?}, not {name:?}", state.me)));
        }
        match self.swim.relate(stated, merge) {
            Relation::Member => Ok(()),
            Relation::Stranger => Err(wire::stranger(format!(
                "{} belongs to another cluster, and nobody asked for a merge; --join or groups.put does",
                state.me
            ))),
        }
    }

    /// Where a peer is.
    pub(crate) fn address(&self, nid: &Nid) -> Option<&NodeAddr> {
        self.list.address(nid)
    }

    /// What an operator has done to `all` since it was last looked at, as inputs of the machine.
    pub(crate) fn differences(&mut self, state: &NodeState) -> Vec<Input<Nid>> {
        let (me, Ok(all)) = (&state.nid, state.groups.borrow().get(&Gid::all())) else { return Vec::new() };
        if let (false, Some(life)) = (self.list.has_begun(), state.acquainted) {
            let mut peers: Vec<Nid> = all.iter().map(|(_, member)| member.nid).filter(|nid| nid != me).collect();
            peers.sort_unstable();
            self.swim.acquaint(peers.into_iter(), swim::Incarnation::of_life(life));
            self.list.begin_with(all);
            return Vec::new();
        }
        let inputs = self.list.differences(me, &all);
        if !inputs.is_empty() {
            self.tell(Event::GroupChanged { gid: Gid::all() });
        }
        inputs
    }

    /// Takes a peer into `all`, and back into the groups that a verdict removed it from, which it returns.
    pub(crate) fn admit(&mut self, nid: &Nid, groups: &mut Groups) -> Option<Removed> {
        let Admission { returned, changed } = self.list.admit(nid, groups);
        for gid in changed {
            self.tell(Event::GroupChanged { gid });
        }
        returned
    }

    /// Takes a peer out of all groups, and remembers which if it may return. Returns them.
    pub(crate) fn dismiss(&mut self, nid: &Nid, groups: &mut Groups, removal: Removal) -> Vec<(Gid, Sid)> {
        let left = self.list.remove(nid, groups, &self.swim, removal);
        for (gid, _) in &left {
            self.tell(Event::GroupChanged { gid: gid.clone() });
        }
        left
    }

    /// Takes note that peers were removed from a group that a member has told this node of.
    pub(crate) fn expect(&mut self, config: &Arc<GroupConfig>, gone: &Group, me: &Nid, groups: &mut Groups) {
        if self.list.expect(config, gone, me, groups, &self.swim) {
            self.tell(Event::GroupChanged { gid: config.gid.clone() });
        }
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

    /// Begins to keep events for one more subscriber.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] past [`MAX_SUBSCRIBERS`], and [`ErrorKind::Stopping`] after the end.
    pub(crate) fn subscribe(&mut self) -> Result<Events, CallError> {
        if self.subscribers() >= MAX_SUBSCRIBERS {
            let message = format!("a node tells at most {MAX_SUBSCRIBERS} subscribers");
            return Err(CallError::new(ErrorKind::Busy, message));
        }
        if self.ended {
            return Err(CallError::new(ErrorKind::Stopping, "the node is stopping"));
        }
        let kept = self.kept_events;
        Ok(Events::new(self.events.get_or_insert_with(|| broadcast::channel(kept).0).subscribe()))
    }

    /// How many subscribers there are.
    pub(crate) fn subscribers(&self) -> usize {
        self.events.as_ref().map_or(0, broadcast::Sender::receiver_count)
    }

    /// How much is held of what is bounded.
    pub(crate) fn load(&self, config: &swim::SwimConfig) -> [(&'static str, Fill); 5] {
        let (addresses, most_addresses) = self.list.addresses(&self.swim);
        let gone = self.swim.peers().filter(|(_, status, _)| !status.is_present()).count();
        [
            ("membership.members", Fill::new(self.swim.size(), config.members as usize)),
            ("membership.gone", Fill::new(gone, config.remembered as usize)),
            ("membership.addresses", Fill::new(addresses, most_addresses)),
            ("membership.relays", Fill::new(MAX_RELAYS - self.relays.available_permits(), MAX_RELAYS)),
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
