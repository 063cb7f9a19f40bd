//! How this program has the C library's allocator behave; elsewhere than on Linux with glibc nothing happens.

/// One heap for all threads: a node lives on one thread, and every further heap costs it pages of its own, which grow
/// in small steps. To be called before there are threads, and not where several are busy: they would wait for each other.
pub(super) fn one_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::set(libc::M_ARENA_MAX, 1);
}

/// Memory in large steps, held on to, and small blocks never gathered: for a simulation, which is about to need much.
pub(super) fn large_steps() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (knob, value) in [(libc::M_TOP_PAD, 64 << 20), (libc::M_TRIM_THRESHOLD, libc::c_int::MAX), (libc::M_MXFAST, 0)]
    {
        glibc::set(knob, value);
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    pub fn set(knob: libc::c_int, value: libc::c_int) {
        // SAFETY: mallopt takes two numbers and touches only the allocator's own settings.
        if unsafe { libc::mallopt(knob, value) } == 0 {
            log::debug!(target: "chinwag::node", "the allocator refuses to set {knob} to {value}");
        }
    }
}
