//! One engine: single-threaded, driven from outside, with no thread or clock of its own.
//!
//! ```text
//! take(Call)    -> the function runs; jobs run until none is left           -> Answer, now or later
//! take(Settle)  -> the callback of a call it made runs; jobs                -> Answer, Perform, …
//! fire()        -> timers that are due run, each followed by its jobs
//! ```
//!
//! Each such entry is on behalf of a *task*: the call that came in, with all the callbacks and timers that come of it.
//! A task has a deadline until it is answered, and processor time. What overdraws it is interrupted, answered with an
//! error, and loses its timers and callbacks; what leaves jobs behind that never end, or a full heap, takes the
//! engine with it, and a fresh one stands in its place when `take` returns.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use chinwag_protocol::{
    call::{CallError, ErrorKind, Reply, reply_to_pair},
    value::Value,
};
use rand_chacha::ChaCha8Rng;
use rquickjs::{
    Context, Ctx, Error, Function as JsFunction, Persistent, Result as JsResult, Runtime, Value as Js,
    context::EvalOptions, function::Rest, qjs,
};
use tokio::time::Instant;

use super::{
    convert::Helpers,
    engine_config::EngineConfig,
    errors::engine_replaced,
    host_functions,
    memory::{CountingAllocator, Memory},
    messages::{Code, Input, Invocation, Output},
    parameters,
    state::{EngineState, Prelude, StopReason, Task, Timer},
};

/// What surrounds shipped code.
const PRELUDE: &str = include_str!("prelude.js");

/// Timers that run before what came in meanwhile has its turn.
const TIMERS_AT_ONCE: usize = 64;

/// Jobs between two looks at the time. A job that runs long is interrupted by itself.
const JOBS_AT_ONCE: usize = 32;

/// Rejected promises that are remembered until it is known whether anyone cares.
const REJECTIONS: usize = 1_024;

/// A QuickJS runtime, with what runs in it.
pub(super) struct Engine {
    quickjs: Option<QuickJs>,
    state: Rc<EngineState>,
    shown: Cell<usize>,
}

struct QuickJs {
    context: Context,
    runtime: Runtime,
}

impl Engine {
    /// Makes an engine that tells what it wants by `emit`.
    pub fn new(config: EngineConfig, emit: Rc<dyn Fn(Output)>) -> Engine {
        Engine::succeeding(config, emit, Rc::default())
    }

    fn succeeding(config: EngineConfig, emit: Rc<dyn Fn(Output)>, numbers: Rc<Cell<u64>>) -> Engine {
        // a stream that neither the node nor a predecessor draws from
        let mut chance: ChaCha8Rng = rand::SeedableRng::from_seed(config.seed);
        chance.set_stream(numbers.get() + 1);
        let memory = Memory::new(config.settings.memory + config.settings.memory / 4);
        let state = Rc::new(EngineState {
            config,
            emit,
            chance: RefCell::new(chance),
            remotes: Cell::new(0),
            memory,
            prelude: RefCell::default(),
            current: RefCell::default(),
            open: RefCell::default(),
            timers: RefCell::default(),
            schedule: RefCell::default(),
            pending: RefCell::default(),
            rejections: RefCell::default(),
            services: RefCell::default(),
            numbers,
            until: Cell::new(u64::MAX),
            ticks: Cell::new(0),
            stopped: Cell::new(None),
        });
        let quickjs = match QuickJs::start(&state) {
            Ok(quickjs) => Some(quickjs),
            Err(why) => {
                log::error!(target: "chinwag::scripts", "the script engine does not start: {why}");
                None
            }
        };
        Engine { quickjs, state, shown: Cell::new(0) }
    }

    /// When the next timer is due.
    pub fn next_timer(&self) -> Option<Instant> {
        self.state.schedule.borrow().first_key_value().map(|((due, _), ())| *due)
    }

    /// Works on what came in.
    pub fn take(&mut self, input: Input) {
        self.tell_busy();
        match input {
            Input::Run(invocation) => self.run(invocation),
            Input::Reply { number, reply } => self.settle(number, reply),
        }
        self.tell_work();
    }

