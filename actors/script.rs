//! The text that the owner of a node runs at top level, with the name under which its errors state their place.

use serde::{Deserialize, Serialize};

/// Source text to run at top level.
///
/// ```
/// use chinwag_actors::script::Script;
/// let file = Script::named("greet.js", "console.log('hi')");
/// assert_ne!(file, Script::from("console.log('hi')"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    pub(crate) source: String,
    /// The name of the file in the places of errors.
    pub(crate) name: String,
    /// Whether this is a line of a prompt.
    pub(crate) is_line: bool,
}

impl Script {
    /// The text of a file with this name.
    pub fn named(name: impl Into<String>, source: impl Into<String>) -> Script {
        Script { source: source.into(), name: name.into(), is_line: false }
    }

    /// The line with this number of a prompt, counted from 1.
    ///
    /// A line differs from a file in three points. `{a: 1}` is an object. `_` is the value of the last line. What `let`,
    /// `const` and `class` declare is a property of the global object, and is gone if the line throws, so that the line
    /// can be typed again.
    pub fn line(number: u64, source: impl Into<String>) -> Script {
        Script { source: source.into(), name: format!("REPL{number}"), is_line: true }
    }
}

impl From<String> for Script {
    fn from(source: String) -> Script {
        Script::named("script", source)
    }
}

impl From<&str> for Script {
    fn from(source: &str) -> Script {
        Script::from(source.to_owned())
    }
}
