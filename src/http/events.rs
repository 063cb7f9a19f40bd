//! Events of membership as server-sent events: `GET /local/membership/events`.
//!
//! ```text
//! event: failed
//! data: {"event":"failed","sid":"8bc87","nid":"…","node":{"ip":"127.0.0.1","port":8080},"life":1763841270123,"turn":0,"by":"…"}
//!
//! :                                   a comment, which shows the client that the node is alive
//! ```
//!
//! The stream has the events from the request on, and ends when the node stops. A client that reads slowly gets the event
//! `lagged`, with the number of events that it missed.

use std::{convert::Infallible, time::Duration};

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
    web::Bytes,
};
use chinwag_actors::{
    handle::NodeHandle,
    local::membership::{Event, Events},
};
use chinwag_protocol::{
    call::ErrorKind,
    wire::{self, Form, Limits},
};
use futures_util::{StreamExt as _, stream};
use tokio::time::timeout;

use super::response::refuse;

/// The path of the stream.
pub(crate) const EVENTS: &str = "/local/membership/events";

/// Answers with the events from now on, and with a comment after each `heartbeat` without an event.
pub(crate) async fn stream(node: &NodeHandle, heartbeat: Duration) -> HttpResponse {
    let events = match node.events().await {
        Ok(events) => events,
        Err(error) => {
            let status = match error.kind {
                ErrorKind::Unsupported => StatusCode::NOT_FOUND,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            return refuse(status, error, Form::Plain);
        }
    };
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // the head is sent at once, so that the client knows that it misses no event from now on
        .streaming(
            stream::once(async { Ok(Bytes::from_static(b":\n\n")) })
                .chain(lines(events, heartbeat.max(Duration::from_millis(1)))),
        )
}

fn lines(events: Events, heartbeat: Duration) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(events, move |mut events| async move {
        let text = match timeout(heartbeat, events.next()).await {
            Ok(event) => line(&event?),
            Err(_) => ":\n\n".to_owned(),
        };
        Some((Ok(Bytes::from(text)), events))
    })
}

fn line(event: &Event) -> String {
    match wire::encode_plain_within(&event.to_value(), Limits::default().written) {
        Ok(json) => format!("event: {}\ndata: {json}\n\n", event.name()),
        // addresses and names are short, so this does not happen
        Err(why) => format!(": the event {} is left out: {why}\n\n", event.name()),
    }
}
