//! Measures calls per second from one node to another, and the part of chinwag in their cost.
//!
//! Run it with `cargo bench --profile dist --bench rpc`. The profile `dist` is that of the shipped program; memory and
//! speed of other profiles are not comparable.
//!
//! ```text
//! this process                                    a process of its own
//! node: a service calls echo.echo on the other -> node: Routes, the actor, the answer
//! bare: awc sends the same bytes               -> actix-web, one worker: reads them, answers as many bytes
//! ```
//!
//! The two take turns at 1, 16, 64 and 256 calls in flight, with several rounds of each. `share` is the median, over
//! the rounds, of the node's rate divided by the bare rate of the same round. Both clients run on one thread, and both
//! servers have one worker. A service makes the node's calls on the node's own thread with `node.comm().send`: through
//! the route table, the actor `comm`, and the transport. Calls that a program makes through its handle, from another
//! thread than the node's, cross to that thread and back; their rate is listed too.
//!
//! Two columns show the processor time of a call on either side. On a machine that does other things, it varies less
//! than the rate.
//!
//! `local` are calls of a service on the same node, which use no socket.
//!
//! If `wrk` is on the path, it drives both servers, so that the measurement includes no client of chinwag. If the
//! JavaScript reference is installed, its calls are listed too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    path::Path,
    process::{Command, ExitCode},
    rc::Rc,
    time::Duration,
};

use chinwag::{Call, CallError, Gid, Node, NodeAddr, Remote, Service, Value, actors::service::Scope, protocol::wire};
use serde_json::json;
use support::{
    Cell, Options, Report,
    bare::{Process, echo},
    count, figure,
    load::{Run, drive},
    median, none, reference, share, words,
};
use tokio::sync::mpsc;

/// The numbers of calls under way at a time.
const IN_FLIGHT: [usize; 4] = [1, 16, 64, 256];

/// The text that is echoed.
const TEXT: &str = "what goes around";

fn main() -> ExitCode {
    support::main("Calls per second between two nodes, beside bare actix-web.", |options| {
        actix_web::rt::System::new().block_on(measure(options))
    })
}

/// How the node's calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By a service, with `comm.send`.
    Send,
    /// By a service, with `call_on`, which skips the route table.
    CallOn,
    /// By a service, on its own node.
    Local,
}

/// A service that makes calls and reports their results.
fn driver(say: mpsc::UnboundedSender<Run>) -> Service<()> {
    Service::new("driver", |_| ()).async_method(
        "drive",
        move |(), scope: Scope, (way, to, server, in_flight, time): (u8, NodeAddr, u32, usize, u64)| {
            let say = say.clone();
            async move {
                let way = [Way::Send, Way::CallOn, Way::Local][usize::from(way)];
                let run = drive(server, in_flight, Duration::from_millis(time), caller(scope.node(), way, to)).await;
                let _ = say.send(run);
                Ok::<(), CallError>(())
            }
        },
    )
}

fn caller(node: &Handle, way: Way, to: NodeAddr) -> impl Fn() -> Asking + Clone + 'static {
    let node = node.clone();
    let remote = Rc::new(Remote::new("echo", "echo").on(to.clone()));
    move || {
        let (node, remote, to) = (node.clone(), remote.clone(), to.clone());
        Box::pin(async move {
            let answer = match way {
                Way::Send => node.comm().send((TEXT,), &remote).await,
                Way::CallOn => {
                    let call = Call::new(Gid::local(), "echo", "echo", vec![Value::from(TEXT)]);
                    node.call_on(&to, call).await.map(chinwag::Answer::into_value)
                }
                Way::Local => node.call(Gid::local(), "echo", "echo", (TEXT,)).await.map(chinwag::Answer::into_value),
            };
            answer.is_ok_and(|answer| answer.as_str() == Some(TEXT))
        })
    }
}

/// The handle through which a service makes calls.
type Handle = chinwag::actors::handle::NodeHandle;
type Asking = std::pin::Pin<Box<dyn Future<Output = bool>>>;

/// The rounds of one number of calls in flight.
#[derive(Default)]
struct Rounds {
    node: Vec<Run>,
    direct: Vec<Run>,
    program: Vec<Run>,
    bare: Vec<Run>,
}

