//! The names that are bound at a prompt, as JavaScript.

use chinwag::NodeAddr;

/// The names on a node of this program.
pub(super) const BARE: &str = "
    globalThis.local = distribution.local;
    globalThis.gossip = distribution.all.gossip;
    globalThis.id = distribution.util.id;
    globalThis.createRPC = distribution.util.wire.createRPC;
    undefined";

/// The names for another node: every service is that node's, and callbacks run in this program.
pub(super) fn through(other: &NodeAddr) -> String {
    let node = serde_json::json!({"ip": other.ip(), "port": other.port()});
    format!(
        "{{
            const here = globalThis.distribution;
            const node = {node};
            const method = (gid, service, method) => (...args) => {{
                const callback = typeof args[args.length - 1] === 'function' ? args.pop() : () => {{}};
                here.local.comm.send(args, {{node, gid, service, method}}, callback);
            }};
            const service = (gid, name) => new Proxy({{}}, {{get: (_, key) => method(gid, name, key)}});
            const group = (gid) => new Proxy({{}}, {{get: (_, name) => service(gid, name)}});
            const start = (callback) => {{ if (typeof callback === 'function') callback(null); }};
            const own = {{node: {{config: node, start}}, util: here.util}};
            globalThis.distribution = new Proxy(own, {{
                get: (_, key) => key in own || typeof key === 'symbol' ? own[key] : group(key),
            }});
            globalThis.nodeConfig = node;
            globalThis.require = globalThis.require.providing(globalThis.distribution, node);
        }}
        {BARE}"
    )
}
