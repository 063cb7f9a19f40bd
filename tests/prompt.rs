//! The prompt in a terminal, as a person uses it, and with piped input.
#![cfg(all(unix, feature = "scripts"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
#[path = "support/terminal.rs"]
pub mod terminal;

use std::{
    io::Write,
    os::unix::process::ExitStatusExt,
    process::{Command, Output, Stdio},
};

use support::{
    process::{PROGRAM, Process, StreamReader, node_command, send, text},
    until,
};
use terminal::Terminal;

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

/// Opens a prompt, and waits until a line can be typed.
fn prompt() -> Terminal {
    let terminal = Terminal::open(&["repl", "--port", "0"]);
    terminal.is_ready();
    terminal
}

/// Runs the program with this standard input.
fn piped(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).args(["--port", "0"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

// ---- what is finished ----

#[test]
fn a_line_is_continued_until_javascript_takes_it_for_finished() {
    let mut terminal = prompt();
    for (keys, shown) in [
        ("console.log(':)')\r", ":)"),
        ("`a\rb`.length\r", "3"),
        ("/* a\r*/ 4\r", "4"),
        ("2 +\r3\r", "5"),
        ("[1, 2\r, 3].length * 2\r", "6"),
        ("/[(]/.source.length + 4\r", "7"),
        ("(() => {\rreturn 8\r})()\r", "8"),
        ("{a: 9,\rb: [9]}\r", "{ a: 9, b: [ 9 ] }"),
    ] {
        terminal.presses(keys);
        terminal.shows_line(shown);
    }
    terminal.presses("'abc\r");
    terminal.shows("the error", |lines| lines.iter().any(|line| line.starts_with("Uncaught SyntaxError")));
    terminal.is_ready();
}

#[test]
fn all_lines_of_one_write_are_run() {
    let mut terminal = prompt();
    terminal.presses("1 + 1\r2 + 2\rlet f = () => {\r  return 6\r}\rf()\r'x' + 'y'\r");
    for shown in ["2", "4", "6", "'xy'"] {
        terminal.shows_line(shown);
    }
}

#[test]
fn piped_input_that_is_unfinished_is_an_error() {
    for (input, code, shown) in [
        ("console.log(':)')", 0, ":)"),
        ("console.log('a')\nconsole.log(\n'b'\n)", 0, "a\nb"),
        ("console.log('a')\nconsole.log('b'", 1, "a\nUncaught SyntaxError"),
        ("`a", 1, "Uncaught SyntaxError"),
        ("1 +\n", 1, "Uncaught SyntaxError"),
        ("throw new Error('x')\nconsole.log('later')", 0, "Uncaught Error: x\n    at REPL1:1:11\nlater"),
        (".help\n.exit\n1 +", 0, ".exit"),
        ("1 + 1\n_ + 1\n", 0, "2\n3\n"),
    ] {
        let output = piped(&["repl"], input);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{input:?}: {out}{err}");
        assert!(out.starts_with(shown), "{input:?}: {out}{err}");
    }
}

#[test]
fn a_script_from_standard_input_is_run() {
    for (script, code, out, err) in [
        ("let a = 1;\nconsole.log(a)", 0, "1\n", ""),
        ("console.log(1", 1, "", "Uncaught SyntaxError: "),
        ("\n  f()", 1, "", "Uncaught ReferenceError: f is not defined\n    at [stdin]:2:3\n"),
    ] {
        let output = piped(&["run", "-"], script);
        assert_eq!(output.status.code(), Some(code), "{script:?}");
        assert_eq!(text(&output.stdout), out, "{script:?}");
        assert!(text(&output.stderr).starts_with(err), "{script:?}: {}", text(&output.stderr));
    }
    assert_eq!(piped(&["run", "-", "--config", "-"], "").status.code(), Some(1));
}

// ---- the keyboard ----

#[test]
fn ctrl_c_stops_what_runs_and_returns_to_the_prompt() {
    let mut terminal = prompt();
    for (keys, running) in [
        ("console.log('awaits'); await new Promise(() => {})\r", "awaits"),
        ("console.log('loops'); while (true) {}\r", "loops"),
        ("console.log('jobs'); (async () => { for (;;) await null })(); await new Promise(() => {})\r", "jobs"),
    ] {
        terminal.presses(keys);
        terminal.shows_line(running);
        terminal.presses(CTRL_C);
        terminal.is_ready();
        terminal.presses(&format!("'after ' + '{running}'\r"));
        terminal.shows_line(&format!("'after {running}'"));
    }
    terminal.presses("let o = { get x() { console.log('gets'); for (;;) {} } }\r");
    terminal.is_ready();
    terminal.presses("o.x.\t");
    terminal.shows_line("gets");
    terminal.presses(CTRL_C);
    // the completion is over, and the line remains
    terminal.presses("\x15'after ' + 'Tab'\r");
    terminal.shows_line("'after Tab'");
}

#[test]
fn ctrl_c_discards_the_line_and_on_an_empty_line_says_how_to_leave() {
    let mut terminal = prompt();
    terminal.presses("discarded(");
    terminal.shows("the line", |lines| lines.last().is_some_and(|line| line.ends_with("discarded(")));
    terminal.presses(CTRL_C);
    terminal.shows("another line", |lines| lines.len() == 2);
    terminal.presses("40 + 2\r");
    terminal.shows_line("42");
    terminal.is_ready();
    terminal.presses(CTRL_C);
    terminal.shows_line("(To exit, press Ctrl+C again or Ctrl+D or type .exit)");
    terminal.presses(CTRL_C);
    assert_eq!(terminal.ended().code(), Some(0));
}

#[test]
fn ctrl_d_and_the_command_exit_leave() {
    for keys in [CTRL_D, ".exit\r"] {
        let mut terminal = prompt();
        terminal.presses(keys);
        assert_eq!(terminal.ended().code(), Some(0), "{keys:?}");
    }
}

#[test]
fn the_command_help_lists_the_commands_and_the_last_value_has_a_name() {
    let mut terminal = prompt();
    terminal.presses(".help\r");
    terminal.shows("the commands", |lines| lines.iter().any(|line| line.starts_with(".exit ")));
    terminal.presses(".hlep\r");
    terminal.shows_line("There is no such command; .help lists them");
    terminal.presses("6 * 7\r_ + 1\r");
    terminal.shows_line("43");
}

#[test]
fn tab_completes_names_also_those_that_were_declared_at_the_prompt() {
    let mut terminal = prompt();
    terminal.presses("let discovered = {answer: 41}\r");
    terminal.shows_line("undefined");
    terminal.is_ready();
    terminal.presses("discov\t.ans\t + 1\r");
    terminal.shows_line("42");
    terminal.is_ready();
    terminal.presses("distribution.local.sta\t");
    terminal.shows("the name", |lines| lines.last().is_some_and(|line| line.ends_with("> distribution.local.status")));
}

#[test]
fn output_leaves_the_line_that_is_being_typed_intact() {
    let port = support::free().port();
    let mut terminal = Terminal::open(&["repl", "--port", &port.to_string()]);
    terminal.is_ready();
    let line = format!("{} 'typed' + 'ahead'", terminal.lines().last().unwrap());
    terminal.presses("let print = () => console.log('printed'); setTimeout(print, 500)\r'typed' + 'ahead'\x1b[D");
    terminal.shows_line("printed");
    terminal.shows("the line below the output", |lines| lines.last() == Some(&line));
    assert_eq!(usize::from(terminal.cursor()), line.len() - 1);
    // a node that joins causes a log line, which goes to standard error
    let _other = Process::start(&["--port", "0", "--join", &format!("127.0.0.1:{port}")]);
    terminal.shows("a log line", |lines| lines.iter().any(|line| line.contains(" joined")));
    terminal.shows("the line below the log", |lines| lines.last() == Some(&line));
    terminal.presses("\r");
    terminal.shows_line("'typedahead'");
}

#[tokio::test]
async fn a_prompt_that_sigterm_ends_says_farewell() {
    let mut seed = Process::up(node_command(&["--port", "0"]).stderr(Stdio::piped()));
    let said = StreamReader::start(seed.child.stderr.take().unwrap());
    for (busy, port) in [(false, support::free().port()), (true, support::free().port())] {
        let (port, join) = (port.to_string(), seed.node.to_string());
        let mut terminal = Terminal::open(&["repl", "--port", &port, "--join", &join]);
        terminal.shows("a prompt", |lines| lines.last().is_some_and(|line| line.contains('>')));
        until("it has joined", async || said.text().contains(&format!(":{port} joined"))).await;
        if busy {
            terminal.presses("console.log('runs'); for (;;) {}\r");
            terminal.shows_line("runs");
        } else {
            terminal.presses("unfinished(");
        }
        send(terminal.child.id(), "-TERM");
        assert_eq!(terminal.ended().signal(), Some(15));
        until("it has left", async || said.text().contains(&format!(":{port} left"))).await;
    }
}
