//! A terminal that shows output while a person types into it.
//!
//! The line editor draws the line. Output that arrives in the meantime, such as a log line, first erases it, and draws it
//! again below. (The editor has a printer for this, but an editor that uses the printer waits for the next key although
//! several keys have been typed ahead.) The editor notes every change of the line here before it draws the change.

use std::{
    fmt::Write as _,
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use unicode_width::UnicodeWidthChar;

/// The width of a terminal that does not state its own.
const COLUMNS: usize = 80;

/// The columns between two tab stops, which are those of the line editor.
const TAB: usize = 8;

/// The terminal of this program. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Screen(Arc<Mutex<Option<Typing>>>);

/// A line that is being typed.
#[derive(Clone, Debug, Default)]
struct Typing {
    /// The prompt, and the line after it.
    shown: String,
    /// How much of that is before the cursor, in bytes.
    before_cursor: usize,
    prompt: usize,
}

/// A place in relation to the first column of the prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Position {
    row: usize,
    column: usize,
}

impl Screen {
    fn lock(&self) -> MutexGuard<'_, Option<Typing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the line that is being typed, and the place of the cursor in it, in bytes.
    pub(crate) fn types(&self, prompt: &str, line: &str, cursor: usize) {
        let (shown, before_cursor) = (format!("{prompt}{line}"), prompt.len() + cursor);
        *self.lock() = Some(Typing { shown, before_cursor, prompt: prompt.len() });
    }

    /// Notes that nobody types. Returns the last line, or `None` if nobody was typing.
    pub(crate) fn rests(&self) -> Option<String> {
        self.lock().take().map(|mut typing| typing.shown.split_off(typing.prompt))
    }

    /// A writer of output. `is_terminal` says whether it writes to the terminal.
    pub(crate) fn writer(&self, inner: impl Write + Send + 'static, is_terminal: bool) -> impl Write + Send + 'static {
        ScreenWriter { screen: self.clone(), inner, is_terminal }
    }
}

/// Writes output above the line that is being typed.
struct ScreenWriter<W> {
    screen: Screen,
    inner: W,
    is_terminal: bool,
}

impl<W: Write> Write for ScreenWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // the lock is held so that the outputs of this program do not mix
        let typing = self.screen.lock();
        match typing.as_ref().filter(|_| self.is_terminal) {
            Some(typing) => self.inner.write_all(&typing.below(bytes, columns()))?,
            None => self.inner.write_all(bytes)?,
        }
        self.inner.flush()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Typing {
    /// What to write so that this line is below the output.
    fn below(&self, output: &[u8], columns: usize) -> Vec<u8> {
        let cursor = position(&self.shown[..self.before_cursor], columns);
        let end = position(&self.shown, columns);
        let mut text = String::new();
        // writing to a string does not fail
        if cursor.row > 0 {
            let _ = write!(text, "\x1b[{}A", cursor.row);
        }
        text.push_str("\r\x1b[J");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(output);
        if !output.ends_with(b"\n") {
            bytes.push(b'\n');
        }
        let mut text = self.shown.clone();
        if end.column == 0 && end.row > 0 && !text.ends_with('\n') {
            // the terminal leaves the cursor in the last column
            text.push('\n');
        }
        if end.row > cursor.row {
            let _ = write!(text, "\x1b[{}A", end.row - cursor.row);
        }
        text.push('\r');
        if cursor.column > 0 {
            let _ = write!(text, "\x1b[{}C", cursor.column);
        }
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }
}

/// The place after a text, as the line editor computes it.
fn position(text: &str, columns: usize) -> Position {
    let mut at = Position::default();
    for c in text.chars() {
        if c == '\n' {
            at = Position { row: at.row + 1, column: 0 };
            continue;
        }
        let width = if c == '\t' { TAB - at.column % TAB } else { c.width().unwrap_or(0) };
        at.column += width;
        if at.column > columns {
            at = Position { row: at.row + 1, column: width };
        }
    }
    if at.column == columns { Position { row: at.row + 1, column: 0 } } else { at }
}

fn columns() -> usize {
    terminal_size::terminal_size().map_or(COLUMNS, |(width, _)| usize::from(width.0).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_follows_line_breaks_wide_characters_and_the_edge() {
        let at = |row, column| Position { row, column };
        assert_eq!(position("", 10), at(0, 0));
        assert_eq!(position("> ab", 10), at(0, 4));
        assert_eq!(position("> ab\ncd", 10), at(1, 2));
        assert_eq!(position("0123456789", 10), at(1, 0));
        assert_eq!(position("01234567890", 10), at(1, 1));
        assert_eq!(position("012345678世", 10), at(1, 2));
        assert_eq!(position("a\tb", 10), at(0, 9));
    }

    #[test]
    fn output_is_written_above_the_line_and_the_cursor_returns_to_its_place() {
        let screen = Screen::default();
        screen.types("> ", "one\ntwo", 5);
        let typing = screen.lock().clone().unwrap_or_default();
        let written = String::from_utf8(typing.below(b"out", 80)).unwrap_or_default();
        assert_eq!(written, "\x1b[1A\r\x1b[Jout\n> one\ntwo\r\x1b[1C");
        assert_eq!(screen.rests().as_deref(), Some("one\ntwo"));
        assert_eq!(screen.rests(), None);
    }
}
