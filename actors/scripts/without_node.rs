//! Runs a function while there is no node.

use std::{rc::Rc, time::Duration};

use chinwag_protocol::{
    call::{Call, CallError, ErrorKind, Reply},
    identity::NodeAddr,
    value::{Function, Value},
};
use futures_util::future::LocalBoxFuture;

use super::{directory::Change, entry::Scripts, host::Host, settings::ScriptSettings};
use crate::{
    arguments::message_and_remote, clock::Clock, launcher::EngineStarter, request::Origin, transport::Transport,
};

/// Runs one function while there is no node, so that a node that could not start can tell its parent. All that the
/// function can call is `distribution.local.comm.send`, which goes straight to the transport. Returns when no timer or
/// call of the function is pending, or at the deadline.
///
/// # Errors
/// The error that the function answers with, or that it did not catch. [`ErrorKind::Unsupported`] if scripts are
/// disabled or were not built in.
pub async fn run_without_node(
    me: &NodeAddr,
    transport: Rc<dyn Transport>,
    settings: ScriptSettings,
    starter: Option<Rc<dyn EngineStarter>>,
    function: &Function,
    arguments: Vec<Value>,
    deadline: Duration,
) -> Reply {
    let clock = Clock::default();
    let scripts = Scripts::new(me.clone(), settings, [0; 32], clock, 0, starter);
    scripts.attach(Rc::new(TransportOnly(transport)));
    let (gid, service, methods) = ("local".to_owned(), "comm".to_owned(), vec!["send".to_owned()]);
    scripts.directory().change(Change::SetService { gid, service, methods });
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

/// A host that sends to other nodes, and offers nothing else.
#[cfg_attr(not(feature = "scripts"), allow(dead_code))]
struct TransportOnly(Rc<dyn Transport>);

impl Host for TransportOnly {
    /// Performs a call of `comm.send`. The directory names nothing else.
    fn call(&self, origin: Origin, call: Call) -> LocalBoxFuture<'static, Reply> {
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
        Err(CallError::new(ErrorKind::Unsupported, "no node is running that other nodes could call"))
    }

    fn unregister(&self, _: &[String]) {}
}
