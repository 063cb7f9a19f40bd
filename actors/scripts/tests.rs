#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use chinwag_protocol::{
    call::{Answer, Call, CallError, ErrorKind, Reply},
    identity::NodeAddr,
    value::{Function, Value},
};
use futures_util::future::LocalBoxFuture;

use super::{Change, Host, ScriptSettings, Scripts, run_without_node};
use crate::{clock::Clock, request::Origin, script::Script, transport::Transport};

/// A host that records every call, and answers it with the name of its method.
#[derive(Default)]
struct RecordingHost {
    calls: RefCell<Vec<String>>,
    registered: RefCell<Vec<String>>,
}

impl Host for RecordingHost {
    fn call(&self, _: Origin, call: Call) -> LocalBoxFuture<'static, Reply> {
        self.calls.borrow_mut().push(call.to_string());
        let answer = Value::from(call.method);
        Box::pin(async move { Ok(Answer::Value(answer)) })
    }

    fn register(&self, name: &str) -> Result<(), CallError> {
        self.registered.borrow_mut().push(name.to_owned());
        Ok(())
    }

    fn unregister(&self, names: &[String]) {
        self.registered.borrow_mut().retain(|name| !names.contains(name));
    }
}

fn scripts(settings: ScriptSettings) -> (Scripts, Rc<RecordingHost>) {
    let scripts = Scripts::new(NodeAddr::new("127.0.0.1", 8080), settings, [7; 32], Clock::default(), 0, None);
    let host = Rc::new(RecordingHost::default());
    scripts.attach(host.clone());
    let (gid, service, methods) = ("local".to_owned(), "status".to_owned(), vec!["get".to_owned()]);
    scripts.directory().change(Change::SetService { gid, service, methods });
    (scripts, host)
}

fn settings() -> ScriptSettings {
    ScriptSettings {
        processor_time: Duration::from_millis(100),
        grace: Duration::from_millis(100),
        ..ScriptSettings::default()
    }
}

async fn call(scripts: &Scripts, source: &str) -> Result<Value, CallError> {
    let origin = Origin::starting(Duration::from_secs(60), Clock::default());
    scripts.call_function(&Function::new(source), Vec::new(), origin).await.map(Answer::into_value)
}

async fn evaluate(scripts: &Scripts, source: &str) -> Result<String, CallError> {
    let answer = scripts.evaluate(source.into(), Origin::starting(Duration::from_secs(60), Clock::default())).await?;
    Ok(answer.into_value().deserialize()?)
}

