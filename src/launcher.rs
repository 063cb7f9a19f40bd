//! Starts nodes as child processes.
//!
//! ```text
//! launch   PROGRAM --config TEXT                     a configuration that fits an argument
//!          PROGRAM --config -                        any other: its one line is the child's standard input
//!          PROGRAM … --end-with-stdin                a child that must not outlive this node: its standard input
//!                                                    stays open for as long as the node lives
//! then     the lines that the child writes are passed on, except that it listens, without waiting for a reader;
//!          the child's end is awaited, so that it leaves no zombie, and reported if the child had been up
//! ```

use std::{
    cell::RefCell,
    collections::VecDeque,
    fmt, io,
    process::{ExitStatus, Stdio},
    rc::Rc,
    time::Duration,
};

use chinwag_actors::launcher::{Launched, Launcher};
use chinwag_protocol::{
    call::{CallError, ErrorKind},
    identity::NodeAddr,
    value::Value,
    wire::{self, Limits},
};
use futures_util::FutureExt;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
    sync::oneshot,
    time::timeout,
};

use crate::{output::Output, program::Program};

/// How many of the last lines that a child wrote to standard error are kept.
const LAST_LINES: usize = 20;

/// What the first line of `chinwag` on standard output contains. It is not passed on.
const LISTENS: &str = " listens on ";

/// The longest part of a line that is passed on at once, in bytes.
const LINE: u64 = 8 << 10;

/// How long the output of a child that has ended is read. A process that the child left behind may hold it open.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The longest configuration that is passed as an argument, in bytes. Linux allows 128 KiB for one argument. Other systems
/// allow less for all arguments together; Windows allows 32 Ki characters.
const ARGUMENT: usize = 24 << 10;

/// The end of a spawned node that had been up. [`Builder::on_child_exit`](crate::Builder::on_child_exit) gets it.
///
/// ```
/// # let _ =
/// chinwag::Node::builder().on_child_exit(|exit| eprintln!("{} ended: {}", exit.node, exit.status));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChildExit {
    /// The address of the node.
    pub node: NodeAddr,
    /// The id of the node's process.
    pub process: Option<u32>,
    /// The exit code or the signal with which the process ended.
    pub status: ExitStatus,
}

impl fmt::Display for ChildExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the spawned node {} at {}", self.node.sid(), self.node)?;
        if let Some(process) = self.process {
            write!(f, " (process {process})")?;
        }
        write!(f, " has ended: {}", self.status)
    }
}

type OnExit = Rc<dyn Fn(&ChildExit)>;

/// Called with the end of each spawned node. It is sent to the node's thread once.
pub(crate) type OnChildExit = Box<dyn Fn(&ChildExit) + Send>;

/// How a node starts other nodes, in a form that can be sent to the node's thread.
#[derive(Default)]
pub(crate) struct Children {
    pub none: bool,
    pub program: Program,
    pub output: Option<Output>,
    pub bound: bool,
    pub on_exit: Option<OnChildExit>,
}

impl Children {
    pub(crate) fn launcher(self) -> Option<Rc<dyn Launcher>> {
        if self.none {
            return None;
        }
        let mut launcher = ProcessLauncher::new(self.program).bound(self.bound);
        if let Some(output) = self.output {
            launcher = launcher.output(output);
        }
        if let Some(on_exit) = self.on_exit {
            launcher = launcher.on_exit(on_exit);
        }
        Some(Rc::new(launcher))
    }
}

/// Starts a program with `--config` and the new node's configuration.
///
/// The child is in a process group of its own, so that a Ctrl-C for this program leaves it running. By default it outlives
/// this program, and the lines that it writes go to this program's standard error.
#[derive(Clone)]
pub(crate) struct ProcessLauncher {
    program: Program,
    output: Output,
    bound: bool,
    on_exit: OnExit,
}

impl fmt::Debug for ProcessLauncher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessLauncher")
            .field("program", &self.program)
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}

impl ProcessLauncher {
    /// A launcher that starts this program.
    pub(crate) fn new(program: Program) -> ProcessLauncher {
        let on_exit = Rc::new(|exit: &ChildExit| {
            let level = if exit.status.success() { log::Level::Info } else { log::Level::Warn };
            log::log!(target: "chinwag::node", level, "{exit}");
        });
        ProcessLauncher { program, output: Output::stderr(), bound: false, on_exit }
    }

    /// Sets the output that gets the lines that children write. Default: this process's standard error.
    #[must_use]
    pub(crate) fn output(self, output: Output) -> ProcessLauncher {
        ProcessLauncher { output, ..self }
    }

    /// Sets whether children end when this node ends, even if it is killed. Their program must take `--end-with-stdin` as
    /// `chinwag` does. Default: no.
    #[must_use]
    pub(crate) fn bound(self, bound: bool) -> ProcessLauncher {
        ProcessLauncher { bound, ..self }
    }

