//! The actor that carries membership.

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
    roster::{Roster, Shared},
    wire,
};
use crate::{
    admission::{self, Kind},
    caller::Caller,
    events::{Event, Events},
    local::gossip::Rooms,
    messages::{Change, Enroll, Enter, Farewell, GroupChanged, Inputs, Subscribe, Unreachable},
    request::{FromPeer, Origin, Request, Response, unknown_method, value},
    state::NodeState,
    supervise::{Deliver, Delivery, Supervised},
};

/// How long a node that leaves waits for the first peers to know.
pub const FAREWELL: Duration = Duration::from_millis(500);

/// Drives the machine.
pub(crate) struct Membership {
    pub(super) state: Rc<NodeState>,
    pub(super) link: Link,
    pub(super) roster: Shared,
    /// What is held of each group's gossip.
    pub(super) rooms: Rc<Rooms>,
    /// The group that the last probe's hashes ended with: see `heard.rs`.
    pub(super) last_heard: RefCell<Gid>,
    /// When it rings, and its handle.
    alarm: Option<(Duration, SpawnHandle)>,
}

/// How the tasks of membership reach its actor and the node's services.
#[derive(Clone)]
pub(super) struct Link {
    pub caller: Caller,
    own: Supervised<Membership>,
}

impl Link {
    /// Sends a message to the actor of membership.
    pub(super) fn ask<M>(&self, message: M) -> Delivery<M::Result>
    where
        Supervised<Membership>: Deliver<M>,
        M: Message,
    {
        self.own.deliver(message)
    }

    /// The same link, whose calls are made on behalf of a request.
    pub(super) fn on_behalf_of(&self, origin: Origin) -> Link {
        Link { caller: self.caller.on_behalf_of(origin), own: self.own.clone() }
    }

    /// Adds a node to a group of this node's.
    pub(super) async fn add_to_group(&self, gid: &Gid, node: &NodeAddr) -> Result<(), CallError> {
        let arguments = vec![Value::from(gid.as_str()), node.to_value()];
        self.caller.call_local("groups", "add", arguments).await.map(drop)
    }

    /// Puts a group of one member on this node.
    pub(super) async fn put_group(&self, gid: &Gid, node: &NodeAddr) -> Result<(), CallError> {
        let config = GroupConfig::new(gid.clone());
        let arguments = vec![config.to_value(), Group::from([node.clone()]).to_value()];
        self.caller.call_local("groups", "put", arguments).await.map(drop)
    }
}

/// What outlives the actor, unless the node takes no part.
pub(crate) fn roster(state: &NodeState) -> Option<Shared> {
    let settings = &state.settings.membership;
    if !settings.on {
        return None;
    }
    match Swim::new(state.nid, state.incarnation, settings.detection.clone()) {
        Ok(swim) => Some(Rc::new(RefCell::new(Roster::new(swim, settings)))),
        Err(why) => {
            log::error!(target: "chinwag::membership", "the node takes no part: {why}");
            None
        }
    }
}

impl Membership {
    pub(crate) fn new(
        state: Rc<NodeState>,
        caller: Caller,
        own: Supervised<Membership>,
        roster: Shared,
        rooms: Rc<Rooms>,
    ) -> Membership {
        Membership {
            state,
            link: Link { caller, own },
            roster,
            rooms,
            last_heard: RefCell::new(Gid::all()),
            alarm: None,
        }
    }

    /// Has the machine take something in, after what operators have done, and does what it says.
    pub(super) fn drive(&mut self, inputs: impl IntoIterator<Item = Input<Nid>>, context: &mut Context<Membership>) {
        let shared = self.roster.clone();
        let mut roster = shared.borrow_mut();
        self.take_in(&mut roster, inputs);
        self.finish(&mut roster, context);
    }

    /// Has the machine take in what operators have done, and then these inputs.
    pub(super) fn take_in(&self, roster: &mut Roster, inputs: impl IntoIterator<Item = Input<Nid>>) {
        let done = roster.differences(&self.state);
        self.follow_life(roster);
        for input in done.into_iter().chain(inputs) {
            let now = self.state.now();
            let outputs = self.state.chance(|chance| roster.swim.handle(now, input, chance));
            self.carry_out_all(roster, outputs);
        }
    }

