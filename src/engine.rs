//! Runs the engine of shipped functions in a process of its own, which can be killed whatever a function does.
//!
//! ```text
//! main     init()                    notes that this program can be started again as an engine
//! node     the first shipped call    starts this program with ENGINE set; messages cross its standard input and output
//! engine   main, init()              runs the engine, and does not return
//! ```

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
    process::Stdio,
    rc::Rc,
    sync::atomic::{AtomicBool, Ordering},
};

use chinwag_actors::launcher::{EngineProcess, EngineStarter, LONGEST_FRAME};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{mpsc, oneshot},
};

/// The environment variable that makes [`init`] run an engine.
const ENGINE: &str = "CHINWAG_ENGINE";

/// How many frames of an engine wait for the node. Then the engine waits.
const FRAMES: usize = 64;

/// Whether this program can be started again as an engine. It is a property of the program, and no node changes it.
static CAN_BE_AN_ENGINE: AtomicBool = AtomicBool::new(false);

/// Lets nodes run shipped functions in a process of their own. Call it first in `main`.
///
/// A node starts this program again for its script engine, and there this function runs the engine and does not return.
/// In a program that does not call it, the engine runs on a thread. A function that is stuck in a built-in of the language
/// then cannot be ended: its thread goes on to use a processor, and after two such functions the node refuses shipped
/// calls. Programs whose nodes run no shipped functions need not call it.
///
/// ```no_run
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     chinwag::init();
///     let node = chinwag::Node::builder().start().await?;
///     println!("{} runs", node.addr());
///     Ok(())
/// }
/// ```
pub fn init() {
    if env::var_os(ENGINE).is_none() {
        return CAN_BE_AN_ENGINE.store(true, Ordering::Relaxed);
    }
    #[cfg(feature = "scripts")]
    let ran = unbuffered().and_then(|output| chinwag_actors::scripts::run_engine(io::stdin(), output));
    #[cfg(not(feature = "scripts"))]
    let ran: io::Result<()> = Err(io::Error::other("this program was built without scripts"));
    let code = match ran {
        Ok(()) => 0,
        Err(why) => {
            // nobody reads this if standard error is closed
            let _ = writeln!(io::stderr(), "the script engine failed: {why}");
            1
        }
    };
    std::process::exit(code)
}

/// Returns standard output without its buffer of lines, because the engine writes whole messages.
#[cfg(feature = "scripts")]
fn unbuffered() -> io::Result<std::fs::File> {
    #[cfg(unix)]
    use std::os::fd::AsFd as _;
    #[cfg(windows)]
    use std::os::windows::io::AsHandle as _;
    #[cfg(unix)]
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    #[cfg(windows)]
    let output = io::stdout().as_handle().try_clone_to_owned()?;
    Ok(output.into())
}

/// Returns what starts engines for a node, or `None` if they run on threads or not at all.
pub(crate) fn starter(enabled: bool) -> Option<Rc<dyn EngineStarter>> {
    if !enabled || !cfg!(feature = "scripts") {
        return None;
    }
    let program = CAN_BE_AN_ENGINE.load(Ordering::Relaxed).then(program);
    match program {
        Some(Ok(program)) => return Some(Rc::new(ProgramStarter { program })),
        Some(Err(why)) => log::warn!(
            target: "chinwag::scripts",
            "shipped functions run on a thread, which cannot be ended: this program's path is unknown: {why}"
        ),
        None => log::warn!(
            target: "chinwag::scripts",
            "shipped functions run on a thread, which cannot be ended: this program does not call chinwag::init"
        ),
    }
    None
}

/// Returns the path of this program. On Linux it stays valid when the file is replaced.
fn program() -> io::Result<PathBuf> {
    let itself = PathBuf::from("/proc/self/exe");
    if cfg!(target_os = "linux") && itself.exists() { Ok(itself) } else { env::current_exe() }
}

/// Starts this program as an engine.
struct ProgramStarter {
    program: PathBuf,
}

impl EngineStarter for ProgramStarter {
    fn start(&self) -> io::Result<EngineProcess> {
        let mut command = Command::new(&self.program);
        command.env(ENGINE, "1").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        // a Ctrl-C is for the node, which then ends the engine
        #[cfg(unix)]
        command.arg0("chinwag-engine").process_group(0);
        let mut child = command.spawn()?;
        let missing = || io::Error::other("the process has no pipes");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let (input, written) = mpsc::unbounded_channel();
        let (read, output) = mpsc::channel(FRAMES);
        let (kill, killed) = oneshot::channel::<()>();
        actix_web::rt::spawn(write(stdin, written));
        actix_web::rt::spawn(attend(child, stdout, read, killed));
        let kill = Box::new(move || {
            // an error means that the process has ended
            let _ = kill.send(());
        });
        Ok(EngineProcess { input, output, kill })
    }
}

/// Writes frames to the engine until the node drops it.
async fn write(mut stdin: ChildStdin, mut frames: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(mut frame) = frames.recv().await {
        while let Ok(next) = frames.try_recv() {
            frame.extend(next);
        }
        // the end of the process is noticed where its output is read
        if stdin.write_all(&frame).await.is_err() {
            return;
        }
    }
}

/// Passes on the frames of an engine, and waits for its end, so that it leaves no zombie.
async fn attend(mut child: Child, stdout: ChildStdout, frames: mpsc::Sender<Vec<u8>>, killed: oneshot::Receiver<()>) {
    tokio::select! {
        () = read(stdout, frames) => {}
        // an error means that the node has dropped the engine
        _ = killed => {}
    }
    // an error means that it has ended
    let _ = child.start_kill();
    let _ = child.wait().await;
}

/// Reads frames until the engine ends, or writes something else.
async fn read(stdout: ChildStdout, frames: mpsc::Sender<Vec<u8>>) {
    let mut stdout = BufReader::new(stdout);
    while let Ok(length) = stdout.read_u32_le().await {
        let length = length as usize;
        if length > LONGEST_FRAME {
            return log::error!(target: "chinwag::scripts", "the script engine announced a message of {length} bytes");
        }
        let mut frame = vec![0; length];
        if stdout.read_exact(&mut frame).await.is_err() || frames.send(frame).await.is_err() {
            return;
        }
    }
}
