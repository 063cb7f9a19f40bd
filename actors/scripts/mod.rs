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

mod directory;
mod entry;
mod errors;
mod host;
mod settings;
mod without_node;

#[cfg(feature = "scripts")]
mod clock;
#[cfg(feature = "scripts")]
mod convert;
#[cfg(feature = "scripts")]
mod engine;
#[cfg(feature = "scripts")]
mod engine_config;
#[cfg(feature = "scripts")]
mod host_functions;
#[cfg(feature = "scripts")]
mod memory;
#[cfg(feature = "scripts")]
mod messages;
#[cfg(feature = "scripts")]
mod parameters;
#[cfg(feature = "scripts")]
mod runner;
#[cfg(feature = "scripts")]
mod state;
#[cfg(all(test, feature = "scripts"))]
mod tests;
#[cfg(feature = "scripts")]
mod thread;

pub(crate) use directory::Directory;
pub(crate) use entry::Scripts;
pub(crate) use host::Host;
pub use settings::{Console, ScriptSettings};
pub use without_node::run_without_node;
