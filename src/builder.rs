//! How an application says what a node is to be: [`Builder`].

use std::{fmt, path::PathBuf};

use chinwag_actors::{handle::NodeHandle, local::membership, service::AnyService, settings::Settings};
use chinwag_protocol::{identity::NodeAddr, wire::Limits};

use crate::{
    config::Config,
    http::kept::Report,
    launcher::{ChildExit, Children},
    node::{Node, ServerHandle},
    output::Output,
    program::Program,
    serve::{self, Setup, StartError},
};

type OnStart = Box<dyn FnOnce(&ServerHandle) + Send>;

impl Node {
    /// Returns a builder, whose node binds 127.0.0.1:8080 by default.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

/// Configures a node and starts it. Returned by [`Node::builder`].
///
/// ```
/// use chinwag::{Node, Service, Settings};
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let mut settings = Settings::default();
/// settings.calls_in_flight = 64;
/// let node = Node::builder()
///     .ip("127.0.0.1")
///     .port(0)
///     .cluster("kitchen")
///     .group("lunch")
///     .settings(settings)
///     .service(Service::new("counter", |_| 0_u64).method("count", |n: &mut u64, ()| { *n += 1; *n }))
///     .on_start(|server| println!("listening on {}", server.address()))
///     .start()
///     .await?;
/// node.stop().await;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[must_use = "a builder starts a node only with `start`"]
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
    /// Sets the whole configuration, for example one that [`Config::parse`] has read.
    pub fn config(mut self, config: Config) -> Builder {
        self.config = config;
        self
    }

    /// Sets the IP address or host name to bind. Default: 127.0.0.1.
    pub fn ip(mut self, ip: impl Into<String>) -> Builder {
        self.config.ip = Some(ip.into());
        self
    }

    /// Sets the port to bind. Port 0 takes a free port. Default: 8080.
    pub fn port(mut self, port: u16) -> Builder {
        self.config.port = Some(port);
        self
    }

    /// Sets the address at which other nodes reach this node. Default: the address that it binds.
    pub fn advertise(mut self, node: NodeAddr) -> Builder {
        self.config.advertise = Some(node);
        self
    }

    /// Allows an address that other machines can reach, although anyone who reaches it can run calls on the node.
    pub fn insecure(mut self) -> Builder {
        self.config.insecure = true;
        self
    }

    /// Adds a service to the node. Every node can call it by its name.
    pub fn service(mut self, service: impl Into<AnyService>) -> Builder {
        self.services.push(service.into());
        self
    }

    /// Adds a service of which every group of this node gets an instance.
    pub fn distributed(mut self, service: impl Into<AnyService>) -> Builder {
        self.distributed.push(service.into());
        self
    }

    /// Sets the program that `status.spawn` starts. It must take `--config` as `chinwag` does.
    ///
    /// Default: the `chinwag` program, in the directory of the running executable or else in a directory of `PATH`. If there is
    /// none, `spawn` fails with `SpawnFailed`. The application itself is never started again, because it would not become a
    /// node.
    pub fn program(mut self, program: impl Into<PathBuf>) -> Builder {
        self.children.program = Program::Named(program.into());
        self
    }

    /// Sets whether the node starts other nodes by `status.spawn`. A node that starts none fails these calls with
    /// `Unsupported`. Default: yes.
    pub fn spawns(mut self, on: bool) -> Builder {
        self.children.none = !on;
        self
    }

    /// Makes the nodes that this node spawns end when this node ends, even if its process is killed. Their program must take
    /// `--end-with-stdin` as `chinwag` does. Default: spawned nodes outlive the node.
    pub fn children_end_with_it(mut self) -> Builder {
        self.children.bound = true;
        self
    }

    /// Sets the output that gets the lines that spawned nodes write. Default: the standard error of this process.
    pub fn child_output(mut self, output: Output) -> Builder {
        self.children.output = Some(output);
        self
    }

    /// Sets what to call, on the node's thread, when a spawned node that had been up has ended. Default: a log line.
    pub fn on_child_exit(mut self, on_exit: impl Fn(&ChildExit) + Send + 'static) -> Builder {
        self.children.on_exit = Some(Box::new(on_exit));
        self
    }

