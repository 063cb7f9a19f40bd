//! A node with an HTTP face, running in this program.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, TcpListener},
    ops::Deref,
    path::PathBuf,
    rc::Rc,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc as mpsc_std,
    },
    time::Duration,
};

use actix_web::{
    App, HttpServer,
    dev::{ServerHandle as HttpHandle, fn_service},
    web,
};
use chinwag_actors::{
    environment::Environment, handle, launcher::Launcher, local::membership, node, service::AnyService,
    settings::Settings,
};
use chinwag_protocol::{
    host,
    identity::NodeAddr,
    value::{Object, Value},
    wire::Limits,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

use crate::{
    config::{Config, ConfigError},
    heap::heap,
    http::{
        HttpTransport,
        kept::{self, Report},
        server::{self, Door, HEAD_TIMEOUT, Hosts, KEEP_ALIVE},
    },
    launcher::{ChildExit, ProcessLauncher},
    output::Output,
    program::Program,
};

/// How long a node that stops takes to say farewell, and waits for the calls under way.
const DRAIN: Duration = Duration::from_millis(1_500);

/// How long the end of the runtime that started a node waits for the node: for its farewell, the calls under way, and
/// the last connection.
const HOST: Duration = Duration::from_millis(3_500);

/// Stack of the thread that a node is served from. Its actors are on another.
const STACK: usize = 512 << 10;

/// How long the last answers are given to leave.
const FLUSH: Duration = Duration::from_millis(20);

/// A running node: its actors, and the socket through which others reach them.
///
/// Everything a [`handle`](handle::NodeHandle) does, and waiting for its end. Dropping it does not stop the node.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let node = chinwag::Node::builder().port(0).start().await?;
/// let all = node.group("all").status().get("sid").await?;
/// node.stop().await;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Node {
    handle: handle::NodeHandle,
    server: ServerHandle,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}

impl Deref for Node {
    type Target = handle::NodeHandle;

    fn deref(&self) -> &handle::NodeHandle {
        &self.handle
    }
}

impl Node {
    /// A node on 127.0.0.1:8080, unless told otherwise.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Its socket.
    pub fn server(&self) -> &ServerHandle {
        &self.server
    }

    /// Says farewell to the other members, answers what was asked, closes the door, and is gone.
    pub async fn stop(&self) {
        self.server.stop();
        self.stopped().await;
    }

    /// Waits until the node is gone, by whoever's wish.
    pub async fn stopped(&self) {
        let mut gone = self.server.gone.clone();
        // an error means that the node's last task is gone too
        let _ = gone.wait_for(|gone| *gone).await;
    }
}

/// The socket of a running node: where it is, and how to close it. What an `on_start` is given.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    address: SocketAddr,
    running: handle::NodeHandle,
    stop: mpsc::UnboundedSender<()>,
    gone: watch::Receiver<bool>,
}

impl ServerHandle {
    /// Where it is bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the node tells others.
    pub fn node(&self) -> &NodeAddr {
        self.running.addr()
    }

    /// Has the node stop: it answers what was asked, within two seconds, and is gone. It performs no call that arrives after
    /// this.
    pub fn stop(&self) {
        self.running.refuse_calls();
        // a node that has stopped listens no more
        let _ = self.stop.send(());
    }
}

type OnStart = Box<dyn FnOnce(&ServerHandle) + Send>;
type OnChildExit = Box<dyn Fn(&ChildExit) + Send>;

/// How a node starts others.
#[derive(Default)]
struct Children {
    none: bool,
    program: Program,
    output: Option<Output>,
    bound: bool,
    on_exit: Option<OnChildExit>,
}

impl Children {
    fn launcher(self) -> Option<Rc<dyn Launcher>> {
        if self.none {
            return None;
        }
        let mut launcher = ProcessLauncher::new(self.program).bound(self.bound);
        if let Some(output) = self.output {
            launcher = launcher.output(output);
        }
        if let Some(on_exit) = self.on_exit {
            launcher = launcher.on_exit(on_exit);
        }
        Some(Rc::new(launcher))
    }
}

