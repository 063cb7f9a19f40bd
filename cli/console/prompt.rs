//! The prompt: runs lines that are typed or piped in, one after another, and shows their results and other output.
//!
//! Reading blocks, so the reader has a thread of its own. It sends a line to the node and receives the result before it
//! reads the next one.

use std::{
    io::IsTerminal,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chinwag::{
    Script,
    actors::{handle::NodeHandle, scripts::ConsoleLevel},
};
use futures_util::FutureExt as _;
use tokio::sync::{Notify, mpsc};

use super::{
    asking::{Ask, Asking},
    errors::{READER_TIMEOUT, ended_with_its_node, uncaught},
    keyboard::Keyboard,
    piped,
    terminal::Terminal,
};
use crate::outputs::Outputs;

/// How long the code of getters may run for a completion.
const COMPLETION: Duration = Duration::from_secs(2);

/// The prompt.
pub(super) struct Prompt {
    by_hand: bool,
    outputs: Outputs,
    terminal: Mutex<Option<Terminal>>,
    /// Whether the node does something for the reader, which Ctrl-C stops.
    is_busy: AtomicBool,
    interrupted: Notify,
}

impl Prompt {
    /// Prepares to read standard input.
    pub(super) fn new(outputs: &Outputs) -> Prompt {
        let by_hand = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        Prompt {
            by_hand,
            outputs: outputs.clone(),
            terminal: Mutex::new(Some(Terminal::remember(by_hand))),
            is_busy: AtomicBool::new(false),
            interrupted: Notify::new(),
        }
    }

    /// Whether a person types the lines.
    pub(super) fn by_hand(&self) -> bool {
        self.by_hand
    }

    /// A function that shows what scripts print.
    pub(super) fn console(&self) -> impl Fn(ConsoleLevel, &str) + Send + Sync + 'static {
        let out = self.outputs.out.clone();
        move |_, line| out.wait_and_push(format!("{line}\n"), READER_TIMEOUT)
    }

    /// Stops what the node does for the reader. Returns false if it does nothing.
    pub(super) fn interrupt(&self) -> bool {
        let is_busy = self.by_hand && self.is_busy.load(Ordering::Acquire);
        if is_busy {
            self.interrupted.notify_one();
        }
        is_busy
    }

    /// Runs each line on the node, until there are no more. Returns false if the last one was unfinished.
    pub(super) async fn serve(&self, node: &NodeHandle, prompt: String) -> Result<bool, String> {
        let (asking, mut asks) = Asking::channel();
        let reading = if self.by_hand {
            let keyboard = Keyboard::open(prompt, self.outputs.clone(), asking).map_err(|why| why.to_string())?;
            std::thread::spawn(move || {
                keyboard.serve();
                true
            })
        } else {
            let out = self.outputs.out.clone();
            std::thread::spawn(move || piped::serve(&asking, &out))
        };
        self.answer(node, &mut asks).await;
        // the thread has dropped its side of the channel
        reading.join().map_err(|_| "the reader of lines panicked".to_owned())
    }

    async fn answer(&self, node: &NodeHandle, asks: &mut mpsc::UnboundedReceiver<Ask>) {
        let mut number = 0;
        while let Some(ask) = asks.recv().await {
            match ask {
                Ask::Run(line, done) => {
                    number += 1;
                    let ran = self.interruptible(node, node.evaluate(Script::line(number, line))).await;
                    let is_done = ran.is_ok();
                    match ran {
                        Ok(shown) if self.by_hand || shown != "undefined" => self.outputs.out.line(shown),
                        Ok(_) => {}
                        Err(why) if ended_with_its_node(&why, node) => {}
                        Err(why) => self.outputs.out.line(format_args!("Uncaught {}", uncaught(&why))),
                    }
                    // the reader waits for this
                    let _ = done.send(is_done);
                }
                Ask::Names(path, tell) => {
                    let _ = tell.send(self.interruptible(node, names(node, &path)).await);
                }
                Ask::Interrupt => {
                    // a node that is gone runs nothing
                    let _ = node.interrupt_scripts().await;
                }
            }
        }
    }

    /// Waits for what runs on the node. Ctrl-C stops it.
    async fn interruptible<T>(&self, node: &NodeHandle, running: impl Future<Output = T>) -> T {
        // an interrupt that came too late for the last line is not meant for this one
        let _ = self.interrupted.notified().now_or_never();
        self.is_busy.store(true, Ordering::Release);
        let mut running = std::pin::pin!(running);
        let value = loop {
            tokio::select! {
                biased;
                value = &mut running => break value,
                () = self.interrupted.notified() => {
                    // the error of a node that is gone is that of what runs on it
                    let _ = node.interrupt_scripts().await;
                }
            }
        };
        self.is_busy.store(false, Ordering::Release);
        value
    }

    /// Returns the terminal to the shell, although the reader may still wait for a key.
    pub(super) fn leave(&self) {
        self.terminal.lock().unwrap_or_else(PoisonError::into_inner).take();
        if self.outputs.screen.rests().is_some() {
            // the line that was not finished remains visible, and pasted text is not marked any more
            self.outputs.out.push("\x1b[?2004l\n");
        }
    }
}

/// Returns the names of an object's properties, its own and inherited ones.
async fn names(node: &NodeHandle, path: &str) -> Vec<String> {
    // the function's own names begin with underscores, because the path may name anything else
    let source = format!(
        "(() => {{ const __names = new Set(); try {{ \
         for (let __of = Object({path}); __of != null; __of = Object.getPrototypeOf(__of)) \
         for (const __name of Object.getOwnPropertyNames(__of)) __names.add(__name); \
         }} catch {{}} return [...__names].join(' '); }})()"
    );
    let shown = match tokio::time::timeout(COMPLETION, node.evaluate(source)).await {
        Ok(shown) => shown.unwrap_or_default(),
        Err(_) => {
            // a node that is gone runs nothing
            let _ = node.interrupt_scripts().await;
            String::new()
        }
    };
    shown.trim_matches(['\'', '"', '`']).split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
