//! A group's `comm`: one call to every member at once.
//!
//! `send(args, {service, method[, gid]})` answers two maps by SID, what failed and what was answered. Every member is
//! called at the same time, and none is waited for past the deadline, so a dead one costs one error and delays nobody. Arguments that no member could be called
//! with are an error of every member, as the reference has it. A node that is in the group under several keys is called once, and its
//! answer stands under each of them.

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

/// How many members are called at once. Unit: calls. A guess: enough that a hundred nodes are one round, few enough
/// that a large group does not fill every queue of this node.
const AT_ONCE: usize = 512;

/// How long a member is given that nobody has ever heard from. A guess: well above a probe's timeout, well below a call's
/// deadline, for which a made-up member would hold up every call on its group.
const UNREACHABLE_TIME: Duration = Duration::from_millis(500);

/// The definition.
pub(crate) fn service() -> AnyService {
    let comm = Service::new("comm", |_| ()).raw("send", |(), scope, arguments, _| {
        Box::pin(async move {
            match message_and_remote("comm.send", &arguments) {
                Ok((message, remote)) => every_member(&scope, &remote, message).await.map(Answer::from),
                Err(error) => refused(&scope, &error).await.map(Answer::from),
            }
        })
    });
    comm.into()
}

/// The members of the scope's group, of which there must be some.
async fn members(scope: &Scope) -> Result<Arc<Group>, CallError> {
    let members = scope.caller().members(scope.gid()).await?;
    match members.is_empty() {
        false => Ok(members),
        true => Err(CallError::other(format!("the group {} has no members", scope.gid()))),
    }
}

/// The answer to a call that no member could be called with: this error, of each.
async fn refused(scope: &Scope, error: &CallError) -> Result<GroupReply, CallError> {
    let mut replies = GroupReply::default();
    for (sid, _) in members(scope).await?.iter() {
        replies.record(sid.clone(), Err(error.clone()));
    }
    Ok(replies)
}

/// Calls `remote` on each member of the scope's group. Each answer is recorded under every key of its member.
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

/// Calls `remote` on each member of the scope's group. Each answer is recorded once, under the key by which the member is
/// found.
pub(crate) async fn every_node(scope: &Scope, remote: &Remote, arguments: Vec<Value>) -> Result<GroupReply, CallError> {
    Ok(each_node(scope, &*members(scope).await?, remote, arguments).await)
}

async fn each_node(scope: &Scope, members: &Group, remote: &Remote, arguments: Vec<Value>) -> GroupReply {
    let once = members.iter().filter(|(sid, member)| members.sid_of(&member.nid) == Some(sid));
    let unreachable = scope.caller().unreachable().await;
    let calls = once.map(|(sid, member)| {
        let call = Call::new(remote.gid.clone(), &*remote.service, &*remote.method, arguments.clone());
        let caller = match unreachable.contains(&member.nid) {
            true => scope.caller().with_deadline(UNREACHABLE_TIME.min(scope.caller().deadline())),
            false => scope.caller().clone(),
        };
        async move { (sid.clone(), caller.call_on(&member.node, call).await) }
    });
    let mut replies = GroupReply::default();
    let mut answers = stream::iter(calls).buffer_unordered(AT_ONCE);
    while let Some((sid, reply)) = answers.next().await {
        replies.record(sid, reply);
    }
    replies
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
