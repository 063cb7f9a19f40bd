//! How tests and benchmarks start the program `chinwag`.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use chinwag::NodeAddr;

/// The path of the program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_chinwag");

/// A command that runs a node, which prints its address on standard output as one line of JSON once it listens.
pub fn node_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("--json").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Waits until the node of a process listens, and returns the node's address.
pub fn listening_address(child: &mut Child) -> NodeAddr {
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("stdout is a pipe")).read_line(&mut line).expect("stdout is read");
    let up: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line:?}"));
    let port = up["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
    let node = NodeAddr::new(up["ip"].as_str().expect("an address").to_owned(), port);
    assert_eq!(up["sid"].as_str(), Some(node.sid().as_str()), "both sides derive the same SID");
    node
}
