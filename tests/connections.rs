//! Connections between nodes: which ones are reused, when a call is repeated, which are kept open, and what a stopping
//! node still answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use chinwag::{
    Answer, Call, CallError, ErrorKind, Gid, HttpTransport, Lasting, Node, NodeAddr, Remote, Service, Value,
    actors::transport::Transport,
    protocol::{call::PROTOCOL_METHODS, value::Function, wire::Limits},
};
use support::*;

/// What a server does with a request.
#[derive(Clone, Copy)]
enum Action {
    /// Answers 7 with these headers.
    Answers(&'static str),
    /// Reads the request and closes the connection.
    Closes,
    /// Leaves the request unread and closes the connection, which resets it.
    Resets,
    /// Closes the connection within the head of the answer.
    BreaksOff,
}

/// A server that accepts one connection after another, and does these things with the requests on each. It keeps the
/// connections open until it has done everything, and then returns each request with the number of its connection.
fn server(script: Vec<Vec<Action>>) -> (NodeAddr, JoinHandle<Vec<(usize, String)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = NodeAddr::new("127.0.0.1", listener.local_addr().unwrap().port());
    let serving = std::thread::spawn(move || {
        let (mut requests, mut open) = (Vec::new(), Vec::new());
        for (connection, actions) in script.into_iter().enumerate() {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut keeps = true;
            for does in actions {
                requests.push((connection, request(&mut stream, matches!(does, Action::Resets))));
                match does {
                    Action::Answers(headers) => answer(&mut stream, headers),
                    Action::BreaksOff => stream.write_all(b"HTTP/1.1 2").unwrap(),
                    Action::Closes | Action::Resets => {}
                }
                keeps = matches!(does, Action::Answers(_));
            }
            if keeps {
                open.push(stream);
            }
        }
        requests
    });
    (there, serving)
}

/// The path of the next request, which may stay unread.
fn request(stream: &mut TcpStream, unread: bool) -> String {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = if unread { stream.peek(&mut buffer).unwrap() } else { stream.read(&mut buffer).unwrap() };
        assert_ne!(count, 0, "the client closed the connection");
        if unread {
            read.clear();
        }
        read.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&read);
        let length = text.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if text
            .find("\r\n\r\n")
            .zip(length)
            .is_some_and(|(head, length): (usize, usize)| read.len() >= head + 4 + length)
        {
            return text.split_whitespace().nth(1).unwrap_or_default().to_owned();
        }
    }
}

fn answer(stream: &mut TcpStream, headers: &str) {
    stream.write_all(format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 8\r\n\r\n[null,7]").as_bytes()).unwrap();
}

fn call(service: &str, method: &str) -> Call {
    Call::new(Gid::local(), service, method, Vec::new())
}

fn seven() -> Result<Answer, CallError> {
    Ok(Value::from(7).into())
}

/// Waits for a thread without blocking this one.
async fn join<T: Send + 'static>(thread: JoinHandle<T>) -> T {
    tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap()
}

fn run(test: impl Future<Output = ()>) {
    actix_web::rt::System::new().block_on(test);
}

const QUIET: Action = Action::Answers("");
const GET: &str = "/local/status/get";
const PUT: &str = "/local/groups/put";

#[test]
fn a_repeatable_call_on_a_closed_connection_is_repeated_once() {
    run(async {
        for ends in [Action::Closes, Action::Resets] {
            let (there, serving) = server(vec![vec![QUIET, ends], vec![QUIET]]);
            let transport = HttpTransport::new(Limits::default());
            for _ in 0..2 {
                assert_eq!(transport.call(&there, call("status", "get")).await, seven());
            }
            assert_eq!(join(serving).await, [(0, GET.into()), (0, GET.into()), (1, GET.into())]);

            // the second connection ends in the same way, and the call is not sent a third time
            let (there, serving) = server(vec![vec![QUIET, ends], vec![ends], vec![QUIET]]);
            let transport = HttpTransport::new(Limits::default());
            assert_eq!(transport.call(&there, call("status", "get")).await, seven());
            let error = transport.call(&there, call("status", "get")).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Interrupted, "{error}");
            assert_eq!(transport.call(&there, call("groups", "put")).await, seven());
            assert_eq!(join(serving).await, [(0, GET.into()), (0, GET.into()), (1, GET.into()), (2, PUT.into())]);
        }
    });
}

