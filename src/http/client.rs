//! The way out over HTTP.
//!
//! awc's own bounds are left aside, as each spans what it should not: its connection limit is one for all hosts, and
//! its timer stops at the answer's head. The calls to each peer are bounded by the actor that sends them, and the whole
//! exchange, from connecting to the last byte, by the call's deadline. Idle connections are closed before the server
//! at the other end would, so that none is closed under a request.

use std::{
    io,
    net::{IpAddr, ToSocketAddrs},
    rc::Rc,
    time::Duration,
};

use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use awc::error::{ConnectError, SendRequestError};
use chinwag_actors::transport::Transport;
use chinwag_protocol::{
    call::{Call, CallError, ErrorKind, Reply, reply_from_pair},
    identity::NodeAddr,
    wire::{self, Limits},
};
use futures_util::{FutureExt, future::LocalBoxFuture};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tokio::time::{Instant, timeout_at};

use super::{DEADLINE, DEPTH, JSON, REQUEST, THIS_VERSION, VERSION};

/// How long an unused connection is kept. Shorter than the server's [`KEEP_ALIVE`](super::server::KEEP_ALIVE).
const IDLE: Duration = Duration::from_secs(20);

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
    client: awc::Client,
    limits: Rc<Limits>,
}

impl HttpTransport {
    /// A client with a pool of connections of its own.
    pub fn new(limits: Limits) -> HttpTransport {
        let connector = awc::Connector::new().limit(0).conn_keep_alive(IDLE).conn_lifetime(Duration::from_secs(3_600));
        let client =
            awc::Client::builder().connector(connector).disable_timeout().disable_redirects().no_default_headers();
        HttpTransport { client: client.finish(), limits: Rc::new(limits) }
    }

    async fn exchange(&self, to: &NodeAddr, call: &Call) -> Reply {
        let left = u64::try_from(call.context.time_left.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut request = self
            .client
            .put(url(to, call))
            .insert_header((CONTENT_TYPE, JSON.clone()))
            .insert_header((VERSION.clone(), THIS_VERSION.clone()))
            .insert_header((DEADLINE.clone(), HeaderValue::from(left)))
            .insert_header((DEPTH.clone(), HeaderValue::from(call.context.depth)));
        if let Some(id) = &call.context.request {
            request = request.insert_header((REQUEST.clone(), id.as_ref()));
        }
        let mut response =
            request.send_body(wire::encode_arguments(&call.arguments)).await.map_err(|why| refused(to, &why))?;
        let body = response.body().limit(self.limits.bytes).await.map_err(|why| match why {
            awc::error::PayloadError::Overflow => {
                let message = format!("the answer of {to} is larger than {} bytes", self.limits.bytes);
                CallError::new(ErrorKind::BadAnswer, message)
            }
            why => CallError::new(ErrorKind::Interrupted, format!("the answer of {to} broke off: {why}")),
        })?;
        let bad = |why: &dyn std::fmt::Display| {
            CallError::new(
                ErrorKind::BadAnswer,
                format!("{to} answered no [error, value] ({}): {why}", response.status()),
            )
        };
        let (error, value) = wire::decode_pair(&body, &self.limits).map_err(|why| bad(&why))?;
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
            if host.parse::<IpAddr>().is_ok() {
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
