//! The node's side of an engine: starts it, hands calls in and out, and gives it up when it does not return.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
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
    clock::{Heartbeat, WallClock},
    directory::Directory,
    engine::Engine,
    engine_config::EngineConfig,
    errors::{engine_replaced, limit_exceeded},
    host::Host,
    messages::{Code, Input, Invocation, Output},
    settings::ScriptSettings,
    thread::EngineThread,
};
use crate::request::{Origin, ReplyFuture, ready};

/// How often the watchdog looks while code runs.
const WATCH: Duration = Duration::from_millis(50);

/// One node's engine, and those it had before.
pub(super) struct Runner {
    me: NodeAddr,
    settings: ScriptSettings,
    directory: Directory,
    seed: [u8; 32],
    clock: WallClock,
    host: RefCell<Option<Rc<dyn Host>>>,
    running: RefCell<Option<RunningEngine>>,
    /// Who waits for an answer.
    replies: RefCell<BTreeMap<u64, oneshot::Sender<Reply>>>,
    numbers: Cell<u64>,
    starts: Cell<u64>,
    /// Timers and calls that code has under handle.
    work: Cell<usize>,
    uncaught: RefCell<Option<CallError>>,
    changed: Notify,
    stuck: Arc<AtomicUsize>,
}

struct RunningEngine {
    handle: EngineHandle,
    heartbeat: Arc<Heartbeat>,
}

#[derive(Clone)]
enum EngineHandle {
    Thread(EngineThread),
    Inline(mpsc::UnboundedSender<Input>),
}

impl EngineHandle {
    fn send(&self, input: Input) {
        match self {
            EngineHandle::Thread(thread) => thread.send(input),
            // an engine that ended answers nobody
            EngineHandle::Inline(inputs) => drop(inputs.send(input)),
        }
    }

    /// Drops a call that has not begun.
    fn forget(&self, id: u64) {
        // of the simulator's, whose engine is never behind, nothing waits
        if let EngineHandle::Thread(thread) = self {
            thread.forget(id);
        }
    }

    fn close(&self) {
        if let EngineHandle::Thread(thread) = self {
            thread.close();
        }
    }
}

