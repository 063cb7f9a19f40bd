//! A group: three nodes that are addressed as one. A call on the group reaches each member, and one result comes back.
//!
//! ```text
//! cargo run --example group
//! ```
#![allow(clippy::print_stdout, reason = "an example says what it does")]

use chinwag::{Node, Remote, Service};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut nodes = Vec::new();
    for room in ["kitchen", "attic", "cellar"] {
        let thermometer = Service::new("thermometer", move |_scope| room).try_method("read", |room, ()| match *room {
            "cellar" => Err("the battery is empty"),
            "attic" => Ok(31),
            _ => Ok(21),
        });
        nodes.push(Node::builder().port(0).service(thermometer).start().await?);
    }

    // the node that puts a group knows it; the others need not
    let node = &nodes[0];
    let members: Vec<_> = nodes.iter().map(|node| node.addr().clone()).collect();
    node.groups().put("house", members).await?;
    let house = node.group("house");

    // each member's answer or error, by its SID
    let readings = house.comm().send((), &Remote::new("thermometer", "read")).await?;
    for (sid, degrees) in &readings.values {
        println!("{sid}: {degrees:?} degrees");
    }
    for (sid, error) in &readings.errors {
        println!("{sid}: {error}");
    }

    // figures of the group: a sum, and who could not be asked
    let calls = house.status().counts().await?;
    println!("{} calls served by {} nodes, {} errors", calls.value, nodes.len(), calls.errors.len());

    let stopped = house.status().stop().await?;
    println!("{} nodes stopped", stopped.values.len());
    Ok(())
}
