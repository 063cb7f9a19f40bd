//! The state that an engine shares with the functions that it gives to JavaScript.
//!
//! JavaScript holds closures over this state: the host functions of the prelude, and the callbacks that answer tasks.
//! They run while the engine runs code, so every field is behind a cell, and no borrow lasts while code runs.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use chinwag_protocol::{
    call::{CallError, ErrorKind, Reply, reply_from_pair},
    value::{Object, Value},
};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use rquickjs::{Ctx, Error, Object as JsObject, Persistent, Result as JsResult, Value as Js};

use super::{
    account::{Account, Quota},
    convert,
    engine_config::EngineConfig,
    errors::out_of_memory,
    messages::Output,
    meter::Meter,
    originals::Originals,
    prelude::Prelude,
    realm::RealmName,
    task::Task,
    timers::{Timer, Timers},
};

/// Rejected promises without a handler that are remembered until the jobs have run. Further ones are not reported.
const REJECTIONS: usize = 1_024;

/// A call that code made and whose reply has not arrived.
struct PendingCall {
    task: Rc<Task>,
    /// The realm whose code made it.
    realm: RealmName,
    /// The number of the callback in the prelude, or 0 if there is none.
    callback: u64,
}

/// What belongs to preludes, each with its realm.
type InRealms<T> = Vec<(RealmName, T)>;

/// A service that the node has sent.
enum ServiceState {
    /// It has not been evaluated.
    Defined(Value),
    /// Its object, whether it has state from the beginning, and how many members it then had.
    Object { object: Persistent<JsObject<'static>>, stateful: bool, members: usize },
}

/// A function that `createRPC` registered.
struct Registered {
    account: Account,
    realm: RealmName,
}

/// A promise that was rejected while it had no handler.
struct Rejection {
    /// The address of the promise, which identifies it. It is never followed.
    promise: usize,
    reason: Persistent<Js<'static>>,
}

/// The prelude of a realm.
struct RealmPrelude {
    name: RealmName,
    functions: Persistent<JsObject<'static>>,
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
    pub originals: Rc<Originals>,
    /// Whether the service whose code ran keeps state here.
    pub keeps_state: Cell<bool>,
    /// How many names shipped code has added to the global object of each realm.
    globals: RefCell<BTreeMap<RealmName, usize>>,
    /// The task whose code runs now.
    pub current: RefCell<Option<Rc<Task>>>,
    /// The tasks that nobody has answered, by id.
    unanswered: RefCell<BTreeMap<u64, Rc<Task>>>,
    calls: RefCell<BTreeMap<u64, PendingCall>>,
    /// The functions that `createRPC` registered, by name.
    registered: RefCell<BTreeMap<String, Registered>>,
    timer_quota: RefCell<Quota>,
    call_quota: RefCell<Quota>,
    registered_quota: RefCell<Quota>,
    rejections: RefCell<Vec<Rejection>>,
    /// What code has assigned to groups of `distribution`.
    assigned: RefCell<Option<Persistent<JsObject<'static>>>>,
    /// The preludes of all realms, by the address of their context.
    preludes: RefCell<BTreeMap<usize, RealmPrelude>>,
    services: RefCell<BTreeMap<u64, ServiceState>>,
}

impl EngineState {
    /// `numbers` is that of the engine's predecessor, or new.
    pub(super) fn new(config: EngineConfig, emit: Rc<dyn Fn(Output)>, numbers: Rc<Cell<u64>>) -> EngineState {
        // the stream differs from those that the node and the engine's predecessors draw from
        let mut random = ChaCha8Rng::from_seed(config.seed);
        random.set_stream(numbers.get() + 1);
        let settings = &config.settings;
        let quota = |what, most| RefCell::new(Quota::new(what, most));
        EngineState {
            meter: Meter::new(&config),
            emit,
            random: RefCell::new(random),
            timers: RefCell::default(),
            originals: Rc::new(Originals::new(numbers.clone(), settings.callbacks)),
            numbers,
            keeps_state: Cell::new(false),
            globals: RefCell::default(),
            current: RefCell::default(),
            unanswered: RefCell::default(),
            calls: RefCell::default(),
            registered: RefCell::default(),
            timer_quota: quota("timers", settings.timers),
            call_quota: quota("calls that are pending", settings.pending_calls),
            registered_quota: quota("functions registered with createRPC", settings.callbacks),
            rejections: RefCell::default(),
            assigned: RefCell::default(),
            preludes: RefCell::default(),
            services: RefCell::default(),
            config,
        }
    }

