//! The commands of a prompt, which begin with a dot.

/// What to do with what was typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// Nothing.
    Nothing,
    /// Run it as JavaScript.
    Script,
    /// Leave the prompt.
    Exit,
    /// Show this text.
    Show(&'static str),
}

const HELP: &str = "\
.exit    Leave the prompt
.help    Show this text

Press Ctrl-C to stop what runs or to discard the line, Ctrl-D to leave, and Tab to complete a name.
local, gossip, id and createRPC are those of distribution; _ is the last value.";

/// Says what a line is. `.5` is a number.
pub(super) fn read(line: &str) -> Typed {
    let line = line.trim();
    let is_command =
        line.strip_prefix('.').is_some_and(|word| !word.starts_with(|c: char| c == '.' || c.is_ascii_digit()));
    match line {
        "" => Typed::Nothing,
        ".exit" => Typed::Exit,
        ".help" => Typed::Show(HELP),
        _ if is_command => Typed::Show("There is no such command; .help lists them"),
        _ => Typed::Script,
    }
}

/// Whether more must be typed before the text can be run.
pub(super) fn is_unfinished(text: &str) -> bool {
    #[cfg(feature = "scripts")]
    return chinwag::actors::scripts::is_unfinished(text);
    // without an engine there is no prompt
    #[cfg(not(feature = "scripts"))]
    return text.is_empty();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_word_after_a_dot_is_a_command() {
        assert_eq!(read(" .exit "), Typed::Exit);
        assert_eq!(read(".help"), Typed::Show(HELP));
        assert!(matches!(read(".hepl"), Typed::Show(_)));
        for script in [".5 + 1", "a.exit", "1", "'.exit'", "é"] {
            assert_eq!(read(script), Typed::Script, "{script}");
        }
        assert_eq!(read("  "), Typed::Nothing);
    }
}
