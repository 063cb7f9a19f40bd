//! What shipped functions are as text, which values they can send, and which names they use.
#![cfg(feature = "scripts")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use chinwag::{
    ErrorKind, Value,
    protocol::value::{ErrorValue, Function},
};
use support::{
    object,
    shipped::{error, function, node, value},
};

#[tokio::test]
async fn missing_arguments_before_the_callback_take_their_defaults() {
    let node = node().await;
    for (source, passed, answer) in [
        ("(a = 6 / 2, b = 4 / 2, cb) => cb(null, a / b)", vec![], 1.5),
        ("(a = 6 / 2, b = 4 / 2, cb) => cb(null, a / b)", vec![6], 3.0),
        ("(a = 6 / 2, b, cb) => cb(null, b === undefined ? a : b)", vec![], 3.0),
        ("(a = /[,)]/g, {b} = {b: 2}, cb) => cb(null, a.test(',') ? b : 0)", vec![], 2.0),
        ("call(a = `${`)`},`, cb) { cb(null, a.length); }", vec![], 2.0),
        ("(a = 1, ...rest) => rest.pop()(null, a)", vec![5, 6], 5.0),
        // a default of the callback itself never applies
        ("(a = 1, cb = () => {}) => cb(null, a)", vec![], 1.0),
        ("async (a = 4 / 2, b = 1) => a / b", vec![6, 3], 2.0),
    ] {
        let passed: Vec<Value> = passed.into_iter().map(Value::from).collect();
        assert_eq!(value(&node, source, passed).await, Value::from(answer), "{source}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_method_in_shorthand_leaves_the_engine_as_an_expression() {
    let node = node().await;
    for (method, text) in [
        ("({ m(x) { return x; } }).m", "function (x) { return x; }"),
        ("({ async m(x) { return await x; } }).m", "async function (x) { return await x; }"),
        ("({ *m(x) { yield x; } }).m", "function* (x) { yield x; }"),
        ("({ async *m(x = 4 / 2) { yield x; } }).m", "async function* (x = 4 / 2) { yield x; }"),
        ("({ async(x) { return x; } }).async", "function (x) { return x; }"),
        ("({ ['a (b)'](x) { return x; } })['a (b)']", "function (x) { return x; }"),
        ("({ 7(x) { return x; } })[7]", "function (x) { return x; }"),
        ("class { static m(x) { return x; } }.m", "function (x) { return x; }"),
        ("new (class { m(x) { return x; } })().m", "function (x) { return x; }"),
        ("Object.getOwnPropertyDescriptor({ get m() { return 1; } }, 'm').get", "function () { return 1; }"),
        ("Object.getOwnPropertyDescriptor({ set m(v) { 1; } }, 'm').set", "function (v) { 1; }"),
        ("({ m(f) { return { n() {} }; } }).m", "function (f) { return { n() {} }; }"),
        ("(x) => x", "(x) => x"),
        ("function named(x) {}", "function named(x) {}"),
    ] {
        let answer = value(&node, &format!("() => [{method}]"), vec![]).await;
        assert_eq!(answer, Value::from(vec![function(text)]), "{method}");
    }
    for lost in ["({ m() { return super.m(); } }).m", "class { static #p = 1; static m() { return this.#p; } }.m"] {
        let error = error(&node, &format!("() => [{lost}]")).await;
        assert_eq!((error.kind.name(), error.message.contains("super")), ("TypeError", true), "{lost}: {error}");
    }
    // code cannot make QuickJS call a function of its own for the texts that it rejects
    let source = "() => {
        let called = 0;
        Error.prepareStackTrace = () => { called++; };
        Error.stackTraceLimit = { valueOf() { called++; return 1; } };
        distribution.util.serialize({ m(x) { return x; } });
        return [called, typeof Error.prepareStackTrace, typeof Error.stackTraceLimit].join();
    }";
    assert_eq!(value(&node, source, vec![]).await, Value::from("0,undefined,undefined"));
    node.stop().await;
}

#[tokio::test]
async fn a_missing_variable_is_explained_to_who_shipped_the_function() {
    let node = node().await;
    for source in [
        "() => counter + 1",
        "(cb) => cb(null, counter++)",
        "async () => { await null; return counter; }",
        "(cb) => { setTimeout(() => cb(null, counter), 1); }",
        "call() { return counter; }",
    ] {
        let error = error(&node, source).await;
        assert_eq!(error.kind.name(), "ReferenceError", "{source}");
        assert!(error.message.starts_with("counter is not defined: "), "{source}: {error}");
        for part in ["without the variables", "Pass counter as an argument", "globalThis", "createRPC"] {
            assert!(error.message.contains(part), "{source}: {error}");
        }
    }
    let applied = node.apply(Function::new("() => counter"), vec![]).await.unwrap_err();
    assert!(applied.message.contains("createRPC"), "{applied}");
    // no other error is explained, and a function that kept its variables has none missing for that reason
    let error = error(&node, "() => { x; let x; }").await;
    assert!(!error.message.contains("createRPC"), "{error}");
    let made = value(&node, "() => distribution.util.wire.createRPC(() => counter)", vec![]).await;
    let Value::Function(made) = made else { panic!("{made:?}") };
    let error = node.apply(made, vec![]).await.unwrap_err();
    assert_eq!(error.message, "counter is not defined");
    node.stop().await;
}

#[tokio::test]
async fn a_value_that_cannot_be_sent_is_an_error_that_names_its_place() {
    let node = node().await;
    for (made, place, what) in [
        (
            "[{ items: { index: new Map([[1, 2]]) } }]",
            "the value at [0].items.index is a Map",
            "Object.fromEntries(map)",
        ),
        ("new Map()", "the value is a Map", "[...map]"),
        ("{ a: new Set([1]) }", "the value at .a is a Set", "[...set]"),
        ("{ 'a b': [, /x/g] }", "the value at [\"a b\"][1] is a RegExp", "source and flags"),
        ("[new Uint8Array(4)]", "the value at [0] is a typed array", "Array.from(array)"),
        ("[new BigInt64Array(4)]", "the value at [0] is a typed array", "Array.from(array)"),
        ("[new ArrayBuffer(4)]", "the value at [0] is an ArrayBuffer", "Array.from(new Uint8Array(buffer))"),
        ("[new DataView(new ArrayBuffer(4))]", "the value at [0] is a DataView", "view.buffer"),
        ("[new WeakMap()]", "the value at [0] is a WeakMap", "plain object"),
        ("[new WeakSet()]", "the value at [0] is a WeakSet", "array"),
        ("[new WeakRef({})]", "the value at [0] is a WeakRef", "refers to"),
        ("[Promise.resolve(1)]", "the value at [0] is a Promise", "await"),
        ("[Symbol('s')]", "the value at [0] is a symbol", "description"),
        ("[Object(Symbol('s'))]", "the value at [0] is an object around a primitive value", "valueOf()"),
        ("[new Number(1)]", "the value at [0] is an object around a primitive value", "valueOf()"),
        ("[new String('s')]", "the value at [0] is an object around a primitive value", "valueOf()"),
        ("[new Boolean(false)]", "the value at [0] is an object around a primitive value", "valueOf()"),
        ("[(function* () {})()]", "the value at [0] is an iterator", "an array"),
        ("[[1].values()]", "the value at [0] is an iterator", "an array"),
        ("[new Proxy({}, {})]", "the value at [0] is a Proxy", "{...proxy}"),
        ("[new Proxy(() => 1, {})]", "the value at [0] is a Proxy", "{...proxy}"),
        ("[{ get x() { return 1; } }]", "the value at [0].x is a getter or setter", "{...object}"),
        ("[{ set x(v) {} }]", "the value at [0].x is a getter or setter", "{...object}"),
        (
            "Object.defineProperty([1], 0, { get() { return 1; } })",
            "the value at [0] is a getter or setter",
            "{...object}",
        ),
        ("[new (class extends Map {})()]", "the value at [0] is a Map", "[...map]"),
        ("[Math.max.bind(null)]", "the value at [0] is a native or bound function", "a function that calls it"),
        ("[new Error('m', { cause: { a: new Set() } })]", "the value at [0].cause.a is a Set", "[...set]"),
        ("[Object.assign(new Error('m'), { message: {} })]", "the value at [0].message is not a string", "strings"),
        ("[new (class extends Error { get name() { return 'N'; } })()]", "the value at [0].name is a getter", "copy"),
        ("[Object.setPrototypeOf(new Error('m'), new Proxy({}, {}))]", "the value at [0].name is a getter", "copy"),
    ] {
        for source in [
            format!("() => {{ return ({made}); }}"),
            format!("async () => ({made})"),
            format!("(cb) => {{ cb(null, ({made})); }}"),
            format!("(cb) => {{ try {{ distribution.util.serialize({made}); }} catch (e) {{ cb(e); }} }}"),
        ] {
            let error = error(&node, &source).await;
            assert_eq!(error.kind.name(), "TypeError", "{source}: {error}");
            assert!(error.message.contains(place) && error.message.contains(what), "{source}: {error}");
        }
    }
    // an argument of a call is refused where the call is made
    let source =
        "(cb) => { try { distribution.local.groups.put('g', { a: new Map() }); } catch (e) { cb(null, e.message); } }";
    let message = value(&node, source, vec![]).await;
    assert!(message.as_str().is_some_and(|message| message.contains("the value at .a is a Map")), "{message:?}");
    node.stop().await;
}

#[tokio::test]
async fn reading_a_value_sends_its_own_data_and_runs_no_code() {
    let node = node().await;
    for (source, answer) in [
        // as the reference: own enumerable properties, without the prototype's
        (
            "() => new (class Point { x = 1; #y = 2; z() {} static w = 3; get sum() { return 4; } })()",
            object([("x", Value::from(1))]),
        ),
        ("() => Object.create({ inherited: 1 }, { own: { value: 2, enumerable: true }, hidden: { value: 3 } })", object([("own", Value::from(2))])),
        ("() => Object.assign(Object.create(null), { x: 1 })", object([("x", Value::from(1))])),
        ("() => (function () { return arguments; })('a')", object([("0", "a".into())])),
        ("() => (function () { 'use strict'; return arguments; })('a')", object([("0", "a".into())])),
        ("() => new (class List extends Array {})(1, 2, 3)", Value::from(vec![Value::from(1), Value::from(2), Value::from(3)])),
        // a hole stays one, whatever the prototype of arrays has
        (
            "() => { try { Object.defineProperty(Array.prototype, '0', { get: () => 'leak', set() { throw 1; } }); } catch {}
                try { return distribution.util.deserialize(distribution.util.serialize([, 1])).hasOwnProperty(0); }
                finally { delete Array.prototype[0]; } }",
            Value::from(false),
        ),
        (
            "() => { const e = new (class Odd extends Error {})('m'); e.constructor.prototype.name = 'Odd'; return e; }",
            ErrorValue::new("m").named("Odd").into(),
        ),
        ("() => Object.setPrototypeOf(new Error('m'), null)", ErrorValue::new("m").into()),
        ("() => typeof distribution.util.deserialize(distribution.util.serialize(distribution.local.status)).get", "function".into()),
        ("() => Object.keys(distribution.util.deserialize(distribution.util.serialize(distribution.local))).includes('gossip')", true.into()),
    ] {
        assert_eq!(value(&node, source, vec![]).await, answer, "{source}");
    }
    // nothing is called: neither getters nor traps, of objects, prototypes and errors
    let source = "() => {
        let called = [];
        const call = (name) => () => { called.push(name); return name; };
        const traps = {};
        for (const trap of Object.getOwnPropertyNames(Reflect)) traps[trap] = call(trap);
        const getter = (object, key) => Object.defineProperty(object, key, { get: call(key), enumerable: true });
        for (const value of [
            new Proxy({}, traps), new Proxy(() => 1, traps), new Proxy([], traps), getter({}, 'a'), getter([], '0'),
            getter(new Error(), 'name'), getter(new Error(), 'message'), getter(new Error(), 'cause'),
            getter(() => 1, 'name'), getter(Math.max.bind(null), 'name'), getter(new Map(), 'size'),
            Object.setPrototypeOf(new Error(), new Proxy({}, traps)), Object.setPrototypeOf({}, new Proxy({}, traps)),
            getter({}, Symbol.toStringTag), getter({}, Symbol.toPrimitive), Object.assign(() => 1, { toString: call('text') }),
            Object.assign(new Error(), { message: { toString: call('message') } }), getter(new Date(0), 'getTime'),
        ]) {
            for (const sent of [value, [value], { value }]) try { distribution.util.serialize(sent); } catch {}
        }
        return called.join();
    }";
    assert_eq!(value(&node, source, vec![]).await, Value::from(""));
    node.stop().await;
}

