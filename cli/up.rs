//! `chinwag up N`: runs a group of nodes on this machine, and counts a rumor through it.
//!
//! ```text
//! this program's node   spawns N nodes, puts them in one group, on each of them and on itself;
//!                       holds one counter service, counter.count
//! gossip.send           one message, whose remote is comm.send: every node that performs it calls that counter
//! the counter           shows how many nodes have performed the message
//! ```
//!
//! The nodes end with this program, however it ends. It reports a node that ends before.

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chinwag::{
    Call, CallError, Config, ErrorKind, Gid, Node, NodeAddr, Output, Remote, Service, Value, protocol::value::Object,
};
use clap::Args;
use futures_util::future::join_all;
use tokio::sync::watch;

use crate::{
    ending::{Ended, Ending, fail},
    files::raise_file_limit,
    node,
    outputs::Outputs,
    typed,
};

/// The group's name.
const GROUP: &str = "town";

/// The timeout for the start of all nodes together.
const START: Duration = Duration::from_secs(60);

/// The timeout for the rumor to reach all nodes.
const RUMOR: Duration = Duration::from_secs(30);

/// How long the program waits for a node that was told to stop, and how often it asks the node.
const STOP: Duration = Duration::from_secs(3);
const STOP_POLL: Duration = Duration::from_millis(10);

/// The number of nodes, and what happens after the rumor.
#[derive(Debug, Args)]
pub(super) struct UpArgs {
    /// Number of nodes to start
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    nodes: u16,
    /// Stop after the rumor is counted; exit with 0 if all nodes heard it
    #[arg(long)]
    once: bool,
}

/// Starts the group, counts the rumor, and runs until the program is told to end.
pub(super) async fn run(args: UpArgs, outputs: &Outputs) -> Ended {
    raise_file_limit();
    let mut ending = Ending::listen();
    let (heard, counted) = watch::channel(0_u64);
    // the count belongs to an actor, and the channel only shows it
    let counter = Service::new("counter", |_| 0_u64).method("count", move |n: &mut u64, ()| {
        *n += 1;
        // the display may have ended
        let _ = heard.send(*n);
        *n
    });
    let out = &outputs.out;
    // once this program stops the nodes, their ends are not reported
    let stopping = Arc::new(AtomicBool::new(false));
    let (expected, report) = (stopping.clone(), out.clone());
    let builder = node::builder(Config::default(), outputs).port(0).service(counter);
    let builder = builder.children_end_with_it().on_child_exit(move |exit| {
        if !expected.load(Ordering::Acquire) {
            report.line(exit);
        }
    });
    let asking = match builder.start().await {
        Ok(node) => node,
        Err(why) => return fail(&typed::explained(&why)).into(),
    };
    let running = async {
        let all_heard = run_group(&asking, args.nodes, counted, out).await?;
        if all_heard && !args.once {
            out.line("\nCtrl-C stops them all.");
            std::future::pending::<()>().await;
        }
        Ok::<bool, CallError>(all_heard)
    };
    let ended = tokio::select! {
        biased;
        outcome = running => Ok(outcome),
        cause = ending.wanted() => Err(cause),
    };
    stopping.store(true, Ordering::Release);
    stop_all(&asking).await;
    match ended {
        Err(cause) => Ended::By(cause),
        Ok(Ok(true)) => ExitCode::SUCCESS.into(),
        Ok(Ok(false)) => ExitCode::FAILURE.into(),
        Ok(Err(why)) => fail(&why).into(),
    }
}

/// Starts the nodes, sends the rumor and shows the result. Returns whether every node heard the rumor.
async fn run_group(
    asking: &Node,
    nodes: u16,
    mut counted: watch::Receiver<u64>,
    out: &Output,
) -> Result<bool, CallError> {
    let began = Instant::now();
    let patient = asking.with_deadline(START);
    let spawned = join_all((0..nodes).map(|_| patient.spawn(NodeAddr::new("127.0.0.1", 0)))).await;
    let spawned = spawned.into_iter().collect::<Result<Vec<NodeAddr>, CallError>>()?;
    asking.groups().put(GROUP, spawned.clone()).await?;
    let told = patient.group(GROUP).groups().put(GROUP, spawned.clone()).await?;
    if let Some((sid, why)) = told.errors.into_iter().next() {
        return Err(CallError::other(format!("{sid} did not take the group: {why}")));
    }
    out.line(format_args!("{nodes} nodes are up as the group {GROUP:?} ({} ms)", began.elapsed().as_millis()));

    let began = Instant::now();
    let counter = Remote::new("counter", "count").on(asking.addr().clone());
    let message = (Vec::<Value>::new(), counter.to_value());
    let _ = asking.group(GROUP).gossip().send(message, &Remote::new("comm", "send")).await?;
    let everyone = u64::from(nodes);
    let counting = async {
        loop {
            let heard = *counted.borrow_and_update();
            if heard > 0 {
                out.line(format_args!(
                    "{heard} of {everyone} have heard the rumor ({} ms)",
                    began.elapsed().as_millis()
                ));
            }
            if heard >= everyone || counted.changed().await.is_err() {
                return heard;
            }
        }
    };
    let heard = match tokio::time::timeout(RUMOR, counting).await {
        Ok(heard) => heard,
        Err(_) => *counted.borrow(),
    };

    out.line("\nwhat each node sees:");
    let views = asking.group(GROUP).groups().get(GROUP).await?;
    for (sid, view) in &views.values {
        let address = view.get(sid.as_str()).map(NodeAddr::from_value);
        let address = address.and_then(Result::ok).map_or_else(|| "?".to_owned(), |node| node.to_string());
        let members = view.as_object().map_or(0, |members| members.len());
        out.line(format_args!("  {sid}  {address}  {members} members of {GROUP}"));
    }
    if let Some(node) = spawned.first() {
        out.line(format_args!(
            "\nto try next:\n  chinwag call {GROUP} status get heapTotal --connect {node}\n  \
             curl -X PUT http://{node}/{GROUP}/status/get -d '[\"sid\"]'"
        ));
    }
    Ok(heard == everyone)
}

/// Stops every node that this one has started, waits until they are gone, and stops this one.
async fn stop_all(asking: &Node) {
    let others = match asking.group("all").members().await {
        Ok(members) => members
            .iter()
            .filter(|(_, other)| !other.node.is_same_node(asking.addr()))
            .map(|(_, o)| o.node.clone())
            .collect(),
        Err(_) => Vec::new(),
    };
    // Each node first forgets the others: all stop at once, and announcing it to each other would be pointless.
    let forget_others = |to: NodeAddr| async move {
        let alone = Call::new(Gid::local(), "groups", "put", vec![Value::from("all"), Value::Object(Object::new())]);
        // a node that does not receive this announces its end to the others
        let _ = asking.call_on(&to, alone).await;
    };
    join_all(others.iter().chain([asking.addr()]).cloned().map(forget_others)).await;
    join_all(others.iter().map(|other| async move {
        let call = |method| Call::new(Gid::local(), "status", method, vec![Value::from("sid")]);
        if let Err(why) = asking.call_on(other, call("stop")).await {
            log::warn!(target: "chinwag::node", "cannot stop {other}: {why}");
        }
        let ending_of_node = async {
            // a node that is stopping still answers
            while !matches!(asking.call_on(other, call("get")).await, Err(why) if why.kind == ErrorKind::Unreachable) {
                tokio::time::sleep(STOP_POLL).await;
            }
        };
        // a node that does not end has been told to, and its stderr says why
        let _ = tokio::time::timeout(STOP, ending_of_node).await;
    }))
    .await;
    asking.stop().await;
}
