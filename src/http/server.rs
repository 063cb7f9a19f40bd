//! The HTTP server: each request becomes a [`Call`], and each reply a response.
//!
//! ```text
//! PUT /GID/SERVICE/METHOD   [argument, …]  -> 200  [error, value]
//! PUT /SERVICE/METHOD                      -> the same on `local`
//! GET /local/membership/events             -> 200  server-sent events, see `events.rs`
//! anything else                            -> 4xx  [error, null]
//! ```
//!
//! A body in the wire's typed form is answered in that form, and a plain JSON array or an empty body in plain JSON. A failed
//! call is answered with status 200, because its callers are programs that read the pair. Other statuses mean that there was
//! no call.
//!
//! The `Host` of a request must be one of the node's own addresses or localhost. Otherwise a web page, which can make a browser
//! send requests under any name, could control a node.

use std::{
    borrow::Cow,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::{
    HttpMessage as _, HttpResponse,
    dev::{Payload, ServiceRequest, ServiceResponse, Url},
    error::{ErrorInternalServerError, PayloadError},
    http::{
        Method, StatusCode, Uri,
        header::{self, HeaderName},
    },
    web::{self, Bytes, BytesMut},
};
use chinwag_actors::handle::NodeHandle;
use chinwag_protocol::{
    call::{Call, CallContext, CallError, DEFAULT_DEADLINE, ErrorKind, MAX_DEPTH},
    host,
    identity::{Gid, Sid},
    value::EcoString,
    wire::{self, Arguments, Form, Limits},
};
use futures_util::{FutureExt as _, StreamExt as _};
use percent_encoding::percent_decode_str;

use super::{
    DEADLINE, DEPTH, REQUEST, events,
    events::EVENTS,
    kept,
    response::{LARGE, refuse, respond},
};

/// How long an unused connection is kept. Longer than the clients in this crate keep one.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a client may take to send the head of a request.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may take to send a body, if the call's deadline is not earlier. This is a guess: the largest body arrives
/// in time at 3 Mbit/s.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// The bound on bodies that have not arrived completely, as a number of bodies of the largest size. Past it the node is busy.
/// Complete bodies are bounded by the calls under way. This is a guess.
const BODIES: usize = 32;

/// The state that the requests of one node share.
#[derive(Debug)]
pub(crate) struct ServerState {
    /// The names under which the node answers requests.
    pub hosts: Hosts,
    pub limits: Limits,
    /// The node's SID, for the ids of requests that have none.
    pub sid: Sid,
    /// The number of requests that are being answered.
    pub under_way: AtomicUsize,
    /// The number of bytes of bodies that have not arrived completely.
    pub gathered: AtomicUsize,
    /// Set when the node no longer answers even gossip and membership. It refuses all other calls earlier, from
    /// [`NodeHandle::is_stopping`] on.
    pub closed: AtomicBool,
    /// How often a stream of events sends a comment while there are none.
    pub heartbeat: Duration,
    /// The number of ids that the node has given to requests.
    pub served: AtomicU64,
}

/// The names by which a node is known.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    /// The node's names, in canonical form.
    pub names: Vec<String>,
    /// Whether the node is bound to every address. It then also answers under any IP address, but under no other names, because
    /// anyone can point a name to the node.
    pub any_address: bool,
}

impl Hosts {
    /// Whether a `Host` header names the node. The header must be a host with or without a port, and nothing else.
    fn admits(&self, header: &str) -> bool {
        let Some(name) = host::of_authority(header).map(host::canonical) else { return false };
        self.names.iter().any(|own| *own == name)
            || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback() || self.any_address)
    }
}

/// Counts a request for as long as it is answered.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Answers one request.
pub(crate) async fn serve(request: ServiceRequest) -> Result<ServiceResponse, actix_web::Error> {
    let mut request = Asked(Some(request));
    let response = match &mut request.0 {
        Some(request) => answer(request).await,
        // this does not happen: the request is taken below
        None => HttpResponse::InternalServerError().finish(),
    };
    request.answered(response)
}

/// A request that is cleared when it has been answered, or when nobody waits for its answer any more.
///
/// actix-web keeps up to 128 requests for reuse, each with the buffer in which its head arrived. The buffer can have 128 kB if
/// a body followed.
struct Asked(Option<ServiceRequest>);

