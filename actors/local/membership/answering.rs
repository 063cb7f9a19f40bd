//! Answers the requests of peers.

use std::time::Duration;

use actix::{Context, Handler, Message};
use chinwag_protocol::{
    call::{CallError, ErrorKind},
    group::{Group, GroupConfig, Member},
    identity::{Gid, Nid, NodeAddr},
    member_list::Known,
    peer::{self, Answer, Body, Entry, Listed, MAX_GROUPS, Method, Part, Ping, Place, Pong, Relayed, Stated},
    swim::{self, Claim, Incarnation, Input, Outcome, PAGE, Relation, Statement, Status, Update},
    value::Value,
};
use futures_util::future::LocalBoxFuture;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    actor::Membership,
    comparing::AnswerSync,
    join,
    state::MAX_RELAYS,
    wire::{self, NO_FROM},
};
use crate::{
    events::Event,
    messages::Inputs,
    request::{FromPeer, Request, Response, value},
};

/// How long a newcomer may take to answer at the address that it states.
const DIAL_BACK_TIMEOUT: Duration = Duration::from_secs(1);

/// The sender of a request.
pub(super) struct Sender {
    pub member: Member,
    stated: Statement,
}

impl Membership {
    /// Shows the address of a peer from now on as the peer itself spells it.
    pub(super) fn note_spelling(&self, from: &NodeAddr) {
        if self.state.groups.borrow_mut().stated(from) {
            self.membership.borrow().notify(Event::GroupChanged { gid: Gid::all() });
        }
    }

    /// Takes note of the sender of a request.
    ///
    /// # Errors
    /// If the sender belongs to another cluster, or states this node's own address.
    pub(super) fn identify_sender(
        &mut self,
        from: Option<Member>,
        Stated { statement: stated, name }: &Stated,
        merge: Option<u64>,
        context: &mut Context<Membership>,
    ) -> Result<Option<Sender>, CallError> {
        let (Some(member), stated) = (from, *stated) else { return Ok(None) };
        let node = &member.node;
        self.note_spelling(node);
        if node.is_same_node(&self.state.me) && !stated.is_passive() {
            let own = self.membership.borrow().swim.incarnation();
            if stated.incarnation.life != own.life && stated.incarnation.life != self.state.incarnation {
                self.address_taken(stated.incarnation.life);
                let why = format!("{node} is this node's address, and another node states it");
                return Err(wire::address_taken(why));
            }
        }
        let merge = wire::asks_to_merge(merge, self.state.life.get());
        // A seed dials back before it answers, so its members may contact this node before it has the answer.
        let mut membership = self.membership.borrow_mut();
        let merge = merge || membership.swim.expects_to_join() && membership.seed == Some(member.nid);
        membership.check_sender(&self.state, &stated, name, merge)?;
        drop(membership);
        if !stated.is_passive() {
            self.drive([Input::Heard { peer: member.nid, stated }], context);
        }
        Ok(Some(Sender { member, stated }))
    }

    /// Reports that another process states this node's address.
    pub(super) fn address_taken(&self, life: u64) {
        log::error!(
            target: "chinwag::membership",
            "another node states this node's address {} (started at {life}, this one at {}); give each its own --advertise",
            self.state.me,
            self.state.incarnation
        );
        self.membership.borrow().notify(Event::AddressTaken { life });
    }

    /// Returns what the sender of a request must learn about itself: an accusation, or a later life that is known.
    fn correction_for(&self, sender: &Sender) -> Option<Entry> {
        let membership = self.membership.borrow();
        let peer = sender.member.nid;
        let held = membership.swim.held_against(&peer).or_else(|| {
            let incarnation = membership.swim.incarnation_of(&peer)?;
            let later = incarnation > sender.stated.incarnation && !sender.stated.is_passive();
            later.then_some(Update { peer, incarnation, claim: Claim::Alive, by: self.state.nid })
        });
        self.entry(&membership, &held?)
    }

    /// Returns this node's own statement that it is alive.
    fn own_update(&self) -> Update<Nid> {
        let (peer, incarnation) = (self.state.nid, self.membership.borrow().swim.incarnation());
        Update { peer, incarnation, claim: Claim::Alive, by: peer }
    }

