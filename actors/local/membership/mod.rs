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
//! time limits, given by the machine. The news, which need to reach everyone but not at once, go by gossip.
//!
//! # What it costs
//!
//! Off: nothing. Alone: one timer a second, and no request. Otherwise a probe sent and one answered a period, whatever
//! the size of the group, an exchange of views every 30 s, and gossip when something happens.
//!
//! # What is not here
//!
//! No decision: those are the machine's. No wall clock: a node's life is numbered by whoever starts it.

mod events;
mod join;
mod roster;
mod settings;
pub(crate) mod wire;

use std::{rc::Rc, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture, SpawnHandle};
use chinwag_protocol::{
    call::{Call, CallContext, CallError, ErrorKind, Remote, Reply},
    group::Group,
    identity::{Gid, Nid, NodeAddr, Sid},
    swim::{self, Claim, Input, Outcome, Output, Swim, Update},
    value::{Function, Object, Value},
};
use futures_util::{StreamExt, future::LocalBoxFuture, future::join_all};
use tokio::{sync::oneshot, time::timeout_at};

pub(crate) use self::roster::{Roster, Shared};
pub use self::{
    events::{Event, Events, Peer},
    settings::{Seed, Settings},
};
use self::{
    roster::Task,
    wire::{Addresses, status_name},
};
use crate::{
    handle::Node,
    home::Home,
    local::gossip::Broadcast,
    request::{Origin, ReplyFuture, Request, crashed, ready},
    service::{unknown_method, value},
};

/// How long a node that leaves waits for the first peers to know.
pub const FAREWELL: Duration = Duration::from_millis(500);

/// How long the news may take to reach the first peers.
const NEWS: Duration = Duration::from_secs(2);

/// How long gossip that is busy is left alone before it is given the same news again, and how often.
const BUSY: (Duration, usize) = (Duration::from_millis(100), 20);

/// How long those that take no part are given to take a `groups.rem`.
const WORD: Duration = Duration::from_secs(2);

/// Most probes under way for others. Beyond it they are told `Busy`, which accuses nobody.
const MAX_RELAYS: usize = 1_024;

/// Most subscribers of one node, functions and streams together.
pub const MAX_SUBSCRIBERS: usize = 1_024;

