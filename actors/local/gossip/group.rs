//! The gossip of one group on this node: its state machine, its options, and the senders that wait for replies.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use actix::SpawnHandle;
use chinwag_protocol::{
    call::{CallError, ErrorKind},
    fanout::Fanout,
    group::{Entry, Group, GroupConfig},
    identity::{Gid, Nid, NodeAddr},
    peer::{Method, Shared},
    rumor::{self, Answer, BroadcastError, Context, Input, Manner, Output, Request, Timer, View},
};
use tokio::sync::oneshot;

use super::{
    options::{FanoutOption, Options},
    pending::{BroadcastReplies, OwnPush, PendingBroadcast},
};
use crate::{load::Fill, state::NodeState};

type RumorId = rumor::Id<Nid>;

/// The most senders outside the group whose addresses are kept.
const MAX_EXTERNAL_SENDERS: usize = 64;

/// The most peers that are kept as reference nodes. Past it, the first ones are sent offers again.
const MAX_REFERENCE_NODES: usize = 65_536;

/// The gossip of one group on this node.
pub(crate) struct GroupGossip {
    machine: rumor::Gossip<Nid, Shared>,
    options: Options,
    /// The configuration that `options` was read from.
    config: Arc<GroupConfig>,
    /// The fan-out that the group's function computed last.
    computed_fanout: Option<usize>,
    /// The number of members that the function was last called for.
    computed_for: Option<usize>,
    /// Peers that do not know offers.
    reference_nodes: BTreeSet<Nid>,
    /// The addresses of senders that are not members.
    external_senders: BTreeMap<Nid, NodeAddr>,
    /// The broadcasts whose senders wait, by the life and the sequence of the rumor.
    broadcasts: BTreeMap<(u64, u64), PendingBroadcast>,
    /// Resolved when this node has entered the group.
    entry_waiters: Vec<oneshot::Sender<()>>,
    /// Distinguishes this state machine from all others that the node has created.
    pub instance: u64,
    /// The running timers of the current actor. See [`GroupGossip::timer`].
    timers: [Option<SpawnHandle>; 3],
    /// Whether the machine's timers have stopped because the group was gone. It is started again if the group is back.
    pub stopped: bool,
    /// Whether a peer has sent this node a rumor of the group, and so considers it a member.
    pub addressed: bool,
}

/// A group as the state machine sees it.
struct GroupView<'a> {
    group: &'a Group,
    reference_nodes: &'a BTreeSet<Nid>,
    me: Nid,
}

impl View<Nid> for GroupView<'_> {
    fn len(&self) -> usize {
        self.group.len()
    }

    fn peer(&self, place: usize) -> Nid {
        // `place` is always less than the length. The machine never draws this node, so `me` is a safe fallback.
        self.group.member(place).map_or(self.me, |(_, member)| member.nid)
    }

    fn around(&self, peer: Nid) -> Option<[Nid; 2]> {
        self.group.around(&peer)
    }

    fn is_reference(&self, peer: Nid) -> bool {
        self.reference_nodes.contains(&peer)
    }
}

impl GroupGossip {
    pub(super) fn new(instance: u64, machine: rumor::Gossip<Nid, Shared>, options: Options) -> GroupGossip {
        GroupGossip {
            machine,
            options,
            config: Arc::new(GroupConfig::new(Gid::local())),
            computed_fanout: None,
            computed_for: None,
            reference_nodes: BTreeSet::new(),
            external_senders: BTreeMap::new(),
            broadcasts: BTreeMap::new(),
            entry_waiters: Vec::new(),
            instance,
            timers: [None, None, None],
            stopped: false,
            addressed: false,
        }
    }

    /// Takes the state machine and the running timers of a group that was deleted.
    pub(super) fn into_machine_and_timers(self) -> (rumor::Gossip<Nid, Shared>, Vec<SpawnHandle>) {
        (self.machine, self.timers.into_iter().flatten().collect())
    }

    pub(super) fn hash(&mut self, now: Duration) -> u64 {
        self.machine.hash(now)
    }

    pub(super) fn note_equal_hash(&mut self) {
        self.machine.same();
    }

    /// Returns how long a peer may take to answer. An `enter` request has a shorter timeout, because its answer is useless
    /// once this node has entered, and the machine repeats the request itself.
    pub(super) fn request_timeout(&self, method: Method) -> Duration {
        match method {
            Method::Enter => self.options.config.entry_time,
            _ => self.options.request_timeout,
        }
    }

    /// The handle of a timer, if it is running.
    pub(super) fn timer(&mut self, timer: Timer) -> &mut Option<SpawnHandle> {
        match timer {
            Timer::Tick => &mut self.timers[0],
            Timer::Entry => &mut self.timers[1],
            Timer::Calm => &mut self.timers[2],
        }
    }

