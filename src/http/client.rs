//! The HTTP client: a [`Transport`] that carries calls as HTTP requests.
//!
//! The bounds of awc are switched off: its connection limit spans all hosts, and its timer stops at the head of the answer.
//! Instead, the actor that sends the calls bounds those to each peer, and the call's deadline bounds the whole exchange, from
//! connecting to the last byte. The client closes an idle connection before a server of this crate would, so that no server
//! closes a connection on which a request is being sent.
//!
//! awc closes the idle connections to a peer only when that peer is called again, so connections to a peer that is never called
//! again would stay open. Connections are therefore kept in a pool that is dropped after a while
//! ([`HttpTransport::pool_life`]), with its idle connections; those in use go on until their calls have ended.
//!
//! A server may close an idle connection sooner. If it says when (`Keep-Alive: timeout=5`, as Node.js does), the client does not
//! use the connection in the last second before that. If the server closes the connection while a request is being sent, a
//! call that is [repeatable](Call::is_repeatable) is sent again, once, over a fresh connection. Any other call is
//! `Interrupted`, because it may have been performed.
//!
//! [`call_kept`](Transport::call_kept) has connections of its own, one to each of at most
//! [`MOST_KEPT`](HttpTransport::MOST_KEPT) peers. Such a connection ends only when the peer has not been called this way for a
//! minute.
//!
//! Most of a request's head is the same in all calls of one method on one node. It is made once, and the heads that were used
//! last are kept: writing a URL, parsing it, and filling a new map of headers took longer than a message to an actor.

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
use chinwag_actors::transport::{Transport, TransportFuture};
use chinwag_protocol::{
    call::{Call, CallError, ErrorKind, Reply, reply_from_pair},
    host,
    identity::{Gid, NodeAddr},
    value::EcoString,
    wire::{self, Limits},
};
use futures_util::FutureExt as _;
use lru::LruCache;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tokio::time::{Instant, timeout_at};

use super::{
    DEADLINE, DEPTH, JSON, REQUEST, THIS_VERSION, VERSION,
    connection::{Exchange, connect},
};

/// How long an unused connection is kept. Shorter than the server's [`KEEP_ALIVE`](super::server::KEEP_ALIVE).
const IDLE: Duration = Duration::from_secs(20);

/// How long a pool of connections is used, from its first call on. With 30 s, a peer that is called all the time gets a new
/// connection twice a minute, and an unused connection is closed within a minute.
const POOL: Duration = Duration::from_secs(30);

/// How many heads of requests are kept. Each takes about 1.3 kB. This is a guess at how many methods, times peers, a busy node
/// calls over and over.
const HEADS: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// How long an unused kept connection stays open. Shorter than the server's [`KEEP_ALIVE`](super::server::KEEP_ALIVE), and
/// several times as long as the time between two probes of a peer.
const KEPT: Duration = Duration::from_secs(60);

/// How many heads of requests are kept with each kept connection, which carries one or two methods.
const KEPT_HEADS: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// The characters that a path segment has only in percent-encoded form.
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

/// Carries calls as HTTP requests. It is made on the thread that uses it.
///
/// ```
/// use chinwag::{Call, Gid, HttpTransport, Limits, Node, actors::transport::Transport};
/// # actix_web::rt::System::new().block_on(async {
/// # let node = Node::builder().port(0).start().await?;
/// let transport = HttpTransport::new(Limits::default());
/// let call = Call::new(Gid::local(), "status", "get", vec!["sid".into()]);
/// let sid = transport.call(node.addr(), call).await?.into_value();
/// assert_eq!(sid.as_str(), Some(node.sid().as_str()));
/// # node.stop().await;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct HttpTransport {
    /// The pool in use, or `None` if no peer has been called for a while.
    pool: Rc<RefCell<Option<Pool>>>,
    /// How long a pool is used.
    life: Duration,
    kept: Rc<RefCell<LruCache<Peer, Kept>>>,
    /// How long an unused kept connection stays open.
    kept_life: Duration,
    limits: Rc<Limits>,
}

/// The address of a node.
type Peer = (EcoString, u16);

/// The connection that is kept open to one peer. It has a client of its own, because awc can only close all idle connections of
/// a client at once.
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

