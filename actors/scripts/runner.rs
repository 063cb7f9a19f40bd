//! Runs code for a node: starts the engine, passes messages between it and the host, and replaces an engine that does
//! not return.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::{Rc, Weak},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chinwag_protocol::{
    call::{Call, CallError, ErrorKind, Reply},
    identity::{Gid, NodeAddr},
    value::Value,
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::timeout_at,
};

use super::{
    clock::WallClock,
    directory::Directory,
    engine_config::EngineConfig,
    errors::{engine_replaced, interrupted, limit_exceeded},
    heartbeat::Heartbeat,
    host::Host,
    inline::InlineEngine,
    messages::{Code, Input, Invocation, Output},
    settings::ScriptSettings,
    thread::EngineThread,
};
use crate::request::{Origin, ReplyFuture, ready};

/// How often the watchdog checks the engine while code runs.
const WATCHDOG_INTERVAL: Duration = Duration::from_millis(50);

/// Runs code for one node, on one engine at a time.
pub(super) struct Runner {
    me: NodeAddr,
    settings: ScriptSettings,
    directory: Directory,
    seed: [u8; 32],
    clock: WallClock,
    /// `None` before the node has started and after it has stopped.
    host: RefCell<Option<Rc<dyn Host>>>,
    engine: RefCell<Option<RunningEngine>>,
    /// The callers that wait for an answer, by the id of their invocation.
    callers: RefCell<BTreeMap<u64, oneshot::Sender<Reply>>>,
    /// The ids of the scripts among them, which their owner can interrupt.
    scripts: RefCell<BTreeSet<u64>>,
    last_id: Cell<u64>,
    /// How many engines have been started.
    starts: Cell<u64>,
    /// How many timers and calls of shipped code are pending.
    pending: Cell<usize>,
    /// The first error that no code caught since [`Runner::idle`] was last called.
    uncaught: RefCell<Option<CallError>>,
    /// Notified when `callers` or `pending` changes.
    changed: Notify,
    /// How many abandoned engines have not ended.
    stuck: Arc<AtomicUsize>,
}

struct RunningEngine {
    handle: EngineHandle,
    heartbeat: Arc<Heartbeat>,
}

#[derive(Clone)]
enum EngineHandle {
    Thread(EngineThread),
    Inline(InlineEngine),
}

impl EngineHandle {
    /// Returns whether both handles are of the same engine.
    fn is(&self, other: &EngineHandle) -> bool {
        match (self, other) {
            (EngineHandle::Thread(this), EngineHandle::Thread(other)) => this.is(other),
            (EngineHandle::Inline(this), EngineHandle::Inline(other)) => this.is(other),
            _ => false,
        }
    }

    fn send(&self, input: Input) {
        match self {
            EngineHandle::Thread(thread) => thread.send(input),
            EngineHandle::Inline(engine) => engine.send(input),
        }
    }

    /// Removes an invocation that has not started.
    fn cancel(&self, id: u64) {
        // an inline engine takes every message at once, so nothing waits in its queue
        if let EngineHandle::Thread(thread) = self {
            thread.cancel(id);
        }
    }

    fn close(&self) {
        if let EngineHandle::Thread(thread) = self {
            thread.close();
        }
    }

    /// Returns whether the engine ended by itself, after a panic.
    fn has_ended(&self) -> bool {
        matches!(self, EngineHandle::Thread(thread) if thread.has_ended())
    }
}

impl Runner {
    pub(super) fn new(
        me: NodeAddr,
        settings: ScriptSettings,
        directory: Directory,
        seed: [u8; 32],
        clock: WallClock,
    ) -> Rc<Runner> {
        Rc::new(Runner {
            me,
            settings,
            directory,
            seed,
            clock,
            host: RefCell::default(),
            engine: RefCell::default(),
            callers: RefCell::default(),
            scripts: RefCell::default(),
            last_id: Cell::new(0),
            starts: Cell::new(0),
            pending: Cell::new(0),
            uncaught: RefCell::default(),
            changed: Notify::new(),
            stuck: Arc::default(),
        })
    }

    /// Sets the host. No code runs before.
    pub(super) fn attach(&self, host: Rc<dyn Host>) {
        *self.host.borrow_mut() = Some(host);
    }

    /// Runs code. Answers by the deadline of `origin`.
    pub(super) fn run(self: &Rc<Runner>, code: Code, arguments: Vec<Value>, origin: Origin) -> ReplyFuture {
        let engine = match self.engine() {
            Ok(engine) => engine,
            Err(error) => return ready(Err(error)),
        };
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        let (caller, reply) = oneshot::channel();
        self.callers.borrow_mut().insert(id, caller);
        if let Code::Source(_) = code {
            self.scripts.borrow_mut().insert(id);
        }
        self.changed.notify_waiters();
        let deadline = self.clock.clock.after(origin.time_left());
        engine.send(Input::Run(Invocation { id, origin, code, arguments }));
        let guard = CallerGuard { runner: Rc::downgrade(self), id };
        Box::pin(async move {
            let _guard = guard;
            match timeout_at(deadline, reply).await {
                Ok(Ok(reply)) => reply,
                Ok(Err(_)) => Err(engine_replaced()),
                Err(_) => {
                    let message = "the function did not answer in time";
                    Err(CallError::new(ErrorKind::DeadlineExceeded, message))
                }
            }
        })
    }