impl Runner {
    pub fn new(
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
            running: RefCell::default(),
            replies: RefCell::default(),
            numbers: Cell::new(0),
            starts: Cell::new(0),
            work: Cell::new(0),
            uncaught: RefCell::default(),
            changed: Notify::new(),
            stuck: Arc::default(),
        })
    }

    pub fn attach(&self, host: Rc<dyn Host>) {
        *self.host.borrow_mut() = Some(host);
    }

    /// Runs something, and answers it by its deadline.
    pub fn run(self: &Rc<Runner>, code: Code, arguments: Vec<Value>, origin: Origin) -> ReplyFuture {
        let handle = match self.handle() {
            Ok(handle) => handle,
            Err(error) => return ready(Err(error)),
        };
        let id = self.numbers.get() + 1;
        self.numbers.set(id);
        let (reply, answered) = oneshot::channel();
        self.replies.borrow_mut().insert(id, reply);
        self.changed.notify_waiters();
        let deadline = self.clock.clock.after(origin.time_left());
        handle.send(Input::Run(Invocation { id, origin, code, arguments }));
        let waiting = CallGuard { runner: Rc::downgrade(self), id };
        Box::pin(async move {
            let _waiting = waiting;
            match timeout_at(deadline, answered).await {
                Ok(Ok(reply)) => reply,
                Ok(Err(_)) => Err(engine_replaced()),
                Err(_) => {
                    let message = "the function did not answer in time";
                    Err(CallError::new(ErrorKind::DeadlineExceeded, message))
                }
            }
        })
    }

    /// The handle to the engine, which is started if there is none.
    fn handle(self: &Rc<Runner>) -> Result<EngineHandle, CallError> {
        if self.host.borrow().is_none() {
            return Err(CallError::new(ErrorKind::Stopping, "the node is stopping"));
        }
        if let Some(running) = &*self.running.borrow() {
            let ended = matches!(&running.handle, EngineHandle::Thread(thread) if thread.has_ended());
            if !ended {
                return Ok(running.handle.clone());
            }
        }
        if self.stuck.load(Ordering::Acquire) >= self.settings.stuck_engines {
            let message = format!(
                "{} script engines do not return; shipped functions wait for them",
                self.settings.stuck_engines
            );
            return Err(CallError::new(ErrorKind::Busy, message));
        }
        let running = self.start()?;
        let handle = running.handle.clone();
        *self.running.borrow_mut() = Some(running);
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
        let (outputs, emitted) = mpsc::unbounded_channel();
        let handle = if self.settings.inline.is_some() {
            let (inputs, arriving) = mpsc::unbounded_channel();
            actix::spawn(run_inline(config, arriving, outputs));
            EngineHandle::Inline(inputs)
        } else {
            let failed =
                |why: std::io::Error| CallError::new(ErrorKind::Busy, format!("no thread for an engine: {why}"));
            EngineHandle::Thread(EngineThread::start(config, outputs).map_err(failed)?)
        };
        actix::spawn(attend(Rc::downgrade(self), handle.clone(), emitted));
        if self.settings.inline.is_none() {
            actix::spawn(watch(Rc::downgrade(self), heartbeat.clone()));
        }
        Ok(RunningEngine { handle, heartbeat })
    }

    /// Whether code has anything under handle.
    fn is_idle(&self) -> bool {
        self.work.get() == 0 && self.replies.borrow().is_empty()
    }

    pub async fn idle(&self) -> Option<CallError> {
        loop {
            let changed = self.changed.notified();
            if self.is_idle() {
                return self.uncaught.borrow_mut().take();
            }
            changed.await;
        }
    }

    pub fn close(&self) {
        self.host.borrow_mut().take();
        if let Some(running) = self.running.borrow_mut().take() {
            running.heartbeat.abandon();
            running.handle.close();
        }
        self.replies.borrow_mut().clear();
        self.work.set(0);
        self.changed.notify_waiters();
    }

    fn answer(&self, id: u64, reply: Reply) {
        if let Some(waiting) = self.replies.borrow_mut().remove(&id) {
            // whoever asked may have given up
            let _ = waiting.send(reply);
        }
        self.changed.notify_waiters();
    }

    /// Does what the engine asks for.
    fn attend(&self, handle: &EngineHandle, output: Output) {
        let host = self.host.borrow().clone();
        match output {
            Output::Answer { id, reply } => self.answer(id, reply),
            Output::Call { number, origin, gid, service, method, arguments } => {
                let performed = match (host, Gid::new(gid).map_err(CallError::from)) {
                    (Some(host), Ok(gid)) => host.call(origin, Call::new(gid, service, method, arguments)),
                    (Some(_), Err(error)) => ready(Err(error)),
                    (None, _) => return,
                };
                let handle = handle.clone();
                actix::spawn(async move { handle.send(Input::Reply { number, reply: performed.await }) });
            }
            Output::Register { name } => {
                if let Some(Err(error)) = host.map(|host| host.register(&name)) {
                    log::warn!(target: "chinwag::scripts", "a callback cannot be called: {error}");
                }
            }
            Output::Pending(work) => {
                self.work.set(work);
                self.changed.notify_waiters();
            }
            Output::Uncaught(error) => {
                log::error!(target: "chinwag::scripts", "nobody caught {}: {error}", error.kind.name());
                self.uncaught.borrow_mut().get_or_insert(error);
            }
        }
    }

    /// Leaves an engine that gives no sign behind, and hands what it has not begun to another.
    fn give_up(self: &Rc<Runner>, heartbeat: &Arc<Heartbeat>, culprit: u64) {
        let running = self.running.borrow_mut().take_if(|running| Arc::ptr_eq(&running.heartbeat, heartbeat));
        let Some(RunningEngine { handle: EngineHandle::Thread(thread), .. }) = running else { return };
        heartbeat.abandon();
        let waiting = thread.leave_behind(&self.stuck);
        let outstanding = self.stuck.load(Ordering::Acquire);
        log::error!(
            target: "chinwag::scripts",
            "a shipped function does not return; its engine is left behind ({outstanding} of these) and replaced"
        );
        let waiting = waiting.into_iter().filter_map(|input| match input {
            Input::Run(invocation) => Some(invocation),
            Input::Reply { .. } => None,
        });
        let mut begun = std::mem::take(&mut *self.replies.borrow_mut());
        let waiting: Vec<(Invocation, oneshot::Sender<Reply>)> =
            waiting.filter_map(|invocation| begun.remove(&invocation.id).map(|reply| (invocation, reply))).collect();
        self.work.set(0);
        for (id, reply) in begun {
            let error = if id == culprit {
                limit_exceeded("the function did not return, and its engine was given up")
            } else {
                engine_replaced()
            };
            // whoever asked may have given up
            let _ = reply.send(Err(error));
        }
        for (invocation, reply) in waiting {
            match self.handle() {
                Ok(handle) => {
                    self.replies.borrow_mut().insert(invocation.id, reply);
                    handle.send(Input::Run(invocation));
                }
                Err(error) => drop(reply.send(Err(error))),
            }
        }
        self.changed.notify_waiters();
    }
}