    pub(super) fn carry_out_all(&self, roster: &mut Roster, outputs: Vec<Output<Nid>>) {
        for output in outputs {
            self.carry_out(roster, output);
        }
    }

    /// Gossip and membership state one life: peers may know a later one of either, from an earlier start of this node.
    fn follow_life(&self, roster: &mut Roster) {
        let life = self.state.life.get();
        if life > roster.swim.incarnation().life {
            let outputs = roster.swim.raise(self.state.now(), life - 1);
            self.carry_out_all(roster, outputs);
        }
    }

    /// What follows whatever the machine did.
    pub(super) fn finish(&mut self, roster: &mut Roster, context: &mut Context<Membership>) {
        let Roster { list, swim, .. } = &mut *roster;
        list.settle(swim);
        self.state.life.set(self.state.life.get().max(roster.swim.incarnation().life));
        let full = roster.swim.turned_away() > 0 && !std::mem::replace(&mut roster.warned_full, true);
        if full {
            let most = self.state.settings.membership.detection.members;
            log::warn!(target: "chinwag::membership", "this node keeps {most} members and takes in no more");
        }
        self.state.unheard.store(roster.swim.has_unheard(), Ordering::Relaxed);
        self.publish(roster);
        self.enter(roster);
        self.arm(roster, context);
    }

    /// Has gossip enter `all` as soon as this node has company there: it performs what is sent from then on, and takes
    /// what it hears of before for older.
    fn enter(&self, roster: &mut Roster) {
        let company = self.state.groups.borrow().get(&Gid::all()).is_ok_and(|all| all.len() > 1);
        if roster.enters || !company {
            return;
        }
        roster.enters = true;
        let entering = self.link.caller.doors().gossip.deliver(Enter { gid: Gid::all(), through: None });
        actix::spawn(async move {
            // a node that has ended asks for nothing any more
            let _ = entering.await;
        });
    }

    /// One alarm for all timers.
    fn arm(&mut self, roster: &Roster, context: &mut Context<Membership>) {
        let due = roster.next_due();
        if due == self.alarm.map(|(at, _)| at) {
            return;
        }
        if let Some((_, alarm)) = self.alarm.take() {
            context.cancel_future(alarm);
        }
        if let Some(at) = due {
            let after = at.saturating_sub(self.state.now());
            self.alarm = Some((at, context.run_later(self.state.clock.to_real(after), Membership::ring)));
        }
    }

    fn ring(&mut self, context: &mut Context<Membership>) {
        self.alarm = None;
        let now = self.state.now();
        let mut due = Vec::new();
        while let Some(timer) = self.roster.borrow_mut().take_due(now) {
            due.push(Input::Timer(timer));
        }
        self.drive(due, context);
    }

    /// Does something, and has the machine hear how it ended.
    pub(super) fn report(&self, work: impl Future<Output = Option<Inputs>> + 'static) {
        let link = self.link.clone();
        actix::spawn(async move {
            if let Some(inputs) = work.await {
                // a node that has ended asks for nothing any more
                let _ = link.ask(inputs).await;
            }
        });
    }

    /// What this node states of itself in a message.
    pub(super) fn stated(&self, roster: &Roster) -> Stated {
        let name = self.state.settings.membership.cluster.as_str().into();
        Stated { statement: roster.swim.statement(), name }
    }

    /// A request of this node's.
    pub(super) fn request(&self, roster: &Roster, body: Body) -> Outgoing {
        peer::Request { from: Some(self.state.sender()), stated: self.stated(roster), body }.into()
    }

