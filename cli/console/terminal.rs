//! The settings of the terminal, which the line editor changes.

#[cfg(unix)]
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

/// The settings of the terminal. They are restored at the end, because the program may end while the editor waits for a key.
pub(super) struct Terminal {
    #[cfg(unix)]
    settings: Option<Termios>,
}

impl Terminal {
    pub(super) fn remember(by_hand: bool) -> Terminal {
        #[cfg(not(unix))]
        let _ = by_hand;
        Terminal {
            #[cfg(unix)]
            settings: by_hand.then(|| tcgetattr(std::io::stdin()).ok()).flatten(),
        }
    }
}

#[cfg(unix)]
impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(settings) = &self.settings {
            // a terminal that is gone needs no settings
            let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, settings);
        }
    }
}

/// Waits for something while the editor has the terminal. Meanwhile, Ctrl-C is a signal instead of a key.
pub(super) fn with_signals<T>(wait: impl FnOnce() -> T) -> T {
    #[cfg(unix)]
    if let Ok(settings) = tcgetattr(std::io::stdin()) {
        let mut with_signals = settings.clone();
        with_signals.local_flags |= LocalFlags::ISIG;
        // a terminal that is gone sends nothing
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, &with_signals);
        let value = wait();
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, &settings);
        return value;
    }
    wait()
}
