//! A group's `status`: adds up the members' figures, stops the members, and spawns new ones.
//!
//! | method | answers |
//! |---|---|
//! | `get(key)` | for `counts`, `heapTotal` and `heapUsed` the sum; otherwise the values by member |
//! | `stop()` | each member's configuration; this node stops last |
//! | `spawn(config)` | the new node's configuration, once every member has added it to the group |

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

/// The keys whose values are added up.
const SUMMED: [&str; 3] = ["counts", "heapTotal", "heapUsed"];

/// Returns the definition of the service.
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

/// Stops every other member first, and this node last, so that it can still answer.
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

    // `every_member` does not call this node if it is not a member of the group itself.
    node.groups().add(gid.as_str(), born.clone()).await?;
    let remote = Remote::new("groups", "add");
    let added = every_member(&scope, &remote, vec![Value::from(gid.as_str()), born.to_value()]).await?;
    for (sid, error) in added.errors.iter().filter(|(sid, _)| **sid != born.sid()) {
        log::warn!(target: "chinwag::groups", "{sid} did not add {born} to {gid}: {error}");
    }
    let entry = scope.caller().doors().groups.deliver(Configuration(gid.clone())).await??;
    put_group(&scope, &born, &entry.config, &entry.members).await?;
    value(config)
}

/// Puts the group on a new node.
async fn put_group(scope: &Scope, to: &NodeAddr, config: &GroupConfig, members: &Group) -> Result<Answer, CallError> {
    let arguments = vec![config.to_value(), members.to_value()];
    scope.node().call_on(to, Call::new(Gid::local(), "groups", "put", arguments)).await
}
