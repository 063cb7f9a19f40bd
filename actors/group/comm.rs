//! A group's `comm`: calls all members at once.
//!
//! `send(args, {service, method[, gid]})` answers with two maps by SID: the errors and the values. All members are called
//! concurrently, up to a bound, and each call ends by the deadline, so a dead member costs one error and delays no other member.
//! Arguments with which no member can be called result in an error for every member, as on a reference node. A node that is in the
//! group under several SIDs is called once, and its answer is recorded under each of them.

use std::{sync::Arc, time::Duration};

use chinwag_protocol::{
    call::{Answer, Call, CallError, GroupReply, Remote},
    group::Group,
    value::Value,
};
use futures_util::{StreamExt, stream};

use crate::{
    arguments::message_and_remote,
    service::{AnyService, Scope, Service},
};

/// The most calls at once. A guess: enough to call a hundred nodes concurrently, and few enough that a large group does not
/// fill every queue of this node.
const MAX_CONCURRENT_CALLS: usize = 512;

/// The deadline of a call on an unreachable member. A guess: well above a probe's timeout, and well below a call's deadline,
/// for which a member that does not exist would otherwise delay every call on its group.
const UNREACHABLE_TIMEOUT: Duration = Duration::from_millis(500);

/// Returns the definition of the service.
pub(crate) fn service() -> AnyService {
    let comm = Service::new("comm", |_| ()).raw("send", |(), scope, arguments, _| {
        Box::pin(async move {
            match message_and_remote("comm.send", &arguments) {
                Ok((message, remote)) => every_member(&scope, &remote, message).await.map(Answer::from),
                Err(error) => reply_with_error(&scope, &error).await.map(Answer::from),
            }
        })
    });
    comm.into()
}

/// Returns the members of the scope's group, or an error if there are none.
async fn members(scope: &Scope) -> Result<Arc<Group>, CallError> {
    let members = scope.caller().members(scope.gid()).await?;
    match members.is_empty() {
        false => Ok(members),
        true => Err(CallError::other(format!("the group {} has no members", scope.gid()))),
    }
}

/// Returns a reply with the same error for every member.
async fn reply_with_error(scope: &Scope, error: &CallError) -> Result<GroupReply, CallError> {
    let mut replies = GroupReply::default();
    for (sid, _) in members(scope).await?.iter() {
        replies.record(sid.clone(), Err(error.clone()));
    }
    Ok(replies)
}

/// Calls `remote` on each member of the scope's group. Records each answer under every SID of the member.
pub(crate) async fn every_member(
    scope: &Scope,
    remote: &Remote,
    arguments: Vec<Value>,
) -> Result<GroupReply, CallError> {
    let members = members(scope).await?;
    let mut replies = each_node(scope, &members, remote, arguments).await;
    for (sid, member) in members.iter() {
        let Some(first) = members.sid_of(&member.nid).filter(|first| *first != sid) else { continue };
        if let Some(error) = replies.errors.get(first).cloned() {
            replies.errors.insert(sid.clone(), error);
        }
        if let Some(value) = replies.values.get(first).cloned() {
            replies.values.insert(sid.clone(), value);
        }
    }
    Ok(replies)
}

/// Calls `remote` on each member of the scope's group. Records each answer once, under the member's first SID.
pub(crate) async fn every_node(scope: &Scope, remote: &Remote, arguments: Vec<Value>) -> Result<GroupReply, CallError> {
    Ok(each_node(scope, &*members(scope).await?, remote, arguments).await)
}

async fn each_node(scope: &Scope, members: &Group, remote: &Remote, arguments: Vec<Value>) -> GroupReply {
    let once = members.iter().filter(|(sid, member)| members.sid_of(&member.nid) == Some(sid));
    let unreachable = scope.caller().unreachable().await;
    let calls = once.map(|(sid, member)| {
        let call = Call::new(remote.gid.clone(), &*remote.service, &*remote.method, arguments.clone());
        let caller = match unreachable.contains(&member.nid) {
            true => scope.caller().with_deadline(UNREACHABLE_TIMEOUT.min(scope.caller().deadline())),
            false => scope.caller().clone(),
        };
        async move { (sid.clone(), caller.call_on(&member.node, call).await) }
    });
    let mut replies = GroupReply::default();
    let mut answers = stream::iter(calls).buffer_unordered(MAX_CONCURRENT_CALLS);
    while let Some((sid, reply)) = answers.next().await {
        replies.record(sid, reply);
    }
    replies
}

/// Creates a service whose methods each call the local method of the same name on every member.
pub(crate) fn call_every_member(name: &'static str, methods: &[&'static str]) -> AnyService {
    let mut service = Service::new(name, |_| ());
    for &method in methods {
        service = service.raw(method, move |(), scope, arguments, _| {
            Box::pin(async move { every_member(&scope, &Remote::new(name, method), arguments).await.map(Answer::from) })
        });
    }
    service.into()
}
