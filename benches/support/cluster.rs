//! Processes that join each other and detect failures: chinwag nodes, or agents of serf for comparison.
//!
//! Every process has its own address on loopback, and joins through one that already runs. It pushes its reports about
//! the others to the benchmark: a node by server-sent events (`GET /local/membership/events`), an agent by its log. The
//! benchmark polls nothing while it measures, because on two cores the polling would be most of the load.
//!
//! The ports are below the range that the system uses for outgoing connections. The port of a killed node is therefore
//! free when the node restarts, and no other process connects to it by accident.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future::join_all};
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    sync::mpsc,
    task::AbortHandle,
    time::timeout,
};

use super::program::node_command;

/// The timeout for the start of a process, and for the answer to a request for a view.
const START: Duration = Duration::from_secs(30);

/// The timeout until all processes see all. It is generous: on a busy machine, agents of serf that join at once need
/// several exchanges of views, which are 30 s apart.
const MEETING: Duration = Duration::from_secs(120);

/// The pause between two requests for an incomplete view. The answers are long in large groups, and cost the process
/// time.
const PAUSE: Duration = Duration::from_millis(50);

/// The program that the processes run.
#[derive(Clone, Debug)]
pub enum Kind {
    /// The program of this project, with default settings.
    Chinwag,
    /// The agent of serf at this path, with its default profile (LAN).
    Serf(PathBuf),
}

impl Kind {
    /// Serf, if it is installed: `CHINWAG_SERF`, or `serf` on the path.
    ///
    /// # Errors
    /// Why it cannot be run.
    pub fn serf() -> Result<Kind, String> {
        let program = std::env::var_os("CHINWAG_SERF").map_or_else(|| PathBuf::from("serf"), PathBuf::from);
        let version = std::process::Command::new(&program).arg("version").output();
        match version {
            Ok(output) if output.status.success() => Ok(Kind::Serf(program)),
            Ok(output) => Err(format!("{} version ended with {}", program.display(), output.status)),
            Err(why) => Err(format!("{} does not start: {why} (CHINWAG_SERF names it)", program.display())),
        }
    }

    /// The name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Chinwag => "chinwag",
            Kind::Serf(_) => "serf",
        }
    }
}

/// A report of a process about another one.
#[derive(Clone, Copy, Debug)]
pub struct MemberReport {
    /// The port of the process that reports.
    pub by: u16,
    /// The port of the process that the report is about.
    pub about: u16,
    /// The content of the report.
    pub change: Change,
    /// When the report arrived here.
    pub at: Instant,
}

/// The content of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The process is a member, for the first time or again.
    Joined,
    /// A verdict has removed the process.
    Failed,
}

/// A process.
struct Member {
    port: u16,
    child: Child,
    /// The task that reads its reports.
    listening: Option<AbortHandle>,
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

/// Processes that have joined each other. They are killed when this is dropped.
pub struct Cluster {
    kind: Kind,
    members: BTreeMap<u16, Member>,
    /// Whether the benchmark reads the reports of nodes. It always reads those of agents.
    listen: bool,
    client: awc::Client,
    sender: mpsc::UnboundedSender<MemberReport>,
    receiver: mpsc::UnboundedReceiver<MemberReport>,
    /// The view of each agent of serf. Nodes are asked for their views.
    views: BTreeMap<u16, BTreeSet<u16>>,
    /// The number of processes that saw all of them at the end of the start.
    pub complete: usize,
    /// The time from the first start until all processes were up.
    pub up: Duration,
    /// The time from the first start until all that could see all did.
    pub met: Duration,
}

impl Cluster {
    /// Starts processes at once, each of which joins through the first, and waits until all see all, for two minutes at
    /// most.
    ///
    /// # Errors
    /// The processes that did not start.
    pub async fn start(kind: Kind, nodes: usize, listen: bool) -> Result<Cluster, String> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let connector = awc::Connector::new().limit(0);
        let client = awc::Client::builder().connector(connector).disable_timeout().finish();
        let (members, views) = (BTreeMap::new(), BTreeMap::new());
        let mut cluster = Cluster {
            kind,
            members,
            listen,
            client,
            sender,
            receiver,
            views,
            complete: 0,
            up: Duration::ZERO,
            met: Duration::ZERO,
        };
        // an agent of serf has a second port for its own clients
        let ports = free_ports(nodes)?;
        let began = Instant::now();
        cluster.add(&ports[..1], None).await?;
        cluster.add(&ports[1..], Some(ports[0])).await?;
        cluster.up = began.elapsed();
        for port in ports {
            let left = MEETING.saturating_sub(began.elapsed()).max(PAUSE);
            cluster.complete += usize::from(cluster.sees(port, nodes, left).await);
        }
        cluster.met = began.elapsed();
        Ok(cluster)
    }

