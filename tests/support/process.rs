//! The program under test, and nodes in processes of their own.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chinwag::NodeAddr;

use super::PATIENCE;
pub use super::program::{PROGRAM, listening_address, node_command};

/// Runs the program to its end, without input.
pub fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).output().expect("the program runs")
}

/// The text of an output stream.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A node in a process of its own, killed when dropped.
pub struct Process {
    pub child: Child,
    pub node: NodeAddr,
}

impl Process {
    /// Starts the program with these arguments, and waits until its node listens.
    pub fn start(arguments: &[&str]) -> Process {
        Process::up(&mut node_command(arguments))
    }

    /// Starts a node by a command that prints the node's address as JSON, and waits until it listens.
    pub fn up(command: &mut Command) -> Process {
        Process::listening(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the command runs"))
    }

    /// Waits until the node of this process listens.
    pub fn listening(mut child: Child) -> Process {
        let node = listening_address(&mut child);
        Process { child, node }
    }

    /// Sends the process a signal.
    pub fn signal(&self, signal: &str) {
        send(self.child.id(), signal);
    }

    /// Waits until the process has ended.
    pub fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the process is a child of this one") {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the process of {} does not end", self.node);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL also ends a process that SIGSTOP has stopped
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process.
pub fn send(process: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().expect("kill runs").success());
}

/// The IDs and names of the children of a process that it has not reaped.
pub fn children(of: u32) -> Vec<(u32, String)> {
    let output = Command::new("ps").args(["-o", "pid=,comm=", "--ppid", &of.to_string()]).output().expect("ps runs");
    let text = text(&output.stdout);
    let lines = text.lines().filter_map(|line| line.trim().split_once(' '));
    lines.filter_map(|(process, name)| Some((process.parse().ok()?, name.trim().to_owned()))).collect()
}

/// The lines of a stream, which a thread reads as they arrive.
#[derive(Clone, Default)]
pub struct StreamReader(Arc<Mutex<String>>, Arc<AtomicBool>);

impl StreamReader {
    /// Starts to read a stream.
    pub fn start(stream: impl std::io::Read + Send + 'static) -> StreamReader {
        let reader = StreamReader::default();
        let (shared, ended) = (reader.clone(), reader.1.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let mut text = shared.0.lock().expect("nobody panics");
                text.push_str(&line);
                text.push('\n');
            }
            ended.store(true, Ordering::Release);
        });
        reader
    }

    /// Waits until the stream has ended, and returns its text.
    pub fn text_at_end(&self) -> String {
        let began = Instant::now();
        while !self.1.load(Ordering::Acquire) {
            assert!(began.elapsed() < PATIENCE, "the stream does not end: {}", self.text());
            std::thread::sleep(Duration::from_millis(1));
        }
        self.text()
    }

    /// The text that has arrived so far.
    pub fn text(&self) -> String {
        self.0.lock().expect("nobody panics").clone()
    }
}
