//! A simulation: a hundred real nodes in one thread, on a network that loses a fifth of all messages, in virtual time.
//! The same seed gives the same run, so a failure can be replayed.
//!
//! ```text
//! cargo run --example simulate
//! ```
#![allow(clippy::print_stdout, reason = "an example says what it does")]

use std::time::Duration;

use chinwag_simulation::{Latency, Simulation, SimulationError};

fn main() -> Result<(), SimulationError> {
    for seed in [1, 2, 3, 1] {
        let town = Simulation::new(seed).nodes(100).loss(0.2).latency(Latency::Uniform(1, 20));
        let line = town.run(|net| async move {
            net.tell(0, "the ferry is late");
            let reached = net.until_all_heard("the ferry is late", Duration::from_secs(30)).await;
            assert!(reached, "the rumor is not everywhere after 30 s");
            let last = (0..net.len()).flat_map(|index| net.heard(index)).map(|hearing| hearing.at).max();
            // the message was performed once on each node, however many copies arrived
            let twice = (0..net.len()).filter(|index| net.heard(*index).len() > 1).count();
            format!(
                "all 100 by {:?}, {twice} of them twice, {} requests",
                last.unwrap_or_default(),
                net.counts().requests
            )
        })?;
        println!("seed {seed}: {line}");
    }
    Ok(())
}
