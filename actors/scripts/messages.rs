//! The messages between an engine and the node. They can be sent to an engine in another process.

use std::sync::Arc;

use chinwag_protocol::{
    call::{CallError, Reply, reply_from_pair, reply_to_pair},
    identity::NodeAddr,
    value::Value,
};
use serde::{Deserialize, Serialize};

use super::{
    account::Account,
    directory::Change,
    portable::{self, Portable},
    settings::{ConsoleLevel, ScriptSettings},
};
use crate::script::Script;

/// A message to an engine.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Input {
    /// Changes the names that code sees.
    Names(Vec<Change>),
    /// Runs code. [`Output::Answer`] and [`Output::TurnEnded`] follow.
    Run(Invocation),
    /// Delivers the reply to the call that [`Output::Call`] with the same number asked for. [`Output::TurnEnded`]
    /// follows.
    Reply { number: u64, account: Account, reply: Pair },
    /// Tells whether somebody else waits for the code that runs to end its turn.
    Waiting(bool),
    /// Stops the code that runs now.
    Interrupt,
    /// Drops functions that the node held as originals.
    DropOriginals(Vec<u64>),
    /// Drops services that no longer exist, with the timers and functions of their code.
    DropServices(Vec<u64>),
}

/// Code to run, with its arguments.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Invocation {
    pub id: u64,
    pub account: Account,
    /// How long the caller waits, in milliseconds.
    pub milliseconds_left: u64,
    pub code: Code,
    #[serde(with = "portable::values")]
    pub arguments: Arc<Vec<Value>>,
}

/// The code that an invocation runs.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Code {
    /// A method of a service, which is its `this`. `definition` is the service, if the engine has not received it yet.
    Method { service: u64, definition: Option<Portable>, method: String },
    /// A function that arrived as text, or that the engine itself gave to the node.
    Function(Portable),
    /// A function that `createRPC` registered under this name.
    Registered(String),
    /// Source text at top level. The answer is its value, formatted as at a prompt.
    Source(Script),
}

/// A reply in the form in which it crosses the wire: an error, and a value.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Pair {
    pub error: Portable,
    pub value: Portable,
    /// How JavaScript shows the error, if code threw it.
    pub shown: Option<String>,
}

impl From<Reply> for Pair {
    fn from(reply: Reply) -> Pair {
        let shown = reply.as_ref().err().and_then(|error| error.shown.as_deref().map(str::to_owned));
        let (error, value) = reply_to_pair(reply);
        Pair { error: Portable(error), value: Portable(value), shown }
    }
}

impl From<Pair> for Reply {
    fn from(Pair { error, value, shown }: Pair) -> Reply {
        reply_from_pair(error.0, value.0).map_err(|error| with_shown(error, shown))
    }
}

fn with_shown(error: CallError, shown: Option<String>) -> CallError {
    match shown {
        Some(shown) => error.shown_as(shown),
        None => error,
    }
}

/// An error, and how JavaScript shows it, if code threw it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Uncaught {
    error: Portable,
    shown: Option<String>,
}

impl From<Uncaught> for CallError {
    fn from(Uncaught { error, shown }: Uncaught) -> CallError {
        with_shown(CallError::from_value(error.0), shown)
    }
}

/// A message from an engine.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Output {
    /// Answers the invocation with this id.
    Answer { id: u64, reply: Pair },
    /// Asks for a call on behalf of an invocation. If `continues`, its own code has answered it, and the call has time of
    /// its own. [`Input::Reply`] follows.
    Call {
        number: u64,
        task: u64,
        account: Account,
        continues: bool,
        gid: String,
        service: String,
        method: String,
        #[serde(with = "portable::values")]
        arguments: Vec<Value>,
    },
    /// Asks for a registered function to become callable by its name.
    Register { name: String, account: Account },
    /// Reports that registered functions ended with what made them.
    Unregister(Vec<String>),
    /// The turn of an [`Input`] has ended. Reports the nanoseconds of processor time that it took, how many timers and
    /// calls of shipped code are pending, and whether the code's service keeps state in the engine.
    TurnEnded { used: u64, pending: u64, keeps_state: bool },
    /// The same, after timers fired.
    TimersFired { account: Account, used: u64, pending: u64 },
    /// Reports an error that no code caught, and that no caller waits for.
    Uncaught(Uncaught),
    /// Prints a line.
    Print { level: ConsoleLevel, line: String },
    /// The engine has replaced its heap. All services, originals and registered functions are gone.
    Replaced,
    /// The engine ends, because code does not return. `culprit` is the invocation whose code it is.
    Stuck { culprit: u64, why: String },
}

impl Output {
    pub(super) fn uncaught(error: CallError) -> Output {
        let shown = error.shown.as_deref().map(str::to_owned);
        Output::Uncaught(Uncaught { error: Portable(error.into()), shown })
    }
}

/// What an engine in another process needs to start.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Start {
    pub settings: ScriptSettings,
    /// The node's address and configuration.
    pub me: Portable,
    pub seed: [u8; 32],
    /// The number after which the engine numbers what it makes, so that it uses no number of its predecessors.
    pub after: u64,
}

impl Start {
    /// Returns the node's address.
    pub(super) fn node(&self) -> Result<NodeAddr, CallError> {
        NodeAddr::from_value(&self.me.0).map_err(|why| CallError::other(why.to_string()))
    }
}
