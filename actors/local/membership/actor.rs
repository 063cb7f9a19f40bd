//! The actor that drives the membership protocol.

use std::{cell::RefCell, rc::Rc, sync::atomic::Ordering, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture, SpawnHandle};
use chinwag_protocol::{
    call::{CallError, ErrorKind},
    group::{Group, GroupConfig, Member},
    identity::{Gid, Nid, NodeAddr},
    member_list::Known,
    peer::{self, Body, Entry, Outgoing, Ping, Relay, Stated},
    swim::{Claim, Input, Outcome, Output, Status, Swim, Update},
    value::Value,
};
use futures_util::FutureExt as _;
use tokio::time::timeout_at;

use super::{
    state::{MembershipState, SharedMembership},
    wire,
};
use crate::{
    admission::{self, Kind},
    caller::Caller,
    events::{Event, Events},
    local::gossip::GossipState,
    messages::{Change, Enroll, Enter, Farewell, GroupChanged, Inputs, Subscribe, Unreachable},
    request::{FromPeer, Origin, Request, Response, unknown_method, value},
    state::NodeState,
    supervise::{Deliver, Delivery, Supervised},
};

/// The longest time that a leaving node waits until the first peers have its farewell.
pub const FAREWELL: Duration = Duration::from_millis(500);

/// The actor that drives the membership protocol.
pub(crate) struct Membership {
    pub(super) state: Rc<NodeState>,
    pub(super) handle: ActorHandle,
    pub(super) membership: SharedMembership,
    pub(super) gossip: Rc<GossipState>,
    /// The last group whose hash a probe carried or skipped. See `gossip_hashes.rs`.
    pub(super) last_hashed_group: RefCell<Gid>,
    /// When the next timer is due, and the handle of the actor's timer.
    timer: Option<(Duration, SpawnHandle)>,
}

/// What the tasks of membership use to reach the actor and the node's services.
#[derive(Clone)]
pub(super) struct ActorHandle {
    pub caller: Caller,
    actor: Supervised<Membership>,
}

impl ActorHandle {
    /// Sends a message to the actor of membership.
    pub(super) fn ask<M>(&self, message: M) -> Delivery<M::Result>
    where
        Supervised<Membership>: Deliver<M>,
        M: Message,
    {
        self.actor.deliver(message)
    }

    /// The same handle, whose calls are made on behalf of a request.
    pub(super) fn on_behalf_of(&self, origin: Origin) -> ActorHandle {
        ActorHandle { caller: self.caller.on_behalf_of(origin), actor: self.actor.clone() }
    }

    /// Adds a node to a group on this node.
    pub(super) async fn add_to_group(&self, gid: &Gid, node: &NodeAddr) -> Result<(), CallError> {
        let arguments = vec![Value::from(gid.as_str()), node.to_value()];
        self.caller.call_local("groups", "add", arguments).await.map(drop)
    }

    /// Puts a group with one member on this node.
    pub(super) async fn put_group(&self, gid: &Gid, node: &NodeAddr) -> Result<(), CallError> {
        let config = GroupConfig::new(gid.clone());
        let arguments = vec![config.to_value(), Group::from([node.clone()]).to_value()];
        self.caller.call_local("groups", "put", arguments).await.map(drop)
    }
}

/// Creates the state that outlives the actor, or `None` if membership is off.
pub(crate) fn create_state(state: &NodeState) -> Option<SharedMembership> {
    let settings = &state.settings.membership;
    if !settings.on {
        return None;
    }
    match Swim::new(state.nid, state.incarnation, settings.detection.clone()) {
        Ok(swim) => Some(Rc::new(RefCell::new(MembershipState::new(swim, settings)))),
        Err(why) => {
            log::error!(target: "chinwag::membership", "membership does not start: {why}");
            None
        }
    }
}

impl Membership {
    pub(crate) fn new(
        state: Rc<NodeState>,
        caller: Caller,
        actor: Supervised<Membership>,
        membership: SharedMembership,
        gossip: Rc<GossipState>,
    ) -> Membership {
        Membership {
            state,
            handle: ActorHandle { caller, actor },
            membership,
            gossip,
            last_hashed_group: RefCell::new(Gid::all()),
            timer: None,
        }
    }

