//! `local.membership`: who is alive, as this node sees it. The protocol is [`chinwag_protocol::swim`]; this actor
//! carries it, at the level of the group `all`.
//!
//! | method | answers |
//! |---|---|
//! | `list()` | everybody known, SID to `{ip, port, status, life, turn}`, this node and those removed included |
//! | `subscribe(function)` | an id; from then on the function is called with each [`Event`], one at a time, in order |
//! | `unsubscribe(id)` | the id |
//! | `leave()` | null, once the first peers know; the node takes no further part |
//!
//! What goes between nodes are methods of `local.gossip`, see `wire.rs`.
//!
//! ```text
//! groups.put, add, rem, del, a node met -> Changed -> the machine: those new in `all` are probed, those gone expelled
//! gossip's requests and answers         -> Signs -> the machine, if it would change anything
//! ping, relay, tell, exchange, news     -> the machine -> what it says, done at once, or a call whose outcome comes back
//! its events                            -> the groups -> the subscribers
//! --join                                -> exchange with each seed in turn, until one answers
//! Node::stop, status.stop, Ctrl-C       -> Farewell: told to the first peers, within half a second, before the door closes
//! ```
//!
//! # What it does to groups
//!
//! - *joined*: the peer comes into `all`.
//! - *failed*: it is taken from every group of this node's. If the verdict is this node's own, the members that take no
//!   part (nodes of the reference, or with membership off) are told by the `groups.rem` that they understand.
//! - *rejoined* (or joined, after an operator had put it somewhere): it comes back into the groups that it was taken from,
//!   under its old SIDs, except where an operator removed it meanwhile, or deleted the group, or put another set in its place.
//! - *left*: it is taken from every group, for good.
//!
//! A peer that an operator removes from `all` stays removed, whatever others say of it, until somebody adds it here. One
//! that was put in a group and never answered stays where it was put.
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
//! the size of the group, an exchange of views every 30 s, and gossip when something happens.
//!
//! # What is not here
//!
//! No decision: those are the machine's. No wall clock: a node's life is numbered by whoever starts it.

mod answering;
mod events;
mod join;
mod listing;
mod roster;
mod settings;
mod signs;
mod subscribing;
mod telling;
pub(crate) mod wire;

use std::{rc::Rc, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture, SpawnHandle};
use chinwag_protocol::{
    call::{CallError, ErrorKind},
    group::Group,
    identity::{Gid, Nid, NodeAddr},
    swim::{Input, Outcome, Output, Swim},
    value::Value,
};
use tokio::time::timeout_at;

use self::{answering::exchanged, roster::Task, subscribing::subscribed, wire::Addresses};
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
    request::{Request, Response},
    service::{unknown_method, value},
};

/// How long a node that leaves waits for the first peers to know.
pub const FAREWELL: Duration = Duration::from_millis(500);

/// Drives the machine.
pub struct Membership {
    home: Rc<Home>,
    roster: Shared,
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
        Ok(swim) => Some(Rc::new(std::cell::RefCell::new(Roster::new(swim, settings)))),
        Err(why) => {
            log::error!(target: "chinwag::membership", "the node takes no part: {why}");
            None
        }
    }
}

impl Membership {
    pub(crate) fn new(home: Rc<Home>, roster: Shared) -> Membership {
        Membership { home, roster, alarm: None }
    }

