//! Shipped functions, on nodes in this process: how they are called and answer, what they see, and that nothing they
//! do keeps a node from answering others.
#![cfg(feature = "scripts")]

use std::time::Duration;

use chinwag::{
    Answer, Call, CallError, ErrorKind, Gid, Lasting, Node, Remote, Reply, Value,
    protocol::value::{Array, BigInt, Date, ErrorValue, Function, Object, Reference},
    protocol::wire,
};

/// A node on a free port.
async fn node() -> Node {
    Node::builder().port(0).start().await.unwrap()
}

fn function(source: &str) -> Value {
    Value::Function(Function::new(source))
}

fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    entries.into_iter().collect::<Object>().into()
}

/// Puts a service of one method, `call`, and calls it.
async fn run(node: &Node, source: &str, arguments: Vec<Value>) -> Reply {
    node.routes().put(object([("call", function(source))]), "shipped").await.unwrap();
    node.call(Gid::local(), "shipped", "call", arguments).await
}

async fn value(node: &Node, source: &str, arguments: Vec<Value>) -> Value {
    match run(node, source, arguments).await {
        Ok(answer) => answer.into_value(),
        Err(error) => panic!("{source}: {} {error}", error.kind.name()),
    }
}

async fn error(node: &Node, source: &str) -> CallError {
    let node = node.with_deadline(Duration::from_secs(20));
    node.routes().put(object([("call", function(source))]), "shipped").await.unwrap();
    match node.call(Gid::local(), "shipped", "call", ()).await {
        Ok(answer) => panic!("{source} answered {answer:?}"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn every_way_of_answering_answers() {
    let node = node().await;
    let three = || vec![Value::from(1), Value::from(2)];
    for source in [
        "(a, b, callback) => callback(null, a + b)",
        "function (a, b, callback) { callback(undefined, a + b); }",
        "function anonymous(...args\n) { const callback = args.pop(); callback(null, args[0] + args[1]); }",
        "(a, ...rest) => rest.pop()(null, a + rest[0])",
        "call(a, b, callback) { callback(null, a + b); }",
        "async call(a, b) { return a + b; }",
        "call(a, b) { return a + b; }",
        "(a, b) => a + b",
        "(a, b = 5) => a + b",
        "(a, b, c = 9, callback = 8) => callback(null, a + b + (c === 9 ? 0 : 1))",
        "async (a, b) => a + b",
        "async (a, b) => { await null; return a + b; }",
        "(a, b) => Promise.resolve(a + b)",
        "(a, b) => ({ then(done) { done(a + b); } })",
        "(a, b) => new Promise((done) => setTimeout(done, 1, a + b))",
        "(a, b, callback) => { setTimeout(() => callback(null, a + b), 1); }",
        "async (a, b, callback) => { setTimeout(callback, 1, null, a + b); }",
        "(a, b, callback) => { callback(null, 3); callback(null, 4); throw new Error('late'); }",
        "(a, b, callback) => { callback(false, a + b); }",
    ] {
        assert_eq!(value(&node, source, three()).await, Value::from(3), "{source}");
    }
    node.stop().await;
}
