//! What an engine shares with the functions that it lends to shipped code: tasks, timers, calls under way, and the ways
//! in and out of the language.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::{Arc, Weak},
    time::Duration,
};

use chinwag_protocol::{
    call::{CallError, DEFAULT_DEADLINE, ErrorKind, Reply, reply_from_pair},
    value::Value,
};
use rand_chacha::ChaCha8Rng;
use rquickjs::{
    Ctx, Error, Function as JsFunction, Object as JsObject, Persistent, Result as JsResult, Value as Js,
    context::EvalOptions,
};
use tokio::time::Instant;

use super::{
    clock::processor_time,
    convert::{self, Helpers},
    engine_config::EngineConfig,
    errors::limit_exceeded,
    memory::Memory,
    messages::Output,
};
use crate::{clock::Clock, request::Origin};

/// Why a function was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    Time,
    Memory,
    Abandoned,
}

/// A call that came in, and all that comes of it.
#[derive(Debug)]
pub(super) struct Task {
    pub id: u64,
    pub origin: Origin,
    pub open: Cell<bool>,
    /// Answered by its own code, which may go on.
    pub answered: Cell<bool>,
    pub dead: Cell<bool>,
    pub spent: Cell<u64>,
    pub born: Instant,
}

impl Task {
    /// Whether its caller waits.
    pub fn is_open(&self) -> bool {
        self.open.get() && !self.origin.time_left().is_zero()
    }

    /// On whose behalf it makes calls now: of the call that began it, for which there is no time once its deadline has
    /// passed, and anew when that was answered. Even then a node counts them as made by a call, not by a caller from
    /// outside: code that goes on and on takes nobody's room but that of its like.
    pub fn origin(&self, clock: Clock) -> Origin {
        if self.answered.get() { Origin::starting(DEFAULT_DEADLINE, clock) } else { self.origin.clone() }
    }
}

pub(super) struct Timer {
    pub due: Instant,
    pub period: Option<Duration>,
    pub task: Rc<Task>,
}

