//! Measures what running code uses, and decides when the engine interrupts it.

use std::{cell::Cell, rc::Rc, sync::Arc};

use chinwag_protocol::call::CallError;

use super::{
    clock::processor_time,
    engine_config::EngineConfig,
    errors::{interrupted, limit_exceeded},
    heartbeat::Heartbeat,
    memory::Memory,
    settings::ScriptSettings,
    task::Task,
};

/// Why the engine interrupted code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    /// The task used up its processor time, or its interrupts.
    Time,
    /// All shipped code together holds too much memory.
    Memory,
    /// The node has given the engine up.
    Abandoned,
    /// The person at the prompt stopped it.
    Interrupted,
}

/// Measures what running code uses. The unit is a nanosecond of processor time, or an interrupt if
/// [`ScriptSettings::inline`] is set.
pub(super) struct Meter {
    settings: ScriptSettings,
    heartbeat: Arc<Heartbeat>,
    pub memory: Rc<Memory>,
    interrupts: Cell<u64>,
    /// The reading of [`Meter::used`] at which the code that runs now is interrupted.
    until: Cell<u64>,
    stopped: Cell<Option<StopReason>>,
}

impl Meter {
    pub(super) fn new(config: &EngineConfig) -> Meter {
        let settings = config.settings.clone();
        Meter {
            memory: Memory::new(settings.memory + settings.memory / 4),
            settings,
            heartbeat: config.heartbeat.clone(),
            interrupts: Cell::new(0),
            until: Cell::new(u64::MAX),
            stopped: Cell::new(None),
        }
    }

    /// Returns what all code of this thread has used so far.
    fn used(&self) -> u64 {
        match self.settings.inline {
            Some(_) => self.interrupts.get(),
            None => processor_time(),
        }
    }

    /// Returns what the task may still use. While its caller waits, that is the rest of the limit. Afterwards it is up
    /// to twice the limit in total, plus a tenth of the time that has passed since the task started.
    pub(super) fn allowance(&self, task: &Task) -> u64 {
        let nanoseconds = |time: std::time::Duration| u64::try_from(time.as_nanos());
        let limit = match self.settings.inline {
            Some(interrupts) => interrupts,
            None => nanoseconds(self.settings.processor_time).unwrap_or(u64::MAX),
        };
        if task.has_caller() {
            return limit.saturating_sub(task.used.get());
        }
        if self.settings.inline.is_some() {
            return limit;
        }
        let tenth = nanoseconds(task.started.elapsed() / 10).unwrap_or(u64::MAX);
        limit.saturating_mul(2).saturating_add(tenth).saturating_sub(task.used.get())
    }

    /// Starts to measure code that runs for a task. Returns the reading that [`Meter::finish`] needs.
    pub(super) fn start(&self, task: &Task, allowance: u64) -> u64 {
        let reading = self.used();
        self.until.set(reading.saturating_add(allowance));
        self.stopped.set(None);
        self.heartbeat.enter(task.id);
        reading
    }

    /// Charges the task for the code that ran. Returns why the engine interrupted it, if it did.
    pub(super) fn finish(&self, task: &Task, reading: u64) -> Option<StopReason> {
        task.used.set(task.used.get().saturating_add(self.used().saturating_sub(reading)));
        self.heartbeat.leave();
        self.until.set(u64::MAX);
        self.stopped.take()
    }

    /// Counts an interrupt, and returns whether the engine must stop the code. QuickJS calls this about every 10,000
    /// steps.
    pub(super) fn interrupt(&self) -> bool {
        self.interrupts.set(self.interrupts.get() + 1);
        self.heartbeat.beat();
        let reason = if self.heartbeat.is_abandoned() {
            StopReason::Abandoned
        } else if self.heartbeat.is_interrupted() {
            StopReason::Interrupted
        } else if self.memory.used() > self.settings.memory {
            StopReason::Memory
        } else if self.used() > self.until.get() {
            StopReason::Time
        } else {
            return false;
        };
        if self.stopped.get().is_none() {
            self.stopped.set(Some(reason));
        }
        true
    }

    /// Returns why the engine interrupted the code that runs now, if it did.
    pub(super) fn stopped(&self) -> Option<StopReason> {
        self.stopped.get()
    }

    /// Returns whether too little memory is left to continue, even after a garbage collection.
    pub(super) fn is_memory_full(&self, collect_garbage: impl FnOnce()) -> bool {
        let limit = self.settings.memory;
        if !self.memory.take_refused() && self.memory.used() <= limit / 8 * 7 {
            return false;
        }
        collect_garbage();
        self.memory.used() > limit / 4 * 3
    }

    /// Returns the error that answers a call whose code was interrupted.
    pub(super) fn error(&self, reason: StopReason) -> CallError {
        let settings = &self.settings;
        limit_exceeded(match reason {
            StopReason::Interrupted => return interrupted(),
            StopReason::Time => match settings.inline {
                Some(interrupts) => format!("the function exceeded its limit of {interrupts} interrupts"),
                None => format!("the function exceeded its limit of {:?} of processor time", settings.processor_time),
            },
            StopReason::Memory => {
                format!("shipped functions exceeded their limit of {} MiB of memory", settings.memory >> 20)
            }
            StopReason::Abandoned => "the function did not return, and its engine was abandoned".to_owned(),
        })
    }
}
