//! Settings of the C library's allocator. They have an effect only on Linux with glibc.

/// Uses one heap for all threads: a node runs on one thread, and each further heap would cost pages of its own. Call it
/// before there are threads. It is not for programs with several busy threads, which would wait for each other.
pub(super) fn one_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::set(libc::M_ARENA_MAX, 1);
}

/// Takes memory in large steps, keeps it, and does not merge small blocks: a simulation is about to need much.
pub(super) fn large_steps() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (knob, value) in [(libc::M_TOP_PAD, 64 << 20), (libc::M_TRIM_THRESHOLD, libc::c_int::MAX), (libc::M_MXFAST, 0)]
    {
        glibc::set(knob, value);
    }
}

/// Gives memory back to the system after a peak that the allocator keeps although nothing uses it. It returns only if
/// the platform does not report the resident size.
///
/// glibc keeps free memory below a block that is in use, and a node always has such blocks: connections and tasks. This
/// reads the resident size from time to time, which takes about 10 µs. It asks the allocator for its figures only if
/// the node has more memory than before, and trims only if much of it is free.
///
/// The resident part of the program's text is mostly what the start needed: for each page that is used, the kernel maps
/// those around it. This unmaps the text some times after the start, at growing intervals, and after each peak. The
/// kernel maps again from its cache what is used from then on.
pub(super) async fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let mut watch = Watch::default();
        // the first look is at the start, before any peak
        for look in 0_u64.. {
            if look.is_power_of_two() && look <= STARTING {
                glibc::unmap_text();
            }
            let Some(resident) = glibc::resident() else { return };
            watch.look(resident, glibc::used, || {
                glibc::trim();
                glibc::unmap_text();
                glibc::resident()
            });
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The time between two looks. Memory is given back within twice this time, because a look during a peak does not
/// count.
#[cfg(any(test, all(target_os = "linux", target_env = "gnu")))]
const LOOK: std::time::Duration = std::time::Duration::from_secs(4);

/// The number of looks, a minute, after which a node has started and joined others, and only uses the text that it will
/// go on using. It is a guess.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const STARTING: u64 = 16;

/// The amount of free memory in bytes that is not worth giving back, however little the program has.
#[cfg(any(test, all(target_os = "linux", target_env = "gnu")))]
const LITTLE: u64 = 256 << 10;

/// Decides when to trim. All figures are in bytes.
#[cfg(any(test, all(target_os = "linux", target_env = "gnu")))]
#[derive(Debug, Default)]
struct Watch {
    /// The smallest resident size so far, or `None` at first.
    lowest: Option<u64>,
    /// The smallest resident size without the memory in use: stacks, and memory that cannot be given back.
    apart: Option<u64>,
    /// The resident size and the memory in use after the last trim.
    trimmed: Option<(u64, u64)>,
}

#[cfg(any(test, all(target_os = "linux", target_env = "gnu")))]
impl Watch {
    /// Looks at the resident size. `used` returns the memory in use. `trim` gives memory back, and returns the new
    /// resident size.
    fn look(&mut self, resident: u64, used: impl FnOnce() -> u64, trim: impl FnOnce() -> Option<u64>) {
        let lowest = *self.lowest.insert(self.lowest.map_or(resident, |lowest| lowest.min(resident)));
        let worth = (lowest / 10).max(LITTLE);
        if self.apart.is_some() && resident <= lowest + worth {
            return;
        }
        let used = used();
        let apart = resident.saturating_sub(used);
        let apart = *self.apart.insert(self.apart.map_or(apart, |least| least.min(apart)));
        if resident.saturating_sub(used + apart) <= worth {
            return;
        }
        // a further trim gives back no more than the last one, unless more memory has become free since
        let same = |(then, in_use): (u64, u64)| resident <= then + worth && used.abs_diff(in_use) <= worth;
        if self.trimmed.is_some_and(same) {
            return;
        }
        let after = trim().unwrap_or(resident);
        self.trimmed = Some((after, used));
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    pub(super) fn set(knob: libc::c_int, value: libc::c_int) {
        // SAFETY: mallopt takes two numbers and changes only the allocator's own settings.
        if unsafe { libc::mallopt(knob, value) } == 0 {
            log::debug!(target: "chinwag::node", "the allocator refuses to set {knob} to {value}");
        }
    }

    /// The resident memory that is not mapped from files: heap, stacks, and data that was written to.
    pub(super) fn resident() -> Option<u64> {
        let figures = std::fs::read_to_string("/proc/self/statm").ok()?;
        let mut figures = figures.split(' ').skip(1).map_while(|pages| pages.parse::<u64>().ok());
        let (all, of_files) = (figures.next()?, figures.next()?);
        Some(all.saturating_sub(of_files) * page())
    }

    /// The size of a page of memory, a power of two.
    fn page() -> u64 {
        // SAFETY: sysconf takes a number and returns one.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        u64::try_from(page).unwrap_or(4_096)
    }

    /// The memory that the allocator's users hold.
    pub(super) fn used() -> u64 {
        // SAFETY: mallinfo2 takes no argument, uses only the allocator's own locks, and returns its counts by value.
        let info = unsafe { libc::mallinfo2() };
        info.uordblks.saturating_add(info.hblkhd) as u64
    }

    /// Unmaps the executable text of the program and its libraries. The kernel maps again what is called next.
    pub(super) fn unmap_text() {
        // SAFETY: the callback has the required signature, keeps nothing and does not unwind.
        unsafe { libc::dl_iterate_phdr(Some(unmap_text_of), std::ptr::null_mut()) };
    }

    unsafe extern "C" fn unmap_text_of(
        object: *mut libc::dl_phdr_info,
        _: libc::size_t,
        _: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the loader passes a valid description of a loaded object, with as many headers as it says.
        let (base, headers) = unsafe {
            let object = &*object;
            (object.dlpi_addr, std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)))
        };
        let is_text = |flags: u32| flags & libc::PF_X != 0 && flags & libc::PF_W == 0;
        for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD && is_text(header.p_flags)) {
            let (start, end) = (base + header.p_vaddr, base + header.p_vaddr + header.p_memsz);
            let start = start & !(page() - 1);
            // SAFETY: these pages hold text that is mapped from a file and never written to, so each can be read again.
            // A mapping that cannot be unmapped stays, and nothing is lost.
            let _ = unsafe { libc::madvise(start as *mut libc::c_void, (end - start) as usize, libc::MADV_DONTNEED) };
        }
        0
    }

    /// Gives back all whole pages that are free.
    pub(super) fn trim() {
        // SAFETY: malloc_trim takes a number and touches only memory that is free.
        unsafe { libc::malloc_trim(0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    /// Makes a look with these figures. Returns whether it asked the allocator, and whether it trimmed down to `after`.
    fn look(watch: &mut Watch, resident: u64, used: u64, after: u64) -> (bool, bool) {
        let (mut asked, mut trimmed) = (false, false);
        let used = || {
            asked = true;
            used
        };
        watch.look(resident, used, || {
            trimmed = true;
            Some(after)
        });
        (asked, trimmed)
    }

    #[test]
    fn memory_is_trimmed_once_after_a_peak_and_not_at_rest() {
        let mut watch = Watch::default();
        assert_eq!(look(&mut watch, 8 * MB, 2 * MB, 0), (true, false));
        // at rest, the allocator is not asked
        assert_eq!(look(&mut watch, 8 * MB, 2 * MB, 0), (false, false));
        assert_eq!(look(&mut watch, 8 * MB + 500_000, 2 * MB, 0), (false, false));
        // during the peak nearly all memory is in use, and after it nearly none
        assert_eq!(look(&mut watch, 50 * MB, 44 * MB, 0), (true, false));
        assert_eq!(look(&mut watch, 50 * MB, 3 * MB, 10 * MB), (true, true));
        // fragments remain, and are not trimmed again
        assert_eq!(look(&mut watch, 10 * MB, 3 * MB, 10 * MB), (true, false));
        // the next peak ends with as much resident memory as a trim in its middle left
        assert_eq!(look(&mut watch, 60 * MB, 30 * MB, 36 * MB), (true, true));
        assert_eq!(look(&mut watch, 36 * MB, 30 * MB, 36 * MB), (true, false));
        assert_eq!(look(&mut watch, 36 * MB, 3 * MB, 9 * MB), (true, true));
    }

    #[test]
    fn memory_in_use_is_not_trimmed() {
        let mut watch = Watch::default();
        look(&mut watch, 8 * MB, 2 * MB, 0);
        for used in 3..100 {
            assert!(!look(&mut watch, (6 + used) * MB, used * MB, 0).1, "{used}");
        }
    }
}
