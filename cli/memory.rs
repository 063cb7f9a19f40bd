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

/// Gives back to the system, after a peak, what the allocator keeps although nothing uses it. Never returns, unless the
/// platform does not say how much memory the program has.
///
/// glibc keeps free memory below a block that is in use. In a node such a block is always there: a connection, a task.
/// Once in a while the resident size is read, which takes some 10 µs. Only a node that has more than it once had asks
/// the allocator for its figures, and only one with much free memory has it trimmed.
///
/// What is resident of the program's own text is for the most part what its start needed: with each page that is touched, the
/// kernel maps those around it. A few times after the start, ever more rarely, and after each peak, the text is unmapped, and
/// only what is used from then on comes back, from the kernel's cache.
pub(super) async fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let mut watch = Watch::default();
        // the first look is at once, before there can have been a peak
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

/// How often. Memory goes back within twice this time: a look in the midst of a peak does not count.
#[cfg(any(test, all(target_os = "linux", target_env = "gnu")))]
const LOOK: std::time::Duration = std::time::Duration::from_secs(4);

/// After so many looks, a minute, a node has started and joined others, and the text that it uses is what it goes
/// on using. A guess.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const STARTING: u64 = 16;

/// What free memory is not worth giving back, in bytes, however little the program has.
#[cfg(any(test, all(target_os = "linux", target_env = "gnu")))]
const LITTLE: u64 = 256 << 10;

/// Decides when to trim. All figures are in bytes.
#[cfg(any(test, all(target_os = "linux", target_env = "gnu")))]
#[derive(Debug, Default)]
struct Watch {
    /// The smallest resident size seen; none at first.
    lowest: Option<u64>,
    /// The least that was resident beside what the allocator's users have: stacks, and what cannot be given back.
    apart: Option<u64>,
    /// What was resident and in use after the last trim.
    trimmed: Option<(u64, u64)>,
}

#[cfg(any(test, all(target_os = "linux", target_env = "gnu")))]
impl Watch {
    /// Takes a look at the resident size. `used` answers what is in use, `trim` gives back what it can and answers what
    /// is resident then.
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
        // what the last trim could not give back, this one cannot either, unless more has become free since
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
        // SAFETY: mallopt takes two numbers and touches only the allocator's own settings.
        if unsafe { libc::mallopt(knob, value) } == 0 {
            log::debug!(target: "chinwag::node", "the allocator refuses to set {knob} to {value}");
        }
    }

    /// What is resident of this process beside what is mapped from files: heap, stacks, and data that was written to.
    pub(super) fn resident() -> Option<u64> {
        let figures = std::fs::read_to_string("/proc/self/statm").ok()?;
        let mut figures = figures.split(' ').skip(1).map_while(|pages| pages.parse::<u64>().ok());
        let (all, of_files) = (figures.next()?, figures.next()?);
        Some(all.saturating_sub(of_files) * page())
    }

    /// How many bytes a page of memory has: a power of two.
    fn page() -> u64 {
        // SAFETY: sysconf takes a number and answers one.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        u64::try_from(page).unwrap_or(4_096)
    }

    /// What the allocator's users have.
    pub(super) fn used() -> u64 {
        // SAFETY: mallinfo2 takes no argument, touches only the allocator's own locks, and returns its counts by value.
        let info = unsafe { libc::mallinfo2() };
        info.uordblks.saturating_add(info.hblkhd) as u64
    }

    /// Unmaps the executable text of the program and its libraries. Whatever is called next is mapped again.
    pub(super) fn unmap_text() {
        // SAFETY: the callback has the signature that is asked for, keeps nothing and does not unwind.
        unsafe { libc::dl_iterate_phdr(Some(unmap_text_of), std::ptr::null_mut()) };
    }

    unsafe extern "C" fn unmap_text_of(
        object: *mut libc::dl_phdr_info,
        _: libc::size_t,
        _: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the loader hands out a valid description of a loaded object, with as many headers as it says.
        let (base, headers) = unsafe {
            let object = &*object;
            (object.dlpi_addr, std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)))
        };
        let is_text = |flags: u32| flags & libc::PF_X != 0 && flags & libc::PF_W == 0;
        for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD && is_text(header.p_flags)) {
            let (start, end) = (base + header.p_vaddr, base + header.p_vaddr + header.p_memsz);
            let start = start & !(page() - 1);
            // SAFETY: these pages hold text that is mapped from a file and is never written to, so each comes back as it was.
            // A mapping that cannot be unmapped so stays, and nothing is lost by it.
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

    /// Looks at so much resident and used; answers whether it had the allocator asked, and trimmed down to `after`.
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
        // at rest nobody is asked
        assert_eq!(look(&mut watch, 8 * MB, 2 * MB, 0), (false, false));
        assert_eq!(look(&mut watch, 8 * MB + 500_000, 2 * MB, 0), (false, false));
        // in the peak nearly all is in use, after it nearly nothing
        assert_eq!(look(&mut watch, 50 * MB, 44 * MB, 0), (true, false));
        assert_eq!(look(&mut watch, 50 * MB, 3 * MB, 10 * MB), (true, true));
        // fragments remain, and are not tried again
        assert_eq!(look(&mut watch, 10 * MB, 3 * MB, 10 * MB), (true, false));
        // the next peak ends with as much resident as was trimmed in its midst
        assert_eq!(look(&mut watch, 60 * MB, 30 * MB, 36 * MB), (true, true));
        assert_eq!(look(&mut watch, 36 * MB, 30 * MB, 36 * MB), (true, false));
        assert_eq!(look(&mut watch, 36 * MB, 3 * MB, 9 * MB), (true, true));
    }

    #[test]
    fn memory_that_is_used_is_not_trimmed() {
        let mut watch = Watch::default();
        look(&mut watch, 8 * MB, 2 * MB, 0);
        for used in 3..100 {
            assert!(!look(&mut watch, (6 + used) * MB, used * MB, 0).1, "{used}");
        }
    }
}