/// Runs a test in a local task set, as actors run.
fn in_actix<F: Future>(paused: bool, test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(paused).build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

#[test]
fn an_inline_engine_runs_in_virtual_time_and_is_deterministic() {
    let run = || {
        in_actix(true, async {
            let (scripts, host) = scripts(ScriptSettings { inline: Some(100), ..settings() });
            let began = tokio::time::Instant::now();
            let source = "(cb) => setTimeout(() => distribution.local.status.get('x', (e, v) => cb(e, [v, Math.random()])), 30000)";
            let answer = call(&scripts, source).await.unwrap();
            assert!(began.elapsed() >= Duration::from_secs(30));
            assert_eq!(*host.calls.borrow(), ["local.status.get"]);
            let error = call(&scripts, "() => { for (;;); }").await.unwrap_err();
            assert_eq!(error.kind.name(), "LimitExceeded");
            let error = call(&scripts, "(cb) => { const f = () => queueMicrotask(f); f(); }").await.unwrap_err();
            assert_eq!(error.kind.name(), "LimitExceeded");
            let stub = call(&scripts, "() => distribution.util.wire.createRPC(() => 1)").await.unwrap();
            let name = host.registered.borrow()[0].clone();
            assert!(matches!(&stub, Value::Function(stub) if stub.source().contains(&name)));
            (answer, stub)
        })
    };
    assert_eq!(run(), run());
}

#[test]
fn a_queued_call_is_freed_when_its_caller_gives_up() {
    in_actix(false, async {
        let (scripts, _) = scripts(ScriptSettings { processor_time: Duration::from_secs(2), ..settings() });
        let service = Arc::new(Value::Object([("m", Value::Function(Function::new("() => 1")))].into_iter().collect()));
        let held = Arc::downgrade(&service);
        let busy = call(&scripts, "() => { const end = Date.now() + 1500; while (Date.now() < end); }");
        let waiting = async {
            let soon = Origin::starting(Duration::from_millis(50), Clock::default());
            let error = scripts.call_method(service, "m", Vec::new(), soon).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
            held.strong_count()
        };
        // the busy function starts first, and runs while the other call waits
        let (busy, held) = futures_util::join!(busy, waiting);
        assert_eq!((busy, held), (Ok(Value::Undefined), 0));
    });
}

#[test]
fn calls_are_refused_while_two_abandoned_engines_run() {
    in_actix(false, async {
        let (scripts, _) = scripts(settings());
        let stuck = "() => new Array(4e7) + ''";
        for _ in 0..2 {
            let error = call(&scripts, stuck).await.unwrap_err();
            assert_eq!(error.kind.name(), "LimitExceeded", "{error}");
        }
        let refused = call(&scripts, "() => 1").await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Busy);
        // both engines end at their next interrupt, and then a new one starts
        loop {
            match call(&scripts, "() => 1").await {
                Ok(one) => break assert_eq!(one, Value::from(1)),
                Err(error) => assert_eq!(error.kind, ErrorKind::Busy),
            }
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_call_queued_behind_a_stuck_function_runs_on_the_next_engine() {
    in_actix(false, async {
        let (scripts, _) = scripts(settings());
        let (stuck, good) = futures_util::join!(call(&scripts, "() => new Array(4e7) + ''"), call(&scripts, "() => 2"));
        assert_eq!(stuck.unwrap_err().kind.name(), "LimitExceeded");
        assert_eq!(good, Ok(Value::from(2)));
    });
}

#[test]
fn evaluated_source_answers_its_formatted_value() {
    in_actix(false, async {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = lines.clone();
        let console = Arc::new(move |_, line: &str| heard.lock().unwrap().push(line.to_owned()));
        let (scripts, _) = scripts(ScriptSettings { console, ..settings() });
        for (source, shown) in [
            ("1 + 1", "2"),
            ("let kept = [1, 'two', , {three: 3n}]; kept", "[ 1, 'two', <1 empty item>, { three: 3n } ]"),
            ("kept.length", "4"),
            ("await Promise.resolve(5)", "5"),
            (
                "({f() {}, g: () => 1, n: null, u: undefined})",
                "{ f: [Function: f], g: [Function: g], n: null, u: undefined }",
            ),
            ("const o = {}; o.o = o; o", "<ref *1> { o: [Circular *1] }"),
            ("new Map([[1, new Set(['a'])]])", "Map(1) { 1 => Set(1) { 'a' } }"),
            ("({a: {b: {c: {d: 1}}}})", "{ a: { b: { c: [Object] } } }"),
            ("console.log('%s is %d%%', 'x', 5, {a: -0})", "undefined"),
            ("new Date(0)", "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(evaluate(&scripts, source).await.as_deref(), Ok(shown), "{source}");
        }
        assert_eq!(*lines.lock().unwrap(), ["x is 5% { a: -0 }"]);
        assert_eq!(evaluate(&scripts, "nothing.here").await.unwrap_err().kind.name(), "ReferenceError");
        // `idle` waits for code that continues after its answer, and returns the error that this code did not catch
        evaluate(&scripts, "setTimeout(() => { console.log('late'); throw new TypeError('lost'); }, 20); 0")
            .await
            .unwrap();
        let uncaught = scripts.idle().await.unwrap();
        assert_eq!((uncaught.kind.name(), uncaught.message.as_str()), ("TypeError", "lost"));
        assert_eq!(lines.lock().unwrap().last().map(String::as_str), Some("late"));
        assert_eq!(scripts.idle().await, None);
    });
}

/// Records every call, and answers it with null.
#[derive(Default)]
struct RecordingTransport(RefCell<Vec<(NodeAddr, Call)>>);

impl Transport for RecordingTransport {
    fn call(&self, to: &NodeAddr, call: Call) -> LocalBoxFuture<'static, Reply> {
        self.0.borrow_mut().push((to.clone(), call));
        Box::pin(async { Ok(Answer::Value(Value::Null)) })
    }
}

#[test]
fn a_function_without_a_node_can_call_another_node() {
    in_actix(false, async {
        let (me, parent) = (NodeAddr::new("127.0.0.1", 8081), NodeAddr::new("127.0.0.1", 8080));
        let transport = Rc::new(RecordingTransport::default());
        let callback = crate::stub::function(&parent, "4f1c", "call");
        let source = format!(
            "(error) => {{ const tell = ({}); if (error) {{ tell(error, null, () => {{}}); return; }} }}",
            callback.source()
        );
        let error = Value::from(CallError::new(ErrorKind::SpawnFailed, "taken"));
        let time = Duration::from_secs(20);
        run_without_node(&me, transport.clone(), settings(), None, &Function::new(source), vec![error.clone()], time)
            .await
            .unwrap();
        let calls = transport.0.borrow();
        let [(to, call)] = &calls[..] else { panic!("{} calls", calls.len()) };
        assert_eq!((to, call.to_string().as_str()), (&parent, "local.4f1c.call"));
        assert_eq!(call.arguments, [error, Value::Null]);
    });
}

#[test]
fn a_function_that_runs_out_of_memory_fails_with_an_error_in_words() {
    in_actix(false, async {
        let minute = Duration::from_secs(60);
        let (scripts, _) = scripts(ScriptSettings { processor_time: minute, grace: minute, ..settings() });
        for source in [
            "() => new Uint8Array(1 << 30)",
            "() => 'x'.repeat(2 ** 29)",
            "() => { const a = []; for (;;) a.push(new Uint8Array(1 << 20)); }",
            "() => { const a = []; for (;;) a.push(a.concat(a, [1])); }",
            "async () => { await null; return new Array(1e9).fill(0); }",
            "(cb) => { setTimeout(() => { const a = [[]]; for (;;) a.push([...a, ...a]); }, 0); }",
            "() => { globalThis.hog = []; for (;;) hog.push({ a: {}, b: [] }); }",
            "async () => { globalThis.hog = []; await null; for (;;) hog.push({ a: {}, b: [] }); }",
            "() => { let s = []; for (let i = 0; ; i++) s.push('x'.repeat(100000) + i); }",
            "() => Array.from({ length: 1e6 }, () => ({ a: {}, b: [] })).map(() => ({ c: {} }))",
            "() => JSON.parse('[' + '{},'.repeat(1e6) + '{}]')",
            "() => 'x'.repeat(1e7).split('')",
            "(cb) => { try { new ArrayBuffer(2 ** 30); } catch (error) { cb(error); } }",
        ] {
            let error = call(&scripts, source).await.unwrap_err();
            let told = (error.kind.name(), &*error.message);
            assert!(
                told.1.contains("memory") && told.1.contains("64 MiB") && told.0 == "LimitExceeded",
                "{source}: {told:?}"
            );
        }
        assert_eq!(call(&scripts, "() => 1").await, Ok(Value::from(1)));
        // what a function throws stays what it threw
        let thrown = call(&scripts, "() => { throw null; }").await.unwrap_err();
        assert_eq!(thrown.message, "failed with null");
    });
}

/// Runs lines of a prompt, and returns what is shown of each.
async fn shown(scripts: &Scripts, lines: &[&str]) -> Vec<String> {
    let mut shown = Vec::new();
    for (number, line) in (1..).zip(lines) {
        let origin = Origin::starting(Duration::from_secs(60), Clock::default());
        shown.push(match scripts.evaluate(Script::line(number, *line), origin).await {
            Ok(answer) => answer.into_value().deserialize().unwrap(),
            Err(error) => format!("Uncaught {}", error.shown.unwrap_or_default()),
        });
    }
    shown
}

#[test]
fn a_line_of_a_prompt_keeps_its_names_unless_it_throws() {
    in_actix(false, async {
        let (scripts, _) = scripts(settings());
        let (lines, expected): (Vec<&str>, Vec<&str>) = [
            ("let x = 5", "undefined"),
            ("x", "5"),
            ("let x = 6", "Uncaught SyntaxError: Identifier 'x' has already been declared"),
            ("x", "5"),
            ("let y = f()", "Uncaught ReferenceError: f is not defined\n    at REPL5:1:9"),
            ("typeof y", "'undefined'"),
            ("let y = 7; y", "7"),
            ("const c = await 1; c", "1"),
            ("c = 2", "Uncaught TypeError: 'c' is read-only\n    at REPL9:1:1"),
            ("let n = 0; let next = () => ++n; next()", "1"),
            ("next() + n", "4"),
            ("async function g() { return 4 }", "undefined"),
            ("let d = await g(); function h() { return d }", "undefined"),
            ("h()", "4"),
            ("class A { m() { return 1 } }", "undefined"),
            ("new A().m()", "1"),
            ("let distribution = nothing()", "Uncaught ReferenceError: nothing is not defined\n    at REPL17:1:20"),
            ("typeof distribution.local.status.get", "'function'"),
            ("let distribution = {a: 1}", "undefined"),
            ("distribution", "{ a: 1 }"),
            (
                "let z = 1;\nlet w = 2;\n  null.x",
                "Uncaught TypeError: cannot read property 'x' of null\n    at REPL21:3:3",
            ),
            ("[typeof z, typeof w]", "[ 'undefined', 'undefined' ]"),
            ("typeof __declare", "'undefined'"),
        ]
        .into_iter()
        .unzip();
        assert_eq!(shown(&scripts, &lines).await, expected);
        scripts.close();
    });
}

#[test]
fn a_prompt_shows_objects_the_last_value_and_the_place_of_errors() {
    in_actix(false, async {
        let (scripts, _) = scripts(settings());
        let (lines, expected): (Vec<&str>, Vec<&str>) = [
            ("{a: 1, b: 2}", "{ a: 1, b: 2 }"),
            ("_.b", "2"),
            ("_ + 1", "3"),
            ("_ = 7", "7"),
            ("1", "1"),
            ("_", "7"),
            ("function h() { throw new RangeError('deep') }\nfunction i() { h() }", "undefined"),
            ("\n  i()", "Uncaught RangeError: deep\n    at h (REPL7:1:26)\n    at i (REPL7:2:16)\n    at REPL8:2:3"),
            (
                "distribution.util.wire.createRPC(1)",
                "Uncaught TypeError: createRPC takes a function\n    at REPL9:1:23",
            ),
            (
                "[1].map((n) => { f(n) })",
                "Uncaught ReferenceError: f is not defined\n    at REPL10:1:18\n    at REPL10:1:4",
            ),
            ("][", "Uncaught SyntaxError: unexpected token in expression: ']'\n    at REPL11:1:1"),
            ("throw 'text'", "Uncaught 'text'"),
            ("throw {a: 1}", "Uncaught { a: 1 }"),
            ("throw 0", "Uncaught 0"),
            ("{a: null.x}", "Uncaught TypeError: cannot read property 'x' of null\n    at REPL15:1:1"),
        ]
        .into_iter()
        .unzip();
        assert_eq!(shown(&scripts, &lines).await, expected);
        scripts.close();
    });
}

#[test]
fn a_shipped_function_gets_the_module_but_sets_no_configuration() {
    in_actix(false, async {
        let (scripts, _) = scripts(settings());
        let source = "() => { require('@brown-ds/distribution')({port: 1}); \
                      return typeof require('./distribution.js').local.status.get + nodeConfig.port; }";
        assert_eq!(call(&scripts, source).await.unwrap(), Value::from("function8080"));
        let missing = call(&scripts, "() => require('fs')").await.unwrap_err();
        assert!(missing.message.starts_with("Cannot find module 'fs'"), "{missing}");
        scripts.close();
    });
}
