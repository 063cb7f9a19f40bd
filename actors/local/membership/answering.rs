//! What this node answers to the requests of peers.

use std::time::Duration;

use actix::{Context, Handler, Message};
use chinwag_protocol::{
    call::{CallError, ErrorKind},
    group::Group,
    identity::{Gid, Nid, NodeAddr},
    swim::{Claim, Input, Outcome, PAGE, Relation, Statement, Update},
    value::{Object, Value},
};
use tokio::sync::oneshot;

use super::{
    Event, Membership, Shared, Take, admit, join, send,
    wire::{self, Addresses, Known, MAX_GROUPS, Pinging, Place},
};
use crate::request::{ReplyFuture, Request, Response};
use crate::service::value;

/// Most probes under way for others. Beyond it they are told `Busy`, which accuses nobody.
pub(super) const MAX_RELAYS: usize = 1_024;

/// How long a node that joins is given to answer at the address that it states.
const DIAL_BACK: Duration = Duration::from_secs(1);

/// The sender of a request.
struct Sender {
    node: NodeAddr,
    stated: Statement,
}

impl Membership {
    /// A peer has stated its address: people are shown the peer as it spells its own address.
    pub(super) fn spelled(&self, from: &NodeAddr) {
        if self.home.groups.borrow_mut().stated(from) {
            self.roster.borrow().tell(Event::GroupChanged { gid: Gid::all() });
        }
    }

    /// Takes in who sends a request.
    ///
    /// # Errors
    /// When the sender belongs to another cluster, or states this node's own address.
    fn sender(&mut self, argument: &Value, context: &mut Context<Membership>) -> Result<Option<Sender>, CallError> {
        let Ok(node) = wire::node(argument, "from") else { return Ok(None) };
        let stated = wire::stated(argument);
        let merge = wire::asks_to_merge(argument, self.home.life.get());
        self.spelled(&node);
        if node.is_same_node(&self.home.me) && !stated.is_mute() {
            let mine = self.roster.borrow().swim.incarnation();
            if stated.incarnation.life != mine.life && stated.incarnation.life != self.home.incarnation {
                self.address_taken(stated.incarnation.life);
                let why = format!("{node} is this node's address, and another node states it");
                return Err(wire::address_taken(why));
            }
        }
        // a seed dials back before it answers; its members may speak to this node before this node has the answer
        let mut roster = self.roster.borrow_mut();
        let merge = merge || roster.swim.expects_to_join() && roster.seed == Some(node.key());
        admit(&mut roster, &self.home, &stated, wire::name(argument), merge)?;
        drop(roster);
        if !stated.is_mute() {
            self.drive([Input::Heard { peer: node.key(), stated }], context);
        }
        Ok(Some(Sender { node, stated }))
    }

    /// Another process states this node's address.
    pub(super) fn address_taken(&self, life: u64) {
        log::error!(
            target: "chinwag::membership",
            "another node states this node's address {} (started at {life}, this one at {}); give each its own --advertise",
            self.home.me,
            self.home.incarnation
        );
        self.roster.borrow().tell(Event::AddressTaken { life });
    }

    /// What this node states in an answer.
    fn statement(&self) -> Object {
        let mut object = Object::new();
        wire::state(&mut object, &self.roster.borrow().swim.statement(), &self.home.settings.membership.cluster);
        object
    }

    /// What the sender of a request has to know of itself: what is held against it, or a later life that is known.
    fn about(&self, sender: &Sender) -> Option<Value> {
        let roster = self.roster.borrow();
        let peer = sender.node.key();
        let held = roster.swim.held_against(&peer).or_else(|| {
            let incarnation = roster.swim.incarnation_of(&peer)?;
            let later = incarnation > sender.stated.incarnation && !sender.stated.is_mute();
            later.then_some(Update { peer, incarnation, claim: Claim::Alive, by: self.home.nid })
        });
        self.entry(&roster, &held?)
    }

    /// What this node says of itself.
    fn alive(&self) -> Update<Nid> {
        let (peer, incarnation) = (self.home.nid, self.roster.borrow().swim.incarnation());
        Update { peer, incarnation, claim: Claim::Alive, by: peer }
    }