/// Forgets who waited, whether or not there was an answer. One that nobody waits for any more, and that has not begun, is
/// not kept either: its place among the calls under handle is free, and its arguments are as large as a body.
struct CallGuard {
    runner: Weak<Runner>,
    id: u64,
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        if let Some(runner) = self.runner.upgrade() {
            let unanswered = runner.replies.borrow_mut().remove(&self.id).is_some();
            if let Some(running) = runner.running.borrow().as_ref().filter(|_| unanswered) {
                running.handle.forget(self.id);
            }
            runner.changed.notify_waiters();
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.close();
    }
}

/// Does what an engine asks for, for as long as it lives.
async fn attend(runner: Weak<Runner>, handle: EngineHandle, mut outputs: mpsc::UnboundedReceiver<Output>) {
    while let Some(output) = outputs.recv().await {
        let Some(runner) = runner.upgrade() else { break };
        let current = match (&handle, runner.running.borrow().as_ref().map(|running| &running.handle)) {
            (EngineHandle::Thread(this), Some(EngineHandle::Thread(other))) => this.is(other),
            (EngineHandle::Inline(this), Some(EngineHandle::Inline(other))) => this.same_channel(other),
            _ => false,
        };
        // one that was left behind has no say
        if !current {
            return;
        }
        runner.attend(&handle, output);
    }
    // it ended by itself: a panic
    if let Some(runner) = runner.upgrade() {
        let ended = matches!(&handle, EngineHandle::Thread(thread) if thread.has_ended());
        if ended {
            runner.replies.borrow_mut().clear();
            runner.work.set(0);
            runner.changed.notify_waiters();
        }
    }
}

/// Looks whether an engine gives signs of life, while it has something to do.
async fn watch(runner: Weak<Runner>, heartbeat: Arc<Heartbeat>) {
    loop {
        let Some(runner) = runner.upgrade() else { return };
        let current =
            runner.running.borrow().as_ref().is_some_and(|running| Arc::ptr_eq(&running.heartbeat, &heartbeat));
        if !current {
            return;
        }
        let patience = runner.settings.processor_time + runner.settings.grace;
        if let Some(culprit) = heartbeat.silent_for(patience) {
            return runner.give_up(&heartbeat, culprit);
        }
        let idle = runner.is_idle();
        drop(runner);
        // an idle engine is looked at rarely, so that it costs nothing
        tokio::time::sleep(if idle { WATCH * 10 } else { WATCH }).await;
    }
}

/// Drives an engine on the node's own thread.
async fn run_inline(
    config: EngineConfig,
    mut inputs: mpsc::UnboundedReceiver<Input>,
    outputs: mpsc::UnboundedSender<Output>,
) {
    let emit = Rc::new(move |output| {
        // nobody listens once the node is closed
        let _ = outputs.send(output);
    });
    let mut engine = Engine::new(config, emit);
    loop {
        let due = engine.next_timer();
        let timer = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            input = inputs.recv() => match input {
                Some(input) => engine.take(input),
                None => return,
            },
            () = timer => {}
        }
        engine.fire();
    }
}
