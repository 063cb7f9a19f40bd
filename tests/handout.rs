//! Every line of JavaScript in the examples of the course's handout: at the prompt, in a file, inside a function, and at a
//! prompt on another node.
//!
//! Lines that show output and elisions are left out, as is the empty argument of the last example. Left out too is the
//! line that requires a file of the student's own, because no node reads files.
#![cfg(feature = "scripts")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    io::Write,
    process::{Command, Stdio},
};

use chinwag::NodeAddr;
use support::{
    free,
    process::{PROGRAM, Process, StreamReader, node_command, text},
    put, raw,
};

/// Where the lines run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Prompt,
    File,
    Function,
    Connected,
}

use Place::{Connected, File, Function, Prompt};

const EVERYWHERE: &[Place] = &[Prompt, File, Function, Connected];

/// Lines, where they must work, and what must be printed, in any order. `OWN_PORT` is the port of the node, `OWN_SID` its SID, and
/// `NEW_PORT` the port of a node that the lines spawn.
struct Example {
    places: &'static [Place],
    lines: &'static str,
    prints: &'static [&'static str],
}

const EXAMPLES: &[Example] = &[
    Example {
        places: EVERYWHERE,
        lines: r#"
global.nodeConfig = { "ip": "127.0.0.1",
                    "port": OWN_PORT,
                    onStart: (s) => console.log('hi!') }
let distribution = require("distribution.js");
distribution.local.status.get("sid", console.log)"#,
        prints: &["hi!\n", "null OWN_SID\n"],
    },
    // as in the other programs of the course
    Example {
        places: EVERYWHERE,
        lines: r#"
let config = {ip: "127.0.0.1", port: OWN_PORT, onStart: () => console.log('hi!')};
let distribution = require("@brown-ds/distribution")(config);
distribution.node.start((error) => distribution.local.status.get("port", console.log));
console.log(nodeConfig.port, distribution.node.config.port);"#,
        prints: &["hi!\n", "null OWN_PORT\n", "OWN_PORT OWN_PORT\n"],
    },
    Example {
        places: EVERYWHERE,
        lines: r#"
distribution.local.status.get("heapTotal", console.log)
distribution.all.status.get("heapTotal", console.log)"#,
        prints: &["null ", "{} "],
    },
    Example {
        places: EVERYWHERE,
        lines: r#"
let conf = {ip: "127.0.0.1", port: NEW_PORT};
let cb = (e, v) => console.log("I'm called in Node 1: Node 2 has booted!");
local.status.spawn(conf, cb);"#,
        prints: &["I'm called in Node 1: Node 2 has booted!\n"],
    },
    Example {
        places: EVERYWHERE,
        lines: r#"
let cb1 = () => console.log("Do something useful on Node 2!");
let conf1 = {ip: "127.0.0.1", port: NEW_PORT, onStart: cb1};
let cb2 = (e, v) => console.log("I'm called in Node 1: Node 2 has booted!");
local.status.spawn(conf1, cb2);"#,
        prints: &["Do something useful on Node 2!\n", "I'm called in Node 1: Node 2 has booted!\n"],
    },
    Example {
        places: EVERYWHERE,
        lines: r#"
distribution.local.groups.get("all", console.log);"#,
        prints: &["null { ", "OWN_SID", "port: OWN_PORT"],
    },
    Example {
        places: EVERYWHERE,
        lines: r#"
let g = { "507aa": {ip: "127.0.0.1", port: 8080}
        , "12ab0": {ip: "127.0.0.1", port: 8081} };
distribution.local.groups.put("browncs", g, console.log);
MEMBERS 2
let n1 = {ip: "127.0.0.1", port: 9090}
distribution.local.groups.add("browncs", n1);
MEMBERS 3
distribution.local.groups.rem("browncs", id.getSID(n1));
MEMBERS 2
console.log("all done");"#,
        prints: &["null {\n", "all done\n"],
    },
    Example {
        places: EVERYWHERE,
        lines: r#"
remote = {service: "status", method: "get"};
distribution.all.comm.send(["nid"], remote, () => {});
distribution.all.comm.send(["sid"], remote, console.log);"#,
        prints: &["{} { ", "'OWN_SID'"],
    },
    Example {
        places: EVERYWHERE,
        lines: r#"
let g = {[id.getSID(nodeConfig)]: nodeConfig};
distribution.all.groups.put("browncs", g, () => {
  distribution.browncs.groups.get('all', (e, v) => console.log(v));
  let context = {gid: "browncs"};
  global.distribution[context.gid].comm.send(["sid"], {service: "status", method: "get"}, console.log);
});"#,
        prints: &["port: OWN_PORT", "{} { "],
    },
    Example {
        places: EVERYWHERE,
        lines: r#"
let status = (config) => {
  let context = {};
  context.gid = config.gid || "all"; // contains a property named gid
  return { get: () => {/** uses context **/}
         , stop: () => { /**uses context**/} };
}
console.log(Object.keys(status({gid: "browncs"})));"#,
        prints: &["[ 'get', 'stop' ]\n"],
    },
    // in parentheses, because an arrow function after `||` is a syntax error in every engine
    Example {
        places: EVERYWHERE,
        lines: r#"
let gossip = (config) => {
  let context = {}; // create service-local context.
  context.gid = config.gid || "all"; 
  context.subset = config.subset || ((lst) => 3);
  return { send: () => {}, at: () => {}, del: () => {} };
}
console.log(Object.keys(gossip({})));"#,
        prints: &["[ 'send', 'at', 'del' ]\n"],
    },
    Example {
        places: EVERYWHERE,
        lines: r#"
const f = () => { console.log("Running!"); }
gossip.at(5000, createRPC(f), (e, v) => {
  // v = 2134acc705ab…
  gossip.del(v, () => console.log("done!"));
});"#,
        prints: &["done!\n"],
    },
    Example {
        places: EVERYWHERE,
        lines: r#"
// Register a service
let n = 0;
let counterService = { count: () => { console.log(n++); } }
distribution.local.routes.put(counterService, 'counter');
// N.b.: Ask other nodes to send a message that calls our service via gossip
let msg = [ [], {node: nodeConfig, service: 'counter', method: 'count'} ];
let remote = { service: 'comm', method: 'send' };
gossip.send(msg, remote, console.log);"#,
        prints: &["0\n", "{} { "],
    },
];

