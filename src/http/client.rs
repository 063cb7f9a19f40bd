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
//! A server may close an idle connection sooner. If it says when (`Keep-Alive: timeout=5`, as Node.js does), the connection
//! is not used in the last second before that. If it closes the connection just as a request is sent, a call that is
//! [repeatable](Call::is_repeatable) is sent again, once, over a fresh connection; any other call is `Interrupted`, since it
//! may have been performed.
//!
//! [`call_kept`](Transport::call_kept) has connections of its own, one to each of at most [`MOST_KEPT`](HttpTransport::MOST_KEPT) peers, which end
//! only when the peer has not been called so for a minute.
//!
//! What all calls of one method on one node have in common, the most of a request's head, is made once and kept for as
//! long as it is among the last in use: to write a URL, have it parsed, and fill a new map of headers took more than a
//! message through an actor does.

use std::{
    cell::{Cell, RefCell},
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

use super::{
    DEADLINE, DEPTH, JSON, REQUEST, THIS_VERSION, VERSION,
    connection::{Exchange, connect},
};

/// How long an unused connection is kept. Shorter than the server's [`KEEP_ALIVE`](super::server::KEEP_ALIVE).
const IDLE: Duration = Duration::from_secs(20);

/// How long a pool of connections is used, from its first call on. At 30 s a peer that is called all the time is connected
/// to anew twice a minute, and a connection that nobody uses is closed within twice that.
const POOL: Duration = Duration::from_secs(30);

/// How many heads of requests are kept. Each takes some 1.3 kB; a guess at how many methods, times peers, are called over
/// and over by a node that is in a hurry.
const HEADS: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// How long a kept connection that is not used stays open. Shorter than the server's
/// [`KEEP_ALIVE`](super::server::KEEP_ALIVE), and several times as long as the time between two probes of a peer.
const KEPT: Duration = Duration::from_secs(60);

/// How many heads of requests are kept with each kept connection. They carry one or two methods.
const KEPT_HEADS: NonZeroUsize = NonZeroUsize::new(2).unwrap();

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
    kept: Rc<RefCell<LruCache<Peer, Kept>>>,
    /// How long a kept connection stays open unused.
    kept_life: Duration,
    limits: Rc<Limits>,
}

/// A node by its address.
type Peer = (EcoString, u16);

/// The connection that is kept open to one peer. A client of its own has it, because awc closes the idle connections of a
/// client only all at once.
struct Kept {
    pool: Pool,
    used: Instant,
    under_way: Rc<Cell<bool>>,
}

