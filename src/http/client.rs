//! The way out over HTTP.
//!
//! awc's own bounds are left aside, as each spans what it should not: its connection limit is one for all hosts, and
//! its timer stops at the answer's head. The calls to each peer are bounded by the actor that sends them, and the whole
//! exchange, from connecting to the last byte, by the call's deadline. Idle connections are closed before the server
//! at the other end would, so that none is closed under a request.
//!
//! awc looks at its idle connections only when their own peer is called again, so those to a peer that is called no more
//! would stay, open files all of them. Hence connections are kept in a pool that is left after a
//! while ([`HttpTransport::pool_life`]), with what it holds: those in use go on until their calls have ended.
//!
//! What all calls of one method on one node have in common, the most of a request's head, is made once and kept for as
//! long as it is among the last in use: to write a URL, have it parsed, and fill a new map of headers took more than a
//! message through an actor does.

use std::{
    cell::RefCell,
    io,
    net::{IpAddr, ToSocketAddrs},
    num::NonZeroUsize,
    rc::Rc,
    time::Duration,
};

use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use awc::{
    FrozenClientRequest,
    error::{ConnectError, FreezeRequestError, SendRequestError},
};
use chinwag_actors::transport::Transport;
use chinwag_protocol::{
    call::{Call, CallError, ErrorKind, Reply, reply_from_pair},
    host,
    identity::{Gid, NodeAddr},
    value::EcoString,
    wire::{self, Limits},
};
use futures_util::{FutureExt, future::LocalBoxFuture};
use lru::LruCache;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tokio::time::{Instant, timeout_at};

use super::{DEADLINE, DEPTH, JSON, REQUEST, THIS_VERSION, VERSION};

/// How long an unused connection is kept. Shorter than the server's [`KEEP_ALIVE`](super::server::KEEP_ALIVE).
const IDLE: Duration = Duration::from_secs(20);

/// How long a pool of connections is used, from its first call on. At 30 s a peer that is called all the time is connected
/// to anew twice a minute, and a connection that nobody uses is closed within twice that.
const POOL: Duration = Duration::from_secs(30);

/// How many heads of requests are kept. Each takes some 1.3 kB; a guess at how many methods, times peers, are called over
/// and over by a node that is in a hurry.
const HEADS: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// What cannot stand in a path segment as it is.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'/')
    .add(b'%')
    .add(b'\\')
    .add(b'^')
    .add(b'|')
    .add(b'[')
    .add(b']');

/// Carries calls as HTTP requests. Made on the thread that uses it.
#[derive(Clone)]
pub struct HttpTransport {
    /// None where nobody has been called for a while.
    pool: Rc<RefCell<Option<Pool>>>,
    /// How long one is used.
    life: Duration,
    limits: Rc<Limits>,
}

/// Connections, and the heads of the requests that go over them.
struct Pool {
    client: awc::Client,
    heads: LruCache<Target, FrozenClientRequest>,
}

/// A method on a node, which is what a head names.
#[derive(PartialEq, Eq, Hash)]
struct Target {
    ip: EcoString,
    port: u16,
    gid: Gid,
    service: EcoString,
    method: EcoString,
}

impl Target {
    fn of(to: &NodeAddr, call: &Call) -> Target {
        let Call { gid, service, method, .. } = call;
        Target {
            ip: to.ip().into(),
            port: to.port(),
            gid: gid.clone(),
            service: service.clone(),
            method: method.clone(),
        }
    }
}

impl Pool {
    fn new() -> Pool {
        let connector = awc::Connector::new().limit(0).conn_keep_alive(IDLE).conn_lifetime(POOL);
        let client =
            awc::Client::builder().connector(connector).disable_timeout().disable_redirects().no_default_headers();
        Pool { client: client.finish(), heads: LruCache::new(HEADS) }
    }

    /// What is the same in all requests that make this call.
    fn head(&mut self, to: &NodeAddr, call: &Call) -> Result<FrozenClientRequest, FreezeRequestError> {
        let Pool { client, heads } = self;
        let make = || {
            let mut request = client.put(url(to, call));
            // a new request has room for many more
            *request.headers_mut() = HeaderMap::with_capacity(3);
            let request = request
                .insert_header((HOST, to.authority()))
                .insert_header((CONTENT_TYPE, JSON.clone()))
                .insert_header((VERSION.clone(), THIS_VERSION.clone()));
            request.freeze()
        };
        heads.try_get_or_insert(Target::of(to, call), make).cloned()
    }
}

impl HttpTransport {
    /// A client with connections of its own.
    pub fn new(limits: Limits) -> HttpTransport {
        HttpTransport { pool: Rc::default(), life: POOL, limits: Rc::new(limits) }
    }

    /// Leaves its connections to end after so long. Default 30 s.
    #[must_use]
    pub fn pool_life(self, life: Duration) -> HttpTransport {
        HttpTransport { life, ..self }
    }

    fn head(&self, to: &NodeAddr, call: &Call) -> Result<FrozenClientRequest, FreezeRequestError> {
        let mut pool = self.pool.borrow_mut();
        let used = pool.get_or_insert_with(|| {
            let (left, life) = (Rc::downgrade(&self.pool), self.life);
            actix_web::rt::spawn(async move {
                tokio::time::sleep(life).await;
                // a transport that is gone has none
                if let Some(pool) = left.upgrade() {
                    pool.take();
                }
            });
            Pool::new()
        });
        used.head(to, call)
    }

