//! Comparing views with a peer, page by page, on either side.

use std::{fmt, time::Duration};

use actix::{Context, Handler, Message};
use chinwag_protocol::{
    call::{CallError, ErrorKind},
    group::Member,
    identity::{Gid, Nid, NodeAddr},
    member_list::Known,
    peer::{self, Body, Compared, Outgoing, Stated},
    swim::{self, Input},
};

use super::{
    actor::{Link, Membership},
    roster::Roster,
    wire::{self, NO_FROM},
};
use crate::state::NodeState;

/// A comparison of views, and the request that carries it.
#[derive(Debug)]
pub(crate) struct Syncing {
    pub sync: swim::Sync<Nid>,
    pub request: Outgoing,
}

/// Whether a comparison of views asks for a merge of the clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merging {
    /// This node joins the peer's cluster.
    Joins,
    /// If an operator put the peer here.
    IfPut,
}

impl Merging {
    /// The life of the peer for which it does, or 0 for any.
    pub(super) fn of(self, roster: &Roster, peer: &Nid) -> Option<u64> {
        match self {
            Merging::Joins => Some(0),
            Merging::IfPut => roster.swim.asks_to_merge(peer),
        }
    }
}

impl Membership {
    /// Compares views with a peer, in a task of its own.
    pub(super) fn begin_comparison(&self, roster: &mut Roster, peer: Nid, sync: swim::Sync<Nid>, timeout: Duration) {
        let Some(to) = roster.address(&peer).cloned() else { return roster.swim.end_sync(&peer) };
        let merge = Merging::IfPut;
        let first = self.syncing(roster, sync, merge.of(roster, &peer), None);
        let (state, link) = (self.state.clone(), self.link.clone());
        actix::spawn(async move {
            // it is tried again with the next peer whose view differs
            let _ = compare(&state, &link, &to, first, merge, timeout).await;
            let _ = link.ask(EndSync(peer)).await;
        });
    }

    /// A comparison of views, and the request that carries it. A node that joins names its groups.
    pub(super) fn syncing(
        &self,
        roster: &Roster,
        sync: swim::Sync<Nid>,
        merge: Option<u64>,
        joins: Option<Vec<Gid>>,
    ) -> Syncing {
        let body = Body::Sync(peer::Sync {
            parts: sync.parts.clone(),
            first: sync.first.min(swim::MAX_PARTS),
            news: self.entries(roster, &sync.news),
            merge,
            joining: joins.is_some(),
            groups: joins,
        });
        Syncing { request: self.request(roster, body), sync }
    }
}

/// Compares views with a peer until both agree, or until a request fails. `first` is the first request.
async fn compare(
    state: &NodeState,
    link: &Link,
    to: &NodeAddr,
    first: Syncing,
    merge: Merging,
    timeout: Duration,
) -> Result<(), CallError> {
    let Syncing { mut sync, mut request } = first;
    loop {
        let answer = compared(state.ask(to, request, timeout).await)?;
        match link.ask(TakePage { from: to.key(), sync, answer, merge }).await?? {
            Some(next) => Syncing { sync, request } = next,
            None => return Ok(()),
        }
    }
}

/// The answer to a comparison of views.
pub(super) fn compared(reply: peer::Reply) -> Result<Compared, CallError> {
    match reply? {
        peer::Answer::Compared(answer) => Ok(answer),
        _ => Err(CallError::new(ErrorKind::BadAnswer, "not the answer to a comparison of views")),
    }
}

/// The answer to a comparison. Answers the next one, if another is needed.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<Syncing>, CallError>")]
pub(crate) struct TakePage {
    pub from: Nid,
    pub sync: swim::Sync<Nid>,
    pub answer: Compared,
    /// Why a merge of the clusters is requested, should they be two.
    pub merge: Merging,
}

impl Handler<TakePage> for Membership {
    type Result = Result<Option<Syncing>, CallError>;

    fn handle(
        &mut self,
        TakePage { from, sync, answer, merge }: TakePage,
        context: &mut Context<Membership>,
    ) -> Self::Result {
        let Compared { stated: Stated { statement: stated, name }, from: node, parts, differing, entries, next } =
            answer;
        let (entries, mut addresses) = wire::parts(entries);
        if let Some(node) = node {
            self.spelled(&node);
            addresses.insert(0, Known::at(node));
        }
        let page = swim::Page { differing, entries, next, parts };
        let shared = self.roster.clone();
        let mut roster = shared.borrow_mut();
        let merges = merge == Merging::Joins || roster.swim.merges(&from, &stated);
        roster.admit_sender(&self.state, &stated, &name, merges)?;
        roster.swim.trust(self.state.now(), &stated);
        let fresh = roster.list.note(addresses);
        self.take_in(&mut roster, [Input::Heard { peer: from, stated }]);
        let (state, now) = (self.state.clone(), self.state.now());
        let (next, outputs) = state.chance(|chance| roster.swim.take_page(now, from, (&sync, &page), chance));
        self.carry_out_all(&mut roster, outputs);
        self.finish(&mut roster, context);
        let next = next.map(|next| self.syncing(&roster, next, merge.of(&roster, &from), None));
        drop(roster);
        self.enroll(fresh);
        Ok(next)
    }
}

/// A comparison is over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct EndSync(pub Nid);

impl Handler<EndSync> for Membership {
    type Result = ();

    fn handle(&mut self, EndSync(peer): EndSync, _: &mut Context<Membership>) {
        self.roster.borrow_mut().swim.end_sync(&peer);
    }
}

/// A comparison that a peer asks for. Answers what goes back to it.
#[derive(Debug, Message)]
#[rtype(result = "Result<Compared, CallError>")]
pub(crate) struct Comparing {
    pub from: Option<Member>,
    pub stated: Stated,
    pub sync: peer::Sync,
}

impl Handler<Comparing> for Membership {
    type Result = Result<Compared, CallError>;

    fn handle(
        &mut self,
        Comparing { from, stated, sync }: Comparing,
        context: &mut Context<Membership>,
    ) -> Self::Result {
        let refused = |why: &dyn fmt::Display| CallError::argument("gossip.sync", 1, "message", why);
        let sender = self.sender(from, &stated, sync.merge, context)?.ok_or_else(|| refused(&NO_FROM))?;
        let (news, addresses) = wire::parts(sync.news);
        let sync = swim::Sync { parts: sync.parts, first: sync.first, news };
        let shared = self.roster.clone();
        let mut roster = shared.borrow_mut();
        let fresh = roster.list.note(addresses);
        let (state, now, from) = (self.state.clone(), self.state.now(), sender.member.nid);
        let answered = state.chance(|chance| roster.swim.answer_sync(now, from, &sync, chance));
        let (page, outputs) = answered.map_err(|why| refused(&why))?;
        self.carry_out_all(&mut roster, outputs);
        let entries = self.entries(&roster, &page.entries);
        self.finish(&mut roster, context);
        drop(roster);
        self.enroll(fresh);
        let swim::Page { differing, next, parts, .. } = page;
        let from = Some(wire::address(&self.state.me));
        Ok(Compared { stated: self.stated(&self.roster.borrow()), from, parts, differing, entries, next })
    }
}
