//! `local.groups`: this node's map from names to sets of nodes.
//!
//! | method | answers | error |
//! |---|---|---|
//! | `get(gid)` | the set, SID to node | unknown group |
//! | `put(gid or {gid, …}, nodes)` | the set | no gid, malformed set |
//! | `add(gid, node)` | the set after | unknown group |
//! | `rem(gid, sid)` | the set after, also where nothing is under that key | unknown group |
//! | `del(gid)` | the set deleted | unknown group |
//!
//! The map itself is [`chinwag_protocol::group::Groups`]. Once a group is put its services run; once it is deleted
//! they are gone: the answer waits for either. A node that comes into a group by this has also entered its gossip, so that
//! it performs whatever is sent after the answer: see `gossip::Enter`.

use std::{borrow::Cow, collections::BTreeMap, rc::Rc, sync::Arc};

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use chinwag_protocol::{
    call::{CallError, Reply},
    group::{Entry, Group, GroupConfig, Groups as Known},
    identity::{Gid, NodeAddr},
    value::Value,
};

use crate::{
    handle::Node,
    home::Home,
    local::{
        gossip,
        membership::{self, Change, Changed},
    },
    node::Reconcile,
    request::{Request, Response},
    service::{unknown_method, value},
};

/// Holds the map.
pub struct Groups {
    home: Rc<Home>,
}

impl Groups {
    pub(crate) fn new(home: Rc<Home>) -> Groups {
        Groups { home }
    }

    /// How many members the group has that a request is about.
    fn size(&self, request: &Request) -> usize {
        let config = GroupConfig::from_value(request.call.arguments.first().unwrap_or(&Value::Undefined));
        config.ok().and_then(|config| self.home.groups.borrow().get(&config.gid).ok()).map_or(0, |group| group.len())
    }

    /// Does what is asked, and says which group's services may have to start or end.
    fn answer(&mut self, request: &Request) -> Result<(Arc<Group>, Option<Gid>), CallError> {
        let call = &request.call;
        let argument = |index: usize| call.arguments.get(index).unwrap_or(&Value::Undefined);
        let mut groups = self.home.groups.borrow_mut();
        match call.method.as_str() {
            "get" => Ok((groups.get(&gid("get", argument(0))?)?, None)),
            "put" => {
                let refused =
                    |position, name| move |why: CallError| CallError::argument("groups.put", position, name, why);
                let config = GroupConfig::from_value(argument(0)).map_err(refused(1, "gid"))?;
                gossip::Options::read(&config).map_err(refused(1, "gid"))?;
                let members = Group::from_value(argument(1)).map_err(refused(2, "nodes"))?;
                let gid = config.gid.clone();
                Ok((groups.put(config, members)?, Some(gid)))
            }
            "add" => {
                let node = NodeAddr::from_value(argument(1));
                let node = node.map_err(|why| CallError::argument("groups.add", 2, "node", why))?;
                Ok((groups.add(&gid("add", argument(0))?, node)?, None))
            }
            "rem" => Ok((groups.rem(&gid("rem", argument(0))?, &key(argument(1)))?, None)),
            "del" => {
                let gid = gid("del", argument(0))?;
                Ok((groups.del(&gid)?, Some(gid)))
            }
            other => Err(unknown_method("groups", other)),
        }
    }
}

/// What has become of a group, for those who watch its members.
fn changed(request: &Request, set: &Arc<Group>, before: usize) -> Option<Changed> {
    let argument = |index: usize| request.call.arguments.get(index).unwrap_or(&Value::Undefined);
    let gid = GroupConfig::from_value(argument(0)).ok()?.gid;
    let other = set.len() != before;
    let how = match request.call.method.as_str() {
        "put" => Change::Put(set.clone()),
        "add" => Change::Added(other),
        "rem" => Change::Removed(key(argument(1)).into_owned(), other),
        _ => Change::Deleted,
    };
    Some(Changed { gid, how })
}

/// The key that a value names, as it would in JavaScript. An object, the node itself for example, names none: no member's key is
/// empty.
fn key(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text.as_str()),
        Value::Number(number) => Cow::Owned(number.to_string()),
        _ => Cow::Borrowed(""),
    }
}

/// Tells membership, where the node takes part in it. What is done does not depend on it.
async fn tell_membership(node: &Node, changed: Option<Changed>) {
    if let (Some(seat), Some(changed)) = (&node.inner().membership, changed) {
        // one that panicked looks for itself
        let _ = seat.send(changed).await;
    }
}

/// Enters the gossip of a group that this node has come into. What is done does not depend on it.
async fn enter(node: &Node, gid: Gid, through: Option<NodeAddr>) {
    // one that panicked enters when it is replaced
    let _ = node.inner().gossip.send(gossip::Enter { gid, through }).await;
}

/// The name of a group as an argument: text, or an object with a `gid`.
fn gid(method: &str, argument: &Value) -> Result<Gid, CallError> {
    let config = GroupConfig::from_value(argument);
    Ok(config.map_err(|why| CallError::argument(&format!("groups.{method}"), 1, "gid", why))?.gid)
}

impl Actor for Groups {
    type Context = Context<Groups>;
}

/// The wire's methods.
pub(crate) const METHODS: [&str; 5] = ["add", "del", "get", "put", "rem"];

impl Handler<Request> for Groups {
    type Result = Response;