    /// Passes the changes that operators made, and then `inputs`, to the state machine, and carries out its outputs.
    pub(super) fn drive(&mut self, inputs: impl IntoIterator<Item = Input<Nid>>, context: &mut Context<Membership>) {
        let shared = self.membership.clone();
        let mut membership = shared.borrow_mut();
        self.apply_inputs(&mut membership, inputs);
        self.finish(&mut membership, context);
    }

    /// Like [`drive`](Self::drive), but the caller calls [`finish`](Self::finish) itself.
    pub(super) fn apply_inputs(&self, membership: &mut MembershipState, inputs: impl IntoIterator<Item = Input<Nid>>) {
        let changes = membership.operator_changes(&self.state);
        self.adopt_later_life(membership);
        for input in changes.into_iter().chain(inputs) {
            let now = self.state.now();
            let outputs = self.state.chance(|chance| membership.swim.handle(now, input, chance));
            self.carry_out_all(membership, outputs);
        }
    }

    pub(super) fn carry_out_all(&self, membership: &mut MembershipState, outputs: Vec<Output<Nid>>) {
        for output in outputs {
            self.carry_out(membership, output);
        }
    }

    /// Adopts the later of the lives that gossip and membership state. Peers may know a later life of this node from an
    /// earlier run.
    fn adopt_later_life(&self, membership: &mut MembershipState) {
        let life = self.state.life.get();
        if life > membership.swim.incarnation().life {
            let outputs = membership.swim.raise(self.state.now(), life - 1);
            self.carry_out_all(membership, outputs);
        }
    }

    /// Does what is necessary after each change of the state machine.
    pub(super) fn finish(&mut self, membership: &mut MembershipState, context: &mut Context<Membership>) {
        let MembershipState { list, swim, .. } = &mut *membership;
        list.settle(swim);
        self.state.life.set(self.state.life.get().max(membership.swim.incarnation().life));
        let full = membership.swim.turned_away() > 0 && !std::mem::replace(&mut membership.warned_full, true);
        if full {
            let most = self.state.settings.membership.detection.members;
            log::warn!(target: "chinwag::membership", "the member list is full: this node adds no member beyond {most}");
        }
        self.state.unheard.store(membership.swim.has_unheard(), Ordering::Relaxed);
        self.publish(membership);
        self.enter_all(membership);
        self.schedule_timer(membership, context);
    }

    /// Makes gossip enter `all` as soon as this node has company there. It then performs what is sent afterwards, and treats
    /// what was sent before as old.
    fn enter_all(&self, membership: &mut MembershipState) {
        let company = self.state.groups.borrow().get(&Gid::all()).is_ok_and(|all| all.len() > 1);
        if membership.entered_all || !company {
            return;
        }
        membership.entered_all = true;
        let entering = self.handle.caller.doors().gossip.deliver(Enter { gid: Gid::all(), through: None });
        actix::spawn(async move {
            // Delivery fails if the node has ended.
            let _ = entering.await;
        });
    }

    /// Sets the actor's only timer to the earliest timer of the state machine.
    fn schedule_timer(&mut self, membership: &MembershipState, context: &mut Context<Membership>) {
        let due = membership.next_due();
        if due == self.timer.map(|(at, _)| at) {
            return;
        }
        if let Some((_, timer)) = self.timer.take() {
            context.cancel_future(timer);
        }
        if let Some(at) = due {
            let after = at.saturating_sub(self.state.now());
            self.timer = Some((at, context.run_later(self.state.clock.to_real(after), Membership::run_due_timers)));
        }
    }

    fn run_due_timers(&mut self, context: &mut Context<Membership>) {
        self.timer = None;
        let now = self.state.now();
        let mut due = Vec::new();
        while let Some(timer) = self.membership.borrow_mut().take_due(now) {
            due.push(Input::Timer(timer));
        }
        self.drive(due, context);
    }