    fn carry_out(&self, roster: &mut Roster, output: Output<Nid>) {
        match output {
            Output::Timer { at, timer } => roster.set_timer(at, timer),
            Output::Cancel { at, timer } => roster.cancel_timer(at, timer),
            Output::Probe { token, peer, timeout, kept, merge, welcome, about } => {
                let about = about.and_then(|update| self.entry(roster, &update)).map(Box::new);
                let heard = self.heard(&peer);
                let welcome = welcome.then(|| self.listed_in(&peer));
                let ping = Ping { about, inquire: None, heard, welcome, kept, merge };
                let request = self.request(roster, Body::Ping(ping));
                let asking = roster.address(&peer).map(|to| self.state.ask(to, request, timeout));
                self.report(async move {
                    let Some(asking) = asking else {
                        return Some(Inputs::of([Input::Outcome { token, outcome: Outcome::Lost }]));
                    };
                    let reply = asking.await;
                    let outcome = Input::Outcome { token, outcome: wire::pinged(&reply) };
                    Some(Inputs::with_entry([outcome], told(reply)))
                });
            }
            Output::Relay { token, via, peer, timeout, budget } => {
                let ends = roster.address(&via).zip(roster.address(&peer));
                let mute = roster.swim.incarnation_of(&via).is_none_or(|incarnation| incarnation.is_passive());
                let asking = ends.map(|(via, to)| {
                    if mute {
                        let asking = self.state.call(via, wire::relay_by_call(to), timeout);
                        return asking.map(|reply| (wire::relayed_by_call(&reply), None)).boxed_local();
                    }
                    let relay = Body::Relay(Relay { to: wire::address(to), budget });
                    let asking = self.state.ask(via, self.request(roster, relay), timeout);
                    asking.map(|reply| wire::relayed(&reply)).boxed_local()
                });
                self.report(async move {
                    let (outcome, behind) = match asking {
                        None => (Outcome::Lost, None),
                        Some(asking) => asking.await,
                    };
                    let heard = behind.filter(|stated| !stated.is_passive());
                    let heard = heard.map(|stated| Input::Heard { peer, stated });
                    Some(Inputs::of([Input::Outcome { token, outcome }].into_iter().chain(heard)))
                });
            }
            Output::Tell { peer, update, timeout } => {
                let about = self.entry(roster, &update).map(Box::new);
                self.say_to(roster, peer, Ping { about, ..Ping::default() }, timeout);
            }
            Output::Inquire { via, peer, timeout } => {
                let inquire = roster.address(&peer).map(wire::address);
                self.say_to(roster, via, Ping { inquire, ..Ping::default() }, timeout);
            }
            Output::Sync { peer, sync, timeout } => self.begin_comparison(roster, peer, sync, timeout),
            Output::Broadcast(update) => self.say(roster, update),
            Output::Event(event) => self.event(roster, event),
        }
    }

    /// Tells a peer something, and has the machine hear what the peer states in its answer.
    fn say_to(&self, roster: &Roster, peer: Nid, ping: Ping, timeout: Duration) {
        let Some(to) = roster.address(&peer) else { return };
        let asking = self.state.ask(to, self.request(roster, Body::Ping(ping)), timeout);
        self.report(async move {
            let peer::Answer::Pong(pong) = asking.await.ok()? else { return None };
            let stated = pong.stated.statement;
            let heard = (!stated.is_passive()).then_some(Input::Heard { peer, stated })?;
            Some(Inputs::with_entry([heard], pong.about))
        });
    }

    /// What is known of a member, this node included, beside its standing.
    pub(super) fn find(&self, roster: &Roster, nid: &Nid) -> Option<Known> {
        if *nid != self.state.nid {
            return roster.list.known(nid);
        }
        let groups = &self.state.settings.membership.groups;
        let groups = (!groups.is_empty()).then(|| groups.clone());
        let Member { nid, node } = self.state.sender();
        Some(Known { nid, node, life: roster.swim.incarnation().life, groups })
    }

    /// An entry for a message; `None` where the member's address is not known, so that nobody could make use of it.
    pub(super) fn entry(&self, roster: &Roster, update: &Update<Nid>) -> Option<Entry> {
        let Known { node, life, groups, .. } = self.find(roster, &update.peer)?;
        let groups = groups.filter(|_| update.claim == Claim::Alive && life == update.incarnation.life);
        Some(Entry { update: *update, node: wire::address(&node), groups })
    }

    pub(super) fn entries(&self, roster: &Roster, updates: &[Update<Nid>]) -> Vec<Entry> {
        updates.iter().filter_map(|update| self.entry(roster, update)).collect()
    }

    /// Adds members to the groups that they were started in, where this node knows them.
    pub(super) fn enroll(&self, fresh: Vec<(Gid, NodeAddr)>) {
        let mut additions = std::collections::BTreeMap::<Gid, Vec<NodeAddr>>::new();
        for (gid, member) in fresh {
            if self.state.groups.borrow().get(&gid).is_ok_and(|members| !members.contains(&member.key())) {
                additions.entry(gid).or_default().push(member);
            }
        }
        if !additions.is_empty() {
            let enrolling = self.link.caller.doors().groups.deliver(Enroll(additions));
            actix::spawn(async move {
                // a node that has ended has no groups
                let _ = enrolling.await;
            });
        }
    }

