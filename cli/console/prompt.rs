//! The prompt: reads lines that are typed or piped in, and shows their results and other output.
//!
//! The line editor blocks, so it has its own thread. It sends a line to the node and receives the result before it
//! reads the next one. Output of shipped code replaces the prompt, and the prompt follows below. (The editor's own
//! printer is not used: with it, the editor waits for the next key although several have been typed ahead.)

use std::{
    io::IsTerminal,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use chinwag::{
    Output,
    actors::{handle::NodeHandle, scripts::ConsoleLevel},
};
use rustyline::{
    Completer, CompletionType, Config, Editor, Helper, Highlighter, Hinter, Validator,
    completion::Completer as Completing, error::ReadlineError, history::DefaultHistory,
    validate::MatchingBracketValidator,
};
use tokio::sync::{mpsc, oneshot};

use super::errors::{READER_TIMEOUT, uncaught};

/// The number of lines in the history.
const HISTORY: usize = 1_000;

/// A request of the editor to the node.
enum Ask {
    /// Runs a line. The answer says that the next line may be read.
    Run(String, oneshot::Sender<()>),
    /// Asks for the names that can follow a dotted path.
    Names(String, std::sync::mpsc::Sender<Vec<String>>),
}

/// The source of lines.
pub(super) struct Lines {
    by_hand: bool,
    out: Output,
    _terminal: Terminal,
    shown: Arc<Mutex<Option<String>>>,
    editor: Mutex<Option<Editor<Completion, DefaultHistory>>>,
    asks: Mutex<Option<mpsc::UnboundedReceiver<Ask>>>,
    asking: mpsc::UnboundedSender<Ask>,
}

impl Lines {
    /// Prepares to read standard input.
    pub(super) fn open(out: Output) -> rustyline::Result<Lines> {
        let by_hand = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let terminal = Terminal::remember(by_hand);
        let (asking, asks) = mpsc::unbounded_channel();
        let config = Config::builder().max_history_size(HISTORY)?.auto_add_history(true);
        let config = config.completion_type(CompletionType::List).build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(Completion { brackets: MatchingBracketValidator::new(), names: Names(asking.clone()) }));
        if let Some(file) = history().filter(|_| by_hand) {
            // there is no file the first time
            let _ = editor.load_history(&file);
        }
        Ok(Lines {
            by_hand,
            out,
            _terminal: terminal,
            shown: Arc::default(),
            editor: Mutex::new(Some(editor)),
            asks: Mutex::new(Some(asks)),
            asking,
        })
    }

    /// Whether a person types the lines.
    pub(super) fn by_hand(&self) -> bool {
        self.by_hand
    }

    /// A function that shows what shipped code prints.
    pub(super) fn console(&self) -> impl Fn(ConsoleLevel, &str) + Send + Sync + 'static {
        let (shown, out) = (self.shown.clone(), self.out.clone());
        move |_, line| {
            let text = match &*shown.lock().unwrap_or_else(PoisonError::into_inner) {
                None => format!("{line}\n"),
                Some(prompt) => format!("\r\x1b[K{line}\n{prompt}"),
            };
            out.wait_and_push(text, READER_TIMEOUT);
        }
    }

    /// Runs each line on the node, until there are no more.
    pub(super) async fn serve(&self, node: &NodeHandle, prompt: &str) {
        let take = |slot: &Mutex<Option<_>>| slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let editor = self.editor.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(editor), Some(mut asks)) = (editor, take(&self.asks)) else { return };
        let (asking, out) = (self.asking.clone(), self.out.clone());
        let (prompt, shown) = (if self.by_hand { prompt.to_owned() } else { String::new() }, self.shown.clone());
        let reading = std::thread::spawn(move || read(editor, &prompt, &shown, &asking, &out));
        let mut finished = std::pin::pin!(async {
            while !reading.is_finished() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        loop {
            let ask = tokio::select! {
                biased;
                ask = asks.recv() => ask,
                () = &mut finished => None,
            };
            match ask {
                None => return,
                Some(Ask::Run(line, done)) => {
                    match node.evaluate(line).await {
                        Ok(shown) if self.by_hand || shown != "undefined" => self.out.line(shown),
                        Ok(_) => {}
                        Err(why) => self.out.line(format_args!("Uncaught {}", uncaught(&why))),
                    }
                    // the editor waits for this
                    let _ = done.send(());
                }
                Some(Ask::Names(path, tell)) => {
                    let _ = tell.send(names(node, &path).await);
                }
            }
        }
    }
}

