//! Many membership machines in one process: events in virtual time, a network that loses messages.
//!
//! Each one-way message (a request, an answer, either leg of a relayed call, a push of gossip) takes one latency and is
//! lost independently, so a request can have been performed whose answer is lost. Gossip is modelled simply: each node
//! that first gets an update pushes it once to a few others drawn at random, and at each tick takes what it lacks from
//! one other, if both legs arrive. The port of a killed node refuses, and the connections that it kept close; a silent
//! one answers nothing; a stopped one does everything later.

mod gossip;
mod queue;
mod world;

pub use world::{Network, World};
