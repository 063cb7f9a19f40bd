//! The script engine in a process of its own: whatever a function does ends, and other callers hardly notice.
#![cfg(all(feature = "scripts", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::{Duration, Instant};

use chinwag::{Call, CallError, Gid, Node, NodeAddr, Value};
use support::{
    PATIENCE, object,
    process::{Process, children},
    shipped::function,
    until,
};

/// How long another caller may wait for its answer while functions misbehave. The node answers within 200 ms on an idle
/// machine; this is for one that runs other tests.
const ANOTHER_CALLER_WAITS: Duration = Duration::from_secs(2);

/// A node in a process of its own, and a client with connections of its own.
struct Caller {
    client: Node,
    to: NodeAddr,
}

impl Caller {
    async fn new(process: &Process) -> Caller {
        Caller { client: Node::builder().port(0).start().await.unwrap(), to: process.node.clone() }
    }

    async fn call(&self, service: &str, method: &str, arguments: Vec<Value>) -> Result<Value, CallError> {
        let call = Call::new(Gid::local(), service, method, arguments);
        self.client.with_deadline(PATIENCE).call_on(&self.to, call).await.map(chinwag::Answer::into_value)
    }

    async fn put(&self, service: Value, name: &str) {
        self.call("routes", "put", vec![service, name.into()]).await.unwrap();
    }

    /// Puts a service of one method and calls it.
    async fn run(&self, name: &str, source: &str) -> Result<Value, CallError> {
        self.put(object([("call", function(source))]), name).await;
        self.call(name, "call", vec![]).await
    }
}

/// The processes of engines that a node has started.
fn engines(process: &Process) -> Vec<u32> {
    children(process.child.id()).into_iter().map(|(process, _)| process).collect()
}

/// Functions that are stuck in a built-in of the language for hours, or until they have taken all memory.
const STUCK: [(&str, &str); 10] = [
    ("indexOf", "() => { const s = 'a'.repeat(2e7); return s.indexOf('a'.repeat(1e7) + 'b') }"),
    ("lastIndexOf", "() => { const s = 'a'.repeat(2e7); return s.lastIndexOf('b' + 'a'.repeat(1e7)) }"),
    ("replaceAll", "() => { const s = 'a'.repeat(2e7); return s.replaceAll('a'.repeat(1e7) + 'b', 'c').length }"),
    ("split", "() => { const s = 'a'.repeat(2e7); return s.split('a'.repeat(1e7) + 'b').length }"),
    ("join", "() => { const a = []; a.length = 2 ** 31; return a.join('').length }"),
    ("concat", "() => { const a = []; a.length = 2 ** 32 - 1; return [].concat(a).length }"),
    ("reverse", "() => { const a = [1]; a.length = 2 ** 32 - 1; return a.reverse().length }"),
    ("sort", "() => { const a = [2, 1]; a.length = 2 ** 32 - 1; return a.sort().length }"),
    ("shared graph", "() => { let x = [1]; for (let i = 0; i < 60; i++) x = [x, x]; return JSON.stringify(x).length }"),
    ("many ones", "() => { const a = []; a.length = 2 ** 32 - 1; return a.fill(1).length }"),
];

#[tokio::test]
async fn a_function_that_is_stuck_in_a_builtin_ends_at_its_limit_and_the_next_call_works() {
    let process = Process::start(&["--port", "0"]);
    let caller = Caller::new(&process).await;
    let mut ended = 0;
    for (name, source) in STUCK {
        // twice, because two stuck threads were all that a node would have
        for _ in 0..2 {
            match caller.run("stuck", source).await {
                Err(error) if error.kind.name() == "LimitExceeded" => ended += 1,
                // another version of the engine may have a better algorithm, or refuse the length
                Ok(_) => {}
                Err(error) => {
                    assert!(["InternalError", "RangeError"].contains(&error.kind.name()), "{name}: {error:?}")
                }
            }
            assert_eq!(caller.run("next", "() => 1").await, Ok(Value::from(1)), "after {name}");
        }
        assert!(engines(&process).len() <= 1, "{name} left a process behind");
    }
    assert!(ended >= STUCK.len(), "only {ended} were ended");
    caller.client.stop().await;
}

