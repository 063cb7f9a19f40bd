//! New nodes as child processes.

use std::{collections::VecDeque, io::Write, path::PathBuf, process::Stdio};

use chinwag_actors::home::{Launched, Launcher};
use chinwag_protocol::{
    call::{CallError, ErrorKind},
    value::Value,
    wire,
};
use futures_util::FutureExt;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStderr, Command},
    sync::oneshot,
};

/// How much of what a child wrote to stderr is kept.
const LAST_LINES: usize = 20;

/// Starts a program with `--config` and the new node's configuration.
///
/// The child is in a process group of its own, so that a Ctrl-C meant for this program leaves it running; it outlives
/// this program. What it writes to stderr goes on to ours.
#[derive(Clone, Debug)]
pub struct ProcessLauncher {
    program: PathBuf,
}

impl ProcessLauncher {
    /// Starts this program.
    pub fn new(program: impl Into<PathBuf>) -> ProcessLauncher {
        ProcessLauncher { program: program.into() }
    }
}

impl Launcher for ProcessLauncher {
    fn launch(&self, config: &Value) -> Result<Launched, CallError> {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(wire::encode(config));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        #[cfg(unix)]
        command.process_group(0);
        let child = command.spawn().map_err(|why| {
            CallError::new(ErrorKind::SpawnFailed, format!("cannot start {}: {why}", self.program.display()))
        })?;
        let (kill, killed) = oneshot::channel();
        let (died, dead) = oneshot::channel();
        actix_web::rt::spawn(attend(child, killed, died));
        Ok(Launched {
            died: dead.map(Result::unwrap_or_default).boxed_local(),
            // one that has died needs no killing
            kill: Box::new(move || {
                let _ = kill.send(());
            }),
        })
    }
}

/// Hands on what the child says, and waits for its end, so that it leaves no zombie.
async fn attend(mut child: Child, killed: oneshot::Receiver<()>, died: oneshot::Sender<String>) {
    let mut last = VecDeque::new();
    if let Some(stderr) = child.stderr.take() {
        let listening = listen(stderr, &mut last);
        tokio::pin!(listening);
        tokio::select! {
            () = &mut listening => {}
            // a dropped handle means that the child was born and is on its own
            Ok(()) = killed => {
                // it may have ended by itself
                let _ = child.start_kill();
                listening.await;
            }
        }
    }
    let status = child.wait().await;
    let mut text: Vec<String> = last.into();
    if text.is_empty() {
        text.push(status.map_or_else(|why| why.to_string(), |status| status.to_string()));
    }
    // nobody may be asking
    let _ = died.send(text.join("\n"));
}

/// Copies what a child says to our own stderr, and keeps the end of it.
async fn listen(stderr: ChildStderr, last: &mut VecDeque<String>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // a closed stderr of our own is no reason to stop the child
        let _ = writeln!(std::io::stderr(), "{line}");
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
}
