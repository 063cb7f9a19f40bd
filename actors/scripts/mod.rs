//! Shipped functions: JavaScript that arrives in calls, and runs in a sandbox.
//!
//! ```text
//! Routes --call--> Runner --Input--> Engine (QuickJS, in a process of its own)
//! Routes <-reply-- Runner <-Output-- Engine
//!                  Runner --call---> Host (the node; a call on the same node uses no socket)
//! ```
//!
//! # How a function is called, and how it answers
//!
//! The arguments are padded with `undefined` up to the number of parameters minus one, and the callback follows them. A
//! function that declares a parameter in that position, or a rest parameter, answers through the callback; only the
//! first call of the callback counts. Any other function answers with its return value. A promise is awaited. An
//! exception, or the reason for which a promise is rejected, is the error of the call. No function can answer after the
//! deadline. `this` is the service of a method, and all code on the node shares one `globalThis`, unless each service is
//! given a realm of its own ([`ScriptSettings::realm_per_service`]).
//!
//! A function that code hands to a service of its own node (`local.routes.put`, `gossip.at`, `membership.subscribe`, the
//! `subset` of a group) stays that function, with its variables. The node holds a number for it; other nodes get its text.
//!
//! # What code can reach and change
//!
//! Code has `distribution` (the services of the node under `local`, those of each group under its name, `node.config`
//! and `util`), `console`, timers, and the language. It has no files, processes, modules or network. It can reach
//! exactly what any peer can reach with a call. It can add names to `globalThis`, and give its own objects any names, but
//! it can neither replace nor change the intrinsics of the language and the built-in entries of `distribution`
//! (`lockdown.js`). The code of the prompt and of `run` has an unlocked realm of its own. The node reads values without
//! running code, and takes nothing from a global name.
//!
//! # What stops code that does not end
//!
//! | code that | is stopped by |
//! |---|---|
//! | loops, recurses, or backtracks in a regular expression | the engine's interrupt, at its limit of processor time |
//! | does so while another caller waits | the same interrupt, after [`ScriptSettings::turn`] |
//! | allocates too much memory | the same interrupt, or the allocator if one allocation is too large |
//! | creates jobs that create jobs | the check between jobs; the engine replaces its heap |
//! | is in a built-in function that never checks | the watchdog, which ends the process of the engine; another one starts |
//!
//! An application that does not call `chinwag::init` has its engine on a thread, which cannot be killed: it is abandoned
//! and ends when its built-in function returns. While [`ScriptSettings::stuck_engines`] of them run, shipped calls are
//! refused. The simulator runs engines inline and counts interrupts instead of time, so that a run can be repeated.
//!
//! A new engine still has all services that were put, because the route table keeps their text and a call evaluates it.
//! What code kept in `globalThis`, in variables and with `createRPC` is gone. Calls whose code had begun fail with
//! `EngineRestarted`, and so does the next call of each service that kept state and of each registered function, once.
//!
//! # How callers share the engine
//!
//! Each turn of code counts for a shipper (an address, or a connection on loopback) and a service. `queue.rs` gives the
//! next turn to the shipper whose code has lately used the least processor time. Timers, pending calls, registered
//! functions and held functions have quotas for both (`account.rs`), and end with their service.
//!
//! # The files
//!
//! A file imports only files above it and in its own row.
//!
//! | file | contents |
//! |---|---|
//! | `settings.rs`, `directory.rs`, `errors.rs`, `host.rs`, `account.rs`, `realm.rs`, `original.rs` | limits, names, errors, the host, who is charged |
//! | `portable.rs`, `messages.rs`, `frames.rs` | the messages between node and engine, and how they cross a pipe |
//! | `clock.rs`, `turn.rs`, `engine_config.rs`, `memory.rs`, `task.rs`, `timers.rs`, `meter.rs` | what code uses, and when it is interrupted |
//! | `syntax.rs`, `parameters.rs`, `prelude.js`, `lockdown.js`, `originals.rs`, `prelude.rs`, `properties.rs`, `foreign.rs`, `convert.rs` | the JavaScript side, conversion |
//! | `unfinished.rs`, `declarations.rs` | whether a text is finished, and what a line of a prompt declares |
//! | `state.rs`, `host_functions.rs`, `invoke.rs` | what JavaScript closures share, calling and being called |
//! | `engine.rs`, `mailbox.rs`, then `child.rs`, `thread.rs` and `inline.rs` | the engine, and what drives it |
//! | `process.rs`, `driver.rs`, `queue.rs`, `services.rs`, `runner.rs`, `entry.rs`, `without_node.rs` | the side of the node |
//!
//! # What is absent
//!
//! There are no modules but `distribution`, which `require` returns, and no `fetch` or `process`. Without the feature
//! `scripts` there is no engine, and every shipped call answers `Unsupported`; callbacks, spawning and gossip do not need
//! one.

mod directory;
mod entry;
mod errors;
mod host;
mod settings;
mod without_node;

#[cfg(feature = "scripts")]
mod account;
#[cfg(feature = "scripts")]
mod child;
#[cfg(feature = "scripts")]
mod clock;
#[cfg(feature = "scripts")]
mod convert;
#[cfg(feature = "scripts")]
mod declarations;
#[cfg(feature = "scripts")]
mod driver;
#[cfg(feature = "scripts")]
mod engine;
#[cfg(feature = "scripts")]
mod engine_config;
#[cfg(feature = "scripts")]
mod foreign;
#[cfg(feature = "scripts")]
mod frames;
#[cfg(feature = "scripts")]
mod host_functions;
#[cfg(feature = "scripts")]
mod inline;
#[cfg(feature = "scripts")]
mod invoke;
#[cfg(feature = "scripts")]
mod mailbox;
#[cfg(feature = "scripts")]
mod memory;
#[cfg(feature = "scripts")]
mod messages;
#[cfg(feature = "scripts")]
mod meter;
#[cfg(feature = "scripts")]
mod original;
#[cfg(feature = "scripts")]
mod originals;
#[cfg(feature = "scripts")]
mod parameters;
#[cfg(feature = "scripts")]
mod portable;
#[cfg(feature = "scripts")]
mod prelude;
#[cfg(feature = "scripts")]
mod process;
#[cfg(feature = "scripts")]
mod properties;
#[cfg(feature = "scripts")]
mod queue;
#[cfg(feature = "scripts")]
mod realm;
#[cfg(feature = "scripts")]
mod runner;
#[cfg(feature = "scripts")]
mod services;
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
#[cfg(feature = "scripts")]
mod turn;
#[cfg(feature = "scripts")]
mod unfinished;

#[cfg(feature = "scripts")]
pub use child::run_engine;
pub(crate) use directory::{Change, Directory};
pub(crate) use entry::Scripts;
pub(crate) use host::Host;
pub use settings::{Console, ConsoleLevel, ScriptSettings};
#[cfg(feature = "scripts")]
pub use unfinished::is_unfinished;
pub use without_node::run_without_node;