    /// Answers a request of a peer.
    pub(super) fn respond(
        &mut self,
        request: &Request,
        context: &mut Context<Membership>,
    ) -> Result<Response, CallError> {
        let nothing = Value::Undefined;
        let (method, argument) = (&request.call.method, request.call.arguments.first().unwrap_or(&nothing));
        let refused = |why: CallError| CallError::argument(&format!("gossip.{method}"), 1, "message", why);
        match method.as_str() {
            "ping" => {
                let about = argument.get("about").cloned();
                let welcome = argument.get("welcome").map(wire::read_gids).transpose().map_err(refused)?;
                let sender = match self.sender(argument, context) {
                    // the sender sees by the statement that it is a stranger
                    Err(why) if wire::is_named(&why, wire::STRANGER) && wire::name(argument) == self.cluster_name() => {
                        None
                    }
                    sender => sender?,
                };
                let mut answer = self.statement();
                if let Some(sender) = sender {
                    if about.is_some() {
                        Handler::handle(self, Take { inputs: Vec::new(), about }, context);
                        answer = self.statement();
                    }
                    let inquired = wire::node(argument, "inquire").ok().and_then(|node| {
                        let roster = self.roster.borrow();
                        self.entry(&roster, &roster.swim.known_of(&node.key())?)
                    });
                    // whoever notices a restart has not heard which groups this life is in
                    let own = welcome.as_ref().and_then(|_| self.entry(&self.roster.borrow(), &self.alive()));
                    if let Some(about) = self.about(&sender).or(inquired).or(own) {
                        answer.insert("about", about);
                    }
                    self.compare_heard(&sender.node, argument);
                    if let Some(groups) = welcome {
                        self.welcomed(sender.node, &groups);
                    }
                }
                Ok(Response::Now(value(answer)))
            }
            "news" => {
                let (updates, addresses) = wire::read_news(argument).map_err(refused)?;
                let mut roster = self.roster.borrow_mut();
                let with_groups = |waiting: &Update<Nid>| {
                    let life = waiting.incarnation.life;
                    addresses
                        .iter()
                        .any(|known| known.nid == waiting.peer && known.groups.is_some() && known.life >= life)
                };
                // what others have said, this node need not say; but whoever hears a newcomer may not know its groups
                roster.news.drop_if(|(waiting, entry)| {
                    let is_said = updates.iter().any(|update| update.says_the_same_as(waiting));
                    is_said && (entry.get("groups").is_none() || with_groups(waiting))
                });
                let fresh = roster.note(addresses);
                drop(roster);
                self.drive(updates.into_iter().map(Input::Update), context);
                self.enroll(fresh);
                Ok(Response::Now(value(Value::Null)))
            }
            "sync" => {
                let sync = Syncing { argument: argument.clone() };
                let joining = argument.get("joining").and_then(Value::as_bool) == Some(true);
                if !joining {
                    return Ok(Response::Now(Handler::handle(self, sync, context)));
                }
                let asked = wire::read_gids(argument.get("groups").unwrap_or(&nothing)).map_err(refused)?;
                let newcomer = wire::node(argument, "from").map_err(refused)?;
                let stated = wire::stated(argument);
                self.check_joining(&newcomer, &stated, wire::name(argument))?;
                let (home, node) = (self.home.clone(), self.home.node()?.on_behalf_of(request.origin()));
                let back = self.dial_back(&newcomer);
                Ok(Response::Later(Box::pin(async move {
                    let life = stated.incarnation.life;
                    join::answers_there(&newcomer, life, &back.await)?;
                    let groups = asked.clone();
                    send(&node, Joining { newcomer: newcomer.clone(), stated, groups }).await?;
                    join::admitted(&home, &node, newcomer, asked).await?;
                    send(&node, sync).await?
                })))
            }
            "listing" => {
                let sender =
                    self.sender(argument, context)?.ok_or_else(|| refused(CallError::other("it has no from")))?;
                let after = wire::read_after(argument);
                Ok(Response::Now(Ok(self.listing(&sender.node, after.as_ref()).into())))
            }
            _ => {
                let to = wire::node(argument, "to").map_err(refused)?;
                let budget = argument.get("budget").and_then(Value::as_f64).unwrap_or(0.0) / 1_000.0;
                let budget = Duration::try_from_secs_f64(budget).unwrap_or_default();
                let budget = budget.min(request.origin().time_left());
                self.sender(argument, context)?;
                if self.roster.borrow().relays >= MAX_RELAYS {
                    return Err(CallError::new(
                        ErrorKind::Busy,
                        format!("{MAX_RELAYS} probes for others are under way"),
                    ));
                }
                Ok(Response::Later(self.relay(&to, budget)))
            }
        }
    }

