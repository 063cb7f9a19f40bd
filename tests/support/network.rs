//! A network in virtual time, whose names, addresses, losses and delays the test decides. Its nodes are real ones.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use chinwag::{
    Call, CallError, ErrorKind, Gid, Nid, NodeAddr, Value,
    actors::{environment::Environment, handle::NodeHandle, node, transport::Transport},
    membership,
    protocol::{
        call::{Answer, Reply},
        swim::Status,
    },
};
use futures_util::{FutureExt as _, future::LocalBoxFuture};
use tokio::{task::LocalSet, time::Instant};

use super::until;

/// Which nodes run, which names lead to them, which requests they have made, and what goes wrong.
#[derive(Default)]
pub struct Network {
    pub nodes: RefCell<BTreeMap<Nid, NodeHandle>>,
    /// The addresses of each host name.
    pub names: RefCell<BTreeMap<String, Vec<NodeAddr>>>,
    /// The receiver and the method of every request so far.
    pub requests: RefCell<Vec<(NodeAddr, String)>>,
    /// The receivers and methods of the requests that the network loses.
    pub lost: RefCell<Vec<(NodeAddr, &'static str)>>,
    /// For a node and a method, a key of the answers and the value that the network puts there.
    pub forged: RefCell<Vec<(NodeAddr, &'static str, &'static str, Value)>>,
    /// How much longer the answers of a method take.
    pub slow: RefCell<Vec<(&'static str, Duration)>>,
    /// How many requests a node refused because they came from another cluster.
    pub strangers: RefCell<usize>,
    /// The nodes that were told to stop. The network does not end them.
    pub stopped: RefCell<Vec<NodeAddr>>,
}

struct NetworkTransport(Rc<Network>);

impl Transport for NetworkTransport {
    fn call(&self, to: &NodeAddr, call: Call) -> LocalBoxFuture<'static, Reply> {
        self.0.requests.borrow_mut().push((to.clone(), call.method.to_string()));
        let there = self.0.nodes.borrow().get(&to.nid()).cloned();
        let is_lost = self.0.lost.borrow().iter().any(|(at, method)| at == to && call.method == *method);
        let forged = self.0.forged.borrow();
        let forged = forged.iter().filter(|(at, method, ..)| at == to && call.method == *method);
        let forged: Vec<(&str, Value)> = forged.map(|(_, _, key, value)| (*key, value.clone())).collect();
        let slow = self.0.slow.borrow().iter().find(|(method, _)| call.method == *method).map(|(_, time)| *time);
        let (deadline, to, network) = (Instant::now() + call.context.time_left, to.clone(), self.0.clone());
        let asking = async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let Some(node) = there else {
                return Err(CallError::refused(format!("nobody listens at {to}")));
            };
            let late = || Err(CallError::new(ErrorKind::DeadlineExceeded, format!("{to} did not answer in time")));
            if is_lost {
                tokio::time::sleep_until(deadline).await;
                return late();
            }
            let answering = async {
                let reply = node.dispatch(call).await;
                let is_stranger = |why: &CallError| why.kind == ErrorKind::Other("Stranger".into());
                *network.strangers.borrow_mut() += usize::from(reply.as_ref().is_err_and(is_stranger));
                tokio::time::sleep(slow.unwrap_or_default()).await;
                reply
            };
            let mut reply = tokio::time::timeout_at(deadline, answering).await.unwrap_or_else(|_| late());
            if let Ok(Answer::Value(Value::Object(answer))) = &mut reply {
                for (key, value) in forged {
                    answer.insert(key, value);
                }
            }
            reply
        };
        asking.boxed_local()
    }

    fn resolve(&self, host: &str, port: u16) -> LocalBoxFuture<'static, Result<Vec<NodeAddr>, CallError>> {
        let named = self.0.names.borrow().get(host).cloned();
        let addresses = named.unwrap_or_else(|| vec![NodeAddr::new(host, port)]);
        async move { Ok(addresses) }.boxed_local()
    }
}

impl Network {
    /// Starts a node in the group `web`, which joins through the seed.
    pub fn start(self: &Rc<Network>, at: &NodeAddr, seed: Option<&str>) -> NodeHandle {
        let seeds = seed.iter().map(|seed| seed.parse().unwrap()).collect();
        let groups = vec![Gid::new("web").unwrap()];
        let mut membership = membership::Settings::default();
        (membership.seeds, membership.groups) = (seeds, groups);
        self.start_life(at, 1, membership)
    }

    /// Starts a node in the life with this number.
    pub fn start_life(self: &Rc<Network>, at: &NodeAddr, life: u64, membership: membership::Settings) -> NodeHandle {
        let port = at.port().to_le_bytes();
        let mut seed = [7; 32];
        seed[..2].copy_from_slice(&port);
        seed[2..10].copy_from_slice(&life.to_le_bytes());
        let (network, addr) = (self.clone(), at.clone());
        let mut environment = Environment::new(at.clone(), Rc::new(NetworkTransport(self.clone())), seed);
        environment.incarnation = life;
        environment.on_stop = Box::new(move || network.stopped.borrow_mut().push(addr));
        environment.settings = membership.into();
        let node = node::start(environment);
        self.nodes.borrow_mut().insert(at.nid(), node.clone());
        node
    }

    /// Ends the node at an address without a farewell.
    pub async fn crash(&self, at: &NodeAddr) {
        let node = self.nodes.borrow_mut().remove(&at.nid()).unwrap();
        node.close().await;
    }

    /// The receivers of all requests for a method, in order.
    pub fn receivers_of(&self, method: &str) -> Vec<NodeAddr> {
        let requests = self.requests.borrow();
        requests.iter().filter(|(_, requested)| requested == method).map(|(to, _)| to.clone()).collect()
    }
}

/// The address of the node with this port.
pub fn at(port: u16) -> NodeAddr {
    NodeAddr::new("10.0.0.1", port)
}

/// Whether a node has another one in its view of a group.
pub async fn sees(node: &impl AsRef<NodeHandle>, gid: &str, nid: Nid) -> bool {
    let node = node.as_ref();
    node.groups().get(gid).await.is_ok_and(|members| members.contains(&nid))
}

/// Runs a test in virtual time, on an empty network.
pub fn in_virtual_time(test: impl AsyncFnOnce(Rc<Network>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test(Rc::default()));
}

/// Waits until the nodes know the id of their cluster, which is one for all of them.
pub async fn until_of_one_cluster(nodes: &[NodeHandle]) {
    until("the nodes are of one cluster", async || {
        let mut ids = Vec::new();
        for node in nodes {
            let ping = Call::new(Gid::local(), "gossip", "ping", vec![Value::from_json(serde_json::json!({}))]);
            let answer = node.dispatch(ping).await.unwrap().into_value();
            ids.push(answer.get("cluster").cloned());
        }
        ids.iter().all(|id| id.is_some() && *id == ids[0])
    })
    .await;
}

/// The status of a member in another node's list.
pub async fn status(node: &impl AsRef<NodeHandle>, nid: Nid) -> Option<Status> {
    let node = node.as_ref();
    let list = node.membership().list().await.unwrap();
    list.values().find(|member| member.node.nid() == nid).map(|member| member.status)
}
