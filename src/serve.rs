//! Starts a node on threads of its own, serves its requests, and ends it.
//!
//! ```text
//! the runtime that starts the node   binds the socket, and holds a task that stops the node when the runtime ends
//! the server's worker                runs the actors and answers HTTP requests, so that a call crosses no thread
//! the thread `chinwag-node`          drives the server; after a stop it says farewell, lets calls finish, and ends the rest
//! ```

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
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
    environment::Environment, handle::NodeHandle, local::membership, node, service::AnyService, settings::Settings,
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
    engine,
    heap::heap,
    http::{
        HttpTransport,
        kept::{self, Report},
        server::{self, HEAD_TIMEOUT, Hosts, KEEP_ALIVE, ServerState},
    },
    launcher::Children,
    node::{Node, ServerHandle},
};

/// How long a node that stops takes at most to say farewell and to let the calls under way finish.
const DRAIN: Duration = Duration::from_millis(1_500);

/// How long the end of the runtime that started a node waits for the node to say farewell, to let calls finish, and to close
/// its last connection.
const RUNTIME_WAIT: Duration = Duration::from_millis(3_500);

/// The stack of the thread that drives the server, in bytes. The actors run on another thread.
const STACK: usize = 512 << 10;

/// How long the server stays open for the last answers after the last call has finished.
const FLUSH: Duration = Duration::from_millis(20);

/// What a node is started with.
pub(crate) struct Setup {
    pub config: Config,
    pub services: Vec<AnyService>,
    pub distributed: Vec<AnyService>,
    pub children: Children,
    /// Seeds the node's generator; `None` draws the seed from the operating system.
    pub seed: Option<u64>,
    pub report: Report,
}

/// Binds the socket, starts the actors, and waits until the node listens.
pub(crate) async fn start(setup: Setup) -> Result<Node, StartError> {
    let Setup { config, services, distributed, children, seed, report } = setup;
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

    let state = Arc::new(ServerState {
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
    let http = serve(listener, state.clone(), plan, report).map_err(bind)?;
    let (gone, going) = watch::channel(false);
    let running = Arc::new(OnceLock::new());
    let (alive, ended) = mpsc_std::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
    let node_running = running.clone();
    let serving = move || {
        runtime.block_on(until_stopped(http, state, stops, node_running, all_closed, gone));
        runtime.shutdown_background();
        drop(alive);
    };
    let thread = std::thread::Builder::new().name("chinwag-node".to_owned()).stack_size(STACK);
    thread.spawn(serving).map_err(StartError::Thread)?;
    let guard = RuntimeGuard { stop: stop.clone(), ended, over: false };
    tokio::spawn(guard.until_over(going.clone()));
    // the worker starts the actors before it serves its first request
    let handle = started.await.map_err(|_| StartError::Worker)?;
    let _ = running.set(handle.clone());
    let server = ServerHandle::new(address, handle.clone(), stop, going);
    Ok(Node::new(handle, server))
}

/// Stops the node when the runtime that started it ends. A task of that runtime holds it, and a runtime that ends drops its
/// tasks, however its program shuts down.
struct RuntimeGuard {
    stop: mpsc::UnboundedSender<()>,
    /// Disconnects when the node's thread ends.
    ended: mpsc_std::Receiver<()>,
    over: bool,
}

impl RuntimeGuard {
    async fn until_over(mut self, mut gone: watch::Receiver<bool>) {
        // an error means that the node's thread has ended
        let _ = gone.wait_for(|gone| *gone).await;
        self.over = true;
    }
}

impl Drop for RuntimeGuard {
    fn drop(&mut self) {
        if !self.over && self.stop.send(()).is_ok() {
            // nothing is ever sent, so the wait ends with the thread or after this time
            let _ = self.ended.recv_timeout(RUNTIME_WAIT);
        }
    }
}

/// The number of this life of the node: the time in milliseconds since 1970, which is higher after every start unless the
/// clock was set back.
fn incarnation() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(1, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)).max(1)
}