    /// Answers a request of a peer.
    pub(super) fn respond(
        &mut self,
        FromPeer { request, origin }: FromPeer,
        context: &mut Context<Membership>,
    ) -> Result<Response<Answer>, CallError> {
        let method = request.method().name();
        let rejected = |why: &str| CallError::argument(&format!("gossip.{method}"), 1, "message", why);
        let peer::Request { from, stated, body } = request;
        match body {
            Body::Ping(ping) => {
                let sender = match self.identify_sender(from, &stated, ping.merge, context) {
                    // The sender sees from the statement in the answer that it belongs to another cluster.
                    Err(why) if wire::is_named(&why, wire::STRANGER) && stated.name == self.cluster_name() => None,
                    sender => sender?,
                };
                Ok(Response::Now(Ok(Answer::Pong(self.answer_ping(sender, ping, context)))))
            }
            Body::Sync(sync) if !sync.joining => {
                let comparing = AnswerSync { from, stated, sync };
                Ok(Response::Now(Handler::handle(self, comparing, context).map(Answer::Compared)))
            }
            Body::Sync(sync) => {
                let groups = sync.groups.clone().unwrap_or_default();
                let newcomer = from.as_ref().ok_or_else(|| rejected(NO_FROM))?.node.clone();
                self.check_joining(&newcomer, &stated.statement, &stated.name)?;
                let (state, handle) = (self.state.clone(), self.handle.on_behalf_of(origin));
                let back = self.dial_back(&newcomer);
                Ok(Response::Later(Box::pin(async move {
                    let incarnation = stated.statement.incarnation;
                    join::check_dial_back(&newcomer, incarnation.life, &back.await)?;
                    let joined_groups = groups.clone();
                    handle.ask(AddNewcomer { newcomer: newcomer.clone(), incarnation, groups: joined_groups }).await?;
                    join::add_to_groups(&state, &handle, newcomer, groups).await?;
                    Ok(Answer::Compared(handle.ask(AnswerSync { from, stated, sync }).await??))
                })))
            }
            Body::Listing(listing) => {
                let sender = self.identify_sender(from, &stated, None, context)?.ok_or_else(|| rejected(NO_FROM))?;
                Ok(Response::Now(Ok(Answer::Listed(self.listing(&sender.member.nid, listing.after.as_ref())))))
            }
            Body::Relay(relay) => {
                let budget = relay.budget.min(origin.time_left());
                self.identify_sender(from, &stated, None, context)?;
                let busy = |_| CallError::new(ErrorKind::Busy, format!("{MAX_RELAYS} probes for others are under way"));
                let permit = self.membership.borrow().relays.clone().try_acquire_owned().map_err(busy)?;
                Ok(Response::Later(self.relay(&relay.to, budget, permit)))
            }
            Body::Gossip(_) => Err(rejected("the request belongs to gossip, not to membership")),
        }
    }

    /// Answers a ping. Applies its content only if its sender is in this cluster.
    fn answer_ping(&mut self, sender: Option<Sender>, ping: Ping, context: &mut Context<Membership>) -> Pong {
        let Some(sender) = sender else {
            return Pong { stated: self.stated(&self.membership.borrow()), about: None };
        };
        if ping.about.is_some() {
            Handler::handle(self, Inputs { inputs: Vec::new(), about: ping.about }, context);
        }
        let stated = self.stated(&self.membership.borrow());
        let inquired = ping.inquire.and_then(|node| {
            let membership = self.membership.borrow();
            self.entry(&membership, &membership.swim.known_of(&node.key())?)
        });
        // A member that notices a restart does not know the groups that this node was started in.
        let own = ping.welcome.as_ref().and_then(|_| self.entry(&self.membership.borrow(), &self.own_update()));
        let about = self.correction_for(&sender).or(inquired).or(own).map(Box::new);
        self.compare_gossip_hashes(sender.member.nid, ping.heard);
        if let Some(groups) = ping.welcome {
            self.welcomed(sender.member.node, &groups);
        }
        Pong { stated, about }
    }