async fn measure(options: Options) -> Report {
    let (rounds, time) = if options.quick { (2, 300) } else { (7, 1_000) };
    let mut report = Report::new("rpc");

    let limits = wire::Limits::default();
    let request = wire::encode_arguments(&[Value::from(TEXT)], &limits).unwrap();
    let answer = wire::encode_pair(&Value::Null, &Value::from(TEXT), wire::Form::Typed, &limits).unwrap().len();
    let (mut bare, mut far) = (Process::start("bare", answer), Process::start("node", 0));
    let (bare_id, far_id) = (bare.id(), far.id());
    let (bare_at, far_at) = (bare.address(), far.address());
    let to = NodeAddr::new(far_at.ip().to_string(), far_at.port());

    let (say, mut said) = mpsc::unbounded_channel();
    let near = Node::builder().port(0).service(echo()).service(driver(say)).start().await.expect("a free port");
    let patient = near.with_deadline(Duration::from_secs(600));
    let client = awc::Client::builder().connector(awc::Connector::new().limit(0)).disable_timeout().finish();
    let url: Rc<str> = format!("http://{bare_at}/local/echo/echo").into();
    let body = wire_body(&request);
    let exchange = move || {
        let (client, url, body) = (client.clone(), url.clone(), body.clone());
        async move {
            let sent = client.put(&*url).insert_header(("content-type", "application/json")).send_body(body).await;
            let Ok(mut response) = sent else { return false };
            response.body().await.is_ok_and(|body| body.len() == answer)
        }
    };
    let mut by_service = async |way: Way, in_flight: usize| -> Run {
        let arguments = (way as u8, &to, far_id, in_flight, time);
        patient.call(Gid::local(), "driver", "drive", arguments).await.expect("it drives");
        said.recv().await.expect("it says")
    };
    let length = Duration::from_millis(time);

    let mut all: Vec<(usize, Rounds)> = Vec::new();
    let mut local: Vec<(usize, Vec<Run>, Vec<Run>)> = Vec::new();
    for in_flight in IN_FLIGHT.into_iter().filter(|&calls| options.in_flight.is_none_or(|only| only == calls)) {
        let mut of = Rounds::default();
        for _ in 0..rounds {
            of.node.push(by_service(Way::Send, in_flight).await);
            of.bare.push(drive(bare_id, in_flight, length, exchange.clone()).await);
            of.direct.push(by_service(Way::CallOn, in_flight).await);
            of.program.push(drive(far_id, in_flight, length, caller(near.handle(), Way::Send, to.clone())).await);
        }
        all.push((in_flight, of));
        if in_flight <= 64 {
            let (mut inside, mut outside) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                inside.push(by_service(Way::Local, in_flight).await);
                outside.push(drive(far_id, in_flight, length, caller(near.handle(), Way::Local, to.clone())).await);
            }
            local.push((in_flight, inside, outside));
        }
    }

    report.line("calls to a node in another process, and the same bytes between awc and actix-web");
    let columns = [
        "in flight",
        "made by",
        "calls/s",
        "share of bare",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "max ms",
        "client us",
        "server us",
        "failed",
    ];
    let mut rows = Vec::new();
    for (in_flight, of) in &all {
        let of_bare = |runs: &[Run]| {
            let ratios: Vec<f64> = runs.iter().zip(&of.bare).map(|(run, bare)| run.rate / bare.rate).collect();
            share(median(&ratios))
        };
        rows.push(row(*in_flight, "bare awc", &of.bare, none()));
        rows.push(row(*in_flight, "service, comm.send", &of.node, of_bare(&of.node)));
        rows.push(row(*in_flight, "service, call_on", &of.direct, of_bare(&of.direct)));
        rows.push(row(*in_flight, "program, comm.send", &of.program, of_bare(&of.program)));
    }
    report.table("remote", &columns, &rows);

    report.line("calls on the same node, without a socket");
    let columns = ["in flight", "made by", "calls/s", "p50 ms", "p90 ms", "p99 ms", "max ms", "failed"];
    let mut rows = Vec::new();
    for (in_flight, inside, outside) in &local {
        for (by, runs) in [("service", inside), ("program, other thread", outside)] {
            let mut row = row(*in_flight, by, runs, none());
            row.remove(3);
            row.drain(7..9);
            rows.push(row);
        }
    }
    report.table("local", &columns, &rows);
    near.stop().await;

    if options.in_flight.is_some() {
        return report;
    }
    under_wrk(&mut report, options, &format!("http://{bare_at}/"), &format!("http://{to}/"), &request);
    beside(&mut report, options);
    report
}

