//! What nodes send each other: a call, or a request of gossip or membership. Requests are not encoded.

use std::time::Duration;

use chinwag_actors::handle::NodeHandle;
use chinwag_protocol::{
    call::{self, Call},
    peer::{Answer, Body, Gossip, Method, Outgoing, Reply},
    rumor,
    value::Value,
};

/// A message to a node.
#[derive(Clone)]
pub(super) enum Outbound {
    Call(Box<Call>),
    /// A request, and how long its sender waits.
    Request(Outgoing, Duration),
}

impl Outbound {
    /// The name in the trace.
    pub(super) fn name(&self) -> String {
        match self {
            Outbound::Call(call) => call.to_string(),
            Outbound::Request(request, _) => request.request().to_string(),
        }
    }

    /// Whether it is a membership ping whose connection stays open.
    pub(super) fn keeps_connection(&self) -> bool {
        matches!(self, Outbound::Request(request, _) if request.request().keeps_connection())
    }

    /// Whether it is a comparison, which nodes make while nothing happens.
    pub(super) fn is_comparison(&self) -> bool {
        matches!(self, Outbound::Request(request, _) if request.request().method() == Method::Compare)
    }

    /// The values that can contain a payload. Among requests, only a push has one.
    pub(super) fn payloads(&self) -> impl Iterator<Item = &Value> {
        let (arguments, message) = match self {
            Outbound::Call(call) => (&*call.arguments, None),
            Outbound::Request(request, _) => match &request.request().body {
                Body::Gossip(Gossip { request: rumor::Request::Push(rumor), .. }) => {
                    (&[][..], Some(&rumor.message.arguments))
                }
                _ => (&[][..], None),
            },
        };
        arguments.iter().chain(message)
    }

    /// Makes a node answer the message.
    pub(super) async fn performed(self, node: &NodeHandle) -> Reply {
        match self {
            Outbound::Call(call) => node.dispatch(*call).await.map(Answer::Performed),
            Outbound::Request(request, time_left) => node.answer(request.into_request(), time_left).await,
        }
    }
}

/// The values of an answer that can contain a payload.
pub(super) fn answer_payloads(answer: &Answer) -> impl Iterator<Item = &Value> {
    let (value, rumors) = match answer {
        Answer::Performed(call::Answer::Value(value) | call::Answer::Group { value, .. }) => (Some(value), &[][..]),
        Answer::Gossip(rumor::Answer::Rumors { rumors, .. }) => (None, &**rumors),
        _ => (None, &[][..]),
    };
    value.into_iter().chain(rumors.iter().map(|rumor| &rumor.message.arguments))
}

/// Whether a comparison found no difference.
pub(super) const fn is_same(answer: &Answer) -> bool {
    matches!(answer, Answer::Gossip(rumor::Answer::Same))
}

/// Whether a value contains the payload.
pub(super) fn contains(value: &Value, payload: &str) -> bool {
    match value {
        Value::String(text) => text.len() >= payload.len() && (text == payload || text.contains(payload)),
        Value::Array(array) => array.iter().flatten().any(|element| contains(element, payload)),
        Value::Object(object) => object.iter().any(|(_, element)| contains(element, payload)),
        _ => false,
    }
}