/// The turn of a call on a kept connection.
struct Turn(Rc<Cell<bool>>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.set(false);
    }
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
    /// An empty one, whose connections are used for as long as `life`, and kept unused for as long as `idle`.
    fn new(idle: Duration, life: Duration, heads: NonZeroUsize) -> Pool {
        let connector = awc::Connector::new().connector(connect()).limit(0);
        let connector = connector.conn_keep_alive(idle).conn_lifetime(life);
        let client =
            awc::Client::builder().connector(connector).disable_timeout().disable_redirects().no_default_headers();
        Pool { client: client.finish(), heads: LruCache::new(heads) }
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
    /// How many peers a transport keeps a connection to for [`call_kept`](Transport::call_kept). The one that was called so
    /// the longest ago makes room for the next. A guess: several times as many as a node has reason to watch so.
    pub const MOST_KEPT: usize = 32;

    /// A client with connections of its own.
    pub fn new(limits: Limits) -> HttpTransport {
        let kept = Rc::new(RefCell::new(LruCache::unbounded()));
        HttpTransport { pool: Rc::default(), life: POOL, kept, kept_life: KEPT, limits: Rc::new(limits) }
    }

    /// Leaves its connections to end after so long. Default 30 s.
    #[must_use]
    pub fn pool_life(self, life: Duration) -> HttpTransport {
        HttpTransport { life, ..self }
    }

    /// Closes a kept connection that has not been used for so long. Default 60 s; a server keeps it for 75 s.
    #[must_use]
    pub fn kept_life(self, kept_life: Duration) -> HttpTransport {
        HttpTransport { kept_life, ..self }
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
            Pool::new(IDLE, POOL, HEADS)
        });
        used.head(to, call)
    }

    /// The head of a call on the kept connection to a peer, and the turn there. None while another call is under way on it.
    fn kept_head(&self, to: &NodeAddr, call: &Call) -> Result<Option<(FrozenClientRequest, Turn)>, FreezeRequestError> {
        let mut peers = self.kept.borrow_mut();
        if peers.is_empty() {
            self.close_unused();
        }
        let peer = (to.ip().into(), to.port());
        if !peers.contains(&peer) && peers.len() >= HttpTransport::MOST_KEPT {
            peers.pop_lru();
        }
        let kept = peers.get_or_insert_mut(peer, || Kept {
            // a connection that is in use does not grow too old
            pool: Pool::new(self.kept_life, Duration::MAX, KEPT_HEADS),
            used: Instant::now(),
            under_way: Rc::default(),
        });
        kept.used = Instant::now();
        if kept.under_way.get() {
            return Ok(None);
        }
        let head = kept.pool.head(to, call)?;
        kept.under_way.set(true);
        Ok(Some((head, Turn(kept.under_way.clone()))))
    }

    /// Closes the kept connections that are used no more, until there are none.
    fn close_unused(&self) {
        let (kept, life) = (Rc::downgrade(&self.kept), self.kept_life);
        actix_web::rt::spawn(async move {
            let mut wake = Instant::now() + life;
            loop {
                tokio::time::sleep_until(wake).await;
                // a transport that is gone has none
                let Some(peers) = kept.upgrade() else { return };
                let mut peers = peers.borrow_mut();
                let now = Instant::now();
                loop {
                    match peers.peek_lru().map(|(_, peer)| peer.used + life) {
                        None => return,
                        Some(end) if end <= now => drop(peers.pop_lru()),
                        Some(end) => {
                            wake = end;
                            break;
                        }
                    }
                }
            }
        });
    }

    /// Makes a call with this head. One that can be repeated is made again if its connection had been idle and ended before
    /// any of the answer arrived.
    async fn exchange(&self, to: &NodeAddr, call: &Call, head: &FrozenClientRequest, deadline: Instant) -> Reply {
        let exchange = Exchange::new(false);
        let reply = exchange.run(self.attempt(&exchange, to, call, head, deadline)).await;
        match reply {
            Err(why) if exchange.is_unanswered_after_idle() && call.is_repeatable() => {
                log::debug!(target: "chinwag::http", "{call} is sent again: {why}");
                let again = Exchange::new(true);
                again.run(self.attempt(&again, to, call, head, deadline)).await
            }
            reply => reply,
        }
    }

    async fn attempt(
        &self,
        exchange: &Exchange,
        to: &NodeAddr,
        call: &Call,
        head: &FrozenClientRequest,
        deadline: Instant,
    ) -> Reply {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
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
        exchange.complete(response.headers());
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
            let head = transport.head(&to, &call).map_err(|why| unreachable(&to, &why))?;
            let exchange = transport.exchange(&to, &call, &head, deadline);
            timeout_at(deadline, exchange).await.unwrap_or_else(|_| Err(late(&to, &call)))
        }
        .boxed_local()
    }

    /// Over a connection that stays open for a minute after its last use. If a call is under way on it, this one is an
    /// ordinary call, so that it does not wait for the other.
    fn call_kept(&self, to: &NodeAddr, call: Call) -> LocalBoxFuture<'static, Reply> {
        let deadline = Instant::now() + call.context.time_left;
        let (transport, to) = (self.clone(), to.clone());
        async move {
            let Some((head, _turn)) = transport.kept_head(&to, &call).map_err(|why| unreachable(&to, &why))? else {
                return transport.call(&to, call).await;
            };
            let exchange = transport.exchange(&to, &call, &head, deadline);
            timeout_at(deadline, exchange).await.unwrap_or_else(|_| Err(late(&to, &call)))
        }
        .boxed_local()
    }
}

fn unreachable(to: &NodeAddr, why: &FreezeRequestError) -> CallError {
    CallError::new(ErrorKind::Unreachable, format!("{to} is not where a node can be: {why}"))
}

fn late(to: &NodeAddr, call: &Call) -> CallError {
    CallError::new(ErrorKind::DeadlineExceeded, format!("{to} did not answer {call} in time"))
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
    match why {
        SendRequestError::Connect(ConnectError::Io(why)) if why.kind() == io::ErrorKind::ConnectionRefused => {
            CallError::refused(format!("{to}: connection refused"))
        }
        why => CallError::new(kind, format!("{to}: {why}")),
    }
}