impl Asked {
    fn answered(mut self, response: HttpResponse) -> Result<ServiceResponse, actix_web::Error> {
        let mut request = self.0.take().ok_or_else(|| ErrorInternalServerError("the request is gone"))?;
        clear(&mut request);
        Ok(request.into_response(response))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(request) = &mut self.0 {
            clear(request);
        }
    }
}

/// Clears the head of a request, and keeps its allocations for the next request.
fn clear(request: &mut ServiceRequest) {
    let head = request.head_mut();
    head.headers_mut().clear();
    head.uri = Uri::default();
    request.match_info_mut().set(Url::default());
}

async fn answer(request: &mut ServiceRequest) -> HttpResponse {
    let (node, state) =
        (request.app_data::<web::Data<NodeHandle>>(), request.app_data::<web::Data<Arc<ServerState>>>());
    let (Some(node), Some(state)) = (node.cloned(), state.cloned()) else {
        // this does not happen: the server has both
        return HttpResponse::InternalServerError().finish();
    };
    state.under_way.fetch_add(1, Ordering::AcqRel);
    let _under_way = UnderWay(&state.under_way);
    if state.closed.load(Ordering::Acquire) {
        let error = CallError::new(ErrorKind::Stopping, "the node is stopping");
        return refuse(StatusCode::SERVICE_UNAVAILABLE, error, Form::Typed);
    }
    if request.headers().get_all(header::HOST).count() > 1 {
        // nobody can tell which of them a proxy or a browser meant
        let error = CallError::new(ErrorKind::BadCall, "the request has more than one Host header");
        return refuse(StatusCode::BAD_REQUEST, error, Form::Plain);
    }
    if let Some(host) = named_host(request).filter(|host| !state.hosts.admits(host)) {
        let shown: String = host.chars().take(64).collect();
        let message = format!("the Host header names {shown:?}, which is not this node ({})", node.addr());
        return refuse(StatusCode::FORBIDDEN, CallError::new(ErrorKind::BadCall, message), Form::Plain);
    }
    if request.method() == Method::GET && request.path() == EVENTS {
        if node.is_stopping() {
            let error = CallError::new(ErrorKind::Stopping, "the node is stopping");
            return refuse(StatusCode::SERVICE_UNAVAILABLE, error, Form::Plain);
        }
        return events::stream(&node, state.heartbeat).await;
    }
    if request.method() != Method::PUT {
        let message = format!("Method {} not allowed: a call is PUT /GID/SERVICE/METHOD", request.method());
        return refuse(StatusCode::METHOD_NOT_ALLOWED, CallError::new(ErrorKind::BadCall, message), Form::Plain);
    }
    let body = request.take_payload();
    match read(request, body, &node, &state).await {
        Err(Refusal { status, error, form }) => refuse(status, error, form),
        Ok(Asking { call, form, large }) => {
            // the node may have been told to stop while the body arrived
            if let Err(error) = node.check_admits(&call) {
                return refuse(StatusCode::SERVICE_UNAVAILABLE, error, form);
            }
            let keeper = kept::keeper(&call);
            // the call may take long, and does not need the request
            clear(request);
            let name = log::log_enabled!(target: "chinwag::http", log::Level::Debug).then(|| call.to_string());
            let reply = node.dispatch(call).await;
            if let Some(name) = name {
                let outcome = reply.as_ref().map_or_else(|error| error.to_string(), |_| "ok".to_owned());
                log::debug!(target: "chinwag::http", "{name}: {outcome}");
            }
            if let Some(peer) = keeper.filter(|_| reply.is_ok()) {
                kept::note(request.request(), &node, peer);
            }
            respond(StatusCode::OK, reply, form, large, &state.limits)
        }
    }
}

/// Returns the name under which the sender of a request addresses the node. Every browser states one. The headers of proxies
/// (`Forwarded`, `X-Forwarded-Host`) do not count, because anyone can send them.
fn named_host(request: &ServiceRequest) -> Option<Cow<'_, str>> {
    match request.headers().get(header::HOST) {
        Some(host) => Some(String::from_utf8_lossy(host.as_bytes())),
        None => request.uri().authority().map(|authority| authority.as_str().into()),
    }
}