/// A service that was evaluated.
type Service = (Weak<Value>, Persistent<JsObject<'static>>);

/// What an engine and the functions it lends to shipped code share. It holds nothing of the engine's that outlives it:
/// [`Engine`] empties it first.
pub(super) struct EngineState {
    pub config: EngineConfig,
    pub emit: Rc<dyn Fn(Output)>,
    pub chance: RefCell<ChaCha8Rng>,
    pub remotes: Cell<usize>,
    pub memory: Rc<Memory>,
    pub prelude: RefCell<Option<Persistent<JsObject<'static>>>>,
    pub current: RefCell<Option<Rc<Task>>>,
    pub open: RefCell<BTreeMap<u64, Rc<Task>>>,
    pub timers: RefCell<BTreeMap<u64, Timer>>,
    pub schedule: RefCell<BTreeMap<(Instant, u64), ()>>,
    pub pending: RefCell<BTreeMap<u64, (Rc<Task>, u64)>>,
    pub rejections: RefCell<Vec<(usize, Persistent<Js<'static>>)>>,
    pub services: RefCell<BTreeMap<usize, Service>>,
    pub numbers: Rc<Cell<u64>>,
    pub until: Cell<u64>,
    pub ticks: Cell<u64>,
    pub stopped: Cell<Option<StopReason>>,
}

impl EngineState {
    /// A number that this engine and its predecessors have not used.
    pub fn number(&self) -> u64 {
        let number = self.numbers.get() + 1;
        self.numbers.set(number);
        number
    }

    /// What has been spent of what is bounded: nanoseconds, or interrupts.
    pub fn clock(&self) -> u64 {
        match self.config.settings.inline {
            Some(_) => self.ticks.get(),
            None => processor_time(),
        }
    }

    pub fn limit(&self) -> u64 {
        let settings = &self.config.settings;
        settings.inline.unwrap_or_else(|| u64::try_from(settings.processor_time.as_nanos()).unwrap_or(u64::MAX))
    }

    /// What a task may still spend.
    pub fn allowance(&self, task: &Task) -> u64 {
        let limit = self.limit();
        if task.is_open() {
            return limit.saturating_sub(task.spent.get());
        }
        if self.config.settings.inline.is_some() {
            return limit;
        }
        let tenth = u64::try_from(task.born.elapsed().as_nanos() / 10).unwrap_or(u64::MAX);
        limit.saturating_mul(2).saturating_add(tenth).saturating_sub(task.spent.get())
    }

    /// Asked by the engine every 10,000 steps or so.
    pub fn interrupt(&self) -> bool {
        self.ticks.set(self.ticks.get() + 1);
        self.config.heartbeat.beat();
        let stopped = if self.config.heartbeat.is_abandoned() {
            StopReason::Abandoned
        } else if self.memory.used() > self.config.settings.memory {
            StopReason::Memory
        } else if self.clock() > self.until.get() {
            StopReason::Time
        } else {
            return false;
        };
        if self.stopped.get().is_none() {
            self.stopped.set(Some(stopped));
        }
        true
    }

    /// On whose behalf code runs now.
    pub fn current(&self) -> Option<Rc<Task>> {
        self.current.borrow().clone()
    }

    /// What the prelude answered with.
    pub fn prelude<'js>(&self, ctx: &Ctx<'js>) -> JsResult<Prelude<'js>> {
        let prelude = self.prelude.borrow().clone().ok_or(Error::Unknown)?;
        Ok(Prelude { ctx: ctx.clone(), object: prelude.restore(ctx)? })
    }

    pub fn to_js<'js>(&self, ctx: &Ctx<'js>, value: &Value) -> JsResult<Js<'js>> {
        convert::into_js(ctx, &self.prelude(ctx)?, value)
    }

    pub fn to_value<'js>(&self, ctx: &Ctx<'js>, value: &Js<'js>) -> JsResult<Value> {
        convert::from_js(ctx, &self.prelude(ctx)?, &self.config.settings, value)
    }

    /// Starts a call on behalf of the present task.
    ///
    /// # Errors
    /// Where there are too many.
    pub fn perform(&self, names: [String; 3], arguments: Vec<Value>, callback: u64) -> Result<(), CallError> {
        let most = self.config.settings.pending_calls;
        if self.pending.borrow().len() >= most {
            return Err(CallError::new(ErrorKind::Busy, format!("shipped functions have {most} calls under way")));
        }
        let Some(task) = self.current() else { return Ok(()) };
        let number = self.number();
        let origin = task.origin(self.config.clock.clock);
        self.pending.borrow_mut().insert(number, (task, callback));
        let [gid, service, method] = names;
        (self.emit)(Output::Call { number, origin, gid, service, method, arguments });
        Ok(())
    }

    /// Sets a timer on behalf of the present task.
    ///
    /// # Errors
    /// Where there are too many.
    pub fn start_timer(&self, delay: f64, repeats: bool) -> Result<u64, CallError> {
        let most = self.config.settings.timers;
        if self.timers.borrow().len() >= most {
            return Err(CallError::new(ErrorKind::Busy, format!("shipped functions have {most} timers set")));
        }
        // as Node.js has it
        let milliseconds = if (1.0..=2_147_483_647.0).contains(&delay) { delay as u64 } else { 1 };
        let delay = Duration::from_millis(milliseconds);
        let number = self.number();
        if let Some(task) = self.current() {
            let due = self.config.clock.clock.after(delay);
            self.schedule.borrow_mut().insert((due, number), ());
            self.timers.borrow_mut().insert(number, Timer { due, period: repeats.then_some(delay), task });
        }
        Ok(number)
    }

    /// Unsets a timer.
    pub fn stop_timer(&self, number: u64) {
        if let Some(timer) = self.timers.borrow_mut().remove(&number) {
            self.schedule.borrow_mut().remove(&(timer.due, number));
        }
    }

    /// Answers a task, once.
    pub fn answer(&self, task: &Task, reply: Reply) {
        if task.open.replace(false) {
            self.open.borrow_mut().remove(&task.id);
            (self.emit)(Output::Answer { id: task.id, reply });
        }
    }

    /// The same, with what its own code came to, which may go on afterwards.
    pub fn answer_by_code(&self, task: &Task, reply: Reply) {
        task.answered.set(task.is_open());
        self.answer(task, reply);
    }

    /// Answers a task with what its code handed to its callback.
    pub fn answer_with<'js>(&self, ctx: &Ctx<'js>, task: &Task, error: &Js<'js>, value: &Js<'js>) {
        if !task.open.get() {
            return;
        }
        let pair = self.to_value(ctx, error).and_then(|error| Ok((error, self.to_value(ctx, value)?)));
        let reply = match pair {
            Ok((error, value)) => {
                let none = match &error {
                    Value::Boolean(error) => !error,
                    Value::String(text) => text.is_empty(),
                    Value::Number(number) => *number == 0.0 || number.is_nan(),
                    _ => false,
                };
                reply_from_pair(if none { Value::Null } else { error }, value)
            }
            Err(error) => Err(self.fault(ctx, error)),
        };
        self.answer_by_code(task, reply);
    }

    /// The error that ended some code.
    pub fn fault(&self, ctx: &Ctx<'_>, error: Error) -> CallError {
        if let Some(stopped) = self.stopped.get() {
            // whatever is pending came of it
            drop(ctx.catch());
            return self.stop_error(stopped);
        }
        match error {
            Error::Exception => {
                let thrown = ctx.catch();
                self.thrown(ctx, &thrown)
            }
            Error::Allocation => CallError::new(ErrorKind::Other("InternalError".to_owned()), "out of memory"),
            other => CallError::new(ErrorKind::BadAnswer, other.to_string()),
        }
    }

    /// What was thrown, or what a promise was rejected with.
    pub fn thrown<'js>(&self, ctx: &Ctx<'js>, thrown: &Js<'js>) -> CallError {
        match self.to_value(ctx, thrown) {
            Ok(value) => CallError::from_value(value),
            Err(_) => {
                drop(ctx.catch());
                match self.stopped.get() {
                    Some(stopped) => self.stop_error(stopped),
                    None => CallError::other("the function failed with an error that cannot be read"),
                }
            }
        }
    }

    pub fn stop_error(&self, stopped: StopReason) -> CallError {
        let settings = &self.config.settings;
        let why = match stopped {
            StopReason::Time => match settings.inline {
                Some(interrupts) => format!("the function was interrupted {interrupts} times"),
                None => format!("the function used {:?} of processor time", settings.processor_time),
            },
            StopReason::Memory => format!("shipped functions hold {} MiB of memory", settings.memory >> 20),
            StopReason::Abandoned => "the function did not return, and its engine was given up".to_owned(),
        };
        limit_exceeded(why)
    }

    /// The object that a service is, the same from call to call. Evaluated anew where it was not seen before.
    pub fn service<'js>(&self, ctx: &Ctx<'js>, service: &Arc<Value>) -> JsResult<JsObject<'js>> {
        // the weak reference holds the address, so that no other service can take it
        let address = Arc::as_ptr(service) as usize;
        let known = self.services.borrow().get(&address).map(|(_, known)| known.clone());
        if let Some(known) = known {
            return known.restore(ctx);
        }
        let made: JsObject = self.to_js(ctx, service)?.get()?;
        let mut services = self.services.borrow_mut();
        services.retain(|_, (service, _)| service.strong_count() > 0);
        services.insert(address, (Arc::downgrade(service), Persistent::save(ctx, made.clone())));
        Ok(made)
    }

    /// Remembers what the prelude answered with.
    pub fn complete<'js>(&self, ctx: &Ctx<'js>, prelude: JsObject<'js>) {
        *self.prelude.borrow_mut() = Some(Persistent::save(ctx, prelude));
    }

    pub fn work(&self) -> usize {
        self.pending.borrow().len() + self.timers.borrow().len()
    }
}

