//! How many files and connections the program may have open.

/// Many peers mean many connections: as many files as the system allows.
pub(crate) fn raise_file_limit() {
    #[cfg(unix)]
    if let Err(why) = rlimit::increase_nofile_limit(u64::MAX) {
        log::debug!(target: "chinwag::node", "the limit on open files stays: {why}");
    }
}
