//! The state that an engine shares with the functions that it gives to JavaScript.
//!
//! JavaScript holds closures over this state: the host functions of the prelude, and the callbacks that answer tasks.
//! They run while the engine runs code, so every field is behind a cell, and no borrow lasts while code runs.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::{Arc, Weak},
    time::Duration,
};

use chinwag_protocol::{
    call::{CallError, ErrorKind, Reply, reply_from_pair},
    value::Value,
};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use rquickjs::{Ctx, Error, Object as JsObject, Persistent, Result as JsResult, Value as Js};

use super::{
    convert,
    engine_config::EngineConfig,
    messages::Output,
    meter::Meter,
    prelude::Prelude,
    task::Task,
    timers::{Timer, Timers},
};

/// Rejected promises without a handler that are remembered until the jobs have run. Further ones are not reported.
const REJECTIONS: usize = 1_024;

/// A call that code made and whose reply has not arrived.
struct PendingCall {
    task: Rc<Task>,
    /// The number of the callback in the prelude, or 0 if there is none.
    callback: u64,
}

/// The JavaScript object of a service.
struct ServiceObject {
    service: Weak<Value>,
    object: Persistent<JsObject<'static>>,
}

/// A promise that was rejected while it had no handler.
struct Rejection {
    /// The address of the promise, which identifies it. It is never followed.
    promise: usize,
    reason: Persistent<Js<'static>>,
}

/// The state that an engine shares with the functions that it gives to JavaScript. Some of it belongs to the QuickJS
/// runtime, and must be dropped before the runtime is: see [`EngineState::release`].
pub(super) struct EngineState {
    pub config: EngineConfig,
    pub emit: Rc<dyn Fn(Output)>,
    pub random: RefCell<ChaCha8Rng>,
    pub meter: Meter,
    pub timers: RefCell<Timers>,
    /// The last number that was given out. Successors of this engine share it.
    pub numbers: Rc<Cell<u64>>,
    /// How many functions code has registered with `createRPC`.
    pub registered: Cell<usize>,
    /// The task whose code runs now.
    pub current: RefCell<Option<Rc<Task>>>,
    /// The tasks that nobody has answered, by id.
    unanswered: RefCell<BTreeMap<u64, Rc<Task>>>,
    calls: RefCell<BTreeMap<u64, PendingCall>>,
    rejections: RefCell<Vec<Rejection>>,
    prelude: RefCell<Option<Persistent<JsObject<'static>>>>,
    /// By the address of the service.
    services: RefCell<BTreeMap<usize, ServiceObject>>,
}

impl EngineState {
    /// `numbers` is that of the engine's predecessor, or new.
    pub(super) fn new(config: EngineConfig, emit: Rc<dyn Fn(Output)>, numbers: Rc<Cell<u64>>) -> EngineState {
        // the stream differs from those that the node and the engine's predecessors draw from
        let mut random = ChaCha8Rng::from_seed(config.seed);
        random.set_stream(numbers.get() + 1);
        EngineState {
            meter: Meter::new(&config),
            config,
            emit,
            random: RefCell::new(random),
            timers: RefCell::default(),
            numbers,
            registered: Cell::new(0),
            current: RefCell::default(),
            unanswered: RefCell::default(),
            calls: RefCell::default(),
            rejections: RefCell::default(),
            prelude: RefCell::default(),
            services: RefCell::default(),
        }
    }

    /// Drops everything that belongs to the QuickJS runtime.
    pub(super) fn release(&self) {
        self.prelude.take();
        self.rejections.take();
        self.services.take();
    }

    /// Returns a number that neither this engine nor its predecessors have used.
    pub(super) fn next_number(&self) -> u64 {
        let number = self.numbers.get() + 1;
        self.numbers.set(number);
        number
    }

    // ---- values ----

