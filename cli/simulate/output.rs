//! The output of `chinwag simulate`: figures, files, progress and errors.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    time::Duration,
};

use chinwag_simulation::SimulationError;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Why nothing was simulated, or why its results could not be written.
pub(super) enum SimulateError {
    /// The arguments contradict each other, or no simulation has them.
    Invalid(String),
    /// A file or the terminal could not be written.
    Failed(String),
}

impl From<SimulationError> for SimulateError {
    fn from(why: SimulationError) -> SimulateError {
        SimulateError::Invalid(why.to_string())
    }
}

/// A file that is written at the end. It is opened before anything runs, so that no results are lost for want of a
/// file.
pub(super) struct OutputFile<'a> {
    path: &'a Path,
    file: File,
}

impl OutputFile<'_> {
    pub(super) fn open(path: &Path) -> Result<OutputFile<'_>, SimulateError> {
        match File::create(path) {
            Ok(file) => Ok(OutputFile { path, file }),
            Err(why) => Err(SimulateError::Failed(format!("cannot write {}: {why}", path.display()))),
        }
    }

    pub(super) fn write(mut self, text: &str) -> Result<(), SimulateError> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|why| SimulateError::Failed(format!("cannot write {}: {why}", self.path.display())))
    }
}

/// Prints to standard output.
pub(super) fn print(text: &str) -> Result<(), SimulateError> {
    let mut stdout = io::stdout();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        // the reader needs no more of the output
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        said => said.map_err(|why| SimulateError::Failed(format!("cannot print: {why}"))),
    }
}

/// A value as JSON.
pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<String, SimulateError> {
    serde_json::to_string_pretty(value).map_err(|why| SimulateError::Failed(why.to_string()))
}

/// Shows progress on a terminal.
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
