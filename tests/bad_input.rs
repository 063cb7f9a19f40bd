//! A node that receives input that is not a call: it refuses the input and keeps serving.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use chinwag::{
    Call, CallError, ErrorKind, Gid, HttpTransport, Node, NodeAddr, Value, actors::transport::Transport,
    actors::transport::contract, protocol::wire::Limits,
};
use support::*;

/// Invalid requests, each with a name and a part of the answer.
fn refused() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let typed = |inner: &str| put("/local/status/get", &format!(r#"{{"type":"array","value":{{"0":{inner}}}}}"#));
    let head = |line: &str| format!("{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n[]").into_bytes();
    vec![
        ("garbage", put("/local/status/get", "garbage"), "400"),
        ("not an array", put("/local/status/get", "{}"), "400"),
        ("a plain object", put("/local/status/get", r#"{"a":1}"#), "400"),
        ("a number", put("/local/status/get", "3"), "400"),
        ("truncated", put("/local/status/get", r#"{"type":"array","value":{"0":{"type""#), "400"),
        ("nested too deep", put("/local/status/get", &deep), "400"),
        ("invalid UTF-8", put_bytes(b"[\"\xff\xfe\"]"), "400"),
        ("an unknown type", typed(r#"{"type":"symbol","value":"x"}"#), "400"),
        ("a dangling reference", typed(r#"{"type":"reference","value":["7"]}"#), "400"),
        ("a number that is none", typed(r#"{"type":"number","value":"0x1F"}"#), "400"),
        ("a huge index", put("/s/m", r#"{"type":"array","value":{"4294967294":{"type":"null","value":""}}}"#), "400"),
        ("too large", announce(u64::MAX / 2), "413"),
        ("a gigabyte announced", announce(1 << 30), "413"),
        ("no method", put("/local/status", "[]"), "UnknownService"),
        ("no service", put("/local", "[]"), "400"),
        ("too many segments", put("/a/b/c/d", "[]"), "400"),
        ("nothing", put("/", "[]"), "400"),
        ("not UTF-8 in the path", put("/local/%ff/get", "[]"), "400"),
        ("an unknown group", put("/nowhere/status/get", "[]"), "UnknownGroup"),
        ("an unknown service", put("/local/nothing/get", "[]"), "UnknownService"),
        ("an unknown service of a known group", put("/all/nothing/get", "[]"), "UnknownService"),
        ("an unknown method", put("/local/status/nothing", "[]"), "UnknownMethod"),
        ("a property of every object", put("/local/status/constructor", "[]"), "UnknownMethod"),
        ("GET", head("GET /local/status/get"), "405"),
        ("POST", head("POST /local/status/get"), "405"),
        ("OPTIONS", head("OPTIONS /local/status/get"), "405"),
        ("a stranger's name", host("evil.example"), "403"),
        ("a stranger's name that looks like ours", host("localhost.evil.example"), "403"),
        ("a stranger's name beside an address", host("[::1]evil.example"), "403"),
        ("a stranger's name for a port", host("localhost:evil"), "403"),
        ("a stranger's name behind a port", host("localhost:80:evil.example"), "403"),
        ("a name of ours before a stranger's", host("localhost@evil.example"), "403"),
        ("two names", host("localhost\r\nHost: evil.example"), "400"),
        (
            "a stranger's name behind one of ours",
            host("evil.example\r\nX-Forwarded-Host: localhost\r\nForwarded: host=localhost"),
            "403",
        ),
        ("a deadline that is none", header("Chinwag-Deadline: soon"), "400"),
        ("a depth that is none", header("Chinwag-Depth: -1"), "400"),
        ("too deep", header("Chinwag-Depth: 17"), "TooDeep"),
        ("no HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n".to_vec(), "400"),
    ]
}

fn put_bytes(body: &[u8]) -> Vec<u8> {
    let head = format!("PUT /local/status/get HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn announce(length: u64) -> Vec<u8> {
    format!("PUT /local/status/get HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n[").into_bytes()
}

fn host(name: &str) -> Vec<u8> {
    format!("PUT /local/status/get HTTP/1.1\r\nHost: {name}\r\nContent-Length: 7\r\n\r\n[\"sid\"]").into_bytes()
}

fn header(line: &str) -> Vec<u8> {
    format!("PUT /local/status/get HTTP/1.1\r\nHost: localhost\r\n{line}\r\nContent-Length: 7\r\n\r\n[\"sid\"]")
        .into_bytes()
}

async fn still_serves(node: &Node, after: &str) {
    let ask = Call::new(Gid::local(), "status", "get", vec![Value::from("sid")]);
    let answer = HttpTransport::new(Limits::default()).call(node.addr(), ask).await;
    assert_eq!(answer.map(chinwag::Answer::into_value), Ok(Value::from(node.sid().as_str())), "after {after}");
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

#[test]
fn invalid_requests_are_refused_and_the_node_keeps_serving() {
    actix_web::rt::System::new().block_on(async {
        let node = node().await;
        let address = node.server().address();
        for (what, request, says) in refused() {
            let answer = off_thread(move || raw(address, &request)).await;
            assert!(answer.contains(says), "{what}: {answer}");
            still_serves(&node, what).await;
        }
        node.stop().await;
    });
}

#[test]
fn plain_json_is_answered_in_plain_json_and_the_typed_form_in_the_typed_form() {
    actix_web::rt::System::new().block_on(async {
        let node = node().await;
        let address = node.server().address();
        let ask = async |body: &'static str| off_thread(move || raw(address, &put("/all/status/get", body))).await;
        let sid = node.sid();
        let plain = ask(r#"["sid"]"#).await;
        assert!(plain.ends_with(&format!(r#"[{{}},{{"{sid}":"{sid}"}}]"#)), "{plain}");
        let typed = ask(r#"{"type":"array","value":{"0":{"type":"string","value":"sid"}}}"#).await;
        assert!(typed.contains(r#"{"type":"array","value":{"0":{"type":"object","value":{}}"#), "{typed}");
        let refused = ask(r#"["bogus"]"#).await;
        assert!(refused.contains(r#""name":"NotFound""#), "{refused}");
        // older clients omit the group
        let local = off_thread(move || raw(address, &put("/status/get", r#"["sid"]"#))).await;
        assert!(local.ends_with(&format!(r#"[null,"{sid}"]"#)), "{local}");
        // people omit the body
        let none = off_thread(move || raw(address, &put("/local/counter/count", ""))).await;
        assert!(none.ends_with("[null,1]"), "{none}");
        node.stop().await;
    });
}

#[test]
fn a_body_in_pieces_is_assembled_up_to_the_limit() {
    actix_web::rt::System::new().block_on(async {
        let mut limits = Limits::default();
        limits.bytes = 32;
        let node = Node::builder().port(0).limits(limits).start().await.unwrap();
        let address = node.server().address();
        let ask = async |pieces: &[&str]| {
            let mut request =
                b"PUT /status/get HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for piece in pieces.iter().chain([&""]) {
                request.extend_from_slice(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes());
            }
            off_thread(move || raw(address, &request)).await
        };
        let (sid, blank) = (format!(r#"[null,"{}"]"#, node.sid()), " ".repeat(24));
        for pieces in [&["[\"sid\"]"][..], &["[", "\"sid\"]"], &["[\"s", "i", "d", "\"]"], &["[\"sid\"]", &blank, " "]]
        {
            let answer = ask(pieces).await;
            assert!(answer.ends_with(&sid), "{pieces:?}: {answer}");
        }
        for pieces in [&[&*"x".repeat(33)][..], &[&blank, "[\"sid\"]", "  "], &[&blank, "[", "\"sid\"]", "  "]] {
            let answer = ask(pieces).await;
            assert!(answer.contains("413") && answer.contains("at most 32 bytes"), "{pieces:?}: {answer}");
        }
        let after = ask(&["[\"sid\"]"]).await;
        assert!(after.ends_with(&sid), "{after}");
        node.stop().await;
    });
}

#[test]
fn unfinished_bodies_are_held_up_to_a_limit() {
    actix_web::rt::System::new().block_on(async {
        let mut limits = Limits::default();
        limits.bytes = 1_024;
        let node = Node::builder().port(0).limits(limits).start().await.unwrap();
        let address = node.server().address();
        let begin = move |bytes: usize| {
            let mut stream = TcpStream::connect(address).unwrap();
            let head = "PUT /status/get HTTP/1.1\r\nHost: localhost\r\nChinwag-Deadline: 60000\r\n\
                        Transfer-Encoding: chunked\r\n\r\n";
            // The body comes in two pieces, and both count towards the limit.
            let (first, second) = (" ".repeat(bytes - 1), " ");
            let body = format!("{:x}\r\n{first}\r\n1\r\n{second}\r\n", bytes - 1);
            stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
            stream
        };
        // the beginning of 32 bodies of the largest size, whose clients then stop
        let dawdling: Vec<TcpStream> = off_thread(move || (0..32).map(|_| begin(1_000)).collect()).await;
        let ask = async || off_thread(move || raw(address, &put("/status/get", r#"["sid"]"#))).await;
        // when all of these have arrived, there is no room for another body that does not end
        until("there is no room", async || {
            let mut one_more = off_thread(move || begin(1_000)).await;
            let answer = off_thread(move || {
                let end = one_more.write_all(b"0\r\n\r\n");
                let mut answer = vec![0; 4_096];
                let length = end.and_then(|()| one_more.read(&mut answer)).unwrap_or(0);
                String::from_utf8_lossy(&answer[..length]).into_owned()
            });
            let answer = answer.await;
            answer.contains("503") && answer.contains("Busy")
        })
        .await;
        drop(dawdling);
        let sid = format!(r#"[null,"{}"]"#, node.sid());
        until("it serves", async || ask().await.ends_with(&sid)).await;
        node.stop().await;
    });
}

#[test]
fn slow_and_disconnected_clients_delay_no_others() {
    actix_web::rt::System::new().block_on(async {
        let node = node().await;
        let address = node.server().address();
        let dawdling = off_thread(move || {
            let mut streams = Vec::new();
            for request in [
                &b""[..],
                b"PUT /loc",
                b"PUT /local/status/get HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n[",
            ] {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(request).unwrap();
                streams.push(stream);
            }
            // some clients leave in the middle
            drop(TcpStream::connect(address).unwrap());
            streams
        })
        .await;
        still_serves(&node, "dawdlers").await;
        // the node stops although the clients are still connected
        node.stop().await;
        for mut stream in dawdling {
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
        }
    });
}

#[test]
fn the_http_transport_passes_the_contract_of_transports() {
    actix_web::rt::System::new().block_on(async {
        let echo = chinwag::Service::new("echo", |_| ()).method("say", |(), (value,): (Value,)| value).async_method(
            "never",
            |(), _, ()| async {
                std::future::pending::<()>().await;
                Ok::<(), CallError>(())
            },
        );
        let node = Node::builder().port(0).service(echo).start().await.unwrap();
        let transport = HttpTransport::new(Limits::default());
        contract::holds(&transport, node.addr(), &NodeAddr::new("127.0.0.1", 1)).await;
        node.stop().await;
    });
}

#[test]
fn unused_connections_are_closed() {
    actix_web::rt::System::new().block_on(async {
        let transport = HttpTransport::new(Limits::default()).pool_life(std::time::Duration::from_millis(50));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let there = NodeAddr::new("127.0.0.1", listener.local_addr().unwrap().port());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n[null,7]").unwrap();
            // the call is the last one, and the connection ends nevertheless
            stream.read(&mut request).unwrap()
        });
        let call = Call::new(Gid::local(), "status", "get", Vec::new());
        assert_eq!(transport.call(&there, call).await, Ok(Value::from(7).into()));
        assert_eq!(off_thread(move || server.join().unwrap()).await, 0);
    });
}

#[test]
fn an_address_that_is_not_the_nodes_own_is_refused_with_the_known_names() {
    actix_web::rt::System::new().block_on(async {
        let node = node().await;
        // a spelling of 127.0.0.1 that is not a name of the node, and hosts that no URL can have
        for (host, kind) in [
            ("127.1", ErrorKind::BadCall),
            ("0", ErrorKind::BadCall),
            ("%", ErrorKind::Unreachable),
            ("a%zz", ErrorKind::Unreachable),
        ] {
            let call = Call::new(Gid::local(), "status", "get", vec![Value::from("sid")]);
            let to = NodeAddr::new(host, node.addr().port());
            let error = HttpTransport::new(Limits::default()).call(&to, call).await.unwrap_err();
            assert_eq!(error.kind, kind, "{host}: {error}");
        }
        node.stop().await;
    });
}

#[test]
fn an_invalid_answer_is_an_error_of_the_caller() {
    actix_web::rt::System::new().block_on(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let there = NodeAddr::new("127.0.0.1", listener.local_addr().unwrap().port());
        let answers: [&[u8]; 6] = [
            b"HTTP/1.1 200 OK\r\nContent-Length: 80\r\n\r\n[null,7]",
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 7\r\n\r\ngarbage",
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[",
            b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n[",
            b"what is HTTP?\r\n\r\n",
        ];
        let server = std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = [0; 4096];
                let _ = stream.read(&mut head);
                let _ = stream.write_all(answer);
            }
        });
        let transport = HttpTransport::new(Limits::default());
        for answer in answers {
            let call = Call::new(Gid::local(), "status", "get", Vec::new());
            let error = transport.call(&there, call).await.unwrap_err();
            let expected = [ErrorKind::BadAnswer, ErrorKind::Interrupted];
            assert!(expected.contains(&error.kind), "{}: {error}", String::from_utf8_lossy(answer));
        }
        server.join().unwrap();
    });
}
