//! Shipped functions: JavaScript that arrives in calls, and runs in a sandbox.
//!
//! ```text
//! Routes --call--> Scripts --Input--> Engine (QuickJS, on a thread of its own)
//! Routes <-reply-- Scripts <-Output-- Engine
//!                  Scripts --call---> Host (the node; a call on the same node uses no socket)
//! ```
//!
//! # How a function is called, and how it answers
//!
//! The arguments are padded with `undefined` up to the number of parameters minus one, and the callback follows them. A
//! function that declares a parameter in that position, or a rest parameter, answers through the callback; only the
//! first call of the callback counts. Any other function answers with its return value. A promise is awaited. An
//! exception, or the reason for which a promise is rejected, is the error of the call. No function can answer after the
//! deadline. `this` is the service of a method, and all code on the node shares one `globalThis`.
//!
//! # What code can reach
//!
//! Code has `distribution` (the services of the node under `local`, those of each group under its name, `node.config`
//! and `util`), `console`, timers, and the language. It has no files, processes, modules or network. It can reach
//! exactly what any peer can reach with a call. [`ScriptSettings`] limits what it can use up.
//!
//! # What stops code that does not end
//!
//! | code that | is stopped by |
//! |---|---|
//! | loops, recurses, or backtracks in a regular expression | the engine's interrupt, at its limit of processor time |
//! | allocates too much memory | the same interrupt, or the allocator if one allocation is too large |
//! | creates jobs that create jobs | the check between jobs; the engine replaces itself |
//! | is in a built-in function that never checks | the watchdog, which abandons the thread; another engine starts |
//!
//! A thread cannot be killed, so an abandoned one continues until its built-in function returns, and then ends. While
//! [`ScriptSettings::stuck_engines`] of them run, shipped calls are refused. A new engine still has all services that
//! were put, because the route table keeps their text and a call evaluates it. It has lost `globalThis` and the
//! functions that were registered with `createRPC`.
//!
//! # The files
//!
//! A file imports only files above it and in its own row.
//!
//! | file | contents |
//! |---|---|
//! | `settings.rs`, `directory.rs`, `errors.rs`, `host.rs` | limits, the names that code sees, errors, the host |
//! | `clock.rs`, `heartbeat.rs`, `engine_config.rs`, `messages.rs` | an engine's parts and messages |
//! | `memory.rs`, `task.rs`, `timers.rs`, `meter.rs` | what code uses, and when it is interrupted |
//! | `prelude.js`, `prelude.rs`, `convert.rs`, `parameters.rs` | the JavaScript side, conversion |
//! | `syntax.rs`, `declarations.rs` | whether a text is finished, and what a line of a prompt declares |
//! | `state.rs`, `host_functions.rs`, `invoke.rs` | what JavaScript closures share, calling and being called |
//! | `engine.rs`, then `thread.rs` and `inline.rs` | the engine, and what drives it |
//! | `runner.rs`, `entry.rs`, `without_node.rs` | the side of the node |
//!
//! # What is absent
//!
//! There are no modules but `distribution`, which `require` returns, and no `fetch` or `process`. Code from different senders is not kept apart: all code on
//! a node shares one global object, as it does on the JavaScript reference. Without the feature `scripts` there is no
//! engine, and every shipped call answers `Unsupported`; callbacks, spawning and gossip do not need one.

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
mod declarations;
#[cfg(feature = "scripts")]
mod engine;
#[cfg(feature = "scripts")]
mod engine_config;
#[cfg(feature = "scripts")]
mod heartbeat;
#[cfg(feature = "scripts")]
mod host_functions;
#[cfg(feature = "scripts")]
mod inline;
#[cfg(feature = "scripts")]
mod invoke;
#[cfg(feature = "scripts")]
mod memory;
#[cfg(feature = "scripts")]
mod messages;
#[cfg(feature = "scripts")]
mod meter;
#[cfg(feature = "scripts")]
mod parameters;
#[cfg(feature = "scripts")]
mod prelude;
#[cfg(feature = "scripts")]
mod runner;
#[cfg(feature = "scripts")]
mod state;
#[cfg(feature = "scripts")]
mod syntax;
#[cfg(feature = "scripts")]
mod task;
#[cfg(all(test, feature = "scripts"))]
mod tests;
#[cfg(feature = "scripts")]
mod thread;
#[cfg(feature = "scripts")]
mod timers;

pub(crate) use directory::Directory;
pub(crate) use entry::Scripts;
pub(crate) use host::Host;
pub use settings::{Console, ScriptSettings};
#[cfg(feature = "scripts")]
pub use syntax::is_unfinished;
pub use without_node::run_without_node;
