//! The gossip state of one node, which outlives the actor that drives it.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use actix::SpawnHandle;
use chinwag_protocol::{identity::Gid, rumor};
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

use super::{
    deleted_groups::DeletedGroups, group::GroupGossip, options::Options, outcomes::Outcomes, pending::PendingRequest,
};
use crate::{messages::Incoming, state::NodeState};

/// The most requests that go on after their group was deleted. They are still delivered, because one of them may carry
/// the message that deletes the group. They are bounded because a group's requests can last for ten minutes, and groups can
/// be put and deleted all the time. A guess: the requests of sixteen groups.
const MAX_ORPHANED_REQUESTS: usize = 4_096;

/// The gossip state of one node. It outlives the actor, so that a panic loses nothing.
pub(crate) struct GossipState {
    pub groups: RefCell<BTreeMap<Gid, Box<GroupGossip>>>,
    /// The requests to peers that have not been answered yet.
    pub requests: RefCell<FuturesUnordered<PendingRequest>>,
    /// The requests of peers that the actor has not handled yet.
    pub incoming: RefCell<mpsc::Receiver<Box<Incoming>>>,
    pub deleted_groups: RefCell<DeletedGroups>,
    pub outcomes: RefCell<Outcomes>,
    /// The instance number of the state machine that was created last.
    last_instance: Cell<u64>,
}

impl GossipState {
    /// Creates the state of a node that has not started. The requests of peers arrive through the receiver.
    pub(crate) fn new(incoming: mpsc::Receiver<Box<Incoming>>) -> GossipState {
        GossipState {
            groups: RefCell::default(),
            requests: RefCell::default(),
            incoming: RefCell::new(incoming),
            deleted_groups: RefCell::default(),
            outcomes: RefCell::default(),
            last_instance: Cell::default(),
        }
    }

    /// Creates the state machine of a group, with what this node remembers of a deleted group of the same name.
    pub(super) fn create_group(&self, gid: &Gid, state: &NodeState, options: Options) -> Box<GroupGossip> {
        self.last_instance.set(self.last_instance.get() + 1);
        let create = if state.founded.borrow().contains(gid) { rumor::Gossip::new } else { rumor::Gossip::newcomer };
        let machine = create(state.nid, state.life.get(), options.config.clone());
        let machine = self.deleted_groups.borrow_mut().restore(gid, machine);
        Box::new(GroupGossip::new(self.last_instance.get(), machine, options))
    }

    /// Whether the state machine of a group is the one with this instance number.
    pub(super) fn is_current(&self, gid: &Gid, instance: u64) -> bool {
        self.groups.borrow().get(gid).is_some_and(|group| group.instance == instance)
    }

    /// Returns a hash of the rumors that this node holds in a group, or 0 if it holds none. Nodes with equal hashes have
    /// nothing to exchange.
    pub(crate) fn hash(&self, gid: &Gid, now: Duration) -> u64 {
        self.groups.borrow_mut().get_mut(gid).map_or(0, |group| group.hash(now))
    }

    /// Notes that a peer's hash of a group equals this node's.
    pub(crate) fn note_equal_hash(&self, gid: &Gid) {
        if let Some(group) = self.groups.borrow_mut().get_mut(gid) {
            group.note_equal_hash();
        }
    }

    /// Drops the state of a deleted group and returns its timers, which the caller cancels. Senders that still wait get
    /// the replies that have arrived, or the error that the group was deleted.
    pub(super) fn delete_group(&self, gid: &Gid, now: Duration) -> Vec<SpawnHandle> {
        let Some(group) = self.groups.borrow_mut().remove(gid) else { return Vec::new() };
        let deleted = group.instance;
        let (machine, timers) = group.into_machine_and_timers();
        self.deleted_groups.borrow_mut().remember(gid.clone(), machine, now);
        self.outcomes.borrow_mut().remove_group(gid);
        let mut requests = self.requests.borrow_mut();
        if requests.len() > MAX_ORPHANED_REQUESTS {
            let groups = self.groups.borrow();
            let current: BTreeSet<u64> = groups.values().map(|group| group.instance).collect();
            let orphaned =
                requests.iter().filter(|request| request.is_of(|instance| !current.contains(&instance))).count();
            if orphaned > MAX_ORPHANED_REQUESTS {
                let kept = |request: &PendingRequest| {
                    request.is_of(|instance| instance == deleted || current.contains(&instance))
                };
                *requests = std::mem::take(&mut *requests).into_iter().filter(kept).collect();
            }
        }
        timers
    }
}
