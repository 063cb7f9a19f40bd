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

/// The longest text that JavaScript prints for a number has 25 bytes (`-1.2345678901234567e-300`, near enough).
const LONGEST: usize = 32;

/// Reads a number as JavaScript prints it, and nothing else: no `inf`, no `0x`, no space.
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
    // what overflows was not printed by JavaScript, which says Infinity
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The array index that `key` spells in JavaScript, if it does: canonical decimal below 2^32 - 1.
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
