//! The actors of a chinwag node: one actix actor for each service, and those that start and supervise them.
//!
//! A decision is made in [`chinwag_protocol`]. An actor translates: it turns a message into an input of a state machine,
//! and each output into a send, a timer or an event.
//!
//! # Layers
//!
//! From the bottom: each file builds only on files above it here.
//!
//! ```text
//! clock.rs         a node's own clock, against real time
//! settings/        the settings of a node, with those of shipped code from scripts/settings.rs
//! load.rs          how full a node is
//! launcher.rs      Launcher: how a platform starts other nodes; the figures of its allocator
//! transport.rs     Transport: how a call leaves the node; the contract that every transport passes
//! stub.rs          callbacks as functions whose text says where to call
//! request.rs       Request: a call, and the time by which it must be answered
//! script.rs        Script: text that the owner of a node runs
//! events.rs        the events that an application receives about members and groups
//! messages.rs      the messages that the actors send each other, as plain structs with their results
//! supervise.rs     Supervised: replaces an actor that panics; Deliver: sends it messages
//! doors.rs         which actor handles which messages; the addresses of a node's actors, typed by message
//! admission.rs     classifies what enters the node: a request of gossip or membership, an operator's call, any other call
//! arguments.rs     the arguments of every `send`: an array of arguments, and a remote method
//! caller.rs        makes calls on a node, for the program or for a call that is being answered
//! scripts/         shipped functions: code of other nodes, in a sandbox
//! state.rs         what the actors of one node share
//! local/           the node's own services: routes, comm, groups, status, gossip, membership
//! handle/          NodeHandle and Group: the typed Rust API
//! service.rs       Service: how a service is written in Rust
//! group/           the services of each group, written with Service
//! supervisor.rs    runs the services of one group
//! lifecycle.rs     starts and ends what the node runs
//! environment.rs   what a node is given when it starts
//! node.rs          starts a node
//! ```
//!
//! # Who sends which message to whom
//!
//! ```text
//! sender               message                                    handled by
//! ---------------------------------------------------------------------------------------------------------
//! any caller           Request                                    routes, which passes it to the service's actor
//!                      SendCall                                   comm, which makes the call on another node
//!                      Apply                                      routes, which calls a function
//! a transport          Request, FromPeer, Incoming                gossip, membership: the requests of peers
//! NodeHandle, Group    AddCallback, Evaluate, InterruptScripts    routes
//!                      ScriptsIdle                                routes
//!                      Members                                    groups
//!                      Enter                                      gossip
//!                      Subscribe, Farewell, Inputs                membership
//!                      Install, Stop, Close                       lifecycle
//! routes               Reconcile, on the first call on a group    lifecycle
//!                      Admitted, once that group runs             routes
//! status               AddCallback; Meet; Stop                    routes; groups; lifecycle
//! groups               Reconcile; GroupChanged, Inputs; Enter     lifecycle; membership; gossip
//! comm                 Inputs                                     membership
//! gossip               Request, for what a rumor performs         routes, membership
//!                      Inputs; Configuration; SetFanout           membership; groups; gossip
//! membership           Broadcast, Differs, Enter; Enroll, Merge   gossip; groups
//! group services       Members, Configuration; Broadcast          groups; gossip
//!                      NameAndChance; Unreachable                 routes; membership
//! lifecycle            Ready; Deleted                             the group's supervisor; gossip
//! the first sender     StartService                               routes, which starts groups or comm
//! ```
//!
//! No actor stops its mailbox to wait for another actor.
//!
//! What is not here: sockets, processes, files, and any clock other than tokio's, which a simulator can stop.

mod admission;
mod arguments;
mod caller;
pub mod clock;
mod doors;
pub mod environment;
mod events;
mod group;
pub mod handle;
pub mod launcher;
mod lifecycle;
pub mod load;
pub mod local;
mod messages;
pub mod node;
pub mod request;
pub mod script;
pub mod scripts;
pub mod service;
pub mod settings;
mod state;
pub mod stub;
mod supervise;
mod supervisor;
pub mod transport;
