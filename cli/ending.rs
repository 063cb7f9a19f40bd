//! How this program ends: with an exit code, or by the signal that asked it to end.
//!
//! After a signal the program leaves its groups, and then dies by that signal, so that its parent can see the cause: a
//! shell stops a loop at Ctrl-C only if the program died by the signal.

use std::{io::Write as _, process::ExitCode};

/// How a command ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// With an exit code.
    With(ExitCode),
    /// Because of this signal.
    By(Cause),
}

impl From<ExitCode> for Ended {
    fn from(code: ExitCode) -> Ended {
        Ended::With(code)
    }
}

impl Ended {
    /// Returns the exit code, or dies by the signal.
    pub(super) fn finish(self) -> ExitCode {
        match self {
            Ended::With(code) => code,
            Ended::By(cause) => cause.die(),
        }
    }
}

/// A signal that asks a program to end.
#[cfg(unix)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Cause(nix::sys::signal::Signal);

#[cfg(unix)]
impl Cause {
    /// Whether it is Ctrl-C.
    pub(super) fn is_interrupt(self) -> bool {
        self.0 == nix::sys::signal::Signal::SIGINT
    }

    /// Dies by the signal.
    fn die(self) -> ExitCode {
        use nix::sys::signal::{SigHandler, raise, signal};
        // SAFETY: the default handler runs no code of this program.
        let reset = unsafe { signal(self.0, SigHandler::SigDfl) };
        // raise returns if the signal is blocked, or if this is process 1
        let raised = reset.and_then(|_| raise(self.0));
        if let Err(why) = raised {
            log::debug!(target: "chinwag::node", "cannot die by {}: {why}", self.0);
        }
        // the exit code with which a shell reports a death by a signal
        ExitCode::from(128_u8.saturating_add(u8::try_from(self.0 as i32).unwrap_or(u8::MAX)))
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
#[derive(Clone, Copy, Debug)]
pub(super) struct Cause;

#[cfg(not(unix))]
impl Cause {
    /// Whether it is Ctrl-C.
    pub(super) fn is_interrupt(self) -> bool {
        true
    }

    fn die(self) -> ExitCode {
        ExitCode::SUCCESS
    }
}

/// Receives requests to end the program: Ctrl-C, SIGTERM, and the end of its terminal (SIGHUP). Once it exists, none of
/// these ends the program directly.
pub(super) struct Ending {
    #[cfg(unix)]
    signals: Vec<(nix::sys::signal::Signal, tokio::signal::unix::Signal)>,
}

#[cfg(unix)]
impl Ending {
    pub(super) fn listen() -> Ending {
        use nix::sys::signal::Signal;
        let mut signals = Vec::new();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            // nohup starts a program with SIGHUP ignored, so that it survives its terminal
            if signal == Signal::SIGHUP && is_ignored(signal) {
                continue;
            }
            match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::from_raw(signal as i32)) {
                Ok(heard) => signals.push((signal, heard)),
                Err(why) => log::warn!(target: "chinwag::node", "{signal} ends this program at once: {why}"),
            }
        }
        Ending { signals }
    }

    /// Waits for a signal.
    pub(super) async fn wanted(&mut self) -> Cause {
        std::future::poll_fn(|context| {
            for (signal, heard) in &mut self.signals {
                if heard.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(Cause(*signal));
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// Does something that installs a handler of Ctrl-C of its own, and puts back the handler of this program.
pub(super) fn keeping_interrupts<T>(install: impl FnOnce() -> T) -> T {
    #[cfg(unix)]
    {
        use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
        let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
        // SAFETY: ignoring a signal runs no code of this program
        let before = unsafe { sigaction(Signal::SIGINT, &ignore) };
        let value = install();
        if let Ok(before) = before {
            // SAFETY: this handler was installed before; if it fails, Ctrl-C is a key and ends nothing that runs
            let _ = unsafe { sigaction(Signal::SIGINT, &before) };
        }
        value
    }
    #[cfg(not(unix))]
    install()
}

/// Whether this program was started with a signal ignored.
#[cfg(unix)]
fn is_ignored(which: nix::sys::signal::Signal) -> bool {
    use nix::sys::signal::{SigHandler, signal};
    // SAFETY: neither ignoring a signal nor restoring its handler runs code of this program.
    match unsafe { signal(which, SigHandler::SigIgn) } {
        Ok(SigHandler::SigIgn) => true,
        Ok(before) => {
            // SAFETY: as above; if it fails, the signal stays ignored until tokio sets its handler
            let _ = unsafe { signal(which, before) };
            false
        }
        Err(_) => false,
    }
}

#[cfg(not(unix))]
impl Ending {
    pub(super) fn listen() -> Ending {
        Ending {}
    }

    /// Waits for Ctrl-C.
    pub(super) async fn wanted(&mut self) -> Cause {
        // without a handler, Ctrl-C ends the program directly
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Cause
    }
}

/// Prints one line on stderr, and returns the exit code of a failure.
pub(crate) fn fail(why: &dyn std::fmt::Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {why}");
    ExitCode::FAILURE
}
