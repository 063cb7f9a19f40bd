//! Shipped functions, on nodes in this process: how they are called and answer, what they can reach, and that no
//! function keeps its node from answering other calls.
#![cfg(feature = "scripts")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chinwag::{
    Answer, Call, CallError, ErrorKind, Gid, GroupConfig, Lasting, Node, NodeAddr, Remote, Value,
    actors::{scripts::ConsoleLevel, settings::Settings},
    protocol::{
        value::{Array, BigInt, Date, ErrorValue, Function, Object, Reference},
        wire,
    },
};
use support::{
    PATIENCE, object,
    process::PROGRAM,
    shipped::{error, function, node, run, value},
    until,
};
use tokio::sync::mpsc;

/// How many calls of other clients a node must answer for each hostile function, on average. A node whose own thread
/// runs the functions would answer one or two.
const SERVED: u32 = 10;

#[tokio::test]
async fn every_way_to_answer_returns_the_answer() {
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

#[tokio::test]
async fn a_thrown_error_keeps_its_name_message_and_cause() {
    let node = node().await;
    for (source, name, message) in [
        ("() => { throw new TypeError('no') }", "TypeError", "no"),
        ("(callback) => { callback(new RangeError('no')); }", "RangeError", "no"),
        ("(callback) => { callback('no'); }", "Error", "no"),
        ("async () => { throw new Error('no'); }", "Error", "no"),
        ("async (callback) => { throw new Error('no'); }", "Error", "no"),
        ("() => Promise.reject(new SyntaxError('no'))", "SyntaxError", "no"),
        ("(callback) => { setTimeout(() => { throw new URIError('no'); }, 1); }", "URIError", "no"),
        ("(callback) => { Promise.reject(new EvalError('no')); }", "EvalError", "no"),
        (
            "(callback) => { distribution.local.nothing.here(); }",
            "TypeError",
            "cannot read property 'here' of undefined",
        ),
        ("() => { class Odd extends Error { name = 'Odd' }; throw new Odd('no'); }", "Odd", "no"),
        ("() => { throw 'no' }", "Error", "no"),
        ("this is no function", "SyntaxError", ""),
        ("42", "TypeError", "the text of the function is not that of a function"),
    ] {
        let error = error(&node, source).await;
        assert_eq!(error.kind.name(), name, "{source}: {error}");
        assert!(error.message.contains(message), "{source}: {error}");
    }
    let error = error(&node, "() => { throw new Error('no', {cause: {why: [1]}}) }").await;
    assert_eq!(error.cause, object([("why", Value::from(vec![Value::from(1)]))]));
    let hasty = node.with_deadline(Duration::from_millis(100));
    node.routes().put(object([("call", function("(callback) => {}"))]), "never").await.unwrap();
    let error = hasty.call(Gid::local(), "never", "call", ()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
    node.stop().await;
}

#[tokio::test]
async fn every_value_is_passed_in_and_returned_unchanged() {
    let node = node().await;
    let mut holes = Array::new();
    holes.push_hole();
    holes.push(1);
    let shared = [("a", object([("deep", Value::from(1))])), ("b", Value::from(Reference::new(1, ["a"])))];
    let around: Object =
        [("self", Value::from(Reference::ancestor(1))), ("list", Value::from(vec![Reference::ancestor(2).into()]))]
            .into_iter()
            .collect();
    for sent in [
        Value::Undefined,
        Value::Null,
        Value::from(true),
        Value::from(-0.5),
        Value::from(f64::NAN),
        Value::from(f64::NEG_INFINITY),
        Value::from("h\u{e9}llo \u{1f426}\0"),
        Value::from("-123456789012345678901234567890".parse::<BigInt>().unwrap()),
        Value::from(Date::new(1_708_992_000_123)),
        Value::from(Date::INVALID),
        Value::from(ErrorValue::new("no").named("Odd").caused_by(Value::from(5))),
        holes.into(),
        object([("b", Value::from(1)), ("10", Value::from(2)), ("9", Value::from(3)), ("__proto__", Value::from(4))]),
        function("(a, b) => /* kept */ a + b"),
        function("m(x) { return x; }"),
        Value::Native("console.log".into()),
        Value::Native("process.exit".into()),
        object(shared),
        around.into(),
    ] {
        let expected = match &sent {
            // a method in shorthand is sent on as an expression
            Value::Function(text) if text.source().starts_with("m(") => function("function (x) { return x; }"),
            other => other.clone(),
        };
        let back = value(&node, "(x, callback) => callback(null, x)", vec![sent.clone()]).await;
        assert_eq!(wire::encode(&back), wire::encode(&expected), "{sent:?}");
        let rust = value(&node, "(x) => [x, x]", vec![sent.clone()]).await;
        assert_eq!(rust.as_array().map(Array::len), Some(2), "{sent:?}");
    }
    let shared = object([("a", Value::from(vec![Value::from(1)])), ("b", Value::from(Reference::new(1, ["a"])))]);
    assert_eq!(value(&node, "(x) => x.a === x.b", vec![shared]).await, Value::from(true));
    let half = value(&node, "() => 'a\\ud800b'", vec![]).await;
    assert_eq!(half, Value::from("a\u{fffd}b"));
    let called = value(&node, "(f) => f(20, 1) + f.toString().length", vec![function("(a, b) => a + b")]).await;
    assert_eq!(called, Value::from(21 + 15));
    let why = error(&node, "() => Math.max.bind(null)").await;
    assert_eq!(why.kind.name(), "TypeError");
    let why = error(&node, "() => { let x = []; for (let i = 0; i < 5000; i++) x = [x]; return x; }").await;
    assert_eq!(why.kind.name(), "RangeError");
    node.stop().await;
}

#[tokio::test]
async fn a_shipped_service_keeps_its_properties_and_the_global_object() {
    let node = node().await;
    let service = object([
        ("count", function("count() { return ++this.n; }")),
        ("n", Value::from(5)),
        ("helpers", object([("twice", function("(x) => 2 * x"))])),
        ("double", function("function (x) { return this.helpers.twice(x) + this.count(); }")),
        ("remember", function("(x) => { globalThis.kept = x; }")),
        ("recall", function("() => global.kept")),
    ]);
    node.routes().put(service.clone(), "counter").await.unwrap();
    let call = async |method: &str, arguments: Vec<Value>| {
        node.call(Gid::local(), "counter", method, arguments).await.unwrap().into_value()
    };
    assert_eq!(call("count", vec![]).await, Value::from(6));
    assert_eq!(call("count", vec![]).await, Value::from(7));
    assert_eq!(call("double", vec![Value::from(10)]).await, Value::from(28));
    call("remember", vec![Value::from("this")]).await;
    assert_eq!(call("recall", vec![]).await, Value::from("this"));
    assert_eq!(node.routes().get("counter").await.unwrap(), service);
    let error = node.call(Gid::local(), "counter", "helpers", ()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnknownMethod);
    node.routes().rem("counter").await.unwrap();
    let error = node.call(Gid::local(), "counter", "count", ()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnknownService);
    node.stop().await;
}

#[tokio::test]
async fn shipped_code_reaches_the_node_its_groups_and_nothing_else() {
    let node = node().await;
    let here = node.addr().to_value();
    for (source, answer) in [
        ("(cb) => distribution.local.status.get('sid', cb)", Value::from(node.sid().as_str())),
        ("(cb) => distribution.local.status.get('nothing', (e) => cb(null, e.name))", Value::from("NotFound")),
        ("() => distribution.node.config", here.clone()),
        ("() => global.nodeConfig.port", Value::from(node.addr().port())),
        ("() => distribution.nobody", Value::Undefined),
        ("() => distribution.local.nothing", Value::Undefined),
        ("() => typeof distribution.local.status.get", Value::from("function")),
        ("() => distribution.util.id.getSID(distribution.node.config)", Value::from(node.sid().as_str())),
        ("() => distribution.util.id.getNID(nodeConfig)", Value::from(node.nid().to_string())),
        ("() => distribution.util.id.getID('hello').slice(0, 8)", Value::from("5aa762ae")),
        ("() => distribution.util.serialize([1])", Value::from(wire::encode(&Value::from(vec![Value::from(1)])))),
        ("() => distribution.util.deserialize(distribution.util.serialize({a: [1n]})).a[0] === 1n", Value::from(true)),
        ("(cb) => distribution.util.wire.toAsync((a, b) => a + b)(40, 2, cb)", Value::from(42)),
        (
            "(cb) => distribution.util.wire.toAsync(() => { throw new Error('no'); })((e) => cb(null, e.message))",
            Value::from("no"),
        ),
        (
            "() => { const f = (a) => a; return distribution.util.wire.toAsync(f).toString() === f.toString(); }",
            Value::from(true),
        ),
        (
            // a plain function, kept with its variables, answers calls from elsewhere
            "(cb) => { let count = 4; const { createRPC, toAsync } = distribution.util.wire; \
             const rpc = createRPC(toAsync((n) => count += n)); rpc(3, () => rpc(5, cb)); }",
            Value::from(12),
        ),
        (
            "(cb) => { const f = distribution.util.wire.toAsync((n) => 2 * n); \
             cb(null, distribution.util.deserialize(distribution.util.serialize(f))(21)); }",
            Value::from(42),
        ),
        (
            "() => [typeof process, typeof fetch, typeof Deno, typeof module].join()",
            Value::from("undefined,undefined,undefined,undefined"),
        ),
        ("() => { try { require('fs') } catch (error) { return error.code } }", Value::from("MODULE_NOT_FOUND")),
        ("(cb) => { const t = setInterval(() => { clearInterval(t); cb(null, 'once'); }, 1); }", Value::from("once")),
        ("(cb) => setImmediate(() => queueMicrotask(() => cb(null, 'then')))", Value::from("then")),
        (
            "(cb) => { clearTimeout(setTimeout(() => cb(null, 'no'), 1)); setTimeout(cb, 5, null, 'yes'); }",
            Value::from("yes"),
        ),
        (
            "(cb) => distribution.local.groups.put('ours', {}, (e, v) => cb(e, Object.keys(distribution.ours).includes('gossip')))",
            Value::from(true),
        ),
        (
            "(cb) => distribution.local.routes.put({f: (x) => x + 1}, 'more', () => distribution.local.more.f(1, cb))",
            Value::from(2),
        ),
        (
            "(cb) => distribution.local.comm.send(['sid'], {node: nodeConfig, service: 'status', method: 'get'}, cb)",
            Value::from(node.sid().as_str()),
        ),
    ] {
        assert_eq!(value(&node, source, vec![]).await, answer, "{source}");
    }
    let answer = run(&node, "(cb) => distribution.all.status.get('sid', cb)", vec![]).await.unwrap();
    assert!(
        matches!(&answer, Answer::Group { errors, value } if errors.is_empty() && value.as_object().is_some_and(|v| v.len() == 1)),
        "{answer:?}"
    );
    let remote = Remote::new("shipped", "call");
    let reply = node.group("all").comm().send((), &remote).await.unwrap();
    assert_eq!(reply.errors.len() + reply.values.len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn callbacks_cross_nodes_both_ways() {
    let (here, there) = (node().await, node().await);
    let (heard, mut hears) = mpsc::unbounded_channel();
    let rpc = here
        .create_rpc(Lasting::Always, move |arguments| {
            heard.send(arguments).unwrap();
            async { Ok(Value::from("thanks")) }
        })
        .await
        .unwrap();
    // a function on the other node calls a closure of this process
    let source = "(f, cb) => f('hello', {n: 1}, cb)";
    assert_eq!(value(&there, source, vec![Value::Function(rpc)]).await, Value::from("thanks"));
    assert_eq!(hears.recv().await.unwrap(), [Value::from("hello"), object([("n", Value::from(1))])]);
    // this process calls a function that the other node keeps together with its variables
    let made =
        value(&there, "() => { let n = 40; return distribution.util.wire.createRPC((by) => n += by); }", vec![]).await;
    let Value::Function(made) = made else { panic!("{made:?}") };
    for expected in [41, 42] {
        let answer = here.apply(made.clone(), vec![Value::from(1)]).await.unwrap().into_value();
        assert_eq!(answer, Value::from(expected));
    }
    here.stop().await;
    there.stop().await;
}

#[tokio::test]
async fn a_node_without_scripts_refuses_code_and_still_calls_stubs() {
    let node = Node::builder().port(0).scripts(false).start().await.unwrap();
    let refused = node.routes().put(object([("call", function("() => 1"))]), "shipped").await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unsupported);
    let rpc = node.create_rpc(Lasting::Always, async |_| Ok(Value::from(7))).await.unwrap();
    node.routes().put(object([("call", Value::Function(rpc.clone()))]), "stub").await.unwrap();
    assert_eq!(node.call(Gid::local(), "stub", "call", ()).await.unwrap().into_value(), Value::from(7));
    assert_eq!(node.apply(rpc, vec![]).await.unwrap().into_value(), Value::from(7));
    let refused = node.apply(Function::new("() => 1"), vec![]).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unsupported);
    node.stop().await;
}

/// Hostile functions: what each does, its source, and the error that ends it if that is always the same one.
const HOSTILE: [(&str, &str, Option<&str>); 44] = [
    ("endless loop", "() => { for (;;); }", Some("LimitExceeded")),
    ("endless loop that catches", "() => { for (;;) try { for (;;); } catch {} finally { } }", Some("LimitExceeded")),
    ("endless async loop", "async () => { for (;;) await null; }", Some("LimitExceeded")),
    ("endless microtasks", "(cb) => { const f = () => Promise.resolve().then(f); f(); }", Some("LimitExceeded")),
    (
        "branching microtasks",
        "(cb) => { const f = () => { Promise.resolve().then(f); Promise.resolve().then(f); }; f(); }",
        None,
    ),
    ("queueMicrotask", "(cb) => { const f = () => queueMicrotask(f); f(); }", Some("LimitExceeded")),
    ("recursion", "() => { const f = () => 1 + f(); return f(); }", Some("RangeError")),
    (
        "mutual recursion that catches",
        "() => { const f = () => { try { return f(); } catch { return f(); } }; return f(); }",
        None,
    ),
    ("catastrophic expression", "() => /^(a+)+$/.test('a'.repeat(40) + '!')", None),
    ("catastrophic replacement", "() => ('x'.repeat(50000)).replace(/(x+x+)+y/g, '')", None),
    ("array hog", "() => { const a = []; for (;;) a.push(new Array(1000).fill(0)); }", None),
    ("string hog", "() => { let s = 'x'; for (;;) s += s + s; }", None),
    ("typed array hog", "() => { const a = []; for (;;) a.push(new Uint8Array(1 << 20)); }", None),
    ("object hog on the global object", "() => { globalThis.hog = []; for (;;) hog.push({ a: {}, b: [] }); }", None),
    ("map hog", "() => { const m = new Map(); for (let i = 0; ; i++) m.set(i, { i }); }", None),
    ("closure hog", "() => { let f = () => 0; for (;;) { const g = f; f = () => g; } }", None),
    (
        "long chain, then freed",
        "() => { let o = null; for (let i = 0; i < 400000; i++) o = { o }; o = null; for (;;); }",
        None,
    ),
    ("join of nothing", "() => new Array(1e8) + ''", None),
    ("repeat of repeat", "() => 'x'.repeat(2 ** 28).repeat(2 ** 10)", None),
    ("padding", "() => 'x'.padEnd(2 ** 29, 'abc').split('')", None),
    ("power", "() => (7n ** 3000000n).toString().length", None),
    ("powers of powers", "() => { let n = 3n; for (;;) n = n * n; }", None),
    ("JSON bomb", "() => { let x = [1]; for (let i = 0; i < 40; i++) x = [x, x]; return JSON.stringify(x); }", None),
    ("JSON of nesting", "() => JSON.parse('['.repeat(1e6))", None),
    ("nested source", "() => eval('('.repeat(1e6))", None),
    ("nested expression", "() => new RegExp('('.repeat(1e5) + ')'.repeat(1e5))", None),
    (
        "nasty comparator",
        "() => Array.from({ length: 1e5 }, (_, i) => i).sort(() => { for (let i = 0; i < 1e4; i++); return 1; })",
        Some("LimitExceeded"),
    ),
    (
        "sort of very much",
        "() => { const a = new Array(3e6); for (let i = 0; i < 3e6; i++) a[i] = i % 7; for (;;) a.sort(); }",
        None,
    ),
    ("endless getter", "() => ({ get x() { for (;;); } })", Some("TypeError")),
    ("endless proxy", "() => new Proxy({}, { ownKeys() { for (;;); } })", Some("TypeError")),
    (
        "keys without end",
        "() => new Proxy({}, { ownKeys: () => Array.from({ length: 1e6 }, (_, i) => 'k' + i), getOwnPropertyDescriptor: () => ({ value: 1, enumerable: true, configurable: true }) })",
        None,
    ),
    (
        "growing under the reader",
        "() => { const make = () => ({ get next() { return make(); } }); return make(); }",
        Some("TypeError"),
    ),
    ("thrown trap", "() => { throw { get message() { for (;;); } }; }", Some("Error")),
    (
        "thrown trap in a name",
        "() => { const e = new Error('x'); Object.defineProperty(e, 'name', { get() { for (;;); } }); throw e; }",
        Some("Error"),
    ),
    ("endless thenable", "() => ({ get then() { for (;;); } })", Some("LimitExceeded")),
    ("thenable of thenables", "() => { const t = { then(done) { done(t); } }; return t; }", Some("LimitExceeded")),
    (
        "toString trap",
        "() => { const f = () => 1; f.toString = () => { for (;;); }; console.log(`${f}`); }",
        Some("LimitExceeded"),
    ),
    ("print without end", "() => { for (;;) console.log('x'.repeat(100)); }", Some("LimitExceeded")),
    ("huge answer", "() => 'x'.repeat(2 ** 24)", Some("RangeError")),
    ("huge sparse answer", "() => { const a = []; a[4e9] = 1; return a; }", Some("RangeError")),
    ("wide answer", "() => { const x = []; for (let i = 0; i < 3e5; i++) x.push([]); return x; }", Some("RangeError")),
    ("timers without number", "() => { for (;;) setTimeout(() => {}, 1e6); }", Some("Busy")),
    ("timer storm", "(cb) => { const f = () => { setTimeout(f, 0); setTimeout(f, 0); }; f(); }", None),
    ("calls without number", "() => { for (;;) distribution.local.status.get('sid', () => {}); }", Some("Busy")),
];

/// Makes other calls until the hostile call has failed. Returns its error, and how many of the others were answered.
async fn while_others_are_served(node: &Node, hostile: impl Future<Output = CallError>) -> (CallError, u32) {
    let others = node.with_deadline(PATIENCE);
    tokio::pin!(hostile);
    let mut served = 0;
    let status = others.status();
    loop {
        tokio::select! {
            biased;
            error = &mut hostile => return (error, served),
            sid = status.get("sid") => assert_eq!(sid.unwrap(), Value::from(node.sid().as_str())),
        }
        served += 1;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn printed_lines_reach_the_console_of_the_settings_with_their_levels() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut settings = Settings::default();
    settings.scripts.console = Arc::new(move |level, line| drop(tell.send((level, line.to_owned()))));
    let node = Node::builder().port(0).settings(settings).start().await.unwrap();
    let source = "() => { for (const level of ['debug', 'log', 'info', 'warn', 'error']) console[level](level); }";
    value(&node, source, vec![]).await;
    for (level, line) in [
        (ConsoleLevel::Debug, "debug"),
        (ConsoleLevel::Info, "log"),
        (ConsoleLevel::Info, "info"),
        (ConsoleLevel::Warn, "warn"),
        (ConsoleLevel::Error, "error"),
    ] {
        assert_eq!(told.recv().await, Some((level, line.to_owned())));
    }
    node.stop().await;
}

#[tokio::test]
async fn calls_of_shipped_code_take_no_permits_of_other_callers_and_end_at_its_deadline() {
    let mut settings = Settings::default();
    settings.calls_in_flight = 4;
    let never = chinwag::Service::new("never", |_| ()).async_method("answer", |(), _, ()| async {
        std::future::pending::<()>().await;
        Ok::<(), CallError>(())
    });
    let node = Node::builder().port(0).settings(settings).service(never).start().await.unwrap();
    let patient = node.with_deadline(Duration::from_secs(20));
    let many = "(callback) => {
        callback(null, 1);
        for (let i = 0; i < 50; i++) distribution.local.comm.send([],
            {node: global.distribution.node.config, service: 'never', method: 'answer'}, () => {});
    }";
    assert_eq!(value(&node, many, vec![]).await, Value::from(1));
    until("all of its calls are under way", async || {
        let load = patient.status().load().await.unwrap();
        assert!(load["calls"].held <= 4);
        load["relayedCalls"].held >= 50
    })
    .await;

    let late = "(callback) => setTimeout(() => distribution.local.status.get('sid', (e, v) => {
        globalThis.outcome = e ? e.name : v;
    }), 300)";
    node.routes().put(object([("call", function(late))]), "late").await.unwrap();
    let short = node.with_deadline(Duration::from_millis(100));
    let error = short.call(Gid::local(), "late", "call", ()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
    let outcome = async || value(&node, "() => globalThis.outcome", vec![]).await;
    until("the late call has failed", async || outcome().await != Value::Undefined).await;
    assert_eq!(outcome().await, Value::from("DeadlineExceeded"));
    node.stop().await;
}