    async fn exchange(&self, to: &NodeAddr, call: &Call) -> Reply {
        let head = self
            .head(to, call)
            .map_err(|why| CallError::new(ErrorKind::Unreachable, format!("{to} is not where a node can be: {why}")))?;
        let left = u64::try_from(call.context.time_left.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut headers = HeaderMap::with_capacity(3);
        headers.insert(DEADLINE.clone(), HeaderValue::from(left));
        headers.insert(DEPTH.clone(), HeaderValue::from(call.context.depth));
        let mut request = head.extra_headers(headers);
        if let Some(id) = &call.context.request {
            request = request.extra_header((REQUEST.clone(), id.as_ref()));
        }
        let mut response =
            request.send_body(wire::encode_arguments(&call.arguments)).await.map_err(|why| refused(to, &why))?;
        let broke_off = |why: &dyn std::fmt::Display| {
            CallError::new(ErrorKind::Interrupted, format!("the answer of {to} broke off: {why}"))
        };
        let body = response.body().limit(self.limits.bytes).await.map_err(|why| match why {
            awc::error::PayloadError::Overflow => {
                let message = format!("the answer of {to} is larger than {} bytes", self.limits.bytes);
                CallError::new(ErrorKind::BadAnswer, message)
            }
            why => broke_off(&why),
        })?;
        // awc takes the end of the connection for the end of the body
        let announced = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: usize| length != body.len()) {
            return Err(broke_off(&format!("it has {} bytes of {}", body.len(), announced.unwrap_or_default())));
        }
        let bad = |why: &dyn std::fmt::Display| {
            CallError::new(
                ErrorKind::BadAnswer,
                format!("{to} answered no [error, value] ({}): {why}", response.status()),
            )
        };
        let (error, value) = wire::decode_pair(&body, &self.limits).map_err(|why| bad(&why))?;
        // where there was no call there is no group whose members failed: an object is one error, as people are told it
        if !response.status().is_success() && !error.is_nullish() {
            return Err(CallError::from_value(error));
        }
        reply_from_pair(error, value)
    }
}

impl Transport for HttpTransport {
    fn resolve(&self, host: &str, port: u16) -> LocalBoxFuture<'static, Result<Vec<NodeAddr>, CallError>> {
        let host = host.to_owned();
        async move {
            let unknown = |why: &dyn std::fmt::Display| {
                CallError::new(ErrorKind::Unreachable, format!("the name {host} stands for no address: {why}"))
            };
            // `localhost` is no other node than 127.0.0.1, whatever a resolver prefers
            if host::canonical(&host).parse::<IpAddr>().is_ok() {
                return Ok(vec![NodeAddr::new(host, port)]);
            }
            let name = host.clone();
            let found = tokio::task::spawn_blocking(move || (name.as_str(), port).to_socket_addrs()).await;
            let found = found.map_err(|why| unknown(&why))?.map_err(|why| unknown(&why))?;
            let mut nodes: Vec<NodeAddr> = Vec::new();
            for address in found {
                let node = NodeAddr::new(address.ip().to_string(), port);
                if !nodes.contains(&node) {
                    nodes.push(node);
                }
            }
            Ok(nodes)
        }
        .boxed_local()
    }

    fn call(&self, to: &NodeAddr, call: Call) -> LocalBoxFuture<'static, Reply> {
        let deadline = Instant::now() + call.context.time_left;
        let (transport, to) = (self.clone(), to.clone());
        async move {
            let exchange = transport.exchange(&to, &call);
            timeout_at(deadline, exchange).await.unwrap_or_else(|_| {
                let late = format!("{to} did not answer {call} in time");
                Err(CallError::new(ErrorKind::DeadlineExceeded, late))
            })
        }
        .boxed_local()
    }
}

/// Where a call goes.
fn url(to: &NodeAddr, call: &Call) -> String {
    let names = [call.gid.as_str(), &call.service, &call.method];
    let authority = to.authority();
    let mut url = String::with_capacity(16 + authority.len() + names.map(str::len).iter().sum::<usize>());
    url.push_str("http://");
    url.push_str(&authority);
    for name in names {
        url.push('/');
        url.extend(utf8_percent_encode(name, SEGMENT));
    }
    url
}

/// What a request that was not answered means for whether it was performed.
fn refused(to: &NodeAddr, why: &SendRequestError) -> CallError {
    let kind = match why {
        SendRequestError::Connect(ConnectError::Disconnected) => ErrorKind::Interrupted,
        SendRequestError::Connect(_) | SendRequestError::Url(_) => ErrorKind::Unreachable,
        SendRequestError::Timeout => ErrorKind::DeadlineExceeded,
        _ => ErrorKind::Interrupted,
    };
    let why = match why {
        SendRequestError::Connect(ConnectError::Io(why)) if why.kind() == io::ErrorKind::ConnectionRefused => {
            "connection refused".to_owned()
        }
        why => why.to_string(),
    };
    CallError::new(kind, format!("{to}: {why}"))
}