/// What a node is to be, before it is.
#[derive(Default)]
pub struct Builder {
    config: Config,
    services: Vec<AnyService>,
    distributed: Vec<AnyService>,
    children: Children,
    seed: Option<u64>,
    on_start: Option<OnStart>,
    seeds: Vec<String>,
    groups: Vec<String>,
    cluster: Option<String>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("services", &self.services)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Everything at once, as [`Config`] reads it from text.
    #[must_use]
    pub fn config(mut self, config: Config) -> Builder {
        self.config = config;
        self
    }

    /// The IP address or host name to bind. Default 127.0.0.1.
    #[must_use]
    pub fn ip(mut self, ip: impl Into<String>) -> Builder {
        self.config.ip = Some(ip.into());
        self
    }

    /// The port to bind. Default 8080; 0 takes a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Builder {
        self.config.port = Some(port);
        self
    }

    /// Where others reach the node, if not where it is bound.
    #[must_use]
    pub fn advertise(mut self, node: NodeAddr) -> Builder {
        self.config.advertise = Some(node);
        self
    }

    /// Allows an address that others can reach although nothing keeps strangers out.
    #[must_use]
    pub fn insecure(mut self) -> Builder {
        self.config.insecure = true;
        self
    }

    /// A service of one's own, found under its name by every node.
    #[must_use]
    pub fn service(mut self, service: impl Into<AnyService>) -> Builder {
        self.services.push(service.into());
        self
    }

    /// A service that every group of this node gets, bound to the group.
    #[must_use]
    pub fn distributed(mut self, service: impl Into<AnyService>) -> Builder {
        self.distributed.push(service.into());
        self
    }

    /// The program that `status.spawn` starts, which must take `--config` as `chinwag` does.
    ///
    /// Default: the `chinwag` program, in the directory of the running executable or else in a directory of `PATH`. If
    /// there is none, `spawn` answers `SpawnFailed`. The application itself is never started again, because it would not
    /// become a node.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Builder {
        self.children.program = Program::Named(program.into());
        self
    }

    /// Whether the node starts other nodes when it is asked to (`status.spawn`). Default: yes. A node that starts none
    /// answers `Unsupported`.
    #[must_use]
    pub fn spawns(mut self, on: bool) -> Builder {
        self.children.none = !on;
        self
    }

    /// Has the nodes that this one spawns end with it, however it ends: also when its process is killed. Their program
    /// must take `--end-with-stdin` as `chinwag` does. Default: they outlive it.
    #[must_use]
    pub fn children_end_with_it(mut self) -> Builder {
        self.children.bound = true;
        self
    }

    /// Where what the spawned nodes write to standard error goes. Default: to this process's standard error.
    #[must_use]
    pub fn child_output(mut self, output: Output) -> Builder {
        self.children.output = Some(output);
        self
    }

    /// Called on the node's thread when a node that this one spawned, and that had been up, has ended. Default: a log
    /// line.
    #[must_use]
    pub fn on_child_exit(mut self, on_exit: impl Fn(&ChildExit) + Send + 'static) -> Builder {
        self.children.on_exit = Some(Box::new(on_exit));
        self
    }

    /// Where the node's chance comes from. Default: the operating system.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Builder {
        self.seed = Some(seed);
        self
    }

    /// Bounds on what is read.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.config.limits = limits;
        self
    }

    /// Bounds on calls.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Builder {
        self.config.settings = settings;
        self
    }

    /// Whether functions that other nodes ship are run here. Default: yes, where the engine is built in. A node that runs
    /// none still spawns, calls back and gossips.
    #[must_use]
    pub fn scripts(mut self, on: bool) -> Builder {
        self.config.settings.scripts.enabled = on;
        self
    }

    /// How the node takes part in membership, in place of all that was said of it before.
    #[must_use]
    pub fn membership(mut self, membership: membership::Settings) -> Builder {
        self.config.settings.membership = membership;
        self
    }

    /// A node to join through, `HOST:PORT`; of several each is tried in turn until one answers. A name may stand for
    /// many addresses.
    #[must_use]
    pub fn join(mut self, seed: impl Into<String>) -> Builder {
        self.seeds.push(seed.into());
        self
    }

    /// The name of the cluster that the node belongs to. Nodes of clusters with different names never become members of
    /// each other, whoever asks for it. Default: the empty name.
    #[must_use]
    pub fn cluster(mut self, name: impl Into<String>) -> Builder {
        self.cluster = Some(name.into());
        self
    }

    /// A group that the node is in from the start, on the other members' maps too once it has joined.
    #[must_use]
    pub fn group(mut self, gid: impl Into<String>) -> Builder {
        self.groups.push(gid.into());
        self
    }

    /// Called exactly once, when the node listens.
    #[must_use]
    pub fn on_start(mut self, on_start: impl FnOnce(&ServerHandle) + Send + 'static) -> Builder {
        self.on_start = Some(Box::new(on_start));
        self
    }

    /// Binds the socket and starts the actors. Runs in any tokio runtime, beside other actix servers too: the node has
    /// threads and runtimes of its own.
    ///
    /// The node stops when the runtime that started it ends. It then says farewell like any other node, and the runtime's
    /// end waits for it, some three seconds at the most.
    ///
    /// # Errors
    /// [`StartError`], naming the value that does not do.
    pub async fn start(self) -> Result<Node, StartError> {
        self.start_with(Report::new(handle::NodeHandle::connection_closed)).await
    }

    /// Starts a node that reports so that a connection which a peer kept open has ended.
    async fn start_with(self, report: Report) -> Result<Node, StartError> {
        let Builder { mut config, services, distributed, children, seed, on_start, seeds, groups, cluster } = self;
        for seed in &seeds {
            config.join(seed)?;
        }
        for gid in &groups {
            config.group(gid)?;
        }
        if let Some(name) = &cluster {
            config.cluster(name)?;
        }
        config.settings.membership.detection.check().map_err(ConfigError::from)?;
        let asked = config.bind_address()?;
        let bind = |why: io::Error| match why.kind() {
            io::ErrorKind::AddrInUse => StartError::PortTaken(asked),
            io::ErrorKind::AddrNotAvailable => StartError::NotOurs(asked.ip()),
            _ => StartError::Bind(asked, why),
        };
        let listener = TcpListener::bind(asked).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let me = config.advertise.clone().unwrap_or_else(|| {
            NodeAddr::new(config.ip.clone().unwrap_or_else(|| Config::DEFAULT_IP.to_owned()), address.port())
        });
        let me = me.with_extra(extra(&config));

        let door = Arc::new(Door {
            hosts: hosts(&me, asked.ip(), &config),
            limits: config.limits.clone(),
            sid: me.sid(),
            under_way: AtomicUsize::new(0),
            gathered: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            heartbeat: config.settings.membership.heartbeat,
            served: AtomicU64::new(0),
        });
        let seed = match seed {
            None => rand::random(),
            Some(number) => {
                let mut seed = [0; 32];
                seed[..8].copy_from_slice(&number.to_le_bytes());
                seed
            }
        };
        let (stop, stops) = mpsc::unbounded_channel();
        let (ready, started) = oneshot::channel();
        let (closed, all_closed) = oneshot::channel();
        let plan = Plan {
            me,
            limits: config.limits.clone(),
            settings: config.settings.clone(),
            services,
            distributed,
            children,
            seed,
            stop: stop.clone(),
            ready,
            closed,
        };
        let http = serve(listener, door.clone(), plan, report).map_err(bind)?;
        let (gone, going) = watch::channel(false);
        let running = Arc::new(OnceLock::new());
        let (alive, ended) = mpsc_std::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
        let node_running = running.clone();
        let serving = move || {
            runtime.block_on(until_stopped(http, door, stops, node_running, all_closed, gone));
            runtime.shutdown_background();
            drop(alive);
        };
        let thread = std::thread::Builder::new().name("chinwag-node".to_owned()).stack_size(STACK);
        thread.spawn(serving).map_err(StartError::Thread)?;
        let host = Host { stop: stop.clone(), ended, over: false };
        tokio::spawn(host.until_over(going.clone()));
        // the worker starts the actors before it serves its first request
        let handle = started.await.map_err(|_| StartError::Worker)?;
        let _ = running.set(handle.clone());
        let server = ServerHandle { address, running: handle.clone(), stop, gone: going };
        if let Some(on_start) = on_start {
            on_start(&server);
        }
        Ok(Node { handle, server })
    }
}

