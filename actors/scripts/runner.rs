//! Runs code for a node: gives turns to the engine, passes messages between it and the host, and replaces an engine that
//! does not return.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    rc::{Rc, Weak},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chinwag_protocol::{
    call::{Call, CallError, DEFAULT_DEADLINE, ErrorKind, Reply},
    identity::{Gid, NodeAddr},
    value::{Function, Value},
};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, timeout_at},
};

use super::{
    account::{Account, shipper_at},
    clock::WallClock,
    directory::Directory,
    driver::{Driver, Outputs},
    engine_config::EngineConfig,
    errors::{engine_ended, engine_restarted, interrupted, limit_exceeded},
    host::Host,
    messages::{Code, Input, Invocation, Output},
    original::{Dropped, Original},
    portable::{Portable, each_function_mut},
    queue::TurnQueue,
    services::Services,
    settings::ScriptSettings,
    turn::Turn,
};
use crate::{
    launcher::EngineStarter,
    request::{Origin, ReplyFuture, ready},
    script::Script,
};

/// How often the watchdog looks at an engine on a thread while code runs.
const THREAD_INTERVAL: Duration = Duration::from_millis(50);

/// How often it looks at one in a process, which has a watchdog of its own.
const PROCESS_INTERVAL: Duration = Duration::from_secs(1);

/// How long a process may take for a turn beyond what its own watchdog allows. Reached only if the process is stopped, or
/// gets next to no processor time.
const PROCESS_PATIENCE: Duration = Duration::from_secs(20);

/// The most peers whose addresses are remembered for the calls that their code makes after its answer.
const PEERS: usize = 4_096;

/// The numbers that each engine may use for what it makes.
const NUMBERS: u64 = 1 << 40;

/// Runs code for one node, on one engine at a time.
pub(super) struct Runner {
    me: NodeAddr,
    settings: ScriptSettings,
    directory: Directory,
    seed: [u8; 32],
    clock: WallClock,
    /// Starts processes for engines; `None` if they run on threads or inline.
    starter: Option<Rc<dyn EngineStarter>>,
    /// `None` before the node has started and after it has stopped.
    host: RefCell<Option<Rc<dyn Host>>>,
    engine: RefCell<Option<RunningEngine>>,
    queue: RefCell<TurnQueue<Waiting>>,
    /// The turn that the engine has, and when it got it.
    turn: RefCell<Option<CurrentTurn>>,
    /// The callers that wait for an answer, by the id of their invocation.
    callers: RefCell<BTreeMap<u64, Waiter>>,
    /// The ids of the scripts among them, which their owner can interrupt.
    scripts: RefCell<BTreeSet<u64>>,
    last_id: Cell<u64>,
    /// How many engines have been started.
    starts: Cell<u64>,
    /// How many timers and calls of shipped code are pending.
    pending: Cell<usize>,
    services: RefCell<Services>,
    /// The functions of engines that the node no longer holds.
    dropped: Dropped,
    /// The addresses behind the numbers of shippers.
    peers: RefCell<BTreeMap<u64, SocketAddr>>,
    /// The first error that no code caught since [`Runner::idle`] was last called.
    uncaught: RefCell<Option<CallError>>,
    /// Notified when `callers`, `turn` or `pending` changes.
    changed: Notify,
    /// How many abandoned engines have not ended.
    stuck: Arc<AtomicUsize>,
}

struct RunningEngine {
    number: u64,
    driver: Driver,
    turn: Arc<Turn>,
}

/// A turn that waits.
#[derive(Clone)]
enum Waiting {
    Run {
        id: u64,
        account: Account,
        deadline: Instant,
        job: Job,
        arguments: Arc<Vec<Value>>,
    },
    /// A reply, for the engine with this number.
    Reply {
        engine: u64,
        number: u64,
        account: Account,
        reply: Reply,
    },
}

impl Waiting {
    fn account(&self) -> Account {
        match self {
            Waiting::Run { account, .. } | Waiting::Reply { account, .. } => *account,
        }
    }
}

/// What a node wants to be run.
#[derive(Clone)]
pub(super) enum Job {
    Method(Arc<Value>, String),
    Function(Function),
    Registered(String),
    Source(Script),
}