#[tokio::test]
async fn other_callers_are_answered_while_functions_misbehave() {
    let process = Process::start(&["--port", "0"]);
    let (hostile, other) = (Caller::new(&process).await, Caller::new(&process).await);
    other.put(object([("call", function("(x) => x + 1"))]), "good").await;
    let loops = [
        ("loop", "() => { for (;;); }"),
        ("async loop", "async () => { for (;;) await null; }"),
        ("gossip timers", "() => { for (let i = 0; i < 20; i++) distribution.all.gossip.at(1, () => { for (;;); }); }"),
        ("timers", "() => { for (let i = 0; i < 20; i++) setInterval(() => { for (;;); }, 1); for (;;); }"),
        ("memory", "() => { const a = []; for (;;) a.push(new Array(1000).fill(0)); }"),
    ];
    let (mut waits, mut calls) = (Vec::new(), 0);
    for (name, source) in loops.iter().chain(&STUCK[..2]) {
        hostile.put(object([("call", function(source))]), "hostile").await;
        let misbehaving = async {
            for _ in 0..3 {
                // an error is what is expected; the timers end with an answer
                let _ = hostile.call("hostile", "call", vec![]).await;
            }
        };
        let mut misbehaving = std::pin::pin!(misbehaving);
        loop {
            let began = Instant::now();
            let answer = other.call("good", "call", vec![calls.into()]);
            tokio::select! {
                () = &mut misbehaving => break,
                answer = answer => {
                    // what its own service kept in the engine is lost with it, and this service keeps nothing
                    assert_eq!(answer, Ok(Value::from(calls + 1)), "while {name}");
                    calls += 1;
                    waits.push((began.elapsed(), name));
                }
            }
        }
    }
    let longest = waits.iter().max().unwrap();
    println!("{calls} calls of another caller; the longest took {longest:?}");
    assert!(longest.0 < ANOTHER_CALLER_WAITS, "{longest:?}");
    assert!(calls as usize > loops.len());
    hostile.client.stop().await;
    other.client.stop().await;
}

#[tokio::test]
async fn one_caller_cannot_take_all_timers_callbacks_or_pending_calls() {
    let process = Process::start(&["--port", "0"]);
    let (hostile, other) = (Caller::new(&process).await, Caller::new(&process).await);
    for (name, greedy, modest) in [
        (
            "timers",
            "() => { for (let i = 0; i < 4096; i++) setTimeout(() => {}, 2147483647); }",
            "(cb) => setTimeout(cb, 1, null, 1)",
        ),
        (
            "callbacks",
            "() => { for (let i = 0; i < 16384; i++) distribution.util.wire.createRPC(() => 1); }",
            "() => { distribution.util.wire.createRPC(() => 1); return 1; }",
        ),
    ] {
        let error = hostile.run("greedy", greedy).await.unwrap_err();
        assert!(error.message.contains("may hold"), "{name}: {error}");
        // neither do more of its services get everything
        for number in 0..8 {
            let _ = hostile.run(&format!("greedy{number}"), greedy).await;
        }
        assert_eq!(other.run("modest", modest).await, Ok(Value::from(1)), "{name}");
    }
    // what a service has made ends with it
    hostile.call("routes", "rem", vec!["greedy".into()]).await.unwrap();
    for number in 0..8 {
        hostile.call("routes", "rem", vec![format!("greedy{number}").into()]).await.unwrap();
    }
    let few = "() => { for (let i = 0; i < 500; i++) setTimeout(() => {}, 2147483647); return 1; }";
    assert_eq!(hostile.run("few", few).await, Ok(Value::from(1)));
    let load = other.call("status", "get", vec!["load".into()]).await.unwrap();
    let held = |load: &Value| load.get("callbacks").and_then(|fill| fill.get("held")).and_then(Value::as_f64);
    assert!(held(&load).is_none_or(|held| held < 100.0), "{load:?}");
    hostile.client.stop().await;
    other.client.stop().await;
}