    /// Has the machine take something in, after what operators have done, and does what it says.
    fn drive(&mut self, inputs: impl IntoIterator<Item = Input<Nid>>, context: &mut Context<Membership>) {
        let shared = self.roster.clone();
        let mut roster = shared.borrow_mut();
        let done = roster.differences(&self.home.nid, &self.home.groups.borrow());
        for input in done.into_iter().chain(inputs) {
            let now = self.home.now();
            let outputs = self.home.chance(|chance| roster.swim.handle(now, input, chance));
            for output in outputs {
                self.carry_out(&mut roster, output);
            }
        }
        self.publish(&mut roster);
        self.arm(&roster, context);
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

    fn carry_out(&self, roster: &mut Roster, output: Output<Nid>) {
        let (home, stated) = (&self.home, roster.swim.incarnation());
        match output {
            Output::Timer { at, timer } => roster.set_timer(at, timer),
            Output::Probe { token, peer, timeout } => {
                let asking = roster.address(&peer).map(|to| self.home.ask(to, wire::ping(&home.me, stated), timeout));
                self.report(async move {
                    let outcome = match asking {
                        Some(asking) => wire::pinged(&asking.await),
                        None => Outcome::Lost,
                    };
                    Some(Take::of([Input::Outcome { token, outcome }]))
                });
            }
            Output::Relay { token, via, peer, timeout, budget } => {
                let mute = roster.swim.incarnation_of(&via).is_none_or(|incarnation| incarnation.is_mute());
                let asking = roster.address(&via).zip(roster.address(&peer)).map(|(via, to)| {
                    let call = match mute {
                        true => wire::relay_by_call(to),
                        false => wire::relay(&home.me, stated, to, budget),
                    };
                    self.home.ask(via, call, timeout)
                });
                self.report(async move {
                    let (outcome, behind) = match asking {
                        None => (Outcome::Lost, None),
                        Some(asking) if mute => (wire::relayed_by_call(&asking.await), None),
                        Some(asking) => wire::relayed(&asking.await),
                    };
                    let heard = behind.map(|incarnation| Input::Heard { peer, incarnation: Some(incarnation) });
                    Some(Take::of([Input::Outcome { token, outcome }].into_iter().chain(heard)))
                });
            }
            Output::Tell { peer, update, timeout } => {
                let news = wire::update(&update, |nid| self.find(roster, nid));
                let asking = roster.address(&peer).zip(news);
                let asking = asking.map(|(to, news)| self.home.ask(to, wire::tell(&home.me, stated, news), timeout));
                self.report(async move {
                    let stated = wire::stated(&asking?.await.ok()?.into_value())?;
                    Some(Take::of([Input::Heard { peer, incarnation: Some(stated) }]))
                });
            }
            Output::Exchange { peer, timeout } => {
                let call = wire::exchange(&home.me, stated, self.view(roster, &peer), None);
                let asking = roster.address(&peer).map(|to| self.home.ask(to, call, timeout));
                self.report(async move { exchanged(&asking?.await.ok()?.into_value()).ok().map(|(_, take)| take) });
            }
            Output::Broadcast(update) => self.say(roster, update),
            Output::Event(event) => self.event(roster, event),
        }
    }

    fn find(&self, roster: &Roster, nid: &Nid) -> Option<NodeAddr> {
        if *nid == self.home.nid { Some(self.home.me.clone()) } else { roster.address(nid).cloned() }
    }

    /// This node's view as it tells it to a peer.
    fn view(&self, roster: &Roster, reader: &Nid) -> Vec<Value> {
        let view = roster.swim.view(reader);
        view.iter().filter_map(|update| wire::update(update, |nid| self.find(roster, nid))).collect()
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

impl Handler<Request> for Membership {
    type Result = Response;

    fn handle(&mut self, request: Request, context: &mut Context<Membership>) -> Response {
        if wire::is_ours(&request.call) {
            return self.respond(&request, context).unwrap_or_else(|error| Response::Now(Err(error)));
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

/// What the machine is to hear, and where the peers are that it names.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Take {
    pub inputs: Vec<Input<Nid>>,
    pub addresses: Addresses,
}

impl Take {
    fn of(inputs: impl IntoIterator<Item = Input<Nid>>) -> Take {
        Take { inputs: inputs.into_iter().collect(), addresses: Addresses::new() }
    }
}

impl Handler<Take> for Membership {
    type Result = ();

    fn handle(&mut self, Take { inputs, addresses }: Take, context: &mut Context<Membership>) {
        self.roster.borrow_mut().note(addresses);
        self.drive(inputs, context);
    }
}

/// Nodes have come into a group, by this node's doing. Everyone is to add them.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Announce {
    pub gid: Gid,
    pub nodes: Vec<NodeAddr>,
}

impl Handler<Announce> for Membership {
    type Result = ();

    fn handle(&mut self, Announce { gid, nodes }: Announce, context: &mut Context<Membership>) {
        self.announce(&mut self.roster.borrow_mut(), &gid, &nodes);
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
