//! What this node answers to the requests of peers.

use std::time::Duration;

use actix::Context;
use chinwag_protocol::{
    call::{CallError, ErrorKind},
    identity::{Gid, NodeAddr},
    swim::{Input, Outcome},
    value::{Object, Value},
};
use tokio::sync::oneshot;

use super::{Event, Membership, Shared, Take, join, wire, wire::Addresses};
use crate::{
    local::groups::Enroll,
    request::{ReplyFuture, Request, Response},
    service::value,
};

/// Most probes under way for others. Beyond it they are told `Busy`, which accuses nobody.
pub(super) const MAX_RELAYS: usize = 1_024;

impl Membership {
    /// A peer has said where it is: people are shown it as it spells its own address.
    fn spelled(&self, from: &NodeAddr) {
        if self.home.groups.borrow_mut().stated(from) {
            self.roster.borrow().tell(Event::GroupChanged { gid: Gid::all() });
        }
    }

    /// What a peer says of itself in a request.
    fn heard(&mut self, argument: &Value, context: &mut Context<Membership>) -> Option<NodeAddr> {
        let from = wire::node(argument, "from").ok()?;
        self.spelled(&from);
        if let Some(incarnation) = wire::stated(argument) {
            self.drive([Input::Heard { peer: from.key(), incarnation: Some(incarnation) }], context);
        }
        Some(from)
    }

    fn statement(&self) -> Object {
        let mut object = Object::new();
        wire::state(&mut object, self.roster.borrow().swim.incarnation());
        object
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
                self.heard(argument, context);
                Ok(Response::Now(value(self.statement())))
            }
            "tell" => {
                let mut addresses = Addresses::new();
                let update = argument.get("update").unwrap_or(&Value::Undefined);
                let update = wire::read_update(update, &mut addresses).map_err(refused)?;
                self.heard(argument, context);
                self.roster.borrow_mut().note(addresses);
                self.drive([Input::Told(update)], context);
                Ok(Response::Now(value(self.statement())))
            }
            "news" => {
                let wire::News { updates, addresses, additions } = wire::read_news(argument).map_err(refused)?;
                self.roster.borrow_mut().note(addresses);
                self.drive(updates.into_iter().map(Input::Update), context);
                if additions.is_empty() {
                    return Ok(Response::Now(value(Value::Null)));
                }
                let node = self.home.node()?.clone();
                Ok(Response::Later(Box::pin(async move {
                    node.tell(&node.inner().groups, Enroll(additions)).await?;
                    value(Value::Null)
                })))
            }
            "exchange" => {
                let (from, take) = exchanged(argument).map_err(refused)?;
                let reader = from.key();
                self.spelled(&from);
                self.roster.borrow_mut().note(take.addresses);
                self.drive(take.inputs, context);
                let mut answer = self.statement();
                answer.insert("from", NodeAddr::new(self.home.me.ip(), self.home.me.port()).to_value());
                answer.insert("view", self.view(&self.roster.borrow(), &reader));
                if argument.get("joining").and_then(Value::as_bool) != Some(true) {
                    return Ok(Response::Now(value(answer)));
                }
                let asked = join::asked(argument).map_err(refused)?;
                let (home, node) = (self.home.clone(), self.home.node()?.on_behalf_of(request.origin()));
                Ok(Response::Later(Box::pin(async move {
                    answer.insert("groups", join::admitted(&home, &node, from, asked).await?);
                    value(answer)
                })))
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
                Ok(Response::Later(self.relay(&to, budget)))
            }
        }
    }

    fn relay(&self, to: &NodeAddr, budget: Duration) -> ReplyFuture {
        let (roster, nid) = (self.roster.clone(), to.key());
        let asking = self.home.ask(to, wire::ping(&self.home.me, roster.borrow().swim.incarnation()), budget);
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
}

/// Reads an exchange, or the answer to one: from whom, and what the machine is to hear.
pub(super) fn exchanged(message: &Value) -> Result<(NodeAddr, Take), CallError> {
    let from = wire::node(message, "from")?;
    let mut addresses = vec![(from.key(), from.clone())];
    let view = wire::read_view(message, &mut addresses)?;
    let inputs = vec![Input::Exchanged { from: from.key(), view }];
    Ok((from, Take { inputs, addresses }))
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
