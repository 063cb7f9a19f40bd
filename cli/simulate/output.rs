//! What `chinwag simulate` writes: figures, files, how far it has got, and why it refused.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    time::Duration,
};

use chinwag_simulation::SimulationError;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Why nothing was simulated, or why its figures could not be written.
pub(super) enum Refusal {
    /// The arguments contradict each other, or no simulation has them.
    Invalid(String),
    /// A file or the terminal could not be written.
    Failed(String),
}

impl From<SimulationError> for Refusal {
    fn from(why: SimulationError) -> Refusal {
        Refusal::Invalid(why.to_string())
    }
}

/// A file that is written at the end. It is opened before anything runs, so that no figure is lost for want of one.
pub(super) struct Sink<'a> {
    path: &'a Path,
    file: File,
}

impl Sink<'_> {
    pub(super) fn open(path: &Path) -> Result<Sink<'_>, Refusal> {
        match File::create(path) {
            Ok(file) => Ok(Sink { path, file }),
            Err(why) => Err(Refusal::Failed(format!("cannot write {}: {why}", path.display()))),
        }
    }

    pub(super) fn write(mut self, text: &str) -> Result<(), Refusal> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|why| Refusal::Failed(format!("cannot write {}: {why}", self.path.display())))
    }
}

/// Prints what was asked for.
pub(super) fn say(text: &str) -> Result<(), Refusal> {
    let mut stdout = io::stdout();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        // whoever was reading has read enough
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        said => said.map_err(|why| Refusal::Failed(format!("cannot print: {why}"))),
    }
}

/// A value as JSON.
pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<String, Refusal> {
    serde_json::to_string_pretty(value).map_err(|why| Refusal::Failed(why.to_string()))
}

/// Shows on a terminal how far something has got.
pub(super) fn progress(count: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(
        Some(count),
        if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
    );
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}, {eta} left") {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
