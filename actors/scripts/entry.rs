//! The entry point to shipped functions for the rest of the node.

use std::{fmt, rc::Rc, sync::Arc};

use chinwag_protocol::{
    call::CallError,
    identity::NodeAddr,
    value::{Function, Value},
};

#[cfg(feature = "scripts")]
use super::{
    clock::WallClock,
    errors::explain_missing_variable,
    runner::{Job, Runner},
};
use super::{directory::Directory, errors::scripts_disabled, host::Host, settings::ScriptSettings};
use crate::{
    clock::Clock,
    launcher::EngineStarter,
    request::{Origin, ReplyFuture, ready},
    script::Script,
};

/// The shipped functions of a node. An engine starts with the first call. Clones share it.
#[derive(Clone)]
pub(crate) struct Scripts {
    settings: ScriptSettings,
    /// `None` if scripts are disabled.
    #[cfg(feature = "scripts")]
    runner: Option<Rc<Runner>>,
    directory: Directory,
}

impl fmt::Debug for Scripts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scripts").field(&self.settings).finish()
    }
}

#[cfg_attr(not(feature = "scripts"), allow(unused_variables))]
impl Scripts {
    /// `incarnation` is that of the node. A simulated node takes it for the time of day at which it started. `starter`
    /// starts the processes of engines; without one they run on threads.
    pub(crate) fn new(
        me: NodeAddr,
        settings: ScriptSettings,
        seed: [u8; 32],
        clock: Clock,
        incarnation: u64,
        starter: Option<Rc<dyn EngineStarter>>,
    ) -> Scripts {
        let directory = Directory::new(settings.enabled);
        Scripts {
            #[cfg(feature = "scripts")]
            runner: settings.enabled.then(|| {
                let clock = WallClock::new(clock, incarnation);
                Runner::new(me, settings.clone(), directory.clone(), seed, clock, starter)
            }),
            settings,
            directory,
        }
    }

    /// Sets the host of shipped code. Until then, no code runs.
    pub(crate) fn attach(&self, host: Rc<dyn Host>) {
        #[cfg(feature = "scripts")]
        if let Some(runner) = &self.runner {
            runner.attach(host);
        }
    }

    /// Returns the names that shipped code sees.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Returns whether this node runs shipped code.
    pub(crate) fn enabled(&self) -> bool {
        self.settings.enabled && cfg!(feature = "scripts")
    }

    /// Calls a method of a service that arrived as a value.
    pub(crate) fn call_method(
        &self,
        service: Arc<Value>,
        method: &str,
        arguments: Vec<Value>,
        origin: Origin,
    ) -> ReplyFuture {
        #[cfg(feature = "scripts")]
        if let Some(runner) = &self.runner {
            return explained(runner.run(Job::Method(service, method.to_owned()), arguments, origin));
        }
        ready(Err(scripts_disabled()))
    }

    /// Calls a function that arrived as text.
    pub(crate) fn call_function(&self, function: &Function, arguments: Vec<Value>, origin: Origin) -> ReplyFuture {
        #[cfg(feature = "scripts")]
        if let Some(runner) = &self.runner {
            return explained(runner.run(Job::Function(function.clone()), arguments, origin));
        }
        ready(Err(scripts_disabled()))
    }

    /// Calls a function that code registered with `createRPC`.
    pub(crate) fn call_registered(&self, name: &str, arguments: Vec<Value>, origin: Origin) -> ReplyFuture {
        #[cfg(feature = "scripts")]
        if let Some(runner) = &self.runner {
            return runner.run(Job::Registered(name.to_owned()), arguments, origin);
        }
        ready(Err(scripts_disabled()))
    }

    /// Returns the error of a call on a function that `createRPC` registered, if it was lost with its engine. Only the
    /// first such call gets it.
    pub(crate) fn take_lost(&self, name: &str) -> Option<CallError> {
        #[cfg(feature = "scripts")]
        if let Some(runner) = &self.runner {
            return runner.take_lost_name(name);
        }
        None
    }

    /// Runs source text at top level. Answers its value, formatted as at a prompt.
    pub(crate) fn evaluate(&self, script: Script, origin: Origin) -> ReplyFuture {
        #[cfg(feature = "scripts")]
        if let Some(runner) = &self.runner {
            return runner.run(Job::Source(script), Vec::new(), origin);
        }
        ready(Err(scripts_disabled()))
    }

    /// Ends the scripts whose answers are awaited, and the code that runs now.
    pub(crate) fn interrupt(&self) {
        #[cfg(feature = "scripts")]
        if let Some(runner) = &self.runner {
            runner.interrupt();
        }
    }

    /// Waits until no call, timer or answer of shipped code is pending. Returns the first error that no code caught
    /// since the last call of this method, if there is one.
    pub(crate) async fn idle(&self) -> Option<CallError> {
        #[cfg(feature = "scripts")]
        if let Some(runner) = &self.runner {
            return runner.idle().await;
        }
        None
    }

    /// Stops the engine. No code runs afterwards.
    pub(crate) fn close(&self) {
        #[cfg(feature = "scripts")]
        if let Some(runner) = &self.runner {
            runner.close();
        }
    }
}

/// Explains what an error of a function that arrived as text means to its sender.
#[cfg(feature = "scripts")]
fn explained(reply: ReplyFuture) -> ReplyFuture {
    Box::pin(async move { reply.await.map_err(explain_missing_variable) })
}
