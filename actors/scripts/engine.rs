//! An engine: a single-threaded machine that runs code when its driver tells it to. It has no thread and no clock.
//!
//! ```text
//! take(Run)    runs the code, then jobs until none is left          -> Answer, now or later
//! take(Reply)  runs the callback of a call that code made, then jobs -> Answer, Call, …
//! fire()       runs the first timer that is due, then jobs
//! ```
//!
//! A *job* is what JavaScript calls one: a continuation of a promise, or a microtask. Code always runs for a *task*,
//! which is an invocation with every timer and callback that results from it. A task that exceeds its limit is
//! interrupted, is answered with an error, and loses its timers and callbacks. Two things make the engine itself
//! unusable: jobs that never end, and a heap that stays full. Before `take` or `fire` returns, the engine then replaces
//! itself with a new one.

use std::{cell::Cell, collections::BTreeMap, rc::Rc, time::Duration};

use chinwag_protocol::call::{CallError, ErrorKind};
use rquickjs::{Context, Error, Result as JsResult, Runtime, qjs};
use tokio::time::Instant;

use super::{
    convert,
    engine_config::EngineConfig,
    errors::engine_restarted,
    host_functions, invoke,
    memory::CountingAllocator,
    messages::{Code, Input, Invocation, Output, Pair},
    meter::StopReason,
    prelude::Prelude,
    realm::RealmName,
    state::EngineState,
    task::Task,
    timers::Timer,
};

/// How many jobs run between two checks of the limits. A single long job is interrupted like any other code.
const JOBS_AT_ONCE: usize = 32;

/// A QuickJS runtime together with the code in it.
pub(super) struct Engine {
    /// `None` if QuickJS did not start.
    quickjs: Option<QuickJs>,
    state: Rc<EngineState>,
}

struct QuickJs {
    realms: BTreeMap<RealmName, Context>,
    runtime: Runtime,
}

impl Engine {
    /// Creates an engine that calls `emit` with every message.
    pub(super) fn new(config: EngineConfig, emit: Rc<dyn Fn(Output)>) -> Engine {
        let after = Rc::new(Cell::new(config.after));
        Engine::with_numbers(config, emit, after)
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
        Engine { quickjs, state }
    }

