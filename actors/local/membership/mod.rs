//! `local.membership`: who is alive, as this node sees it. The protocol is [`chinwag_protocol::swim`]; this actor
//! carries it, at the level of the group `all`.
//!
//! | method | answers |
//! |---|---|
//! | `list()` | everybody known, SID to `{ip, port, status, life, turn[, since]}`, this node and those removed included |
//! | `subscribe(function)` | an id; from then on the function is called with each [`Event`], one at a time, in order |
//! | `unsubscribe(id)` | the id |
//! | `leave()` | null, once the first peers know; the node takes no further part |
//!
//! What goes between nodes are methods of `local.gossip`, see [`peer`].
//!
//! ```text
//! groups.put, add, rem, del, a node met -> Changed -> the machine: those new in `all` are asked, those gone expelled
//! gossip's requests and answers         -> Signs -> the machine, if it would change anything
//! a peer's kept connection closes       -> Take -> the machine, which probes the peer at once
//! ping, relay, sync, news               -> the machine -> what it says, done at once, or a call whose outcome comes back
//! its events                            -> the groups -> the subscribers
//! --join                                -> compares views with each seed in turn, until one answers
//! Node::stop, status.stop, Ctrl-C       -> Farewell: told to the first peers, within half a second, before the door closes
//! ```
//!
//! # What it does to groups
//!
//! - *joined*: the peer comes into `all`, and into the groups that it was started in, where this node knows them.
//! - *failed*: it is taken from every group of this node's. If the verdict is this node's own, mute members (nodes of the
//!   reference, or with membership off) are told by the `groups.rem` that they understand.
//! - *rejoined* (or joined, after an operator had put it somewhere): it comes back into the groups that it was taken from,
//!   under its old SIDs, except where an operator removed it meanwhile, or deleted the group, or put another set in its place.
//! - *left*: it is taken from every group, for good.
//! - *unreachable*: it stays where it was put. Group calls give it a short time only.
//!
//! A peer that an operator removes from `all` stays removed, whatever others say of it, until somebody adds it here.
//!
//! # Its way out
//!
//! Probes and their answers do not queue behind calls: they go straight to the transport, past the lanes of `comm`,
//! and are let in past the bounds on calls under way. They are not counted among the calls served. They have their own
//! time limits, given by the machine. The news, which need to reach everyone but not at once, go by gossip: those of a
//! short time together, so that a hundred nodes that come at once cost a few rumors. A farewell does not wait.
//!
//! # What it costs
//!
//! Off: nothing. Alone: one timer a second, and no request. Otherwise a probe sent and one answered a period, whatever
//! the size of the group, seven of eight over connections that are kept, and gossip when something happens.
//!
//! # What is not here
//!
//! No decision: those are the machine's. No wall clock: a node's life is numbered by whoever starts it.

mod answering;
mod comparing;
mod events;
mod heard;
mod join;
mod listing;
mod roster;
mod settings;
mod signs;
mod subscribing;
mod telling;
pub(crate) mod wire;

use std::{cell::RefCell, rc::Rc, sync::atomic::Ordering, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture, SpawnHandle};
use chinwag_protocol::{
    call::{CallError, ErrorKind},
    group::{Group, Member},
    identity::{Gid, Nid, NodeAddr},
    peer::{self, Body, Entry, Outgoing, Ping, Relay, Stated},
    swim::{Claim, Outcome, Output, Relation, Statement, Status, Swim, Update},
    value::Value,
};
use futures_util::FutureExt as _;
use tokio::time::timeout_at;

use self::{
    comparing::{EndSync, Merging, compare},
    roster::Task,
    subscribing::subscribed,
    wire::Known,
};
pub use self::{
    events::{Event, Events, Peer},
    listing::Standing,
    settings::{Seed, Settings},
    subscribing::MAX_SUBSCRIBERS,
};
pub(crate) use self::{
    roster::{Roster, Shared},
    signs::Signs,
};
use crate::{
    handle::Node,
    home::Home,
    local::{gossip, groups::Enroll},
    request::{FromPeer, Request, Response},
    service::{unknown_method, value},
};
pub(crate) use chinwag_protocol::swim::Input;

/// How long a node that leaves waits for the first peers to know.
pub const FAREWELL: Duration = Duration::from_millis(500);

/// Drives the machine.
pub struct Membership {
    home: Rc<Home>,
    roster: Shared,
    /// What is held of each group's gossip.
    rooms: Rc<gossip::Rooms>,
    /// The group that the last probe's hashes ended with: see `heard.rs`.
    last_heard: RefCell<Gid>,
    /// When it rings, and its handle.
    alarm: Option<(Duration, SpawnHandle)>,
}

