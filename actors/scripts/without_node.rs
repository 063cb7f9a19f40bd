//! A function that runs where there is no node.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use chinwag_protocol::{
    call::{Call, CallError, ErrorKind, Reply},
    identity::NodeAddr,
    value::{Function, Value},
};
use futures_util::future::LocalBoxFuture;

use super::{entry::Scripts, host::Host, settings::ScriptSettings};
use crate::{clock::Clock, local::comm::message_and_remote, request::Origin, transport::Transport};

/// Runs one function where there is no node: its `distribution.local.comm.send` goes straight to the transport, and
/// nothing else is there. For a node that could not start and has to tell whoever waits for it. Returns when nothing
/// that the function began is under way, or at the deadline.
///
/// # Errors
/// What the function answers; [`ErrorKind::Unsupported`] where no engine is built in or wanted.
pub async fn run_without_node(
    me: &NodeAddr,
    transport: Rc<dyn Transport>,
    settings: ScriptSettings,
    function: &Function,
    arguments: Vec<Value>,
    deadline: Duration,
) -> Reply {
    let clock = Clock::default();
    let scripts = Scripts::new(me.clone(), settings, [0; 32], clock, 0);
    scripts.attach(Rc::new(TransportOnly(transport)));
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
struct TransportOnly(Rc<dyn Transport>);

impl Host for TransportOnly {
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
        Err(CallError::new(ErrorKind::Unsupported, "there is no node to call back"))
    }
}