/// Held by the runtime that started a node. A runtime that ends drops its tasks, whatever stopped it and in whichever
/// order its program shuts down.
struct Host {
    stop: mpsc::UnboundedSender<()>,
    /// Disconnected at the end of the node's thread.
    ended: mpsc_std::Receiver<()>,
    over: bool,
}

impl Host {
    async fn until_over(mut self, mut gone: watch::Receiver<bool>) {
        // an error means that the node's thread has ended
        let _ = gone.wait_for(|gone| *gone).await;
        self.over = true;
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if !self.over && self.stop.send(()).is_ok() {
            // nothing is ever sent: the wait ends with the thread, or in time
            let _ = self.ended.recv_timeout(HOST);
        }
    }
}

/// Higher after every start, unless the clock was set back: milliseconds since 1970.
fn incarnation() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(1, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)).max(1)
}

/// What a node tells of itself beside its address.
fn extra(config: &Config) -> Object {
    let mut extra = config.extra.clone();
    // what a person wrote is part of it; what a spawning node made is between the two of them
    if let Some(on_start @ Value::String(_)) = &config.on_start {
        extra.insert("onStart", on_start.clone());
    }
    extra
}

fn hosts(me: &NodeAddr, bound: IpAddr, config: &Config) -> Hosts {
    let names = [Some(me.ip().to_owned()), config.ip.clone(), Some(bound.to_string())];
    let names = names.into_iter().flatten().map(|name| host::canonical(&name).into_owned()).collect();
    Hosts { names, any_address: bound.is_unspecified() }
}

