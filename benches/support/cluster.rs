//! Processes that join each other and watch each other: chinwag nodes, or agents of serf beside them.
//!
//! Every process has an address of its own on loopback and joins through one that runs already. What it says about the
//! others is pushed to the benchmark: a node by server-sent events (`GET /local/membership/events`), an agent by its
//! log. Nothing is polled while something is measured, because on two cores the polling would be most of the load.
//!
//! Ports are taken from below the range that the system gives to outgoing connections. A killed node's port is
//! therefore free when the node is started again, and nobody connects to it by accident meanwhile.

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

use super::town::PROGRAM;

/// How long a process may take to start, and a request for a view to be answered.
const START: Duration = Duration::from_secs(30);

/// How long all may take to see all. Generous: on a busy machine, agents of serf that join at once need several of
/// their exchanges of views, 30 s apart.
const MEETING: Duration = Duration::from_secs(120);

/// How long a view that is not complete is left alone before it is asked for again. Answers are long where groups are
/// large, and whoever has to give them is busy.
const PAUSE: Duration = Duration::from_millis(50);

/// What the processes run.
#[derive(Clone, Debug)]
pub enum Kind {
    /// This project's program, with default settings.
    Chinwag,
    /// The agent of serf, found at this path, with its default profile (LAN).
    Serf(PathBuf),
}

impl Kind {
    /// Serf, where it is installed: `CHINWAG_SERF`, or `serf` on the path.
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

    /// What tables call it.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Chinwag => "chinwag",
            Kind::Serf(_) => "serf",
        }
    }
}

/// What a process said about another one.
#[derive(Clone, Copy, Debug)]
pub struct Notice {
    /// Port of the process that said it.
    pub by: u16,
    /// Port of the process that it is about.
    pub about: u16,
    /// What it said.
    pub what: What,
    /// When it arrived here.
    pub at: Instant,
}

/// What a process can say about another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It is a member: for the first time, or again.
    Joined,
    /// It was removed by a verdict.
    Failed,
}

/// A process.
struct Member {
    port: u16,
    child: Child,
    /// Reads what it says.
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
    /// Whether nodes are listened to. Agents always are.
    listen: bool,
    client: awc::Client,
    say: mpsc::UnboundedSender<Notice>,
    heard: mpsc::UnboundedReceiver<Notice>,
    /// Whom each agent of serf sees. Nodes are asked.
    views: BTreeMap<u16, BTreeSet<u16>>,
    /// How many of the processes saw all of them when the start was over.
    pub complete: usize,
    /// How long that took, from the first start.
    pub met: Duration,
}

impl Cluster {
    /// Starts so many at once, each of which joins through the first, and waits until all see all, two minutes at most.
    ///
    /// # Errors
    /// What did not start.
    pub async fn start(kind: Kind, nodes: usize, listen: bool) -> Result<Cluster, String> {
        let (say, heard) = mpsc::unbounded_channel();
        let connector = awc::Connector::new().limit(0);
        let client = awc::Client::builder().connector(connector).disable_timeout().finish();
        let (members, views) = (BTreeMap::new(), BTreeMap::new());
        let mut cluster =
            Cluster { kind, members, listen, client, say, heard, views, complete: 0, met: Duration::ZERO };
        // an agent of serf has another port, for its own clients
        let ports = free_ports(nodes)?;
        let began = Instant::now();
        cluster.add(&ports[..1], None).await?;
        cluster.add(&ports[1..], Some(ports[0])).await?;
        for port in ports {
            let left = MEETING.saturating_sub(began.elapsed()).max(PAUSE);
            cluster.complete += usize::from(cluster.sees(port, nodes, left).await);
        }
        cluster.met = began.elapsed();
        Ok(cluster)
    }

    /// Starts processes at once, and waits until each is up and is listened to.
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
                    // a node prints one line, when it is up
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
                Kind::Serf(_) => Some(follow_log(port, lines, self.say.clone())),
                Kind::Chinwag if self.listen => Some(follow_events(&self.client, port, self.say.clone()).await?),
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
                let mut command = Command::new(PROGRAM);
                command.args(["--json", "--group", "town", "--port", &port.to_string()]);
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

    /// The operating system's names of the processes.
    pub fn processes(&self) -> Vec<u32> {
        self.members.values().filter_map(|member| member.child.id()).collect()
    }

