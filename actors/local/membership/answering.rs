//! What this node answers to the requests of peers.

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
    comparing::Comparing,
    join,
    roster::MAX_RELAYS,
    wire::{self, NO_FROM},
};
use crate::{
    events::Event,
    messages::Inputs,
    request::{FromPeer, Request, Response, value},
};

/// How long a node that joins is given to answer at the address that it states.
const DIAL_BACK: Duration = Duration::from_secs(1);

/// The sender of a request.
pub(super) struct Sender {
    pub member: Member,
    stated: Statement,
}

impl Membership {
    /// A peer has stated its address: people are shown the peer as it spells its own address.
    pub(super) fn spelled(&self, from: &NodeAddr) {
        if self.state.groups.borrow_mut().stated(from) {
            self.roster.borrow().tell(Event::GroupChanged { gid: Gid::all() });
        }
    }

    /// Takes in who sends a request.
    ///
    /// # Errors
    /// When the sender belongs to another cluster, or states this node's own address.
    pub(super) fn sender(
        &mut self,
        from: Option<Member>,
        Stated { statement: stated, name }: &Stated,
        merge: Option<u64>,
        context: &mut Context<Membership>,
    ) -> Result<Option<Sender>, CallError> {
        let (Some(member), stated) = (from, *stated) else { return Ok(None) };
        let node = &member.node;
        self.spelled(node);
        if node.is_same_node(&self.state.me) && !stated.is_passive() {
            let mine = self.roster.borrow().swim.incarnation();
            if stated.incarnation.life != mine.life && stated.incarnation.life != self.state.incarnation {
                self.address_taken(stated.incarnation.life);
                let why = format!("{node} is this node's address, and another node states it");
                return Err(wire::address_taken(why));
            }
        }
        let merge = wire::asks_to_merge(merge, self.state.life.get());
        // a seed dials back before it answers; its members may speak to this node before this node has the answer
        let mut roster = self.roster.borrow_mut();
        let merge = merge || roster.swim.expects_to_join() && roster.seed == Some(member.nid);
        roster.admit_sender(&self.state, &stated, name, merge)?;
        drop(roster);
        if !stated.is_passive() {
            self.drive([Input::Heard { peer: member.nid, stated }], context);
        }
        Ok(Some(Sender { member, stated }))
    }

    /// Another process states this node's address.
    pub(super) fn address_taken(&self, life: u64) {
        log::error!(
            target: "chinwag::membership",
            "another node states this node's address {} (started at {life}, this one at {}); give each its own --advertise",
            self.state.me,
            self.state.incarnation
        );
        self.roster.borrow().tell(Event::AddressTaken { life });
    }

    /// What the sender of a request has to know of itself: what is held against it, or a later life that is known.
    fn about(&self, sender: &Sender) -> Option<Entry> {
        let roster = self.roster.borrow();
        let peer = sender.member.nid;
        let held = roster.swim.held_against(&peer).or_else(|| {
            let incarnation = roster.swim.incarnation_of(&peer)?;
            let later = incarnation > sender.stated.incarnation && !sender.stated.is_passive();
            later.then_some(Update { peer, incarnation, claim: Claim::Alive, by: self.state.nid })
        });
        self.entry(&roster, &held?)
    }

    /// What this node says of itself.
    fn alive(&self) -> Update<Nid> {
        let (peer, incarnation) = (self.state.nid, self.roster.borrow().swim.incarnation());
        Update { peer, incarnation, claim: Claim::Alive, by: peer }
    }

    /// Answers a request of a peer.
    pub(super) fn respond(
        &mut self,
        FromPeer { request, origin }: FromPeer,
        context: &mut Context<Membership>,
    ) -> Result<Response<Answer>, CallError> {
        let method = request.method().name();
        let refused = |why: &str| CallError::argument(&format!("gossip.{method}"), 1, "message", why);
        let peer::Request { from, stated, body } = request;
        match body {
            Body::Ping(ping) => {
                let sender = match self.sender(from, &stated, ping.merge, context) {
                    // the sender sees by the statement that it is a stranger
                    Err(why) if wire::is_named(&why, wire::STRANGER) && stated.name == self.cluster_name() => None,
                    sender => sender?,
                };
                Ok(Response::Now(Ok(Answer::Pong(self.pong(sender, ping, context)))))
            }
            Body::Sync(sync) if !sync.joining => {
                let comparing = Comparing { from, stated, sync };
                Ok(Response::Now(Handler::handle(self, comparing, context).map(Answer::Compared)))
            }
            Body::Sync(sync) => {
                let asked = sync.groups.clone().unwrap_or_default();
                let newcomer = from.as_ref().ok_or_else(|| refused(NO_FROM))?.node.clone();
                self.check_joining(&newcomer, &stated.statement, &stated.name)?;
                let (state, link) = (self.state.clone(), self.link.on_behalf_of(origin));
                let back = self.dial_back(&newcomer);
                Ok(Response::Later(Box::pin(async move {
                    let incarnation = stated.statement.incarnation;
                    join::answers_there(&newcomer, incarnation.life, &back.await)?;
                    let groups = asked.clone();
                    link.ask(Joining { newcomer: newcomer.clone(), incarnation, groups }).await?;
                    join::admitted(&state, &link, newcomer, asked).await?;
                    Ok(Answer::Compared(link.ask(Comparing { from, stated, sync }).await??))
                })))
            }
            Body::Listing(listing) => {
                let sender = self.sender(from, &stated, None, context)?.ok_or_else(|| refused(NO_FROM))?;
                Ok(Response::Now(Ok(Answer::Listed(self.listing(&sender.member.nid, listing.after.as_ref())))))
            }
            Body::Relay(relay) => {
                let budget = relay.budget.min(origin.time_left());
                self.sender(from, &stated, None, context)?;
                let busy = |_| CallError::new(ErrorKind::Busy, format!("{MAX_RELAYS} probes for others are under way"));
                let permit = self.roster.borrow().relays.clone().try_acquire_owned().map_err(busy)?;
                Ok(Response::Later(self.relay(&relay.to, budget, permit)))
            }
            Body::Gossip(_) => Err(refused("membership does not answer it")),
        }
    }

