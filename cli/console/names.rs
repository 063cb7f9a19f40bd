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
            // what `await`, JSON and printing look up on any object is not a service or method of the other node
            const inherited = new Set(['then', 'toJSON', 'toString', 'valueOf']);
            const lookup = (own, make) => new Proxy(own, {{
                get: (_, key) => {{
                    const isName = typeof key === 'string' && !Object.hasOwn(own, key) && !inherited.has(key);
                    return isName ? make(key) : Reflect.get(own, key);
                }},
            }});
            const service = (gid, name) => lookup({{}}, (key) => method(gid, name, key));
            // what is assigned to a group stays with it in this program
            const groups = {{__proto__: null}};
            const group = (gid) => groups[gid] ??= lookup({{}}, (name) => service(gid, name));
            globalThis.distribution = lookup({{node: {{config: node}}, util: here.util}}, group);
            globalThis.nodeConfig = node;
        }}
        {BARE}"
    )
}