    /// Starts processes at once, and waits until each is up and its reports are read.
    async fn add(&mut self, ports: &[u16], through: Option<u16>) -> Result<(), String> {
        let mut started = Vec::new();
        for &port in ports {
            started.push((port, self.spawn(port, through)?));
        }
        for (port, mut child) in started {
            let stdout = child.stdout.take().ok_or("a process without stdout")?;
            let mut lines = BufReader::new(stdout).lines();
            let kind = self.kind.clone();
            let up = async {
                while let Ok(Some(line)) = lines.next_line().await {
                    // a node prints one line when it is up
                    if matches!(kind, Kind::Chinwag) || line.contains("Serf agent running") {
                        return true;
                    }
                }
                false
            };
            if !timeout(START, up).await.unwrap_or(false) {
                return Err(format!("{} does not start on port {port}", self.kind.name()));
            }
            let listening = match self.kind {
                Kind::Serf(_) => Some(follow_log(port, lines, self.sender.clone())),
                Kind::Chinwag if self.listen => Some(follow_events(&self.client, port, self.sender.clone()).await?),
                Kind::Chinwag => None,
            };
            self.views.insert(port, BTreeSet::new());
            self.members.insert(port, Member { port, child, listening });
        }
        Ok(())
    }

    fn spawn(&self, port: u16, through: Option<u16>) -> Result<Child, String> {
        let seed = through.map(|port| format!("127.0.0.1:{port}"));
        let mut command = match &self.kind {
            Kind::Chinwag => {
                let mut command = Command::from(node_command(&["--group", "bench", "--port", &port.to_string()]));
                command.args(seed.iter().flat_map(|seed| ["--join", seed.as_str()]));
                command
            }
            Kind::Serf(program) => {
                let mut command = Command::new(program);
                command.arg("agent").arg(format!("-node=n{port}")).arg(format!("-bind=127.0.0.1:{port}"));
                // ports are even, see `free_ports`
                command.arg(format!("-rpc-addr=127.0.0.1:{}", port + 1));
                command.args(seed.iter().map(|seed| format!("-join={seed}")));
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        command.spawn().map_err(|why| format!("{} does not start: {why}", self.kind.name()))
    }

    /// The ports, in order.
    pub fn ports(&self) -> Vec<u16> {
        self.members.keys().copied().collect()
    }

    /// The IDs of the processes.
    pub fn processes(&self) -> Vec<u32> {
        self.members.values().filter_map(|member| member.child.id()).collect()
    }

    /// Whether a process sees this number of members, itself included, before the timeout.
    pub async fn sees(&mut self, port: u16, members: usize, patience: Duration) -> bool {
        let seeing = async {
            while self.view(port).await.is_none_or(|view| view.len() != members) {
                tokio::time::sleep(PAUSE).await;
            }
        };
        timeout(patience, seeing).await.is_ok()
    }

    /// The members that a process sees, or `None` if it does not answer.
    pub async fn view(&mut self, port: u16) -> Option<BTreeSet<u16>> {
        if let Kind::Serf(_) = self.kind {
            while let Ok(report) = self.receiver.try_recv() {
                self.note(report);
            }
            return self.views.get(&port).cloned();
        }
        let asking = async {
            let request = self.client.put(format!("http://127.0.0.1:{port}/local/groups/get")).force_close();
            let answer = request.send_json(&json!(["all"])).await.ok()?.json::<Json>().await.ok()?;
            let nodes = answer.get(1)?.as_object()?.values();
            Some(nodes.filter_map(|node| u16::try_from(node["port"].as_u64()?).ok()).collect())
        };
        timeout(START, asking).await.ok().flatten()
    }

    /// The next report.
    pub async fn next(&mut self) -> Option<MemberReport> {
        let report = self.receiver.recv().await?;
        self.note(report);
        Some(report)
    }

    /// The reports that have arrived and were not read.
    pub fn reports(&mut self) -> Vec<MemberReport> {
        let reports: Vec<MemberReport> = std::iter::from_fn(|| self.receiver.try_recv().ok()).collect();
        for report in &reports {
            self.note(*report);
        }
        reports
    }

    fn note(&mut self, MemberReport { by, about, change, .. }: MemberReport) {
        let view = self.views.entry(by).or_default();
        match change {
            Change::Joined => view.insert(about),
            Change::Failed => view.remove(&about),
        };
    }

    /// Suspends a process, so that it answers nobody while its port still accepts connections.
    pub async fn silence(&self, port: u16) -> Instant {
        let id = self.members.get(&port).and_then(|member| member.child.id()).expect("a process that runs");
        let at = Instant::now();
        let stopped = Command::new("kill").args(["-STOP", &id.to_string()]).status().await;
        assert!(stopped.expect("kill runs").success(), "process {id} is stopped");
        at
    }

    /// Kills a process without a farewell. Its port refuses connections from then on.
    pub async fn kill(&mut self, port: u16) -> Instant {
        let mut member = self.members.remove(&port).expect("a process that runs");
        self.views.remove(&member.port);
        let at = Instant::now();
        member.child.kill().await.expect("it is killed");
        at
    }

    /// Restarts a process on its port. It joins through another one.
    ///
    /// # Errors
    /// The process that did not start.
    pub async fn restart(&mut self, port: u16) -> Result<(), String> {
        let through = *self.members.keys().next().expect("another one");
        self.add(&[port], Some(through)).await
    }

    /// Kills all processes, and waits until they are gone.
    pub async fn stop(mut self) {
        let members = std::mem::take(&mut self.members);
        join_all(members.into_values().map(|mut member| async move {
            let _ = member.child.kill().await;
        }))
        .await;
    }
}

/// Even ports that are free together with the next one, below the range for outgoing connections.
fn free_ports(count: usize) -> Result<Vec<u16>, String> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first_outgoing = range.split_whitespace().next().and_then(|port| port.parse().ok()).unwrap_or(32_768);
    // other ports in every round, because those of the last one may not be free yet
    let first = rand::random_range(10_000..20_000_u16) & !1;
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let ports: Vec<u16> =
        (first..first_outgoing).step_by(2).filter(|&port| free(port) && free(port + 1)).take(count).collect();
    if ports.len() == count { Ok(ports) } else { Err(format!("{} of {count} ports are free", ports.len())) }
}

/// Reads the events of a node.
async fn follow_events(
    client: &awc::Client,
    port: u16,
    sender: mpsc::UnboundedSender<MemberReport>,
) -> Result<AbortHandle, String> {
    let request = client.get(format!("http://127.0.0.1:{port}/local/membership/events"));
    let answer = timeout(START, request.send()).await.map_err(|_| format!("port {port} sends no events"))?;
    let mut events = answer.map_err(|why| format!("port {port} sends no events: {why}"))?;
    let reading = tokio::task::spawn_local(async move {
        let mut text = Vec::new();
        while let Some(Ok(bytes)) = events.next().await {
            let at = Instant::now();
            text.extend_from_slice(&bytes);
            while let Some(end) = text.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                if let Some((change, about)) = line.strip_prefix(b"data: ").and_then(event) {
                    let _ = sender.send(MemberReport { by: port, about, change, at });
                }
            }
        }
    });
    Ok(reading.abort_handle())
}

/// The report in an event, or `None` if the event is of another kind.
fn event(line: &[u8]) -> Option<(Change, u16)> {
    let event: Json = serde_json::from_slice(line).ok()?;
    let change = match event["event"].as_str()? {
        "joined" | "rejoined" => Change::Joined,
        "failed" => Change::Failed,
        _ => return None,
    };
    Some((change, u16::try_from(event["node"]["port"].as_u64()?).ok()?))
}

/// Reads the log of an agent of serf.
fn follow_log(
    port: u16,
    mut lines: Lines<BufReader<ChildStdout>>,
    sender: mpsc::UnboundedSender<MemberReport>,
) -> AbortHandle {
    let reading = tokio::task::spawn_local(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            let at = Instant::now();
            let named = |event: &str| -> Option<u16> {
                let (_, rest) = line.split_once(event)?;
                rest.trim().strip_prefix('n')?.split(' ').next()?.parse().ok()
            };
            let joined = named("serf: EventMemberJoin:").map(|about| (Change::Joined, about));
            if let Some((change, about)) = joined.or_else(|| Some((Change::Failed, named("serf: EventMemberFailed:")?)))
            {
                let _ = sender.send(MemberReport { by: port, about, change, at });
            }
        }
    });
    reading.abort_handle()
}
