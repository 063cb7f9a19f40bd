//! A group's `status`: its members' figures, taken together, and its end and its growth.
//!
//! | method | answers |
//! |---|---|
//! | `get(key)` | a sum for `counts`, `heapTotal`, `heapUsed`; else by member |
//! | `stop()` | each member's configuration; then this node stops too |
//! | `spawn(config)` | the new node's configuration, once it is in this group on every member |

use chinwag_protocol::{
    call::{Answer, Call, CallError, GroupReply, Remote, Reply},
    group::{Group, GroupConfig},
    identity::{Gid, NodeAddr},
    value::Value,
};
use futures_util::future::join_all;

use super::comm::{every_member, every_node};
use crate::{
    messages::Configuration,
    request::value,
    service::{AnyService, Scope, Service},
};

/// The figures that are added up over a group.
const SUMMED: [&str; 3] = ["counts", "heapTotal", "heapUsed"];

/// The definition.
pub(crate) fn service() -> AnyService {
    Service::new("status", |_| ())
        .raw("get", |(), scope, arguments, _| Box::pin(get(scope, arguments)))
        .raw("stop", |(), scope, _, _| Box::pin(stop(scope)))
        .raw("spawn", |(), scope, arguments, _| Box::pin(spawn(scope, arguments)))
        .into()
}

async fn get(scope: Scope, arguments: Vec<Value>) -> Reply {
    let summed = arguments.first().and_then(Value::as_str).is_some_and(|key| SUMMED.contains(&key));
    let remote = Remote::new("status", "get");
    if !summed {
        return Ok(every_member(&scope, &remote, arguments).await?.into());
    }
    let replies = every_node(&scope, &remote, arguments).await?;
    let sum = |values: std::collections::BTreeMap<_, Value>| values.values().filter_map(Value::as_f64).sum::<f64>();
    Ok(replies.aggregate(sum).into())
}

/// Every other member, and this node last, so that it can still tell how it went.
async fn stop(scope: Scope) -> Reply {
    let members = scope.group().members().await?;
    let node = scope.node();
    let me = node.addr().key();
    let once = members.iter().filter(|(sid, member)| members.sid_of(&member.nid) == Some(sid));
    let others = once.filter(|(_, member)| member.nid != me).map(|(sid, member)| async move {
        let call = Call::new(Gid::local(), "status", "stop", Vec::new());
        (sid.clone(), node.call_on(&member.node, call).await)
    });
    let mut replies = GroupReply::default();
    for (sid, reply) in join_all(others).await {
        replies.record(sid, reply);
    }
    let own = members.sid_of(&me).cloned().unwrap_or_else(|| node.sid());
    replies.record(own, node.call(Gid::local(), "status", "stop", ()).await);
    Ok(replies.into())
}

async fn spawn(scope: Scope, arguments: Vec<Value>) -> Reply {
    let (node, gid) = (scope.node(), scope.gid());
    let config = node.call(Gid::local(), "status", "spawn", arguments).await?.into_value();
    let born = NodeAddr::from_value(&config)?;

    // this node may see the group without being in it
    node.groups().add(gid.as_str(), born.clone()).await?;
    let remote = Remote::new("groups", "add");
    let added = every_member(&scope, &remote, vec![Value::from(gid.as_str()), born.to_value()]).await?;
    for (sid, error) in added.errors.iter().filter(|(sid, _)| **sid != born.sid()) {
        log::warn!(target: "chinwag::groups", "{sid} did not add {born} to {gid}: {error}");
    }
    let entry = scope.caller().doors().groups.deliver(Configuration(gid.clone())).await??;
    give(&scope, &born, &entry.config, &entry.members).await?;
    value(config)
}

/// Puts the group on a node.
async fn give(scope: &Scope, to: &NodeAddr, config: &GroupConfig, members: &Group) -> Result<Answer, CallError> {
    let arguments = vec![config.to_value(), members.to_value()];
    scope.node().call_on(to, Call::new(Gid::local(), "groups", "put", arguments)).await
}