    /// Makes the machine and the node both continue in the later of their two lives.
    pub(super) fn adopt_later_life(&mut self, state: &NodeState) {
        self.machine.raise(state.now(), state.life.get());
        let life = self.machine.incarnation();
        if life > state.life.get() {
            log::warn!(
                target: "chinwag::gossip",
                "peers know life {} of this node already, perhaps because its clock was set back: it continues as life {life}",
                life - 1
            );
            state.life.set(life);
        }
    }

    pub(super) fn has_entered(&self) -> bool {
        self.machine.has_entered()
    }

    /// Returns a receiver that resolves when this node has entered the group, and fails if the group is deleted first.
    pub(super) fn wait_for_entry(&mut self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.entry_waiters.retain(|waiter| !waiter.is_closed());
        self.entry_waiters.push(sender);
        receiver
    }

    /// Notifies everyone that waits for this node to enter the group.
    pub(super) fn notify_entered(&mut self) {
        for waiter in self.entry_waiters.drain(..) {
            // The receiver may have been dropped.
            let _ = waiter.send(());
        }
    }

    /// Applies the group's configuration if it has changed.
    pub(super) fn configure(&mut self, entry: &Entry) -> Result<(), CallError> {
        if !Arc::ptr_eq(&self.config, &entry.config) {
            self.options = Options::read(&entry.config)?;
            self.machine.configure(self.options.config.clone());
            self.config = entry.config.clone();
            self.computed_fanout = None;
            self.computed_for = None;
        }
        Ok(())
    }

    /// Whether the group's fan-out function has to be called for this number of members. Returns true once per change of
    /// that number. A node that only relays needs the fan-out too.
    pub(super) fn needs_fanout(&mut self, members: usize) -> bool {
        let needed = matches!(self.options.fanout, FanoutOption::Computed(_)) && self.computed_for != Some(members);
        if needed {
            self.computed_for = Some(members);
        }
        needed
    }

    /// Sets the fan-out that the group's function computed for this number of members.
    pub(super) fn set_fanout(&mut self, members: usize, peers: usize) {
        (self.computed_fanout, self.computed_for) = (Some(peers), Some(members));
    }

    fn fanout(&self, members: usize) -> usize {
        // A node never sends to itself, but it may be outside the group, so the fan-out can be as large as the group.
        let most = members.max(1);
        match &self.options.fanout {
            FanoutOption::Fixed(Fanout::Fixed(peers)) => (peers.get() as usize).min(most),
            FanoutOption::Fixed(Fanout::All) => most,
            FanoutOption::Fixed(fanout) => fanout.count(members),
            // The last result applies until the function has returned one for the changed group.
            FanoutOption::Computed(_) => match self.computed_fanout {
                Some(peers) => peers.clamp(1, most),
                None => Fanout::Log.count(members),
            },
        }
    }

    fn with_machine<T>(
        &mut self,
        entry: &Entry,
        state: &NodeState,
        act: impl FnOnce(&mut rumor::Gossip<Nid, Shared>, &mut Context<'_, GroupView<'_>, rand_chacha::ChaCha8Rng>) -> T,
    ) -> T {
        let members = entry.members.len();
        let fanout = self.fanout(members);
        let view = GroupView { group: &entry.members, reference_nodes: &self.reference_nodes, me: state.nid };
        state.chance(|chance| {
            let mut context = Context { now: state.now(), view: &view, fanout, chance };
            act(&mut self.machine, &mut context)
        })
    }

    pub(super) fn input(
        &mut self,
        entry: &Entry,
        state: &NodeState,
        input: Input<Nid, Shared>,
        out: &mut Vec<Output<Nid, Shared>>,
    ) {
        self.with_machine(entry, state, |machine, context| machine.handle(context, input, out));
    }

    /// Answers a request of a peer.
    pub(super) fn respond(
        &mut self,
        entry: &Entry,
        state: &NodeState,
        from: Option<Nid>,
        request: Request<Nid, Shared>,
        out: &mut Vec<Output<Nid, Shared>>,
    ) -> Answer<Nid, Shared> {
        // A pull only responds to an offer of this node, so it does not show that the peer considers this node a member.
        self.addressed |= !matches!(request, Request::Pull(_));
        self.with_machine(entry, state, |machine, context| machine.respond(context, from, request, out))
    }

    /// Starts a rumor.
    pub(super) fn broadcast(
        &mut self,
        entry: &Entry,
        state: &NodeState,
        message: Shared,
        manner: Manner,
        out: &mut Vec<Output<Nid, Shared>>,
    ) -> Result<BroadcastReplies, CallError> {
        let size = message.size()?;
        let started = self
            .with_machine(entry, state, |machine, context| machine.broadcast_as(manner, context, message, size, out));
        let busy = |why: BroadcastError| CallError::new(ErrorKind::Busy, why.to_string());
        let (broadcast, replies) = PendingBroadcast::new();
        if let RumorId::Numbered { incarnation, sequence, .. } = started.map_err(busy)? {
            self.broadcasts.insert((incarnation, sequence), broadcast);
        }
        Ok(replies)
    }