fn wire_body(bytes: &[u8]) -> actix_web::web::Bytes {
    actix_web::web::Bytes::copy_from_slice(bytes)
}

fn row(in_flight: usize, by: &str, runs: &[Run], share: Cell) -> Vec<Cell> {
    let run = Run::of(runs);
    vec![
        count(in_flight as u64),
        words(by),
        count(run.rate as u64),
        share,
        figure(run.milliseconds(0.5), 3),
        figure(run.milliseconds(0.9), 3),
        figure(run.milliseconds(0.99), 3),
        figure(run.latencies.max() as f64 / 1e6, 1),
        figure(run.cost.0, 1),
        figure(run.cost.1, 1),
        count(run.failed),
    ]
}

/// Measures both servers with wrk, in turn.
fn under_wrk(report: &mut Report, options: Options, bare: &str, node: &str, body: &[u8]) {
    if Command::new("wrk").arg("--version").output().is_err() {
        report.skipped("wrk", "it is not on the path");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/support/put.lua");
    let (rounds, time) = if options.quick { (1, "1s") } else { (5, "2s") };
    let wrk = |url: &str, connections: usize| -> Option<f64> {
        let connections = connections.to_string();
        let mut command = Command::new("wrk");
        command.args(["-t", "1", "-c", &connections, "-d", time, "-s"]).arg(&script);
        command.arg(format!("{url}local/echo/echo")).arg("--").arg(String::from_utf8_lossy(body).as_ref());
        let output = command.output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"))?;
        line.trim().parse().ok().filter(|_| !text.contains("Non-2xx"))
    };
    let mut rows = Vec::new();
    for connections in [1, 64] {
        let rounds: Option<Vec<(f64, f64)>> =
            (0..rounds).map(|_| wrk(bare, connections).zip(wrk(node, connections))).collect();
        let Some(rounds) = rounds else {
            report.skipped("wrk", "it did not say what came of it");
            return;
        };
        let all = |pick: fn(&(f64, f64)) -> f64| median(&rounds.iter().map(pick).collect::<Vec<_>>());
        let (bare, node, ratio) = (all(|r| r.0), all(|r| r.1), all(|r| r.1 / r.0));
        rows.push(vec![count(connections as u64), count(bare as u64), count(node as u64), share(ratio)]);
    }
    report.line("the two servers under wrk, requests a second");
    report.table("wrk", &["connections", "bare", "node", "share"], &rows);
}

/// Measures the calls of the reference.
fn beside(report: &mut Report, options: Options) {
    let milliseconds = if options.quick { 500 } else { 4_000 };
    let in_flight = IN_FLIGHT.map(|number| number.to_string()).join(",");
    let said = match reference::run("rpc", &[in_flight, milliseconds.to_string(), TEXT.to_owned()]) {
        Ok(said) => said,
        Err(why) => return report.skipped("reference", &why),
    };
    report.line(format!("{}: the same calls between two of its nodes", reference::name(&said)));
    let number = |value: &serde_json::Value| value.as_f64().unwrap_or(f64::NAN);
    let rows: Vec<Vec<Cell>> = said["runs"]
        .as_array()
        .unwrap_or(&Vec::new())
        .iter()
        .map(|run| {
            let mut row = vec![count(number(&run["in_flight"]) as u64), count(number(&run["rate"]) as u64)];
            row.extend(["p50", "p90", "p99"].map(|key| figure(number(&run[key]), 3)));
            row.push(count(number(&run["failed"]) as u64));
            row
        })
        .collect();
    report.table("reference", &["in flight", "calls/s", "p50 ms", "p90 ms", "p99 ms", "failed"], &rows);
    report.put("reference_version", json!(said["version"]));
}
