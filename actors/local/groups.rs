//! `local.groups`: this node's map from names to sets of nodes.
//!
//! | method | answers | error |
//! |---|---|---|
//! | `get(gid)` | the set, SID to node | unknown group |
//! | `put(gid or {gid, …}, nodes)` | the set | no gid, or a malformed set |
//! | `add(gid, node)` | the changed set | unknown group |
//! | `rem(gid, sid)` | the changed set, or the unchanged set if no member has this SID | unknown group |
//! | `del(gid)` | the deleted set | unknown group |
//!
//! The map itself is [`chinwag_protocol::group::Groups`]. `put` and `del` answer once the group's services run or have ended.
//! A node that such a call adds to a group has also entered the group's gossip when the call is answered, so it performs every
//! message that is sent after that. See `messages::Enter`.

use std::{borrow::Cow, rc::Rc, sync::Arc};

use actix::{Actor, Context, Handler, ResponseFuture};
use chinwag_protocol::{
    call::{CallError, Reply},
    group::{Entry, Group, GroupConfig, Groups as GroupMap},
    identity::{Gid, NodeAddr},
    swim::Input,
    value::Value,
};

use super::gossip::Options;
use crate::{
    caller::Caller,
    messages::{Change, Configuration, Enroll, Enter, GroupChanged, Inputs, Meet, Members, Merge, Reconcile},
    request::{Request, Response, unknown_method, value},
    state::NodeState,
};

/// The actor that holds the map of groups.
pub(crate) struct Groups {
    state: Rc<NodeState>,
    caller: Caller,
}

impl Groups {
    pub(crate) fn new(state: Rc<NodeState>, caller: Caller) -> Groups {
        Groups { state, caller }
    }

    /// Returns the number of members of the group that a request names.
    fn member_count(&self, request: &Request) -> usize {
        let config = GroupConfig::from_value(request.call.arguments.first().unwrap_or(&Value::Undefined));
        config.ok().and_then(|config| self.state.groups.borrow().get(&config.gid).ok()).map_or(0, |group| group.len())
    }