    /// Sets what to call when a child that had been up has ended. Default: a log line.
    #[must_use]
    pub(crate) fn on_exit(self, on_exit: impl Fn(&ChildExit) + 'static) -> ProcessLauncher {
        ProcessLauncher { on_exit: Rc::new(on_exit), ..self }
    }
}

impl Launcher for ProcessLauncher {
    fn launch(&self, config: &Value) -> Result<Launched, CallError> {
        // the new node reads it as a message
        let config = wire::encode_within(config, Limits::default().bytes)
            .map_err(|why| CallError::new(ErrorKind::BadArgument, format!("the new node's configuration: {why}")))?;
        let program = self.program.locate()?;
        let mut command = Command::new(&program);
        // the wire format has no line breaks, so the configuration is one line
        let fed = config.len() > ARGUMENT;
        command.arg("--config").arg(if fed { "-" } else { &config });
        if self.bound {
            command.arg("--end-with-stdin");
        }
        command.stdin(if fed || self.bound { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|why| {
            CallError::new(ErrorKind::SpawnFailed, format!("cannot start {}: {why}", program.display()))
        })?;
        // it is taken from the child, because waiting for the child's end closes what the child holds
        let stdin = child.stdin.take();
        let bound = self.bound;
        let feeding = async move {
            let Some(mut stdin) = stdin else { return };
            if fed {
                let line = [config.as_bytes(), b"\n"].concat();
                // a child that does not read it reports the reason on standard error
                let _ = stdin.write_all(&line).await;
            }
            if bound {
                std::future::pending::<()>().await;
            }
        };
        let (say, said) = oneshot::channel();
        let (died, dead) = oneshot::channel();
        let (output, on_exit) = (self.output.clone(), self.on_exit.clone());
        actix_web::rt::spawn(attend(child, feeding, said, died, output, on_exit));
        let say = Rc::new(RefCell::new(Some(say)));
        let tell = move |word: Word| {
            // nobody receives it if the child has ended
            let _ = say.borrow_mut().take().map(|say| say.send(word));
        };
        let kill = tell.clone();
        Ok(Launched::new(
            dead.map(Result::unwrap_or_default),
            move || kill(Word::Kill),
            move |node| tell(Word::Born(node)),
        ))
    }
}

/// What the node tells the task of a child.
enum Word {
    /// Nobody waits for the child any more.
    Kill,
    /// The child is up, at this address.
    Born(NodeAddr),
}

/// Passes on what the child writes, and waits for its end.
async fn attend(
    mut child: Child,
    feeding: impl Future<Output = ()>,
    mut said: oneshot::Receiver<Word>,
    died: oneshot::Sender<String>,
    output: Output,
    on_exit: OnExit,
) {
    let (process, stdout, stderr) = (child.id(), child.stdout.take(), child.stderr.take());
    let last = RefCell::new(VecDeque::new());
    let mut listening = std::pin::pin!(async {
        let printed = async {
            if let Some(stdout) = stdout {
                let mut is_first = true;
                listen(stdout, |line| {
                    // the node knows that its child listens
                    if !(std::mem::take(&mut is_first) && line.contains(LISTENS)) {
                        output.line(line);
                    }
                })
                .await;
            }
        };
        let logged = async {
            if let Some(stderr) = stderr {
                listen(stderr, |line| {
                    output.line(&line);
                    let mut last = last.borrow_mut();
                    if last.len() == LAST_LINES {
                        last.pop_front();
                    }
                    last.push_back(line);
                })
                .await;
            }
        };
        tokio::join!(printed, logged);
    });
    let mut feeding = std::pin::pin!(feeding);
    let (mut heard, mut fed, mut told, mut born) = (false, false, false, None);
    let status = loop {
        tokio::select! {
            biased;
            word = &mut said, if !told => {
                told = true;
                match word {
                    // an error means that the child has ended by itself
                    Ok(Word::Kill) => drop(child.start_kill()),
                    Ok(Word::Born(node)) => born = Some(node),
                    Err(_) => {}
                }
            }
            () = &mut listening, if !heard => heard = true,
            () = &mut feeding, if !fed => fed = true,
            status = child.wait() => break status,
        }
    };
    heard = heard || timeout(LAST_WORDS, &mut listening).await.is_ok();
    let mut text: Vec<String> = last.borrow_mut().drain(..).collect();
    if text.is_empty() {
        text.push(status.as_ref().map_or_else(ToString::to_string, ToString::to_string));
    }
    // an error means that nobody waits for the child's last lines
    let _ = died.send(text.join("\n"));
    if let (Some(node), Ok(status)) = (born, status) {
        on_exit(&ChildExit { node, process, status });
    }
    if !heard {
        listening.await;
    }
}

/// Reads the lines that a child writes.
async fn listen(stream: impl AsyncRead + Unpin, mut each: impl FnMut(String)) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        match (&mut reader).take(LINE).read_until(b'\n', &mut line).await {
            Ok(0) => return,
            Ok(_) => {}
            Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        each(String::from_utf8_lossy(&line).into_owned());
    }
}
