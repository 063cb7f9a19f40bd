//! What membership makes of messages: what is known of members, what replies mean, and the calls to nodes that take no
//! part. The messages themselves are in [`peer`].

use std::fmt;

use chinwag_protocol::{
    call::{Call, CallError, ErrorKind, Reply},
    identity::{Gid, Nid, NodeAddr},
    member_list::Known,
    peer::{self, Entry},
    swim::{Outcome, Statement, Status, Update},
    value::{Object, Value},
};

/// The methods that `local.gossip` has beside its own.
pub(crate) const METHODS: [&str; 5] = ["listing", "news", "ping", "relay", "sync"];

/// Why a request that its sender has to sign is refused.
pub(super) const NO_FROM: &str = "it has no from";

/// What entries say of members' standing, and what they say beside that.
pub(crate) fn parts(entries: Vec<Entry>) -> (Vec<Update<Nid>>, Vec<Known>) {
    entries.into_iter().map(|entry| (entry.update, Known::from(entry))).unzip()
}

/// A relay by a mute node.
pub(crate) fn relay_by_call(to: &NodeAddr) -> Call {
    let mut remote = Object::new();
    remote.insert("node", address(to).to_value());
    remote.insert("service", "status");
    remote.insert("method", "get");
    let arguments = vec![Value::from(vec![Value::from("sid")]), Value::Object(remote)];
    Call::new(Gid::local(), "comm", "send", arguments)
}

/// An address without what else a node says of itself.
pub(crate) fn address(node: &NodeAddr) -> NodeAddr {
    NodeAddr::new(node.ip(), node.port())
}

/// As people and programs read it.
pub(crate) fn status_name(status: Status) -> &'static str {
    match status {
        Status::Pending => "pending",
        Status::Unreachable => "unreachable",
        Status::Alive => "alive",
        Status::Suspect => "suspect",
        Status::Failed => "failed",
        Status::Left => "left",
        Status::Expelled => "expelled",
    }
}

pub(crate) fn status_of_name(name: &str) -> Option<Status> {
    let all = [
        Status::Pending,
        Status::Unreachable,
        Status::Alive,
        Status::Suspect,
        Status::Failed,
        Status::Left,
        Status::Expelled,
    ];
    all.into_iter().find(|status| status_name(*status) == name)
}

/// The error for a node of another cluster.
pub(crate) const STRANGER: &str = "Stranger";

/// The error for a node that states an address which is this node's, or which another node answers at.
pub(crate) const ADDRESS_TAKEN: &str = "AddressTaken";

pub(crate) fn stranger(why: impl fmt::Display) -> CallError {
    CallError::new(ErrorKind::Other(STRANGER.to_owned()), why.to_string())
}

pub(crate) fn address_taken(why: impl fmt::Display) -> CallError {
    CallError::new(ErrorKind::Other(ADDRESS_TAKEN.to_owned()), why.to_string())
}

/// Whether an error is of a kind that only membership has.
pub(crate) fn is_named(error: &CallError, name: &str) -> bool {
    matches!(&error.kind, ErrorKind::Other(kind) if kind == name)
}

/// Whether a request that states this asks a node in this life for a merge of the clusters.
pub(crate) fn asks_to_merge(merge: Option<u64>, life: u64) -> bool {
    merge.is_some_and(|of| of == 0 || of == life)
}

/// What became of a ping. Any answer is a sign of life, an error too, unless a node of another cluster gives it.
pub(crate) fn pinged(reply: &peer::Reply) -> Outcome {
    match reply {
        Ok(peer::Answer::Pong(pong)) => Outcome::Answered(pong.stated.statement),
        Ok(_) => Outcome::Answered(Statement::default()),
        Err(error) if error.is_refusal() || is_named(error, STRANGER) => Outcome::Refused,
        Err(error) if error.kind.is_answer() => Outcome::Answered(Statement::default()),
        Err(_) => Outcome::Lost,
    }
}

/// What became of a relay, and what the peer behind it stated.
pub(crate) fn relayed(reply: &peer::Reply) -> (Outcome, Option<Statement>) {
    match reply {
        Ok(peer::Answer::Relayed(relayed)) => match relayed.reached {
            true => {
                let behind = relayed.peer.as_ref().map(|peer| peer.statement);
                (Outcome::Answered(relayed.stated.statement), behind)
            }
            false => (Outcome::Unreachable(relayed.stated.statement), None),
        },
        Ok(_) => (Outcome::Lost, None),
        // it takes no part any more
        Err(error) if error.kind == ErrorKind::UnknownMethod => (Outcome::Unreachable(Statement::default()), None),
        Err(error) if error.is_refusal() => (Outcome::Refused, None),
        Err(_) => (Outcome::Lost, None),
    }
}

/// What became of a relay by a mute node.
pub(crate) fn relayed_by_call(reply: &Reply) -> Outcome {
    match reply {
        Ok(_) => Outcome::Answered(Statement::default()),
        Err(error) if error.kind.is_answer() => Outcome::Unreachable(Statement::default()),
        // the error does not say whether it was the relay or the peer that was not reached
        Err(_) => Outcome::Lost,
    }
}

#[cfg(test)]
mod tests {
    use chinwag_protocol::{
        peer::{Answer, Pong, Relayed, Stated},
        swim::Incarnation,
    };

    use super::*;

    #[test]
    fn any_answer_is_a_sign_of_life() {
        let failed = |kind| Err(CallError::new(kind, "x"));
        let statement = Statement::of(Incarnation { life: 3, turn: 1 });
        let stated = Stated { statement, name: "".into() };
        let pong = Answer::Pong(Pong { stated: stated.clone(), about: None });
        assert_eq!(pinged(&Ok(pong)), Outcome::Answered(statement));
        assert_eq!(pinged(&failed(ErrorKind::UnknownMethod)), Outcome::Answered(Statement::default()));
        assert_eq!(pinged(&failed(ErrorKind::Other("Error".into()))), Outcome::Answered(Statement::default()));
        assert_eq!(pinged(&failed(ErrorKind::Unreachable)), Outcome::Lost);
        assert_eq!(pinged(&failed(ErrorKind::DeadlineExceeded)), Outcome::Lost);
        assert_eq!(pinged(&Err(stranger("x"))), Outcome::Refused);

        let behind = Stated { statement: Statement::of(Incarnation::of_life(4)), name: "".into() };
        let reached = Relayed { stated: stated.clone(), reached: true, peer: Some(behind.clone()) };
        let outcome = (Outcome::Answered(statement), Some(behind.statement));
        assert_eq!(relayed(&Ok(Answer::Relayed(reached))), outcome);
        let unreached = Relayed { stated, reached: false, peer: None };
        assert_eq!(relayed(&Ok(Answer::Relayed(unreached))), (Outcome::Unreachable(statement), None));
        assert_eq!(relayed(&failed(ErrorKind::Other("Error".into()))), (Outcome::Lost, None));
        let error = Err(CallError::new(ErrorKind::Other("Error".into()), "x"));
        assert_eq!(relayed_by_call(&error), Outcome::Unreachable(Statement::default()));
    }
}
