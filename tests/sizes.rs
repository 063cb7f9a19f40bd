//! What a node writes and what it holds is bounded in bytes, whatever a caller makes it answer or keep.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use chinwag::{
    CallError, ErrorKind, Limits, Node, Remote, Service, Value,
    actors::settings::Settings,
    protocol::{group::Group, value::Function},
};
use support::{object, put, raw};

/// A text of which every byte takes six on the wire.
fn escaped(bytes: usize) -> String {
    "\u{1}".repeat(bytes)
}

/// A node that writes so many bytes at the most, with a service `large`, whose methods answer 1.2 MB and fail with 1.5 MB.
async fn node_that_writes(most: usize) -> Node {
    let large = Service::new("large", |_| ())
        .method("text", |_: &mut (), ()| "x".repeat(1_200_000))
        .try_method("error", |_: &mut (), ()| Err::<(), _>(CallError::other(escaped(250_000))));
    let mut limits = Limits::default();
    limits.written = most;
    Node::builder().port(0).limits(limits).service(large).start().await.unwrap()
}

/// Makes a call over HTTP that may take a minute, and returns the whole response.
async fn ask(node: &Node, path: &str, body: &str) -> String {
    let address = node.server().address();
    let request = String::from_utf8(put(path, body)).unwrap();
    let request = request.replacen("\r\n", "\r\nChinwag-Deadline: 60000\r\n", 1);
    tokio::task::spawn_blocking(move || raw(address, request.as_bytes())).await.unwrap()
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_an_ordinary_error_in_both_forms() {
    let node = node_that_writes(1 << 20).await;
    for (path, body) in [
        ("/large/text", "[]"),
        ("/large/text", r#"{"type":"array","value":{}}"#),
        ("/large/error", "[]"),
        ("/large/error", r#"{"type":"array","value":{}}"#),
    ] {
        let answer = ask(&node, path, body).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        for part in ["LimitExceeded", "the call was performed", "1048576 bytes"] {
            assert!(answer.contains(part), "{path} {body}: {answer}");
        }
        assert!(answer.len() < 1_000, "{answer}");
        let sid = ask(&node, "/status/get", r#"["sid"]"#).await;
        assert!(sid.ends_with(&format!(r#"[null,"{}"]"#, node.sid())), "{sid}");
    }
    node.stop().await;
}

#[tokio::test]
async fn the_longest_answer_is_a_setting() {
    let node = node_that_writes(2 << 20).await;
    let address = node.server().address();
    let length = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&put("/large/text", "[]")).unwrap();
        let mut answer = Vec::new();
        // the connection ends after a large answer
        stream.read_to_end(&mut answer).unwrap();
        answer.len()
    });
    assert!(length.await.unwrap() > 1_200_000);
    node.stop().await;
}

#[tokio::test]
async fn a_request_that_is_too_long_is_not_sent_and_its_caller_hears_why() {
    let (here, there) = (support::node().await, support::node().await);
    let to = |service: &str, method: &str| Remote::new(service, method).on(there.addr().clone());
    let refused = here.comm().send(vec![Value::from(escaped(1_500_000))], &to("counter", "count")).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::BadArgument, "{refused}");
    for part in ["local.counter.count", "was not called", "8388608 bytes"] {
        assert!(refused.message.contains(part), "{refused}");
    }
    assert_eq!(here.comm().send((), &to("counter", "read")).await.unwrap(), Value::from(0));

    // nor is it gossiped
    here.groups()
        .put("town", [here.addr().clone(), there.addr().clone()].into_iter().collect::<Group>())
        .await
        .unwrap();
    let refused = here
        .group("town")
        .gossip()
        .send(vec![Value::from(escaped(1_500_000))], &Remote::new("counter", "count"))
        .await
        .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::BadArgument, "{refused}");
    assert!(refused.message.contains("a message of gossip has at most"), "{refused}");
    support::stop(vec![here, there]).await;
}

#[tokio::test]
async fn services_that_are_put_are_held_up_to_a_number_of_bytes() {
    let mut settings = Settings::default();
    settings.bytes_of_services = 20 << 20;
    let node = Node::builder().port(0).settings(settings).scripts(false).start().await.unwrap();
    // a body of 300 kB that takes 15 MB
    let body = format!(r#"[{{"objects":[{}{{}}]}},"empty"]"#, "{},".repeat(99_999));
    let answer = ask(&node, "/routes/put", &body).await;
    for part in ["BadArgument", "empty takes 15", "bytes of memory", "8388608"] {
        assert!(answer.contains(part), "{answer}");
    }

    let service = || object([("text", Value::from("x".repeat(6 << 20)))]);
    for name in ["first", "again", "third"] {
        node.routes().put(service(), name).await.unwrap();
    }
    let refused = node.routes().put(service(), "fourth").await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Busy, "{refused}");
    assert!(refused.message.contains("of 20971520 bytes of services"), "{refused}");
    let load = node.status().load().await.unwrap()["serviceBytes"];
    assert!(load.held > 18 << 20 && load.most == 20 << 20, "{load:?}");
    node.routes().rem("first").await.unwrap();
    node.routes().put(service(), "fourth").await.unwrap();
    node.stop().await;
}

#[tokio::test]
async fn a_function_that_subscribes_has_a_bounded_text() {
    let node = support::node().await;
    let function = |bytes: usize| Function::new(format!("() => 1{}", " ".repeat(bytes - 7)));
    let refused = node.membership().subscribe(function((64 << 10) + 1)).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::BadArgument);
    assert!(refused.message.contains("65537 bytes") && refused.message.contains("65536"), "{refused}");
    node.membership().subscribe(function(64 << 10)).await.unwrap();
    node.stop().await;
}

#[cfg(feature = "scripts")]
mod shipped {
    use chinwag::Gid;
    use support::PATIENCE;

    use super::*;

    /// Functions that answer very much, and what the error says in typed form.
    const LARGE: [(&str, &str, [&str; 2]); 5] = [
        (
            "references below a long path: 3 GB of text",
            "() => { const t = {}; let o = { t, r: Array(2e5).fill(t) }; for (let i = 0; i < 500; i++) o = { ['k'.repeat(24)]: o }; return o; }",
            ["RangeError", "1048576 bytes of text and paths of references"],
        ),
        (
            "the same, through the callback",
            "(cb) => { const t = {}; let o = { t, r: Array(2e5).fill(t) }; for (let i = 0; i < 500; i++) o = { ['k'.repeat(24)]: o }; cb(null, o); }",
            ["RangeError", "1048576 bytes of text and paths of references"],
        ),
        (
            "the same, as the cause of an error",
            "() => { const t = {}; let o = { t, r: Array(2e5).fill(t) }; for (let i = 0; i < 500; i++) o = { ['k'.repeat(24)]: o }; throw new Error('x', { cause: o }); }",
            ["Error", "could not be read"],
        ),
        (
            "many references",
            "() => { const t = {}; return { ['k'.repeat(200)]: { t, r: Array(4500).fill(t) } }; }",
            ["LimitExceeded", "longer than 1048576 bytes"],
        ),
        ("escaped text", "() => '\\u0001'.repeat(2.5e5)", ["LimitExceeded", "longer than 1048576 bytes"]),
    ];

    /// A node that writes a mebibyte at the most, and whose shipped functions have as much time as they need.
    async fn patient_node() -> Node {
        let (mut limits, mut settings) = (Limits::default(), Settings::default());
        limits.written = 1 << 20;
        settings.scripts.bytes = 1 << 20;
        (settings.scripts.processor_time, settings.scripts.grace) = (PATIENCE, PATIENCE);
        Node::builder().port(0).limits(limits).settings(settings).start().await.unwrap()
    }

    /// A call that the node's own thread would not answer while it writes gigabytes.
    #[tokio::test]
    async fn a_function_that_answers_very_much_gets_an_error_and_delays_nobody() {
        let node = patient_node().await;
        for (what, source, says) in LARGE {
            node.routes().put(object([("call", Value::Function(Function::new(source)))]), "shipped").await.unwrap();
            let answer = ask(&node, "/shipped/call", r#"{"type":"array","value":{}}"#).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{what}: {answer}");
            for part in says {
                assert!(answer.contains(part), "{what}: {answer}");
            }
            let sid = ask(&node, "/status/get", r#"["sid"]"#).await;
            assert!(sid.ends_with(&format!(r#"[null,"{}"]"#, node.sid())), "{what}: {sid}");
        }
        // a plain answer shows the target in place of each reference
        let answer = ask(&node, "/shipped/call", "[]").await;
        assert!(answer.contains("LimitExceeded"), "{answer}");
        node.stop().await;
    }

    #[tokio::test]
    async fn text_that_cannot_be_serialized_is_an_error_that_code_can_catch() {
        let node = patient_node().await;
        let source =
            "() => { try { distribution.util.serialize('\\u0001'.repeat(2.5e5)); } catch (e) { return `${e}`; } }";
        node.routes().put(object([("call", Value::Function(Function::new(source)))]), "shipped").await.unwrap();
        let caught = node.with_deadline(PATIENCE).call(Gid::local(), "shipped", "call", ()).await.unwrap().into_value();
        let caught = caught.as_str().unwrap().to_owned();
        assert!(caught.starts_with("RangeError: the value cannot be serialized"), "{caught}");
        assert!(caught.ends_with("longer than 1048576 bytes"), "{caught}");
        node.stop().await;
    }
}
