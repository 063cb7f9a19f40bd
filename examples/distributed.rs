//! A distributed service: one definition, one instance for each group, each with a state of its own.
//!
//! ```text
//! cargo run --example distributed
//! ```
#![allow(clippy::print_stdout, reason = "an example says what it does")]

use std::collections::BTreeMap;

use chinwag::{CallError, Node, Remote, Scope, Service};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // every member votes for the group, and any member can collect the votes of all
    let ballot = Service::new("ballot", |_scope| BTreeMap::<String, u32>::new())
        .method("vote", |votes, (name,): (String,)| *votes.entry(name).or_default() += 1)
        .method("votes", |votes, ()| votes.clone())
        .async_method("winner", |_votes, scope: Scope, ()| async move {
            // the group that this instance belongs to
            let group = scope.group();
            let remote = Remote { gid: scope.gid().clone(), ..Remote::new("ballot", "votes") };
            let mut total = BTreeMap::<String, u32>::new();
            for (_, votes) in group.comm().send((), &remote).await?.values {
                for (name, count) in votes.deserialize::<BTreeMap<String, u32>>()? {
                    *total.entry(name).or_default() += count;
                }
            }
            let winner = total.into_iter().max_by_key(|(_, count)| *count);
            winner.map(|(name, _)| name).ok_or_else(|| CallError::other("nobody has voted"))
        });
    let one = Node::builder().port(0).distributed(ballot.clone()).start().await?;
    let two = Node::builder().port(0).distributed(ballot).start().await?;
    let members = [one.addr().clone(), two.addr().clone()];
    for gid in ["lunch", "music"] {
        // on each member, so that each has an instance
        for node in [&one, &two] {
            node.groups().put(gid, members.clone()).await?;
        }
    }
    one.group("lunch").call("ballot", "vote", ("soup",)).await?;
    two.group("lunch").call("ballot", "vote", ("soup",)).await?;
    two.group("lunch").call("ballot", "vote", ("rice",)).await?;
    println!("lunch: {:?}", one.group("lunch").call("ballot", "winner", ()).await?.into_value());
    // the other group has instances of its own, and nobody has voted there
    if let Err(error) = two.group("music").call("ballot", "winner", ()).await {
        println!("music: {error}");
    }

    let stopped = one.group("lunch").status().stop().await?;
    println!("{} nodes stopped", stopped.values.len());
    Ok(())
}
