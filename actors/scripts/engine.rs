//! An engine: a single-threaded machine that runs code when its driver tells it to. It has no thread and no clock.
//!
//! ```text
//! take(Run)    runs the code, then jobs until none is left          -> Answer, now or later
//! take(Reply)  runs the callback of a call that code made, then jobs -> Answer, Call, …
//! fire()       runs the timers that are due, and jobs after each
//! ```
//!
//! A *job* is what JavaScript calls one: a continuation of a promise, or a microtask. Code always runs for a *task*,
//! which is an invocation with every timer and callback that results from it. A task that exceeds its limit is
//! interrupted, is answered with an error, and loses its timers and callbacks. Two things make the engine itself
//! unusable: jobs that never end, and a heap that stays full. Before `take` or `fire` returns, the engine then replaces
//! itself with a new one.

use std::{cell::Cell, rc::Rc};

use chinwag_protocol::call::{CallError, ErrorKind, Reply, reply_to_pair};
use rquickjs::{Context, Error, Result as JsResult, Runtime, Value as Js, qjs};
use tokio::time::Instant;

use super::{
    engine_config::EngineConfig,
    errors::engine_replaced,
    host_functions, invoke,
    memory::CountingAllocator,
    messages::{Input, Invocation, Output},
    meter::StopReason,
    prelude::Prelude,
    state::EngineState,
    task::Task,
    timers::Timer,
};

/// How many timers run before the driver can deliver the next message.
const TIMERS_AT_ONCE: usize = 64;

/// How many jobs run between two checks of the limits. A single long job is interrupted like any other code.
const JOBS_AT_ONCE: usize = 32;

/// A QuickJS runtime together with the code in it.
pub(super) struct Engine {
    /// `None` if QuickJS did not start.
    quickjs: Option<QuickJs>,
    state: Rc<EngineState>,
    /// How many pending timers and calls the engine last reported.
    reported: Cell<usize>,
}

struct QuickJs {
    context: Context,
    runtime: Runtime,
}

impl Engine {
    /// Creates an engine that calls `emit` with every message.
    pub(super) fn new(config: EngineConfig, emit: Rc<dyn Fn(Output)>) -> Engine {
        Engine::with_numbers(config, emit, Rc::default())
    }

    fn with_numbers(config: EngineConfig, emit: Rc<dyn Fn(Output)>, numbers: Rc<Cell<u64>>) -> Engine {
        let state = Rc::new(EngineState::new(config, emit, numbers));
        let quickjs = match QuickJs::start(&state) {
            Ok(quickjs) => Some(quickjs),
            Err(why) => {
                log::error!(target: "chinwag::scripts", "the script engine does not start: {why}");
                None
            }
        };
        Engine { quickjs, state, reported: Cell::new(0) }
    }