#[test]
fn a_call_is_repeated_over_a_new_connection_even_if_others_are_idle() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = NodeAddr::new("127.0.0.1", listener.local_addr().unwrap().port());
        let serving = std::thread::spawn(move || {
            let mut streams: Vec<TcpStream> = (0..2).map(|_| listener.accept().unwrap().0).collect();
            for stream in &mut streams {
                request(stream, false);
            }
            streams.iter_mut().for_each(|stream| answer(stream, ""));
            // the server closes a connection as soon as anything arrives on it, unless the client closes it first
            let closing = streams.into_iter().map(|mut stream| {
                std::thread::spawn(move || {
                    let _ = stream.read(&mut [0; 4096]);
                })
            });
            let closing: Vec<_> = closing.collect();
            let (mut fresh, _) = listener.accept().unwrap();
            request(&mut fresh, false);
            answer(&mut fresh, "");
            closing.into_iter().for_each(|thread| thread.join().unwrap());
        });
        let transport = HttpTransport::new(Limits::default());
        let get = || transport.call(&there, call("status", "get"));
        assert_eq!(tokio::join!(get(), get()), (seven(), seven()));
        assert_eq!(get().await, seven());
        join(serving).await;
    });
}

#[test]
fn a_call_that_is_not_repeatable_is_never_sent_twice() {
    run(async {
        for ends in [Action::Closes, Action::Resets, Action::BreaksOff] {
            let (there, serving) = server(vec![vec![QUIET, ends], vec![QUIET]]);
            let transport = HttpTransport::new(Limits::default());
            assert_eq!(transport.call(&there, call("status", "get")).await, seven());
            let error = transport.call(&there, call("groups", "put")).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Interrupted, "{error}");
            // the next request that the server receives is the next call
            assert_eq!(transport.call(&there, call("status", "get")).await, seven());
            assert_eq!(join(serving).await, [(0, GET.into()), (0, PUT.into()), (1, GET.into())]);
        }
    });
}

#[test]
fn a_call_with_a_partial_answer_or_on_a_new_connection_is_not_repeated() {
    run(async {
        for script in [vec![vec![QUIET, Action::BreaksOff], vec![QUIET]], vec![vec![Action::Closes], vec![QUIET]]] {
            let connections = script.iter().enumerate().flat_map(|(index, does)| vec![index; does.len()]);
            let connections: Vec<usize> = connections.collect();
            let (there, serving) = server(script);
            let transport = HttpTransport::new(Limits::default());
            let mut errors = 0;
            for _ in &connections {
                match transport.call(&there, call("status", "get")).await {
                    Ok(_) => {}
                    Err(why) if why.kind == ErrorKind::Interrupted => errors += 1,
                    Err(why) => panic!("{why}"),
                }
            }
            assert_eq!(errors, 1);
            let got: Vec<usize> = join(serving).await.into_iter().map(|(connection, _)| connection).collect();
            assert_eq!(got, connections);
        }
    });
}

#[test]
fn a_connection_is_not_used_after_the_time_that_its_server_states() {
    run(async {
        // a connection is used for one second less than the server states, so one second means never
        let (short, long) = ("Keep-Alive: timeout=1\r\n", "Keep-Alive: timeout=60, max=100\r\n");
        for (headers, script) in
            [(short, vec![vec![Action::Answers(short)], vec![QUIET]]), (long, vec![vec![Action::Answers(long), QUIET]])]
        {
            let (there, serving) = server(script);
            let transport = HttpTransport::new(Limits::default());
            for _ in 0..2 {
                assert_eq!(transport.call(&there, call("groups", "put")).await, seven(), "{headers}");
            }
            assert_eq!(join(serving).await.len(), 2);
        }
    });
}

/// A server that answers one call and then waits for the end of its connection.
fn one_call() -> (NodeAddr, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = NodeAddr::new("127.0.0.1", listener.local_addr().unwrap().port());
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        request(&mut stream, false);
        answer(&mut stream, "");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.read(&mut [0; 16]).unwrap()
    });
    (there, serving)
}