    /// Keeps the functions that the prelude returned.
    pub(super) fn set_prelude<'js>(&self, ctx: &Ctx<'js>, functions: JsObject<'js>) {
        *self.prelude.borrow_mut() = Some(Persistent::save(ctx, functions));
    }

    pub(super) fn prelude<'js>(&self, ctx: &Ctx<'js>) -> JsResult<Prelude<'js>> {
        let functions = self.prelude.borrow().clone().ok_or(Error::Unknown)?;
        Ok(Prelude::new(ctx, functions.restore(ctx)?))
    }

    pub(super) fn to_js<'js>(&self, ctx: &Ctx<'js>, value: &Value) -> JsResult<Js<'js>> {
        convert::to_js(&self.prelude(ctx)?, value)
    }

    pub(super) fn to_value<'js>(&self, ctx: &Ctx<'js>, value: &Js<'js>) -> JsResult<Value> {
        convert::to_value(&self.prelude(ctx)?, &self.config.settings, value)
    }

    /// Returns the object of a service, which stays the same from call to call. Evaluates the service the first time.
    pub(super) fn service<'js>(&self, ctx: &Ctx<'js>, service: &Arc<Value>) -> JsResult<JsObject<'js>> {
        // the weak reference keeps the allocation, so that no other service can have this address
        let address = Arc::as_ptr(service) as usize;
        let known = self.services.borrow().get(&address).map(|known| known.object.clone());
        if let Some(known) = known {
            return known.restore(ctx);
        }
        let object: JsObject = self.to_js(ctx, service)?.get()?;
        let mut services = self.services.borrow_mut();
        services.retain(|_, other| other.service.strong_count() > 0);
        let kept = ServiceObject { service: Arc::downgrade(service), object: Persistent::save(ctx, object.clone()) };
        services.insert(address, kept);
        Ok(object)
    }

    // ---- calls and timers ----

    /// Starts a call on behalf of the current task.
    ///
    /// # Errors
    /// If too many calls are pending.
    pub(super) fn start_call(&self, names: [String; 3], arguments: Vec<Value>, callback: u64) -> Result<(), CallError> {
        let limit = self.config.settings.pending_calls;
        if self.calls.borrow().len() >= limit {
            let message = format!("shipped functions are waiting for {limit} calls, which is the limit");
            return Err(CallError::new(ErrorKind::Busy, message));
        }
        let Some(task) = self.current() else { return Ok(()) };
        let number = self.next_number();
        let origin = task.origin(self.config.clock.clock);
        self.calls.borrow_mut().insert(number, PendingCall { task, callback });
        let [gid, service, method] = names;
        (self.emit)(Output::Call { number, origin, gid, service, method, arguments });
        Ok(())
    }

    /// Removes a call whose reply has arrived. Returns its task, and the number of its callback or 0.
    pub(super) fn finish_call(&self, number: u64) -> Option<(Rc<Task>, u64)> {
        let call = self.calls.borrow_mut().remove(&number)?;
        Some((call.task, call.callback))
    }

    /// Sets a timer on behalf of the current task. Returns its number.
    ///
    /// # Errors
    /// If too many timers are set.
    pub(super) fn start_timer(&self, delay: f64, repeats: bool) -> Result<u64, CallError> {
        let limit = self.config.settings.timers;
        if self.timers.borrow().len() >= limit {
            let message = format!("shipped functions have set {limit} timers, which is the limit");
            return Err(CallError::new(ErrorKind::Busy, message));
        }
        // Node.js replaces other delays by 1 ms, too
        let milliseconds = if (1.0..=2_147_483_647.0).contains(&delay) { delay as u64 } else { 1 };
        let delay = Duration::from_millis(milliseconds);
        let number = self.next_number();
        if let Some(task) = self.current() {
            let due = self.config.clock.clock.after(delay);
            self.timers.borrow_mut().insert(number, Timer { due, period: repeats.then_some(delay), task });
        }
        Ok(number)
    }

    /// Removes the timers and calls of a task. Returns the numbers of the timers, and of the calls' callbacks.
    pub(super) fn remove_pending_of(&self, task: &Rc<Task>) -> (Vec<u64>, Vec<u64>) {
        let mut callbacks = Vec::new();
        self.calls.borrow_mut().retain(|_, call| {
            let other = !Rc::ptr_eq(&call.task, task);
            if !other {
                callbacks.push(call.callback);
            }
            other
        });
        (self.timers.borrow_mut().remove_all_of(task), callbacks)
    }

    /// Returns how many calls and timers are pending.
    pub(super) fn pending(&self) -> usize {
        self.calls.borrow().len() + self.timers.borrow().len()
    }

    // ---- tasks and their answers ----

    /// Returns the task whose code runs now.
    fn current(&self) -> Option<Rc<Task>> {
        self.current.borrow().clone()
    }

    /// Adds a task that must be answered.
    pub(super) fn add_task(&self, task: &Rc<Task>) {
        self.unanswered.borrow_mut().insert(task.id, task.clone());
    }

    /// Returns all tasks that nobody has answered.
    pub(super) fn unanswered(&self) -> Vec<Rc<Task>> {
        self.unanswered.borrow().values().cloned().collect()
    }

    /// Returns the tasks that nobody has answered and whose deadline has passed.
    pub(super) fn overdue(&self) -> Vec<Rc<Task>> {
        self.unanswered.borrow().values().filter(|task| !task.has_caller()).cloned().collect()
    }

    /// Answers a task, unless it has an answer.
    pub(super) fn answer(&self, task: &Task, reply: Reply) {
        if task.unanswered.replace(false) {
            self.unanswered.borrow_mut().remove(&task.id);
            (self.emit)(Output::Answer { id: task.id, reply });
        }
    }

    /// Answers a task with what its own code returned, passed to the callback or threw. The code may continue.
    pub(super) fn answer_by_code(&self, task: &Task, reply: Reply) {
        task.answered_by_code.set(task.has_caller());
        self.answer(task, reply);
    }

    /// Answers a task with what its code passed to the callback.
    pub(super) fn answer_by_callback<'js>(&self, ctx: &Ctx<'js>, task: &Task, error: &Js<'js>, value: &Js<'js>) {
        if !task.unanswered.get() {
            return;
        }
        let pair = self.to_value(ctx, error).and_then(|error| Ok((error, self.to_value(ctx, value)?)));
        let reply = match pair {
            Ok((error, value)) => {
                // JavaScript treats these as false, so a caller there would see no error
                let is_falsy = match &error {
                    Value::Boolean(error) => !error,
                    Value::String(text) => text.is_empty(),
                    Value::Number(number) => *number == 0.0 || number.is_nan(),
                    _ => false,
                };
                reply_from_pair(if is_falsy { Value::Null } else { error }, value)
            }
            Err(error) => Err(self.error_of(ctx, error)),
        };
        self.answer_by_code(task, reply);
    }

    /// Answers a task with an error that its code did not catch. If the task has an answer, reports the error instead.
    pub(super) fn report(&self, task: &Task, error: CallError) {
        if task.unanswered.get() {
            self.answer_by_code(task, Err(error));
        } else {
            (self.emit)(Output::Uncaught(error));
        }
    }

    // ---- errors ----

    /// Converts the error that ended some code.
    pub(super) fn error_of(&self, ctx: &Ctx<'_>, error: Error) -> CallError {
        if let Some(reason) = self.meter.stopped() {
            // the pending exception is a consequence of the interrupt
            drop(ctx.catch());
            return self.meter.error(reason);
        }
        match error {
            Error::Exception => {
                let thrown = ctx.catch();
                self.error_of_thrown(ctx, &thrown)
            }
            Error::Allocation => CallError::new(ErrorKind::Other("InternalError".to_owned()), "out of memory"),
            other => CallError::new(ErrorKind::BadAnswer, other.to_string()),
        }
    }

    /// Converts a value that was thrown, or that a promise was rejected with.
    pub(super) fn error_of_thrown<'js>(&self, ctx: &Ctx<'js>, thrown: &Js<'js>) -> CallError {
        match self.to_value(ctx, thrown) {
            Ok(value) => CallError::from_value(value).shown_as(self.shown(ctx, thrown)),
            Err(_) => {
                drop(ctx.catch());
                match self.meter.stopped() {
                    Some(reason) => self.meter.error(reason),
                    None => CallError::other("the function failed with an error that could not be read"),
                }
            }
        }
    }

    /// Returns how JavaScript shows a value that was thrown.
    fn shown<'js>(&self, ctx: &Ctx<'js>, thrown: &Js<'js>) -> String {
        let shown = || -> JsResult<String> { self.prelude(ctx)?.function("inspect")?.call((thrown.clone(),)) };
        let mut shown = shown().unwrap_or_else(|_| {
            drop(ctx.catch());
            String::new()
        });
        let end = self.config.settings.line;
        shown.truncate((0..=end).rev().find(|&end| shown.is_char_boundary(end)).unwrap_or(0));
        shown
    }

    /// Notes that a promise was rejected while it had no handler, or that it has a handler now.
    pub(super) fn track_rejection<'js>(&self, ctx: &Ctx<'js>, promise: usize, reason: Js<'js>, has_handler: bool) {
        let mut rejections = self.rejections.borrow_mut();
        if has_handler {
            rejections.retain(|other| other.promise != promise);
        } else if rejections.len() < REJECTIONS {
            rejections.push(Rejection { promise, reason: Persistent::save(ctx, reason) });
        }
    }

    /// Removes all rejections that have no handler, and returns the reason of the first.
    pub(super) fn take_rejection(&self) -> Option<Persistent<Js<'static>>> {
        self.rejections.take().into_iter().next().map(|rejection| rejection.reason)
    }
}