struct CurrentTurn {
    /// The invocation, if it is not a reply.
    id: Option<u64>,
    /// What is run, in case the engine ends before it begins with it.
    run: Option<Waiting>,
    account: Account,
    since: Instant,
    /// Whether the engine knows that somebody else waits.
    awaited: bool,
}

/// A caller that waits for an answer.
struct Waiter {
    answer: oneshot::Sender<Reply>,
    origin: Origin,
}

impl Runner {
    pub(super) fn new(
        me: NodeAddr,
        settings: ScriptSettings,
        directory: Directory,
        seed: [u8; 32],
        clock: WallClock,
        starter: Option<Rc<dyn EngineStarter>>,
    ) -> Rc<Runner> {
        Rc::new(Runner {
            me,
            settings,
            directory,
            seed,
            clock,
            starter,
            host: RefCell::default(),
            engine: RefCell::default(),
            queue: RefCell::default(),
            turn: RefCell::default(),
            callers: RefCell::default(),
            scripts: RefCell::default(),
            last_id: Cell::new(0),
            starts: Cell::new(0),
            pending: Cell::new(0),
            services: RefCell::default(),
            dropped: Dropped::default(),
            peers: RefCell::default(),
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
    pub(super) fn run(self: &Rc<Runner>, job: Job, arguments: Vec<Value>, origin: Origin) -> ReplyFuture {
        if self.host.borrow().is_none() {
            return ready(Err(CallError::new(ErrorKind::Stopping, "the node is stopping")));
        }
        if let Some(lost) = self.lost(&job) {
            return ready(Err(lost));
        }
        let account = self.account(&job, &origin);
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        let (answer, reply) = oneshot::channel();
        if let Job::Source(_) = job {
            self.scripts.borrow_mut().insert(id);
        }
        let deadline = self.clock.clock.after(origin.time_left());
        self.callers.borrow_mut().insert(id, Waiter { answer, origin });
        self.queue
            .borrow_mut()
            .push(account.shipper, Waiting::Run { id, account, deadline, job, arguments: Arc::new(arguments) });
        self.advance();
        let guard = CallerGuard { runner: Rc::downgrade(self), id };
        Box::pin(async move {
            let _guard = guard;
            match timeout_at(deadline, reply).await {
                Ok(Ok(reply)) => reply,
                Ok(Err(_)) => Err(engine_restarted()),
                Err(_) => {
                    let message = "the function did not answer in time";
                    Err(CallError::new(ErrorKind::DeadlineExceeded, message))
                }
            }
        })
    }

    /// Returns the error of the first call that would use state that is gone.
    fn lost(&self, job: &Job) -> Option<CallError> {
        let lost = match job {
            Job::Method(service, _) => self.services.borrow_mut().take_lost(service),
            Job::Registered(name) => self.services.borrow_mut().take_lost_name(name),
            Job::Function(_) | Job::Source(_) => false,
        };
        lost.then(engine_restarted)
    }

    /// Returns whether a function of this name was registered with an engine that has been replaced. Tells it once.
    pub(super) fn take_lost_name(&self, name: &str) -> Option<CallError> {
        self.services.borrow_mut().take_lost_name(name).then(engine_restarted)
    }

    /// Returns on whose account a job runs.
    fn account(&self, job: &Job, origin: &Origin) -> Account {
        let shipper = match job {
            Job::Source(_) => 0,
            _ => shipper_at(origin.peer()),
        };
        if let Some(peer) = origin.peer() {
            let mut peers = self.peers.borrow_mut();
            if peers.len() >= PEERS {
                peers.clear();
            }
            peers.insert(shipper, peer);
        }
        match job {
            Job::Method(service, _) => Account { shipper, service: self.services.borrow_mut().number(service) },
            Job::Registered(name) => self
                .services
                .borrow()
                .account_of(name)
                .map_or(Account { shipper, service: 0 }, |made| Account { shipper, ..made }),
            _ => Account { shipper, service: 0 },
        }
    }

    /// Gives the engine the next turn, if it has none, and tells it whether somebody else waits.
    fn advance(self: &Rc<Runner>) {
        while self.turn.borrow().is_none() {
            let Some(next) = self.queue.borrow_mut().pop(Instant::now()) else { break };
            self.give(next);
        }
        let changed = self.turn.borrow_mut().as_mut().and_then(|turn| {
            let awaited = self.queue.borrow().has_other(turn.account.shipper);
            (std::mem::replace(&mut turn.awaited, awaited) != awaited).then_some(awaited)
        });
        if let Some(awaited) = changed {
            self.send(Input::Waiting(awaited));
        }
        self.changed.notify_waiters();
    }

    /// Gives the engine a turn.
    fn give(self: &Rc<Runner>, next: Waiting) {
        let account = next.account();
        let number = match self.engine() {
            Ok(number) => number,
            Err(error) => {
                if let Waiting::Run { id, .. } = next {
                    self.answer(id, Err(error));
                }
                return;
            }
        };
        let names = self.directory.take_changes();
        if !names.is_empty() {
            self.send(Input::Names(names));
        }
        let dropped = self.dropped.take();
        if !dropped.is_empty() {
            self.send(Input::DropOriginals(dropped));
        }
        self.drop_services();
        let run = matches!(next, Waiting::Run { .. }).then(|| next.clone());
        let (id, input) = match next {
            Waiting::Run { id, account, deadline, job, arguments } => {
                let left = self.clock.clock.until(deadline).as_millis();
                let milliseconds_left = u64::try_from(left).unwrap_or(u64::MAX);
                let code = self.code(job, number);
                (Some(id), Input::Run(Invocation { id, account, milliseconds_left, code, arguments }))
            }
            // its engine has been replaced
            Waiting::Reply { engine, .. } if engine != number => return,
            Waiting::Reply { number, account, reply, .. } => {
                (None, Input::Reply { number, account, reply: reply.into() })
            }
        };
        *self.turn.borrow_mut() = Some(CurrentTurn { id, run, account, since: Instant::now(), awaited: false });
        self.send(input);
    }

    /// Makes the engine drop services that exist no longer, with their timers and functions.
    fn drop_services(self: &Rc<Runner>) {
        let gone = self.services.borrow_mut().take_gone();
        if !gone.is_empty() {
            self.send(Input::DropServices(gone));
        }
    }

    fn code(&self, job: Job, engine: u64) -> Code {
        match job {
            Job::Method(service, method) => {
                let (service, definition) = self.services.borrow_mut().definition(&service, engine);
                Code::Method { service, definition: definition.map(Portable), method }
            }
            Job::Function(function) => Code::Function(Portable(Value::Function(function))),
            Job::Registered(name) => Code::Registered(name),
            Job::Source(source) => Code::Source(source),
        }
    }

    fn send(&self, input: Input) {
        let failed = match self.engine.borrow().as_ref() {
            Some(engine) => engine.driver.send(input).err(),
            None => None,
        };
        if let Some(why) = failed
            && let Some(turn) = self.turn.borrow_mut().take()
            && let Some(id) = turn.id
        {
            self.answer(
                id,
                Err(CallError::new(ErrorKind::BadCall, format!("the call cannot be given to the engine: {why}"))),
            );
        }
    }

    /// Ends the scripts whose answers are awaited, and the code that runs now, whosever it is.
    pub(super) fn interrupt(self: &Rc<Runner>) {
        self.send(Input::Interrupt);
        let number = self.engine.borrow().as_ref().map(|engine| engine.number);
        let since = self.turn.borrow().as_ref().map(|turn| turn.since);
        if let (Some(number), Some(since)) = (number, since) {
            let (runner, grace) = (Rc::downgrade(self), self.settings.grace);
            actix::spawn(async move {
                tokio::time::sleep(grace).await;
                let Some(runner) = runner.upgrade() else { return };
                // a built-in function does not check for interrupts
                let stuck = runner.turn.borrow().as_ref().filter(|turn| turn.since == since).map(|turn| turn.id);
                if let Some(id) = stuck {
                    runner.end_engine(number, id.map(|id| (id, interrupted())));
                }
            });
        }
        let scripts = std::mem::take(&mut *self.scripts.borrow_mut());
        let is_other = |turn: &Waiting| !matches!(turn, Waiting::Run { id, .. } if scripts.contains(id));
        drop(self.queue.borrow_mut().remove(is_other));
        scripts.into_iter().for_each(|id| self.answer(id, Err(interrupted())));
    }

    /// Returns the number of the engine, and starts one if none runs.
    fn engine(self: &Rc<Runner>) -> Result<u64, CallError> {
        if let Some(engine) = &*self.engine.borrow() {
            return Ok(engine.number);
        }
        let limit = self.settings.stuck_engines;
        if self.stuck.load(Ordering::Acquire) >= limit {
            let message = format!("{limit} script engines are stuck; try again when one of them has ended");
            return Err(CallError::new(ErrorKind::Busy, message));
        }
        let engine = self.start()?;
        let number = engine.number;
        *self.engine.borrow_mut() = Some(engine);
        Ok(number)
    }

    fn start(self: &Rc<Runner>) -> Result<RunningEngine, CallError> {
        let turn = Arc::new(Turn::default());
        let mut seed = self.seed;
        let number = self.starts.get() + 1;
        self.starts.set(number);
        for (byte, start) in seed.iter_mut().zip(number.to_le_bytes()) {
            *byte ^= start;
        }
        let config = EngineConfig {
            settings: self.settings.clone(),
            me: self.me.clone(),
            directory: self.directory.clone(),
            seed,
            after: number * NUMBERS,
            clock: self.clock,
            turn: turn.clone(),
        };
        let (driver, outputs) = Driver::start(config, self.starter.as_deref())
            .map_err(|why| CallError::new(ErrorKind::Busy, format!("a script engine did not start: {why}")))?;
        actix::spawn(handle_outputs(Rc::downgrade(self), number, outputs));
        if self.settings.inline.is_none() {
            actix::spawn(watch(Rc::downgrade(self), number));
        }
        Ok(RunningEngine { number, driver, turn })
    }

    fn answer(&self, id: u64, reply: Reply) {
        if let Some(waiter) = self.callers.borrow_mut().remove(&id) {
            // the caller may have given up
            let _ = waiter.answer.send(reply);
        }
        self.changed.notify_waiters();
    }

    /// Returns whether nothing of shipped code is pending.
    fn is_idle(&self) -> bool {
        self.pending.get() == 0
            && self.callers.borrow().is_empty()
            && self.turn.borrow().is_none()
            && self.queue.borrow().is_empty()
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
            engine.turn.abandon();
        }
        self.directory.forget();
        self.queue.take();
        self.turn.take();
        self.callers.borrow_mut().clear();
        self.pending.set(0);
        self.changed.notify_waiters();
    }

    fn handle_output(self: &Rc<Runner>, engine: u64, output: Output) {
        match output {
            Output::Answer { id, reply } => self.answer(id, reply.into()),
            Output::Call { number, task, account, continues, gid, service, method, mut arguments } => {
                let Some(host) = self.host.borrow().clone() else { return };
                for argument in &mut arguments {
                    self.hold_functions(argument);
                }
                let reply = match (self.origin(task, account, continues), Gid::new(gid)) {
                    (Some(origin), Ok(gid)) => host.call(origin, Call::new(gid, service, method, arguments)),
                    (Some(_), Err(error)) => ready(Err(error.into())),
                    (None, _) => {
                        let message = "the deadline of the function passed before it made the call";
                        ready(Err(CallError::new(ErrorKind::DeadlineExceeded, message)))
                    }
                };
                let runner = Rc::downgrade(self);
                actix::spawn(async move {
                    let reply = reply.await;
                    let Some(runner) = runner.upgrade() else { return };
                    let turn = Waiting::Reply { engine, number, account, reply };
                    runner.queue.borrow_mut().push(account.shipper, turn);
                    runner.advance();
                });
            }
            Output::Register { name, account } => {
                let host = self.host.borrow().clone();
                match host.map(|host| host.register(&name)) {
                    Some(Err(error)) => {
                        log::warn!(target: "chinwag::scripts", "createRPC could not register a function: {error}");
                    }
                    _ => self.services.borrow_mut().register(name, account),
                }
            }
            Output::Unregister(names) => {
                self.services.borrow_mut().unregister(&names);
                if let Some(host) = &*self.host.borrow() {
                    host.unregister(&names);
                }
            }
            Output::TurnEnded { used, pending, keeps_state } => {
                self.pending.set(pending as usize);
                let turn = self.turn.borrow_mut().take();
                if let Some(turn) = turn {
                    if keeps_state {
                        self.services.borrow_mut().keeps_state(turn.account.service);
                    }
                    self.queue.borrow_mut().charge(turn.account.shipper, used, Instant::now());
                    if turn.awaited {
                        self.send(Input::Waiting(false));
                    }
                }
                self.advance();
            }
            Output::TimersFired { account, used, pending } => {
                self.pending.set(pending as usize);
                self.queue.borrow_mut().charge(account.shipper, used, Instant::now());
                self.drop_services();
                self.changed.notify_waiters();
            }
            Output::Uncaught(error) => {
                let error = CallError::from(error);
                let shown =
                    error.shown.as_deref().map_or_else(|| format!("{}: {error}", error.kind.name()), str::to_owned);
                log::error!(target: "chinwag::scripts", "a shipped function did not catch {shown}");
                self.uncaught.borrow_mut().get_or_insert(error);
            }
            // the caller prints
            Output::Print { .. } => {}
            Output::Replaced => self.lose_state(),
            Output::Stuck { culprit, why } => {
                log::error!(target: "chinwag::scripts", "a shipped function does not return; its engine is ended: {why}");
                self.end_engine(engine, Some((culprit, limit_exceeded(why))));
            }
        }
    }

    /// Returns the origin of a call that code makes, or `None` if its time has passed. Code that has answered and
    /// continues gets a new deadline for each call, but a node still counts these calls as nested: code that never stops
    /// takes no capacity from callers outside.
    fn origin(&self, task: u64, account: Account, continues: bool) -> Option<Origin> {
        if continues {
            let peer = self.peers.borrow().get(&account.shipper).copied();
            return Some(Origin::starting(DEFAULT_DEADLINE, self.clock.clock).of(peer));
        }
        self.callers.borrow().get(&task).map(|waiter| waiter.origin.clone())
    }

    /// Makes the functions in a value report when the node no longer holds them.
    fn hold_functions(&self, value: &mut Value) {
        each_function_mut(value, &mut 0, &mut |_, function| {
            if let Some(number) = function.original::<Original>().map(Original::number) {
                *function = function.clone().with_original(Arc::new(Original::held(number, &self.dropped)));
            }
        });
    }

    /// Notes that the state that shipped code kept is gone.
    fn lose_state(&self) {
        let names = self.services.borrow_mut().lose();
        if let Some(host) = &*self.host.borrow() {
            host.unregister(&names);
        }
        // the numbers are of functions that are gone
        self.dropped.take();
    }

    /// Drops the engine with this number. The culprit gets its error; other callers whose code had begun learn that the
    /// engine was replaced; the rest gets the next engine.
    fn end_engine(self: &Rc<Runner>, number: u64, culprit: Option<(u64, CallError)>) {
        let Some(engine) = self.engine.borrow_mut().take_if(|engine| engine.number == number) else { return };
        engine.turn.abandon();
        if let Driver::Thread(thread) = engine.driver {
            thread.abandon(&self.stuck);
        }
        self.directory.forget();
        self.lose_state();
        self.pending.set(0);
        let current = self.turn.borrow_mut().take();
        let blamed = culprit.as_ref().map(|(id, _)| *id);
        // if other code is to blame, such as that of a timer, the engine has not begun with its turn
        if let Some(CurrentTurn { id, run: Some(run), account, .. }) = &current
            && blamed.is_some()
            && blamed != *id
        {
            self.queue.borrow_mut().put_back(account.shipper, run.clone());
        }
        if let Some((id, error)) = culprit {
            self.answer(id, Err(error));
        } else if let Some(id) = current.as_ref().and_then(|turn| turn.id) {
            self.answer(id, Err(engine_ended()));
        }
        let mut waiting = BTreeSet::new();
        // the queue's entries for the engine's own calls mean nothing to the next engine
        drop(self.queue.borrow_mut().remove(|turn| match turn {
            Waiting::Run { id, .. } => waiting.insert(*id),
            Waiting::Reply { .. } => false,
        }));
        let begun: Vec<u64> = self.callers.borrow().keys().filter(|id| !waiting.contains(id)).copied().collect();
        for id in begun {
            if Some(id) != blamed {
                self.answer(id, Err(engine_restarted()));
            }
        }
        self.advance();
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.close();
    }
}

/// Removes a caller that has its answer or has given up. If the invocation of such a caller has not started, removes it
/// from the queue, too: admission no longer counts it, and its arguments can be as large as a body.
struct CallerGuard {
    runner: Weak<Runner>,
    id: u64,
}

impl Drop for CallerGuard {
    fn drop(&mut self) {
        if let Some(runner) = self.runner.upgrade() {
            runner.scripts.borrow_mut().remove(&self.id);
            let is_unanswered = runner.callers.borrow_mut().remove(&self.id).is_some();
            if is_unanswered {
                let is_other = |turn: &Waiting| !matches!(turn, Waiting::Run { id, .. } if *id == self.id);
                let removed = runner.queue.borrow_mut().remove(is_other);
                drop(removed);
                runner.advance();
            }
            runner.changed.notify_waiters();
        }
    }
}

/// Handles the messages of an engine until it ends or is replaced.
async fn handle_outputs(runner: Weak<Runner>, engine: u64, mut outputs: Outputs) {
    loop {
        let output = outputs.next().await;
        let Some(runner) = runner.upgrade() else { return };
        if runner.engine.borrow().as_ref().is_none_or(|current| current.number != engine) {
            return;
        }
        match output {
            Ok(Some(Output::Print { level, line })) => {
                let console = runner.settings.console.clone();
                drop(runner);
                // a reader that does not read holds up the engine, and not the node
                let printed = tokio::task::spawn_blocking(move || console(level, &line));
                if let Err(why) = printed.await {
                    log::warn!(target: "chinwag::scripts", "a printed line was lost: {why}");
                }
            }
            Ok(Some(output)) => runner.handle_output(engine, output),
            Ok(None) => {
                log::error!(target: "chinwag::scripts", "the script engine has ended and is replaced");
                return runner.end_engine(engine, None);
            }
            Err(why) => {
                log::error!(target: "chinwag::scripts", "the script engine sent something that is no message: {why}");
                return runner.end_engine(engine, None);
            }
        }
    }
}

/// Ends an engine that shows no sign of life for too long. Returns when the engine is replaced.
async fn watch(runner: Weak<Runner>, number: u64) {
    loop {
        let Some(runner) = runner.upgrade() else { return };
        let (stuck, interval) = {
            let engine = runner.engine.borrow();
            let Some(engine) = engine.as_ref().filter(|engine| engine.number == number) else { return };
            let patience = runner.settings.processor_time + runner.settings.grace;
            let stuck = match &engine.driver {
                Driver::Process(_) => {
                    let turn = runner.turn.borrow();
                    let since = turn.as_ref().map(|turn| turn.since.elapsed());
                    since
                        .filter(|since| *since > patience + PROCESS_PATIENCE)
                        .map(|_| turn.as_ref().and_then(|turn| turn.id))
                }
                _ => engine.turn.silent_for(patience).map(Some),
            };
            let interval = match &engine.driver {
                Driver::Process(_) => PROCESS_INTERVAL,
                _ => THREAD_INTERVAL,
            };
            (stuck, interval)
        };
        if let Some(culprit) = stuck {
            log::error!(target: "chinwag::scripts", "a shipped function does not return; its engine is replaced");
            let error = || limit_exceeded("the function did not return, and its engine was replaced");
            return runner.end_engine(number, culprit.map(|id| (id, error())));
        }
        let is_idle = runner.is_idle();
        drop(runner);
        // checking an idle engine rarely keeps an idle node cheap
        tokio::time::sleep(if is_idle { interval * 10 } else { interval }).await;
    }
}