#[tokio::test]
async fn no_hostile_function_keeps_a_node_from_answering() {
    // a quarter of the default, because the functions would otherwise take minutes
    let mut settings = Settings::default();
    settings.scripts.processor_time = Duration::from_millis(250);
    let node = Node::builder().port(0).settings(settings).start().await.unwrap();
    let names: BTreeSet<&str> = HOSTILE.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names.len(), HOSTILE.len());
    let mut others = 0;
    for (name, source, expected) in HOSTILE {
        let (error, served) = while_others_are_served(&node, error(&node, source)).await;
        others += served;
        if let Some(expected) = expected {
            assert_eq!(error.kind.name(), expected, "{name}: {error}");
        }
        // shipped functions work again, at the latest when the abandoned engines have ended
        let patient = node.with_deadline(PATIENCE);
        node.routes().put(object([("call", function("(x) => x + 1"))]), "good").await.unwrap();
        loop {
            match patient.call(Gid::local(), "good", "call", (1,)).await {
                Ok(answer) => break assert_eq!(answer.into_value(), Value::from(2), "after {name}"),
                // the state that a hostile function left on the global object is lost with its engine
                Err(error) => assert!(
                    error.kind == ErrorKind::Busy || error.kind.name() == "EngineRestarted",
                    "after {name}: {} {error}",
                    error.kind.name()
                ),
            }
            tokio::task::yield_now().await;
        }
    }
    assert!(others > SERVED * HOSTILE.len() as u32, "{others}");
    node.stop().await;
}