/// What the worker's thread needs to start the actors, sent there once.
struct Plan {
    me: NodeAddr,
    limits: Limits,
    settings: Settings,
    services: Vec<AnyService>,
    distributed: Vec<AnyService>,
    children: Children,
    seed: [u8; 32],
    stop: mpsc::UnboundedSender<()>,
    ready: oneshot::Sender<handle::NodeHandle>,
    closed: Closed,
}

/// Dropped with the last connection and the worker that served them.
type Closed = oneshot::Sender<()>;

impl Plan {
    /// Starts the actors on the present thread.
    fn start(self) -> (handle::NodeHandle, Closed) {
        let Plan { me, limits, settings, services, distributed, children, seed, stop, ready, closed } = self;
        let node = node::start(Environment {
            launcher: children.launcher(),
            heap,
            incarnation: incarnation(),
            settings,
            services,
            distributed,
            on_stop: Box::new(move || {
                // nobody listens any more where the node is gone already
                let _ = stop.send(());
            }),
            ..Environment::new(me, Rc::new(HttpTransport::new(limits)), seed)
        });
        // whoever started the node may have lost interest
        let _ = ready.send(node.clone());
        (node, closed)
    }
}

/// One worker, on whose thread the node's actors live, so that a call crosses none.
fn serve(listener: TcpListener, door: Arc<Door>, plan: Plan, report: Report) -> io::Result<actix_web::dev::Server> {
    let plan = Arc::new(Mutex::new(Some(plan)));
    let running: Arc<Mutex<Option<handle::NodeHandle>>> = Arc::default();
    let factory = move || {
        let mut closed = None;
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        // a worker that died takes its actors with it; its successor serves their remains, which answer `Crashed`
        if let Some(plan) = plan.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let (node, last) = plan.start();
            *running = Some(node);
            closed = Some(last);
        }
        let app = App::new().app_data(web::Data::new(door.clone())).default_service(fn_service(server::serve));
        let app = match closed {
            Some(closed) => app.app_data(closed),
            None => app,
        };
        match running.clone() {
            Some(node) => app.app_data(web::Data::new(node)),
            None => app,
        }
    };
    let http = HttpServer::new(factory)
        .workers(1)
        .on_connect(kept::watch(Arc::new(report)))
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .shutdown_timeout(1)
        .disable_signals()
        .listen(listener)?;
    Ok(http.run())
}

