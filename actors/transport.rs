//! How calls leave a node: the [`Transport`], which carries a call to a service of another node.
//!
//! There are two transports: HTTP between processes, and the simulated network between nodes of one process. Both pass the
//! same [`contract`], so that a result of the simulator also holds over HTTP.

use std::{pin::Pin, time::Duration};

use chinwag_protocol::{
    call::{Call, CallContext, CallError, ErrorKind, Reply},
    identity::NodeAddr,
    peer,
};

/// What a [`Transport`] answers later, on the thread of its node.
pub type TransportFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// Carries a call to another node, and its reply back.
///
/// The contract:
///
/// - The call's `time_left` bounds the whole exchange. Past it the call ends as `DeadlineExceeded`.
/// - If nothing listens at the node's address, the call ends as `Unreachable`, which means that nothing was performed.
/// - If a connection breaks before the answer, the call ends as `Interrupted`: it may have been performed.
/// - A call is performed at most once, unless it is [repeatable](Call::is_repeatable).
/// - Calls are independent of each other: a slow call delays no other.
pub trait Transport {
    /// Makes a call.
    fn call(&self, to: &NodeAddr, call: Call) -> TransportFuture<Reply>;

    /// Makes a call over a connection that this node keeps open to the peer, for as long as it makes such calls at least
    /// once a minute. The peer can take the end of that connection for a sign that this node has ended. A transport without
    /// connections makes an ordinary call.
    fn call_kept(&self, to: &NodeAddr, call: Call) -> TransportFuture<Reply> {
        self.call(to, call)
    }

    /// Makes a request of gossip or membership, as the call that carries it. A transport between nodes of one process can
    /// hand over the request itself.
    fn ask(&self, to: &NodeAddr, request: peer::Outgoing, time_left: Duration) -> TransportFuture<peer::Reply> {
        let call = request.call().within(CallContext::new(time_left));
        let method = request.request().method();
        let reply = match request.request().keeps_connection() {
            true => self.call_kept(to, call),
            false => self.call(to, call),
        };
        Box::pin(async move { method.read_reply(reply.await) })
    }

    /// Resolves a host's name and a port to the addresses of nodes. A transport without names returns the name itself.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] if the name has no address.
    fn resolve(&self, host: &str, port: u16) -> TransportFuture<Result<Vec<NodeAddr>, CallError>> {
        let node = NodeAddr::new(host, port);
        Box::pin(async move { Ok(vec![node]) })
    }
}

/// A network without other nodes: every call ends as [`ErrorKind::Unreachable`].
#[derive(Debug)]
pub(crate) struct NoNetwork;

impl Transport for NoNetwork {
    fn call(&self, to: &NodeAddr, _: Call) -> TransportFuture<Reply> {
        let unreachable = CallError::new(ErrorKind::Unreachable, format!("{to} is on no network"));
        Box::pin(std::future::ready(Err(unreachable)))
    }
}

/// The contract of [`Transport`] as a test. The tests of each transport run it against a node with a service `echo`, whose
/// method `say` returns its argument and whose method `never` does not answer.
pub mod contract {
    use chinwag_protocol::{
        call::{Answer, ErrorKind},
        identity::Gid,
        value::Value,
    };
    use futures_util::future::join_all;

    use super::{Call, CallContext, Duration, NodeAddr, Transport};

    fn call(method: &str, argument: Value, time_left: Duration) -> Call {
        let context = CallContext::new(time_left);
        Call::new(Gid::local(), "echo", method, vec![argument]).within(context)
    }

    /// Tests each sentence of the contract. `there` runs the service `echo`, and nothing listens at `nowhere`.
    ///
    /// # Panics
    /// If the transport breaks the contract.
    #[allow(clippy::panic, clippy::expect_used)]
    pub async fn holds(transport: &dyn Transport, there: &NodeAddr, nowhere: &NodeAddr) {
        let second = Duration::from_secs(1);

        // a value arrives unchanged
        let value = Value::from(vec![Value::from("héllo 🐦"), Value::from(0.1), Value::Null, Value::Undefined]);
        let reply = transport.call(there, call("say", value.clone(), second)).await;
        assert_eq!(reply, Ok(Answer::Value(value)));

        // so does a large value
        let large = Value::from("x".repeat(1 << 20));
        let reply = transport.call(there, call("say", large.clone(), 60 * second)).await;
        assert_eq!(reply, Ok(Answer::Value(large)));

        // nothing listens at the address
        let error = transport.call(nowhere, call("say", Value::Null, second)).await.expect_err("nothing listens there");
        assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");

        // there is no answer within the deadline
        let started = tokio::time::Instant::now();
        let short = Duration::from_millis(200);
        let error = transport.call(there, call("never", Value::Null, short)).await.expect_err("it never answers");
        assert_eq!(error.kind, ErrorKind::DeadlineExceeded, "{error}");
        assert!(started.elapsed() >= short / 2, "the deadline came early: {:?}", started.elapsed());

        // an error of the other node arrives with its name
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