    /// Runs timers that are due, some at a time, and gives up tasks whose deadline has passed.
    pub fn fire(&mut self) {
        let now = Instant::now();
        let due: Vec<u64> = {
            let schedule = self.state.schedule.borrow();
            let due = schedule.keys().take_while(|(due, _)| *due <= now);
            due.take(TIMERS_AT_ONCE).map(|(_, number)| *number).collect()
        };
        if !due.is_empty() {
            self.tell_busy();
        }
        for number in due {
            // one of them may have stopped another, or taken the engine with it
            let Some((task, period)) = self.state.timers.borrow().get(&number).map(|t| (t.task.clone(), t.period))
            else {
                continue;
            };
            let state = &self.state;
            state.stop_timer(number);
            if let Some(period) = period {
                let due = self.state.config.clock.clock.after(period);
                state.schedule.borrow_mut().insert((due, number), ());
                state.timers.borrow_mut().insert(number, Timer { due, period: Some(period), task: task.clone() });
            }
            self.enter(&task, |_, prelude| prelude.helper("fire")?.call((number as f64,)));
        }
        let late: Vec<Rc<Task>> = self.state.open.borrow().values().filter(|task| !task.is_open()).cloned().collect();
        for task in late {
            let message = "the function did not answer in time";
            self.state.answer(&task, Err(CallError::new(ErrorKind::DeadlineExceeded, message)));
        }
        self.tell_work();
    }

    /// Says that there is something under way, before anything is answered that might be taken for the end.
    fn tell_busy(&self) {
        if self.shown.get() == 0 {
            self.shown.set(1);
            (self.state.emit)(Output::Pending(1));
        }
    }

    fn tell_work(&self) {
        let work = self.state.work();
        if self.shown.replace(work) != work {
            (self.state.emit)(Output::Pending(work));
        }
    }

    fn run(&mut self, invocation: Invocation) {
        let Invocation { id, origin, code, arguments } = invocation;
        let (open, answered, dead, spent) = (Cell::new(true), Cell::new(false), Cell::new(false), Cell::new(0));
        let task = Rc::new(Task { id, origin, open, answered, dead, spent, born: Instant::now() });
        if self.quickjs.is_none() {
            let message = "the script engine did not start";
            return self.state.answer(&task, Err(CallError::new(ErrorKind::Unsupported, message)));
        }
        self.state.open.borrow_mut().insert(id, task.clone());
        if !task.is_open() {
            let message = "the deadline passed before the function was called";
            return self.state.answer(&task, Err(CallError::new(ErrorKind::DeadlineExceeded, message)));
        }
        let state = self.state.clone();
        let for_task = task.clone();
        self.enter(&task, move |ctx, prelude| {
            let global = ctx.globals();
            let (function, this) = match code {
                Code::Function(function) => (prelude.compile(function.source())?, global.into_value()),
                Code::Registered(name) => {
                    let function: Js = prelude.helper("remote")?.call((name,))?;
                    let gone = || rquickjs::Exception::throw_reference(ctx, "the function went with its engine");
                    (function.into_function().ok_or_else(gone)?, global.into_value())
                }
                Code::Method(service, method) => {
                    let this = state.service(ctx, &service)?;
                    let function: Js = this.get(method)?;
                    let no_function = || rquickjs::Exception::throw_type(ctx, "the method is no function");
                    (function.into_function().ok_or_else(no_function)?, this.into_value())
                }
                Code::Source(source) => return run_source(&state, ctx, prelude, for_task, source),
            };
            invoke(&state, ctx, prelude, for_task, &function, this, &arguments)
        });
    }

    fn settle(&mut self, number: u64, reply: Reply) {
        let Some((task, callback)) = self.state.pending.borrow_mut().remove(&number) else { return };
        if callback == 0 {
            if let Err(error) = reply {
                log::debug!(target: "chinwag::scripts", "a call without a callback failed: {error}");
            }
            return;
        }
        let state = self.state.clone();
        let failed = reply.is_err();
        let (error, value) = reply_to_pair(reply);
        self.enter(&task, move |ctx, prelude| {
            let error = state.to_js(ctx, &error)?;
            let value = if failed { Js::new_undefined(ctx.clone()) } else { state.to_js(ctx, &value)? };
            prelude.helper("settle")?.call((callback as f64, error, value))
        });
    }

