//! The program's standard output and standard error.

use std::time::Duration;

use chinwag::Output;

/// How long the program waits at its end for what it has printed and logged to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// This program's standard output and standard error, which make nobody wait.
#[derive(Clone, Debug)]
pub(crate) struct Outputs {
    pub(crate) out: Output,
    pub(crate) err: Output,
}

impl Drop for Outputs {
    fn drop(&mut self) {
        self.err.flush_within(LAST_WORDS);
        self.out.flush_within(LAST_WORDS);
    }
}