/// The functions by which the host enters.
pub(super) struct Prelude<'js> {
    ctx: Ctx<'js>,
    object: JsObject<'js>,
}

impl<'js> Prelude<'js> {
    /// Evaluates a function's text, which must be one: an expression, or a method in shorthand.
    pub fn compile(&self, source: &str) -> JsResult<JsFunction<'js>> {
        let ctx = &self.ctx;
        let expression: Js = match evaluate(ctx, format!("({source}\n)")) {
            Ok(value) => value,
            Err(Error::Exception) => {
                let first = ctx.catch();
                if first.is_uncatchable_error() {
                    return Err(ctx.throw(first));
                }
                match self.shorthand(source) {
                    Ok(method) => method,
                    Err(Error::Exception) => {
                        let second = ctx.catch();
                        return Err(ctx.throw(if second.is_uncatchable_error() { second } else { first }));
                    }
                    Err(other) => return Err(other),
                }
            }
            Err(other) => return Err(other),
        };
        let not_one = || rquickjs::Exception::throw_type(ctx, "the text of the function is not that of a function");
        expression.into_function().ok_or_else(not_one)
    }

    fn shorthand(&self, source: &str) -> JsResult<Js<'js>> {
        let object: JsObject = evaluate(&self.ctx, format!("({{{source}\n}})"))?;
        match object.keys::<String>().next() {
            Some(key) => object.get(key?),
            None => Ok(Js::new_undefined(self.ctx.clone())),
        }
    }
}

impl<'js> Helpers<'js> for Prelude<'js> {
    fn helper(&self, name: &str) -> JsResult<JsFunction<'js>> {
        self.object.get(name)
    }

    /// What cannot be read becomes a function that says so, for nobody may ever call it.
    fn evaluate(&self, source: &str) -> JsResult<Js<'js>> {
        match self.compile(source) {
            Ok(function) => Ok(function.into_value()),
            Err(Error::Exception) => {
                let error = self.ctx.catch();
                if error.is_uncatchable_error() {
                    return Err(self.ctx.throw(error));
                }
                self.helper("broken")?.call((error,))
            }
            Err(other) => Err(other),
        }
    }
}

fn evaluate<'js, V: rquickjs::FromJs<'js>>(ctx: &Ctx<'js>, source: String) -> JsResult<V> {
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some("shipped".to_owned());
    ctx.eval_with_options(source, options)
}
