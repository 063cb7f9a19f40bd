//! [`BigInt`], and numbers and array indices as JavaScript prints them.

use std::fmt;
use std::str::FromStr;

/// 2^53: every integer up to it has an `f64` of its own.
pub(crate) const EXACT: u64 = 1 << 53;

/// An integer of any size, held as decimal text, which is its form on the wire.
///
/// It has no arithmetic: convert it with [`to_i64`](Self::to_i64) and its siblings, or pass it on.
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
    /// Returns the decimal digits, after a minus sign if the integer is negative.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the integer as `i64` if it fits.
    pub fn to_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// Returns the integer as `u64` if it fits.
    pub fn to_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// Returns the integer as `i128` if it fits.
    pub fn to_i128(&self) -> Option<i128> {
        self.0.parse().ok()
    }

    /// Returns the integer as `u128` if it fits.
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

/// More bytes than JavaScript prints for any number: the longest has 25 (about `-1.2345678901234567e-300`).
const LONGEST: usize = 32;

/// Parses a number exactly as JavaScript prints it: `inf`, `0x` and spaces are rejected.
pub(crate) fn parse_number(text: &str) -> Option<f64> {
    match text {
        "NaN" => return Some(f64::NAN),
        "Infinity" => return Some(f64::INFINITY),
        "-Infinity" => return Some(f64::NEG_INFINITY),
        _ => {}
    }
    if text.len() > LONGEST {
        return None;
    }
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let start = usize::from(bytes.first() == Some(&b'-'));
    let mut end = digits(start);
    let zero_led = bytes.get(start) == Some(&b'0') && end > start + 1;
    if end == start || zero_led {
        return None;
    }
    if bytes.get(end) == Some(&b'.') {
        let fraction = end + 1;
        end = digits(fraction);
        if end == fraction {
            return None;
        }
    }
    if bytes.get(end) == Some(&b'e') {
        let sign = bytes.get(end + 1);
        let exponent = end + 2;
        end = digits(exponent);
        if end == exponent || !matches!(sign, Some(b'+' | b'-')) {
            return None;
        }
    }
    if end != bytes.len() {
        return None;
    }
    // JavaScript prints Infinity for a number that overflows
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Returns the array index that `key` is in JavaScript, if it is one: a canonical decimal below 2^32 - 1.
pub(crate) fn array_index(key: &str) -> Option<u32> {
    let digits = key.as_bytes();
    match digits {
        [] => None,
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 10 && digits.iter().all(u8::is_ascii_digit) => {
            key.parse().ok().filter(|&index| index != u32::MAX)
        }
        _ => None,
    }
}
