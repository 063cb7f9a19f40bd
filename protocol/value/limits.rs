//! [`Limits`]: how much a message may cost.

/// How much a message may cost.
///
/// ```
/// use chinwag_protocol::wire::Limits;
///
/// let mut limits = Limits::default();
/// limits.bytes = 64 * 1024;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The length of a message that is read, in bytes. Default 8 MiB, a guess: about a hundred times the member map of the largest
    /// group, and small enough that a node can hold a hundred such messages.
    pub bytes: usize,
    /// The length of a message that is written, in bytes. Default 8 MiB, because other nodes read no longer message by
    /// default. An error that says that an answer is longer is written in any case; it has a few hundred bytes.
    pub written: usize,
    /// The depth to which values may nest. A value on its own is one level, and an error is two. Default 128, like
    /// serde_json: deeper than what people write, and shallow enough for a thread with a stack of 2 MiB. Reading a
    /// level takes about 1.5 KiB of stack, or 8 KiB without optimization: raise this limit only together with the
    /// stack.
    pub depth: usize,
    /// The number of values that a message may hold. The holes of arrays, the steps of references and the copies of
    /// shared values count, too. Default 1,000,000. A value takes 32 bytes and an object about 100 more, so a plain
    /// body of 3 MB that consists of `{}` alone takes about 130 MB.
    pub values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 8 << 20, written: 8 << 20, depth: 128, values: 1_000_000 }
    }
}
