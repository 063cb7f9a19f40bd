//! A group's `gossip`: sends messages to every member, and calls functions at intervals.
//!
//! | method | answers | error |
//! |---|---|---|
//! | `send(message, remote[, {replay}])` | the answers of the peers it was sent to first, by member; with `replay`, newcomers perform it too | unknown group |
//! | `at(milliseconds, function)` | the timer's name | invalid interval |
//! | `del(name)` | the name | no timer has this name |
//! | `list()` | the timers, name to interval | |
//!
//! A timer's function is called once per interval. Each interval varies a little at random, so that nodes that start together
//! do not stay in step. A call never overlaps the previous one, and a node that was delayed does not catch up on missed calls.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use chinwag_protocol::{
    call::{CallError, ErrorKind, FromArguments, Reply},
    rumor::Urgency,
    value::{Function, Object, Value},
};
use tokio::task::AbortHandle;

use crate::{
    arguments::message_and_remote,
    caller::Caller,
    local::gossip::compute_fanout,
    messages::{Broadcast, NameAndChance},
    request::value,
    service::{AnyService, Scope, Service},
};

/// The shortest interval, in milliseconds.
const MIN_INTERVAL: f64 = 1.0;

/// The longest interval, in milliseconds: the maximum of JavaScript's timers, 24.8 days.
const MAX_INTERVAL: f64 = 2_147_483_647.0;

/// The largest share by which an interval varies in either direction. A guess.
const JITTER: f64 = 0.1;

/// The most timers of one group on one node.
const MAX_TIMERS: usize = 1_024;

/// Returns the definition of the service.
pub(crate) fn service() -> AnyService {
    Service::new("gossip", |_| Timers::default())
        .raw("send", |_, scope, arguments, _| Box::pin(send(scope, arguments)))
        .raw("at", |timers, scope, arguments, name| {
            let timers = timers.clone();
            // deserializing makes a function from its text, and this one may be of the engine of this node
            let itself = match arguments.get(1) {
                Some(Value::Function(function)) => Some(function.clone()),
                _ => None,
            };
            let read = <(f64, Function)>::from_arguments(name, arguments);
            Box::pin(async move {
                let (interval, function) = read?;
                let function = itself.unwrap_or(function);
                timers.start(&scope, interval, function).await
            })
        })
        .try_method("del", |timers: &mut Timers, (name,): (String,)| {
            let stopped = timers.running.borrow_mut().remove(&name);
            match stopped {
                Some(_) => Ok(name),
                None => Err(CallError::new(ErrorKind::NotFound, format!("no timer is named {name:?}"))),
            }
        })
        .method("list", |timers: &mut Timers, ()| {
            let running = timers.running.borrow();
            Value::Object(running.iter().map(|(name, timer)| (name.as_str(), timer.interval)).collect::<Object>())
        })
        .into()
}

async fn send(scope: Scope, arguments: Vec<Value>) -> Reply {
    let (_, remote) = message_and_remote("gossip.send", &arguments)?;
    let replay = read_replay_option(arguments.get(2))?;
    compute_fanout(scope.caller(), scope.gid()).await?;
    let message = Broadcast {
        gid: scope.gid().clone(),
        arguments: arguments.into_iter().next().unwrap_or_default(),
        remote,
        origin: scope.caller().origin(),
        urgency: Urgency::Normal,
        replay,
    };
    scope.caller().doors().gossip.deliver(message).await?
}

/// Reads the options of `send`. Rejects an unknown key, because a misspelled one would otherwise be ignored.
fn read_replay_option(options: Option<&Value>) -> Result<bool, CallError> {
    let rejected = |why: String| CallError::argument("gossip.send", 3, "options", why);
    let options = match options {
        None | Some(Value::Undefined | Value::Null) => return Ok(false),
        Some(Value::Object(options)) => options,
        Some(other) => return Err(rejected(format!("expected an object, got {}", other.type_name()))),
    };
    if let Some((key, _)) = options.iter().find(|(key, _)| *key != "replay") {
        let shown: String = key.chars().take(64).collect();
        return Err(rejected(format!("there is no option {shown:?}; the only one is \"replay\"")));
    }
    match options.get("replay") {
        None | Some(Value::Undefined | Value::Null) => Ok(false),
        Some(Value::Boolean(replay)) => Ok(*replay),
        Some(other) => Err(rejected(format!("replay: expected a boolean, got {}", other.type_name()))),
    }
}

/// The timers of one group on this node.
#[derive(Clone, Default)]
struct Timers {
    running: Rc<RefCell<BTreeMap<String, Timer>>>,
}

/// A running timer. Dropping it stops it.
struct Timer {
    interval: f64,
    task: AbortHandle,
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Timers {
    async fn start(&self, scope: &Scope, interval: f64, function: Function) -> Reply {
        if !(MIN_INTERVAL..=MAX_INTERVAL).contains(&interval) {
            let why = format!("an interval must be from {MIN_INTERVAL} to {MAX_INTERVAL} milliseconds, not {interval}");
            return Err(CallError::argument("gossip.at", 1, "milliseconds", why));
        }
        if self.running.borrow().len() >= MAX_TIMERS {
            return Err(CallError::new(ErrorKind::Busy, format!("a group has at most {MAX_TIMERS} timers")));
        }
        let (name, phases) = scope.caller().doors().routes.deliver(NameAndChance).await?;
        let task = actix::spawn(run_timer(scope.caller().on_its_own(), interval, phases, function));
        let timer = Timer { interval, task: task.abort_handle() };
        self.running.borrow_mut().insert(name.clone(), timer);
        value(name)
    }
}

/// Calls the function at intervals until the timer is stopped.
async fn run_timer(caller: Caller, interval: f64, mut phases: rand_chacha::ChaCha8Rng, function: Function) {
    use rand::RngExt as _;
    loop {
        let factor = 1.0 + JITTER * (2.0 * phases.random::<f64>() - 1.0);
        caller.doors().clock.sleep(Duration::from_secs_f64(interval * factor / 1_000.0)).await;
        if caller.doors().is_stopping() {
            return;
        }
        if let Err(error) = caller.apply(function.clone(), Vec::new()).await {
            log::warn!(target: "chinwag::gossip", "the function of a timer failed: {error}");
        }
    }
}