/// Why a request is not a call, and the form of the response. The form is typed until the body shows otherwise.
struct Refusal {
    status: StatusCode,
    error: CallError,
    form: Form,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Refusal {
        Refusal { status, error: CallError::new(ErrorKind::BadCall, message), form: Form::Typed }
    }
}

/// The call that a request makes.
struct Asking {
    call: Call,
    /// The form of the answer.
    form: Form,
    /// Whether the body was larger than [`LARGE`].
    large: bool,
}

/// Reads the call of a request.
async fn read(
    request: &ServiceRequest,
    body: Payload,
    node: &NodeHandle,
    state: &ServerState,
) -> Result<Asking, Refusal> {
    let bad = |message: String| Refusal::new(StatusCode::BAD_REQUEST, message);
    let (gid, service, method) = path(request.path()).map_err(bad)?;
    let mut call = Call::new(gid, service, method, Vec::new());
    // this comes before the body, so that a node that is stopping does not wait for the body
    let stopping = |error| Refusal { error, ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "") };
    node.check_admits(&call).map_err(stopping)?;
    let mut context = context(request).map_err(|error| Refusal { error, ..bad(String::new()) })?;

    let most = state.limits.bytes;
    let too_large = || Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a body has at most {most} bytes"));
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > most as u64) {
        return Err(too_large());
    }
    let body = match tokio::time::timeout(context.time_left.min(BODY_TIMEOUT), whole(body, state)).await {
        Err(_) => return Err(bad("the body did not arrive in time".to_owned())),
        Ok(Err(Unread::TooLarge)) => return Err(too_large()),
        Ok(Err(Unread::Busy)) => {
            let error =
                CallError::new(ErrorKind::Busy, "this node has too many bodies that have not arrived completely");
            return Err(Refusal { error, ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "") });
        }
        Ok(Err(Unread::BrokeOff(why))) => return Err(bad(format!("the body broke off: {why}"))),
        Ok(Ok(body)) => body,
    };
    let arguments = if body.is_empty() {
        Arguments { form: Form::Plain, values: Vec::new() }
    } else {
        wire::decode_arguments(&body, &state.limits).map_err(|why| {
            let typed = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
            Refusal { form: if typed { Form::Typed } else { Form::Plain }, ..bad(why.to_string()) }
        })?
    };
    if context.request.is_none() {
        let number = state.served.fetch_add(1, Ordering::Relaxed);
        context.request = Some(format!("{}-{number}", state.sid).into());
    }
    call.arguments = arguments.values;
    Ok(Asking { call: call.within(context), form: arguments.form, large: body.len() > LARGE })
}

/// Why a body was not read.
enum Unread {
    TooLarge,
    Busy,
    BrokeOff(PayloadError),
}

/// The share of one body in the bytes of all bodies that have not arrived completely.
struct Share<'a> {
    of: &'a AtomicUsize,
    bytes: usize,
}

impl Share<'_> {
    fn add(&mut self, bytes: usize, most: usize) -> Result<(), Unread> {
        let before = self.of.fetch_add(bytes, Ordering::AcqRel);
        self.bytes += bytes;
        if before + bytes <= most { Ok(()) } else { Err(Unread::Busy) }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// Reads all of a body. Most bodies come in one piece and are not copied. The reader of actix-web takes 32 kB of memory even
/// for the smallest body.
async fn whole(mut body: Payload, state: &ServerState) -> Result<Bytes, Unread> {
    let most = state.limits.bytes;
    let within = |length: usize| if length <= most { Ok(()) } else { Err(Unread::TooLarge) };
    let mut next = async || body.next().await.transpose().map_err(Unread::BrokeOff);
    let Some(first) = next().await? else { return Ok(Bytes::new()) };
    within(first.len())?;
    let mut share = Share { of: &state.gathered, bytes: 0 };
    let mut piece = match next().now_or_never() {
        // in most cases the body is complete
        Some(piece) => piece?,
        None => {
            share.add(first.len(), BODIES * most)?;
            next().await?
        }
    };
    if piece.is_none() {
        return Ok(first);
    }
    if share.bytes == 0 {
        share.add(first.len(), BODIES * most)?;
    }
    let mut gathered = BytesMut::from(first);
    while let Some(more) = piece {
        within(gathered.len() + more.len())?;
        share.add(more.len(), BODIES * most)?;
        gathered.extend_from_slice(&more);
        piece = next().await?;
    }
    Ok(gathered.freeze())
}

/// Reads the group, the service and the method that a path names.
fn path(path: &str) -> Result<(Gid, EcoString, EcoString), String> {
    let shown = || -> String { path.chars().take(128).collect() };
    let decode = |segment| -> Result<Cow<'_, str>, String> {
        percent_decode_str(segment).decode_utf8().map_err(|_| format!("the path is not UTF-8: {}", shown()))
    };
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/');
    let (gid, service, method) = match std::array::from_fn(|_| segments.next()) {
        [Some(gid), Some(service), Some(method), None] => {
            (Gid::new(decode(gid)?).map_err(|why| why.to_string())?, service, method)
        }
        [Some(service), Some(method), None, None] => (Gid::local(), service, method),
        _ => return Err(format!("a call is PUT /GID/SERVICE/METHOD, not {}", shown())),
    };
    Ok((gid, decode(service)?.into(), decode(method)?.into()))
}