#[tokio::test]
async fn groups_services_methods_and_keys_can_have_names_that_every_object_inherits() {
    let node = node().await;
    for name in ["constructor", "toString", "valueOf", "__proto__", "hasOwnProperty", "isPrototypeOf"] {
        for (source, answer) in [
            // nothing has the name yet, except through inheritance
            (
                "() => distribution['NAME'] === {}['NAME'] && distribution.local['NAME'] === {}['NAME']",
                Value::from(true),
            ),
            (
                "(cb) => distribution.local.routes.put({['NAME']: (x, cb) => cb(null, x + 1)}, 'NAME',
                    (e) => e ? cb(e) : distribution.local['NAME']['NAME'](41, cb))",
                Value::from(42),
            ),
            (
                "(cb) => distribution.local.routes.get('NAME', (e, v) => cb(e, Object.getOwnPropertyNames(v).join()))",
                Value::from(name),
            ),
            (
                "(cb) => distribution.local.groups.put('NAME', {}, (e) => cb(e, typeof distribution['NAME'].gossip.send))",
                Value::from("function"),
            ),
            ("(cb) => distribution.local.groups.get('NAME', cb)", object([])),
            ("() => Object.keys(distribution).includes('NAME')", Value::from(true)),
            ("(cb) => distribution.local.status.get('NAME', (e) => cb(null, e.name))", Value::from("NotFound")),
            ("() => [{['NAME']: ['x']}]", Value::from(vec![object([(name, Value::from(vec!["x".into()]))])])),
            ("() => { const e = new Error('m'); e.name = 'NAME'; return e; }", ErrorValue::new("m").named(name).into()),
        ] {
            let source = source.replace("NAME", name);
            assert_eq!(value(&node, &source, vec![]).await, answer, "{source}");
            assert_eq!(value(&node, "(x) => x", vec![answer.clone()]).await, answer, "{source}");
        }
        let native = Value::Native(name.into());
        let thrown = value(&node, "(f) => { try { f(); } catch (e) { return e.name; } }", vec![native]).await;
        assert_eq!(thrown, Value::from("ReferenceError"), "{name}");
    }
    node.stop().await;
}