    /// Runs `work` in a task and passes the resulting inputs to the state machine.
    pub(super) fn spawn_reporting(&self, work: impl Future<Output = Option<Inputs>> + 'static) {
        let handle = self.handle.clone();
        actix::spawn(async move {
            if let Some(inputs) = work.await {
                // Delivery fails if the node has ended.
                let _ = handle.ask(inputs).await;
            }
        });
    }

    /// What this node states about itself in a message.
    pub(super) fn stated(&self, membership: &MembershipState) -> Stated {
        let name = self.state.settings.membership.cluster.as_str().into();
        Stated { statement: membership.swim.statement(), name }
    }

    /// Creates a request of this node.
    pub(super) fn request(&self, membership: &MembershipState, body: Body) -> Outgoing {
        peer::Request { from: Some(self.state.sender()), stated: self.stated(membership), body }.into()
    }

    fn carry_out(&self, membership: &mut MembershipState, output: Output<Nid>) {
        match output {
            Output::Timer { at, timer } => membership.set_timer(at, timer),
            Output::Cancel { at, timer } => membership.cancel_timer(at, timer),
            Output::Probe { token, peer, timeout, kept, merge, welcome, about } => {
                let about = about.and_then(|update| self.entry(membership, &update)).map(Box::new);
                let heard = self.gossip_hashes(&peer);
                let welcome = welcome.then(|| self.listed_in(&peer));
                let ping = Ping { about, inquire: None, heard, welcome, kept, merge };
                let request = self.request(membership, Body::Ping(ping));
                let reply = membership.address(&peer).map(|to| self.state.ask(to, request, timeout));
                self.spawn_reporting(async move {
                    let Some(reply) = reply else {
                        return Some(Inputs::of([Input::Outcome { token, outcome: Outcome::Lost }]));
                    };
                    let reply = reply.await;
                    let outcome = Input::Outcome { token, outcome: wire::ping_outcome(&reply) };
                    Some(Inputs::with_entry([outcome], entry_in(reply)))
                });
            }
            Output::Relay { token, via, peer, timeout, budget } => {
                let addresses = membership.address(&via).zip(membership.address(&peer));
                let via_is_passive =
                    membership.swim.incarnation_of(&via).is_none_or(|incarnation| incarnation.is_passive());
                let reply = addresses.map(|(via, to)| {
                    if via_is_passive {
                        let reply = self.state.call(via, wire::probe_call(to), timeout);
                        return reply.map(|reply| (wire::outcome_of_probe_call(&reply), None)).boxed_local();
                    }
                    let relay = Body::Relay(Relay { to: wire::address(to), budget });
                    let reply = self.state.ask(via, self.request(membership, relay), timeout);
                    reply.map(|reply| wire::relay_outcome(&reply)).boxed_local()
                });
                self.spawn_reporting(async move {
                    let (outcome, peer_statement) = match reply {
                        None => (Outcome::Lost, None),
                        Some(reply) => reply.await,
                    };
                    let heard = peer_statement.filter(|stated| !stated.is_passive());
                    let heard = heard.map(|stated| Input::Heard { peer, stated });
                    Some(Inputs::of([Input::Outcome { token, outcome }].into_iter().chain(heard)))
                });
            }
            Output::Tell { peer, update, timeout } => {
                let about = self.entry(membership, &update).map(Box::new);
                self.ping_with(membership, peer, Ping { about, ..Ping::default() }, timeout);
            }
            Output::Inquire { via, peer, timeout } => {
                let inquire = membership.address(&peer).map(wire::address);
                self.ping_with(membership, via, Ping { inquire, ..Ping::default() }, timeout);
            }
            Output::Sync { peer, sync, timeout } => self.begin_comparison(membership, peer, sync, timeout),
            Output::Broadcast(update) => self.queue_news(membership, update),
            Output::Event(event) => self.event(membership, event),
        }
    }

