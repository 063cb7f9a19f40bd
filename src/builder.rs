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