    /// Performs a request. Returns the set, and the group whose services may have to start or end.
    fn answer(&mut self, request: &Request) -> Result<(Arc<Group>, Option<Gid>), CallError> {
        let call = &request.call;
        let argument = |index: usize| call.arguments.get(index).unwrap_or(&Value::Undefined);
        let mut groups = self.state.groups.borrow_mut();
        match call.method.as_str() {
            "get" => Ok((groups.get(&gid("get", argument(0))?)?, None)),
            "put" => {
                let rejected =
                    |position, name| move |why: CallError| CallError::argument("groups.put", position, name, why);
                let config = GroupConfig::from_value(argument(0)).map_err(rejected(1, "gid"))?;
                Options::read(&config).map_err(rejected(1, "gid"))?;
                let members = Group::from_value(argument(1)).map_err(rejected(2, "nodes"))?;
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

/// Returns the change that a request has made, for the membership.
fn changed(request: &Request, set: &Arc<Group>, before: usize) -> Option<GroupChanged> {
    let argument = |index: usize| request.call.arguments.get(index).unwrap_or(&Value::Undefined);
    let gid = GroupConfig::from_value(argument(0)).ok()?.gid;
    let resized = set.len() != before;
    let change = match request.call.method.as_str() {
        "put" => Change::Put(set.clone()),
        "add" => Change::Added(resized),
        "rem" => Change::Removed(key(argument(1)).into_owned(), resized),
        _ => Change::Deleted,
    };
    Some(GroupChanged { gid, change })
}

/// Returns the key that a value names, as in JavaScript. An object names none, even a node, and gets the empty key, which no
/// member has.
fn key(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text.as_str()),
        Value::Number(number) => Cow::Owned(number.to_string()),
        _ => Cow::Borrowed(""),
    }
}

/// Notifies the membership of a change. The change is complete whether or not this succeeds.
async fn notify_membership(caller: &Caller, changed: Option<GroupChanged>) {
    if let (Some(membership), Some(changed)) = (&caller.doors().membership, changed) {
        // If the membership actor panics, its replacement finds the change by comparison.
        let _ = membership.deliver(changed).await;
    }
}

/// Enters the gossip of a group that this node has come into. The change is complete whether or not this succeeds.
async fn enter_gossip(caller: &Caller, gid: Gid, through: Option<NodeAddr>) {
    // If the gossip actor panics, its replacement enters the group.
    let _ = caller.doors().gossip.deliver(Enter { gid, through }).await;
}

/// Reads the name of a group from a string, or from an object with a `gid`.
fn gid(method: &str, argument: &Value) -> Result<Gid, CallError> {
    let config = GroupConfig::from_value(argument);
    Ok(config.map_err(|why| CallError::argument(&format!("groups.{method}"), 1, "gid", why))?.gid)
}

impl Actor for Groups {
    type Context = Context<Groups>;
}

/// The methods that peers can call.
pub(crate) const METHODS: [&str; 5] = ["add", "del", "get", "put", "rem"];

impl Handler<Request> for Groups {
    type Result = Response;

    fn handle(&mut self, request: Request, _: &mut Context<Groups>) -> Response {
        let before = if request.call.method == "get" { 0 } else { self.member_count(&request) };
        match self.answer(&request) {
            Err(error) => Response::Now(Err(error)),
            Ok((set, _)) if request.call.method == "get" => Response::Now(value(set.to_value())),
            Ok((set, reconcile)) => {
                let caller = self.caller.clone();
                let changed = changed(&request, &set, before);
                let entered = changed.as_ref().filter(|changed| match &changed.change {
                    Change::Put(_) | Change::Added(_) => set.contains(&self.state.nid),
                    Change::Removed(..) | Change::Deleted => false,
                });
                let entered = entered.map(|changed| changed.gid.clone());
                Response::Later(Box::pin(async move {
                    if let Some(gid) = reconcile {
                        caller.doors().lifecycle.deliver(Reconcile(gid)).await?;
                    }
                    notify_membership(&caller, changed).await;
                    if let Some(gid) = entered {
                        enter_gossip(&caller, gid, None).await;
                    }
                    Reply::Ok(set.to_value().into())
                }))
            }
        }
    }
}

impl Handler<Members> for Groups {
    type Result = Result<Arc<Group>, CallError>;

    fn handle(&mut self, Members(gid): Members, _: &mut Context<Groups>) -> Self::Result {
        self.state.groups.borrow().get(&gid)
    }
}

impl Handler<Configuration> for Groups {
    type Result = Result<Entry, CallError>;

    fn handle(&mut self, Configuration(gid): Configuration, _: &mut Context<Groups>) -> Self::Result {
        self.state.groups.borrow().entry(&gid).cloned()
    }
}

impl Handler<Merge> for Groups {
    type Result = ResponseFuture<Result<(Arc<Group>, Arc<GroupConfig>), CallError>>;

    fn handle(&mut self, Merge { config, mut members, through }: Merge, _: &mut Context<Groups>) -> Self::Result {
        let (gid, caller) = (config.gid.clone(), self.caller.clone());
        let before = self.state.groups.borrow().get(&gid).unwrap_or_default();
        for (_, member) in before.iter() {
            if !members.contains(&member.nid) {
                members.add(member.node.clone());
            }
        }
        let put = Options::read(&config).and_then(|_| self.state.groups.borrow_mut().widen(config, members));
        let config = self.state.groups.borrow().entry(&gid).map(|entry| entry.config.clone());
        Box::pin(async move {
            let (put, config) = (put?, config?);
            let member = put.contains(&caller.doors().nid);
            caller.doors().lifecycle.deliver(Reconcile(gid.clone())).await?;
            notify_membership(&caller, Some(GroupChanged { gid: gid.clone(), change: Change::Added(true) })).await;
            if member {
                enter_gossip(&caller, gid, through).await;
            }
            Ok((before, config))
        })
    }
}

impl Handler<Enroll> for Groups {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Enroll(additions): Enroll, _: &mut Context<Groups>) -> Self::Result {
        let mut changes = Vec::new();
        for (gid, nodes) in additions {
            let mut groups = self.state.groups.borrow_mut();
            let size = |groups: &GroupMap| groups.get(&gid).map_or(0, |members| members.len());
            let before = size(&groups);
            for node in nodes {
                if let Err(why) = groups.enroll(&gid, node) {
                    // This node usually just does not know the group.
                    log::debug!(target: "chinwag::groups", "{why}");
                    break;
                }
            }
            if size(&groups) != before {
                changes.push(GroupChanged { gid, change: Change::Added(true) });
            }
        }
        let caller = self.caller.clone();
        Box::pin(async move {
            for changed in changes {
                notify_membership(&caller, Some(changed)).await;
            }
        })
    }
}

impl Handler<Meet> for Groups {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Meet(met): Meet, _: &mut Context<Groups>) -> Self::Result {
        let key = met.key();
        self.state.groups.borrow_mut().meet([met]);
        let caller = self.caller.clone();
        Box::pin(async move {
            notify_membership(&caller, Some(GroupChanged { gid: Gid::all(), change: Change::Added(true) })).await;
            // A node with membership off returns an error, which is ignored.
            let _ = caller.doors().ask_membership(Inputs::of([Input::Answered(key)])).await;
        })
    }
}
