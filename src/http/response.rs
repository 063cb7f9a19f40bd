//! The responses to requests: a pair of error and value, in the form of the request's body.

use actix_web::{
    HttpResponse,
    http::{ConnectionType, StatusCode, header},
};
use chinwag_protocol::{
    call::{CallError, ErrorKind, Reply, reply_to_pair},
    value::Value,
    wire::{self, Form, Limits},
};

use super::{JSON, THIS_VERSION, VERSION};

/// The largest body, in bytes, after which a connection is kept. The buffers at each end grow to the largest body, and stay so
/// large for as long as the connection is kept: after a burst of answers of 8 MB, each idle connection would hold as much. A
/// new connection costs less than a body of this size.
pub(super) const LARGE: usize = 64 << 10;

/// Refuses a request. A node that is stopping also closes the connection.
pub(super) fn refuse(status: StatusCode, error: CallError, form: Form) -> HttpResponse {
    log::debug!(target: "chinwag::http", "refused: {error}");
    let ends = error.kind == ErrorKind::Stopping;
    // these errors quote little, and their lengths are bounded
    let mut response = respond(status, Err(error), form, false, &Limits::default());
    if ends {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

/// Answers a request. The connection is then closed if the request's body or the answer was large. An answer that is longer
/// than a message may be is replaced by an error that says so.
pub(super) fn respond(status: StatusCode, reply: Reply, form: Form, large: bool, limits: &Limits) -> HttpResponse {
    let (error, value): (Value, Value) = reply_to_pair(reply);
    let body = wire::encode_pair(&error, &value, form, limits).unwrap_or_else(|why| {
        let error = CallError::unwritten_answer(&why);
        log::debug!(target: "chinwag::http", "{error}");
        // this error is short, so it fits
        wire::encode_pair(&error.into(), &Value::Null, form, &Limits::default()).unwrap_or_default()
    });
    let mut response = HttpResponse::build(status);
    response.insert_header((header::CONTENT_TYPE, JSON.clone())).insert_header((VERSION.clone(), THIS_VERSION.clone()));
    if large || body.len() > LARGE {
        response.force_close();
    }
    response.body(body)
}
