//! The actors of a chinwag node: one for each service, and those that start and watch them.
//!
//! ```text
//! node.rs       start(Environment) -> Node; Lifecycle starts and ends actors
//! seat.rs       where an actor sits, and who replaces it when it panics
//! request.rs    Request, the one message every service takes
//! service.rs    Service, how one is written in Rust
//! handle/       Node and Group, the typed face over the same calls
//! stub.rs       functions whose text says where to call
//! state.rs       what the actors of one node share
//! clock.rs      how a node's clock goes
//! load.rs       how full a node is
//! transport.rs  the way out, and what each way out is held to
//! scripts/      shipped functions: code from elsewhere, in a sandbox
//! local/        a node's own services: routes (the door in), comm (the door out), groups, status, gossip, membership
//! group/        a group's services, and the supervisor that instantiates them
//! ```
//!
//! Who sends what to whom:
//!
//! ```text
//! caller  --Request--> Routes --Request--> the service's actor
//! service --Send-----> Comm   --call-----> Transport ~~> another node's Routes
//! groups.put/del       Groups --Reconcile-> Lifecycle --Ready--> Supervisor of the group
//! group services       --Members, Configuration--> Groups
//! gossip.send          --Broadcast--> Gossip
//! Groups               --Changed--> Membership --Broadcast--> Gossip --Request (news, ping, …)--> Membership
//! Membership           --call--> Transport, past Comm
//! ```
//!
//! No actor waits for another with its mailbox stopped. What is not here: sockets, processes, files and clocks other
//! than tokio's, which the simulator stops.

mod admission;
mod arguments;
mod caller;
pub mod clock;
mod doors;
pub mod environment;
mod events;
pub mod group;
pub mod handle;
pub mod launcher;
mod lifecycle;
pub mod load;
pub mod local;
mod messages;
pub mod node;
pub mod request;
pub mod scripts;
pub mod service;
pub mod settings;
mod state;
pub mod stub;
mod supervise;
mod supervisor;
pub mod transport;
