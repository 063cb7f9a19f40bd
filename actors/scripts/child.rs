//! The process of an engine: reads messages from one pipe, and writes the engine's messages to another.
//!
//! ```text
//! reader     pipe -> mailbox; ends the process when the node closes the pipe, whatever the engine does
//! main       mailbox -> engine -> pipe
//! watchdog   ends the process when code does not return
//! ```

use std::{
    io::{self, Read, Write},
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use super::{
    clock::{WallClock, nanoseconds, processor_time_of_process},
    directory::Directory,
    engine_config::EngineConfig,
    frames,
    mailbox::{drive, mailbox},
    messages::{Output, Start},
    meter::turn_exceeded,
    settings::ScriptSettings,
    turn::Turn,
};
use crate::clock::Clock;

/// How often the watchdog looks at the engine, and an answer is sent while its code continues.
const TICK: Duration = Duration::from_millis(10);

/// After how many ticks without code the watchdog sleeps until code runs again.
const IDLE_TICKS: u32 = 20;

/// The stack of the thread that reads messages. Reading a deep value takes about 8 KiB for each level without
/// optimization.
const READER_STACK: usize = 4 << 20;

/// Runs an engine until `input` ends. A node has started this process for it, and wrote to `input` what it needs.
///
/// # Errors
/// If the node did not write that, or does not read `output`.
pub fn run_engine(mut input: impl Read + Send + 'static, output: impl Write + Send + 'static) -> io::Result<()> {
    let mut buffer = Vec::new();
    // this process has no other logger; an error would mean that it has
    if log::set_logger(&Errors).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
    let Some(start) = frames::next::<Start>(&mut input, &mut buffer)? else { return Ok(()) };
    let output = Arc::new(Mutex::new(Buffered { output, buffer: Vec::new() }));
    let for_console = output.clone();
    let settings = ScriptSettings {
        console: Arc::new(move |level, line| {
            emit(&for_console, &Output::Print { level, line: line.to_owned() });
        }),
        ..start.settings.clone()
    };
    let turn = Arc::new(Turn::default());
    let config = EngineConfig {
        me: start.node().map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why.message))?,
        settings: settings.clone(),
        directory: Directory::new(true),
        seed: start.seed,
        after: start.after,
        clock: WallClock::new(Clock::default(), 0),
        turn: turn.clone(),
    };
    let (mailbox, inputs) = mailbox(turn.clone());
    thread::Builder::new().name("reader".to_owned()).stack_size(READER_STACK).spawn(move || {
        loop {
            match frames::next(&mut input, &mut buffer) {
                Ok(Some(input)) => mailbox.post(input),
                Ok(None) => end(0),
                Err(_) => end(1),
            }
        }
    })?;
    let for_watchdog = output.clone();
    let for_turn = turn.clone();
    let watchdog = thread::Builder::new().name("watchdog".to_owned()).stack_size(64 << 10).spawn(move || {
        watch(&for_turn, &settings, &for_watchdog);
    })?;
    turn.set_watchdog(watchdog.thread().clone());
    drive(inputs, config, Rc::new(move |message| emit(&output, &message)));
    Ok(())
}

/// Writes what the engine logs, which is little, to standard error, which is that of the node.
struct Errors;

impl log::Log for Errors {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            // nobody reads this if standard error is closed
            let _ = writeln!(io::stderr(), "script engine: {}", record.args());
        }
    }

    fn flush(&self) {}
}

/// A pipe, and what has not been written to it.
struct Buffered<W> {
    output: W,
    buffer: Vec<u8>,
}

impl<W: Write> Buffered<W> {
    fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        // without its node, the engine has nothing to do
        if self.output.write_all(&self.buffer).and_then(|()| self.output.flush()).is_err() {
            end(1);
        }
        self.buffer.clear();
        self.buffer.shrink_to(1 << 16);
    }
}

/// Writes a message. An answer waits for the end of the turn, which usually follows at once, or for the next tick.
fn emit<W: Write>(output: &Mutex<Buffered<W>>, message: &Output) {
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    if frames::write(message, &mut output.buffer).is_err() {
        // the limits of the engine keep every message far below the longest frame
        end(1);
    }
    if !matches!(message, Output::Answer { .. }) {
        output.flush();
    }
}

/// Ends the process when code uses more processor time than it may and does not return.
fn watch<W: Write>(turn: &Turn, settings: &ScriptSettings, output: &Mutex<Buffered<W>>) {
    let (grace, short) = (nanoseconds(settings.grace), nanoseconds(settings.turn));
    let (mut seen, mut began, mut idle) = (0, 0, 0);
    // what the turn had used when it was interrupted
    let mut interrupted_at = None;
    loop {
        match turn.running() {
            None => {
                idle += 1;
                if idle > IDLE_TICKS {
                    idle = 0;
                    turn.sleep_until_running();
                }
            }
            Some(running) if running.number != seen => {
                interrupted_at = None;
                (seen, began, idle) = (running.number, processor_time_of_process(), 0)
            }
            Some(running) => {
                let used = processor_time_of_process().saturating_sub(began);
                let awaited = turn.is_awaited() && short < running.allowance;
                // who interrupts code waits no longer than another caller
                if turn.is_interrupted() {
                    interrupted_at.get_or_insert(used);
                }
                let limit = if let Some(at) = interrupted_at {
                    at + grace / 10
                } else if awaited {
                    short + grace / 10
                } else {
                    running.allowance.saturating_add(grace)
                };
                if used > limit {
                    let why = if awaited {
                        turn_exceeded(settings)
                    } else {
                        format!(
                            "the function exceeded its limit of {:?} of processor time in a built-in function",
                            settings.processor_time
                        )
                    };
                    emit(output, &Output::Stuck { culprit: running.task, why });
                    end(2);
                }
            }
        }
        if let Ok(mut output) = output.try_lock() {
            output.flush();
        }
        thread::sleep(TICK);
    }
}

/// Ends the process at once. The engine's thread may be in the middle of anything.
fn end(code: i32) -> ! {
    #[cfg(unix)]
    // SAFETY: ending the process needs nothing of it
    unsafe {
        libc::_exit(code)
    }
    #[cfg(not(unix))]
    std::process::exit(code)
}