    fn handle(&mut self, request: Request, _: &mut Context<Groups>) -> Response {
        let before = if request.call.method == "get" { 0 } else { self.size(&request) };
        match self.answer(&request) {
            Err(error) => Response::Now(Err(error)),
            Ok((set, _)) if request.call.method == "get" => Response::Now(value(set.to_value())),
            Ok((set, reconcile)) => {
                let node = match self.home.node() {
                    Ok(node) => node.clone(),
                    Err(error) => return Response::Now(Err(error)),
                };
                let changed = changed(&request, &set, before);
                let enters = changed.as_ref().filter(|changed| match &changed.how {
                    Change::Put(_) | Change::Added(_) => set.contains(&self.home.nid),
                    Change::Removed(..) | Change::Deleted => false,
                });
                let enters = enters.map(|changed| changed.gid.clone());
                Response::Later(Box::pin(async move {
                    if let Some(gid) = reconcile {
                        node.lifecycle(Reconcile(gid)).await?;
                    }
                    tell_membership(&node, changed).await;
                    if let Some(gid) = enters {
                        enter(&node, gid, None).await;
                    }
                    Reply::Ok(set.to_value().into())
                }))
            }
        }
    }
}

/// Asks for a group's members.
#[derive(Debug, Message)]
#[rtype(result = "Result<Arc<Group>, CallError>")]
pub(crate) struct Members(pub Gid);

impl Handler<Members> for Groups {
    type Result = Result<Arc<Group>, CallError>;

    fn handle(&mut self, Members(gid): Members, _: &mut Context<Groups>) -> Self::Result {
        self.home.groups.borrow().get(&gid)
    }
}

/// Asks for a group's members and configuration.
#[derive(Debug, Message)]
#[rtype(result = "Result<Entry, CallError>")]
pub(crate) struct Configuration(pub Gid);

impl Handler<Configuration> for Groups {
    type Result = Result<Entry, CallError>;

    fn handle(&mut self, Configuration(gid): Configuration, _: &mut Context<Groups>) -> Self::Result {
        self.home.groups.borrow().entry(&gid).cloned()
    }
}

/// Puts a group, with those that are in it here already. Answers those, and the configuration that the group now has: one that
/// an operator puts later is another.
#[derive(Debug, Message)]
#[rtype(result = "Result<(Arc<Group>, Arc<GroupConfig>), CallError>")]
pub(crate) struct Merge {
    pub config: GroupConfig,
    pub members: Group,
    /// The member that said so: alive, and in the group or at least aware of it.
    pub through: Option<NodeAddr>,
}

impl Handler<Merge> for Groups {
    type Result = ResponseFuture<Result<(Arc<Group>, Arc<GroupConfig>), CallError>>;

    fn handle(&mut self, Merge { config, mut members, through }: Merge, _: &mut Context<Groups>) -> Self::Result {
        let (gid, node) = (config.gid.clone(), self.home.node().cloned());
        let before = self.home.groups.borrow().get(&gid).unwrap_or_default();
        for (_, member) in before.iter() {
            if !members.contains(&member.nid) {
                members.add(member.node.clone());
            }
        }
        let put = gossip::Options::read(&config).and_then(|_| self.home.groups.borrow_mut().widen(config, members));
        let config = self.home.groups.borrow().entry(&gid).map(|entry| entry.config.clone());
        Box::pin(async move {
            let (node, put, config) = (node?, put?, config?);
            let member = put.contains(&node.nid());
            node.lifecycle(Reconcile(gid.clone())).await?;
            tell_membership(&node, Some(Changed { gid: gid.clone(), how: Change::Added(true) })).await;
            if member {
                enter(&node, gid, through).await;
            }
            Ok((before, config))
        })
    }
}

/// Adds nodes to groups, where these are known.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Enroll(pub BTreeMap<Gid, Vec<NodeAddr>>);

impl Handler<Enroll> for Groups {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Enroll(additions): Enroll, _: &mut Context<Groups>) -> Self::Result {
        let mut changes = Vec::new();
        for (gid, nodes) in additions {
            let mut groups = self.home.groups.borrow_mut();
            let size = |groups: &Known| groups.get(&gid).map_or(0, |members| members.len());
            let before = size(&groups);
            for node in nodes {
                if let Err(why) = groups.enroll(&gid, node) {
                    // most often, the group is none of this node's
                    log::debug!(target: "chinwag::groups", "{why}");
                    break;
                }
            }
            if size(&groups) != before {
                changes.push(Changed { gid, how: Change::Added(true) });
            }
        }
        let node = self.home.node().ok().cloned();
        Box::pin(async move {
            if let Some(node) = node {
                for changed in changes {
                    tell_membership(&node, Some(changed)).await;
                }
            }
        })
    }
}

/// Adds a node to `all` that has called this node or answered it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Meet(pub NodeAddr);

impl Handler<Meet> for Groups {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Meet(met): Meet, _: &mut Context<Groups>) -> Self::Result {
        let key = met.key();
        self.home.groups.borrow_mut().meet([met]);
        let node = self.home.node().ok().cloned();
        Box::pin(async move {
            if let Some(node) = node {
                tell_membership(&node, Some(Changed { gid: Gid::all(), how: Change::Added(true) })).await;
                // a node that takes no part in membership asks for nothing
                let _ = membership::send(&node, membership::Take::of([membership::Input::Answered(key)])).await;
            }
        })
    }
}