#[tokio::test]
async fn code_cannot_change_what_the_code_of_other_callers_uses() {
    let process = Process::start(&["--port", "0"]);
    let (hostile, other) = (Caller::new(&process).await, Caller::new(&process).await);
    for attack in [
        "() => { Array.prototype.map = () => 'stolen'; }",
        "() => { Array.prototype.pop = function () { return 'stolen'; }; }",
        "() => { Object.defineProperty(Array.prototype, 'map', { value: () => 'stolen' }); }",
        "() => { delete Array.prototype.map; }",
        "() => { Object.prototype.stolen = 1; }",
        "() => { Object.prototype.__proto__ = {}; }",
        "() => { Object.setPrototypeOf(Array.prototype, { map: 1 }); }",
        "() => { (function* () {})().__proto__.__proto__.next = () => 'stolen'; }",
        "() => { (async () => {}).constructor.prototype.call = () => 'stolen'; }",
        "() => { Promise.prototype.then = () => 'stolen'; Promise.resolve = () => 'stolen'; }",
        "() => { globalThis.distribution = { node: { config: { port: 1 } } }; }",
        "() => { delete globalThis.distribution; }",
        "() => { Object.defineProperty(globalThis, 'distribution', { value: 1 }); }",
        "() => { distribution.node.config.port = 1; nodeConfig.port = 1; }",
        "() => { globalThis.nodeConfig = { port: 1 }; }",
        "() => { distribution.util.id.getSID = () => 'stolen'; }",
        "() => { distribution.util.wire.createRPC = () => 'stolen'; }",
        "() => { distribution.node = 1; distribution.util = 1; distribution.local = 1; }",
        "() => { distribution.local.status = { get: 1 }; distribution.local.status.get = 1; }",
        "() => { Error.prepareStackTrace = () => 'stolen'; Error.stackTraceLimit = 0; }",
        "() => { globalThis.Array = globalThis.JSON = globalThis.setTimeout = globalThis.console = 'stolen'; }",
        "() => { JSON.stringify = Math.random = console.log = Reflect.apply = () => 'stolen'; }",
        "() => { eval('var Array = 1'); eval('function distribution() {}'); }",
        "() => { ''[Symbol.iterator]().__proto__.next = [][Symbol.iterator]().__proto__.next = () => 'stolen'; }",
    ] {
        // strict code throws and other code goes on; both are fine
        let _ = hostile.run("hostile", attack).await;
        let _ = hostile.run("hostile", &attack.replacen("() => {", "() => { 'use strict';", 1)).await;
        let source = "() => [
            [1, 2].map((x) => x + 1).join(), typeof distribution, distribution.node.config.port, nodeConfig.port,
            distribution.util.id.getSID(nodeConfig).length, ({}).stolen === undefined, typeof JSON.stringify([1]),
            [...'ab', ...[1]].length, typeof distribution.local.status.get, [3].pop(), typeof setTimeout,
            Object.keys(Object.getPrototypeOf({})).length, typeof Error('x').stack,
        ]";
        other.put(object([("call", function(source))]), "good").await;
        let port = process.node.port();
        let expected: Value = vec![
            Value::from("2,3"),
            "object".into(),
            port.into(),
            port.into(),
            5.into(),
            true.into(),
            "string".into(),
            3.into(),
            "function".into(),
            3.into(),
            "function".into(),
            0.into(),
            "string".into(),
        ]
        .into();
        assert_eq!(other.call("good", "call", vec![]).await, Ok(expected), "after {attack}");
    }
    // new names are shared, and own objects may have any name
    assert_eq!(hostile.run("adds", "() => { globalThis.shared = 5; return 1; }").await, Ok(Value::from(1)));
    assert_eq!(other.run("reads", "() => globalThis.shared").await, Ok(Value::from(5)));
    let own = "() => {
        'use strict';
        const point = {}; point.toString = () => 'mine'; point.constructor = 1;
        const list = []; list.map = 5;
        class Mine extends Array {} ; Mine.from = 6;
        const error = new RangeError('x'); error.name = 'Own'; error.message = 'y';
        function F() {} F.call = 7; F.prototype.hasOwnProperty = 8;
        return [`${point}`, point.constructor, list.map, Mine.from, error.name, error.message, F.call, new F().hasOwnProperty];
    }";
    let expected: Value =
        vec![Value::from("mine"), 1.into(), 5.into(), 6.into(), "Own".into(), "y".into(), 7.into(), 8.into()].into();
    assert_eq!(hostile.run("own", own).await, Ok(expected));
    hostile.client.stop().await;
    other.client.stop().await;
}

