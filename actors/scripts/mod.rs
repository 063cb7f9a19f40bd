//! Shipped functions: code from elsewhere, in a sandbox.
//!
//! ```text
//! Routes --call--> Scripts --Input--> Engine (a thread of its own, QuickJS)
//! Routes <-reply-- Scripts <-Output-- Engine
//!                  Scripts --Perform--> World: the node's own handle, never a socket for one's own node
//! ```
//!
//! # What is called, and how it answers
//!
//! Arguments are padded with `undefined` up to the number of parameters less one, then the callback is passed. A
//! function that declares a parameter in that place, or a rest parameter, answers through the callback, and the first
//! call of it counts; any other answers with what it returns. A promise is awaited. What is thrown, or what a promise
//! is rejected with, is the error. Whichever way, nothing is answered past the deadline. The service that was put is
//! `this`, and `globalThis` is one for all code on the node.
//!
//! # What code sees
//!
//! `distribution` (the node's services under `local`, each group's under its name, `node.config`, `util`), `console`,
//! timers, and the language. It sees no file, process, module or network. What it can reach is what any peer can
//! reach by calls; what it can use up is bounded by [`ScriptSettings`].
//!
//! # What happens to code that does not end
//!
//! | what it does | what stops it |
//! |---|---|
//! | loops, recurses, matches for ever | the engine's interrupt, at its processor time |
//! | hoards memory | the same interrupt, or the allocator where one piece is too large |
//! | leaves jobs that make jobs | counted between two of them; the engine is replaced where it stands |
//! | sits in a built-in that never asks | the watchdog: the thread is left behind, another engine starts |
//!
//! A thread cannot be killed, so one that is left behind goes on until its built-in returns, and then ends. At most
//! [`ScriptSettings::stuck_engines`] of them are outstanding; past that, shipped calls are refused. A fresh engine has
//! what was put, since services live in the route table as text and are evaluated when they are called; it has lost
//! `globalThis` and what `createRPC` kept.
//!
//! # What is absent
//!
//! Modules, `require`, `fetch`, `process`. Keeping two senders of code apart: all code on a node shares one global
//! object, as on the reference. Without the feature `scripts` there is no engine at all, and every shipped call answers
//! `Unsupported`; callbacks, spawning and gossip need none.

mod settings;

#[cfg(feature = "scripts")]
mod clock;
#[cfg(feature = "scripts")]
mod convert;
#[cfg(feature = "scripts")]
mod engine;
#[cfg(feature = "scripts")]
mod host;
#[cfg(feature = "scripts")]
mod inner;
#[cfg(feature = "scripts")]
mod memory;
#[cfg(feature = "scripts")]
mod runner;
#[cfg(feature = "scripts")]
mod source;
#[cfg(all(test, feature = "scripts"))]
mod tests;
#[cfg(feature = "scripts")]
mod thread;

use std::{
    collections::BTreeMap,
    rc::Rc,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use chinwag_protocol::{
    call::{Call, CallError, ErrorKind, Reply},
    identity::NodeAddr,
    value::{Function, Value},
};
use futures_util::future::LocalBoxFuture;

pub use settings::{Console, ScriptSettings};

use crate::{
    arguments::message_and_remote,
    clock::Clock,
    request::{Origin, ReplyFuture, ready},
    transport::Transport,
};

/// The names that shipped code sees, by group and service. Kept by the route table, read by the engine; by a node that
/// takes no code not kept.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    kept: bool,
    names: Arc<RwLock<Names>>,
}

/// Group to service to methods.
type Names = BTreeMap<String, BTreeMap<String, Vec<String>>>;