    /// Drops everything that belongs to the QuickJS runtime.
    pub(super) fn release(&self) {
        self.preludes.take();
        self.assigned.take();
        self.rejections.take();
        self.services.take();
        self.originals.release();
    }

    /// Returns a number that neither this engine nor its predecessors have used.
    pub(super) fn next_number(&self) -> u64 {
        let number = self.numbers.get() + 1;
        self.numbers.set(number);
        number
    }

    // ---- values ----

    /// Keeps the functions that the prelude of a realm returned.
    pub(super) fn set_prelude<'js>(&self, ctx: &Ctx<'js>, name: RealmName, functions: JsObject<'js>) {
        let functions = Persistent::save(ctx, functions);
        self.preludes.borrow_mut().insert(address(ctx), RealmPrelude { name, functions });
    }

    /// Returns the object that holds what code of a realm assigns to groups. Shipped code and the prompt share it.
    pub(super) fn assigned<'js>(&self, ctx: &Ctx<'js>, realm: RealmName) -> JsResult<JsObject<'js>> {
        let shared = self.assigned.borrow().clone();
        match (realm, shared) {
            (RealmName::Service(_), _) => JsObject::new(ctx.clone()),
            (_, Some(shared)) => shared.restore(ctx),
            (_, None) => {
                let new = JsObject::new(ctx.clone())?;
                *self.assigned.borrow_mut() = Some(Persistent::save(ctx, new.clone()));
                Ok(new)
            }
        }
    }

    /// Returns the realm of a context.
    fn realm_of(&self, ctx: &Ctx<'_>) -> RealmName {
        self.preludes.borrow().get(&address(ctx)).map_or(RealmName::Shipped, |prelude| prelude.name)
    }

    pub(super) fn prelude<'js>(&self, ctx: &Ctx<'js>) -> JsResult<Prelude<'js>> {
        let preludes = self.preludes.borrow();
        let prelude = preludes.get(&address(ctx)).ok_or(Error::Unknown)?;
        let functions = prelude.functions.clone().restore(ctx)?;
        Ok(Prelude::new(ctx, functions, prelude.name, self.originals.clone()))
    }

    pub(super) fn to_js<'js>(&self, ctx: &Ctx<'js>, value: &Value) -> JsResult<Js<'js>> {
        convert::to_js(&self.prelude(ctx)?, value)
    }

    pub(super) fn to_value<'js>(&self, ctx: &Ctx<'js>, value: &Js<'js>) -> JsResult<Value> {
        convert::to_value(&self.prelude(ctx)?, &self.config.settings, None, value)
    }

    /// Converts a value whose functions the node holds as they are.
    pub(super) fn to_held_value<'js>(&self, ctx: &Ctx<'js>, value: &Js<'js>) -> JsResult<Value> {
        let account = self.account();
        convert::to_value(&self.prelude(ctx)?, &self.config.settings, Some(account), value)
    }

    /// Adds a service, which is evaluated when it is needed.
    pub(super) fn define_service(&self, number: u64, definition: Value) {
        self.services.borrow_mut().insert(number, ServiceState::Defined(definition));
    }

    /// Returns the realm in which a service's own functions live, if it was put by code of this engine.
    pub(super) fn realm_of_service(&self, number: u64) -> Option<RealmName> {
        match self.services.borrow().get(&number)? {
            ServiceState::Defined(Value::Object(service)) => {
                service.values().find_map(convert::original_number).and_then(|n| self.originals.realm(n))
            }
            _ => None,
        }
    }

    /// Returns the object of a service, which stays the same from call to call. Evaluates the service the first time.
    pub(super) fn service<'js>(&self, ctx: &Ctx<'js>, number: u64) -> JsResult<JsObject<'js>> {
        let definition = match self.services.borrow().get(&number) {
            Some(ServiceState::Object { object, .. }) => return object.clone().restore(ctx),
            Some(ServiceState::Defined(definition)) => definition.clone(),
            None => return Err(Error::Unknown),
        };
        let object: JsObject = self.to_js(ctx, &definition)?.get()?;
        let stateful = definition.as_object().is_some_and(|service| {
            service.values().any(|member| match member {
                Value::Function(_) => convert::original_number(member).is_some(),
                Value::Native(_) => false,
                _ => true,
            })
        });
        let members = definition.as_object().map_or(0, Object::len);
        let kept = ServiceState::Object { object: Persistent::save(ctx, object.clone()), stateful, members };
        self.services.borrow_mut().insert(number, kept);
        Ok(object)
    }

    /// Drops what is held of a realm that ends.
    pub(super) fn forget_realm(&self, name: RealmName) {
        self.preludes.borrow_mut().retain(|_, prelude| prelude.name != name);
        self.originals.drop_realm(name);
    }

    /// Drops services. Returns the numbers of their code's timers, each with its realm, and the names of the functions
    /// that it registered.
    pub(super) fn drop_services(&self, numbers: &[u64]) -> (InRealms<u64>, InRealms<String>) {
        let mut timers = Vec::new();
        let mut names = Vec::new();
        for &number in numbers {
            // the object is dropped after the borrow ends, because its finalizers may run
            let dropped = self.services.borrow_mut().remove(&number);
            drop(dropped);
            for (timer, removed) in self.timers.borrow_mut().remove_all_of_service(number) {
                self.timer_quota.borrow_mut().give_back(removed.task.account);
                timers.push((removed.realm, timer));
            }
            self.registered.borrow_mut().retain(|name, registered| {
                let keep = registered.account.service != number;
                if !keep {
                    self.registered_quota.borrow_mut().give_back(registered.account);
                    names.push((registered.realm, name.clone()));
                }
                keep
            });
        }
        (timers, names)
    }

    /// Notes which names the global object of a new realm has before any code runs.
    pub(super) fn note_globals(&self, ctx: &Ctx<'_>, realm: RealmName) {
        self.globals.borrow_mut().insert(realm, ctx.globals().keys::<String>().len());
    }

    /// Notes whether the code that ran for a task keeps state in this engine: on the global object or its service's. A
    /// service that has other members than functions, or functions that this engine gave to the node, always does.
    pub(super) fn note_state(&self, ctx: &Ctx<'_>, task: &Task) {
        let names = |object: &JsObject<'_>| object.keys::<String>().len();
        let here = names(&ctx.globals());
        let before = self.globals.borrow_mut().insert(self.realm_of(ctx), here).unwrap_or(0);
        let of_service = match self.services.borrow().get(&task.account.service) {
            Some(ServiceState::Object { object, stateful, members }) => {
                let object = object.clone().restore(ctx);
                *stateful || object.is_ok_and(|object| names(&object) != *members)
            }
            _ => false,
        };
        if here != before || of_service {
            self.keeps_state.set(true);
        }
    }

    /// Notes a function that code registers under this name.
    ///
    /// # Errors
    /// Says which quota is used up.
    pub(super) fn register(&self, ctx: &Ctx<'_>, name: String) -> Result<(), String> {
        let account = self.account();
        self.registered_quota.borrow_mut().take(account)?;
        let realm = self.realm_of(ctx);
        self.registered.borrow_mut().insert(name.clone(), Registered { account, realm });
        (self.emit)(Output::Register { name, account });
        Ok(())
    }

    /// Returns the realm of a registered function.
    pub(super) fn realm_of_registered(&self, name: &str) -> Option<RealmName> {
        self.registered.borrow().get(name).map(|registered| registered.realm)
    }

    // ---- calls and timers ----

    /// Starts a call on behalf of the current task.
    ///
    /// # Errors
    /// If too many calls are pending.
    pub(super) fn start_call(
        &self,
        ctx: &Ctx<'_>,
        names: [String; 3],
        arguments: Vec<Value>,
        callback: u64,
    ) -> Result<(), CallError> {
        let realm = self.realm_of(ctx);
        let Some(task) = self.current() else { return Ok(()) };
        let busy = |why| CallError::new(ErrorKind::Busy, why);
        self.call_quota.borrow_mut().take(task.account).map_err(busy)?;
        let number = self.next_number();
        let (id, account, continues) = (task.id, task.account, task.answered_by_code.get());
        self.calls.borrow_mut().insert(number, PendingCall { task, realm, callback });
        let [gid, service, method] = names;
        (self.emit)(Output::Call { number, task: id, account, continues, gid, service, method, arguments });
        Ok(())
    }

    /// Removes a call whose reply has arrived. Returns its task, and the number of its callback or 0.
    pub(super) fn finish_call(&self, number: u64) -> Option<(Rc<Task>, RealmName, u64)> {
        let call = self.calls.borrow_mut().remove(&number)?;
        self.call_quota.borrow_mut().give_back(call.task.account);
        Some((call.task, call.realm, call.callback))
    }

    /// Sets a timer on behalf of the current task. Returns its number.
    ///
    /// # Errors
    /// If too many timers are set.
    pub(super) fn start_timer(&self, ctx: &Ctx<'_>, delay: f64, repeats: bool) -> Result<u64, CallError> {
        let busy = |why| CallError::new(ErrorKind::Busy, why);
        self.timer_quota.borrow_mut().take(self.account()).map_err(busy)?;
        // Node.js replaces other delays by 1 ms, too
        let milliseconds = if (1.0..=2_147_483_647.0).contains(&delay) { delay as u64 } else { 1 };
        let delay = Duration::from_millis(milliseconds);
        let number = self.next_number();
        if let Some(task) = self.current() {
            let due = self.config.clock.clock.after(delay);
            self.timers
                .borrow_mut()
                .insert(number, Timer { due, period: repeats.then_some(delay), task, realm: self.realm_of(ctx) });
        }
        Ok(number)
    }

    /// Removes a timer.
    pub(super) fn remove_timer(&self, number: u64) -> Option<Timer> {
        let timer = self.timers.borrow_mut().remove(number)?;
        self.timer_quota.borrow_mut().give_back(timer.task.account);
        Some(timer)
    }

    /// Sets a timer that repeats again.
    pub(super) fn repeat_timer(&self, number: u64, timer: Timer) {
        // it has just given its place back
        if self.timer_quota.borrow_mut().take(timer.task.account).is_ok() {
            self.timers.borrow_mut().insert(number, timer);
        }
    }

    /// Removes the timers and calls of a task. Returns the numbers of the timers, and of the calls' callbacks.
    pub(super) fn remove_pending_of(&self, task: &Rc<Task>) -> (InRealms<u64>, InRealms<u64>) {
        let mut callbacks = Vec::new();
        self.calls.borrow_mut().retain(|_, call| {
            let other = !Rc::ptr_eq(&call.task, task);
            if !other {
                self.call_quota.borrow_mut().give_back(task.account);
                callbacks.push((call.realm, call.callback));
            }
            other
        });
        let timers = self.timers.borrow_mut().remove_all_of(task);
        let mut quota = self.timer_quota.borrow_mut();
        timers.iter().for_each(|_| quota.give_back(task.account));
        (timers, callbacks)
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

    /// Returns on whose account code runs now.
    fn account(&self) -> Account {
        self.current.borrow().as_ref().map_or(Account::NODE, |task| task.account)
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
            (self.emit)(Output::Answer { id: task.id, reply: reply.into() });
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
            Ok((error, _)) if !error.is_nullish() && self.is_out_of_memory(&error) => {
                Err(out_of_memory(&self.config.settings))
            }
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
            (self.emit)(Output::uncaught(error));
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
            Error::Allocation => out_of_memory(&self.config.settings),
            other => CallError::new(ErrorKind::BadAnswer, other.to_string()),
        }
    }

    /// Converts a value that was thrown, or that a promise was rejected with.
    pub(super) fn error_of_thrown<'js>(&self, ctx: &Ctx<'js>, thrown: &Js<'js>) -> CallError {
        match self.to_value(ctx, thrown) {
            Ok(value) if self.is_out_of_memory(&value) => out_of_memory(&self.config.settings),
            Ok(value) => CallError::from_value(value).shown_as(self.shown(ctx, thrown)),
            Err(_) => {
                let why = ctx.catch();
                let why = why.as_exception().and_then(rquickjs::Exception::message).unwrap_or_default();
                match self.meter.stopped() {
                    Some(reason) => self.meter.error(reason),
                    None if self.meter.memory.has_refused() => out_of_memory(&self.config.settings),
                    None => {
                        CallError::other(format!("the function failed with an error that could not be read: {why}"))
                    }
                }
            }
        }
    }

    /// Returns whether QuickJS threw this because an allocation failed. It throws an error, or `null` if there is no memory
    /// for an error either, which the prelude reports in words if a promise was rejected with it.
    fn is_out_of_memory(&self, thrown: &Value) -> bool {
        self.meter.memory.has_refused()
            && match thrown {
                Value::Null => true,
                Value::Error(error) if error.name == "InternalError" => error.message == "out of memory",
                Value::Error(error) => error.message == "the promise was rejected with null",
                _ => false,
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

/// The address of a context, which identifies its realm. It is never followed.
fn address(ctx: &Ctx<'_>) -> usize {
    ctx.as_raw().as_ptr() as usize
}
