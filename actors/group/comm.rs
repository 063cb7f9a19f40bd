//! A group's `comm`: one call to every member at once.
//!
//! `send(args, {service, method[, gid]})` answers two maps by SID, what failed and what was answered. Every member is
//! called at the same time, and none is waited for past the deadline, so a dead one costs one error and delays nobody.

use chinwag_protocol::{
    call::{Answer, Call, CallError, GroupReply, Remote},
    value::Value,
};
use futures_util::{StreamExt, stream};

use crate::{
    local::comm::message_and_remote,
    service::{AnyService, Scope, Service},
};

/// How many members are called at once. Unit: calls. A guess: enough that a hundred nodes are one round, few enough
/// that a large group does not fill every queue of this node.
const AT_ONCE: usize = 512;

/// The definition.
pub(crate) fn service() -> AnyService {
    let comm = Service::new("comm", |_| ()).raw("send", |(), scope, arguments, _| {
        Box::pin(async move {
            let (message, remote) = message_and_remote(&arguments)?;
            every_member(&scope, &remote, message).await.map(Answer::from)
        })
    });
    comm.into()
}

/// Calls `remote` on each member of the scope's group.
pub(crate) async fn every_member(
    scope: &Scope,
    remote: &Remote,
    arguments: Vec<Value>,
) -> Result<GroupReply, CallError> {
    let members = scope.group().members().await?;
    if members.is_empty() {
        return Err(CallError::other(format!("the group {} has no members", scope.gid())));
    }
    let calls = members.iter().map(|(sid, member)| {
        let call = Call::new(remote.gid.clone(), &*remote.service, &*remote.method, arguments.clone());
        async move { (sid.clone(), scope.node().call_on(&member.node, call).await) }
    });
    let mut replies = GroupReply::default();
    let mut answers = stream::iter(calls).buffer_unordered(AT_ONCE);
    while let Some((sid, reply)) = answers.next().await {
        replies.record(sid, reply);
    }
    Ok(replies)
}

/// A service whose every method is the members' local method of the same name, answered by member.
pub(crate) fn mirror(name: &'static str, methods: &[&'static str]) -> AnyService {
    let mut service = Service::new(name, |_| ());
    for &method in methods {
        service = service.raw(method, move |(), scope, arguments, _| {
            Box::pin(async move { every_member(&scope, &Remote::new(name, method), arguments).await.map(Answer::from) })
        });
    }
    service.into()
}
