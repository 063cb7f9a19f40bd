//! Nodes as processes.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
};

use chinwag::NodeAddr;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_chinwag");

/// A node in a process of its own, killed when dropped.
pub struct Process {
    pub child: Child,
    pub node: NodeAddr,
}

impl Process {
    /// Starts one and waits until it is up.
    pub fn start(arguments: &[&str]) -> Process {
        Process::up(Command::new(PROGRAM).args(["--json"]).args(arguments))
    }

    /// Starts a node by a command that must print the line that says where it is as JSON.
    pub fn up(command: &mut Command) -> Process {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("a line");
        let up: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line:?}"));
        let port = up["port"].as_u64().expect("a port") as u16;
        let node = NodeAddr::new(up["ip"].as_str().expect("an address").to_owned(), port);
        assert_eq!(up["sid"].as_str(), Some(node.sid().as_str()));
        Process { child, node }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        send(self.child.id(), signal);
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // one that is stopped goes on to its end
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process.
pub fn send(process: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().expect("kill runs").success());
}

/// The processes that this one has started and not reaped: their numbers and names.
pub fn children(of: u32) -> Vec<(u32, String)> {
    let output = Command::new("ps").args(["-o", "pid=,comm=", "--ppid", &of.to_string()]).output().expect("ps runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().filter_map(|line| line.trim().split_once(' '));
    lines.filter_map(|(process, name)| Some((process.parse().ok()?, name.trim().to_owned()))).collect()
}

/// What is read from a stream, by a thread, as it comes.
#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<String>>);

impl Heard {
    /// Begins to read.
    pub fn of(stream: impl std::io::Read + Send + 'static) -> Heard {
        let heard = Heard::default();
        let keep = heard.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let mut text = keep.0.lock().expect("nobody panics");
                text.push_str(&line);
                text.push('\n');
            }
        });
        heard
    }

    /// What was read so far.
    pub fn text(&self) -> String {
        self.0.lock().expect("nobody panics").clone()
    }
}