/// The line `MEMBERS N` waits until the group has so many members: calls do not wait for each other.
fn waiting(line: &str) -> String {
    let Some(members) = line.strip_prefix("MEMBERS ") else { return line.to_owned() };
    format!(
        "await new Promise(function wait(done) {{ distribution.local.groups.get('browncs', (e, v) => \
         !e && Object.keys(v).length === {members} ? done() : setTimeout(wait, 1, done)); }});"
    )
}

/// Runs the program with these lines, and returns everything that it printed.
fn printed(place: Place, lines: &str, node: &NodeAddr) -> String {
    let port = node.port().to_string();
    let mut command = Command::new(PROGRAM);
    command.env("RUST_LOG", "warn").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let lines = lines.lines().map(waiting).collect::<Vec<String>>().join("\n");
    let lines = if place == Function { format!("(async function () {{{lines}\n}})();") } else { lines };
    let file = std::env::temp_dir().join(format!("chinwag-{}-{port}.js", std::process::id()));
    std::fs::write(&file, &lines).unwrap();
    match place {
        Prompt => command.args(["repl", "--port", &port]),
        File | Function => command.args(["run", file.to_str().unwrap(), "--port", &port]),
        Connected => command.args(["repl", "--connect", &node.to_string()]),
    };
    let mut child = command.spawn().unwrap();
    // a program that runs a file does not read its input
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    let output = child.wait_with_output().unwrap();
    std::fs::remove_file(&file).unwrap();
    let printed = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && !printed.contains("Uncaught"), "{place:?}: {lines}\n{printed}");
    printed
}

#[test]
fn every_line_of_the_handout_works_wherever_it_is_run() {
    for example in EXAMPLES {
        for &place in example.places {
            let process =
                (place == Connected).then(|| Process::up(node_command(&["--port", "0"]).stderr(Stdio::piped())));
            let (node, new) = (process.as_ref().map_or_else(free, |process| process.node.clone()), free());
            let filled = |text: &str| {
                let ports =
                    text.replace("OWN_PORT", &node.port().to_string()).replace("NEW_PORT", &new.port().to_string());
                ports.replace("OWN_SID", node.sid().as_str())
            };
            let mut said = printed(place, &filled(example.lines), &node);
            let stop = put("/local/status/stop", "[]");
            if example.lines.contains("NEW_PORT") {
                raw(new.authority().parse().unwrap(), &stop);
            }
            if let Some(mut process) = process {
                let stderr = StreamReader::start(process.child.stderr.take().unwrap());
                raw(node.authority().parse().unwrap(), &stop);
                process.ended();
                said.push_str(&stderr.text_at_end());
            }
            for prints in example.prints {
                assert!(said.contains(&filled(prints)), "{place:?}: {}\n{prints}\n{said}", example.lines);
            }
            assert!(!said.contains("but this node runs at"), "{said}");
        }
    }
}

#[test]
fn a_configuration_that_names_another_address_is_reported() {
    let said = printed(File, "global.nodeConfig = {port: 1}; require('distribution.js')", &free());
    assert!(said.contains("nodeConfig names undefined:1, but this node runs at 127.0.0.1:"), "{said}");
}

#[test]
fn a_module_that_is_not_there_is_an_error_and_its_name_can_be_declared_again() {
    let lines = "let f = require('fs')\nlet f = 5\nf";
    let mut command = Command::new(PROGRAM);
    command.args(["repl", "--port", "0"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let said = text(&child.wait_with_output().unwrap().stdout);
    assert!(said.starts_with("Uncaught Error: Cannot find module 'fs'"), "{said}");
    assert!(said.ends_with("\n5\n"), "{said}");
}