/// How often in a row a subscribed function may fail before it is dropped: whoever subscribed may be gone.
const MAX_FAILURES: u32 = 16;

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
        Ok(swim) => Some(Rc::new(std::cell::RefCell::new(Roster::new(swim, settings.events)))),
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

    /// A call past the lanes of `comm`.
    fn ask(&self, to: &NodeAddr, call: Call, time_left: Duration) -> LocalBoxFuture<'static, Reply> {
        ask(&self.home, to, call, time_left)
    }

    /// Does something, and has the machine hear how it ended.
    fn report(&self, work: impl Future<Output = Option<Take>> + 'static) {
        let Ok(node) = self.home.node().cloned() else { return };
        actix::spawn(async move {
            if let (Some(take), Some(seat)) = (work.await, &node.inner().membership) {
                // a node that has ended asks for nothing any more
                let _ = seat.addr().send(take).await;
            }
        });
    }

    fn carry_out(&self, roster: &mut Roster, output: Output<Nid>) {
        let (home, stated) = (&self.home, roster.swim.incarnation());
        match output {
            Output::Timer { at, timer } => roster.set_timer(at, timer),
            Output::Probe { token, peer, timeout } => {
                let asking = roster.address(&peer).map(|to| self.ask(to, wire::ping(&home.me, stated), timeout));
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
                    self.ask(via, call, timeout)
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
                let asking = asking.map(|(to, news)| self.ask(to, wire::tell(&home.me, stated, news), timeout));
                self.report(async move {
                    let stated = wire::stated(&asking?.await.ok()?.into_value())?;
                    Some(Take::of([Input::Heard { peer, incarnation: Some(stated) }]))
                });
            }
            Output::Exchange { peer, timeout } => {
                let call = wire::exchange(&home.me, stated, self.view(roster, &peer), None);
                let asking = roster.address(&peer).map(|to| self.ask(to, call, timeout));
                self.report(async move { exchanged(&asking?.await.ok()?.into_value()).ok().map(|(_, take)| take) });
            }
            Output::Broadcast(update) => self.broadcast(roster, update),
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

    /// Has gossip bring a piece of news to everyone.
    fn broadcast(&self, roster: &mut Roster, update: Update<Nid>) {
        let farewell = update.claim == Claim::Left && update.peer == self.home.nid;
        let alone = self.home.groups.borrow().get(&Gid::all()).is_ok_and(|all| all.len() < 2);
        let (Ok(node), Some(news)) = (self.home.node(), wire::update(&update, |nid| self.find(roster, nid))) else {
            return;
        };
        if alone {
            return;
        }
        let (told, tell) = oneshot::channel();
        let mut mute = Vec::new();
        if farewell {
            roster.farewell = Some(tell);
            let everywhere = self.home.groups.borrow().names().cloned().collect::<Vec<Gid>>();
            let everywhere = everywhere.into_iter().filter_map(|gid| {
                let sid = self.home.groups.borrow().get(&gid).ok()?.sid_of(&self.home.nid)?.clone();
                Some((gid, sid))
            });
            mute = self.words(roster, everywhere.collect(), |sid| ("rem", Value::from(sid.as_str())));
        }
        let (node, clock, patience) = (node.clone(), self.home.clock, if farewell { FAREWELL } else { NEWS });
        let spreading = async move {
            for _ in 0..BUSY.1 {
                let message = Broadcast {
                    gid: Gid::all(),
                    arguments: Value::from(vec![news.clone()]),
                    remote: Remote::new("gossip", "news"),
                    origin: Origin::starting(patience, clock),
                };
                match node.inner().gossip.addr().send(message).await {
                    Ok(Err(busy)) if busy.kind == ErrorKind::Busy => clock.sleep(BUSY.0).await,
                    Ok(Err(why)) => {
                        // an exchange of views will bring it
                        log::warn!(target: "chinwag::membership", "the news were not spread: {why}");
                        break;
                    }
                    // said, or the node has ended
                    Ok(Ok(_)) | Err(_) => break,
                }
            }
        };
        actix::spawn(async move {
            futures_util::join!(spreading, join_all(mute));
            // whoever waited for it may have lost patience
            let _ = told.send(());
        });
    }

    fn event(&self, roster: &mut Roster, event: swim::Event<Nid>) {
        let mut groups = self.home.groups.borrow_mut();
        let named = |nid, incarnation| roster.peer(nid, incarnation);
        match event {
            swim::Event::Joined { peer, incarnation } => {
                let Some(named) = named(peer, incarnation) else { return };
                roster.tell(Event::Joined(named));
                let back = roster.admit(&peer, &mut groups);
                drop(groups);
                self.tell_of_return(roster, back);
            }
            swim::Event::Rejoined { peer, incarnation } => {
                let Some(named) = named(peer, incarnation) else { return };
                roster.tell(Event::Rejoined(named));
                let back = roster.admit(&peer, &mut groups);
                drop(groups);
                self.tell_of_return(roster, back);
            }
            swim::Event::Suspected { peer, incarnation, by } => {
                if let Some(peer) = named(peer, incarnation) {
                    roster.tell(Event::Suspected { peer, by });
                }
            }
            swim::Event::Refuted { peer, incarnation } => {
                if let Some(peer) = named(peer, incarnation) {
                    roster.tell(Event::Refuted(peer));
                }
            }
            swim::Event::Failed { peer, incarnation, by } => {
                if let Some(peer) = named(peer, incarnation) {
                    roster.tell(Event::Failed { peer, by });
                }
                let mine = by == self.home.nid;
                let left = roster.dismiss(&peer, &mut groups, true, mine);
                drop(groups);
                if mine {
                    self.tell_mute(roster, left, |sid| ("rem", Value::from(sid.as_str())));
                }
            }
            swim::Event::Left { peer, incarnation } => {
                if let Some(peer) = named(peer, incarnation) {
                    roster.tell(Event::Left(peer));
                }
                roster.dismiss(&peer, &mut groups, false, false);
            }
        }
    }

    /// Those that were told of a removal are told of the return.
    fn tell_of_return(&self, roster: &Roster, back: Option<roster::Taken>) {
        if let Some(back) = back.filter(|back| back.told) {
            let node = back.node.to_value();
            self.tell_mute(roster, back.groups, |_| ("add", node.clone()));
        }
    }

    /// Has those that take no part change their groups.
    fn tell_mute(&self, roster: &Roster, groups: Vec<(Gid, Sid)>, word: impl Fn(&Sid) -> (&'static str, Value)) {
        actix::spawn(join_all(self.words(roster, groups, word)));
    }

    /// The calls by which those that take no part change their groups.
    fn words(
        &self,
        roster: &Roster,
        groups: Vec<(Gid, Sid)>,
        word: impl Fn(&Sid) -> (&'static str, Value),
    ) -> Vec<LocalBoxFuture<'static, Reply>> {
        let mut words = Vec::new();
        for to in roster.swim.mute_members().filter_map(|nid| roster.address(&nid)) {
            for (gid, sid) in &groups {
                let (method, argument) = word(sid);
                let arguments = vec![Value::from(gid.as_str()), argument];
                // a group that it does not know is none of its business, which it says
                words.push(self.ask(to, Call::new(Gid::local(), "groups", method, arguments), WORD));
            }
        }
        words
    }

    /// What a peer says of itself in a request.
    fn heard(&mut self, argument: &Value, context: &mut Context<Membership>) -> Option<NodeAddr> {
        let from = wire::node(argument, "from").ok()?;
        if let Some(incarnation) = wire::stated(argument) {
            self.drive([Input::Heard { peer: from.nid(), incarnation: Some(incarnation) }], context);
        }
        Some(from)
    }

    fn statement(&self) -> Object {
        let mut object = Object::new();
        wire::state(&mut object, self.roster.borrow().swim.incarnation());
        object
    }

    /// Answers a request of a peer.
    fn respond(&mut self, request: &Request, context: &mut Context<Membership>) -> Result<ReplyFuture, CallError> {
        let nothing = Value::Undefined;
        let (method, argument) = (&request.call.method, request.call.arguments.first().unwrap_or(&nothing));
        let refused = |why: CallError| CallError::argument(&format!("gossip.{method}"), 1, "message", why);
        match method.as_str() {
            "ping" => {
                self.heard(argument, context);
                Ok(ready(value(self.statement())))
            }
            "tell" => {
                let mut addresses = Addresses::new();
                let update = argument.get("update").unwrap_or(&Value::Undefined);
                let update = wire::read_update(update, &mut addresses).map_err(refused)?;
                self.heard(argument, context);
                self.roster.borrow_mut().note(addresses);
                self.drive([Input::Told(update)], context);
                Ok(ready(value(self.statement())))
            }
            "news" => {
                let mut addresses = Addresses::new();
                let update = wire::read_update(argument, &mut addresses).map_err(refused)?;
                self.roster.borrow_mut().note(addresses);
                self.drive([Input::Update(update)], context);
                Ok(ready(value(Value::Null)))
            }
            "exchange" => {
                let (from, take) = exchanged(argument).map_err(refused)?;
                let reader = from.nid();
                self.roster.borrow_mut().note(take.addresses);
                self.drive(take.inputs, context);
                let mut answer = self.statement();
                answer.insert("from", NodeAddr::new(self.home.me.ip(), self.home.me.port()).to_value());
                answer.insert("view", self.view(&self.roster.borrow(), &reader));
                if argument.get("joining").and_then(Value::as_bool) != Some(true) {
                    return Ok(ready(value(answer)));
                }
                let asked = join::asked(argument).map_err(refused)?;
                let (home, node) = (self.home.clone(), self.home.node()?.on_behalf_of(request.origin()));
                Ok(Box::pin(async move {
                    answer.insert("groups", join::admitted(&home, &node, from, asked).await?);
                    value(answer)
                }))
            }
            _ => {
                let to = wire::node(argument, "to").map_err(refused)?;
                let budget = argument.get("budget").and_then(Value::as_f64).unwrap_or(0.0) / 1_000.0;
                let budget = Duration::try_from_secs_f64(budget).unwrap_or_default();
                let budget = budget.min(request.origin().time_left());
                self.heard(argument, context);
                if self.roster.borrow().relays >= MAX_RELAYS {
                    return Err(CallError::new(
                        ErrorKind::Busy,
                        format!("{MAX_RELAYS} probes for others are under way"),
                    ));
                }
                Ok(self.relay(&to, budget))
            }
        }
    }

    fn relay(&self, to: &NodeAddr, budget: Duration) -> ReplyFuture {
        let (roster, nid) = (self.roster.clone(), to.nid());
        let asking = self.ask(to, wire::ping(&self.home.me, roster.borrow().swim.incarnation()), budget);
        let under_way = Relaying::begin(roster.clone());
        let (tell, told) = oneshot::channel();
        // the answer counts here too, also when whoever asked has given up
        self.report(async move {
            let _under_way = under_way;
            let outcome = wire::pinged(&asking.await);
            let heard = match outcome {
                Outcome::Answered(incarnation) => Some(Take::of([Input::Heard { peer: nid, incarnation }])),
                Outcome::Unreachable(_) | Outcome::Lost => None,
            };
            // whoever asked may have given up
            let _ = tell.send(outcome);
            heard
        });
        Box::pin(async move {
            let outcome = told.await.unwrap_or(Outcome::Lost);
            let mut answer = Object::new();
            wire::state(&mut answer, roster.borrow().swim.incarnation());
            answer.insert("reached", matches!(outcome, Outcome::Answered(_)));
            if let Outcome::Answered(Some(incarnation)) = outcome {
                let mut peer = Object::new();
                wire::state(&mut peer, incarnation);
                answer.insert("peer", Value::Object(peer));
            }
            value(answer)
        })
    }

    fn list(&self) -> Value {
        let roster = self.roster.borrow();
        let all = self.home.groups.borrow().get(&Gid::all()).unwrap_or_default();
        let mine = (self.home.nid, swim::Status::Alive, roster.swim.incarnation());
        let mut list = Object::new();
        // those of `all` first, so that nobody else takes their SIDs
        for there in [true, false] {
            for (nid, status, incarnation) in std::iter::once(mine).chain(roster.swim.peers()) {
                if all.contains(&nid) != there {
                    continue;
                }
                let Some(node) = self.find(&roster, &nid) else { continue };
                let Value::Object(mut entry) = NodeAddr::new(node.ip(), node.port()).to_value() else { continue };
                entry.insert("status", status_name(status));
                wire::state(&mut entry, incarnation);
                let mut sid = all.sid_for(&nid);
                for digits in sid.as_str().len()..=64 {
                    if !list.contains_key(sid.as_str()) {
                        break;
                    }
                    sid = nid.sid_of(digits);
                }
                list.insert(sid.as_str(), Value::Object(entry));
            }
        }
        Value::Object(list)
    }

    fn subscribe(&self, argument: &Value) -> Reply {
        let Value::Function(function) = argument else {
            let why = format!("expected a function, got {}", argument.type_name());
            return Err(CallError::argument("membership.subscribe", 1, "function", why));
        };
        let (mut roster, node) = (self.roster.borrow_mut(), self.home.node()?.on_its_own());
        let events = subscribed(&mut roster)?;
        let id = self.home.uuid().to_string();
        let (shared, name, function) = (Rc::downgrade(&self.roster), id.clone(), function.clone());
        let calling = async move {
            call_with_each(node, function, events).await;
            let ended = shared.upgrade().and_then(|roster| roster.borrow_mut().subscriptions.remove(&name));
            // last, as it ends this very task
            drop(ended);
        };
        let task = actix::spawn(calling);
        roster.subscriptions.insert(id.clone(), Task(task.abort_handle()));
        value(id)
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

/// A call past the lanes of `comm`.
fn ask(home: &Home, to: &NodeAddr, call: Call, time_left: Duration) -> LocalBoxFuture<'static, Reply> {
    home.transport.call(to, call.within(CallContext { time_left, ..CallContext::default() }))
}

/// Reads an exchange, or the answer to one: from whom, and what the machine is to hear.
fn exchanged(message: &Value) -> Result<(NodeAddr, Take), CallError> {
    let from = wire::node(message, "from")?;
    let mut addresses = vec![(from.nid(), from.clone())];
    let view = wire::read_view(message, &mut addresses)?;
    let inputs = vec![Input::Exchanged { from: from.nid(), view }];
    Ok((from, Take { inputs, addresses }))
}

/// One more subscriber, if there is room.
fn subscribed(roster: &mut Roster) -> Result<Events, CallError> {
    if roster.subscribers() >= MAX_SUBSCRIBERS {
        let message = format!("a node tells at most {MAX_SUBSCRIBERS} subscribers");
        return Err(CallError::new(ErrorKind::Busy, message));
    }
    roster.subscribe().ok_or_else(|| CallError::new(ErrorKind::Stopping, "the node is stopping"))
}

/// Calls a function with one event after the other.
async fn call_with_each(node: Node, function: Function, mut events: Events) {
    let mut failures = 0;
    while let Some(event) = events.next().await {
        match node.apply(function.clone(), vec![event.to_value()]).await {
            Ok(_) => failures = 0,
            Err(why) => {
                failures += 1;
                log::warn!(target: "chinwag::membership", "a subscribed function failed: {why}");
                if failures == MAX_FAILURES {
                    log::warn!(target: "chinwag::membership", "it has failed {failures} times in a row and is dropped");
                    return;
                }
            }
        }
    }
}

/// A probe under way for another.
struct Relaying(Shared);

impl Relaying {
    fn begin(roster: Shared) -> Relaying {
        roster.borrow_mut().relays += 1;
        Relaying(roster)
    }
}

impl Drop for Relaying {
    fn drop(&mut self) {
        // one that is dropped while the roster is in use is not counted back; none is, as tasks run one at a time
        if let Ok(mut roster) = self.0.try_borrow_mut() {
            roster.relays -= 1;
        }
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
    type Result = ReplyFuture;

    fn handle(&mut self, request: Request, context: &mut Context<Membership>) -> ReplyFuture {
        if wire::is_ours(&request.call) {
            return self.respond(&request, context).unwrap_or_else(|error| ready(Err(error)));
        }
        let argument = request.call.arguments.first().unwrap_or(&Value::Undefined);
        match request.call.method.as_str() {
            "list" => ready(value(self.list())),
            "subscribe" => ready(self.subscribe(argument)),
            "unsubscribe" => {
                let id = argument.as_str().unwrap_or_default();
                let ended = self.roster.borrow_mut().subscriptions.remove(id);
                let shown: String = id.chars().take(64).collect();
                ready(match ended {
                    Some(_) => value(id),
                    None => Err(CallError::new(ErrorKind::NotFound, format!("no subscription is named {shown:?}"))),
                })
            }
            "leave" => {
                let leaving = self.leave(context);
                Box::pin(async move {
                    leaving.await;
                    value(Value::Null)
                })
            }
            other => ready(Err(unknown_method("membership", other))),
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

/// One member as `membership.list` has it, read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Where it is reached.
    pub node: NodeAddr,
    /// How this node regards it.
    pub status: swim::Status,
    /// Its latest incarnation that is known here; of life 0 for one that states none.
    pub incarnation: swim::Incarnation,
}

impl Standing {
    /// Reads an entry of the list.
    ///
    /// # Errors
    /// [`ErrorKind::BadAnswer`] where it is none.
    pub(crate) fn from_value(entry: &Value) -> Result<Standing, CallError> {
        let bad = || CallError::new(ErrorKind::BadAnswer, "not an entry of a list of members");
        let node = NodeAddr::from_value(entry)?;
        let status = entry.get("status").and_then(Value::as_str).and_then(wire::status_of_name).ok_or_else(bad)?;
        let incarnation = wire::stated(entry).unwrap_or_default();
        Ok(Standing { node: NodeAddr::new(node.ip(), node.port()), status, incarnation })
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
    seat.addr().send(message).await.map_err(crashed(&"membership"))
}