    /// Answers a ping, and takes in what it says unless a stranger sent it.
    fn pong(&mut self, sender: Option<Sender>, ping: Ping, context: &mut Context<Membership>) -> Pong {
        let Some(sender) = sender else {
            return Pong { stated: self.stated(&self.roster.borrow()), about: None };
        };
        if ping.about.is_some() {
            Handler::handle(self, Inputs { inputs: Vec::new(), about: ping.about }, context);
        }
        let stated = self.stated(&self.roster.borrow());
        let inquired = ping.inquire.and_then(|node| {
            let roster = self.roster.borrow();
            self.entry(&roster, &roster.swim.known_of(&node.key())?)
        });
        // a member that notices a restart does not know in which groups this node was started
        let own = ping.welcome.as_ref().and_then(|_| self.entry(&self.roster.borrow(), &self.alive()));
        let about = self.about(&sender).or(inquired).or(own).map(Box::new);
        self.compare_heard(sender.member.nid, ping.heard);
        if let Some(groups) = ping.welcome {
            self.welcomed(sender.member.node, &groups);
        }
        Pong { stated, about }
    }

    /// Answers a request that came as a call. News come so, performed by gossip.
    pub(super) fn respond_to_call(
        &mut self,
        request: &Request,
        context: &mut Context<Membership>,
    ) -> Result<Response, CallError> {
        let Some(method) = Method::of_name(&request.call.method) else {
            let news = request.call.arguments.first().cloned().unwrap_or_default();
            let refused = |why| CallError::argument("gossip.news", 1, "message", why);
            self.take_news(peer::read_news(news).map_err(refused)?, context);
            return Ok(Response::Now(value(Value::Null)));
        };
        let (response, me) = (self.respond(FromPeer::read(method, request)?, context)?, self.state.me.clone());
        Ok(response.map(move |answer| answer.to_call_answer(&Gid::all(), &me)))
    }

    fn take_news(&mut self, news: Vec<Entry>, context: &mut Context<Membership>) {
        let (updates, addresses) = wire::parts(news);
        let mut roster = self.roster.borrow_mut();
        let with_groups = |waiting: &Update<Nid>| {
            let life = waiting.incarnation.life;
            addresses.iter().any(|known| known.nid == waiting.peer && known.groups.is_some() && known.life >= life)
        };
        // News that others have spread need not be spread again, unless they lack the groups of a newcomer.
        roster.news.drop_if(|(waiting, entry)| {
            let is_said = updates.iter().any(|update| update.says_the_same_as(waiting));
            is_said && (entry.get("groups").is_none() || with_groups(waiting))
        });
        let fresh = roster.list.note(addresses);
        drop(roster);
        self.drive(updates.into_iter().map(Input::Update), context);
        self.enroll(fresh);
    }

    fn cluster_name(&self) -> &str {
        &self.state.settings.membership.cluster
    }

    /// Whether a node may join at all.
    fn check_joining(&self, newcomer: &NodeAddr, stated: &Statement, name: &str) -> Result<(), CallError> {
        let mine = self.cluster_name();
        if name != mine {
            return Err(wire::stranger(format!("{} is in the cluster {mine:?}, not {name:?}", self.state.me)));
        }
        if newcomer.is_same_node(&self.state.me) {
            return Err(CallError::new(ErrorKind::Unreachable, format!("{newcomer} is this node itself")));
        }
        let latest = self.roster.borrow().swim.latest_life(self.state.now());
        let ahead = stated.incarnation.life.saturating_sub(latest);
        if ahead > 0 {
            let seconds = ahead / 1_000 + swim::LIFE_AHEAD.as_secs();
            let why =
                format!("the clock of {newcomer} is {seconds} s ahead of this node's; at most an hour is accepted");
            return Err(CallError::new(ErrorKind::BadArgument, why));
        }
        Ok(())
    }