/// The settings of the terminal, which are restored at the end: the program may end while the editor waits for a key.
struct Terminal {
    #[cfg(unix)]
    settings: Option<nix::sys::termios::Termios>,
}

impl Terminal {
    fn remember(by_hand: bool) -> Terminal {
        #[cfg(not(unix))]
        let _ = by_hand;
        Terminal {
            #[cfg(unix)]
            settings: by_hand.then(|| nix::sys::termios::tcgetattr(std::io::stdin()).ok()).flatten(),
        }
    }
}

#[cfg(unix)]
impl Drop for Terminal {
    fn drop(&mut self) {
        use nix::sys::termios::{SetArg, tcsetattr};
        if let Some(settings) = &self.settings {
            // a terminal that is gone needs no settings
            let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, settings);
        }
    }
}

/// The file of the history.
fn history() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?;
    let folder = state.join("chinwag");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}

/// The editor's thread.
fn read(
    mut editor: Editor<Completion, DefaultHistory>,
    prompt: &str,
    shown: &Mutex<Option<String>>,
    asking: &mpsc::UnboundedSender<Ask>,
    out: &Output,
) {
    let by_hand = !prompt.is_empty();
    let show = |prompt: Option<&str>| {
        *shown.lock().unwrap_or_else(PoisonError::into_inner) = prompt.filter(|_| by_hand).map(str::to_owned);
    };
    loop {
        // the editor writes the prompt directly, below the previous output
        out.flush_within(READER_TIMEOUT);
        show(Some(prompt));
        let read = editor.readline(prompt);
        show(None);
        let line = match read {
            Ok(line) => line,
            // Ctrl-C empties the line, and Ctrl-D ends the input
            Err(ReadlineError::Interrupted) => continue,
            Err(_) => break,
        };
        match line.trim() {
            "" => continue,
            ".exit" => break,
            _ => {}
        }
        let (done, ran) = oneshot::channel();
        if asking.send(Ask::Run(line, done)).is_err() || ran.blocking_recv().is_err() {
            break;
        }
    }
    if let Some(file) = history().filter(|_| by_hand) {
        // a history that cannot be saved is lost
        let _ = editor.save_history(&file);
    }
}

/// The names of an object's properties, its own and inherited ones.
async fn names(node: &NodeHandle, path: &str) -> Vec<String> {
    let source = format!(
        "(() => {{ const names = new Set(); try {{ for (let o = Object({path}); o != null; o = Object.getPrototypeOf(o)) \
         for (const name of Object.getOwnPropertyNames(o)) names.add(name); }} catch {{}} return [...names].join(' '); }})()"
    );
    let shown = node.evaluate(source).await.unwrap_or_default();
    shown.trim_matches(['\'', '"', '`']).split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Completes names by asking the node, and continues a line until its brackets are closed.
#[derive(Completer, Helper, Highlighter, Hinter, Validator)]
struct Completion {
    #[rustyline(Validator)]
    brackets: MatchingBracketValidator,
    #[rustyline(Completer)]
    names: Names,
}

struct Names(mpsc::UnboundedSender<Ask>);

impl Completing for Names {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = &line[..position];
        // a dotted path of names: evaluating it runs no other code
        let start = typed
            .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$' | '.')))
            .map_or(0, |at| at + typed[at..].chars().next().map_or(1, char::len_utf8));
        let path = &typed[start..];
        let (object, prefix, at) = match path.rfind('.') {
            Some(dot) => (&path[..dot], &path[dot + 1..], start + dot + 1),
            None => ("globalThis", path, start),
        };
        let (tell, told) = std::sync::mpsc::channel();
        if self.0.send(Ask::Names(object.to_owned(), tell)).is_err() {
            return Ok((position, Vec::new()));
        }
        let mut names = told.recv().unwrap_or_default();
        // hidden names of the language are offered only for a prefix of two underscores
        names.retain(|name| name.starts_with(prefix) && (prefix.starts_with("__") || !name.starts_with("__")));
        names.sort();
        Ok((at, names))
    }
}
