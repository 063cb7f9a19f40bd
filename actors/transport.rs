//! The way out: how a call reaches a service on another node.
//!
//! There are two: HTTP between processes, and the simulated network between nodes of one process. Both pass the same
//! [`contract`], so that what is proven over the one holds over the other.

use std::time::Duration;

use chinwag_protocol::{
    call::{Call, CallContext, CallError, Reply},
    identity::NodeAddr,
    peer,
};
use futures_util::future::LocalBoxFuture;

/// Carries a call to another node and its reply back.
///
/// The contract: the call's `time_left` bounds the whole exchange, past which it ends as `DeadlineExceeded`; a node
/// that is not there is `Unreachable`, which promises that nothing was performed; a connection that breaks before the
/// answer is `Interrupted`, which promises nothing. A call is performed at most once, unless it is
/// [repeatable](Call::is_repeatable). Calls are independent: a slow one delays no other.
pub trait Transport {
    /// Starts the exchange.
    fn call(&self, to: &NodeAddr, call: Call) -> LocalBoxFuture<'static, Reply>;

    /// The same over a connection that this node then keeps open to the peer for as long as it calls it so, at least once
    /// a minute. The peer can take the end of that connection for a sign that this node has ended. A transport without
    /// connections makes an ordinary call.
    fn call_kept(&self, to: &NodeAddr, call: Call) -> LocalBoxFuture<'static, Reply> {
        self.call(to, call)
    }

    /// Starts the exchange of a request of gossip or membership, as the call that carries it. A transport between nodes of
    /// one process can hand it over as it is.
    fn ask(&self, to: &NodeAddr, request: peer::Outgoing, time_left: Duration) -> LocalBoxFuture<'static, peer::Reply> {
        let call = request.call().within(CallContext { time_left, ..CallContext::default() });
        let method = request.request().method();
        let reply = match request.request().keeps_connection() {
            true => self.call_kept(to, call),
            false => self.call(to, call),
        };
        Box::pin(async move { method.read_reply(reply.await) })
    }

    /// Where the node is, or the nodes are, that a host's name and a port stand for. Without names: there.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`](chinwag_protocol::call::ErrorKind::Unreachable) for a name that stands for nothing.
    fn resolve(&self, host: &str, port: u16) -> LocalBoxFuture<'static, Result<Vec<NodeAddr>, CallError>> {
        let node = NodeAddr::new(host, port);
        Box::pin(async move { Ok(vec![node]) })
    }
}

/// What every transport is held to. Run by the tests of each, against a node whose `echo` service answers its
/// argument from `echo.say` and never from `echo.never`.
pub mod contract {
    use chinwag_protocol::{
        call::{Answer, ErrorKind},
        identity::Gid,
        value::Value,
    };
    use futures_util::future::join_all;

    use super::{Call, CallContext, Duration, NodeAddr, Transport};

    fn call(method: &str, argument: Value, time_left: Duration) -> Call {
        let context = CallContext { time_left, ..CallContext::default() };
        Call::new(Gid::local(), "echo", method, vec![argument]).within(context)
    }

    /// Walks the contract's sentences. `there` runs the echo service; at `nowhere` nobody listens.
    ///
    /// # Panics
    /// Where the transport breaks one of them: it is a test.
    #[allow(clippy::panic, clippy::expect_used)]
    pub async fn holds(transport: &dyn Transport, there: &NodeAddr, nowhere: &NodeAddr) {
        let second = Duration::from_secs(1);

        // a value arrives as it left
        let value = Value::from(vec![Value::from("héllo 🐦"), Value::from(0.1), Value::Null, Value::Undefined]);
        let reply = transport.call(there, call("say", value.clone(), second)).await;
        assert_eq!(reply, Ok(Answer::Value(value)));

        // large ones too
        let large = Value::from("x".repeat(1 << 20));
        let reply = transport.call(there, call("say", large.clone(), 60 * second)).await;
        assert_eq!(reply, Ok(Answer::Value(large)));

        // nobody there
        let error = transport.call(nowhere, call("say", Value::Null, second)).await.expect_err("nobody is there");
        assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");

        // no answer within the deadline
        let started = tokio::time::Instant::now();
        let short = Duration::from_millis(200);
        let error = transport.call(there, call("never", Value::Null, short)).await.expect_err("it never answers");
        assert_eq!(error.kind, ErrorKind::DeadlineExceeded, "{error}");
        assert!(started.elapsed() >= short / 2, "the deadline came early: {:?}", started.elapsed());

        // what fails there fails here, by the same name
        let error = transport.call(there, call("nothing", Value::Null, second)).await.expect_err("no such method");
        assert_eq!(error.kind, ErrorKind::UnknownMethod, "{error}");

        // a slow call delays no other
        let slow = transport.call(there, call("never", Value::Null, second));
        let quick = join_all((0..32).map(|n| transport.call(there, call("say", Value::from(n), second))));
        let (slow, quick) = futures_util::join!(slow, quick);
        assert!(slow.is_err());
        for (n, reply) in quick.into_iter().enumerate() {
            assert_eq!(reply, Ok(Answer::Value(Value::from(n as u32))));
        }
    }
}
