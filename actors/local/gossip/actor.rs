//! The actor that drives the gossip of all groups.

use std::{rc::Rc, task::Waker, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler};
use chinwag_protocol::{
    call::{CallError, ErrorKind},
    group::Entry,
    identity::{Gid, Nid},
    peer::Shared,
    rumor::{Input, Output, Timer},
};

use super::{
    fanout::compute_fanout, group::GroupGossip, options::Options, outcomes::PendingOutcome, state::GossipState,
};
use crate::{
    caller::Caller,
    local::membership::LivenessObserver,
    messages::{Deleted, SetFanout},
    state::NodeState,
};

/// The shortest interval between two searches for groups in which this node has no state machine yet. A guess: the longest
/// time that a newcomer should wait before it asks for what it missed. Each search that finds no group doubles the interval,
/// up to [`MAX_SEARCH_INTERVAL`]. That is long enough, because a group that is put or joined later is entered at once, and the
/// probes of membership carry the hashes of the groups.
const MIN_SEARCH_INTERVAL: Duration = Duration::from_secs(1);

/// The longest interval between two searches.
const MAX_SEARCH_INTERVAL: Duration = Duration::from_secs(16);

/// The actor that drives the gossip of all groups.
pub(crate) struct Gossip {
    pub(super) state: Rc<NodeState>,
    pub(super) caller: Caller,
    pub(super) shared: Rc<GossipState>,
    pub(super) liveness: LivenessObserver,
    /// Wakes the future that polls the pending requests.
    pub(super) waker: Option<Waker>,
    search_interval: Duration,
}

impl Gossip {
    pub(crate) fn new(
        state: Rc<NodeState>,
        caller: Caller,
        shared: Rc<GossipState>,
        liveness: LivenessObserver,
    ) -> Gossip {
        Gossip { state, caller, shared, liveness, waker: None, search_interval: MIN_SEARCH_INTERVAL }
    }

    /// Runs `act` on the state machine of a group and carries out the machine's outputs. Creates the machine if the group
    /// has none. The result includes the messages that this node now performs.
    pub(super) fn drive<T>(
        &mut self,
        gid: &Gid,
        context: &mut Context<Gossip>,
        act: impl FnOnce(&mut GroupGossip, &Entry, &NodeState, &mut Vec<Output<Nid, Shared>>) -> Result<T, CallError>,
    ) -> Result<(T, Vec<PendingOutcome>), CallError> {
        let entry = self.state.groups.borrow().entry(gid)?.clone();
        let mut outputs = Vec::new();
        let shared = self.shared.clone();
        let mut groups = shared.groups.borrow_mut();
        if !groups.contains_key(gid) {
            let mut group = self.shared.create_group(gid, &self.state, Options::read(&entry.config)?);
            group.input(&entry, &self.state, Input::Start, &mut outputs);
            if !group.has_entered() {
                group.input(&entry, &self.state, Input::Enter { through: None }, &mut outputs);
            }
            groups.insert(gid.clone(), group);
        }
        let Some(group) = groups.get_mut(gid) else { return Err(left_group()) };
        group.configure(&entry)?;
        if std::mem::take(&mut group.stopped) {
            group.input(&entry, &self.state, Input::Start, &mut outputs);
        }
        group.adopt_later_life(&self.state);
        let result = act(group, &entry, &self.state, &mut outputs)?;
        if group.needs_fanout(entry.members.len()) {
            self.compute_fanout(gid);
        }
        group.adopt_later_life(&self.state);
        let performed = self.carry_out(gid, group, &entry, outputs, context);
        Ok((result, performed))
    }

    /// Drops the state of deleted groups.
    fn delete_groups(&self, gids: &[Gid], context: &mut Context<Gossip>) {
        if gids.is_empty() {
            return;
        }
        for gid in gids {
            // A group that is put again under this name is another group, which this node did not found.
            self.state.founded.borrow_mut().retain(|founded| founded != gid);
            for timer in self.shared.delete_group(gid, self.state.now()) {
                context.cancel_future(timer);
            }
        }
        self.wake();
    }

