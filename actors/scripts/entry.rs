//! The way in to shipped functions.

use std::{rc::Rc, sync::Arc};

use chinwag_protocol::{
    call::CallError,
    identity::NodeAddr,
    value::{Function, Value},
};

#[cfg(feature = "scripts")]
use super::{clock::WallClock, messages::Code, runner::Runner};
use super::{directory::Directory, errors::takes_no_code, host::Host, settings::ScriptSettings};
use crate::{
    clock::Clock,
    request::{Origin, ReplyFuture, ready},
};

/// A node's shipped functions. Starts an engine when the first is called.
#[derive(Clone)]
pub(crate) struct Scripts {
    settings: ScriptSettings,
    /// None on a node that takes no code.
    #[cfg(feature = "scripts")]
    runner: Option<Rc<Runner>>,
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
                let clock = WallClock::new(clock, born);
                Runner::new(me, settings.clone(), directory.clone(), seed, clock)
            }),
            settings,
            directory,
        }
    }

    /// Says where calls of shipped code go.
    pub(crate) fn attach(&self, host: Rc<dyn Host>) {
        #[cfg(feature = "scripts")]
        if let Some(runner) = &self.runner {
            runner.attach(host);
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
            return runner.run(Code::Method(service, method.to_owned()), arguments, origin);
        }
        ready(Err(takes_no_code()))
    }

    /// Calls a function that came as text.
    pub(crate) fn call_function(&self, function: &Function, arguments: Vec<Value>, origin: Origin) -> ReplyFuture {
        #[cfg(feature = "scripts")]
        if let Some(runner) = &self.runner {
            return runner.run(Code::Function(function.clone()), arguments, origin);
        }
        ready(Err(takes_no_code()))
    }

    /// Calls a function that `createRPC` keeps.
    pub(crate) fn call_registered(&self, name: &str, arguments: Vec<Value>, origin: Origin) -> ReplyFuture {
        #[cfg(feature = "scripts")]
        if let Some(runner) = &self.runner {
            return runner.run(Code::Registered(name.to_owned()), arguments, origin);
        }
        ready(Err(takes_no_code()))
    }

    /// Runs text at top level. Answers what it comes to, as a prompt shows it.
    pub(crate) fn evaluate(&self, source: String, origin: Origin) -> ReplyFuture {
        #[cfg(feature = "scripts")]
        if let Some(runner) = &self.runner {
            return runner.run(Code::Source(source), Vec::new(), origin);
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
