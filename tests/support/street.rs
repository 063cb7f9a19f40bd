//! Nodes on a street of their own, in virtual time: a transport whose names and addresses the test decides.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use chinwag::{
    Call, CallError, ErrorKind, Gid, Nid, NodeAddr, Value,
    actors::{environment::Environment, handle::NodeHandle, node, settings::Settings, transport::Transport},
    membership,
    protocol::{
        call::{Answer, Reply},
        swim::Status,
    },
};
use futures_util::{FutureExt as _, future::LocalBoxFuture};
use tokio::{task::LocalSet, time::Instant};

/// Who is there, under which names, and whom they have asked what.
#[derive(Default)]
pub struct Street {
    pub nodes: RefCell<BTreeMap<Nid, NodeHandle>>,
    pub names: RefCell<BTreeMap<String, Vec<NodeAddr>>>,
    pub asked: RefCell<Vec<(NodeAddr, String)>>,
    /// At whom no request of which method arrives.
    pub lost: RefCell<Vec<(NodeAddr, &'static str)>>,
    /// Whose answers to which method state something else under a key.
    pub forged: RefCell<Vec<(NodeAddr, &'static str, &'static str, Value)>>,
    /// How much longer the answers of a method take.
    pub slow: RefCell<Vec<(&'static str, Duration)>>,
    /// How many requests were refused because they came from another cluster.
    pub strangers: RefCell<usize>,
    /// Who was stopped. Nobody ends for it.
    pub stopped: RefCell<Vec<NodeAddr>>,
}

struct Door(Rc<Street>);

impl Transport for Door {
    fn call(&self, to: &NodeAddr, call: Call) -> LocalBoxFuture<'static, Reply> {
        self.0.asked.borrow_mut().push((to.clone(), call.method.to_string()));
        let there = self.0.nodes.borrow().get(&to.nid()).cloned();
        let is_lost = self.0.lost.borrow().iter().any(|(at, method)| at == to && call.method == *method);
        let forged = self.0.forged.borrow();
        let forged = forged.iter().filter(|(at, method, ..)| at == to && call.method == *method);
        let forged: Vec<(&str, Value)> = forged.map(|(_, _, key, value)| (*key, value.clone())).collect();
        let slow = self.0.slow.borrow().iter().find(|(method, _)| call.method == *method).map(|(_, time)| *time);
        let (deadline, to, street) = (Instant::now() + call.context.time_left, to.clone(), self.0.clone());
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
                *street.strangers.borrow_mut() += usize::from(reply.as_ref().is_err_and(is_stranger));
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

impl Street {
    /// A node that joins through the seed, in the group `town`.
    pub fn open(self: &Rc<Street>, at: &NodeAddr, seed: Option<&str>) -> NodeHandle {
        let seeds = seed.iter().map(|seed| seed.parse().unwrap()).collect();
        let groups = vec![Gid::new("town").unwrap()];
        let membership = membership::Settings { seeds, groups, ..membership::Settings::default() };
        self.open_as(at, 1, membership)
    }

    /// A node in the life of this number.
    pub fn open_as(self: &Rc<Street>, at: &NodeAddr, life: u64, membership: membership::Settings) -> NodeHandle {
        let port = at.port().to_le_bytes();
        let mut chance = [7; 32];
        chance[..2].copy_from_slice(&port);
        chance[2..10].copy_from_slice(&life.to_le_bytes());
        let (street, me) = (self.clone(), at.clone());
        let node = node::start(Environment {
            incarnation: life,
            on_stop: Box::new(move || street.stopped.borrow_mut().push(me)),
            settings: Settings { membership, ..Settings::default() },
            ..Environment::new(at.clone(), Rc::new(Door(self.clone())), chance)
        });
        self.nodes.borrow_mut().insert(at.nid(), node.clone());
        node
    }

    /// Nobody is there any more.
    pub async fn shut(&self, at: &NodeAddr) {
        let node = self.nodes.borrow_mut().remove(&at.nid()).unwrap();
        node.close().await;
    }

    pub fn asked(&self, method: &str) -> Vec<NodeAddr> {
        self.asked.borrow().iter().filter(|(_, asked)| asked == method).map(|(to, _)| to.clone()).collect()
    }
}

pub fn at(port: u16) -> NodeAddr {
    NodeAddr::new("10.0.0.1", port)
}

pub async fn sees(node: &NodeHandle, gid: &str, nid: Nid) -> bool {
    node.groups().get(gid).await.is_ok_and(|members| members.contains(&nid))
}

pub async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    for _ in 0..60_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("waited a minute in vain: {what}");
}

/// Runs a story in virtual time.
pub fn story(told: impl AsyncFnOnce(Rc<Street>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, told(Rc::default()));
}

/// How a node regards another.
pub async fn status(node: &NodeHandle, nid: Nid) -> Option<Status> {
    let list = node.membership().list().await.unwrap();
    list.values().find(|member| member.node.nid() == nid).map(|member| member.status)
}
