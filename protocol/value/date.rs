//! [`Date`]: a point in time as ECMAScript has it.

/// The last millisecond, before or after the epoch, that a JavaScript date can be.
pub(crate) const LAST: i64 = 8_640_000_000_000_000;

/// A JavaScript date: milliseconds since 1970 in UTC, or invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(Option<i64>);

impl Date {
    /// JavaScript's `Invalid Date`: a date that is none.
    pub const INVALID: Self = Self(None);

    /// The date so many milliseconds after 1970 began in UTC; invalid further than 8.64e15 from it.
    pub const fn new(milliseconds: i64) -> Self {
        if milliseconds >= -LAST && milliseconds <= LAST {
            Self(Some(milliseconds))
        } else {
            Self::INVALID
        }
    }

    /// Milliseconds since 1970 began in UTC; `None` for an invalid date.
    pub const fn milliseconds(self) -> Option<i64> {
        self.0
    }
}