    /// Answers a request that arrived as a call. News arrives that way, because gossip performs it.
    pub(super) fn respond_to_call(
        &mut self,
        request: &Request,
        context: &mut Context<Membership>,
    ) -> Result<Response, CallError> {
        let Some(method) = Method::of_name(&request.call.method) else {
            let news = request.call.arguments.first().cloned().unwrap_or_default();
            let rejected = |why| CallError::argument("gossip.news", 1, "message", why);
            self.take_news(peer::read_news(news).map_err(rejected)?, context);
            return Ok(Response::Now(value(Value::Null)));
        };
        let (response, me) = (self.respond(FromPeer::read(method, request)?, context)?, self.state.me.clone());
        Ok(response.map(move |answer| answer.to_call_answer(&Gid::all(), &me)))
    }

    fn take_news(&mut self, news: Vec<Entry>, context: &mut Context<Membership>) {
        let (updates, addresses) = wire::parts(news);
        let mut membership = self.membership.borrow_mut();
        let with_groups = |waiting: &Update<Nid>| {
            let life = waiting.incarnation.life;
            addresses.iter().any(|known| known.nid == waiting.peer && known.groups.is_some() && known.life >= life)
        };
        // An update that another node has broadcast is not broadcast again, unless it lacks the groups of a newcomer.
        membership.news.drop_if(|(waiting, entry)| {
            let is_said = updates.iter().any(|update| update.says_the_same_as(waiting));
            is_said && (entry.get("groups").is_none() || with_groups(waiting))
        });
        let new_groups = membership.list.note(addresses);
        drop(membership);
        self.drive(updates.into_iter().map(Input::Update), context);
        self.enroll(new_groups);
    }

    fn cluster_name(&self) -> &str {
        &self.state.settings.membership.cluster
    }

    /// Checks whether a node may join.
    fn check_joining(&self, newcomer: &NodeAddr, stated: &Statement, name: &str) -> Result<(), CallError> {
        let own_cluster = self.cluster_name();
        if name != own_cluster {
            return Err(wire::stranger(format!("{} is in the cluster {own_cluster:?}, not {name:?}", self.state.me)));
        }
        if newcomer.is_same_node(&self.state.me) {
            return Err(CallError::new(ErrorKind::Unreachable, format!("{newcomer} is this node itself")));
        }
        let latest = self.membership.borrow().swim.latest_life(self.state.now());
        let ahead = stated.incarnation.life.saturating_sub(latest);
        if ahead > 0 {
            let seconds = ahead / 1_000 + swim::LIFE_AHEAD.as_secs();
            let why =
                format!("the clock of {newcomer} is {seconds} s ahead of this node's; at most an hour is accepted");
            return Err(CallError::new(ErrorKind::BadArgument, why));
        }
        Ok(())
    }