    /// Asks a newcomer at the address that it states. The newcomer takes the id of the cluster from this request, as other
    /// members may speak to it before it has the answer to its own.
    fn dial_back(&self, newcomer: &NodeAddr) -> LocalBoxFuture<'static, peer::Reply> {
        let mut roster = self.roster.borrow_mut();
        self.state.chance(|chance| roster.swim.found_cluster(chance));
        self.state.ask(newcomer, self.request(&roster, Body::Ping(Ping::default())), DIAL_BACK)
    }

    /// The groups that list a node, of which a welcome names some: the node then asks for the listing.
    pub(super) fn listed_in(&self, nid: &Nid) -> Vec<Gid> {
        let groups = self.state.groups.borrow();
        let names = groups.listing(nid).map(|(gid, _)| gid).filter(|gid| !gid.is_all());
        names.take(MAX_GROUPS).cloned().collect()
    }

    /// A page of the groups that list a node.
    fn listing(&self, nid: &Nid, after: Option<&Place>) -> Listed {
        let groups = self.state.groups.borrow();
        let (mut parts, mut room) = (Vec::new(), PAGE);
        let begun = |gid: &Gid| after.is_none_or(|after| *gid >= after.gid);
        for (gid, entry) in groups.listing(nid).filter(|(gid, _)| !gid.is_all() && begun(gid)) {
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
            // an empty group counts, too
            room -= part.len().clamp(1, room);
            // with the first part of a group, those that are to come back into it: no more than fit into a page
            let gone =
                if first == 0 { self.roster.borrow().list.removed_from(gid, &entry.config) } else { Group::default() };
            let (config, members) = (GroupConfig::clone(&entry.config), part.in_written_order());
            parts.push(Part { config, members, gone: gone.in_written_order() });
            if next < entry.members.len() {
                return Listed { groups: parts, next: Some(Place { gid: gid.clone(), place: next }) };
            }
        }
        Listed { groups: parts, next: None }
    }

    fn relay(
        &self,
        to: &NodeAddr,
        budget: Duration,
        permit: OwnedSemaphorePermit,
    ) -> LocalBoxFuture<'static, peer::Reply> {
        let (roster, shared, nid) = (self.roster.clone(), self.roster.clone(), to.key());
        let ping = self.request(&roster.borrow(), Body::Ping(Ping::default()));
        let asking = self.state.ask(to, ping, budget);
        let (tell, told) = oneshot::channel();
        // the answer counts here too, also when whoever asked has given up
        self.report(async move {
            let _permit = permit;
            let outcome = match wire::pinged(&asking.await) {
                // another cluster's node has the address: the member in question was not reached
                Outcome::Answered(stated) if shared.borrow_mut().swim.relate(&stated, false) == Relation::Stranger => {
                    Outcome::Unreachable(Statement::default())
                }
                outcome => outcome,
            };
            let heard = match outcome {
                Outcome::Answered(stated) => Some(Inputs::of([Input::Heard { peer: nid, stated }])),
                Outcome::Unreachable(_) | Outcome::Refused | Outcome::Lost => None,
            };
            // whoever asked may have given up
            let _ = tell.send(outcome);
            heard
        });
        let name = self.state.settings.membership.cluster.as_str().into();
        Box::pin(async move {
            let outcome = told.await.unwrap_or(Outcome::Lost);
            let stated = Stated { statement: roster.borrow().swim.statement(), name };
            let (reached, peer) = match outcome {
                Outcome::Answered(behind) if behind.is_passive() => (true, None),
                Outcome::Answered(behind) => (true, Some(Stated { statement: behind, name: stated.name.clone() })),
                Outcome::Unreachable(_) | Outcome::Refused | Outcome::Lost => (false, None),
            };
            Ok(Answer::Relayed(Relayed { stated, reached, peer }))
        })
    }
}

/// A node that joins has answered at its address: it is a member.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Joining {
    newcomer: NodeAddr,
    incarnation: Incarnation,
    groups: Vec<Gid>,
}

impl Handler<Joining> for Membership {
    type Result = ();

    fn handle(&mut self, Joining { newcomer, incarnation, groups }: Joining, context: &mut Context<Membership>) {
        let known = Known { life: incarnation.life, groups: Some(groups), ..Known::at(newcomer) };
        let peer = known.nid;
        let shared = self.roster.clone();
        let mut roster = shared.borrow_mut();
        // its groups are added by the task that admits it
        let fresh = roster.list.note(vec![known]);
        let heard = roster.swim.status(&peer).is_some_and(Status::is_known);
        let heard = roster.swim.incarnation_of(&peer).filter(|known| heard && known.life == incarnation.life);
        // others have said already that it is there, without its groups, so the machine has no news of it
        if let (false, Some(incarnation)) = (fresh.is_empty(), heard) {
            self.say(&mut roster, Update { peer, incarnation, claim: Claim::Alive, by: peer });
        }
        drop(roster);
        self.drive([Input::Told(Update { peer, incarnation, claim: Claim::Alive, by: peer })], context);
    }
}
