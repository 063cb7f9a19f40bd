//! What the tests share: nodes in this process, and waiting on conditions.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod process;

use std::{
    future::Future,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use chinwag::{CallError, ErrorKind, Node, NodeAddr, Service};

/// The bound on every wait. Generous: it is reached only when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A service that counts, as every test of calls needs one.
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

/// An address that is free at present.
pub fn free() -> NodeAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    NodeAddr::new("127.0.0.1", listener.local_addr().expect("it is bound").port())
}

/// A node on a free port, with the counter.
pub async fn node() -> Node {
    Node::builder().port(0).service(counter()).start().await.expect("a free port")
}

/// So many of them.
pub async fn nodes(count: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(node().await);
    }
    nodes
}

/// Where they are.
pub fn addresses(nodes: &[Node]) -> Vec<NodeAddr> {
    nodes.iter().map(|node| node.addr().clone()).collect()
}

/// A group of them, known to each under this name.
pub async fn group(nodes: &[Node], gid: &str) {
    for node in nodes {
        node.groups().put(gid, addresses(nodes)).await.expect("a group");
    }
}

/// Stops them all.
pub async fn stop(nodes: Vec<Node>) {
    for node in nodes {
        node.stop().await;
    }
}

/// Waits until the condition holds.
///
/// # Panics
/// When it does not within [`PATIENCE`].
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

/// The kind of an error that is expected.
pub fn kind<T: std::fmt::Debug>(result: Result<T, CallError>) -> ErrorKind {
    result.expect_err("it should have been refused").kind
}

/// Sends bytes as they are, and reads until the other side closes or has said a whole response.
pub fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("the node listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // a node that refuses early may close before it has read all
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

/// A request with this body.
pub fn put(path: &str, body: &str) -> Vec<u8> {
    format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
