//! What this process's allocator holds and uses.

use chinwag_actors::launcher::Heap;

/// The figures of the C library's allocator, which Rust's default allocator is; nothing where the platform has none
/// to give.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn heap() -> Option<Heap> {
    // SAFETY: mallinfo2 takes no argument, touches only the allocator's own locks, and returns its counts by value.
    let info = unsafe { libc::mallinfo2() };
    // memory mapped for single large blocks is held and used alike
    let total = info.arena.saturating_add(info.hblkhd) as u64;
    let used = info.uordblks.saturating_add(info.hblkhd) as u64;
    Some(Heap { total, used: used.min(total) })
}

/// Nothing: this platform's allocator does not say.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn heap() -> Option<Heap> {
    None
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_shows() {
        let before = heap().unwrap();
        assert!(before.used > 0 && before.used <= before.total);
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        let during = heap().unwrap();
        assert!(during.used >= before.used + (60 << 20), "{before:?} {during:?}");
        assert!(during.used <= during.total);
        drop(block);
    }
}
