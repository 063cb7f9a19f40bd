//! Stubs: functions whose source says where to call, so that a callback can cross the wire.
//!
//! ```text
//! createRPC(f)           -> a name in the route table, and a function whose text is
//!                           (...args) => { … distribution.local.comm.send(args, {node, service, method}, callback) }
//! called anywhere        -> PUT /local/NAME/METHOD on the node that made it -> f
//! ```
//!
//! A JavaScript node evaluates that text. A node of this project recognizes it, character for character, and makes
//! the call itself, so that no script engine is started for it.

use chinwag_protocol::{
    call::Remote,
    identity::{Gid, NodeAddr},
    value::{Function, Value},
};
use serde_json::Value as Json;

const BEFORE: &str = "(...args) => { const callback = args.pop(); const remote = ";
const AFTER: &str = "; distribution.local.comm.send(args, remote, (error, value) => { if (typeof callback === 'function') callback(error, value); }); }";

/// A function that, evaluated or recognized anywhere, calls `service.method` of `node`.
pub fn function(node: &NodeAddr, service: &str, method: &str) -> Function {
    function_of(node, &Gid::local(), service, method)
}

/// The same for a service of a group, as that node sees the group.
pub fn function_of(node: &NodeAddr, gid: &Gid, service: &str, method: &str) -> Function {
    let node = NodeAddr::new(node.ip(), node.port());
    let remote = Remote::new(service, method).on(node).of(gid.clone());
    // text, a port and names: nothing that JSON has no form for
    let remote = serde_json::to_string(&remote.to_value()).unwrap_or_default();
    Function::new(format!("{BEFORE}{remote}{AFTER}"))
}

/// Where a stub of ours calls; nothing for any other function.
pub fn remote(function: &Function) -> Option<Remote> {
    let remote = function.source().strip_prefix(BEFORE)?.strip_suffix(AFTER)?;
    let remote: Json = serde_json::from_str(remote).ok()?;
    Remote::from_value(&Value::from_json(remote)).ok().filter(|remote| remote.node.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stub_says_where_it_calls_and_nothing_else_does() {
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