    /// Returns a recorder for the reply if the request pushes one of this node's own rumors whose sender still waits.
    pub(super) fn own_push(
        &self,
        me: Nid,
        to: &Nid,
        request: &Request<Nid, Shared>,
        members: &Group,
    ) -> Option<OwnPush> {
        let Request::Push(rumor) = request else { return None };
        match &rumor.id {
            RumorId::Numbered { origin, incarnation, sequence } if *origin == me => {
                Some(self.broadcasts.get(&(*incarnation, *sequence))?.push_to(members.sid_of(to).cloned()))
            }
            _ => None,
        }
    }

    /// Notifies the sender of a rumor that the peers it was sent to first have answered or failed.
    pub(super) fn settle(&mut self, id: &RumorId) {
        if let RumorId::Numbered { incarnation, sequence, .. } = id
            && let Some(broadcast) = self.broadcasts.remove(&(*incarnation, *sequence))
        {
            broadcast.settle();
        }
    }

    /// Makes the sender of a rumor wait for the replies under the rumor's new id.
    pub(super) fn reissue(&mut self, from: &RumorId, to: &RumorId) {
        if let RumorId::Numbered { incarnation, sequence, .. } = from
            && let RumorId::Numbered { incarnation: new_incarnation, sequence: new_sequence, .. } = to
            && let Some(broadcast) = self.broadcasts.get(&(*incarnation, *sequence))
        {
            let reissued = broadcast.reissue();
            self.broadcasts.insert((*new_incarnation, *new_sequence), reissued);
        }
    }

    /// Takes note of a request's sender. A sender of anything but `recv` is not a reference node.
    pub(super) fn note_sender(&mut self, nid: Nid, from: NodeAddr, method: Method, group: &Group) {
        if method != Method::Recv {
            self.reference_nodes.remove(&nid);
        }
        self.note_external_sender(nid, from, group);
    }

    /// Keeps the address of a node that is not a member.
    pub(super) fn note_external_sender(&mut self, nid: Nid, from: NodeAddr, group: &Group) {
        if !group.contains(&nid) {
            if self.external_senders.len() >= MAX_EXTERNAL_SENDERS && !self.external_senders.contains_key(&nid) {
                self.external_senders.pop_first();
            }
            self.external_senders.insert(nid, from);
        }
    }

    /// Returns the address of a sender that is not a member.
    pub(super) fn external_address(&self, nid: &Nid) -> Option<NodeAddr> {
        self.external_senders.get(nid).cloned()
    }

    /// Notes that a peer does not know offers.
    pub(super) fn note_reference_node(&mut self, peer: Nid, members: &Group) {
        if self.reference_nodes.len() >= members.len() {
            self.reference_nodes.retain(|nid| members.contains(nid));
        }
        if self.reference_nodes.len() >= MAX_REFERENCE_NODES {
            self.reference_nodes.pop_first();
        }
        self.reference_nodes.insert(peer);
    }

    /// Returns how full each bounded collection is.
    pub(crate) fn load(&self, members: usize) -> [(&'static str, Fill); 13] {
        let (load, config) = (self.machine.load(), &*self.options.config);
        // The machine sends a rumor to all of its peers at once, which can exceed the bound on requests.
        let peers = self.fanout(members).max(config.offers.max(config.pushes).saturating_add(2));
        let requests = config.requests.max(1).saturating_add(peers).saturating_sub(1);
        [
            // A rumor that still has to be sent is not dropped, and one rumor is held whatever its size.
            ("gossip.retained", Fill::new(load.retained, config.retained_count.max(load.queued).max(1))),
            ("gossip.lives", Fill::new(load.lives, config.origins.max(1))),
            ("gossip.stretches", Fill::new(load.stretches, load.lives.max(1).saturating_mul(config.gaps.max(1)))),
            ("gossip.opaqueIds", Fill::new(load.opaque_ids, config.opaque_ids.max(1))),
            ("gossip.earlierLives", Fill::new(load.earlier_lives, config.origins.max(1))),
            ("gossip.earlierOpaqueIds", Fill::new(load.earlier_opaque, config.opaque_ids.max(1))),
            ("gossip.wanted", Fill::new(load.wanted, config.wanted.max(1))),
            ("gossip.queued", Fill::new(load.queued, config.queue_count.max(1))),
            ("gossip.requests", Fill::new(load.requests, requests)),
            ("gossip.ownInFlight", Fill::new(load.own_in_flight, config.own_in_flight.max(1))),
            // A reissued rumor counts twice until its former pushes are answered.
            ("gossip.waiting", Fill::new(self.broadcasts.len(), 2 * config.own_in_flight.max(1))),
            ("gossip.strangers", Fill::new(self.external_senders.len(), MAX_EXTERNAL_SENDERS)),
            ("gossip.legacy", Fill::new(self.reference_nodes.len(), MAX_REFERENCE_NODES)),
        ]
    }
}
