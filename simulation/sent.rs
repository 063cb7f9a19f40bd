//! What nodes send each other: a call, which is a value, or a request of gossip or membership, which goes over as it is.

use std::time::Duration;

use chinwag_actors::handle::NodeHandle;
use chinwag_protocol::{
    call::{self, Call},
    peer::{Answer, Body, Gossip, Method, Outgoing, Reply},
    rumor,
    value::Value,
};

/// What is sent to a node.
#[derive(Clone)]
pub(super) enum Sent {
    Call(Box<Call>),
    /// A request, and how long its sender waits.
    Request(Outgoing, Duration),
}

impl Sent {
    /// What it is called in the trace.
    pub(super) fn name(&self) -> String {
        match self {
            Sent::Call(call) => call.to_string(),
            Sent::Request(request, _) => request.request().to_string(),
        }
    }

    /// Whether it is a membership ping whose connection stays open after it.
    pub(super) fn keeps_connection(&self) -> bool {
        matches!(self, Sent::Request(request, _) if request.request().keeps_connection())
    }

    /// Whether it is what a network at rest is busy with.
    pub(super) fn compares(&self) -> bool {
        matches!(self, Sent::Request(request, _) if request.request().method() == Method::Compare)
    }

    /// The values in it. Of the requests, whole messages alone have one that is of interest.
    pub(super) fn payloads(&self) -> impl Iterator<Item = &Value> {
        let (arguments, message) = match self {
            Sent::Call(call) => (&*call.arguments, None),
            Sent::Request(request, _) => match &request.request().body {
                Body::Gossip(Gossip { request: rumor::Request::Push(rumor), .. }) => {
                    (&[][..], Some(&rumor.message.arguments))
                }
                _ => (&[][..], None),
            },
        };
        arguments.iter().chain(message)
    }

    /// Has a node answer it.
    pub(super) async fn performed(self, node: &NodeHandle) -> Reply {
        match self {
            Sent::Call(call) => node.dispatch(*call).await.map(Answer::Performed),
            Sent::Request(request, time_left) => node.answer(request.into_request(), time_left).await,
        }
    }
}

/// The values in an answer.
pub(super) fn answer_payloads(answer: &Answer) -> impl Iterator<Item = &Value> {
    let (value, rumors) = match answer {
        Answer::Performed(call::Answer::Value(value) | call::Answer::Group { value, .. }) => (Some(value), &[][..]),
        Answer::Gossip(rumor::Answer::Rumors { rumors, .. }) => (None, &**rumors),
        _ => (None, &[][..]),
    };
    value.into_iter().chain(rumors.iter().map(|rumor| &rumor.message.arguments))
}

/// Whether a comparison found nothing to do.
pub(super) const fn is_same(answer: &Answer) -> bool {
    matches!(answer, Answer::Gossip(rumor::Answer::Same))
}

/// Whether the payload is in there.
pub(super) fn contains(value: &Value, payload: &str) -> bool {
    match value {
        Value::String(text) => text.len() >= payload.len() && (text == payload || text.contains(payload)),
        Value::Array(array) => array.iter().flatten().any(|element| contains(element, payload)),
        Value::Object(object) => object.iter().any(|(_, element)| contains(element, payload)),
        _ => false,
    }
}
