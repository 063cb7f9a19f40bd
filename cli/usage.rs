//! What this process and its threads have used of the machine, as Linux reports it. Other systems report nothing.

use std::time::Duration;

/// The peak memory of this process in bytes, if the system reports it.
pub(super) fn peak_memory() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1_024)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// The processor time of this thread so far, if the system reports it.
pub(super) fn processor_time() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn peak_memory_covers_what_was_allocated() {
        let block = std::hint::black_box(vec![1_u8; 32 << 20]);
        assert!(peak_memory().unwrap() >= 32 << 20);
        drop(block);
    }
}