/// The method of a node that a head names.
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
    /// An empty pool, whose connections are used for as long as `life`, and kept unused for as long as `idle`.
    fn new(idle: Duration, life: Duration, heads: NonZeroUsize) -> Pool {
        let connector = awc::Connector::new().connector(connect()).limit(0);
        let connector = connector.conn_keep_alive(idle).conn_lifetime(life);
        let client =
            awc::Client::builder().connector(connector).disable_timeout().disable_redirects().no_default_headers();
        Pool { client: client.finish(), heads: LruCache::new(heads) }
    }

    /// Returns the part of the head that all requests for this method of this node have in common.
    fn head(&mut self, to: &NodeAddr, call: &Call) -> Result<FrozenClientRequest, FreezeRequestError> {
        let Pool { client, heads } = self;
        let make = || {
            let mut request = client.put(url(to, call));
            // a new request has room for many more headers
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
    /// The number of peers to which a transport keeps a connection for [`call_kept`](Transport::call_kept). The connection that
    /// was used least recently makes room for the next. This is a guess: several times as many peers as a node watches this
    /// way.
    pub const MOST_KEPT: usize = 32;

    /// Returns a transport with connections of its own. The limits bound the requests that it writes and the answers that
    /// it reads.
    pub fn new(limits: Limits) -> HttpTransport {
        let kept = Rc::new(RefCell::new(LruCache::unbounded()));
        HttpTransport { pool: Rc::default(), life: POOL, kept, kept_life: KEPT, limits: Rc::new(limits) }
    }

    /// Sets how long connections are used. Default: 30 s.
    #[must_use]
    pub fn pool_life(self, life: Duration) -> HttpTransport {
        HttpTransport { life, ..self }
    }

    /// Sets how long an unused kept connection stays open. A server keeps it for 75 s. Default: 60 s.
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
                // a transport that is gone has no pool
                if let Some(pool) = left.upgrade() {
                    pool.take();
                }
            });
            Pool::new(IDLE, POOL, HEADS)
        });
        used.head(to, call)
    }

    /// Returns the head of a call on the kept connection to a peer, and the turn on that connection. `None` while another call is
    /// under way on it.
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
            // a connection that is in use is kept however old it is
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

    /// Starts a task that closes unused kept connections, until there are no kept connections.
    fn close_unused(&self) {
        let (kept, life) = (Rc::downgrade(&self.kept), self.kept_life);
        actix_web::rt::spawn(async move {
            let mut wake = Instant::now() + life;
            loop {
                tokio::time::sleep_until(wake).await;
                // a transport that is gone has no connections
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

    /// Makes a call with this head. A repeatable call is made again if its connection had been idle and ended before any of the
    /// answer arrived.
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
        let body = wire::encode_arguments(&call.arguments, &self.limits)
            .map_err(|why| CallError::unwritten_arguments(format_args!("{call} of {to}"), &why))?;
        let mut response = request.send_body(body).await.map_err(|why| refused(to, &why))?;
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
        // awc reports the end of the connection as the end of the body
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
        // if there was no call, an object is not a group's errors by member but one error in plain form
        if !response.status().is_success() && !error.is_nullish() {
            return Err(CallError::from_value(error));
        }
        reply_from_pair(error, value)
    }
}

impl Transport for HttpTransport {
    fn resolve(&self, host: &str, port: u16) -> TransportFuture<Result<Vec<NodeAddr>, CallError>> {
        let host = host.to_owned();
        async move {
            let unknown = |why: &dyn std::fmt::Display| {
                CallError::new(ErrorKind::Unreachable, format!("the name {host} stands for no address: {why}"))
            };
            // `localhost` is the node 127.0.0.1, even if a resolver prefers another address
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

    fn call(&self, to: &NodeAddr, call: Call) -> TransportFuture<Reply> {
        let deadline = Instant::now() + call.context.time_left;
        let (transport, to) = (self.clone(), to.clone());
        async move {
            let head = transport.head(&to, &call).map_err(|why| unreachable(&to, &why))?;
            let exchange = transport.exchange(&to, &call, &head, deadline);
            timeout_at(deadline, exchange).await.unwrap_or_else(|_| Err(late(&to, &call)))
        }
        .boxed_local()
    }

    /// Makes a call over a connection that stays open for a minute after its last use. If another call is under way on it, this
    /// is an ordinary call, so that it does not wait for the other.
    fn call_kept(&self, to: &NodeAddr, call: Call) -> TransportFuture<Reply> {
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
    CallError::new(ErrorKind::Unreachable, format!("{to} is not a valid address of a node: {why}"))
}

fn late(to: &NodeAddr, call: &Call) -> CallError {
    CallError::new(ErrorKind::DeadlineExceeded, format!("{to} did not answer {call} in time"))
}

/// The URL of a call.
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

/// The error of a request that was not answered. Its kind says whether the call may have been performed.
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