    fn cluster_name(&self) -> &str {
        &self.home.settings.membership.cluster
    }

    /// Whether a node may join at all.
    fn check_joining(&self, newcomer: &NodeAddr, stated: &Statement, name: &str) -> Result<(), CallError> {
        let mine = self.cluster_name();
        if name != mine {
            return Err(wire::stranger(format!("{} is in the cluster {mine:?}, not {name:?}", self.home.me)));
        }
        if newcomer.is_same_node(&self.home.me) {
            return Err(CallError::new(ErrorKind::Unreachable, format!("{newcomer} is this node itself")));
        }
        let latest = self.roster.borrow().swim.latest_life(self.home.now());
        let ahead = stated.incarnation.life.saturating_sub(latest);
        if ahead > 0 {
            let seconds = ahead / 1_000 + chinwag_protocol::swim::LIFE_AHEAD.as_secs();
            let why =
                format!("the clock of {newcomer} is {seconds} s ahead of this node's; at most an hour is accepted");
            return Err(CallError::new(ErrorKind::BadArgument, why));
        }
        Ok(())
    }

    /// Asks a newcomer at the address that it states. The newcomer takes the id of the cluster from this request, as other
    /// members may speak to it before it has the answer to its own.
    fn dial_back(&self, newcomer: &NodeAddr) -> ReplyFuture {
        let mut roster = self.roster.borrow_mut();
        self.home.chance(|chance| roster.swim.found_cluster(chance));
        self.home.ask(newcomer, wire::ping(&self.stating(&roster), Pinging::default()), DIAL_BACK)
    }

    /// The groups that list a node, of which a welcome names some: the node then asks for the listing.
    pub(super) fn listed_in(&self, nid: &Nid) -> Vec<Gid> {
        let groups = self.home.groups.borrow();
        let names = groups.listing(nid).map(|(gid, _)| gid).filter(|gid| !gid.is_all());
        names.take(MAX_GROUPS).cloned().collect()
    }

    /// A page of the groups that list a node.
    fn listing(&self, reader: &NodeAddr, after: Option<&Place>) -> Value {
        let (groups, nid) = (self.home.groups.borrow(), reader.key());
        let (mut parts, mut room) = (Vec::new(), PAGE);
        let begun = |gid: &Gid| after.is_none_or(|after| *gid >= after.gid);
        for (gid, entry) in groups.listing(&nid).filter(|(gid, _)| !gid.is_all() && begun(gid)) {
            let first = after.filter(|after| after.gid == *gid).map_or(0, |after| after.place);
            if room == 0 {
                return wire::groups(parts, Some(&Place { gid: gid.clone(), place: 0 }));
            }
            let mut part = Group::default();
            let members = (first..entry.members.len()).filter_map(|place| entry.members.member(place));
            for (_, member) in members.take(room) {
                part.add(member.node.clone());
            }
            let next = first + part.len();
            // an empty group counts, too
            room -= part.len().clamp(1, room);
            // with the first part of a group, those that are to come back into it: no more than fit into a page
            let gone = if first == 0 { self.roster.borrow().gone_from(gid, &entry.config) } else { Group::default() };
            parts.push(wire::group(&entry.config, &part, &gone));
            if next < entry.members.len() {
                return wire::groups(parts, Some(&Place { gid: gid.clone(), place: next }));
            }
        }
        wire::groups(parts, None)
    }

