//! The program's standard output and standard error.

use std::time::Duration;

use chinwag::Output;

/// How long the program waits at its end until its output has been read.
const FINAL_FLUSH: Duration = Duration::from_secs(1);

/// This program's standard output and standard error, to which writing never blocks.
#[derive(Clone, Debug)]
pub(crate) struct Outputs {
    pub(crate) out: Output,
    pub(crate) err: Output,
}

impl Drop for Outputs {
    fn drop(&mut self) {
        self.err.flush_within(FINAL_FLUSH);
        self.out.flush_within(FINAL_FLUSH);
    }
}
