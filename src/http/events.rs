//! Events of membership as server-sent events: `GET /local/membership/events`.
//!
//! ```text
//! event: failed
//! data: {"event":"failed","sid":"8bc87","nid":"…","node":{"ip":"127.0.0.1","port":8080},"life":1763841270123,"turn":0,"by":"…"}
//!
//! :                                   a comment, so that whoever listens knows that the node is there
//! ```
//!
//! The events are those from the request on; the stream ends when the node stops. A client that is slow to read is
//! sent `lagged`, with how many it missed.

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
use chinwag_protocol::{call::ErrorKind, wire::Form};
use futures_util::{StreamExt, stream};
use tokio::time::timeout;

use super::response::refuse;

/// Where they are found.
pub(crate) const EVENTS: &str = "/local/membership/events";

/// Answers with the events from now on, or says each `heartbeat` that there are none.
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
        // the head goes out at once, so that the client knows that it misses nothing from here on
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
    // an event holds nothing that JSON has no form for
    let json = serde_json::to_string(&event.to_value()).unwrap_or_default();
    format!("event: {}\ndata: {json}\n\n", event.name())
}
