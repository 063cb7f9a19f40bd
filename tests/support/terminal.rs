//! A terminal in which a test runs the program, as a person does.

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::support::{PATIENCE, process::PROGRAM};

/// The size of the terminal.
const SIZE: (u16, u16) = (40, 100);

/// The program in a terminal of its own, killed when dropped.
pub struct Terminal {
    /// The process.
    pub child: Child,
    keys: File,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Starts the program with these arguments.
    pub fn open(arguments: &[&str]) -> Terminal {
        let size = nix::pty::Winsize { ws_row: SIZE.0, ws_col: SIZE.1, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = nix::pty::openpty(Some(&size), None).expect("a terminal");
        let program_side = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        let state = std::env::temp_dir().join(format!("chinwag-state-{}", std::process::id()));
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env("TERM", "xterm").env("XDG_STATE_HOME", state);
        command.stdin(program_side()).stdout(program_side()).stderr(program_side());
        // SAFETY: both calls are allowed between fork and exec
        unsafe {
            command.pre_exec(|| {
                // the terminal sends signals to the session that it belongs to
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().expect("the program runs");
        let keys = File::from(pty.master);
        let mut shown = keys.try_clone().expect("a descriptor");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(SIZE.0, SIZE.1, 1_000)));
        let shared = screen.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // reading fails once the program has ended
            while let Ok(length @ 1..) = shown.read(&mut bytes) {
                shared.lock().expect("nobody panics").process(&bytes[..length]);
            }
        });
        Terminal { child, keys, screen }
    }

    /// Presses these keys, all in one write. Enter is `\r`.
    pub fn presses(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal is open");
    }

    /// The lines of the screen that are not empty.
    pub fn lines(&self) -> Vec<String> {
        let screen = self.screen.lock().expect("nobody panics").screen().contents();
        screen.lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
    }

    /// The column of the cursor.
    pub fn cursor(&self) -> u16 {
        self.screen.lock().expect("nobody panics").screen().cursor_position().1
    }

    /// Waits until the screen shows this.
    pub fn shows(&self, what: &str, condition: impl Fn(&[String]) -> bool) {
        let began = Instant::now();
        while !condition(&self.lines()) {
            assert!(began.elapsed() < PATIENCE, "{what} was never shown: {:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until a line of the screen is this text.
    pub fn shows_line(&self, text: &str) {
        self.shows(text, |lines| lines.iter().any(|line| line == text));
    }

    /// Waits until the prompt waits for a line, which is empty.
    pub fn is_ready(&self) {
        self.shows("an empty line", |lines| lines.last().is_some_and(|line| line.ends_with('>')));
    }

    /// Waits until the program has ended.
    pub fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the program is a child of this one") {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the program does not end: {:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