    /// Ends the scripts whose answers are awaited, and the code that runs now, whosever it is.
    pub(super) fn interrupt(self: &Rc<Runner>) {
        let heartbeat = self.engine.borrow().as_ref().map(|engine| engine.heartbeat.clone());
        if let Some(heartbeat) = heartbeat
            && let Some(task) = heartbeat.interrupt()
        {
            let (runner, grace) = (Rc::downgrade(self), self.settings.grace);
            actix::spawn(async move {
                tokio::time::sleep(grace).await;
                // a built-in function does not check for interrupts
                if let Some(runner) = runner.upgrade().filter(|_| heartbeat.silent_for(grace) == Some(task)) {
                    runner.abandon(&heartbeat, task);
                }
            });
        }
        for id in std::mem::take(&mut *self.scripts.borrow_mut()) {
            if let Some(caller) = self.callers.borrow_mut().remove(&id) {
                // the caller may have given up
                let _ = caller.send(Err(interrupted()));
            }
        }
    }

    /// Returns the engine, and starts one if none runs.
    fn engine(self: &Rc<Runner>) -> Result<EngineHandle, CallError> {
        if self.host.borrow().is_none() {
            return Err(CallError::new(ErrorKind::Stopping, "the node is stopping"));
        }
        if let Some(engine) = &*self.engine.borrow()
            && !engine.handle.has_ended()
        {
            return Ok(engine.handle.clone());
        }
        let limit = self.settings.stuck_engines;
        if self.stuck.load(Ordering::Acquire) >= limit {
            let message = format!("{limit} script engines are stuck; try again when one of them has ended");
            return Err(CallError::new(ErrorKind::Busy, message));
        }
        let engine = self.start()?;
        let handle = engine.handle.clone();
        *self.engine.borrow_mut() = Some(engine);
        Ok(handle)
    }

    fn start(self: &Rc<Runner>) -> Result<RunningEngine, CallError> {
        let heartbeat = Arc::new(Heartbeat::new());
        let mut seed = self.seed;
        let starts = self.starts.get() + 1;
        self.starts.set(starts);
        for (byte, start) in seed.iter_mut().zip(starts.to_le_bytes()) {
            *byte ^= start;
        }
        let config = EngineConfig {
            settings: self.settings.clone(),
            me: self.me.clone(),
            directory: self.directory.clone(),
            seed,
            clock: self.clock,
            heartbeat: heartbeat.clone(),
        };
        let (outputs, received) = mpsc::unbounded_channel();
        let is_inline = self.settings.inline.is_some();
        let handle = if is_inline {
            EngineHandle::Inline(InlineEngine::start(config, outputs))
        } else {
            let failed = |why: std::io::Error| {
                CallError::new(ErrorKind::Busy, format!("a thread for a script engine did not start: {why}"))
            };
            EngineHandle::Thread(EngineThread::start(config, outputs).map_err(failed)?)
        };
        actix::spawn(handle_outputs(Rc::downgrade(self), handle.clone(), received));
        if !is_inline {
            actix::spawn(watch(Rc::downgrade(self), heartbeat.clone()));
        }
        Ok(RunningEngine { handle, heartbeat })
    }

    /// Returns whether nothing of shipped code is pending.
    fn is_idle(&self) -> bool {
        self.pending.get() == 0 && self.callers.borrow().is_empty()
    }

    /// Waits until nothing of shipped code is pending. Returns the first error that no code caught since the last call.
    pub(super) async fn idle(&self) -> Option<CallError> {
        loop {
            let changed = self.changed.notified();
            if self.is_idle() {
                return self.uncaught.borrow_mut().take();
            }
            changed.await;
        }
    }

    /// Stops the engine and detaches the host. No code runs afterwards.
    pub(super) fn close(&self) {
        self.host.borrow_mut().take();
        if let Some(engine) = self.engine.borrow_mut().take() {
            engine.heartbeat.abandon();
            engine.handle.close();
        }
        self.drop_callers();
    }

    /// Ends all calls with [`engine_replaced`], because no engine will answer them.
    fn drop_callers(&self) {
        self.callers.borrow_mut().clear();
        self.pending.set(0);
        self.changed.notify_waiters();
    }

