//! Lines that are piped in.

use std::io::{self, BufRead};

use chinwag::Output;

use super::{
    asking::Asking,
    commands::{self, Typed},
};

/// Runs the lines of standard input, each with the lines that continue it. What is unfinished at the end is run as it
/// is, which reports the error. Returns false if that failed.
pub(super) fn serve(asking: &Asking, out: &Output) -> bool {
    let mut input = io::stdin().lock();
    let mut pending = String::new();
    loop {
        let mut line = Vec::new();
        // an input that cannot be read has ended
        let has_ended = input.read_until(b'\n', &mut line).unwrap_or(0) == 0;
        pending.push_str(&String::from_utf8_lossy(&line));
        match commands::read(&pending) {
            Typed::Nothing => pending.clear(),
            Typed::Exit => return true,
            Typed::Show(text) => {
                out.line(text);
                pending.clear();
            }
            Typed::Script => {
                let is_unfinished = commands::is_unfinished(&pending);
                if is_unfinished && !has_ended {
                    continue;
                }
                let line = std::mem::take(&mut pending);
                let Some(is_done) = asking.run(line.trim_end_matches(['\n', '\r']).to_owned()) else { return true };
                if is_unfinished && !is_done {
                    return false;
                }
            }
        }
        if has_ended {
            return true;
        }
    }
}
