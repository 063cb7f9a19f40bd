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
    engine_config::Plan,
    errors::engine_replaced,
    host_functions,
    inner::{Entries, Inner, Stopped, Task, Timer},
    memory::{Counting, Memory},
    messages::{Input, Job, Output, What},
    source,
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
    running: Option<Running>,
    inner: Rc<Inner>,
    shown: Cell<usize>,
}

struct Running {
    context: Context,
    runtime: Runtime,
}

impl Engine {
    /// Makes an engine that tells what it wants by `emit`.
    pub fn new(plan: Plan, emit: Rc<dyn Fn(Output)>) -> Engine {
        Engine::succeeding(plan, emit, Rc::default())
    }

    fn succeeding(plan: Plan, emit: Rc<dyn Fn(Output)>, numbers: Rc<Cell<u64>>) -> Engine {
        // a stream that neither the node nor a predecessor draws from
        let mut chance: ChaCha8Rng = rand::SeedableRng::from_seed(plan.seed);
        chance.set_stream(numbers.get() + 1);
        let memory = Memory::new(plan.settings.memory + plan.settings.memory / 4);
        let inner = Rc::new(Inner {
            plan,
            emit,
            chance: RefCell::new(chance),
            remotes: Cell::new(0),
            memory,
            entries: RefCell::default(),
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
        let running = match Running::start(&inner) {
            Ok(running) => Some(running),
            Err(why) => {
                log::error!(target: "chinwag::scripts", "the script engine does not start: {why}");
                None
            }
        };
        Engine { running, inner, shown: Cell::new(0) }
    }

    /// When the next timer is due.
    pub fn next_timer(&self) -> Option<Instant> {
        self.inner.schedule.borrow().first_key_value().map(|((due, _), ())| *due)
    }

    /// Works on what came in.
    pub fn take(&mut self, input: Input) {
        self.tell_busy();
        match input {
            Input::Call(job) => self.call(job),
            Input::Settle { number, reply } => self.settle(number, reply),
        }
        self.tell_work();
    }

    /// Runs timers that are due, some at a time, and gives up tasks whose deadline has passed.
    pub fn fire(&mut self) {
        let now = Instant::now();
        let due: Vec<u64> = {
            let schedule = self.inner.schedule.borrow();
            let due = schedule.keys().take_while(|(due, _)| *due <= now);
            due.take(TIMERS_AT_ONCE).map(|(_, number)| *number).collect()
        };
        if !due.is_empty() {
            self.tell_busy();
        }
        for number in due {
            // one of them may have stopped another, or taken the engine with it
            let Some((task, period)) = self.inner.timers.borrow().get(&number).map(|t| (t.task.clone(), t.period))
            else {
                continue;
            };
            let inner = &self.inner;
            inner.stop_timer(number);
            if let Some(period) = period {
                let due = self.inner.plan.wall.clock.after(period);
                inner.schedule.borrow_mut().insert((due, number), ());
                inner.timers.borrow_mut().insert(number, Timer { due, period: Some(period), task: task.clone() });
            }
            self.enter(&task, |_, entries| entries.helper("fire")?.call((number as f64,)));
        }
        let late: Vec<Rc<Task>> = self.inner.open.borrow().values().filter(|task| !task.is_open()).cloned().collect();
        for task in late {
            let message = "the function did not answer in time";
            self.inner.answer(&task, Err(CallError::new(ErrorKind::DeadlineExceeded, message)));
        }
        self.tell_work();
    }

    /// Says that there is something under way, before anything is answered that might be taken for the end.
    fn tell_busy(&self) {
        if self.shown.get() == 0 {
            self.shown.set(1);
            (self.inner.emit)(Output::Work(1));
        }
    }

    fn tell_work(&self) {
        let work = self.inner.work();
        if self.shown.replace(work) != work {
            (self.inner.emit)(Output::Work(work));
        }
    }

    fn call(&mut self, job: Job) {
        let Job { id, origin, what, arguments } = job;
        let (open, answered, dead, spent) = (Cell::new(true), Cell::new(false), Cell::new(false), Cell::new(0));
        let task = Rc::new(Task { id, origin, open, answered, dead, spent, born: Instant::now() });
        if self.running.is_none() {
            let message = "the script engine did not start";
            return self.inner.answer(&task, Err(CallError::new(ErrorKind::Unsupported, message)));
        }
        self.inner.open.borrow_mut().insert(id, task.clone());
        if !task.is_open() {
            let message = "the deadline passed before the function was called";
            return self.inner.answer(&task, Err(CallError::new(ErrorKind::DeadlineExceeded, message)));
        }
        let inner = self.inner.clone();
        let for_task = task.clone();
        self.enter(&task, move |ctx, entries| {
            let global = ctx.globals();
            let (function, this) = match what {
                What::Function(function) => (entries.compile(function.source())?, global.into_value()),
                What::Remote(name) => {
                    let function: Js = entries.helper("remote")?.call((name,))?;
                    let gone = || rquickjs::Exception::throw_reference(ctx, "the function went with its engine");
                    (function.into_function().ok_or_else(gone)?, global.into_value())
                }
                What::Method(service, method) => {
                    let this = inner.service(ctx, &service)?;
                    let function: Js = this.get(method)?;
                    let no_function = || rquickjs::Exception::throw_type(ctx, "the method is no function");
                    (function.into_function().ok_or_else(no_function)?, this.into_value())
                }
                What::Source(source) => return run_source(&inner, ctx, entries, for_task, source),
            };
            invoke(&inner, ctx, entries, for_task, &function, this, &arguments)
        });
    }

    fn settle(&mut self, number: u64, reply: Reply) {
        let Some((task, callback)) = self.inner.pending.borrow_mut().remove(&number) else { return };
        if callback == 0 {
            if let Err(error) = reply {
                log::debug!(target: "chinwag::scripts", "a call without a callback failed: {error}");
            }
            return;
        }
        let inner = self.inner.clone();
        let failed = reply.is_err();
        let (error, value) = reply_to_pair(reply);
        self.enter(&task, move |ctx, entries| {
            let error = inner.to_js(ctx, &error)?;
            let value = if failed { Js::new_undefined(ctx.clone()) } else { inner.to_js(ctx, &value)? };
            entries.helper("settle")?.call((callback as f64, error, value))
        });
    }

    /// Runs code on behalf of a task, and the jobs that it leaves.
    fn enter(&mut self, task: &Rc<Task>, act: impl for<'js> FnOnce(&Ctx<'js>, &Entries<'js>) -> JsResult<()>) {
        let Some(running) = &self.running else { return };
        let inner = self.inner.clone();
        let allowance = inner.allowance(task);
        if task.dead.get() || allowance == 0 {
            return self.end_task(task, Stopped::Time);
        }
        let before = inner.clock();
        inner.until.set(before.saturating_add(allowance));
        inner.stopped.set(None);
        *inner.current.borrow_mut() = Some(task.clone());
        inner.plan.pulse.enter(task.id);
        // SAFETY: the runtime is alive and entered by this thread only; its stack begins here this time
        unsafe { qjs::JS_UpdateStackTop(qjs::JS_GetRuntime(running.context.as_raw().as_ptr())) };

        let fault = running.context.with(|ctx| {
            let done = inner.entries(&ctx).and_then(|entries| act(&ctx, &entries));
            done.err().map(|error| inner.fault(&ctx, error))
        });
        self.report(task, fault);
        let drained = self.drain(task);

        task.spent.set(task.spent.get().saturating_add(inner.clock().saturating_sub(before)));
        inner.plan.pulse.leave();
        inner.until.set(u64::MAX);
        *inner.current.borrow_mut() = None;
        let stopped = inner.stopped.take();
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
        let (Some(running), inner) = (&self.running, &self.inner) else { return true };
        let mut jobs = 0_usize;
        while inner.stopped.get().is_none() {
            match running.runtime.execute_pending_job() {
                Ok(false) => break,
                Ok(true) => {}
                Err(exception) => {
                    let fault = exception.0.with(|ctx| inner.fault(&ctx, Error::Exception));
                    self.report(task, Some(fault));
                }
            }
            jobs += 1;
            if jobs.is_multiple_of(JOBS_AT_ONCE) {
                inner.interrupt();
            }
        }
        let rejections = std::mem::take(&mut *inner.rejections.borrow_mut());
        if let Some((_, reason)) = rejections.into_iter().next() {
            let fault = running.context.with(|ctx| match reason.restore(&ctx) {
                Ok(reason) => inner.thrown(&ctx, &reason),
                Err(error) => inner.fault(&ctx, error),
            });
            self.report(task, Some(fault));
        }
        !running.runtime.is_job_pending()
    }

    /// An error that code did not catch answers its task; one that nobody waits for is told to whoever reads logs.
    fn report(&self, task: &Task, fault: Option<CallError>) {
        let Some(fault) = fault else { return };
        if task.open.get() {
            self.inner.answer_by_code(task, Err(fault));
        } else {
            (self.inner.emit)(Output::Uncaught(fault));
        }
    }

    /// Takes from a task all that could make it run again.
    fn end_task(&self, task: &Rc<Task>, stopped: Stopped) {
        let inner = &self.inner;
        task.dead.set(true);
        let error = inner.stop_error(stopped);
        self.report(task, Some(error));
        let of_task = |other: &Rc<Task>| Rc::ptr_eq(other, task);
        let timers: Vec<u64> =
            inner.timers.borrow().iter().filter(|(_, timer)| of_task(&timer.task)).map(|(number, _)| *number).collect();
        let calls: Vec<(u64, u64)> = {
            let pending = inner.pending.borrow();
            pending
                .iter()
                .filter(|(_, (other, _))| of_task(other))
                .map(|(number, (_, call))| (*number, *call))
                .collect()
        };
        for number in &timers {
            inner.stop_timer(*number);
        }
        for (number, _) in &calls {
            inner.pending.borrow_mut().remove(number);
        }
        let Some(running) = &self.running else { return };
        running.context.with(|ctx| {
            let Ok(entries) = inner.entries(&ctx) else { return };
            let forget = |name: &str, number: u64| -> JsResult<()> { entries.helper(name)?.call((number as f64,)) };
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
        let Some(running) = &self.running else { return false };
        let (memory, limit) = (&self.inner.memory, self.inner.plan.settings.memory);
        if !memory.take_refused() && memory.used() <= limit / 8 * 7 {
            return false;
        }
        running.runtime.run_gc();
        memory.used() > limit / 4 * 3
    }

    /// Puts a fresh engine in this one's place.
    fn replace(&mut self, why: &str) {
        log::warn!(target: "chinwag::scripts", "the script engine is replaced: {why}");
        let open: Vec<Rc<Task>> = self.inner.open.borrow().values().cloned().collect();
        for task in open {
            self.inner.answer(&task, Err(engine_replaced()));
        }
        let (plan, emit, numbers) = (self.inner.plan.clone(), self.inner.emit.clone(), self.inner.numbers.clone());
        // first the old one, so that both never hold their memory at once
        self.empty();
        let shown = self.shown.get();
        *self = Engine::succeeding(plan, emit, numbers);
        self.shown.set(shown);
    }
}

/// Calls a function as one that was shipped is called.
fn invoke<'js>(
    inner: &Rc<Inner>,
    ctx: &Ctx<'js>,
    entries: &Entries<'js>,
    task: Rc<Task>,
    function: &JsFunction<'js>,
    this: Js<'js>,
    arguments: &[Value],
) -> JsResult<()> {
    let text: String = entries.helper("sourceOf")?.call((function.clone(),))?;
    let parameters = text.strip_prefix('s').and_then(source::parameters);
    let parameters = match parameters {
        Some(parameters) => parameters,
        // a native function says no more than this
        None => source::Parameters { count: function.get::<_, usize>("length")?, rest: false },
    };
    let place = parameters.before_callback(arguments.len());
    let given = rquickjs::Array::new(ctx.clone())?;
    for (index, argument) in arguments.iter().enumerate() {
        given.set(index, inner.to_js(ctx, argument)?)?;
    }
    for index in arguments.len()..place {
        given.set(index, Js::new_undefined(ctx.clone()))?;
    }
    given.set(place, callback(inner, ctx, task)?)?;
    entries.helper("invoke")?.call((function.clone(), this, given, parameters.declares(place)))
}

/// The function that answers a task.
fn callback<'js>(inner: &Rc<Inner>, ctx: &Ctx<'js>, task: Rc<Task>) -> JsResult<JsFunction<'js>> {
    fn typed<F: for<'js> Fn(Ctx<'js>, Rest<Js<'js>>) + 'static>(f: F) -> F {
        f
    }
    let inner = inner.clone();
    let answer = typed(move |ctx, arguments| {
        let argument = |index: usize| match arguments.0.get(index) {
            Some(argument) => argument.clone(),
            None => Js::new_undefined(ctx.clone()),
        };
        inner.answer_with(&ctx, &task, &argument(0), &argument(1));
    });
    JsFunction::new(ctx.clone(), answer)?.with_name("callback")
}

/// Runs text at top level, where `await` is allowed, and answers what it comes to.
fn run_source<'js>(
    inner: &Rc<Inner>,
    ctx: &Ctx<'js>,
    entries: &Entries<'js>,
    task: Rc<Task>,
    source: String,
) -> JsResult<()> {
    let mut options = EvalOptions::default();
    (options.strict, options.promise) = (false, true);
    options.filename = Some("script".to_owned());
    let result: Js = ctx.eval_with_options(source, options)?;
    entries.helper("show")?.call((result, callback(inner, ctx, task)?))
}

impl Running {
    fn start(inner: &Rc<Inner>) -> JsResult<Running> {
        let settings = &inner.plan.settings;
        let runtime = Runtime::new_with_alloc(Counting(inner.memory.clone()))?;
        runtime.set_max_stack_size(settings.stack);
        let context = Context::full(&runtime)?;
        let interrupted = inner.clone();
        runtime.set_interrupt_handler(Some(Box::new(move || interrupted.interrupt())));
        let rejected = inner.clone();
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
            let made = host_functions::install(inner, &ctx, PRELUDE);
            made.inspect_err(|_| {
                let thrown = ctx.catch();
                log::error!(target: "chinwag::scripts", "the prelude failed: {thrown:?}");
            })
        })?;
        Ok(Running { context, runtime })
    }
}

impl Engine {
    /// Ends what runs. What is the engine's must go before it does.
    fn empty(&mut self) {
        self.inner.entries.take();
        self.inner.rejections.take();
        self.inner.services.take();
        self.running = None;
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.empty();
    }
}