    /// Calls the group's own fan-out function, in a task of its own.
    fn compute_fanout(&self, gid: &Gid) {
        let (caller, gid) = (self.caller.clone(), gid.clone());
        actix::spawn(async move {
            if let Err(why) = compute_fanout(&caller, &gid).await {
                log::warn!(target: "chinwag::gossip", "{gid} gossips with its last fan-out or the default: {why}");
            }
        });
    }

    /// Starts gossip in the groups where this node has company and no state machine yet. It starts in `all` only if
    /// membership is on. Repeats itself.
    fn search_groups(&mut self, context: &mut Context<Gossip>) {
        let found: Vec<Gid> = {
            let (groups, machines) = (self.state.groups.borrow(), self.shared.groups.borrow());
            let has_company = |gid: &&Gid| {
                let members = groups.get(gid);
                let company = members.is_ok_and(|members| members.len() > 1 && members.contains(&self.state.nid));
                company && (!gid.is_all() || self.state.settings.membership.on)
            };
            groups.names().filter(|gid| !machines.contains_key(*gid)).filter(has_company).cloned().collect()
        };
        let deleted: Vec<Gid> = {
            let (groups, machines) = (self.state.groups.borrow(), self.shared.groups.borrow());
            machines.keys().filter(|gid| groups.entry(gid).is_err()).cloned().collect()
        };
        // A `Deleted` message usually comes first, but it is lost if the actor panics.
        self.delete_groups(&deleted, context);
        self.shared.deleted_groups.borrow_mut().expire(self.state.now());
        self.shared.outcomes.borrow_mut().expire(self.state.now());
        self.search_interval =
            if found.is_empty() { (2 * self.search_interval).min(MAX_SEARCH_INTERVAL) } else { MIN_SEARCH_INTERVAL };
        for gid in found {
            if let Err(why) = self.drive(&gid, context, |_, _, _, _| Ok(())) {
                log::debug!(target: "chinwag::gossip", "gossip does not start in {gid}: {why}");
            }
        }
        context.run_later(self.state.clock.to_real(self.search_interval), Gossip::search_groups);
    }

    /// Handles a timer of a group's state machine.
    pub(super) fn timer(&mut self, gid: &Gid, instance: u64, timer: Timer, context: &mut Context<Gossip>) {
        if !self.shared.is_current(gid, instance) {
            return;
        }
        let handled = self.drive(gid, context, |group, entry, state, out| {
            *group.timer(timer) = None;
            group.input(entry, state, Input::Timer(timer), out);
            Ok(())
        });
        if handled.is_err() {
            // The group is gone. If it is put again before its machine is dropped, the machine starts again.
            if let Some(group) = self.shared.groups.borrow_mut().get_mut(gid) {
                group.stopped = true;
            }
        }
    }
}

/// The error of a request to a peer that has left the group.
pub(super) fn left_group() -> CallError {
    CallError::new(ErrorKind::Unreachable, "the peer has left the group")
}

impl Actor for Gossip {
    type Context = Context<Gossip>;

    /// Starts, or continues after a panic. The timers belonged to the former actor; the state machines and the pending
    /// requests have survived it.
    fn started(&mut self, context: &mut Context<Gossip>) {
        let timers = [Timer::Tick, Timer::Entry, Timer::Calm];
        let mut groups: Vec<(Gid, u64)> = Vec::new();
        for (gid, group) in &mut *self.shared.groups.borrow_mut() {
            for timer in timers {
                *group.timer(timer) = None;
            }
            groups.push((gid.clone(), group.instance));
        }
        for (gid, instance) in groups {
            for timer in timers {
                self.timer(&gid, instance, timer, context);
            }
        }
        self.search_groups(context);
        self.start_polling(context);
    }
}

impl Handler<Deleted> for Gossip {
    type Result = ();

    fn handle(&mut self, Deleted(gid): Deleted, context: &mut Context<Gossip>) {
        // The group may have been put again meanwhile.
        if self.state.groups.borrow().entry(&gid).is_err() {
            self.delete_groups(&[gid], context);
        }
    }
}

impl Handler<SetFanout> for Gossip {
    type Result = ();

    fn handle(&mut self, SetFanout { gid, members, peers }: SetFanout, context: &mut Context<Gossip>) {
        // A deleted group needs no fan-out.
        let _ = self.drive(&gid, context, |group, _, _, _| {
            group.set_fanout(members, peers);
            Ok(())
        });
    }
}
