//! Lines that a person types: editing, history and completion.

use std::path::PathBuf;

use rustyline::{
    ColorMode, Completer, CompletionType, Config, Editor, Helper, Hinter, Validator,
    completion::Completer as Completing,
    error::ReadlineError,
    highlight::{CmdKind, Highlighter},
    history::DefaultHistory,
    validate::{ValidationContext, ValidationResult, Validator as Validating},
};

use super::{
    asking::Asking,
    commands::{self, Typed},
    errors::READER_TIMEOUT,
    terminal,
};
use crate::{ending::keeping_interrupts, outputs::Outputs, screen::Screen};

/// The number of lines in the history.
const HISTORY: usize = 1_000;

/// What Ctrl-C on an empty line shows.
const HOW_TO_LEAVE: &str = "(To exit, press Ctrl+C again or Ctrl+D or type .exit)";

/// Reads lines that are typed.
pub(super) struct Keyboard {
    editor: Editor<Help, DefaultHistory>,
    prompt: String,
    outputs: Outputs,
    asking: Asking,
}

impl Keyboard {
    /// Prepares the editor.
    pub(super) fn open(prompt: String, outputs: Outputs, asking: Asking) -> rustyline::Result<Keyboard> {
        let config = Config::builder().max_history_size(HISTORY)?.auto_add_history(true);
        // the editor tells only a highlighter about every change of the line, and only if it uses colors
        let config = config.completion_type(CompletionType::List).color_mode(ColorMode::Forced).build();
        // the editor's handler of Ctrl-C would replace that of this program, although the editor sees Ctrl-C as a key
        let mut editor = keeping_interrupts(|| Editor::with_config(config))?;
        editor.set_helper(Some(Help {
            finished: Finished,
            names: Names(asking.clone()),
            screen: outputs.screen.clone(),
            prompt: prompt.clone(),
        }));
        if let Some(file) = history() {
            // there is no file the first time
            let _ = editor.load_history(&file);
        }
        Ok(Keyboard { editor, prompt, outputs, asking })
    }

    /// Reads and runs lines until the person leaves.
    pub(super) fn serve(mut self) {
        let mut is_warned = false;
        loop {
            // the editor writes the prompt directly, below the previous output
            self.outputs.err.flush_within(READER_TIMEOUT);
            self.outputs.out.flush_within(READER_TIMEOUT);
            let read = self.editor.readline(&self.prompt);
            let line = self.outputs.screen.rests().unwrap_or_default();
            match read {
                Ok(line) => {
                    is_warned = false;
                    if !self.take(line) {
                        break;
                    }
                }
                Err(ReadlineError::Interrupted) => {
                    self.asking.interrupt();
                    if is_warned && line.is_empty() {
                        break;
                    }
                    is_warned = line.is_empty();
                    if is_warned {
                        self.outputs.out.line(HOW_TO_LEAVE);
                    }
                }
                // Ctrl-D, or the terminal is gone
                Err(_) => break,
            }
        }
        if let Some(file) = history() {
            // a history that cannot be saved is lost
            let _ = self.editor.save_history(&file);
        }
    }

    /// Runs a line. Returns whether to read the next one.
    fn take(&self, line: String) -> bool {
        match commands::read(&line) {
            Typed::Nothing => true,
            Typed::Exit => false,
            Typed::Show(text) => {
                self.outputs.out.line(text);
                true
            }
            Typed::Script => self.asking.run(line).is_some(),
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

/// What the editor asks while it edits.
#[derive(Completer, Helper, Hinter, Validator)]
struct Help {
    #[rustyline(Validator)]
    finished: Finished,
    #[rustyline(Completer)]
    names: Names,
    screen: Screen,
    prompt: String,
}

/// Notes every change of the line. Nothing is colored.
impl Highlighter for Help {
    fn highlight_char(&self, line: &str, cursor: usize, _: CmdKind) -> bool {
        self.screen.types(&self.prompt, line, cursor);
        // the editor draws the whole line, so that it repairs what output that arrived in between has left
        true
    }
}

/// Continues a line that JavaScript does not take for finished.
struct Finished;

impl Validating for Finished {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let line = context.input();
        let goes_on = commands::read(line) == Typed::Script && commands::is_unfinished(line);
        Ok(if goes_on { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

/// Completes names by asking the node.
struct Names(Asking);

impl Completing for Names {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = &line[..position];
        // a dotted path of names: evaluating it runs no code but that of getters
        let start = typed
            .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$' | '.')))
            .map_or(0, |at| at + typed[at..].chars().next().map_or(1, char::len_utf8));
        let path = &typed[start..];
        let (object, prefix, at) = match path.rfind('.') {
            Some(dot) => (&path[..dot], &path[dot + 1..], start + dot + 1),
            None => ("globalThis", path, start),
        };
        let mut names = terminal::with_signals(|| self.0.names(object));
        // hidden names of the language are offered only for a prefix of two underscores
        names.retain(|name| name.starts_with(prefix) && (prefix.starts_with("__") || !name.starts_with("__")));
        names.sort();
        Ok((at, names))
    }
}
