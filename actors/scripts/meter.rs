//! Measures what running code uses, and decides when the engine interrupts it.

use std::{cell::Cell, rc::Rc, sync::Arc};

use chinwag_protocol::call::CallError;

use super::{
    clock::{nanoseconds, processor_time},
    engine_config::EngineConfig,
    errors::{interrupted, limit_exceeded},
    memory::Memory,
    realm::RealmName,
    settings::ScriptSettings,
    task::Task,
    turn::Turn,
};

/// Why the engine interrupted code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    /// The task used up its processor time, or its interrupts.
    Time,
    /// Somebody else waits, and the turn has taken as long as it then may.
    Turn,
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
    turn: Arc<Turn>,
    pub memory: Rc<Memory>,
    interrupts: Cell<u64>,
    /// The reading of [`Meter::used`] at which the code that runs now is interrupted.
    until: Cell<u64>,
    /// The reading at which it is interrupted if somebody else waits.
    until_awaited: Cell<u64>,
    stopped: Cell<Option<StopReason>>,
}

impl Meter {
    pub(super) fn new(config: &EngineConfig) -> Meter {
        let settings = config.settings.clone();
        Meter {
            memory: Memory::new(settings.memory + settings.memory / 4),
            settings,
            turn: config.turn.clone(),
            interrupts: Cell::new(0),
            until: Cell::new(u64::MAX),
            until_awaited: Cell::new(u64::MAX),
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
        let limit = match self.settings.inline {
            Some(interrupts) => interrupts,
            None => nanoseconds(self.settings.processor_time),
        };
        if task.has_caller() {
            return limit.saturating_sub(task.used.get());
        }
        if self.settings.inline.is_some() {
            return limit;
        }
        let tenth = nanoseconds(task.started.elapsed() / 10);
        limit.saturating_mul(2).saturating_add(tenth).saturating_sub(task.used.get())
    }

    /// Starts to measure code that runs for a task. Returns the reading that [`Meter::finish`] needs.
    pub(super) fn start(&self, task: &Task, allowance: u64) -> u64 {
        let reading = self.used();
        self.until.set(reading.saturating_add(allowance));
        // an inline engine runs nothing while others wait for it, as it shares their thread
        self.until_awaited.set(match self.settings.inline {
            Some(_) => u64::MAX,
            None => reading.saturating_add(nanoseconds(self.settings.turn)),
        });
        self.stopped.set(None);
        // who runs the node may keep it busy
        let shipper = (task.realm != RealmName::Prompt).then_some(task.account.shipper);
        self.turn.enter(task.id, shipper, allowance);
        reading
    }

    /// Charges the task for the code that ran. Returns what the code used, and why the engine interrupted it, if it did.
    pub(super) fn finish(&self, task: &Task, reading: u64) -> (u64, Option<StopReason>) {
        let used = self.used().saturating_sub(reading);
        task.used.set(task.used.get().saturating_add(used));
        self.turn.leave();
        self.until.set(u64::MAX);
        self.until_awaited.set(u64::MAX);
        (used, self.stopped.take())
    }

    /// Counts an interrupt, and returns whether the engine must stop the code. QuickJS calls this about every 10,000
    /// steps.
    pub(super) fn interrupt(&self) -> bool {
        self.interrupts.set(self.interrupts.get() + 1);
        self.turn.beat();
        let reason = if self.turn.is_abandoned() {
            StopReason::Abandoned
        } else if self.turn.is_interrupted() {
            StopReason::Interrupted
        } else if self.memory.used() > self.settings.memory {
            StopReason::Memory
        } else if self.used() > self.until.get() {
            StopReason::Time
        } else if self.used() > self.until_awaited.get() && self.turn.is_awaited() {
            StopReason::Turn
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
            StopReason::Turn => turn_exceeded(settings),
            StopReason::Memory => {
                format!("shipped functions exceeded their limit of {} MiB of memory", settings.memory >> 20)
            }
            StopReason::Abandoned => "the function did not return, and its engine was abandoned".to_owned(),
        })
    }
}

/// Says why a turn ended early.
pub(super) fn turn_exceeded(settings: &ScriptSettings) -> String {
    format!(
        "the function was stopped after {:?} of processor time, because another caller waits; \
         let it pause, for example by awaiting a timer",
        settings.turn
    )
}