/// What outlives the actor, unless the node takes no part.
pub(crate) fn roster(home: &Home) -> Option<Shared> {
    let settings = &home.settings.membership;
    if !settings.on {
        return None;
    }
    match Swim::new(home.nid, home.incarnation, settings.detection.clone()) {
        Ok(swim) => Some(Rc::new(RefCell::new(Roster::new(swim, settings)))),
        Err(why) => {
            log::error!(target: "chinwag::membership", "the node takes no part: {why}");
            None
        }
    }
}

/// Whether a request comes from a member of this cluster, or from a node that may become one.
///
/// # Errors
/// An error for the sender where it belongs to another cluster.
fn admit(roster: &mut Roster, home: &Home, stated: &Statement, name: &str, merge: bool) -> Result<(), CallError> {
    let mine = &home.settings.membership.cluster;
    if !stated.is_passive() && name != mine {
        return Err(wire::stranger(format!("{} is in the cluster {mine:?}, not {name:?}", home.me)));
    }
    match roster.swim.relate(stated, merge) {
        Relation::Member => Ok(()),
        Relation::Stranger => Err(wire::stranger(format!(
            "{} belongs to another cluster, and nobody asked for a merge; --join or groups.put does",
            home.me
        ))),
    }
}

impl Membership {
    pub(crate) fn new(home: Rc<Home>, roster: Shared, rooms: Rc<gossip::Rooms>) -> Membership {
        Membership { home, roster, rooms, last_heard: RefCell::new(Gid::all()), alarm: None }
    }

    /// Has the machine take something in, after what operators have done, and does what it says.
    fn drive(&mut self, inputs: impl IntoIterator<Item = Input<Nid>>, context: &mut Context<Membership>) {
        let shared = self.roster.clone();
        let mut roster = shared.borrow_mut();
        self.take_in(&mut roster, inputs);
        self.finish(&mut roster, context);
    }

    /// Has the machine take in what operators have done, and then these inputs.
    fn take_in(&self, roster: &mut Roster, inputs: impl IntoIterator<Item = Input<Nid>>) {
        let done = roster.differences(&self.home);
        self.follow_life(roster);
        for input in done.into_iter().chain(inputs) {
            let now = self.home.now();
            let outputs = self.home.chance(|chance| roster.swim.handle(now, input, chance));
            self.carry_out_all(roster, outputs);
        }
    }

    fn carry_out_all(&self, roster: &mut Roster, outputs: Vec<Output<Nid>>) {
        for output in outputs {
            self.carry_out(roster, output);
        }
    }

    /// Gossip and membership state one life: peers may know a later one of either, from an earlier start of this node.
    fn follow_life(&self, roster: &mut Roster) {
        let life = self.home.life.get();
        if life > roster.swim.incarnation().life {
            let outputs = roster.swim.raise(self.home.now(), life - 1);
            self.carry_out_all(roster, outputs);
        }
    }

    /// What follows whatever the machine did.
    fn finish(&mut self, roster: &mut Roster, context: &mut Context<Membership>) {
        roster.settle();
        self.home.life.set(self.home.life.get().max(roster.swim.incarnation().life));
        let full = roster.swim.turned_away() > 0 && !std::mem::replace(&mut roster.warned_full, true);
        if full {
            let most = self.home.settings.membership.detection.members;
            log::warn!(target: "chinwag::membership", "this node keeps {most} members and takes in no more");
        }
        self.home.unheard.store(roster.swim.has_unheard(), Ordering::Relaxed);
        self.publish(roster);
        self.enter(roster);
        self.arm(roster, context);
    }

