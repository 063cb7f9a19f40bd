//! Numbers as JavaScript prints them, and [`BigInt`].

use std::fmt;
use std::str::FromStr;

/// The largest integer up to which every integer has its own `f64`: 2^53.
pub(crate) const EXACT: u64 = 1 << 53;

/// An integer of any size, kept as the decimal text that the wire has.
///
/// Nothing is computed with it here: it is taken apart by [`to_i64`](Self::to_i64) and its like, or handed on.
///
/// ```
/// use chinwag_protocol::value::BigInt;
///
/// let big: BigInt = "-123456789012345678901234567890".parse()?;
/// assert_eq!(big.to_i64(), None);
/// assert_eq!(BigInt::from(u64::MAX).to_string(), "18446744073709551615");
/// # Ok::<(), chinwag_protocol::value::NotDecimal>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BigInt(String);

/// Text that is not the decimal form of an integer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a decimal integer")]
pub struct NotDecimal(pub(crate) String);

impl BigInt {
    /// Its decimal digits, after a minus sign when it is negative.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As `i64`, when it fits.
    pub fn to_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// As `u64`, when it fits.
    pub fn to_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// As `i128`, when it fits.
    pub fn to_i128(&self) -> Option<i128> {
        self.0.parse().ok()
    }

    /// As `u128`, when it fits.
    pub fn to_u128(&self) -> Option<u128> {
        self.0.parse().ok()
    }
}

impl FromStr for BigInt {
    type Err = NotDecimal;

    fn from_str(text: &str) -> Result<Self, NotDecimal> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotDecimal(text.chars().take(40).collect()));
        }
        let significant = digits.trim_start_matches('0');
        Ok(Self(if significant.is_empty() {
            "0".to_owned()
        } else if text.starts_with('-') {
            format!("-{significant}")
        } else {
            significant.to_owned()
        }))
    }
}

impl fmt::Display for BigInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! bigint_from {
    ($($integer:ty)*) => {$(
        impl From<$integer> for BigInt {
            fn from(integer: $integer) -> Self {
                Self(integer.to_string())
            }
        }
    )*};
}
bigint_from!(i64 u64 i128 u128);
