//! Gossip: one node tells a few random peers, these tell others, and every member performs the message exactly once.
//!
//! ```text
//! cargo run --example gossip
//! ```
#![allow(clippy::print_stdout, reason = "an example says what it does")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chinwag::{Node, Remote, Service};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    const NODES: usize = 20;
    let heard = Arc::new(AtomicUsize::new(0));
    let count = heard.clone();
    let news = Service::new("news", move |_scope| count.clone()).method("tell", |heard, (text,): (String,)| {
        heard.fetch_add(1, Ordering::Relaxed);
        text.len()
    });
    let mut nodes: Vec<Node> = Vec::new();
    for _ in 0..NODES {
        // each joins through the first: membership tells all of them of each other
        let builder = Node::builder().port(0).service(news.clone()).group("town");
        let builder = match nodes.first() {
            Some(first) => builder.join(first.addr().to_string()),
            None => builder,
        };
        nodes.push(builder.start().await?);
    }
    let town = nodes[NODES - 1].group("town");
    // a node knows its group a moment after its start, and the other members once it has joined
    while town.members().await.map_or(0, |members| members.len()) < NODES {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let begun = Instant::now();
    // the reply is what the few peers said that the message was sent to first
    let first = town.gossip().send(("the ferry is late",), &Remote::new("news", "tell")).await?;
    println!("{} nodes answered the sender", first.values.len());
    while heard.load(Ordering::Relaxed) < NODES {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("all {NODES} have heard it after {:?}", begun.elapsed());

    let stopped = town.status().stop().await?;
    println!("{} nodes stopped", stopped.values.len());
    Ok(())
}
