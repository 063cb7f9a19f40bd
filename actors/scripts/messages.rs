//! What goes in and out of an engine.

use std::sync::Arc;

use chinwag_protocol::{
    call::{CallError, Reply},
    value::{Function, Value},
};

use crate::request::Origin;

/// What an engine is asked.
#[derive(Debug)]
pub(super) enum Input {
    Run(Invocation),
    /// A call that it made came back.
    Reply {
        number: u64,
        reply: Reply,
    },
}

/// Something to be run and answered.
#[derive(Debug)]
pub(super) struct Invocation {
    pub id: u64,
    pub origin: Origin,
    pub code: Code,
    pub arguments: Vec<Value>,
}

/// What is to be run.
#[derive(Clone, Debug)]
pub(super) enum Code {
    /// A method, with the service as `this`.
    Method(Arc<Value>, String),
    /// A function on its own.
    Function(Function),
    /// A function that `createRPC` keeps.
    Registered(String),
    /// Source text at top level. Answers what it comes to, as it is shown at a prompt.
    Source(String),
}

/// What an engine asks.
#[derive(Debug)]
pub(super) enum Output {
    /// A job is done.
    Answer { id: u64, reply: Reply },
    /// A call is to be made.
    Call { number: u64, origin: Origin, gid: String, service: String, method: String, arguments: Vec<Value> },
    /// A function can be called by a name.
    Register { name: String },
    /// So many timers and calls are under way.
    Pending(usize),
    /// An error that nobody caught, in code whose call has been answered.
    Uncaught(CallError),
}