    fn handle_output(&self, engine: &EngineHandle, output: Output) {
        let host = self.host.borrow().clone();
        match output {
            Output::Answer { id, reply } => {
                if let Some(caller) = self.callers.borrow_mut().remove(&id) {
                    // the caller may have given up
                    let _ = caller.send(reply);
                }
                self.changed.notify_waiters();
            }
            Output::Call { number, origin, gid, service, method, arguments } => {
                let Some(host) = host else { return };
                let reply = match Gid::new(gid) {
                    Ok(gid) => host.call(origin, Call::new(gid, service, method, arguments)),
                    Err(error) => ready(Err(error.into())),
                };
                let engine = engine.clone();
                actix::spawn(async move { engine.send(Input::Reply { number, reply: reply.await }) });
            }
            Output::Register { name } => {
                if let Some(Err(error)) = host.map(|host| host.register(&name)) {
                    log::warn!(target: "chinwag::scripts", "createRPC could not register a function: {error}");
                }
            }
            Output::Pending(pending) => {
                self.pending.set(pending);
                self.changed.notify_waiters();
            }
            Output::Uncaught(error) => {
                let shown =
                    error.shown.as_deref().map_or_else(|| format!("{}: {error}", error.kind.name()), str::to_owned);
                log::error!(target: "chinwag::scripts", "a shipped function did not catch {shown}");
                self.uncaught.borrow_mut().get_or_insert(error);
            }
        }
    }

    /// Abandons an engine that shows no sign of life, and gives the invocations that it has not started to another.
    fn abandon(self: &Rc<Runner>, heartbeat: &Arc<Heartbeat>, culprit: u64) {
        let engine = self.engine.borrow_mut().take_if(|engine| Arc::ptr_eq(&engine.heartbeat, heartbeat));
        let Some(RunningEngine { handle: EngineHandle::Thread(thread), .. }) = engine else { return };
        heartbeat.abandon();
        let inputs = thread.abandon(&self.stuck);
        let stuck = self.stuck.load(Ordering::Acquire);
        log::error!(
            target: "chinwag::scripts",
            "a shipped function does not return; its engine is abandoned and replaced ({stuck} abandoned engines run)"
        );
        let not_started = inputs.into_iter().filter_map(|input| match input {
            Input::Run(invocation) => Some(invocation),
            Input::Reply { .. } => None,
        });
        let mut started = std::mem::take(&mut *self.callers.borrow_mut());
        let not_started: Vec<(Invocation, oneshot::Sender<Reply>)> = not_started
            .filter_map(|invocation| started.remove(&invocation.id).map(|caller| (invocation, caller)))
            .collect();
        self.pending.set(0);
        for (id, caller) in started {
            let error = if id == culprit {
                limit_exceeded("the function did not return, and its engine was abandoned")
            } else {
                engine_replaced()
            };
            // the caller may have given up
            let _ = caller.send(Err(error));
        }
        for (invocation, caller) in not_started {
            match self.engine() {
                Ok(engine) => {
                    self.callers.borrow_mut().insert(invocation.id, caller);
                    engine.send(Input::Run(invocation));
                }
                Err(error) => drop(caller.send(Err(error))),
            }
        }
        self.changed.notify_waiters();
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.close();
    }
}

/// Removes a caller that has its answer or has given up. If the invocation of such a caller has not started, removes it
/// from the engine's queue, too: admission no longer counts it, and its arguments can be as large as a body.
struct CallerGuard {
    runner: Weak<Runner>,
    id: u64,
}

impl Drop for CallerGuard {
    fn drop(&mut self) {
        if let Some(runner) = self.runner.upgrade() {
            runner.scripts.borrow_mut().remove(&self.id);
            let is_unanswered = runner.callers.borrow_mut().remove(&self.id).is_some();
            if let Some(engine) = runner.engine.borrow().as_ref().filter(|_| is_unanswered) {
                engine.handle.cancel(self.id);
            }
            runner.changed.notify_waiters();
        }
    }
}

/// Handles the messages of an engine until it ends or is replaced.
async fn handle_outputs(runner: Weak<Runner>, engine: EngineHandle, mut outputs: mpsc::UnboundedReceiver<Output>) {
    while let Some(output) = outputs.recv().await {
        let Some(runner) = runner.upgrade() else { break };
        let is_current = runner.engine.borrow().as_ref().is_some_and(|current| current.handle.is(&engine));
        if !is_current {
            return;
        }
        runner.handle_output(&engine, output);
    }
    if let Some(runner) = runner.upgrade().filter(|_| engine.has_ended()) {
        runner.drop_callers();
    }
}

/// Abandons an engine when it shows no sign of life for too long. Returns when the engine is replaced.
async fn watch(runner: Weak<Runner>, heartbeat: Arc<Heartbeat>) {
    loop {
        let Some(runner) = runner.upgrade() else { return };
        let is_current = |engine: &RunningEngine| Arc::ptr_eq(&engine.heartbeat, &heartbeat);
        if !runner.engine.borrow().as_ref().is_some_and(is_current) {
            return;
        }
        let patience = runner.settings.processor_time + runner.settings.grace;
        if let Some(culprit) = heartbeat.silent_for(patience) {
            return runner.abandon(&heartbeat, culprit);
        }
        let is_idle = runner.is_idle();
        drop(runner);
        // checking an idle engine rarely keeps an idle node cheap
        tokio::time::sleep(if is_idle { WATCHDOG_INTERVAL * 10 } else { WATCHDOG_INTERVAL }).await;
    }
}