    /// Seeds the node's generator, from which it takes all randomness. Default: a seed from the operating system.
    pub fn seed(mut self, seed: u64) -> Builder {
        self.seed = Some(seed);
        self
    }

    /// Sets the bounds on the bodies that the node reads and writes.
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.config.limits = limits;
        self
    }

    /// Sets the bounds on calls, and how the node runs shipped functions and takes part in membership.
    pub fn settings(mut self, settings: Settings) -> Builder {
        self.config.settings = settings;
        self
    }

    /// Sets whether the node runs functions that other nodes ship. A node that runs none can still spawn nodes, call back and
    /// gossip. Default: yes, if the crate has the feature `scripts`.
    pub fn scripts(mut self, on: bool) -> Builder {
        self.config.settings.scripts.enabled = on;
        self
    }

    /// Sets how the node takes part in membership. This replaces the membership of earlier [`settings`](Builder::settings).
    pub fn membership(mut self, membership: membership::Settings) -> Builder {
        self.config.settings.membership = membership;
        self
    }

    /// Adds a node to join through, `HOST:PORT`. The node tries these in turn until one answers, and all addresses of a host
    /// name.
    pub fn join(mut self, seed: impl Into<String>) -> Builder {
        self.seeds.push(seed.into());
        self
    }

    /// Sets the name of the cluster that the node belongs to. Nodes of clusters with different names never become members of
    /// each other, even if an operator asks for it. Default: the empty name.
    pub fn cluster(mut self, name: impl Into<String>) -> Builder {
        self.cluster = Some(name.into());
        self
    }

    /// Adds a group that the node is in from the start, and on the other members once it has joined.
    pub fn group(mut self, gid: impl Into<String>) -> Builder {
        self.groups.push(gid.into());
        self
    }

    /// Sets what to call, exactly once, when the node listens.
    pub fn on_start(mut self, on_start: impl FnOnce(&ServerHandle) + Send + 'static) -> Builder {
        self.on_start = Some(Box::new(on_start));
        self
    }

    /// Binds the socket, starts the actors, and waits until the node listens. The node has threads and runtimes of its
    /// own, so any tokio runtime can start it, also beside other actix servers.
    ///
    /// The node stops when the runtime that started it ends. It says farewell as it does after [`Node::stop`], and the end
    /// of the runtime waits for the node, for 3.5 s at most.
    ///
    /// # Errors
    /// [`StartError`], which quotes the value that the node cannot start with.
    pub async fn start(self) -> Result<Node, StartError> {
        self.start_with(Report::new(NodeHandle::connection_closed)).await
    }

    /// Starts a node that calls `report` when a connection that a peer kept open has ended.
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
        let node = serve::start(Setup { config, services, distributed, children, seed, report }).await?;
        if let Some(on_start) = on_start {
            on_start(node.server());
        }
        Ok(node)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{SocketAddr, TcpStream},
        time::Duration,
    };

    use super::*;

    /// Returns a connection over which these requests were sent and answered.
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

        // a connection that the peer keeps, and also uses for other calls
        let get = ("/local/status/get", r#"["sid"]"#.to_owned());
        drop(asked(to, &[ping(1, kept), get.clone(), ping(1, kept), ping(1, "")]));
        assert_eq!(heard.recv_timeout(Duration::from_secs(30)), Ok(peer(1)));

        // connections that no ping says to keep, and one whose `kept` is in another call
        drop(asked(to, &[ping(2, ""), get.clone()]));
        drop(asked(to, &[ping(2, r#", "kept": false"#), ping(2, r#", "kept": "true""#)]));
        drop(asked(to, &[("/local/status/get", r#"["sid", {"kept": true}]"#.to_owned())]));
        drop(TcpStream::connect(to).unwrap());
        // a ping that does not say who sent it
        drop(asked(to, &[(path, r#"[{"kept": true}]"#.to_owned())]));

        drop(asked(to, &[ping(4, kept)]));
        assert_eq!(heard.recv_timeout(Duration::from_secs(30)), Ok(peer(4)));
        // a connection that is open when the node stops, which closes it
        let open = asked(to, &[ping(5, kept)]);
        node.stop().await;
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), []);
        drop(open);
    }
}
