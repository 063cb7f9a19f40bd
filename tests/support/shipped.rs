//! Functions that a node runs for its callers.

use chinwag::{
    CallError, Gid, Node, Value,
    protocol::{call::Reply, value::Function},
};

use super::{PATIENCE, object};

/// Starts a node on a free port.
pub async fn node() -> Node {
    Node::builder().port(0).start().await.unwrap()
}

/// A function as source text.
pub fn function(source: &str) -> Value {
    Value::Function(Function::new(source))
}

/// Puts a service of one method, `call`, and calls it.
pub async fn run(node: &Node, source: &str, arguments: Vec<Value>) -> Reply {
    node.routes().put(object([("call", function(source))]), "shipped").await.unwrap();
    node.call(Gid::local(), "shipped", "call", arguments).await
}

/// The value with which a function answers.
pub async fn value(node: &Node, source: &str, arguments: Vec<Value>) -> Value {
    match run(node, source, arguments).await {
        Ok(answer) => answer.into_value(),
        Err(error) => panic!("{source}: {} {error}", error.kind.name()),
    }
}

/// The error with which a function answers, however long it takes.
pub async fn error(node: &Node, source: &str) -> CallError {
    let node = node.with_deadline(PATIENCE);
    node.routes().put(object([("call", function(source))]), "shipped").await.unwrap();
    match node.call(Gid::local(), "shipped", "call", ()).await {
        Ok(answer) => panic!("{source} answered {answer:?}"),
        Err(error) => error,
    }
}