    /// Returns when the next timer is due.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.state.timers.borrow().next_due()
    }

    /// Handles a message.
    pub(super) fn take(&mut self, input: Input) {
        self.report_busy();
        match input {
            Input::Run(invocation) => self.run(invocation),
            Input::Reply { number, reply } => self.deliver(number, reply),
        }
        self.report_pending();
    }

    /// Runs timers that are due, up to a limit, and answers the tasks whose deadline has passed.
    pub(super) fn fire(&mut self) {
        let due = self.state.timers.borrow().due(Instant::now(), TIMERS_AT_ONCE);
        if !due.is_empty() {
            self.report_busy();
        }
        for number in due {
            // a timer before it may have removed it, or caused the engine to be replaced
            let removed = self.state.timers.borrow_mut().remove(number);
            let Some(Timer { period, task, .. }) = removed else { continue };
            if let Some(period) = period {
                let due = self.state.config.clock.clock.after(period);
                let timer = Timer { due, period: Some(period), task: task.clone() };
                self.state.timers.borrow_mut().insert(number, timer);
            }
            self.enter(&task, |prelude| prelude.function("fire")?.call((number as f64,)));
        }
        for task in self.state.overdue() {
            let message = "the function did not answer in time";
            self.state.answer(&task, Err(CallError::new(ErrorKind::DeadlineExceeded, message)));
        }
        self.report_pending();
    }

    /// Reports that something is pending before any task is answered, so that nobody takes the answer for the end.
    fn report_busy(&self) {
        if self.reported.get() == 0 {
            self.reported.set(1);
            (self.state.emit)(Output::Pending(1));
        }
    }

    fn report_pending(&self) {
        let pending = self.state.pending();
        if self.reported.replace(pending) != pending {
            (self.state.emit)(Output::Pending(pending));
        }
    }

    fn run(&mut self, invocation: Invocation) {
        let Invocation { id, origin, code, arguments } = invocation;
        let task = Task::new(id, origin);
        if self.quickjs.is_none() {
            let message = "the script engine did not start";
            return self.state.answer(&task, Err(CallError::new(ErrorKind::Unsupported, message)));
        }
        self.state.add_task(&task);
        if !task.has_caller() {
            let message = "the deadline passed before the function was called";
            return self.state.answer(&task, Err(CallError::new(ErrorKind::DeadlineExceeded, message)));
        }
        let state = self.state.clone();
        let for_task = task.clone();
        self.enter(&task, move |prelude| invoke::run(&state, prelude, for_task, code, &arguments));
    }

    /// Calls the callback of a call that code made.
    fn deliver(&mut self, number: u64, reply: Reply) {
        let Some((task, callback)) = self.state.finish_call(number) else { return };
        if callback == 0 {
            if let Err(error) = reply {
                log::debug!(target: "chinwag::scripts", "a call without a callback failed: {error}");
            }
            return;
        }
        let state = self.state.clone();
        let failed = reply.is_err();
        let (error, value) = reply_to_pair(reply);
        self.enter(&task, move |prelude| {
            let ctx = prelude.ctx();
            let error = state.to_js(ctx, &error)?;
            let value = if failed { Js::new_undefined(ctx.clone()) } else { state.to_js(ctx, &value)? };
            prelude.function("settle")?.call((callback as f64, error, value))
        });
    }

    /// Runs code for a task, and then the jobs that it leaves.
    fn enter(&mut self, task: &Rc<Task>, code: impl for<'js> FnOnce(&Prelude<'js>) -> JsResult<()>) {
        let Some(quickjs) = &self.quickjs else { return };
        let state = self.state.clone();
        let allowance = state.meter.allowance(task);
        if task.ended.get() || allowance == 0 {
            return self.end_task(task, StopReason::Time);
        }
        let reading = state.meter.start(task, allowance);
        *state.current.borrow_mut() = Some(task.clone());
        // SAFETY: the runtime is alive and only this thread enters it; the stack limit counts from here
        unsafe { qjs::JS_UpdateStackTop(qjs::JS_GetRuntime(quickjs.context.as_raw().as_ptr())) };
        let failure = quickjs.context.with(|ctx| {
            let done = state.prelude(&ctx).and_then(|prelude| code(&prelude));
            done.err().map(|error| state.error_of(&ctx, error))
        });
        if let Some(error) = failure {
            state.report(task, error);
        }
        let no_job_left = quickjs.run_jobs(&state, task);
        *state.current.borrow_mut() = None;
        if let Some(reason) = state.meter.finish(task, reading) {
            self.end_task(task, reason);
        }
        if !no_job_left {
            self.replace("its jobs do not end");
        } else if self.is_memory_full() {
            self.replace("its memory is full");
        }
    }

    /// Ends a task that exceeded a limit: answers it, and removes everything that could make its code run again.
    fn end_task(&self, task: &Rc<Task>, reason: StopReason) {
        let state = &self.state;
        task.ended.set(true);
        // nobody needs to hear of code that the person at the prompt stopped
        if reason != StopReason::Interrupted || task.unanswered.get() {
            state.report(task, state.meter.error(reason));
        }
        let (timers, callbacks) = state.remove_pending_of(task);
        let Some(quickjs) = &self.quickjs else { return };
        quickjs.context.with(|ctx| {
            let Ok(prelude) = state.prelude(&ctx) else { return };
            let forget = |name: &str, number: u64| -> JsResult<()> { prelude.function(name)?.call((number as f64,)) };
            let timers = timers.into_iter().map(|number| ("forgetTimer", number));
            for (name, number) in timers.chain(callbacks.into_iter().map(|number| ("forgetCallback", number))) {
                if forget(name, number).is_err() {
                    drop(ctx.catch());
                }
            }
        });
    }

    fn is_memory_full(&self) -> bool {
        let Some(quickjs) = &self.quickjs else { return false };
        self.state.meter.is_memory_full(|| quickjs.runtime.run_gc())
    }

    /// Replaces this engine with a new one, and answers all of its tasks.
    fn replace(&mut self, why: &str) {
        log::warn!(target: "chinwag::scripts", "the script engine is replaced, because {why}");
        for task in self.state.unanswered() {
            self.state.answer(&task, Err(engine_replaced()));
        }
        let (config, emit, numbers) = (self.state.config.clone(), self.state.emit.clone(), self.state.numbers.clone());
        // the old runtime goes first, so that the two never hold memory at the same time
        self.close();
        let reported = self.reported.get();
        *self = Engine::with_numbers(config, emit, numbers);
        self.reported.set(reported);
    }

    /// Drops the runtime, after everything that belongs to it.
    fn close(&mut self) {
        self.state.release();
        self.quickjs = None;
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

impl QuickJs {
    fn start(state: &Rc<EngineState>) -> JsResult<QuickJs> {
        let runtime = Runtime::new_with_alloc(CountingAllocator(state.meter.memory.clone()))?;
        runtime.set_max_stack_size(state.config.settings.stack);
        let context = Context::full(&runtime)?;
        let for_interrupts = state.clone();
        runtime.set_interrupt_handler(Some(Box::new(move || for_interrupts.meter.interrupt())));
        let for_rejections = state.clone();
        runtime.set_host_promise_rejection_tracker(Some(Box::new(move |ctx, promise, reason, has_handler| {
            // SAFETY: the pointer only identifies the promise and is not followed
            let promise = unsafe { qjs::JS_VALUE_GET_PTR(promise.as_raw()) } as usize;
            for_rejections.track_rejection(&ctx, promise, reason, has_handler);
        })));
        context.with(|ctx| {
            host_functions::install(state, &ctx).inspect_err(|_| {
                let thrown = ctx.catch();
                log::error!(target: "chinwag::scripts", "the prelude failed: {thrown:?}");
            })
        })?;
        Ok(QuickJs { context, runtime })
    }

    /// Runs jobs until none is left or the engine interrupts them. Returns whether none is left.
    fn run_jobs(&self, state: &EngineState, task: &Task) -> bool {
        let mut jobs = 0_usize;
        while state.meter.stopped().is_none() {
            match self.runtime.execute_pending_job() {
                Ok(false) => break,
                Ok(true) => {}
                Err(exception) => {
                    let error = exception.0.with(|ctx| state.error_of(&ctx, Error::Exception));
                    state.report(task, error);
                }
            }
            jobs += 1;
            if jobs.is_multiple_of(JOBS_AT_ONCE) {
                state.meter.interrupt();
            }
        }
        if let Some(reason) = state.take_rejection() {
            let error = self.context.with(|ctx| match reason.restore(&ctx) {
                Ok(reason) => state.error_of_thrown(&ctx, &reason),
                Err(error) => state.error_of(&ctx, error),
            });
            state.report(task, error);
        }
        !self.runtime.is_job_pending()
    }
}
