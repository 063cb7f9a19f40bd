//! The lower bound: actix-web without chinwag. A benchmark starts itself again in one of two roles.
//!
//! ```text
//! BENCH --role bare BYTES   an actix-web server of one worker, like a node, that reads the body of each request and
//!                           answers with this many bytes
//! BENCH --role node         a node with the service `echo`
//! ```
//!
//! Both print their address, and end when their stdin ends, and so with their parent.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    process::{Child, ChildStdout, Command, ExitCode, Stdio},
};

use actix_web::{App, HttpResponse, HttpServer, web};
use chinwag::{Node, Service};

const ROLE: &str = "--role";

/// Runs the role that the arguments name, if they name one.
pub fn role(arguments: &[String]) -> Option<ExitCode> {
    let [first, role, rest @ ..] = arguments else { return None };
    if first != ROLE {
        return None;
    }
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    match role.as_str() {
        "bare" => bare(rest.first().and_then(|bytes| bytes.parse().ok()).unwrap_or(0)),
        "node" => node(),
        other => panic!("no role {other}"),
    }
    Some(ExitCode::SUCCESS)
}

fn announce(address: SocketAddr) {
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "{address}").and_then(|()| stdout.flush());
}

fn bare(bytes: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let answer = web::Bytes::from(vec![b'.'; bytes]);
    let factory = move || {
        let answer = answer.clone();
        let exchange = move |body: web::Bytes| {
            let answer = answer.clone();
            async move {
                drop(body);
                HttpResponse::Ok().content_type("application/json").body(answer)
            }
        };
        App::new().default_service(web::to(exchange))
    };
    actix_web::rt::System::new().block_on(async move {
        let server = HttpServer::new(factory).workers(1).disable_signals().listen(listener).expect("a server").run();
        announce(address);
        server.await.expect("it serves");
    });
}

fn node() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let node = Node::builder().port(0).service(echo()).start().await.expect("a free port");
        announce(node.server().address());
        node.stopped().await;
    });
}

/// A service that answers with its argument.
pub fn echo() -> Service<()> {
    Service::new("echo", |_| ()).method("echo", |(), (text,): (String,)| text)
}

/// This program in a role, in a process of its own that ends when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Process {
    /// Starts the process without waiting.
    pub fn start(role: &str, bytes: usize) -> Process {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.args([ROLE, role, &bytes.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let said = BufReader::new(child.stdout.take().expect("its stdout"));
        Process { child, said }
    }

    /// Waits until the process listens, and returns its address.
    pub fn address(&mut self) -> SocketAddr {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("its address");
        line.trim().parse().expect("an address")
    }

    /// The ID of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