    /// Returns when the next timer is due.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.state.timers.borrow().next_due()
    }

    /// Handles a message.
    pub(super) fn take(&mut self, input: Input) {
        let used = match input {
            Input::Names(changes) => {
                return changes.into_iter().for_each(|change| self.state.config.directory.change(change));
            }
            Input::Waiting(waits) => return self.state.config.turn.set_node_waits(waits),
            // an inline engine never runs code while a message arrives, and others do not see this one
            Input::Interrupt => return,
            Input::DropOriginals(numbers) => return self.state.originals.drop_all(numbers),
            Input::DropServices(numbers) => return self.drop_services(&numbers),
            Input::Run(invocation) => self.run(invocation),
            Input::Reply { number, reply, .. } => self.deliver(number, reply),
        };
        let keeps_state = self.state.keeps_state.take();
        (self.state.emit)(Output::TurnEnded { used, pending: self.state.pending() as u64, keeps_state });
    }

    /// Runs the first timer that is due, and answers the tasks whose deadline has passed. Returns whether a timer was due.
    pub(super) fn fire(&mut self) -> bool {
        let due = self.state.timers.borrow().due(Instant::now(), 1);
        for number in &due {
            let number = *number;
            let Some(Timer { period, task, realm, .. }) = self.state.remove_timer(number) else { continue };
            if let Some(period) = period {
                let due = self.state.config.clock.clock.after(period);
                self.state.repeat_timer(number, Timer { due, period: Some(period), task: task.clone(), realm });
            }
            let used = self.enter(&task, realm, |prelude| prelude.function("fire")?.call((number as f64,)));
            let pending = self.state.pending() as u64;
            (self.state.emit)(Output::TimersFired { account: task.account, used, pending });
        }
        for task in self.state.overdue() {
            let message = "the function did not answer in time";
            self.state.answer(&task, Err(CallError::new(ErrorKind::DeadlineExceeded, message)));
        }
        !due.is_empty()
    }

    /// Runs an invocation. Returns what its code used.
    fn run(&mut self, invocation: Invocation) -> u64 {
        let Invocation { id, account, milliseconds_left, mut code, arguments } = invocation;
        if let Code::Method { service, definition, .. } = &mut code
            && let Some(definition) = definition.take()
        {
            self.state.define_service(*service, definition.0);
        }
        let clock = self.state.config.clock.clock;
        let deadline = clock.after(Duration::from_millis(milliseconds_left));
        let task = Task::new(id, account, self.realm_of(&code), deadline, clock);
        if self.quickjs.is_none() {
            let message = "the script engine did not start";
            self.state.answer(&task, Err(CallError::new(ErrorKind::Unsupported, message)));
            return 0;
        }
        self.state.add_task(&task);
        if !task.has_caller() {
            let message = "the deadline passed before the function was called";
            self.state.answer(&task, Err(CallError::new(ErrorKind::DeadlineExceeded, message)));
            return 0;
        }
        let state = self.state.clone();
        let for_task = task.clone();
        self.enter(&task, task.realm, move |prelude| invoke::run(&state, prelude, for_task, code, &arguments))
    }

    /// Returns the realm in which code runs.
    fn realm_of(&self, code: &Code) -> RealmName {
        match code {
            Code::Source(_) => RealmName::Prompt,
            Code::Registered(name) => self.state.realm_of_registered(name).unwrap_or(RealmName::Shipped),
            Code::Function(function) => {
                let original = convert::original_number(&function.0);
                original.and_then(|number| self.state.originals.realm(number)).unwrap_or(RealmName::Shipped)
            }
            Code::Method { service, .. } => match self.state.realm_of_service(*service) {
                Some(realm) => realm,
                None if self.state.config.settings.realm_per_service => RealmName::Service(*service),
                None => RealmName::Shipped,
            },
        }
    }

    /// Calls the callback of a call that code made. Returns what the callback used.
    fn deliver(&mut self, number: u64, reply: Pair) -> u64 {
        let Some((task, realm, callback)) = self.state.finish_call(number) else { return 0 };
        let (error, value) = (reply.error.0, reply.value.0);
        if callback == 0 {
            if !error.is_nullish() {
                log::debug!(target: "chinwag::scripts", "a call without a callback failed: {error:?}");
            }
            return 0;
        }
        let state = self.state.clone();
        self.enter(&task, realm, move |prelude| {
            let ctx = prelude.ctx();
            let error = state.to_js(ctx, &error)?;
            let value = state.to_js(ctx, &value)?;
            prelude.function("settle")?.call((callback as f64, error, value))
        })
    }

    /// Drops services with everything that their code has made.
    fn drop_services(&mut self, numbers: &[u64]) {
        let (timers, names) = self.state.drop_services(numbers);
        for (realm, timer) in timers {
            self.forget(realm, "forgetTimer", timer as f64);
        }
        for (realm, name) in &names {
            self.forget(*realm, "unregister", name.as_str());
        }
        if !names.is_empty() {
            (self.state.emit)(Output::Unregister(names.into_iter().map(|(_, name)| name).collect()));
        }
        if let Some(quickjs) = &mut self.quickjs {
            for number in numbers {
                if quickjs.realms.contains_key(&RealmName::Service(*number)) {
                    self.state.forget_realm(RealmName::Service(*number));
                    quickjs.realms.remove(&RealmName::Service(*number));
                }
            }
        }
    }

    /// Calls a function of the prelude that drops something, and runs no shipped code.
    fn forget(&self, realm: RealmName, function: &str, argument: impl for<'js> rquickjs::IntoJs<'js>) {
        let Some(context) = self.quickjs.as_ref().and_then(|quickjs| quickjs.realms.get(&realm)) else { return };
        context.with(|ctx| {
            let forgotten: JsResult<()> =
                self.state.prelude(&ctx).and_then(|prelude| prelude.function(function)?.call((argument,)));
            if forgotten.is_err() {
                drop(ctx.catch());
            }
        });
    }

    /// Runs code for a task, and then the jobs that it leaves. Returns what the code used.
    fn enter(
        &mut self,
        task: &Rc<Task>,
        realm: RealmName,
        code: impl for<'js> FnOnce(&Prelude<'js>) -> JsResult<()>,
    ) -> u64 {
        let Some(quickjs) = &mut self.quickjs else { return 0 };
        let state = self.state.clone();
        let allowance = state.meter.allowance(task);
        if task.ended.get() || allowance == 0 {
            self.end_task(task, StopReason::Time);
            return 0;
        }
        let reading = state.meter.start(task, allowance);
        *state.current.borrow_mut() = Some(task.clone());
        let failure = match quickjs.realm(&state, realm) {
            Ok(context) => {
                // SAFETY: the runtime is alive and only this thread enters it; the stack limit counts from here
                unsafe { qjs::JS_UpdateStackTop(qjs::JS_GetRuntime(context.as_raw().as_ptr())) };
                context.with(|ctx| {
                    let done = state.prelude(&ctx).and_then(|prelude| code(&prelude));
                    let failed = done.err().map(|error| state.error_of(&ctx, error));
                    state.note_state(&ctx, task);
                    failed
                })
            }
            Err(_) => Some(CallError::other("there is not enough memory for the realm of the service")),
        };
        // code that was interrupted gets its error below
        if let Some(error) = failure.filter(|_| state.meter.stopped().is_none()) {
            state.report(task, error);
        }
        let no_job_left = quickjs.run_jobs(&state, task);
        *state.current.borrow_mut() = None;
        let (used, stopped) = state.meter.finish(task, reading);
        if let Some(reason) = stopped {
            self.end_task(task, reason);
        }
        if !no_job_left {
            self.replace("its jobs do not end");
        } else if self.is_memory_full() {
            self.replace("its memory is full");
        }
        used
    }

    /// Ends a task that exceeded a limit: answers it, and removes everything that could make its code run again.
    fn end_task(&self, task: &Rc<Task>, reason: StopReason) {
        let state = &self.state;
        task.ended.set(true);
        // the person at the prompt knows that they stopped the code
        if reason != StopReason::Interrupted || task.unanswered.get() {
            state.report(task, state.meter.error(reason));
        }
        let (timers, callbacks) = state.remove_pending_of(task);
        timers.into_iter().for_each(|(realm, number)| self.forget(realm, "forgetTimer", number as f64));
        callbacks.into_iter().for_each(|(realm, number)| self.forget(realm, "forgetCallback", number as f64));
    }

    fn is_memory_full(&self) -> bool {
        let Some(quickjs) = &self.quickjs else { return false };
        self.state.meter.is_memory_full(|| quickjs.runtime.run_gc())
    }

    /// Replaces this engine with a new one, and answers all of its tasks.
    fn replace(&mut self, why: &str) {
        log::warn!(target: "chinwag::scripts", "the script engine is replaced, because {why}");
        for task in self.state.unanswered() {
            self.state.answer(&task, Err(engine_restarted()));
        }
        let (config, emit, numbers) = (self.state.config.clone(), self.state.emit.clone(), self.state.numbers.clone());
        // the old runtime goes first, so that the two never hold memory at the same time
        self.close();
        emit(Output::Replaced);
        *self = Engine::with_numbers(config, emit, numbers);
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
        let for_interrupts = state.clone();
        runtime.set_interrupt_handler(Some(Box::new(move || for_interrupts.meter.interrupt())));
        let for_rejections = state.clone();
        runtime.set_host_promise_rejection_tracker(Some(Box::new(move |ctx, promise, reason, has_handler| {
            // SAFETY: the pointer only identifies the promise and is not followed
            let promise = unsafe { qjs::JS_VALUE_GET_PTR(promise.as_raw()) } as usize;
            for_rejections.track_rejection(&ctx, promise, reason, has_handler);
        })));
        let mut quickjs = QuickJs { realms: BTreeMap::new(), runtime };
        quickjs.realm(state, RealmName::Shipped)?;
        Ok(quickjs)
    }

    /// Returns a realm, and makes it first if it does not exist.
    fn realm(&mut self, state: &Rc<EngineState>, name: RealmName) -> JsResult<&Context> {
        if !self.realms.contains_key(&name) {
            let context = Context::full(&self.runtime)?;
            context.with(|ctx| {
                host_functions::install(state, &ctx, name).inspect_err(|_| {
                    let thrown = ctx.catch();
                    // what the failed start made must go before the runtime does
                    state.forget_realm(name);
                    log::error!(target: "chinwag::scripts", "the prelude failed: {thrown:?}");
                })
            })?;
            self.realms.insert(name, context);
        }
        self.realms.get(&name).ok_or(Error::Unknown)
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
            // whatever runs has a realm, and the reason belongs to one of the same runtime
            let realm = self.realms.get(&task.realm).or_else(|| self.realms.values().next());
            let error = realm.map(|context| {
                context.with(|ctx| match reason.restore(&ctx) {
                    Ok(reason) => state.error_of_thrown(&ctx, &reason),
                    Err(error) => state.error_of(&ctx, error),
                })
            });
            if let Some(error) = error {
                state.report(task, error);
            }
        }
        !self.runtime.is_job_pending()
    }
}