    /// Runs code on behalf of a task, and the jobs that it leaves.
    fn enter(&mut self, task: &Rc<Task>, act: impl for<'js> FnOnce(&Ctx<'js>, &Prelude<'js>) -> JsResult<()>) {
        let Some(quickjs) = &self.quickjs else { return };
        let state = self.state.clone();
        let allowance = state.allowance(task);
        if task.dead.get() || allowance == 0 {
            return self.end_task(task, StopReason::Time);
        }
        let before = state.clock();
        state.until.set(before.saturating_add(allowance));
        state.stopped.set(None);
        *state.current.borrow_mut() = Some(task.clone());
        state.config.heartbeat.enter(task.id);
        // SAFETY: the runtime is alive and entered by this thread only; its stack begins here this time
        unsafe { qjs::JS_UpdateStackTop(qjs::JS_GetRuntime(quickjs.context.as_raw().as_ptr())) };

        let fault = quickjs.context.with(|ctx| {
            let done = state.prelude(&ctx).and_then(|prelude| act(&ctx, &prelude));
            done.err().map(|error| state.fault(&ctx, error))
        });
        self.report(task, fault);
        let drained = self.drain(task);

        task.spent.set(task.spent.get().saturating_add(state.clock().saturating_sub(before)));
        state.config.heartbeat.leave();
        state.until.set(u64::MAX);
        *state.current.borrow_mut() = None;
        let stopped = state.stopped.take();
        if let Some(stopped) = stopped {
            self.end_task(task, stopped);
        }
        if !drained {
            self.replace("jobs that do not end");
        } else if self.is_full() {
            self.replace("a full heap");
        }
    }

    /// Runs jobs until there are none. Answers whether it came that far.
    fn drain(&self, task: &Rc<Task>) -> bool {
        let (Some(quickjs), state) = (&self.quickjs, &self.state) else { return true };
        let mut jobs = 0_usize;
        while state.stopped.get().is_none() {
            match quickjs.runtime.execute_pending_job() {
                Ok(false) => break,
                Ok(true) => {}
                Err(exception) => {
                    let fault = exception.0.with(|ctx| state.fault(&ctx, Error::Exception));
                    self.report(task, Some(fault));
                }
            }
            jobs += 1;
            if jobs.is_multiple_of(JOBS_AT_ONCE) {
                state.interrupt();
            }
        }
        let rejections = std::mem::take(&mut *state.rejections.borrow_mut());
        if let Some((_, reason)) = rejections.into_iter().next() {
            let fault = quickjs.context.with(|ctx| match reason.restore(&ctx) {
                Ok(reason) => state.thrown(&ctx, &reason),
                Err(error) => state.fault(&ctx, error),
            });
            self.report(task, Some(fault));
        }
        !quickjs.runtime.is_job_pending()
    }

    /// An error that code did not catch answers its task; one that nobody waits for is told to whoever reads logs.
    fn report(&self, task: &Task, fault: Option<CallError>) {
        let Some(fault) = fault else { return };
        if task.open.get() {
            self.state.answer_by_code(task, Err(fault));
        } else {
            (self.state.emit)(Output::Uncaught(fault));
        }
    }

    /// Takes from a task all that could make it run again.
    fn end_task(&self, task: &Rc<Task>, stopped: StopReason) {
        let state = &self.state;
        task.dead.set(true);
        let error = state.stop_error(stopped);
        self.report(task, Some(error));
        let of_task = |other: &Rc<Task>| Rc::ptr_eq(other, task);
        let timers: Vec<u64> =
            state.timers.borrow().iter().filter(|(_, timer)| of_task(&timer.task)).map(|(number, _)| *number).collect();
        let calls: Vec<(u64, u64)> = {
            let pending = state.pending.borrow();
            pending
                .iter()
                .filter(|(_, (other, _))| of_task(other))
                .map(|(number, (_, call))| (*number, *call))
                .collect()
        };
        for number in &timers {
            state.stop_timer(*number);
        }
        for (number, _) in &calls {
            state.pending.borrow_mut().remove(number);
        }
        let Some(quickjs) = &self.quickjs else { return };
        quickjs.context.with(|ctx| {
            let Ok(prelude) = state.prelude(&ctx) else { return };
            let forget = |name: &str, number: u64| -> JsResult<()> { prelude.helper(name)?.call((number as f64,)) };
            let timers = timers.into_iter().map(|number| ("drop", number));
            for (name, number) in timers.chain(calls.into_iter().map(|(_, callback)| ("forget", callback))) {
                if forget(name, number).is_err() {
                    drop(ctx.catch());
                }
            }
        });
    }

    /// Whether there is too little memory left to go on with.
    fn is_full(&self) -> bool {
        let Some(quickjs) = &self.quickjs else { return false };
        let (memory, limit) = (&self.state.memory, self.state.config.settings.memory);
        if !memory.take_refused() && memory.used() <= limit / 8 * 7 {
            return false;
        }
        quickjs.runtime.run_gc();
        memory.used() > limit / 4 * 3
    }

