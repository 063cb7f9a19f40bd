//! Process 1, whose duty it is to reap: in a container, this program often has no other process above it.
//!
//! ```text
//! process 1   forks, before there are threads; passes signals on to its child; reaps every process that ends,
//!             its own child or an orphan that the kernel gave it; ends when its child has ended
//! its child   is the program
//! ```
//!
//! The two are separate because a runtime waits for its own children one by one: a `wait` for any child in the same
//! process would take their ends from it.

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

/// In process 1, returns when the program has ended, with its exit code. Otherwise, and in the program itself, returns
/// None at once. To be called before there are threads.
pub(super) fn reap() -> Option<ExitCode> {
    if std::process::id() != 1 {
        return None;
    }
    let mut before = SigSet::empty();
    // nothing is lost between the fork and the first wait
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before)).ok()?;
    // SAFETY: there is one thread, so the child has all locks and may go on like any program.
    match unsafe { fork() } {
        Ok(ForkResult::Parent { child }) => Some(wait_for(child)),
        // without a second process, better a node that does not reap than none
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
                // the program may have ended just now
                let _ = kill(program, signal);
            }
            // a signal that has no name here
            Err(_) => {}
        }
    }
}

/// Reaps all processes that have ended. Answers the exit code of the program, if it is among them.
fn reap_all(program: Pid) -> Option<ExitCode> {
    let mut ended = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == program => {
                ended = Some(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)));
            }
            // what a shell makes of a death by a signal: process 1 cannot die by one that it sends itself
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == program => {
                ended = Some(ExitCode::from(128 + u8::try_from(signal as i32).unwrap_or(127)));
            }
            Ok(WaitStatus::StillAlive) => return ended,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return ended.or(Some(ExitCode::FAILURE)),
        }
    }
}
