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
            // what keeps a function gets a stub of it, so that the function keeps its variables in this program. The
            // numbers are those of arguments that are functions, or objects of functions
            const kept = {{__proto__: null, 'routes.put': 0, 'groups.put': 0, 'membership.subscribe': 0, 'gossip.at': 1}};
            const stub = (value) => typeof value === 'function' ? here.util.wire.createRPC(value) : value;
            const stubs = (value) => value !== null && typeof value === 'object'
                ? Object.fromEntries(Object.entries(value).map(([key, member]) => [key, stub(member)]))
                : stub(value);
            const method = (gid, service, method) => (...args) => {{
                const index = kept[`${{service}}.${{method}}`] ?? -1;
                const isCallback = typeof args[args.length - 1] === 'function' &&
                    (args.length - 1 > index || typeof args[index] !== 'function');
                const callback = isCallback ? args.pop() : () => {{}};
                if (index in args) args[index] = stubs(args[index]);
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
            const start = (callback) => {{ if (typeof callback === 'function') callback(null); }};
            globalThis.distribution = lookup({{node: {{config: node, start}}, util: here.util}}, group);
            globalThis.nodeConfig = node;
            globalThis.require = globalThis.require.providing(globalThis.distribution, node);
        }}
        {BARE}"
    )
}