#[test]
fn a_kept_connection_outlives_the_pool() {
    run(async {
        let transport = HttpTransport::new(Limits::default()).pool_life(Duration::from_millis(50));
        // both calls use one connection
        let (there, keeping) = server(vec![vec![QUIET, QUIET]]);
        assert_eq!(transport.call_kept(&there, call("gossip", "ping")).await, seven());
        // meanwhile an ordinary connection opens and closes
        let (other, serving) = one_call();
        assert_eq!(transport.call(&other, call("gossip", "ping")).await, seven());
        assert_eq!(join(serving).await, 0);
        assert_eq!(transport.call_kept(&there, call("gossip", "ping")).await, seven());
        assert_eq!(join(keeping).await.len(), 2);
    });
}

#[test]
fn a_kept_connection_ends_when_it_is_not_used() {
    run(async {
        let transport = HttpTransport::new(Limits::default()).kept_life(Duration::from_millis(50));
        for _ in 0..2 {
            let (there, serving) = one_call();
            assert_eq!(transport.call_kept(&there, call("gossip", "ping")).await, seven());
            assert_eq!(join(serving).await, 0);
        }
    });
}

#[test]
fn a_call_on_a_kept_connection_delays_no_other() {
    run(async {
        let (there, serving) = server(vec![vec![QUIET]]);
        let transport = HttpTransport::new(Limits::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let slow = NodeAddr::new("127.0.0.1", listener.local_addr().unwrap().port());
        let (first, second) = tokio::join!(transport.call_kept(&slow, call("gossip", "ping")), async {
            let quick = transport.call_kept(&there, call("gossip", "ping")).await;
            // two connections to the slow peer, of which the first is answered last
            let serving = std::thread::spawn(move || {
                let (mut first, _) = listener.accept().unwrap();
                let (mut second, _) = listener.accept().unwrap();
                for stream in [&mut second, &mut first] {
                    request(stream, false);
                    answer(stream, "");
                }
            });
            let second = transport.call_kept(&slow, call("gossip", "ping")).await;
            join(serving).await;
            (quick, second)
        });
        assert_eq!((first, second.0, second.1), (seven(), seven(), seven()));
        join(serving).await;
    });
}

#[test]
fn the_number_of_kept_connections_is_limited() {
    run(async {
        let transport = HttpTransport::new(Limits::default());
        let mut first = None;
        for _ in 0..=HttpTransport::MOST_KEPT {
            let (there, serving) = one_call();
            assert_eq!(transport.call_kept(&there, call("gossip", "ping")).await, seven());
            first.get_or_insert(serving);
        }
        // the least recently used connection was closed
        assert_eq!(join(first.unwrap()).await, 0);
    });
}

/// The answer of a node to a request on an open connection.
fn asked(stream: &mut TcpStream, path: &str, body: &str) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    if stream.write_all(&put(path, body)).is_err() {
        return String::new();
    }
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count) = stream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&answer);
        let length = text.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let whole = text.find("\r\n\r\n").zip(length);
        if count == 0 || whole.is_some_and(|(head, length): (usize, usize)| answer.len() >= head + 4 + length) {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// A service that counts its calls, and whose method `wait` ends on request.
fn watched() -> (Service<()>, Arc<AtomicUsize>, Arc<AtomicBool>, Arc<tokio::sync::Notify>) {
    let (performed, begun) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let finish = Arc::new(tokio::sync::Notify::new());
    let (count, begins, waits) = (performed.clone(), begun.clone(), finish.clone());
    let service = Service::new("watched", |_| ())
        .method("count", move |(), ()| count.fetch_add(1, Ordering::SeqCst) as u64)
        .async_method("slow", move |(), scope, ()| {
            begins.store(true, Ordering::SeqCst);
            let waits = waits.clone();
            async move {
                waits.notified().await;
                // a call under way may make further calls
                scope.node().status().get("port").await
            }
        });
    (service, performed, begun, finish)
}

#[tokio::test]
async fn a_node_performs_no_call_after_it_has_answered_stop() {
    let (service, performed, begun, finish) = watched();
    let node = Node::builder().port(0).service(service).start().await.unwrap();
    let (address, port) = (node.server().address(), node.addr().port());
    let mut warm: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
    for stream in &mut warm {
        assert!(asked(stream, "/local/watched/count", "[]").contains("200 OK"));
    }
    let slow =
        std::thread::spawn(move || asked(&mut TcpStream::connect(address).unwrap(), "/local/watched/slow", "[]"));
    until("the call is under way", async || begun.load(Ordering::SeqCst)).await;

    let stopped = asked(&mut warm[0], "/local/status/stop", "[]");
    assert!(stopped.contains("200 OK") && stopped.contains("127.0.0.1"), "{stopped}");
    for stream in &mut warm {
        let answer = asked(stream, "/local/watched/count", "[]");
        let refused = answer.contains(" 503 ") && answer.contains("Stopping") && answer.contains("connection: close");
        assert!(refused || answer.is_empty(), "{answer}");
    }
    assert_eq!(kind(node.call(Gid::local(), "watched", "count", ()).await), ErrorKind::Stopping);
    assert_eq!(performed.load(Ordering::SeqCst), 20);
    finish.notify_one();
    let slow = join(slow).await;
    assert!(slow.contains("200 OK") && slow.contains(&port.to_string()), "a call under way finishes: {slow}");
    node.stopped().await;
}

#[tokio::test]
async fn a_handle_performs_no_call_after_its_node_was_stopped() {
    let (service, performed, _, _) = watched();
    let node = Node::builder().port(0).service(service).start().await.unwrap();
    node.groups().put("g", [node.addr().clone()]).await.unwrap();
    let stub = node.create_rpc(Lasting::Always, |_| async { Ok(Value::from(1)) }).await.unwrap();
    node.server().begin_stop();
    let count = Remote::new("watched", "count");
    for refused in [
        kind(node.call(Gid::local(), "watched", "count", ()).await),
        kind(node.comm().send((), &count.clone().on(node.addr().clone())).await),
        kind(node.group("g").comm().send((), &count).await),
        kind(node.group("g").gossip().send((), &count).await),
        kind(node.group("g").status().get("sid").await),
        kind(node.status().get("sid").await),
        kind(node.apply(stub, Vec::new()).await),
        kind(node.apply(Function::new("() => 1"), Vec::new()).await),
        kind(node.evaluate("1").await),
        kind(node.install(counter()).await),
        kind(node.create_rpc(Lasting::Once, |_| async { Ok(Value::Null) }).await),
        kind(node.call_on(&NodeAddr::new("127.0.0.1", 1), call("status", "get")).await),
    ] {
        assert_eq!(refused, ErrorKind::Stopping);
    }
    node.stopped().await;
    assert_eq!(performed.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_node_that_refuses_calls_still_answers_its_peers() {
    let (service, performed, _, _) = watched();
    let node = Node::builder().port(0).service(service).start().await.unwrap();
    let address = node.server().address();
    node.handle().refuse_calls();
    for method in PROTOCOL_METHODS {
        // the answer does not matter, except that the node must not refuse because it is stopping
        let answer = raw(address, &put(&format!("/local/gossip/{method}"), "[]"));
        assert!(answer.contains("200 OK") && !answer.contains("Stopping"), "{method}: {answer}");
    }
    // what a message performs is a call like any other
    let message =
        r#"[{"message": [], "remote": {"service": "watched", "method": "count"}, "mid": "m1", "gid": "all"}]"#;
    let answer = raw(address, &put("/local/gossip/recv", message));
    assert!(answer.contains("200 OK") && answer.contains("Stopping"), "{answer}");
    for (request, status) in [
        (put("/local/watched/count", "[]"), "503"),
        (put("/all/watched/count", "[]"), "503"),
        (put("/all/gossip/send", "[]"), "503"),
        (put("/local/status/get", r#"["sid"]"#), "503"),
        (b"GET /local/membership/events HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), "503"),
        // refused before its body has arrived
        (b"PUT /local/watched/count HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n[".to_vec(), "503"),
    ] {
        let answer = raw(address, &request);
        assert!(answer.contains(status) && answer.contains("Stopping"), "{answer}");
    }
    assert_eq!(performed.load(Ordering::SeqCst), 0);
    node.stop().await;
}
