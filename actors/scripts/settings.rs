//! The bounds within which shipped code runs.

use std::{fmt, sync::Arc, time::Duration};

/// Where a line that shipped code printed goes, and how urgent it is.
pub type Console = Arc<dyn Fn(log::Level, &str) + Send + Sync>;

/// How shipped functions are run, and what each of them may cost.
#[derive(Clone)]
#[non_exhaustive]
pub struct ScriptSettings {
    /// Whether this node runs code from elsewhere at all. Default: yes, where the engine is built in.
    pub enabled: bool,
    /// Processor time of one call, with all that it has others call back. Default 1 s. What goes on after the answer
    /// (timers, callbacks) may take as much again at once, and a tenth of the time in the long run.
    pub processor_time: Duration,
    /// How long past that an engine may go without a sign of life, in time on the wall, before it is given up and
    /// replaced. Default 500 ms, a guess: a garbage collection of a full heap takes a tenth of that.
    pub grace: Duration,
    /// Memory of all shipped code of the node together, in bytes. Default 64 MiB. A single allocation may exceed it by
    /// a quarter before it is refused.
    pub memory: usize,
    /// Stack of a call, in bytes. Default 256 KiB, some 1,000 frames.
    pub stack: usize,
    /// Timers that are set at the same time. Default 4,096.
    pub timers: usize,
    /// Calls that shipped code has under way. Default 4,096.
    pub pending_calls: usize,
    /// Functions that `createRPC` keeps. Default 16,384; the node has a bound of its own over all callbacks.
    pub callbacks: usize,
    /// Length of a line that is printed, in bytes; the rest is cut off. Default 8 KiB.
    pub line: usize,
    /// Values in one argument or answer, each element, key and step of a reference counted. Default 250,000.
    pub values: usize,
    /// Bytes of text in one argument or answer. Default 8 MiB, as a message's.
    pub bytes: usize,
    /// Engines that did not return and have been given up, beyond which shipped calls are refused until one of them
    /// ends. Default 2: each holds a thread, a processor and its memory.
    pub stuck_engines: usize,
    /// Runs the engine on the node's own thread, and bounds a call by this many interrupts instead of by time (the
    /// engine counts one about every 10,000 steps). For the simulator, whose time a thread would not share.
    pub inline: Option<u64>,
    /// What becomes of printed lines. Default: a log line of `chinwag::scripts`.
    pub console: Console,
}

impl Default for ScriptSettings {
    fn default() -> ScriptSettings {
        ScriptSettings {
            enabled: cfg!(feature = "scripts"),
            processor_time: Duration::from_secs(1),
            grace: Duration::from_millis(500),
            memory: 64 << 20,
            stack: 256 << 10,
            timers: 4_096,
            pending_calls: 4_096,
            callbacks: 16_384,
            line: 8 << 10,
            values: 250_000,
            bytes: 8 << 20,
            stuck_engines: 2,
            inline: None,
            console: Arc::new(|level, line| log::log!(target: "chinwag::scripts", level, "{line}")),
        }
    }
}

impl fmt::Debug for ScriptSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptSettings")
            .field("enabled", &self.enabled)
            .field("processor_time", &self.processor_time)
            .field("memory", &self.memory)
            .field("stack", &self.stack)
            .field("timers", &self.timers)
            .field("pending_calls", &self.pending_calls)
            .field("inline", &self.inline)
            .finish_non_exhaustive()
    }
}

/// The same bounds and the same console.
impl PartialEq for ScriptSettings {
    fn eq(&self, other: &ScriptSettings) -> bool {
        let bounds = |settings: &ScriptSettings| {
            let s = settings;
            let times = (s.enabled, s.processor_time, s.grace, s.inline, s.stuck_engines);
            (times, s.memory, s.stack, s.timers, s.pending_calls, s.callbacks, s.line, s.values, s.bytes)
        };
        bounds(self) == bounds(other) && Arc::ptr_eq(&self.console, &other.console)
    }
}

impl Eq for ScriptSettings {}
