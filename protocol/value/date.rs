//! [`Date`]: a JavaScript date.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::{Month, OffsetDateTime, PrimitiveDateTime, Time};

/// The most milliseconds by which a JavaScript date can differ from the epoch.
const LAST: i64 = 8_640_000_000_000_000;

/// A JavaScript date: milliseconds since 1970 in UTC, or invalid.
///
/// Its text is that of `toISOString`: years outside of 0 to 9999 have a sign and six digits.
///
/// ```
/// use chinwag_protocol::value::Date;
///
/// assert_eq!(Date::new(0).to_string(), "1970-01-01T00:00:00.000Z");
/// assert_eq!(Date::new(253_402_300_800_000).to_string(), "+010000-01-01T00:00:00.000Z");
/// assert_eq!("2024-02-27T00:00:00.123Z".parse::<Date>()?.milliseconds(), Some(1_708_992_000_123));
/// # Ok::<(), chinwag_protocol::value::NotDate>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(Option<i64>);

/// The text is not a date in the form of JavaScript's `toISOString`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a date of the form 2024-02-27T00:00:00.123Z")]
pub struct NotDate(String);

impl Date {
    /// JavaScript's `Invalid Date`.
    pub const INVALID: Self = Self(None);

    /// Creates the date that is this number of milliseconds after the beginning of 1970 in UTC. It is invalid if the
    /// number is outside of ±8.64e15.
    pub const fn new(milliseconds: i64) -> Self {
        if milliseconds >= -LAST && milliseconds <= LAST { Self(Some(milliseconds)) } else { Self::INVALID }
    }

    /// Returns the milliseconds since the beginning of 1970 in UTC, or `None` for an invalid date.
    pub const fn milliseconds(self) -> Option<i64> {
        self.0
    }

    /// Returns the date as a system time, or `None` if it is invalid or the system cannot represent it.
    pub fn to_system_time(self) -> Option<SystemTime> {
        let milliseconds = self.0?;
        let distance = Duration::from_millis(milliseconds.unsigned_abs());
        if milliseconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) }
    }

    /// Parses an ISO text of exactly the form that JavaScript prints.
    fn parse(text: &str) -> Option<Self> {
        let years = match text.as_bytes().first()? {
            b'+' | b'-' => 7,
            _ => 4,
        };
        if text.len() != years + 20 || !text.is_ascii() || text.starts_with("-000000") {
            return None;
        }
        let (year, rest) = text.split_at(years);
        let shape = rest.bytes().zip(b"-00-00T00:00:00.000Z").all(|(byte, &form)| match form {
            b'0' => byte.is_ascii_digit(),
            mark => byte == mark,
        });
        let year_digits = year.trim_start_matches(['+', '-']);
        if !shape || !year_digits.bytes().all(|byte| byte.is_ascii_digit()) || year_digits.len() < 4 {
            return None;
        }
        let number = |from: usize, to: usize| rest.get(from..to)?.parse::<u16>().ok();
        let small = |from: usize| rest.get(from..from + 2)?.parse::<u8>().ok();
        let month = Month::try_from(small(1)?).ok()?;
        let day = time::Date::from_calendar_date(year.parse().ok()?, month, small(4)?).ok()?;
        let clock = Time::from_hms_milli(small(7)?, small(10)?, small(13)?, number(16, 19)?).ok()?;
        let moment = PrimitiveDateTime::new(day, clock).assume_utc();
        let milliseconds = moment.unix_timestamp() * 1000 + i64::from(moment.millisecond());
        Some(Self::new(milliseconds)).filter(|date| date.0.is_some())
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = self.0.and_then(|milliseconds| {
            OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).ok()
        });
        let Some(moment) = moment else {
            return f.write_str("Invalid Date");
        };
        match moment.year() {
            year @ 0..=9999 => write!(f, "{year:04}")?,
            year => write!(f, "{year:+07}")?,
        }
        let (hour, minute, second, millisecond) = moment.to_hms_milli();
        let (month, day) = (u8::from(moment.month()), moment.day());
        write!(f, "-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
    }
}

impl FromStr for Date {
    type Err = NotDate;

    fn from_str(text: &str) -> Result<Self, NotDate> {
        Self::parse(text).ok_or_else(|| NotDate(text.chars().take(40).collect()))
    }
}

/// Rounds down to the millisecond.
impl From<SystemTime> for Date {
    fn from(moment: SystemTime) -> Self {
        let milliseconds = match moment.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).ok(),
            Err(before) => {
                let distance = before.duration().as_nanos().div_ceil(1_000_000);
                i64::try_from(distance).ok().map(|distance| -distance)
            }
        };
        milliseconds.map_or(Self::INVALID, Self::new)
    }
}
