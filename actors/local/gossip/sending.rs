//! Carries out the outputs of the state machines, and passes the answers of peers back to them.

use std::{
    pin::Pin,
    task::{self, Poll},
};

use actix::{ActorFuture, AsyncContext, Context, Handler};
use chinwag_protocol::{
    group::Entry,
    identity::{Gid, Nid},
    peer::{self, Method, Shared, Stated},
    rumor::{self, Input, Output},
};
use futures_util::Stream as _;

use super::{
    actor::{Gossip, left_group},
    group::GroupGossip,
    outcomes::PendingOutcome,
    pending::{PendingRequest, SentRequest},
    writer::Writer,
};
use crate::{messages::Incoming, request::FromPeer};

impl Gossip {
    /// Carries out the outputs of a state machine. Returns the messages that this node now performs.
    pub(super) fn carry_out(
        &self,
        gid: &Gid,
        group: &mut GroupGossip,
        entry: &Entry,
        outputs: Vec<Output<Nid, Shared>>,
        context: &mut Context<Gossip>,
    ) -> Vec<PendingOutcome> {
        let mut performed = Vec::new();
        let name = self.state.settings.membership.cluster.as_str().into();
        let mut writer = Writer::new(self.state.sender(), Stated { statement: self.liveness.statement(), name });
        for output in outputs {
            match output {
                // A node that sends to a group from outside obtains the rumors of others too, and does not perform them.
                Output::Perform { .. } if !group.addressed && !entry.members.contains(&self.state.nid) => {}
                Output::Perform { id, message } => {
                    performed.push(PendingOutcome { id, outcome: self.perform(&message) });
                }
                Output::Send { token, to, request } => {
                    let own_push = group.own_push(self.state.nid, &to, &request, &entry.members);
                    let address = entry.members.by_nid(&to).map(|member| member.node.clone());
                    let address = address.or_else(|| group.external_address(&to));
                    let message = writer.message(gid, request, own_push.is_none());
                    let method = message.request().method();
                    let reply = match address {
                        Some(to) => self.state.ask(&to, message, group.request_timeout(method)),
                        None => Box::pin(std::future::ready(Err(left_group()))),
                    };
                    let (gid, instance) = (gid.clone(), group.instance);
                    let sent = SentRequest { gid, instance, token, to, method, own_push };
                    self.shared.requests.borrow_mut().push(PendingRequest::new(sent, reply));
                    self.wake();
                }
                // The machine ignores an answer that it no longer needs.
                Output::Cancel { .. } => {}
                Output::Timer { after, timer } => {
                    let (gid, instance) = (gid.clone(), group.instance);
                    let handle = context.run_later(self.state.clock.to_real(after), move |gossip, context| {
                        gossip.timer(&gid, instance, timer, context)
                    });
                    if let Some(replaced) = group.timer(timer).replace(handle) {
                        context.cancel_future(replaced);
                    }
                }
                Output::Settled { id } => group.settle(&id),
                Output::Reissued { from, to } => group.reissue(&from, &to),
                Output::Entered => group.notify_entered(),
            }
        }
        performed
    }

    /// Makes the actor poll the pending requests again.
    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Starts to poll the pending requests and the queue of incoming requests.
    pub(super) fn start_polling(&self, context: &mut Context<Gossip>) {
        context.spawn(PollRequests);
    }

    /// Handles a request that a peer has answered, or that has failed.
    fn complete(&mut self, (sent, reply): (SentRequest, peer::Reply), context: &mut Context<Gossip>) {
        let SentRequest { gid, instance, token, to, method, own_push } = sent;
        self.liveness.reply_received(to, &reply);
        if let Err(why) = &reply {
            log::debug!(target: "chinwag::gossip", "{} to {}: {why}", method.name(), to.sid());
        }
        if let Some(own_push) = own_push {
            own_push.record(&reply);
        }
        if !self.shared.is_current(&gid, instance) {
            return;
        }
        let handled = self.drive(&gid, context, |group, entry, state, out| {
            // A node of the previous version knows every method but `enter`, so a failed `enter` proves nothing.
            let conclusive = !matches!(method, Method::Recv | Method::Enter);
            if conclusive && matches!(&reply, Err(error) if error.lacks_method()) {
                group.note_reference_node(to, &entry.members);
            }
            let answer = match reply {
                Ok(peer::Answer::Gossip(answer)) => Some(answer),
                Ok(peer::Answer::Performed(_)) => Some(rumor::Answer::Fresh),
                Ok(_) => None,
                Err(error) => peer::answer_of_failure(method, &error),
            };
            let input = match answer {
                Some(answer) => Input::Answer { token, from: to, answer },
                None => Input::Failure { token },
            };
            group.input(entry, state, input, out);
            Ok(())
        });
        match handled {
            Ok(((), performed)) => self.keep_outcomes(&gid, performed),
            Err(why) => log::debug!(target: "chinwag::gossip", "an answer came too late: {why}"),
        }
    }
}

/// Handles answers to pending requests, and the requests of peers, for as long as the actor lives.
struct PollRequests;

impl ActorFuture<Gossip> for PollRequests {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        gossip: &mut Gossip,
        context: &mut Context<Gossip>,
        task: &mut task::Context<'_>,
    ) -> Poll<()> {
        if !gossip.waker.as_ref().is_some_and(|waker| waker.will_wake(task.waker())) {
            gossip.waker = Some(task.waker().clone());
        }
        loop {
            let completed = Pin::new(&mut *gossip.shared.requests.borrow_mut()).poll_next(task);
            match completed {
                Poll::Ready(Some(completed)) => gossip.complete(completed, context),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        loop {
            let incoming = gossip.shared.incoming.borrow_mut().poll_recv(task);
            let Poll::Ready(Some(incoming)) = incoming else { break };
            let Incoming { request, take } = *incoming;
            take.take()(Handler::<FromPeer>::handle(gossip, request, context));
        }
        Poll::Pending
    }
}