    /// Pings a newcomer at the address that it states. The newcomer takes the cluster's id from this ping, because other
    /// members may contact it before the answer to its own request arrives.
    fn dial_back(&self, newcomer: &NodeAddr) -> LocalBoxFuture<'static, peer::Reply> {
        let mut membership = self.membership.borrow_mut();
        self.state.chance(|chance| membership.swim.found_cluster(chance));
        self.state.ask(newcomer, self.request(&membership, Body::Ping(Ping::default())), DIAL_BACK_TIMEOUT)
    }

    /// Returns groups that list a node. A welcome carries them, and the node then asks for the complete listing.
    pub(super) fn listed_in(&self, nid: &Nid) -> Vec<Gid> {
        let groups = self.state.groups.borrow();
        let names = groups.listing(nid).map(|(gid, _)| gid).filter(|gid| !gid.is_all());
        names.take(MAX_GROUPS).cloned().collect()
    }

    /// Returns a page of the groups that list a node.
    fn listing(&self, nid: &Nid, after: Option<&Place>) -> Listed {
        let groups = self.state.groups.borrow();
        let (mut parts, mut room) = (Vec::new(), PAGE);
        let started = |gid: &Gid| after.is_none_or(|after| *gid >= after.gid);
        for (gid, entry) in groups.listing(nid).filter(|(gid, _)| !gid.is_all() && started(gid)) {
            let first = after.filter(|after| after.gid == *gid).map_or(0, |after| after.place);
            if room == 0 {
                return Listed { groups: parts, next: Some(Place { gid: gid.clone(), place: 0 }) };
            }
            let mut part = Group::default();
            let members = (first..entry.members.len()).filter_map(|place| entry.members.member(place));
            for (_, member) in members.take(room) {
                part.add(member.node.clone());
            }
            let next = first + part.len();
            // An empty group takes the room of one member.
            room -= part.len().clamp(1, room);
            // The first part of a group includes the removed members that are expected back. They fit in one page.
            let gone = if first == 0 {
                self.membership.borrow().list.removed_from(gid, &entry.config)
            } else {
                Group::default()
            };
            let (config, members) = (GroupConfig::clone(&entry.config), part.in_written_order());
            parts.push(Part { config, members, gone: gone.in_written_order() });
            if next < entry.members.len() {
                return Listed { groups: parts, next: Some(Place { gid: gid.clone(), place: next }) };
            }
        }
        Listed { groups: parts, next: None }
    }

    /// Pings a node for a peer.
    fn relay(
        &self,
        to: &NodeAddr,
        budget: Duration,
        permit: OwnedSemaphorePermit,
    ) -> LocalBoxFuture<'static, peer::Reply> {
        let (membership, shared, nid) = (self.membership.clone(), self.membership.clone(), to.key());
        let ping = self.request(&membership.borrow(), Body::Ping(Ping::default()));
        let reply = self.state.ask(to, ping, budget);
        let (sender, receiver) = oneshot::channel();
        // This node uses the answer too, even if the peer has stopped waiting.
        self.spawn_reporting(async move {
            let _permit = permit;
            let outcome = match wire::ping_outcome(&reply.await) {
                // A node of another cluster has this address now, so the member was not reached.
                Outcome::Answered(stated) if shared.borrow_mut().swim.relate(&stated, false) == Relation::Stranger => {
                    Outcome::Unreachable(Statement::default())
                }
                outcome => outcome,
            };
            let heard = match outcome {
                Outcome::Answered(stated) => Some(Inputs::of([Input::Heard { peer: nid, stated }])),
                Outcome::Unreachable(_) | Outcome::Refused | Outcome::Lost => None,
            };
            // The peer may have stopped waiting.
            let _ = sender.send(outcome);
            heard
        });
        let name = self.state.settings.membership.cluster.as_str().into();
        Box::pin(async move {
            let outcome = receiver.await.unwrap_or(Outcome::Lost);
            let stated = Stated { statement: membership.borrow().swim.statement(), name };
            let (reached, peer) = match outcome {
                Outcome::Answered(peer) if peer.is_passive() => (true, None),
                Outcome::Answered(peer) => (true, Some(Stated { statement: peer, name: stated.name.clone() })),
                Outcome::Unreachable(_) | Outcome::Refused | Outcome::Lost => (false, None),
            };
            Ok(Answer::Relayed(Relayed { stated, reached, peer }))
        })
    }
}

/// Adds a newcomer that has answered at its address.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct AddNewcomer {
    newcomer: NodeAddr,
    incarnation: Incarnation,
    groups: Vec<Gid>,
}

impl Handler<AddNewcomer> for Membership {
    type Result = ();

    fn handle(
        &mut self,
        AddNewcomer { newcomer, incarnation, groups }: AddNewcomer,
        context: &mut Context<Membership>,
    ) {
        let known = Known { life: incarnation.life, groups: Some(groups), ..Known::at(newcomer) };
        let peer = known.nid;
        let shared = self.membership.clone();
        let mut membership = shared.borrow_mut();
        // The task that handles the join adds the newcomer to its groups.
        let new_groups = membership.list.note(vec![known]);
        let is_known = membership.swim.status(&peer).is_some_and(Status::is_known);
        let known_incarnation =
            membership.swim.incarnation_of(&peer).filter(|known| is_known && known.life == incarnation.life);
        // Peers have already reported the newcomer, but not its groups. The machine emits no news then.
        if let (false, Some(incarnation)) = (new_groups.is_empty(), known_incarnation) {
            self.queue_news(&mut membership, Update { peer, incarnation, claim: Claim::Alive, by: peer });
        }
        drop(membership);
        self.drive([Input::Told(Update { peer, incarnation, claim: Claim::Alive, by: peer })], context);
    }
}
