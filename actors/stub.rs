//! Stubs: functions whose text says where to call, so that a callback can cross the wire.
//!
//! ```text
//! createRPC(f)           -> a name in the route table, and a function whose text is
//!                           (...args) => { … distribution.local.comm.send(args, {node, service, method}, callback) }
//! called anywhere        -> PUT /local/NAME/METHOD on the node that made it -> f
//! ```
//!
//! A JavaScript node evaluates that text. A node of this project recognizes the text, character for character, and makes
//! the call itself, so that no script engine starts for it.

use chinwag_protocol::{
    call::Remote,
    identity::{Gid, NodeAddr},
    value::{Function, Value},
};
use serde_json::Value as Json;

const BEFORE: &str = "(...args) => { const callback = args.pop(); const remote = ";
const AFTER: &str = "; distribution.local.comm.send(args, remote, (error, value) => { if (typeof callback === 'function') callback(error, value); }); }";

/// Returns a stub that calls `service.method` of `node`, wherever it is evaluated or recognized.
///
/// ```
/// use chinwag_actors::stub;
/// use chinwag_protocol::{call::Remote, identity::NodeAddr};
/// let node = NodeAddr::new("127.0.0.1", 8080);
/// let stub = stub::function(&node, "counter", "count");
/// assert_eq!(stub::remote(&stub), Some(Remote::new("counter", "count").on(node)));
/// ```
#[must_use]
pub fn function(node: &NodeAddr, service: &str, method: &str) -> Function {
    function_of(node, &Gid::local(), service, method)
}

/// Returns a stub that calls `service.method` of a group, as `node` sees the group.
///
/// ```
/// use chinwag_actors::stub;
/// use chinwag_protocol::identity::{Gid, NodeAddr};
/// let stub = stub::function_of(&NodeAddr::new("127.0.0.1", 8080), &Gid::all(), "status", "get");
/// assert_eq!(stub::remote(&stub).unwrap().gid, Gid::all());
/// ```
#[must_use]
pub fn function_of(node: &NodeAddr, gid: &Gid, service: &str, method: &str) -> Function {
    let node = NodeAddr::new(node.ip(), node.port());
    let remote = Remote::new(service, method).on(node).of(gid.clone());
    // a remote consists of text and a port, which JSON can represent
    let remote = serde_json::to_string(&remote.to_value()).unwrap_or_default();
    Function::new(format!("{BEFORE}{remote}{AFTER}"))
}

/// Returns where a stub calls, or `None` for any other function.
///
/// ```
/// use chinwag_actors::stub;
/// use chinwag_protocol::value::Function;
/// assert_eq!(stub::remote(&Function::new("x => x")), None);
/// ```
pub fn remote(function: &Function) -> Option<Remote> {
    let remote = function.source().strip_prefix(BEFORE)?.strip_suffix(AFTER)?;
    let remote: Json = serde_json::from_str(remote).ok()?;
    Remote::from_value(&Value::from_json(remote)).ok().filter(|remote| remote.node.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_of_a_stub_says_where_to_call() {
        let node = NodeAddr::new("127.0.0.1", 8080);
        let stub = function(&node, "4f1c", "call");
        assert_eq!(remote(&stub), Some(Remote::new("4f1c", "call").on(node)));
        let text = stub.source();
        for other in
            ["", "x => x", &text[1..], &format!("{text} "), &text.replace("8080", "x"), &text.replace('{', "[")]
        {
            assert_eq!(remote(&Function::new(other)), None, "{other}");
        }
    }
}
