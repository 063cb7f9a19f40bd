//! A service of your own: an actor holds a counter, and anybody who can reach the node can call it.
//!
//! ```text
//! cargo run --example counter
//! ```
#![allow(clippy::print_stdout, reason = "an example says what it does")]

use chinwag::{CallError, Gid, Node, Service};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let counter = Service::new("counter", |_scope| 0_u64)
        .method("add", |total: &mut u64, (by,): (u64,)| {
            *total += by;
            *total
        })
        .try_method("take", |total: &mut u64, (by,): (u64,)| match total.checked_sub(by) {
            Some(rest) => {
                *total = rest;
                Ok(rest)
            }
            None => Err(CallError::other(format!("there are only {total}"))),
        });
    // port 0 takes a free one
    let node = Node::builder().port(0).service(counter).start().await?;
    println!("curl -X PUT http://{}/local/counter/add -d '[3]'", node.addr());

    // the same call as that of curl, without a socket
    let total = node.call(Gid::local(), "counter", "add", (3,)).await?.into_value();
    println!("added 3: {total:?}");

    // an error of the service, and a mistake of the caller
    if let Err(error) = node.call(Gid::local(), "counter", "take", (5,)).await {
        println!("took 5: {error}");
    }
    if let Err(error) = node.call(Gid::local(), "counter", "add", ("three",)).await {
        println!("added \"three\": {error}");
    }

    node.stop().await;
    Ok(())
}
