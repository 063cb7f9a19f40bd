//! How a node runs shipped functions, and the limits that they have.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

/// The level of a line that shipped code prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConsoleLevel {
    /// `console.debug`.
    Debug,
    /// `console.log`, `console.info` and `console.dir`.
    Info,
    /// `console.warn`.
    Warn,
    /// `console.error`, `console.trace` and a failed `console.assert`.
    Error,
}

/// Receives each line that shipped code prints, with its level.
pub type Console = Arc<dyn Fn(ConsoleLevel, &str) + Send + Sync>;

/// How a node runs shipped functions, and the limits that they have.
///
/// They can be serialized without `console`, to which settings that are read give its default.
#[derive(Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScriptSettings {
    /// Whether this node runs shipped functions at all. Default: true if the feature `scripts` is enabled.
    pub enabled: bool,
    /// The processor time of one call, including its timers and callbacks. Default 1 s. Code that continues after the
    /// answer may use this much once more, plus a tenth of the time that passes.
    pub processor_time: Duration,
    /// The processor time of one turn of code while another caller waits. A turn ends when the code returns, awaits or
    /// has nothing left to do. Default 100 ms, a guess: long for a callback, and short for who waits.
    pub turn: Duration,
    /// What code may take beyond `processor_time` in a built-in function that does not check its limits. After that its
    /// engine is ended and replaced. While another caller waits, it is a tenth of this beyond `turn`. Default 500 ms, a
    /// guess: a garbage collection of a full heap takes a tenth of that.
    pub grace: Duration,
    /// The memory of all shipped code of the node together, in bytes. Default 64 MiB. A single allocation fails only if
    /// it exceeds this by more than a quarter.
    pub memory: usize,
    /// The stack of a call, in bytes. Default 256 KiB, which is about 1,000 frames.
    pub stack: usize,
    /// The most timers that are set at the same time. Default 4,096.
    pub timers: usize,
    /// The most calls that shipped code waits for at the same time. Default 4,096.
    pub pending_calls: usize,
    /// The most functions that code can register with `createRPC`. Default 16,384. The node has a separate limit for
    /// all callbacks.
    pub callbacks: usize,
    /// The length of a printed line, in bytes. Longer lines are cut off. Default 8 KiB.
    pub line: usize,
    /// The most values in one argument or answer. Each element, key and segment of a reference counts. Default 250,000.
    pub values: usize,
    /// The most bytes of text in one argument or answer. Default 8 MiB, which is also the limit of a message.
    pub bytes: usize,
    /// The number of abandoned engines at which the node refuses shipped calls, until one of them ends. Default 2,
    /// because each occupies a thread, a processor and its memory. Engines in processes of their own are killed instead.
    pub stuck_engines: usize,
    /// Gives the code of each service a global object of its own. Functions that are shipped alone share one. Default:
    /// no, as code of the course's examples shares `globalThis`.
    pub realm_per_service: bool,
    /// Runs the engine on the thread of the node, and limits a call by this many interrupts instead of processor time.
    /// An interrupt happens about every 10,000 steps. The simulator needs this, because another thread would not share
    /// its virtual time. Default: none.
    pub inline: Option<u64>,
    /// Receives printed lines. Default: logs them with the target `chinwag::scripts`.
    #[serde(skip, default = "logging")]
    pub console: Console,
}

impl Default for ScriptSettings {
    fn default() -> ScriptSettings {
        ScriptSettings {
            enabled: cfg!(feature = "scripts"),
            processor_time: Duration::from_secs(1),
            turn: Duration::from_millis(100),
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
            realm_per_service: false,
            inline: None,
            console: logging(),
        }
    }
}

/// A console that logs.
fn logging() -> Console {
    Arc::new(|level, line| {
        let level = match level {
            ConsoleLevel::Debug => log::Level::Debug,
            ConsoleLevel::Info => log::Level::Info,
            ConsoleLevel::Warn => log::Level::Warn,
            ConsoleLevel::Error => log::Level::Error,
        };
        log::log!(target: "chinwag::scripts", level, "{line}");
    })
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

/// Two settings are equal if their limits are equal and they share one console.
impl PartialEq for ScriptSettings {
    fn eq(&self, other: &ScriptSettings) -> bool {
        let limits = |s: &ScriptSettings| {
            let times = (s.enabled, s.processor_time, s.turn, s.grace, s.inline, s.stuck_engines, s.realm_per_service);
            (times, s.memory, s.stack, s.timers, s.pending_calls, s.callbacks, s.line, s.values, s.bytes)
        };
        limits(self) == limits(other) && Arc::ptr_eq(&self.console, &other.console)
    }
}

impl Eq for ScriptSettings {}
