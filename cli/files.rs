//! The limit on open files and connections.

/// Raises the limit as far as the system allows, because a node keeps a connection to each of many peers.
pub(crate) fn raise_file_limit() {
    #[cfg(unix)]
    if let Err(why) = rlimit::increase_nofile_limit(u64::MAX) {
        log::debug!(target: "chinwag::node", "cannot raise the limit on open files: {why}");
    }
}
