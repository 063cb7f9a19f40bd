//! The membership state of one node, which outlives the actor: the state machine, the member list, the timers and the
//! subscribers.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use chinwag_protocol::{
    call::{CallError, ErrorKind},
    group::{Group, GroupConfig, Groups},
    identity::{Gid, Nid, NodeAddr, Sid},
    member_list::{Arrival, MemberList, Removal, Removed},
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

/// The most probes for other nodes that run at once. Past it, they get `Busy`, which accuses no member.
pub(super) const MAX_RELAYS: usize = 1_024;

/// The membership state, shared by all instances of the actor.
pub(crate) type SharedMembership = Rc<RefCell<MembershipState>>;

/// A task that is aborted when this is dropped.
pub(crate) struct Task(pub AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The membership state of one node.
pub(crate) struct MembershipState {
    pub swim: Swim<Nid>,
    /// Whether the state machine has been started.
    pub started: bool,
    /// Updates that gossip has to bring to every node.
    pub news: Bulletin<(Update<Nid>, Value)>,
    /// The addresses of the members, and the groups that they belong to.
    pub list: MemberList,
    /// Whether a warning was logged that the member list is full.
    pub warned_full: bool,
    /// Whether gossip was told to enter `all`.
    pub entered_all: bool,
    /// The seed that this node last asked to join through.
    pub seed: Option<Nid>,
    /// Whether a member has welcomed this node after a restart, or this node has joined.
    pub welcomed: bool,
    /// Members that still have to be asked for groups, because they know groups that list this node and that this node
    /// lacks.
    pub welcoming_members: Vec<NodeAddr>,
    /// The timers, by the time since the node's start. A number distinguishes timers that are due at the same time.
    due: BTreeMap<(Duration, u64), Timer<Nid>>,
    timers: u64,
    /// `None` before the first subscription, and after the end.
    events: Option<broadcast::Sender<Event>>,
    event_capacity: usize,
    ended: bool,
    /// The tasks that call subscribed functions, by the id of the subscription.
    pub subscriptions: BTreeMap<String, Task>,
    pub joining: Option<Task>,
    /// Bounds the probes for other nodes that run at once.
    pub relays: Arc<Semaphore>,
    /// Resolves when the farewell has reached the first peers.
    pub farewell: Option<oneshot::Receiver<()>>,
}

impl MembershipState {
    pub(crate) fn new(mut swim: Swim<Nid>, settings: &MembershipSettings) -> MembershipState {
        // Gossip compares clusters with the sender of each request, even before the membership actor has started.
        swim.expect_to_join(!settings.seeds.is_empty());
        MembershipState {
            swim,
            started: false,
            news: Bulletin::new(settings.detection.news_interval),
            list: MemberList::default(),
            warned_full: false,
            entered_all: false,
            seed: None,
            welcomed: false,
            welcoming_members: Vec::new(),
            due: BTreeMap::new(),
            timers: 0,
            events: None,
            event_capacity: settings.events.clamp(1, 65_536),
            ended: false,
            subscriptions: BTreeMap::new(),
            joining: None,
            relays: Arc::new(Semaphore::new(MAX_RELAYS)),
            farewell: None,
        }
    }

    /// Checks that the sender of a request is a member of this cluster, or a node that may become one.
    ///
    /// # Errors
    /// The error for the sender if it belongs to another cluster.
    pub(super) fn check_sender(
        &mut self,
        state: &NodeState,
        stated: &Statement,
        name: &str,
        merge: bool,
    ) -> Result<(), CallError> {
        let own_cluster = &state.settings.membership.cluster;
        if !stated.is_passive() && name != own_cluster {
            return Err(wire::stranger(format!("{} is in the cluster {own_cluster:?}, not {name:?}", state.me)));
        }
        match self.swim.relate(stated, merge) {
            Relation::Member => Ok(()),
            Relation::Stranger => Err(wire::stranger(format!(
                "{} belongs to another cluster, and no merge was requested; --join or groups.put requests one",
                state.me
            ))),
        }
    }

    /// Returns the address of a peer.
    pub(crate) fn address(&self, nid: &Nid) -> Option<&NodeAddr> {
        self.list.address(nid)
    }

    /// Returns the changes that operators have made to `all` since the last call, as inputs of the state machine.
    pub(crate) fn operator_changes(&mut self, state: &NodeState) -> Vec<Input<Nid>> {
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
            self.notify(Event::GroupChanged { gid: Gid::all() });
        }
        inputs
    }

    /// Adds a peer to `all`, and to the groups that a verdict removed it from. Returns the latter.
    pub(crate) fn admit(&mut self, nid: &Nid, groups: &mut Groups) -> Option<Removed> {
        let Arrival { returned, changed } = self.list.admit(nid, groups);
        for gid in changed {
            self.notify(Event::GroupChanged { gid });
        }
        returned
    }

    /// Removes a peer from all groups, and remembers them if the peer may return. Returns the groups and the peer's SIDs.
    pub(crate) fn dismiss(&mut self, nid: &Nid, groups: &mut Groups, removal: Removal) -> Vec<(Gid, Sid)> {
        let left = self.list.remove(nid, groups, &self.swim, removal);
        for (gid, _) in &left {
            self.notify(Event::GroupChanged { gid: gid.clone() });
        }
        left
    }

    /// Notes the peers that a member reports as removed from a group.
    pub(crate) fn expect(&mut self, config: &Arc<GroupConfig>, gone: &Group, me: &Nid, groups: &mut Groups) {
        if self.list.expect(config, gone, me, groups, &self.swim) {
            self.notify(Event::GroupChanged { gid: config.gid.clone() });
        }
    }

    /// Sets a timer of the state machine.
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

    /// Returns when the next timer or the next broadcast of news is due.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let timer = self.due.first_key_value().map(|((at, _), _)| *at);
        timer.into_iter().chain(self.news.due()).min()
    }

    /// Removes and returns a timer that is due.
    pub(crate) fn take_due(&mut self, now: Duration) -> Option<Timer<Nid>> {
        let first = self.due.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// Logs an event and sends it to all subscribers.
    pub(crate) fn notify(&self, event: Event) {
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
            // Sending fails if the last subscriber has gone.
            let _ = events.send(event);
        }
    }

    /// Returns the peer of an event, or `None` if its address is not known.
    pub(crate) fn peer(&self, nid: Nid, incarnation: swim::Incarnation) -> Option<Peer> {
        let node = self.address(&nid)?.clone();
        Some(Peer { nid: node.nid(), node, incarnation })
    }

    /// Adds a subscriber.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] past [`MAX_SUBSCRIBERS`], and [`ErrorKind::Stopping`] once the node stops.
    pub(crate) fn subscribe(&mut self) -> Result<Events, CallError> {
        if self.subscribers() >= MAX_SUBSCRIBERS {
            let message = format!("a node has at most {MAX_SUBSCRIBERS} subscribers");
            return Err(CallError::new(ErrorKind::Busy, message));
        }
        if self.ended {
            return Err(CallError::new(ErrorKind::Stopping, "the node is stopping"));
        }
        let kept = self.event_capacity;
        Ok(Events::new(self.events.get_or_insert_with(|| broadcast::channel(kept).0).subscribe()))
    }

    /// Returns the number of subscribers.
    pub(crate) fn subscribers(&self) -> usize {
        self.events.as_ref().map_or(0, broadcast::Sender::receiver_count)
    }

    /// Returns how full each bounded collection is.
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

    /// Ends all activity: the timers, the joining task and the subscriptions.
    pub(crate) fn end(&mut self) {
        self.ended = true;
        self.events = None;
        self.subscriptions.clear();
        self.joining = None;
        self.due.clear();
        self.news = Bulletin::new(Duration::ZERO);
    }
}