    fn relay(&self, to: &NodeAddr, budget: Duration) -> ReplyFuture {
        let (roster, shared, nid) = (self.roster.clone(), self.roster.clone(), to.key());
        let call = wire::ping(&self.stating(&roster.borrow()), Pinging::default());
        let asking = self.home.ask(to, call, budget);
        let under_way = Relaying::begin(roster.clone());
        let (tell, told) = oneshot::channel();
        // the answer counts here too, also when whoever asked has given up
        self.report(async move {
            let _under_way = under_way;
            let outcome = match wire::pinged(&asking.await) {
                // another cluster's node has the address: the member in question was not reached
                Outcome::Answered(stated) if shared.borrow_mut().swim.relate(&stated, false) == Relation::Stranger => {
                    Outcome::Unreachable(Statement::default())
                }
                outcome => outcome,
            };
            let heard = match outcome {
                Outcome::Answered(stated) => Some(Take::of([Input::Heard { peer: nid, stated }])),
                Outcome::Unreachable(_) | Outcome::Refused | Outcome::Lost => None,
            };
            // whoever asked may have given up
            let _ = tell.send(outcome);
            heard
        });
        let name = self.home.settings.membership.cluster.clone();
        Box::pin(async move {
            let outcome = told.await.unwrap_or(Outcome::Lost);
            let mut answer = Object::new();
            wire::state(&mut answer, &roster.borrow().swim.statement(), &name);
            answer.insert("reached", matches!(outcome, Outcome::Answered(_)));
            if let Outcome::Answered(stated) = outcome
                && !stated.is_mute()
            {
                let mut peer = Object::new();
                wire::state(&mut peer, &stated, &name);
                answer.insert("peer", Value::Object(peer));
            }
            value(answer)
        })
    }
}

/// A comparison that a peer asks for. Answers what goes back to it.
#[derive(Clone, Debug, Message)]
#[rtype(result = "chinwag_protocol::call::Reply")]
pub(crate) struct Syncing {
    argument: Value,
}

impl Handler<Syncing> for Membership {
    type Result = chinwag_protocol::call::Reply;

    fn handle(&mut self, Syncing { argument }: Syncing, context: &mut Context<Membership>) -> Self::Result {
        let refused = |why: CallError| CallError::argument("gossip.sync", 1, "message", why);
        let mut addresses = Addresses::new();
        let sync = wire::read_sync(&argument, &mut addresses).map_err(refused)?;
        let Some(sender) = self.sender(&argument, context)? else {
            return Err(refused(CallError::new(ErrorKind::BadArgument, "it has no from")));
        };
        let shared = self.roster.clone();
        let mut roster = shared.borrow_mut();
        let fresh = roster.note(addresses);
        let (home, now, from) = (self.home.clone(), self.home.now(), sender.node.key());
        let answered = home.chance(|chance| roster.swim.answer_sync(now, from, &sync, chance));
        let (page, outputs) =
            answered.map_err(|why| refused(CallError::new(ErrorKind::BadArgument, why.to_string())))?;
        self.carry_out_all(&mut roster, outputs);
        let entries = self.entries(&roster, &page.entries);
        self.finish(&mut roster, context);
        drop(roster);
        self.enroll(fresh);
        let mut answer = self.statement();
        answer.insert("from", NodeAddr::new(self.home.me.ip(), self.home.me.port()).to_value());
        wire::page(&mut answer, &page, entries);
        value(answer)
    }
}

/// A node that joins has answered at its address: it is a member.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Joining {
    newcomer: NodeAddr,
    stated: Statement,
    groups: Vec<Gid>,
}

impl Handler<Joining> for Membership {
    type Result = ();

    fn handle(&mut self, Joining { newcomer, stated, groups }: Joining, context: &mut Context<Membership>) {
        let incarnation = stated.incarnation;
        let known = Known { life: incarnation.life, groups: Some(groups), ..Known::at(newcomer) };
        let peer = known.nid;
        // its groups are added by the task that admits it
        self.roster.borrow_mut().note(vec![known]);
        self.drive([Input::Told(Update { peer, incarnation, claim: Claim::Alive, by: peer })], context);
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