#[tokio::test]
async fn on_start_runs_on_the_spawned_node_and_a_failed_spawn_is_reported_to_the_caller() {
    let node = Node::builder().port(0).program(PROGRAM).start().await.unwrap();
    let patient = node.with_deadline(PATIENCE);
    let greet = "distribution.local.routes.put({ seen: () => globalThis.seen }, 'greeter');";
    let own = [
        function(&format!("() => {{ globalThis.seen = nodeConfig.port; {greet} }}")),
        Value::from(format!("(s) => {{ globalThis.seen = s.address().port; {greet} }}")),
    ];
    for own in own {
        let config = [("ip", Value::from("127.0.0.1")), ("port", Value::from(0)), ("onStart", own)];
        let born = patient.call(Gid::local(), "status", "spawn", vec![object(config)]).await.unwrap().into_value();
        let born = NodeAddr::from_value(&born).unwrap();
        let call = |service: &str, method: &str| Call::new(Gid::local(), service, method, Vec::new());
        let seen = patient.call_on(&born, call("greeter", "seen")).await.unwrap().into_value();
        assert_eq!(seen, Value::from(born.port()));
        patient.call_on(&born, call("status", "stop")).await.unwrap();
    }
    // shipped code spawns a node, and the callback runs where the code runs
    let source = "(cb) => distribution.local.status.spawn({ip: '127.0.0.1', port: 0, onStart: () => {}}, (e, v) => {
        if (e) { cb(e); return; }
        distribution.local.comm.send([], {node: v, service: 'status', method: 'stop'}, (e) => cb(e, typeof v.port));
    })";
    patient.routes().put(object([("call", function(source))]), "spawner").await.unwrap();
    let answer = patient.call(Gid::local(), "spawner", "call", ()).await.unwrap().into_value();
    assert_eq!(answer, Value::from("number"));
    // the port is taken: no node starts, and the caller receives the error
    let config = [
        ("ip", Value::from("127.0.0.1")),
        ("port", Value::from(node.addr().port())),
        ("onStart", function("() => {}")),
    ];
    let error = patient.call(Gid::local(), "status", "spawn", vec![object(config)]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::SpawnFailed);
    assert!(error.message.contains(&format!("port {} is taken", node.addr().port())), "{error}");
    node.stop().await;
}