/// Reads the context of a call from the headers of its request.
fn context(request: &ServiceRequest) -> Result<CallContext, CallError> {
    let text = |name: &HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let number = |name: &HeaderName| {
        let parsed = text(name).map(|text| text.trim().parse::<u64>());
        let bad = |_| CallError::new(ErrorKind::BadCall, format!("{name} is not a number: {:?}", text(name)));
        parsed.transpose().map_err(bad)
    };
    let time_left = number(&DEADLINE)?.map_or(DEFAULT_DEADLINE, Duration::from_millis);
    let depth = number(&DEPTH)?.unwrap_or(0);
    if depth > u64::from(MAX_DEPTH) {
        let message = format!("calls are nested {depth} deep, {MAX_DEPTH} at the most; something calls itself");
        return Err(CallError::new(ErrorKind::TooDeep, message));
    }
    let visible = |id: &&str| id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_graphic());
    let mut context = CallContext::new(time_left.min(chinwag_protocol::call::MAX_DEADLINE));
    context.depth = depth as u16;
    context.request = text(&REQUEST).filter(visible).map(Into::into);
    context.outside = true;
    context.peer = request.peer_addr();
    Ok(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_group_or_means_local() {
        let named = |text: &str| path(text).map(|(gid, service, method)| format!("{gid} {service} {method}"));
        assert_eq!(named("/all/status/get").unwrap(), "all status get");
        assert_eq!(named("/status/get").unwrap(), "local status get");
        assert_eq!(named("/a%20b/c%2Bd/e").unwrap(), "a b c+d e");
        for text in ["", "/", "/x", "/a/b/c/d", "/%ff/b/c", "//b/c", "/a%2fb/c/d"] {
            assert!(named(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_requests_under_the_nodes_own_names_are_admitted() {
        let hosts = Hosts { names: vec!["127.0.0.1".into(), "node.example".into()], any_address: false };
        for host in [
            "[::ffff:127.0.0.1]:80",
            "127.0.0.1:8080",
            "localhost",
            "LOCALHOST:9",
            "[::1]:80",
            "node.example:1",
            "127.0.0.1",
        ] {
            assert!(hosts.admits(host), "{host}");
        }
        for host in ["evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.1", "", "[fe80::1]:1"] {
            assert!(!hosts.admits(host), "{host}");
        }
        // a valid name with something before or after it is not admitted
        for host in [
            "[::1]evil.example",
            "[::1]:80evil.example",
            "[::1",
            "::1",
            "localhost:evil",
            "localhost:80:evil",
            "localhost:65536",
            "evil@localhost",
            "localhost@evil.example",
            "localhost/evil",
            "localhost,evil.example",
            "localhost evil.example",
            "node.example:",
            "[127.0.0.1]",
        ] {
            assert_eq!(hosts.admits(host), host == "node.example:", "{host}");
        }
        let named = Hosts { names: vec!["fd00:9::1".into(), "host2".into()], any_address: false };
        for host in ["[fd00:9:0:0::1]:80", "[FD00:9::1]", "HOST2", "host2.:80"] {
            assert!(named.admits(host), "{host}");
        }
        let anywhere = Hosts { names: Vec::new(), any_address: true };
        assert!(anywhere.admits("10.0.0.1:80"));
        assert!(!anywhere.admits("evil.example:80"));
    }
}
