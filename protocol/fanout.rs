//! The fan-out: how many peers a sender contacts with a rumor, as a function of the group's size.
//!
//! | text | peers in a group of n | at n = 100 | at n = 10,000 |
//! |---|---|---|---|
//! | `3` | as given | 3 | 3 |
//! | `log` (the default) | ceil(ln n) | 5 | 10 |
//! | `log+2` | ceil(ln n) + 2 | 7 | 12 |
//! | `sqrt` | ceil(sqrt n) | 10 | 100 |
//! | `all` | n - 1 | 99 | 9,999 |
//!
//! ln n is the threshold of random gossip: a fan-out of ln n + c reaches *everybody* with probability
//! exp(-e^-c) (Kermarrec, Massoulié and Ganesh 2003, "Probabilistic reliable dissemination in large-scale
//! systems"). Completeness does not rest on it here: [`rumor`](crate::rumor) sends offers to a few
//! more peers than that, and compares notes afterwards.
//!
//! A fan-out that is a function of the user's own needs no variant here: the caller computes the number and passes it
//! to [`rumor`](crate::rumor), which knows only numbers.
//!
//! ```
//! use chinwag_protocol::fanout::Fanout;
//!
//! let fanout: Fanout = "log+2".parse()?;
//! assert_eq!(fanout.count(100), 7);
//! assert_eq!(fanout.count(3), 2); // there are only two other members
//! assert_eq!(fanout.to_string(), "log+2");
//! # Ok::<(), chinwag_protocol::fanout::ParseFanoutError>(())
//! ```

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// How many peers a sender contacts with a rumor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Fanout {
    /// This many, for any size of the group.
    Fixed(NonZeroU32),
    /// ceil(ln n), as in the JavaScript reference.
    #[default]
    Log,
    /// This many more than ceil(ln n).
    LogPlus(u32),
    /// ceil(sqrt n).
    Sqrt,
    /// All other members.
    All,
}

impl Fanout {
    /// Returns the number of peers to contact in a group of `members` nodes, including the sender. It is at least 1 and
    /// at most `members - 1`, so it is 0 only if there are no other members.
    pub fn count(self, members: usize) -> usize {
        let others = members.saturating_sub(1);
        let wanted = match self {
            Fanout::Fixed(count) => count.get() as usize,
            Fanout::Log => log_ceiling(members),
            Fanout::LogPlus(more) => log_ceiling(members).saturating_add(more as usize),
            Fanout::Sqrt => {
                let root = members.isqrt();
                root + usize::from(root * root < members)
            }
            Fanout::All => others,
        };
        wanted.max(1).min(others)
    }
}

/// Returns ceil(ln n). It uses the logarithm of a library, so that the number is the same on every machine.
pub fn log_ceiling(members: usize) -> usize {
    libm::ceil(libm::log(members.max(1) as f64)) as usize
}

impl fmt::Display for Fanout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fanout::Fixed(count) => write!(f, "{count}"),
            Fanout::Log => f.write_str("log"),
            Fanout::LogPlus(more) => write!(f, "log+{more}"),
            Fanout::Sqrt => f.write_str("sqrt"),
            Fanout::All => f.write_str("all"),
        }
    }
}

/// Why a text is not a fan-out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseFanoutError {
    /// A fan-out of zero would contact nobody.
    #[error("a fan-out of {0:?} would reach nobody: it must be at least 1")]
    Zero(String),
    /// The number does not fit into 32 bits.
    #[error("the number in fan-out {0:?} is too large: the most is 4294967295")]
    TooLarge(String),
    /// The text has none of the forms.
    #[error("unknown fan-out {0:?}: expected a number, \"log\", \"log+N\", \"sqrt\" or \"all\"")]
    Unknown(String),
}

impl FromStr for Fanout {
    type Err = ParseFanoutError;

    /// Parses the output of [`Display`](fmt::Display). Spaces around the text are ignored; case matters.
    ///
    /// # Errors
    /// [`ParseFanoutError`], quoting the text.
    fn from_str(text: &str) -> Result<Self, ParseFanoutError> {
        let trimmed = text.trim();
        match trimmed {
            "log" => return Ok(Fanout::Log),
            "sqrt" => return Ok(Fanout::Sqrt),
            "all" => return Ok(Fanout::All),
            _ => {}
        }
        let (digits, logarithmic) = match trimmed.strip_prefix("log+") {
            Some(rest) => (rest, true),
            None => (trimmed, false),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseFanoutError::Unknown(text.to_owned()));
        }
        // digits fail to parse only if the number is too large
        let number: u32 = digits.parse().map_err(|_| ParseFanoutError::TooLarge(text.to_owned()))?;
        if logarithmic {
            Ok(Fanout::LogPlus(number))
        } else {
            NonZeroU32::new(number).map(Fanout::Fixed).ok_or_else(|| ParseFanoutError::Zero(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_counts_are_those_of_the_table() {
        for (text, hundred, ten_thousand) in
            [("3", 3, 3), ("log", 5, 10), ("log+2", 7, 12), ("sqrt", 10, 100), ("all", 99, 9_999)]
        {
            let fanout: Fanout = text.parse().unwrap();
            assert_eq!((fanout.count(100), fanout.count(10_000)), (hundred, ten_thousand), "{text}");
            assert_eq!(fanout.to_string(), text);
        }
    }

    #[test]
    fn the_count_is_at_least_one_and_at_most_all_others() {
        for fanout in [Fanout::Log, Fanout::LogPlus(u32::MAX), Fanout::Sqrt, Fanout::All] {
            assert_eq!(fanout.count(0), 0, "{fanout}");
            assert_eq!(fanout.count(1), 0, "{fanout}");
            assert_eq!(fanout.count(2), 1, "{fanout}");
        }
        assert_eq!("7".parse::<Fanout>().unwrap().count(4), 3);
        assert_eq!(Fanout::Sqrt.count(101), 11);
    }

    #[test]
    fn an_invalid_text_is_quoted_with_the_reason() {
        let error = |text: &str| text.parse::<Fanout>().unwrap_err();
        assert_eq!(error("0"), ParseFanoutError::Zero("0".into()));
        assert_eq!(error("4294967296"), ParseFanoutError::TooLarge("4294967296".into()));
        for text in ["", "log+", "log-1", "log+-1", "+3", "-1", "1.5", "ln", "log + 2", "LOG"] {
            assert_eq!(error(text), ParseFanoutError::Unknown(text.into()));
        }
        assert!(error("ln").to_string().contains("\"ln\""));
    }

    proptest! {
        #[test]
        fn parse_reverses_display(number in 1u32.., more: u32) {
            let fixed = Fanout::Fixed(NonZeroU32::new(number).unwrap());
            prop_assert_eq!(fixed.to_string().parse(), Ok(fixed));
            let plus = Fanout::LogPlus(more);
            prop_assert_eq!(plus.to_string().parse(), Ok(plus));
        }

        #[test]
        fn parsing_any_text_does_not_panic(text in ".*") {
            let _ = text.parse::<Fanout>().map(|fanout| fanout.count(10));
        }
    }
}
