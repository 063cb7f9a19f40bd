//! The prompt and the script runner, used as a person uses them: the examples of the course's handout, typed in.

#![cfg(feature = "scripts")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
};

use support::{
    free,
    process::{PROGRAM, Process, run, text},
};

/// A prompt that the test types into, line by line.
struct Prompt {
    child: Child,
    stdin: ChildStdin,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Prompt {
    fn open(arguments: &[&str]) -> Prompt {
        let mut command = Command::new(PROGRAM);
        command.arg("repl").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Prompt { child, stdin, lines: BufReader::new(stdout).lines() }
    }

    fn types(&mut self, text: &str) {
        writeln!(self.stdin, "{text}").unwrap();
    }

    /// Reads the output until a line contains this text, and returns that line.
    fn sees(&mut self, text: &str) -> String {
        let mut shown = Vec::new();
        loop {
            let line = self.lines.next().unwrap_or_else(|| panic!("{text:?} was never shown: {shown:#?}")).unwrap();
            if line.contains(text) {
                return line;
            }
            shown.push(line);
        }
    }

    fn ends(mut self) {
        drop(self.stdin);
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn the_examples_of_the_handout_work_as_typed() {
    let own = free();
    let (second, third) = (free().port(), free().port());
    let mut prompt = Prompt::open(&["--port", &own.port().to_string()]);

    prompt.types(r#"distribution.local.status.get("heapTotal", console.log)"#);
    assert!(prompt.sees("null").split(' ').nth(1).unwrap().parse::<f64>().unwrap() > 0.0);
    prompt.types(r#"distribution.all.status.get("heapTotal", console.log)"#);
    prompt.sees("{}");

    prompt.types(&format!(r#"let conf = {{ip: "127.0.0.1", port: {second}}};"#));
    prompt.types(r#"let cb = (e, v) => console.log("I'm called in Node 1: Node 2 has booted!");"#);
    prompt.types("local.status.spawn(conf, cb);");
    prompt.sees("Node 2 has booted!");
    prompt.types(r#"let cb1 = () => console.log("Do something useful on Node 2!");"#);
    prompt.types(&format!(r#"let conf1 = {{ip: "127.0.0.1", port: {third}, onStart: cb1}};"#));
    prompt.types(r#"let cb2 = (e, v) => console.log("I'm called in Node 1: Node 3 has booted!");"#);
    prompt.types("local.status.spawn(conf1, cb2);");
    prompt.sees("Node 3 has booted!");

    prompt.types(r#"distribution.local.groups.get("all", console.log);"#);
    prompt.sees(&third.to_string());

    // over two lines, as in the handout
    prompt.types(r#"let g = { "507aa": {ip: "127.0.0.1", port: 8080}"#);
    prompt.types(r#"        , "12ab0": {ip: "127.0.0.1", port: 8081} };"#);
    prompt.types(r#"distribution.local.groups.put("browncs", g, console.log);"#);
    prompt.sees("12ab0");
    prompt.types(r#"let n1 = {ip: "127.0.0.1", port: 9090}"#);
    prompt.types(r#"distribution.local.groups.add("browncs", n1);"#);
    prompt.types(r#"distribution.local.groups.get("browncs", (e, v) => console.log("added", Object.keys(v).length));"#);
    prompt.sees("added 3");
    prompt.types(r#"distribution.local.groups.rem("browncs", id.getSID(n1));"#);
    prompt
        .types(r#"distribution.local.groups.get("browncs", (e, v) => console.log("removed", Object.keys(v).length));"#);
    prompt.sees("removed 2");

    prompt.types(r#"remote = {service: "status", method: "get"};"#);
    prompt.types(r#"distribution.all.comm.send(["nid"], remote, () => {});"#);
    prompt
        .types(r#"distribution.all.comm.send(["nid"], remote, (e, v) => console.log("nids", Object.keys(v).length));"#);
    prompt.sees("nids 3");
    prompt.types(r#"distribution.all.groups.put("browncs", g, console.log)"#);
    prompt.sees("12ab0");
    prompt.types(r#"distribution.all.groups.get('browncs', (e, v) => console.log("views", Object.keys(v).length));"#);
    prompt.sees("views 3");
    prompt.types("global.distribution['all'].comm.send(['sid'], remote, (e, v) => console.log(v));");
    prompt.sees(own.sid().as_str());

    prompt.types(r#"const f = () => { console.log("Running!"); }"#);
    prompt.types("gossip.at(5000, createRPC(f), (e, v) => {");
    prompt.types("  // v = 2134acc705ab…");
    prompt.types(r#"  gossip.del(v, () => console.log("done!"));"#);
    prompt.types("});");
    prompt.sees("done!");

    prompt.types("let n = 0;");
    prompt.types("let counterService = { count: () => { console.log(n++); } }");
    prompt.types("distribution.local.routes.put(counterService, 'counter');");
    prompt.types("let msg = [ [], {node: nodeConfig, service: 'counter', method: 'count'} ];");
    prompt.types("let remote = { service: 'comm', method: 'send' };");
    prompt.types("gossip.send(msg, remote, console.log);");
    // all three nodes perform the message, which calls the counter of this node
    while prompt.sees("2") != "2" {}

    prompt.types("distribution.all.status.stop(() => {})");
    drop(prompt.stdin);
    assert!(prompt.child.wait().unwrap().success());
}

#[test]
fn a_prompt_connected_to_a_running_node_uses_the_services_of_that_node() {
    let process = Process::start(&["--port", "0"]);
    let node = &process.node;
    let mut prompt = Prompt::open(&["--connect", &node.to_string()]);
    prompt.types("local.status.get('sid', console.log)");
    prompt.sees(node.sid().as_str());
    prompt.types("distribution.all.status.get('port', console.log)");
    prompt.sees(&node.port().to_string());
    prompt.types("id.getSID(nodeConfig)");
    prompt.sees(node.sid().as_str());
    // a shipped function runs on the node, and a callback runs in the prompt
    prompt.types("let heard = 0; let back = createRPC((x, cb) => { heard += x; cb(null, heard); });");
    prompt.types(
        "local.routes.put({back}, 'back', (e, v) => local.back.back(5, (e, v) => console.log('heard', v, heard)))",
    );
    prompt.sees("heard 5 5");
    // `await`, JSON and printing do not take the services for promises or call them
    prompt.types("(await distribution.local) === 0; 'awaited'");
    prompt.sees("awaited");
    prompt.types(
        "console.log(JSON.stringify({group: distribution.all}), `${distribution.local.status}`, distribution.local)",
    );
    prompt.sees("{\"group\":{}} [object Object] {}");
    prompt.types("distribution.local.groups.put('constructor', {a: nodeConfig}, (e, v) => distribution.constructor.status.get('port', (e, v) => console.log('ports', e, v)))");
    assert!(prompt.sees("ports {} ").contains(&node.port().to_string()));
    prompt.types("throw new RangeError('typed')");
    prompt.sees("Uncaught RangeError: typed");
    prompt.ends();
    let refused = run(&["repl", "--connect", "127.0.0.1:1"]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(text(&refused.stderr).lines().count(), 1);
}

/// Runs a script from a file. Returns the output and the name of the file.
fn run_file(script: &str) -> (Output, String) {
    let file = std::env::temp_dir().join(format!("chinwag-{}-{}.js", std::process::id(), free().port()));
    std::fs::write(&file, script).unwrap();
    let name = file.to_str().unwrap().to_owned();
    let output = run(&["run", &name, "--port", "0"]);
    std::fs::remove_file(&file).unwrap();
    (output, name)
}

fn run_script(script: &str) -> Output {
    run_file(script).0
}

#[test]
fn a_script_runs_until_nothing_is_pending() {
    for (script, code, stdout, stderr) in [
        ("console.log('a', 1, {b: [2]})", 0, "a 1 { b: [ 2 ] }\n", ""),
        ("setTimeout(() => console.log('later'), 30); console.log('now')", 0, "now\nlater\n", ""),
        ("distribution.local.status.get('ip', (e, v) => console.log(e, v))", 0, "null 127.0.0.1\n", ""),
        ("new Promise((r) => setTimeout(r, 10)).then(() => console.log('settled'))", 0, "settled\n", ""),
        ("let t = setInterval(() => { console.log('x'); clearInterval(t); }, 5)", 0, "x\n", ""),
        ("distribution.local.status.stop(() => {})", 0, "", ""),
        ("distribution.local.status.stop()", 0, "", ""),
        ("distribution.local.status.stop(); await new Promise(() => {})", 0, "", ""),
        ("distribution.node.server.close(() => console.log('closed'))", 0, "closed\n", ""),
        ("await new Promise((r) => distribution.local.status.stop(r))", 0, "", ""),
        ("distribution.local.status.stop(); setInterval(() => distribution.local.status.get('sid'), 1)", 0, "", ""),
        ("console.error('bad')", 0, "", "bad\n"),
        ("throw new TypeError('at once')", 1, "", "TypeError: at once"),
        ("setTimeout(() => { throw new Error('later') }, 5)", 1, "", "Error: later"),
        ("Promise.reject(new Error('nobody'))", 1, "", "nobody"),
        ("][", 1, "", "SyntaxError"),
    ] {
        let output = run_script(script);
        let (shown, said) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{script}: {shown}{said}");
        assert_eq!(shown, stdout, "{script}");
        assert!(said.contains(stderr) && stderr.is_empty() == said.is_empty(), "{script}: {said}");
    }
    let missing = run(&["run", "/no/such/file.js"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("/no/such/file.js"));
}

#[test]
fn the_example_counts_words_on_three_nodes_with_services_that_it_ships() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/mapreduce.js");
    let output = run(&["run", example, "--port", "0"]);
    let (shown, said) = (text(&output.stdout), text(&output.stderr));
    // the script compares the counts with its own
    assert!(output.status.success(), "{shown}{said}");
    assert!(shown.contains("rumor: 3"), "{shown}{said}");
}

#[test]
fn an_error_that_a_script_does_not_catch_shows_places_in_the_script_and_no_others() {
    let deep = "function f() {\n  throw new TypeError('deep')\n}\n";
    for (script, error, places) in [
        ("f(1)", "ReferenceError: f is not defined", vec!["1:1"]),
        (&format!("{deep}f()"), "TypeError: deep", vec!["f 2:13", "4:1"]),
        (&format!("{deep}setTimeout(() => {{ f() }}, 1)"), "TypeError: deep", vec!["f 2:13", "4:20"]),
        (&format!("{deep}queueMicrotask(f)"), "TypeError: deep", vec!["f 2:13"]),
        (&format!("{deep}Promise.resolve().then(() => {{ f() }})"), "TypeError: deep", vec!["f 2:13", "4:32"]),
        (
            &format!("{deep}distribution.local.status.get('sid', () => {{ f() }})"),
            "TypeError: deep",
            vec!["f 2:13", "4:46"],
        ),
        ("\n distribution.util.wire.createRPC(1)", "TypeError: createRPC takes a function", vec!["2:25"]),
        ("\nlet a = 1\nlet b = ]", "SyntaxError: unexpected token in expression: ']'", vec!["3:9"]),
        ("throw {code: 7}", "{ code: 7 }", vec![]),
    ] {
        let (output, file) = run_file(script);
        assert_eq!(output.status.code(), Some(1), "{script}");
        let place = |place: &str| match place.split_once(' ') {
            Some((function, place)) => format!("    at {function} ({file}:{place})\n"),
            None => format!("    at {file}:{place}\n"),
        };
        let expected = format!("Uncaught {error}\n{}", places.into_iter().map(place).collect::<String>());
        let said = text(&output.stderr);
        assert!(said.ends_with(&expected), "{script}: {said}expected: {expected}");
    }
}

#[test]
fn the_errors_of_a_group_show_no_places_outside_the_script() {
    let (output, _) = run_file(
        "distribution.all.comm.send([], {service: 'none', method: 'm'}, (e) => console.log(e));
        distribution.all.comm.send([], {service: 'none', method: 'm'}, (e) => { throw Object.values(e)[0] });",
    );
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(out.contains("[UnknownService: ") && !out.contains(" at "), "{out}");
    assert!(err.contains("Uncaught UnknownService: ") && !err.contains("prelude") && !err.contains("native"), "{err}");
}