impl Directory {
    pub(crate) fn new(kept: bool) -> Directory {
        Directory { kept, names: Arc::default() }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Names> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is nothing to say of a group: it is among them, or nobody asks.
    pub(crate) fn knows(&self, gid: &str) -> bool {
        !self.kept || self.read().contains_key(gid)
    }

    /// Changes the names.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Names)) {
        if self.kept {
            change(&mut self.names.write().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// What shipped code can do outside of the engine.
#[cfg_attr(not(feature = "scripts"), allow(dead_code))]
pub(crate) trait World {
    /// Makes a call on behalf of another.
    fn perform(&self, origin: Origin, call: Call) -> LocalBoxFuture<'static, Reply>;

    /// Makes a function callable by name: calls on it go to [`Scripts::call_remote`].
    ///
    /// # Errors
    /// Where there are too many.
    fn register(&self, name: &str) -> Result<(), CallError>;
}

/// What a function that overdraws a bound is answered with.
#[cfg(feature = "scripts")]
pub(crate) fn limit_exceeded(why: impl Into<String>) -> CallError {
    CallError::new(ErrorKind::Other("LimitExceeded".to_owned()), why)
}

/// What innocent calls are answered with when their engine goes.
#[cfg(feature = "scripts")]
pub(crate) fn engine_replaced() -> CallError {
    CallError::new(ErrorKind::Crashed, "another function broke the script engine, which was replaced")
}

/// What a node without an engine answers.
fn takes_no_code() -> CallError {
    CallError::new(ErrorKind::Unsupported, "this node runs no shipped functions")
}

/// A node's shipped functions. Starts an engine when the first is called.
#[derive(Clone)]
pub(crate) struct Scripts {
    settings: ScriptSettings,
    /// None on a node that takes no code.
    #[cfg(feature = "scripts")]
    runner: Option<Rc<runner::Runner>>,
    directory: Directory,
}

impl std::fmt::Debug for Scripts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Scripts").field(&self.settings).finish()
    }
}

#[cfg_attr(not(feature = "scripts"), allow(unused_variables))]
impl Scripts {
    pub(crate) fn new(me: NodeAddr, settings: ScriptSettings, seed: [u8; 32], clock: Clock, born: u64) -> Scripts {
        let directory = Directory::new(settings.enabled);
        Scripts {
            #[cfg(feature = "scripts")]
            runner: settings.enabled.then(|| {
                let wall = clock::Wall::new(clock, born);
                runner::Runner::new(me, settings.clone(), directory.clone(), seed, wall)
            }),
            settings,
            directory,
        }
    }

    /// Says where calls of shipped code go.
    pub(crate) fn attach(&self, world: Rc<dyn World>) {
        #[cfg(feature = "scripts")]
        if let Some(runner) = &self.runner {
            runner.attach(world);
        }
    }

    /// The names that code sees.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Whether code is run here.
    pub(crate) fn enabled(&self) -> bool {
        self.settings.enabled && cfg!(feature = "scripts")
    }

    /// Calls a method of a service that was put.
    pub(crate) fn call_method(
        &self,
        service: Arc<Value>,
        method: &str,
        arguments: Vec<Value>,
        origin: Origin,
    ) -> ReplyFuture {
        #[cfg(feature = "scripts")]
        if let Some(runner) = &self.runner {
            return runner.run(engine::What::Method(service, method.to_owned()), arguments, origin);
        }
        ready(Err(takes_no_code()))
    }

    /// Calls a function that came as text.
    pub(crate) fn call_function(&self, function: &Function, arguments: Vec<Value>, origin: Origin) -> ReplyFuture {
        #[cfg(feature = "scripts")]
        if let Some(runner) = &self.runner {
            return runner.run(engine::What::Function(function.clone()), arguments, origin);
        }
        ready(Err(takes_no_code()))
    }

    /// Calls a function that `createRPC` keeps.
    pub(crate) fn call_remote(&self, name: &str, arguments: Vec<Value>, origin: Origin) -> ReplyFuture {
        #[cfg(feature = "scripts")]
        if let Some(runner) = &self.runner {
            return runner.run(engine::What::Remote(name.to_owned()), arguments, origin);
        }
        ready(Err(takes_no_code()))
    }

    /// Runs text at top level. Answers what it comes to, as a prompt shows it.
    pub(crate) fn evaluate(&self, source: String, origin: Origin) -> ReplyFuture {
        #[cfg(feature = "scripts")]
        if let Some(runner) = &self.runner {
            return runner.run(engine::What::Source(source), Vec::new(), origin);
        }
        ready(Err(takes_no_code()))
    }

    /// Waits until shipped code has no call, timer or answer under way. Answers an error that nobody caught, if there
    /// was one since this was last asked.
    pub(crate) async fn idle(&self) -> Option<CallError> {
        #[cfg(feature = "scripts")]
        if let Some(runner) = &self.runner {
            return runner.idle().await;
        }
        None
    }

    /// Ends the engine.
    pub(crate) fn close(&self) {
        #[cfg(feature = "scripts")]
        if let Some(runner) = &self.runner {
            runner.close();
        }
    }
}

/// Runs one function where there is no node: its `distribution.local.comm.send` goes straight to the transport, and
/// nothing else is there. For a node that could not start and has to tell whoever waits for it. Returns when nothing
/// that the function began is under way, or at the deadline.
///
/// # Errors
/// What the function answers; [`ErrorKind::Unsupported`] where no engine is built in or wanted.
pub async fn run_alone(
    me: &NodeAddr,
    transport: Rc<dyn Transport>,
    settings: ScriptSettings,
    function: &Function,
    arguments: Vec<Value>,
    deadline: Duration,
) -> Reply {
    let clock = Clock::default();
    let scripts = Scripts::new(me.clone(), settings, [0; 32], clock, 0);
    scripts.attach(Rc::new(Alone(transport)));
    let local = BTreeMap::from([("comm".to_owned(), vec!["send".to_owned()])]);
    scripts.directory().change(|names| {
        names.insert("local".to_owned(), local);
    });
    let run = async {
        let reply = scripts.call_function(function, arguments, Origin::starting(deadline, clock)).await;
        match scripts.idle().await {
            Some(error) => Err(error),
            None => reply,
        }
    };
    let late = |_| CallError::new(ErrorKind::DeadlineExceeded, "the function did not end in time");
    let reply = tokio::time::timeout(deadline, run).await.map_err(late);
    scripts.close();
    reply?
}

/// A way out, and nothing else.
#[cfg_attr(not(feature = "scripts"), allow(dead_code))]
struct Alone(Rc<dyn Transport>);

impl World for Alone {
    fn perform(&self, origin: Origin, call: Call) -> LocalBoxFuture<'static, Reply> {
        let prepared = message_and_remote("comm.send", &call.arguments).and_then(|(arguments, remote)| {
            let missing = || CallError::argument("comm.send", 2, "remote", "the remote has no node");
            let node = remote.node.ok_or_else(missing)?;
            Ok((node, Call::new(remote.gid, remote.service, remote.method, arguments).within(origin.nested()?)))
        });
        match prepared {
            Ok((node, call)) => self.0.call(&node, call),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn register(&self, _: &str) -> Result<(), CallError> {
        Err(CallError::new(ErrorKind::Unsupported, "there is no node to call back"))
    }
}