    /// Sends a ping, and reports the incarnation that the answer states.
    fn ping_with(&self, membership: &MembershipState, peer: Nid, ping: Ping, timeout: Duration) {
        let Some(to) = membership.address(&peer) else { return };
        let reply = self.state.ask(to, self.request(membership, Body::Ping(ping)), timeout);
        self.spawn_reporting(async move {
            let peer::Answer::Pong(pong) = reply.await.ok()? else { return None };
            let stated = pong.stated.statement;
            let heard = (!stated.is_passive()).then_some(Input::Heard { peer, stated })?;
            Some(Inputs::with_entry([heard], pong.about))
        });
    }

    /// Returns what is known of a member, this node included, except its status.
    pub(super) fn find(&self, membership: &MembershipState, nid: &Nid) -> Option<Known> {
        if *nid != self.state.nid {
            return membership.list.known(nid);
        }
        let groups = &self.state.settings.membership.groups;
        let groups = (!groups.is_empty()).then(|| groups.clone());
        let Member { nid, node } = self.state.sender();
        Some(Known { nid, node, life: membership.swim.incarnation().life, groups })
    }

    /// Creates the entry of a member for a message, or `None` if the member's address is not known.
    pub(super) fn entry(&self, membership: &MembershipState, update: &Update<Nid>) -> Option<Entry> {
        let Known { node, life, groups, .. } = self.find(membership, &update.peer)?;
        let groups = groups.filter(|_| update.claim == Claim::Alive && life == update.incarnation.life);
        Some(Entry { update: *update, node: wire::address(&node), groups })
    }

    pub(super) fn entries(&self, membership: &MembershipState, updates: &[Update<Nid>]) -> Vec<Entry> {
        updates.iter().filter_map(|update| self.entry(membership, update)).collect()
    }

    /// Adds members to the groups that they were started in, as far as this node knows those groups.
    pub(super) fn enroll(&self, new_groups: Vec<(Gid, NodeAddr)>) {
        let mut additions = std::collections::BTreeMap::<Gid, Vec<NodeAddr>>::new();
        for (gid, member) in new_groups {
            if self.state.groups.borrow().get(&gid).is_ok_and(|members| !members.contains(&member.key())) {
                additions.entry(gid).or_default().push(member);
            }
        }
        if !additions.is_empty() {
            let enrolling = self.handle.caller.doors().groups.deliver(Enroll(additions));
            actix::spawn(async move {
                // Delivery fails if the node has ended.
                let _ = enrolling.await;
            });
        }
    }

    /// Leaves. Completes when the first peers have the farewell, at the latest after [`FAREWELL`].
    pub(super) fn leave(&mut self, context: &mut Context<Membership>) -> ResponseFuture<()> {
        self.membership.borrow_mut().joining = None;
        self.drive([Input::Leave], context);
        let farewell = self.membership.borrow_mut().farewell.take();
        let deadline = self.state.clock.after(FAREWELL);
        Box::pin(async move {
            if let Some(farewell) = farewell {
                // Peers that are slower get the farewell from other peers.
                let _ = timeout_at(deadline, farewell).await;
            }
        })
    }
}

/// Returns the entry that came with the answer to a ping.
fn entry_in(reply: peer::Reply) -> Option<Box<Entry>> {
    match reply {
        Ok(peer::Answer::Pong(pong)) => pong.about,
        _ => None,
    }
}

impl Actor for Membership {
    type Context = Context<Membership>;

    /// Starts, or continues after a panic.
    fn started(&mut self, context: &mut Context<Membership>) {
        let started = std::mem::replace(&mut self.membership.borrow_mut().started, true);
        self.drive((!started).then_some(Input::Start), context);
        let settings = &self.state.settings.membership;
        let joins = !settings.seeds.is_empty() || !settings.groups.is_empty();
        if joins && !started {
            self.begin_joining();
        }
    }
}

/// The methods of the service.
pub(crate) const METHODS: [&str; 4] = ["leave", "list", "subscribe", "unsubscribe"];

impl Handler<FromPeer> for Membership {
    type Result = Response<peer::Answer>;

    fn handle(&mut self, request: FromPeer, context: &mut Context<Membership>) -> Response<peer::Answer> {
        self.respond(request, context).unwrap_or_else(|error| Response::Now(Err(error)))
    }
}

