//! The memory that this process's allocator holds and uses.

use chinwag_actors::launcher::Heap;

/// The figures of the C library's allocator, which is Rust's default allocator, or `None` if the platform does not say.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn heap() -> Option<Heap> {
    // SAFETY: mallinfo2 takes no argument, touches only the allocator's own locks, and returns its counts by value.
    let info = unsafe { libc::mallinfo2() };
    // a memory mapping for a single large block is both held and used
    let total = info.arena.saturating_add(info.hblkhd) as u64;
    let used = info.uordblks.saturating_add(info.hblkhd) as u64;
    Some(Heap::new(total, used))
}

/// `None`, because this platform's allocator does not say.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn heap() -> Option<Heap> {
    None
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn an_allocation_changes_the_figures() {
        let before = heap().unwrap();
        assert!(before.used > 0 && before.used <= before.total);
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        let during = heap().unwrap();
        assert!(during.used >= before.used + (60 << 20), "{before:?} {during:?}");
        assert!(during.used <= during.total);
        drop(block);
    }
}
