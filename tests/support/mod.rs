//! Shared by the tests: nodes in this process, values, raw HTTP requests, and waiting for conditions.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod network;
pub mod process;
pub mod program;
pub mod shipped;

use std::{
    future::Future,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use chinwag::{CallError, ErrorKind, Node, NodeAddr, Service, Value, protocol::value::Object};

/// The timeout of every wait. It is generous, so that a wait reaches it only when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An object with these keys and values.
pub fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    entries.into_iter().collect::<Object>().into()
}

/// A service with a counter. Some of its methods fail, panic or never answer.
pub fn counter() -> Service<u64> {
    Service::new("counter", |_| 0_u64)
        .method("count", |n: &mut u64, ()| {
            *n += 1;
            *n
        })
        .method("add", |n: &mut u64, (by,): (u64,)| {
            *n += by;
            *n
        })
        .method("read", |n: &mut u64, ()| *n)
        .try_method("refuse", |_: &mut u64, ()| Err::<u64, _>("I will not"))
        .method("panic", |_: &mut u64, ()| -> u64 { panic!("on purpose") })
        .async_method("never", |_: &mut u64, _, ()| async {
            std::future::pending::<()>().await;
            Ok::<u64, CallError>(0)
        })
}

/// An address on loopback where nobody listens at present.
pub fn free() -> NodeAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    NodeAddr::new("127.0.0.1", listener.local_addr().expect("it is bound").port())
}

/// Starts a node on a free port with the service `counter`.
pub async fn node() -> Node {
    Node::builder().port(0).service(counter()).start().await.expect("a free port")
}

/// Starts `count` nodes, each with the service `counter`.
pub async fn nodes(count: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(node().await);
    }
    nodes
}

/// The addresses of these nodes.
pub fn addresses(nodes: &[Node]) -> Vec<NodeAddr> {
    nodes.iter().map(|node| node.addr().clone()).collect()
}

/// Puts a group of these nodes on each of them.
pub async fn group(nodes: &[Node], gid: &str) {
    for node in nodes {
        node.groups().put(gid, addresses(nodes)).await.expect("a group");
    }
}

/// Stops these nodes, one after another.
pub async fn stop(nodes: Vec<Node>) {
    for node in nodes {
        node.stop().await;
    }
}

/// Waits until the condition holds, in real or in virtual time.
///
/// # Panics
/// If the condition does not hold within [`PATIENCE`].
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("timed out: {what}"));
}

/// The kind of the error of a call that must fail.
pub fn kind<T: std::fmt::Debug>(result: Result<T, CallError>) -> ErrorKind {
    result.expect_err("it should have been refused").kind
}

/// Sends raw bytes, and reads until the other side closes the connection or has sent a whole response.
pub fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("the node listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // a node that rejects a request early may close the connection before it has read all of it
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read) = stream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&answer);
        let head = text.find("\r\n\r\n");
        let length = text.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if read == 0 || head.zip(length).is_some_and(|(head, length): (usize, usize)| text.len() >= head + 4 + length) {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// An HTTP request that puts this body to this path.
pub fn put(path: &str, body: &str) -> Vec<u8> {
    format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