/// What a node tells others in addition to its address.
fn extra(config: &Config) -> Object {
    let mut extra = config.extra.clone();
    // source text comes from a person and is part of it; a function is the callback of the node that spawned this one
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

/// What the worker's thread needs to start the actors. It is sent there once.
struct Plan {
    me: NodeAddr,
    limits: Limits,
    settings: Settings,
    services: Vec<AnyService>,
    distributed: Vec<AnyService>,
    children: Children,
    seed: [u8; 32],
    stop: mpsc::UnboundedSender<()>,
    ready: oneshot::Sender<NodeHandle>,
    closed: Closed,
}

/// Dropped with the worker and its last connection.
type Closed = oneshot::Sender<()>;

impl Plan {
    /// Starts the actors on the current thread.
    fn start(self) -> (NodeHandle, Closed) {
        let Plan { me, limits, settings, services, distributed, children, seed, stop, ready, closed } = self;
        let mut environment = Environment::new(me, Rc::new(HttpTransport::new(limits)), seed);
        environment.launcher = children.launcher();
        environment.engines = engine::starter(settings.scripts.enabled);
        environment.heap = heap;
        environment.incarnation = incarnation();
        environment.settings = settings;
        environment.services = services;
        environment.distributed = distributed;
        environment.on_stop = Box::new(move || {
            // an error means that the node is gone already
            let _ = stop.send(());
        });
        let node = node::start(environment);
        // an error means that nobody waits for the node to start
        let _ = ready.send(node.clone());
        (node, closed)
    }
}

/// Starts the server with one worker, on whose thread the node's actors run, so that a call crosses no thread.
fn serve(
    listener: TcpListener,
    state: Arc<ServerState>,
    plan: Plan,
    report: Report,
) -> io::Result<actix_web::dev::Server> {
    let plan = Arc::new(Mutex::new(Some(plan)));
    let running: Arc<Mutex<Option<NodeHandle>>> = Arc::default();
    let factory = move || {
        let mut closed = None;
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        // the actors of a worker that died are gone; its successor serves their addresses, whose calls fail with `Crashed`
        if let Some(plan) = plan.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let (node, last) = plan.start();
            *running = Some(node);
            closed = Some(last);
        }
        let app = App::new().app_data(web::Data::new(state.clone())).default_service(fn_service(server::serve));
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

/// Serves until the node is told to stop. Then says farewell, lets the calls under way finish, and ends the server.
async fn until_stopped(
    http: actix_web::dev::Server,
    state: Arc<ServerState>,
    mut stops: mpsc::UnboundedReceiver<()>,
    running: Arc<OnceLock<NodeHandle>>,
    closed: oneshot::Receiver<()>,
    gone: watch::Sender<bool>,
) {
    let handle: HttpHandle = http.handle();
    let closing = async {
        stops.recv().await;
        let began = Instant::now();
        if let Some(node) = running.get() {
            // the server is still open, because peers that hear the farewell may ask for rumors that they lack
            let _ = tokio::time::timeout(membership::FAREWELL, node.farewell()).await;
        }
        handle.pause().await;
        state.closed.store(true, Ordering::Release);
        let drained = async {
            while state.under_way.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tokio::time::sleep(FLUSH).await;
        };
        // calls that take longer are abandoned
        let _ = tokio::time::timeout_at(began + DRAIN, drained).await;
        handle.stop(false).await;
    };
    let (served, ()) = tokio::join!(http, closing);
    if let Err(why) = served {
        log::error!(target: "chinwag::http", "the server ended: {why}");
    }
    // the server does not wait for its worker, so this waits until the sender is dropped with the last connection
    let _ = tokio::time::timeout(DRAIN, closed).await;
    // an error means that nobody waits for the end
    let _ = gone.send(true);
}

/// Why a node did not start.
///
/// ```
/// use chinwag::{Node, StartError};
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let first = Node::builder().port(0).start().await.unwrap();
/// let second = Node::builder().port(first.addr().port()).start().await;
/// assert!(matches!(second, Err(StartError::PortTaken(_))));
/// # first.stop().await;
/// # });
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another program listens on the port.
    #[error("port {port} is taken: another program listens on {0}", port = .0.port())]
    PortTaken(SocketAddr),
    /// The address belongs to another machine.
    #[error("{0} is not an address of this machine")]
    NotOurs(IpAddr),
    /// The socket cannot be bound for another reason.
    #[error("cannot listen on {0}: {1}")]
    Bind(SocketAddr, #[source] io::Error),
    /// The system cannot start the node's thread, or a runtime on it.
    #[error("cannot start a thread for the node: {0}")]
    Thread(#[source] io::Error),
    /// The node's thread ended before the node had started.
    #[error("the node's thread ended before the node had started")]
    Worker,
}