#[tokio::test]
async fn the_subset_function_of_a_group_decides_the_number_of_first_peers() {
    let mut nodes = Vec::new();
    for _ in 0..6 {
        nodes.push(node().await);
    }
    let members: Vec<NodeAddr> = nodes.iter().map(|node| node.addr().clone()).collect();
    for subset in ["(members) => members.length - 2", "function(members) { return 1; }"] {
        let config = GroupConfig::new(Gid::new("g").unwrap()).with("subset", Function::new(subset));
        nodes[0].groups().put(config, members.clone()).await.unwrap();
        for node in &nodes[1..] {
            node.groups().put("g", members.clone()).await.unwrap();
        }
        let reply = nodes[0].group("g").gossip().send(("sid",), &Remote::new("status", "get")).await.unwrap();
        let expected = if subset.contains('2') { 4 } else { 1 };
        assert_eq!(
            (reply.values.len(), reply.errors.len()),
            (expected + 1, 0),
            "the first peers and the sender itself: {subset}"
        );
    }
    // an invalid answer of the function fails the send
    let config = GroupConfig::new(Gid::new("g").unwrap()).with("subset", Function::new("() => 'many'"));
    nodes[0].groups().put(config, members.clone()).await.unwrap();
    let error = nodes[0].group("g").gossip().send(("sid",), &Remote::new("status", "get")).await.unwrap_err();
    assert!(error.message.contains("subset"), "{error}");
    for node in nodes {
        node.stop().await;
    }
}
