//! The program's standard output and standard error.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use chinwag::Output;

use crate::screen::Screen;

/// How long the program waits at its end until its output has been read.
const FINAL_FLUSH: Duration = Duration::from_secs(1);

/// This program's standard output and standard error, to which writing never blocks, and the terminal that both share
/// with the line that a person types.
#[derive(Clone, Debug)]
pub(crate) struct Outputs {
    pub(crate) out: Output,
    pub(crate) err: Output,
    pub(crate) screen: Screen,
}

impl Outputs {
    pub(crate) fn open() -> Outputs {
        let screen = Screen::default();
        let (out, err) = (io::stdout(), io::stderr());
        let (out_is_terminal, err_is_terminal) = (out.is_terminal(), err.is_terminal());
        Outputs {
            out: Output::new(screen.writer(out, out_is_terminal)),
            err: Output::new(screen.writer(err, err_is_terminal)),
            screen,
        }
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        self.err.flush_within(FINAL_FLUSH);
        self.out.flush_within(FINAL_FLUSH);
    }
}
