//! The messages between an engine and the node.

use std::sync::Arc;

use chinwag_protocol::{
    call::{CallError, Reply},
    value::{Function, Value},
};

use crate::{request::Origin, script::Script};

/// A message to an engine.
#[derive(Debug)]
pub(super) enum Input {
    /// Runs code. [`Output::Answer`] follows.
    Run(Invocation),
    /// Delivers the reply to the call that [`Output::Call`] with the same number asked for.
    Reply { number: u64, reply: Reply },
}

/// Code to run, with its arguments.
#[derive(Debug)]
pub(super) struct Invocation {
    pub id: u64,
    pub origin: Origin,
    pub code: Code,
    pub arguments: Vec<Value>,
}

/// The code that an invocation runs.
#[derive(Clone, Debug)]
pub(super) enum Code {
    /// A method of a service, which is its `this`.
    Method(Arc<Value>, String),
    /// A function that arrived as text.
    Function(Function),
    /// A function that `createRPC` registered under this name.
    Registered(String),
    /// Source text at top level. The answer is its value, formatted as at a prompt.
    Source(Script),
}

/// A message from an engine.
#[derive(Debug)]
pub(super) enum Output {
    /// Answers the invocation with this id.
    Answer { id: u64, reply: Reply },
    /// Asks for a call on behalf of `origin`. [`Input::Reply`] follows.
    Call { number: u64, origin: Origin, gid: String, service: String, method: String, arguments: Vec<Value> },
    /// Asks for a registered function to become callable by its name.
    Register { name: String },
    /// Reports how many timers and calls of shipped code are pending.
    Pending(usize),
    /// Reports an error that no code caught, and that no caller waits for.
    Uncaught(CallError),
}