    /// Has gossip enter `all` as soon as this node has company there: it performs what is sent from then on, and takes
    /// what it hears of before for older.
    fn enter(&self, roster: &mut Roster) {
        let company = self.home.groups.borrow().get(&Gid::all()).is_ok_and(|all| all.len() > 1);
        if roster.enters || !company {
            return;
        }
        let Ok(node) = self.home.node().cloned() else { return };
        roster.enters = true;
        actix::spawn(async move {
            // a node that has ended asks for nothing any more
            let _ = node.inner().gossip.ask(gossip::Enter { gid: Gid::all(), through: None }).await;
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
            let after = at.saturating_sub(self.home.now());
            self.alarm = Some((at, context.run_later(self.home.clock.truly(after), Membership::ring)));
        }
    }

    fn ring(&mut self, context: &mut Context<Membership>) {
        self.alarm = None;
        let now = self.home.now();
        let mut due = Vec::new();
        while let Some(timer) = self.roster.borrow_mut().take_due(now) {
            due.push(Input::Timer(timer));
        }
        self.drive(due, context);
    }

    /// Does something, and has the machine hear how it ended.
    fn report(&self, work: impl Future<Output = Option<Take>> + 'static) {
        let Ok(node) = self.home.node().cloned() else { return };
        actix::spawn(async move {
            if let (Some(take), Some(seat)) = (work.await, &node.inner().membership) {
                // a node that has ended asks for nothing any more
                let _ = seat.send(take).await;
            }
        });
    }

    /// What this node states of itself in a message.
    fn stated(&self, roster: &Roster) -> Stated {
        let name = self.home.settings.membership.cluster.as_str().into();
        Stated { statement: roster.swim.statement(), name }
    }

    /// A request of this node's.
    fn request(&self, roster: &Roster, body: Body) -> Outgoing {
        peer::Request { from: Some(self.home.sender()), stated: self.stated(roster), body }.into()
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
                let asking = roster.address(&peer).map(|to| self.home.ask(to, request, timeout));
                self.report(async move {
                    let Some(asking) = asking else {
                        return Some(Take::of([Input::Outcome { token, outcome: Outcome::Lost }]));
                    };
                    let reply = asking.await;
                    let outcome = Input::Outcome { token, outcome: wire::pinged(&reply) };
                    Some(Take::told([outcome], told(reply)))
                });
            }
            Output::Relay { token, via, peer, timeout, budget } => {
                let ends = roster.address(&via).zip(roster.address(&peer));
                let mute = roster.swim.incarnation_of(&via).is_none_or(|incarnation| incarnation.is_passive());
                let asking = ends.map(|(via, to)| {
                    if mute {
                        let asking = self.home.call(via, wire::relay_by_call(to), timeout);
                        return asking.map(|reply| (wire::relayed_by_call(&reply), None)).boxed_local();
                    }
                    let relay = Body::Relay(Relay { to: wire::address(to), budget });
                    let asking = self.home.ask(via, self.request(roster, relay), timeout);
                    asking.map(|reply| wire::relayed(&reply)).boxed_local()
                });
                self.report(async move {
                    let (outcome, behind) = match asking {
                        None => (Outcome::Lost, None),
                        Some(asking) => asking.await,
                    };
                    let heard = behind.filter(|stated| !stated.is_passive());
                    let heard = heard.map(|stated| Input::Heard { peer, stated });
                    Some(Take::of([Input::Outcome { token, outcome }].into_iter().chain(heard)))
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
            Output::Sync { peer, sync, timeout } => {
                let Some(to) = roster.address(&peer).cloned() else { return roster.swim.end_sync(&peer) };
                let Ok(node) = self.home.node().cloned() else { return };
                let merge = Merging::IfPut;
                let first = self.syncing(roster, sync, merge.of(roster, &peer), None);
                let home = self.home.clone();
                actix::spawn(async move {
                    // it is tried again with the next peer whose view differs
                    let _ = compare(&home, &node, &to, first, merge, timeout).await;
                    let _ = send(&node, EndSync(peer)).await;
                });
            }
            Output::Broadcast(update) => self.say(roster, update),
            Output::Event(event) => self.event(roster, event),
        }
    }

    /// Tells a peer something, and has the machine hear what the peer states in its answer.
    fn say_to(&self, roster: &Roster, peer: Nid, ping: Ping, timeout: Duration) {
        let Some(to) = roster.address(&peer) else { return };
        let asking = self.home.ask(to, self.request(roster, Body::Ping(ping)), timeout);
        self.report(async move {
            let peer::Answer::Pong(pong) = asking.await.ok()? else { return None };
            let stated = pong.stated.statement;
            let heard = (!stated.is_passive()).then_some(Input::Heard { peer, stated })?;
            Some(Take::told([heard], pong.about))
        });
    }

    /// What is known of a member, this node included, beside its standing.
    fn find(&self, roster: &Roster, nid: &Nid) -> Option<Known> {
        if *nid != self.home.nid {
            return roster.known(nid);
        }
        let groups = &self.home.settings.membership.groups;
        let groups = (!groups.is_empty()).then(|| groups.clone());
        let Member { nid, node } = self.home.sender();
        Some(Known { nid, node, life: roster.swim.incarnation().life, groups })
    }

    /// An entry for a message; `None` where the member's address is not known, so that nobody could make use of it.
    fn entry(&self, roster: &Roster, update: &Update<Nid>) -> Option<Entry> {
        let Known { node, life, groups, .. } = self.find(roster, &update.peer)?;
        let groups = groups.filter(|_| update.claim == Claim::Alive && life == update.incarnation.life);
        Some(Entry { update: *update, node: wire::address(&node), groups })
    }

    fn entries(&self, roster: &Roster, updates: &[Update<Nid>]) -> Vec<Entry> {
        updates.iter().filter_map(|update| self.entry(roster, update)).collect()
    }

    /// Adds members to the groups that they were started in, where this node knows them.
    fn enroll(&self, fresh: Vec<(Gid, NodeAddr)>) {
        let Ok(node) = self.home.node().cloned() else { return };
        let mut additions = std::collections::BTreeMap::<Gid, Vec<NodeAddr>>::new();
        for (gid, member) in fresh {
            if self.home.groups.borrow().get(&gid).is_ok_and(|members| !members.contains(&member.key())) {
                additions.entry(gid).or_default().push(member);
            }
        }
        if !additions.is_empty() {
            actix::spawn(async move {
                // a node that has ended has no groups
                let _ = node.tell(&node.inner().groups, Enroll(additions)).await;
            });
        }
    }

    /// Says farewell. Ends when the first peers know, or patience does.
    fn leave(&mut self, context: &mut Context<Membership>) -> ResponseFuture<()> {
        self.roster.borrow_mut().joining = None;
        self.drive([Input::Leave], context);
        let farewell = self.roster.borrow_mut().farewell.take();
        let patience = self.home.clock.after(FAREWELL);
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
        let settings = &self.home.settings.membership;
        let joins = !settings.seeds.is_empty() || !settings.groups.is_empty();
        if joins && !begun {
            let task = actix::spawn(join::run(self.home.clone(), self.roster.clone()));
            self.roster.borrow_mut().joining = Some(Task(task.abort_handle()));
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
        if wire::is_ours(&request.call) {
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

/// What the machine is to hear, and an entry that came with it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Take {
    pub inputs: Vec<Input<Nid>>,
    pub about: Option<Box<Entry>>,
}

impl Take {
    pub(crate) fn of(inputs: impl IntoIterator<Item = Input<Nid>>) -> Take {
        Take { inputs: inputs.into_iter().collect(), about: None }
    }

    fn told(inputs: impl IntoIterator<Item = Input<Nid>>, about: Option<Box<Entry>>) -> Take {
        Take { about, ..Take::of(inputs) }
    }
}

impl Handler<Take> for Membership {
    type Result = ();

    fn handle(&mut self, Take { inputs, about }: Take, context: &mut Context<Membership>) {
        let (told, addresses) = wire::parts(about.into_iter().map(|entry| *entry).collect());
        let fresh = self.roster.borrow_mut().note(addresses);
        self.drive(inputs.into_iter().chain(told.into_iter().map(Input::Told)), context);
        self.enroll(fresh);
    }
}

/// A peer has answered a call, or nobody has: an answer is a sign of life of a node that nobody has heard from yet.
pub(crate) async fn answered(home: &Home, peer: &NodeAddr, reply: &chinwag_protocol::call::Reply) {
    let nobody = reply.as_ref().is_err_and(|error| !error.kind.is_answer());
    if let (false, Ok(node)) = (nobody, home.node()) {
        // a node that takes no part in membership asks for nothing
        let _ = send(node, Take::of([Input::Answered(peer.key())])).await;
    }
}

/// Asks which members nobody has ever heard from, although they were asked.
#[derive(Debug, Message)]
#[rtype(result = "std::collections::BTreeSet<Nid>")]
pub(crate) struct Unreachable;

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

/// An operator did something to a group.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Changed {
    pub gid: Gid,
    pub how: Change,
}

/// What an operator did.
#[derive(Debug)]
pub(crate) enum Change {
    /// The group was put, with these members.
    Put(std::sync::Arc<Group>),
    /// A node was added, or met; whether it was new.
    Added(bool),
    /// A node was removed; whether it was there.
    Removed(String, bool),
    /// The group was deleted.
    Deleted,
}

impl Handler<Changed> for Membership {
    type Result = ();

    fn handle(&mut self, Changed { gid, how }: Changed, context: &mut Context<Membership>) {
        let shared = self.roster.clone();
        let mut roster = shared.borrow_mut();
        let (inputs, changed) = match how {
            Change::Put(members) => (roster.operator_put(&gid, Some(&members)), true),
            Change::Deleted => (roster.operator_put(&gid, None), true),
            Change::Removed(sid, there) => (roster.operator_removed(&gid, &sid), there),
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

/// Begins to tell a stream.
#[derive(Debug, Message)]
#[rtype(result = "Result<Events, CallError>")]
pub(crate) struct Subscribe;

impl Handler<Subscribe> for Membership {
    type Result = Result<Events, CallError>;

    fn handle(&mut self, _: Subscribe, _: &mut Context<Membership>) -> Self::Result {
        subscribed(&mut self.roster.borrow_mut())
    }
}

/// The node stops: it leaves, and its subscribers see the end.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Farewell;

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

/// Asks the membership actor of a node.
pub(crate) async fn send<M>(node: &Node, message: M) -> Result<M::Result, CallError>
where
    M: Message + Send + 'static,
    M::Result: Send,
    Membership: Handler<M>,
    Context<Membership>: actix::dev::ToEnvelope<Membership, M>,
{
    let off = || CallError::new(ErrorKind::Unsupported, "this node takes no part in membership");
    let seat = node.inner().membership.as_ref().ok_or_else(off)?;
    seat.ask(message).await
}