impl Handler<Request> for Membership {
    type Result = Response;

    fn handle(&mut self, request: Request, context: &mut Context<Membership>) -> Response {
        if admission::classify(&request.call) == Kind::Membership {
            return self.respond_to_call(&request, context).unwrap_or_else(|error| Response::Now(Err(error)));
        }
        let argument = request.call.arguments.first().unwrap_or(&Value::Undefined);
        match request.call.method.as_str() {
            "list" => Response::Now(value(self.list())),
            "subscribe" => Response::Now(self.subscribe(argument)),
            "unsubscribe" => {
                let id = argument.as_str().unwrap_or_default();
                let ended = self.membership.borrow_mut().subscriptions.remove(id);
                let shown: String = id.chars().take(64).collect();
                Response::Now(match ended {
                    Some(_) => value(id),
                    None => Err(CallError::new(ErrorKind::NotFound, format!("no subscription is named {shown:?}"))),
                })
            }
            "leave" => {
                let leaving = self.leave(context);
                Response::Later(Box::pin(async move {
                    leaving.await;
                    value(Value::Null)
                }))
            }
            other => Response::Now(Err(unknown_method("membership", other))),
        }
    }
}

impl Handler<Inputs> for Membership {
    type Result = ();

    fn handle(&mut self, Inputs { inputs, about }: Inputs, context: &mut Context<Membership>) {
        let (updates, addresses) = wire::parts(about.into_iter().map(|entry| *entry).collect());
        let new_groups = self.membership.borrow_mut().list.note(addresses);
        self.drive(inputs.into_iter().chain(updates.into_iter().map(Input::Told)), context);
        self.enroll(new_groups);
    }
}

impl Handler<Unreachable> for Membership {
    type Result = actix::MessageResult<Unreachable>;

    fn handle(&mut self, _: Unreachable, _: &mut Context<Membership>) -> Self::Result {
        let membership = self.membership.borrow();
        let unreachable = membership.swim.peers().filter(|(_, status, _)| *status == Status::Unreachable);
        actix::MessageResult(unreachable.map(|(nid, _, _)| nid).collect())
    }
}

/// This node has added nodes to a group. Passive members are called to add them too; other members learn it from the
/// news about the nodes.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Announce {
    pub gid: Gid,
    pub nodes: Vec<NodeAddr>,
}

impl Handler<Announce> for Membership {
    type Result = ();

    fn handle(&mut self, Announce { gid, nodes }: Announce, context: &mut Context<Membership>) {
        self.announce(&self.membership.borrow(), &gid, &nodes);
        self.drive([], context);
    }
}

impl Handler<GroupChanged> for Membership {
    type Result = ();

    fn handle(&mut self, GroupChanged { gid, change }: GroupChanged, context: &mut Context<Membership>) {
        let shared = self.membership.clone();
        let mut membership = shared.borrow_mut();
        let (inputs, changed) = match change {
            Change::Put(members) => (membership.list.operator_put(&gid, Some(&members)), true),
            Change::Deleted => (membership.list.operator_put(&gid, None), true),
            Change::Removed(sid, there) => (membership.list.operator_removed(&gid, &sid), there),
            Change::Added(new) => (Vec::new(), new),
        };
        // A change of `all` is found by comparison, and its event is sent then.
        if changed && !gid.is_all() {
            membership.notify(Event::GroupChanged { gid });
        }
        drop(membership);
        self.drive(inputs, context);
    }
}

impl Handler<Subscribe> for Membership {
    type Result = Result<Events, CallError>;

    fn handle(&mut self, _: Subscribe, _: &mut Context<Membership>) -> Self::Result {
        self.membership.borrow_mut().subscribe()
    }
}

impl Handler<Farewell> for Membership {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Farewell, context: &mut Context<Membership>) -> Self::Result {
        let (leaving, membership) = (self.leave(context), self.membership.clone());
        Box::pin(async move {
            leaving.await;
            membership.borrow_mut().end();
        })
    }
}