#[tokio::test]
async fn a_function_that_is_handed_to_a_service_of_its_engine_keeps_its_variables() {
    let process = Process::start(&["--port", "0"]);
    let caller = Caller::new(&process).await;
    let put = "(cb) => {
        let n = 0;
        const counter = { extra: 1, inc: () => ++n, get: () => n };
        distribution.local.routes.put(counter, 'counter', (e) => {
            if (e) { cb(e); return; }
            distribution.local.routes.get('counter', (e, v) => cb(e, v === counter && v.inc === counter.inc));
        });
    }";
    assert_eq!(caller.run("putter", put).await, Ok(Value::from(true)), "`routes.get` gives back what was put");
    for expected in 1..=3 {
        assert_eq!(caller.call("counter", "inc", vec![]).await, Ok(Value::from(expected)));
    }
    // the timer of a group and a subscription keep theirs, too
    let at = "(cb) => {
        let ticks = 0;
        distribution.all.gossip.at(10, () => { globalThis.ticks = ++ticks; }, cb);
    }";
    caller.run("timer", at).await.unwrap();
    until("the timer has fired with its variable", async || {
        let ticks = caller.run("ticks", "() => globalThis.ticks ?? 0").await.unwrap();
        ticks.as_f64().unwrap() >= 3.0
    })
    .await;
    // another node gets the text
    let text = caller.call("routes", "get", vec!["counter".into()]).await.unwrap();
    assert_eq!(text.get("inc"), Some(&function("() => ++n")));
    caller.client.stop().await;
}

#[tokio::test]
async fn lost_state_is_reported_once_to_those_who_use_it() {
    let process = Process::start(&["--port", "0"]);
    let caller = Caller::new(&process).await;
    caller.put(object([("n", 0.into()), ("call", function("call() { return ++this.n; }"))]), "counter").await;
    caller.put(object([("call", function("(x) => x"))]), "stateless").await;
    assert_eq!(caller.call("counter", "call", vec![]).await, Ok(Value::from(1)));
    assert_eq!(caller.call("counter", "call", vec![]).await, Ok(Value::from(2)));
    assert_eq!(caller.call("stateless", "call", vec![7.into()]).await, Ok(Value::from(7)));
    let stub = caller.run("rpc", "() => distribution.util.wire.createRPC(() => 5)").await.unwrap();
    let name = match &stub {
        Value::Function(stub) => chinwag::actors::stub::remote(stub).unwrap().service,
        other => panic!("{other:?}"),
    };
    assert_eq!(caller.call(&name, "call", vec![]).await, Ok(Value::from(5)));
    for engine in engines(&process) {
        support::process::send(engine, "-KILL");
    }
    until("a new engine runs", async || caller.call("stateless", "call", vec![7.into()]).await == Ok(Value::from(7)))
        .await;
    for service in ["counter", &name] {
        let lost = caller.call(service, "call", vec![]).await.unwrap_err();
        assert_eq!(lost.kind.name(), "EngineRestarted", "{service}: {lost}");
    }
    assert_eq!(caller.call("counter", "call", vec![]).await, Ok(Value::from(1)));
    assert_eq!(caller.call(&name, "call", vec![]).await.unwrap_err().kind, chinwag::ErrorKind::UnknownService);
    caller.client.stop().await;
}

#[tokio::test]
async fn an_engine_ends_with_its_node_even_while_its_code_does_not_return() {
    let mut process = Process::start(&["--port", "0"]);
    let caller = Caller::new(&process).await;
    assert_eq!(caller.run("first", "() => 1").await, Ok(Value::from(1)));
    let engine = engines(&process)[0];
    caller.put(object([("call", function(STUCK[0].1))]), "stuck").await;
    tokio::select! {
        answer = caller.call("stuck", "call", vec![]) => panic!("{answer:?}"),
        () = until("the engine is busy", async || {
            let stat = std::fs::read_to_string(format!("/proc/{engine}/stat")).unwrap();
            stat.contains(" R ")
        }) => {}
    }
    process.child.kill().unwrap();
    process.child.wait().unwrap();
    until("the engine has ended", async || !std::path::Path::new(&format!("/proc/{engine}")).exists()).await;
    caller.client.stop().await;
}

#[tokio::test]
async fn with_a_realm_for_each_service_services_do_not_share_a_global_object() {
    let process = Process::start(&["--port", "0", "--realms", "service"]);
    let caller = Caller::new(&process).await;
    let count = "() => globalThis.n = (globalThis.n ?? 0) + 1";
    for service in ["one", "two"] {
        caller.put(object([("call", function(count))]), service).await;
        assert_eq!(caller.call(service, "call", vec![]).await, Ok(Value::from(1)));
        assert_eq!(caller.call(service, "call", vec![]).await, Ok(Value::from(2)));
    }
    caller.client.stop().await;
}
