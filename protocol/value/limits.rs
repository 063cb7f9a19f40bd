//! [`Limits`]: what a value may cost.

/// What a message may cost at most.
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
    /// Length of a message, in bytes. Default 8 MiB, a guess: some hundred times the largest group's member
    /// map, and little enough for a hundred of them at once.
    pub bytes: usize,
    /// How deep values may nest; a value alone is one level, an error is two. Default 128, as serde_json has it:
    /// deeper than what people write, and shallow enough for a thread of 2 MiB. A level takes some 1.5 KiB of stack
    /// to read, 8 KiB without optimization: raise it only together with the stack.
    pub depth: usize,
    /// How many values a message may hold, with the holes of arrays, the steps of references, and what is copied
    /// because it is shared. Default 1,000,000. A value takes 32 bytes, an object some 100 more, so a plain body
    /// of 3 MB that is nothing but `{}` comes to about 130 MB.
    pub values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 8 << 20, depth: 128, values: 1_000_000 }
    }
}
