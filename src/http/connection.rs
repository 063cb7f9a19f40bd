//! The connections of the HTTP client, wrapped so that an exchange knows the state of its connection.
//!
//! ```text
//! the pool looks for an idle connection  -> poll_read returns "closed" if the server is about to close the connection, or if
//!                                           the exchange needs a fresh one; the pool drops the connection and goes on
//! the request is written                 -> the exchange learns its connection, and whether the connection had been idle
//! the first byte of the answer is read   -> the request has arrived, so a connection that ends now has broken the answer
//! the answer is complete                 -> the connection is idle, for as long as the server's `Keep-Alive: timeout` allows
//! ```
//!
//! awc reports none of this to its caller and has one idle time for all servers. But it reads from an idle connection before it
//! uses the connection, and drops it if the read finds the end. The exchange is a task-local value, because awc has no other
//! way to pass a value from the caller of a request to the socket.

use std::{
    cell::{Cell, RefCell},
    fmt, io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use actix_tls::connect::{ConnectError, ConnectInfo, Connection as Connected};
use actix_web::{
    dev::Service,
    http::{Uri, header::HeaderMap},
    rt::net::{ActixStream, Ready, TcpStream},
};
use futures_util::future::LocalBoxFuture;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// How long before its server closes an idle connection the client stops using it. This covers the time that the last answer
/// took to arrive and that the next request takes. It is a guess, larger than any round trip within a group.
const MARGIN: Duration = Duration::from_secs(1);

tokio::task_local! {
    static EXCHANGE: Exchange;
}

/// One request and its answer.
#[derive(Clone)]
pub(super) struct Exchange(Rc<Progress>);

struct Progress {
    /// Whether the exchange uses no idle connection.
    fresh: bool,
    /// The connection that the request was written to.
    over: RefCell<Option<Rc<State>>>,
}

impl Exchange {
    /// An exchange over any connection, or, if `fresh`, over one that is opened for it.
    pub(super) fn new(fresh: bool) -> Exchange {
        Exchange(Rc::new(Progress { fresh, over: RefCell::default() }))
    }

    /// Runs a part of the exchange. The sockets that it reads and writes then know the exchange.
    pub(super) async fn run<F: Future>(&self, part: F) -> F::Output {
        EXCHANGE.scope(self.clone(), part).await
    }

    /// Whether the request was written to a connection that had been idle, and no byte of an answer has been read. If the
    /// exchange has failed, the server most likely closed the idle connection at that moment.
    pub(super) fn is_unanswered_after_idle(&self) -> bool {
        let over = self.0.over.borrow();
        over.as_ref().is_some_and(|state| state.reused.get() && !state.answered.get())
    }

    /// Records that the answer is complete, and how long its server keeps the connection.
    pub(super) fn complete(&self, headers: &HeaderMap) {
        if let Some(state) = &*self.0.over.borrow() {
            state.idle_since.set(Some(Instant::now()));
            if let Some(timeout) = stated_timeout(headers) {
                state.most_idle.set(Some(timeout.saturating_sub(MARGIN)));
            }
        }
    }
}

/// Reads the idle time after which a server says that it closes a connection: `Keep-Alive: timeout=5, max=100`.
fn stated_timeout(headers: &HeaderMap) -> Option<Duration> {
    let parameters = headers.get("keep-alive")?.to_str().ok()?.split(',');
    let seconds = parameters.filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"').parse().ok()?;
        name.trim().eq_ignore_ascii_case("timeout").then_some(value)
    });
    seconds.min().map(Duration::from_secs)
}

/// The state of a connection.
#[derive(Debug, Default)]
struct State {
    /// When the connection became idle. `None` while an exchange is under way, and before the first.
    idle_since: Cell<Option<Instant>>,
    /// How long the connection can be idle. `None` if the server does not say.
    most_idle: Cell<Option<Duration>>,
    /// Whether the connection was idle before the latest exchange.
    reused: Cell<bool>,
    /// Whether any byte of the latest exchange's answer has been read.
    answered: Cell<bool>,
}

impl State {
    /// Whether the connection is idle and must not be used again.
    fn is_spent(&self, now: Instant) -> bool {
        let idle = self.idle_since.get().map(|since| now.saturating_duration_since(since));
        idle.zip(self.most_idle.get()).is_some_and(|(idle, most)| idle >= most)
    }
}

/// A connection of the client.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    state: Rc<State>,
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.state.idle_since.get().is_some() {
            let fresh = EXCHANGE.try_with(|exchange| exchange.0.fresh).unwrap_or(false);
            if fresh || self.state.is_spent(Instant::now()) {
                // a read of nothing is the end of the connection
                return Poll::Ready(Ok(()));
            }
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.state.answered.set(true);
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.state.idle_since.take().is_some() {
            self.state.reused.set(true);
            self.state.answered.set(false);
        }
        // an error means that no exchange uses the connection
        let _ = EXCHANGE.try_with(|exchange| {
            exchange.0.over.borrow_mut().get_or_insert_with(|| self.state.clone());
        });
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl ActixStream for Socket {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_read_ready(&self.stream, cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_write_ready(&self.stream, cx)
    }
}

/// Opens connections as awc does, and wraps them.
#[derive(Clone)]
pub(super) struct Connect<S>(S);

/// Returns the service that opens the client's connections.
pub(super) fn connect()
-> Connect<impl Service<ConnectInfo<Uri>, Response = Connected<Uri, TcpStream>, Error = ConnectError> + Clone> {
    Connect(actix_tls::connect::Connector::default().service())
}

impl<S> fmt::Debug for Connect<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connect")
    }
}

impl<S> Service<ConnectInfo<Uri>> for Connect<S>
where
    S: Service<ConnectInfo<Uri>, Response = Connected<Uri, TcpStream>, Error = ConnectError>,
    S::Future: 'static,
{
    type Response = Connected<Uri, Socket>;
    type Error = ConnectError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.0.poll_ready(cx)
    }

    fn call(&self, to: ConnectInfo<Uri>) -> Self::Future {
        let connecting = self.0.call(to);
        Box::pin(async move {
            let (stream, connected) = connecting.await?.replace_io(());
            Ok(connected.replace_io(Socket { stream, state: Rc::default() }).1)
        })
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn stated(text: &'static str) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("keep-alive"), HeaderValue::from_static(text));
        stated_timeout(&headers).map(|timeout| timeout.as_secs())
    }

    #[test]
    fn the_timeout_of_a_keep_alive_header_is_read() {
        assert_eq!(stated("timeout=5"), Some(5));
        assert_eq!(stated("max=100, Timeout = \"72\""), Some(72));
        assert_eq!(stated("timeout=9, timeout=3"), Some(3));
        for text in ["", "max=5", "timeout", "timeout=", "timeout=-1", "timeout=soon"] {
            assert_eq!(stated(text), None, "{text}");
        }
    }

    #[test]
    fn an_idle_connection_is_spent_a_margin_before_its_server_closes_it() {
        let now = Instant::now();
        let state = State::default();
        state.idle_since.set(Some(now));
        assert!(!state.is_spent(now + Duration::from_secs(3_600)), "the server stated no timeout");
        state.most_idle.set(Some(Duration::from_secs(5) - MARGIN));
        assert!(!state.is_spent(now + Duration::from_millis(3_999)));
        assert!(state.is_spent(now + Duration::from_secs(4)));
        state.idle_since.set(None);
        assert!(!state.is_spent(now + Duration::from_secs(4)), "an exchange is under way");
    }
}