/// Serves until asked to stop; then says farewell, answers what is under way, and goes.
async fn until_stopped(
    http: actix_web::dev::Server,
    door: Arc<Door>,
    mut stops: mpsc::UnboundedReceiver<()>,
    running: Arc<OnceLock<handle::NodeHandle>>,
    closed: oneshot::Receiver<()>,
    gone: watch::Sender<bool>,
) {
    let handle: HttpHandle = http.handle();
    let closing = async {
        stops.recv().await;
        let began = Instant::now();
        if let Some(node) = running.get() {
            // while the door is open: those who are told may ask for what they have not got
            let _ = tokio::time::timeout(membership::FAREWELL, node.farewell()).await;
        }
        handle.pause().await;
        door.closed.store(true, Ordering::Release);
        let drained = async {
            while door.under_way.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tokio::time::sleep(FLUSH).await;
        };
        // what takes longer is not waited for
        let _ = tokio::time::timeout_at(began + DRAIN, drained).await;
        handle.stop(false).await;
    };
    let (served, ()) = tokio::join!(http, closing);
    if let Err(why) = served {
        log::error!(target: "chinwag::http", "the server ended: {why}");
    }
    // the server does not wait for its worker: an error means that the last connection is closed, as nobody sends
    let _ = tokio::time::timeout(DRAIN, closed).await;
    // nobody may be waiting
    let _ = gone.send(true);
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration does not do.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another program listens there.
    #[error("port {port} is taken: another program listens on {0}", port = .0.port())]
    PortTaken(SocketAddr),
    /// The address belongs to another machine.
    #[error("{0} is no address of this machine")]
    NotOurs(IpAddr),
    /// The socket cannot be bound for another reason.
    #[error("cannot listen on {0}: {1}")]
    Bind(SocketAddr, #[source] io::Error),
    /// The system gives no thread, or no runtime on it.
    #[error("the node gets no thread of its own: {0}")]
    Thread(#[source] io::Error),
    /// The node's thread ended before it had started.
    #[error("the node's thread ended before it had started")]
    Worker,
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };

    use super::*;

    /// A connection on which this was sent and answered.
    fn asked(to: SocketAddr, requests: &[(&str, String)]) -> TcpStream {
        let mut stream = TcpStream::connect(to).unwrap();
        for (path, body) in requests {
            let length = body.len();
            let head = format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}");
            stream.write_all(head.as_bytes()).unwrap();
            let mut answer = [0; 4096];
            let read = stream.read(&mut answer).unwrap();
            let answer = String::from_utf8_lossy(&answer[..read]);
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        stream
    }

    #[tokio::test]
    async fn the_end_of_a_connection_that_a_peer_keeps_is_reported_once() {
        let (say, heard) = std::sync::mpsc::channel();
        let report = Report::new(move |node, peer| say.send((node.addr().clone(), peer)).unwrap());
        let node = Node::builder().port(0).start_with(report).await.unwrap();
        let to = node.server().address();
        let path = "/local/gossip/ping";
        let ping = |port: u16, more: &str| {
            (path, format!(r#"[{{"from": {{"ip": "127.0.0.1", "port": {port}}}, "life": 1, "turn": 0{more}}}]"#))
        };
        let kept = r#", "kept": true"#;
        let peer = |port| (node.addr().clone(), NodeAddr::new("127.0.0.1", port));

        // kept, and used for other calls as well
        let get = ("/local/status/get", r#"["sid"]"#.to_owned());
        drop(asked(to, &[ping(1, kept), get.clone(), ping(1, kept), ping(1, "")]));
        assert_eq!(heard.recv_timeout(Duration::from_secs(30)), Ok(peer(1)));

        // connections that nobody said to keep, and one that somebody said so in another place
        drop(asked(to, &[ping(2, ""), get.clone()]));
        drop(asked(to, &[ping(2, r#", "kept": false"#), ping(2, r#", "kept": "true""#)]));
        drop(asked(to, &[("/local/status/get", r#"["sid", {"kept": true}]"#.to_owned())]));
        drop(TcpStream::connect(to).unwrap());
        // a ping that does not say who sent it
        drop(asked(to, &[(path, r#"[{"kept": true}]"#.to_owned())]));

        drop(asked(to, &[ping(4, kept)]));
        assert_eq!(heard.recv_timeout(Duration::from_secs(30)), Ok(peer(4)));
        // still open when the node stops, which closes it
        let open = asked(to, &[ping(5, kept)]);
        node.stop().await;
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), []);
        drop(open);
    }
}
