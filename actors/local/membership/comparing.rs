//! Compares views with a peer, page by page. Covers both the node that starts a comparison and the one that answers.

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
    actor::{ActorHandle, Membership},
    state::MembershipState,
    wire::{self, NO_FROM},
};
use crate::state::NodeState;

/// A comparison of views, and the request that carries it.
#[derive(Debug)]
pub(crate) struct SyncRequest {
    pub sync: swim::Sync<Nid>,
    pub request: Outgoing,
}

/// When a comparison of views requests a merge of the clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MergeMode {
    /// Always, because an operator told this node to join through the peer.
    Join,
    /// Only if an operator put the peer in a group on this node.
    IfPut,
}

impl MergeMode {
    /// Returns the life of the peer for which a merge is requested, 0 for any life, or `None` if no merge is requested.
    pub(super) fn of(self, membership: &MembershipState, peer: &Nid) -> Option<u64> {
        match self {
            MergeMode::Join => Some(0),
            MergeMode::IfPut => membership.swim.asks_to_merge(peer),
        }
    }
}

impl Membership {
    /// Compares views with a peer, in a task of its own.
    pub(super) fn begin_comparison(
        &self,
        membership: &mut MembershipState,
        peer: Nid,
        sync: swim::Sync<Nid>,
        timeout: Duration,
    ) {
        let Some(to) = membership.address(&peer).cloned() else { return membership.swim.end_sync(&peer) };
        let merge = MergeMode::IfPut;
        let first = self.sync_request(membership, sync, merge.of(membership, &peer), None);
        let (state, handle) = (self.state.clone(), self.handle.clone());
        actix::spawn(async move {
            // A failed comparison is repeated with the next peer whose view differs.
            let _ = compare(&state, &handle, &to, first, merge, timeout).await;
            let _ = handle.ask(EndSync(peer)).await;
        });
    }

    /// Creates a request that compares views. `joins` holds the groups of a node that joins.
    pub(super) fn sync_request(
        &self,
        membership: &MembershipState,
        sync: swim::Sync<Nid>,
        merge: Option<u64>,
        joins: Option<Vec<Gid>>,
    ) -> SyncRequest {
        let body = Body::Sync(peer::Sync {
            parts: sync.parts.clone(),
            first: sync.first.min(swim::MAX_PARTS),
            news: self.entries(membership, &sync.news),
            merge,
            joining: joins.is_some(),
            groups: joins,
        });
        SyncRequest { request: self.request(membership, body), sync }
    }
}

/// Compares views with a peer until both agree or a request fails. `first` is the first request.
async fn compare(
    state: &NodeState,
    handle: &ActorHandle,
    to: &NodeAddr,
    first: SyncRequest,
    merge: MergeMode,
    timeout: Duration,
) -> Result<(), CallError> {
    let SyncRequest { mut sync, mut request } = first;
    loop {
        let answer = compared(state.ask(to, request, timeout).await)?;
        match handle.ask(TakePage { from: to.key(), sync, answer, merge }).await?? {
            Some(next) => SyncRequest { sync, request } = next,
            None => return Ok(()),
        }
    }
}

/// Returns the answer to a comparison of views.
pub(super) fn compared(reply: peer::Reply) -> Result<Compared, CallError> {
    match reply? {
        peer::Answer::Compared(answer) => Ok(answer),
        _ => Err(CallError::new(ErrorKind::BadAnswer, "not the answer to a comparison of views")),
    }
}

/// The answer to a comparison. The result is the next request, or `None` if the views agree.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<SyncRequest>, CallError>")]
pub(crate) struct TakePage {
    pub from: Nid,
    pub sync: swim::Sync<Nid>,
    pub answer: Compared,
    /// When to request a merge if the peer belongs to another cluster.
    pub merge: MergeMode,
}

impl Handler<TakePage> for Membership {
    type Result = Result<Option<SyncRequest>, CallError>;

    fn handle(
        &mut self,
        TakePage { from, sync, answer, merge }: TakePage,
        context: &mut Context<Membership>,
    ) -> Self::Result {
        let Compared { stated: Stated { statement: stated, name }, from: node, parts, differing, entries, next } =
            answer;
        let (entries, mut addresses) = wire::parts(entries);
        if let Some(node) = node {
            self.note_spelling(&node);
            addresses.insert(0, Known::at(node));
        }
        let page = swim::Page { differing, entries, next, parts };
        let shared = self.membership.clone();
        let mut membership = shared.borrow_mut();
        let merges = match merge {
            MergeMode::Join => true,
            MergeMode::IfPut => membership.swim.merges(&from, &stated),
        };
        membership.check_sender(&self.state, &stated, &name, merges)?;
        membership.swim.trust(self.state.now(), &stated);
        let new_groups = membership.list.note(addresses);
        self.apply_inputs(&mut membership, [Input::Heard { peer: from, stated }]);
        let (state, now) = (self.state.clone(), self.state.now());
        let (next, outputs) = state.chance(|chance| membership.swim.take_page(now, from, (&sync, &page), chance));
        self.carry_out_all(&mut membership, outputs);
        self.finish(&mut membership, context);
        let next = next.map(|next| self.sync_request(&membership, next, merge.of(&membership, &from), None));
        drop(membership);
        self.enroll(new_groups);
        Ok(next)
    }
}

/// A comparison has ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct EndSync(pub Nid);

impl Handler<EndSync> for Membership {
    type Result = ();

    fn handle(&mut self, EndSync(peer): EndSync, _: &mut Context<Membership>) {
        self.membership.borrow_mut().swim.end_sync(&peer);
    }
}

/// Answers a comparison that a peer has started.
#[derive(Debug, Message)]
#[rtype(result = "Result<Compared, CallError>")]
pub(crate) struct AnswerSync {
    pub from: Option<Member>,
    pub stated: Stated,
    pub sync: peer::Sync,
}

impl Handler<AnswerSync> for Membership {
    type Result = Result<Compared, CallError>;

    fn handle(
        &mut self,
        AnswerSync { from, stated, sync }: AnswerSync,
        context: &mut Context<Membership>,
    ) -> Self::Result {
        let rejected = |why: &dyn fmt::Display| CallError::argument("gossip.sync", 1, "message", why);
        let sender = self.identify_sender(from, &stated, sync.merge, context)?.ok_or_else(|| rejected(&NO_FROM))?;
        let (news, addresses) = wire::parts(sync.news);
        let sync = swim::Sync { parts: sync.parts, first: sync.first, news };
        let shared = self.membership.clone();
        let mut membership = shared.borrow_mut();
        let new_groups = membership.list.note(addresses);
        let (state, now, from) = (self.state.clone(), self.state.now(), sender.member.nid);
        let answered = state.chance(|chance| membership.swim.answer_sync(now, from, &sync, chance));
        let (page, outputs) = answered.map_err(|why| rejected(&why))?;
        self.carry_out_all(&mut membership, outputs);
        let entries = self.entries(&membership, &page.entries);
        self.finish(&mut membership, context);
        drop(membership);
        self.enroll(new_groups);
        let swim::Page { differing, next, parts, .. } = page;
        let from = Some(wire::address(&self.state.me));
        Ok(Compared { stated: self.stated(&self.membership.borrow()), from, parts, differing, entries, next })
    }
}
