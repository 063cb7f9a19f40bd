//! Process 1 of a container, which must reap orphans. This program is often the first process in its container.
//!
//! ```text
//! process 1   forks before there are threads; forwards signals to its child; reaps every process that ends,
//!             its own child or an orphan that the kernel gave it; ends when its child has ended
//! its child   is the program
//! ```
//!
//! The two are separate because a runtime waits for each of its own children: a `wait` for any child in the same
//! process would take their exit statuses.

#![cfg(unix)]

use std::process::ExitCode;

use nix::{
    errno::Errno,
    sys::{
        signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork},
};

/// In process 1, returns the exit code of the program when it has ended. In the program itself, and if this is not
/// process 1, returns `None` at once. Call it before there are threads.
pub(super) fn reap() -> Option<ExitCode> {
    if std::process::id() != 1 {
        return None;
    }
    let mut before = SigSet::empty();
    // no signal is lost between the fork and the first wait
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before)).ok()?;
    // SAFETY: there is one thread, so the child holds all locks and can continue like any program.
    match unsafe { fork() } {
        Ok(ForkResult::Parent { child }) => Some(wait_for(child)),
        // if there is no second process, a node that does not reap is better than none
        Ok(ForkResult::Child) | Err(_) => {
            let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
            None
        }
    }
}

fn wait_for(program: Pid) -> ExitCode {
    let signals = SigSet::all();
    loop {
        match signals.wait() {
            Ok(Signal::SIGCHLD) => {
                if let Some(code) = reap_all(program) {
                    return code;
                }
            }
            Ok(signal) => {
                // the program may have just ended
                let _ = kill(program, signal);
            }
            // nix has no name for this signal
            Err(_) => {}
        }
    }
}

/// Reaps all processes that have ended. Returns the exit code of the program if it is among them.
fn reap_all(program: Pid) -> Option<ExitCode> {
    let mut ended = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == program => {
                ended = Some(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)));
            }
            // The exit code with which a shell reports a death by a signal, because process 1 cannot die by a signal
            // that it sends itself.
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == program => {
                ended = Some(ExitCode::from(128 + u8::try_from(signal as i32).unwrap_or(127)));
            }
            Ok(WaitStatus::StillAlive) => return ended,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return ended.or(Some(ExitCode::FAILURE)),
        }
    }
}