    /// Puts a fresh engine in this one's place.
    fn replace(&mut self, why: &str) {
        log::warn!(target: "chinwag::scripts", "the script engine is replaced: {why}");
        let open: Vec<Rc<Task>> = self.state.open.borrow().values().cloned().collect();
        for task in open {
            self.state.answer(&task, Err(engine_replaced()));
        }
        let (config, emit, numbers) = (self.state.config.clone(), self.state.emit.clone(), self.state.numbers.clone());
        // first the old one, so that both never hold their memory at once
        self.empty();
        let shown = self.shown.get();
        *self = Engine::succeeding(config, emit, numbers);
        self.shown.set(shown);
    }
}

/// Calls a function as one that was shipped is called.
fn invoke<'js>(
    state: &Rc<EngineState>,
    ctx: &Ctx<'js>,
    prelude: &Prelude<'js>,
    task: Rc<Task>,
    function: &JsFunction<'js>,
    this: Js<'js>,
    arguments: &[Value],
) -> JsResult<()> {
    let text: String = prelude.helper("sourceOf")?.call((function.clone(),))?;
    let parameters = text.strip_prefix('s').and_then(parameters::parameters);
    let parameters = match parameters {
        Some(parameters) => parameters,
        // a native function says no more than this
        None => parameters::Parameters { count: function.get::<_, usize>("length")?, rest: false },
    };
    let place = parameters.before_callback(arguments.len());
    let given = rquickjs::Array::new(ctx.clone())?;
    for (index, argument) in arguments.iter().enumerate() {
        given.set(index, state.to_js(ctx, argument)?)?;
    }
    for index in arguments.len()..place {
        given.set(index, Js::new_undefined(ctx.clone()))?;
    }
    given.set(place, callback(state, ctx, task)?)?;
    prelude.helper("invoke")?.call((function.clone(), this, given, parameters.declares(place)))
}

/// The function that answers a task.
fn callback<'js>(state: &Rc<EngineState>, ctx: &Ctx<'js>, task: Rc<Task>) -> JsResult<JsFunction<'js>> {
    fn typed<F: for<'js> Fn(Ctx<'js>, Rest<Js<'js>>) + 'static>(f: F) -> F {
        f
    }
    let state = state.clone();
    let answer = typed(move |ctx, arguments| {
        let argument = |index: usize| match arguments.0.get(index) {
            Some(argument) => argument.clone(),
            None => Js::new_undefined(ctx.clone()),
        };
        state.answer_with(&ctx, &task, &argument(0), &argument(1));
    });
    JsFunction::new(ctx.clone(), answer)?.with_name("callback")
}

/// Runs text at top level, where `await` is allowed, and answers what it comes to.
fn run_source<'js>(
    state: &Rc<EngineState>,
    ctx: &Ctx<'js>,
    prelude: &Prelude<'js>,
    task: Rc<Task>,
    source: String,
) -> JsResult<()> {
    let mut options = EvalOptions::default();
    (options.strict, options.promise) = (false, true);
    options.filename = Some("script".to_owned());
    let result: Js = ctx.eval_with_options(source, options)?;
    prelude.helper("show")?.call((result, callback(state, ctx, task)?))
}

impl QuickJs {
    fn start(state: &Rc<EngineState>) -> JsResult<QuickJs> {
        let settings = &state.config.settings;
        let runtime = Runtime::new_with_alloc(CountingAllocator(state.memory.clone()))?;
        runtime.set_max_stack_size(settings.stack);
        let context = Context::full(&runtime)?;
        let interrupted = state.clone();
        runtime.set_interrupt_handler(Some(Box::new(move || interrupted.interrupt())));
        let rejected = state.clone();
        runtime.set_host_promise_rejection_tracker(Some(Box::new(move |ctx, promise, reason, handled| {
            // SAFETY: the pointer serves as the promise's name and is not followed
            let promise = unsafe { qjs::JS_VALUE_GET_PTR(promise.as_raw()) } as usize;
            let mut rejections = rejected.rejections.borrow_mut();
            if handled {
                rejections.retain(|(other, _)| *other != promise);
            } else if rejections.len() < REJECTIONS {
                rejections.push((promise, Persistent::save(&ctx, reason)));
            }
        })));
        context.with(|ctx| {
            let made = host_functions::install(state, &ctx, PRELUDE);
            made.inspect_err(|_| {
                let thrown = ctx.catch();
                log::error!(target: "chinwag::scripts", "the prelude failed: {thrown:?}");
            })
        })?;
        Ok(QuickJs { context, runtime })
    }
}

impl Engine {
    /// Ends what runs. What is the engine's must go before it does.
    fn empty(&mut self) {
        self.state.prelude.take();
        self.state.rejections.take();
        self.state.services.take();
        self.quickjs = None;
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.empty();
    }
}