    /// Says farewell. Ends when the first peers know, or patience does.
    pub(super) fn leave(&mut self, context: &mut Context<Membership>) -> ResponseFuture<()> {
        self.roster.borrow_mut().joining = None;
        self.drive([Input::Leave], context);
        let farewell = self.roster.borrow_mut().farewell.take();
        let patience = self.state.clock.after(FAREWELL);
        Box::pin(async move {
            if let Some(farewell) = farewell {
                // those that are slow hear of it from the others
                let _ = timeout_at(patience, farewell).await;
            }
        })
    }
}

/// What comes with the answer to a ping.
fn told(reply: peer::Reply) -> Option<Box<Entry>> {
    match reply {
        Ok(peer::Answer::Pong(pong)) => pong.about,
        _ => None,
    }
}

impl Actor for Membership {
    type Context = Context<Membership>;

    /// Begins; or goes on, after a panic.
    fn started(&mut self, context: &mut Context<Membership>) {
        let begun = std::mem::replace(&mut self.roster.borrow_mut().begun, true);
        self.drive((!begun).then_some(Input::Start), context);
        let settings = &self.state.settings.membership;
        let joins = !settings.seeds.is_empty() || !settings.groups.is_empty();
        if joins && !begun {
            self.begin_joining();
        }
    }
}

/// The service's own methods.
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
                let ended = self.roster.borrow_mut().subscriptions.remove(id);
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
        let (told, addresses) = wire::parts(about.into_iter().map(|entry| *entry).collect());
        let fresh = self.roster.borrow_mut().list.note(addresses);
        self.drive(inputs.into_iter().chain(told.into_iter().map(Input::Told)), context);
        self.enroll(fresh);
    }
}

impl Handler<Unreachable> for Membership {
    type Result = actix::MessageResult<Unreachable>;

    fn handle(&mut self, _: Unreachable, _: &mut Context<Membership>) -> Self::Result {
        let roster = self.roster.borrow();
        let unreachable = roster.swim.peers().filter(|(_, status, _)| *status == Status::Unreachable);
        actix::MessageResult(unreachable.map(|(nid, _, _)| nid).collect())
    }
}

/// Nodes have come into a group, by this node's doing. Mute members are told to add them; the others hear it with the
/// news of the nodes.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Announce {
    pub gid: Gid,
    pub nodes: Vec<NodeAddr>,
}

impl Handler<Announce> for Membership {
    type Result = ();

    fn handle(&mut self, Announce { gid, nodes }: Announce, context: &mut Context<Membership>) {
        self.announce(&self.roster.borrow(), &gid, &nodes);
        self.drive([], context);
    }
}

impl Handler<GroupChanged> for Membership {
    type Result = ();

    fn handle(&mut self, GroupChanged { gid, change }: GroupChanged, context: &mut Context<Membership>) {
        let shared = self.roster.clone();
        let mut roster = shared.borrow_mut();
        let (inputs, changed) = match change {
            Change::Put(members) => (roster.list.operator_put(&gid, Some(&members)), true),
            Change::Deleted => (roster.list.operator_put(&gid, None), true),
            Change::Removed(sid, there) => (roster.list.operator_removed(&gid, &sid), there),
            Change::Added(new) => (Vec::new(), new),
        };
        // what becomes of `all` shows in itself
        if changed && !gid.is_all() {
            roster.tell(Event::GroupChanged { gid });
        }
        drop(roster);
        self.drive(inputs, context);
    }
}

impl Handler<Subscribe> for Membership {
    type Result = Result<Events, CallError>;

    fn handle(&mut self, _: Subscribe, _: &mut Context<Membership>) -> Self::Result {
        self.roster.borrow_mut().subscribe()
    }
}

impl Handler<Farewell> for Membership {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Farewell, context: &mut Context<Membership>) -> Self::Result {
        let (leaving, roster) = (self.leave(context), self.roster.clone());
        Box::pin(async move {
            leaving.await;
            roster.borrow_mut().end();
        })
    }
}