    /// Whether a process sees so many members, itself among them, within this time.
    pub async fn sees(&mut self, port: u16, members: usize, patience: Duration) -> bool {
        let seeing = async {
            while self.view(port).await.is_none_or(|view| view.len() != members) {
                tokio::time::sleep(PAUSE).await;
            }
        };
        timeout(patience, seeing).await.is_ok()
    }

    /// Whom a process sees. None where it does not answer.
    pub async fn view(&mut self, port: u16) -> Option<BTreeSet<u16>> {
        if let Kind::Serf(_) = self.kind {
            while let Ok(notice) = self.heard.try_recv() {
                self.note(notice);
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

    /// What was said next.
    pub async fn next(&mut self) -> Option<Notice> {
        let notice = self.heard.recv().await?;
        self.note(notice);
        Some(notice)
    }

    /// What was said and not yet read.
    pub fn said(&mut self) -> Vec<Notice> {
        let said: Vec<Notice> = std::iter::from_fn(|| self.heard.try_recv().ok()).collect();
        for notice in &said {
            self.note(*notice);
        }
        said
    }

    fn note(&mut self, Notice { by, about, what, .. }: Notice) {
        let view = self.views.entry(by).or_default();
        match what {
            What::Joined => view.insert(about),
            What::Failed => view.remove(&about),
        };
    }

    /// Stops a process where it is, so that it answers nobody, while its port still accepts connections.
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

    /// Starts a process again on its port, joining through another.
    ///
    /// # Errors
    /// What did not start.
    pub async fn restart(&mut self, port: u16) -> Result<(), String> {
        let through = *self.members.keys().next().expect("another one");
        self.add(&[port], Some(through)).await
    }

    /// Kills all, and waits until they are gone.
    pub async fn stop(mut self) {
        let members = std::mem::take(&mut self.members);
        join_all(members.into_values().map(|mut member| async move {
            let _ = member.child.kill().await;
        }))
        .await;
    }
}

/// Even ports that are free, and the one above each, from below the range for outgoing connections.
fn free_ports(count: usize) -> Result<Vec<u16>, String> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first_outgoing = range.split_whitespace().next().and_then(|port| port.parse().ok()).unwrap_or(32_768);
    // not the same ports in every round: those of the last one may not be free yet
    let first = rand::random_range(10_000..20_000_u16) & !1;
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let ports: Vec<u16> =
        (first..first_outgoing).step_by(2).filter(|&port| free(port) && free(port + 1)).take(count).collect();
    if ports.len() == count { Ok(ports) } else { Err(format!("{} of {count} ports are free", ports.len())) }
}

/// Reads a node's events.
async fn follow_events(
    client: &awc::Client,
    port: u16,
    say: mpsc::UnboundedSender<Notice>,
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
                if let Some((what, about)) = line.strip_prefix(b"data: ").and_then(event) {
                    let _ = say.send(Notice { by: port, about, what, at });
                }
            }
        }
    });
    Ok(reading.abort_handle())
}

/// What an event says about whom. None where it is neither of the two that count.
fn event(line: &[u8]) -> Option<(What, u16)> {
    let event: Json = serde_json::from_slice(line).ok()?;
    let what = match event["event"].as_str()? {
        "joined" | "rejoined" => What::Joined,
        "failed" => What::Failed,
        _ => return None,
    };
    Some((what, u16::try_from(event["node"]["port"].as_u64()?).ok()?))
}

/// Reads the log of an agent of serf.
fn follow_log(port: u16, mut lines: Lines<BufReader<ChildStdout>>, say: mpsc::UnboundedSender<Notice>) -> AbortHandle {
    let reading = tokio::task::spawn_local(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            let at = Instant::now();
            let named = |event: &str| -> Option<u16> {
                let (_, rest) = line.split_once(event)?;
                rest.trim().strip_prefix('n')?.split(' ').next()?.parse().ok()
            };
            let joined = named("serf: EventMemberJoin:").map(|about| (What::Joined, about));
            if let Some((what, about)) = joined.or_else(|| Some((What::Failed, named("serf: EventMemberFailed:")?))) {
                let _ = say.send(Notice { by: port, about, what, at });
            }
        }
    });
    reading.abort_handle()
}