#[tokio::test]
async fn code_can_give_a_group_services_of_its_own_and_cannot_replace_the_nodes() {
    let node = node().await;
    let put = "(cb) => distribution.local.groups.put('g', {}, (e) => {
        let kept = 40;
        distribution.g.counter = { add: (x, cb) => cb(null, kept += x), ['toString']: () => 'a counter' };
        distribution.g.constructor = distribution.g.__proto__ = 7;
        cb(e, Object.keys(distribution.g).includes('counter'));
    })";
    for (source, answer) in [
        (put, Value::from(true)),
        // other code on the node finds it, with its variables
        ("(cb) => distribution.g.counter.add(2, cb)", Value::from(42)),
        ("(cb) => distribution['g']['counter'].add(1, cb)", Value::from(43)),
        ("() => distribution.g === distribution.g && 'counter' in distribution.g", Value::from(true)),
        (
            "() => `${distribution.g.counter} ${distribution.g.constructor} ${distribution.g.__proto__}`",
            "a counter 7 7".into(),
        ),
        ("() => distribution.all.counter", Value::Undefined),
        (
            "() => { const refused = [];
                for (const take of [
                    () => { 'use strict'; distribution.g.comm = 1; },
                    () => { distribution.g.gossip = 1; },
                    () => Object.defineProperty(distribution.g, 'status', { value: 1 }),
                    () => { distribution.local.routes = 1; },
                    () => Object.freeze(distribution.g),
                    () => Object.setPrototypeOf(distribution.g, {}),
                ]) try { take(); } catch (e) { refused.push(e.name); }
                return refused.join(); }",
            "TypeError,TypeError,TypeError,TypeError,TypeError,TypeError".into(),
        ),
        (
            "(cb) => distribution.g.comm.send([], {service: 'status', method: 'get'}, (e) => cb(null, e instanceof Error))",
            true.into(),
        ),
        ("() => { delete distribution.g.counter; return typeof distribution.g.counter; }", "undefined".into()),
        // a group of the same name that is put later starts without
        (
            "(cb) => { distribution.g.kept = 1; distribution.local.groups.del('g', () => {
                const gone = distribution.g;
                distribution.local.groups.put('g', {}, () => cb(null, `${gone} ${distribution.g.kept}`)); }); }",
            "undefined undefined".into(),
        ),
    ] {
        assert_eq!(value(&node, source, vec![]).await, answer, "{source}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_group_cannot_be_named_like_an_entry_of_distribution() {
    let node = node().await;
    for name in ["node", "util"] {
        let source = format!("(cb) => distribution.local.groups.put('{name}', {{}}, cb)");
        let error = error(&node, &source).await;
        assert_eq!(error.kind, ErrorKind::Reserved);
        assert!(error.message.contains(&format!("`distribution.{name}`")), "{error}");
        assert!(chinwag::Config::default().group(name).is_err());
        let kept =
            value(&node, "() => typeof distribution.util.id.getID + typeof distribution.node.config.port", vec![]);
        assert_eq!(kept.await, Value::from("functionnumber"));
    }
    node.stop().await;
}
